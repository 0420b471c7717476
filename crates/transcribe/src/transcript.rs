//! The result: transcript, segment, word, with the fields of openai/whisper in its order.

use serde::{Deserialize, Serialize};

/// What was said in a recording.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Transcript {
    /// The whole text, decoded in one piece: a character whose bytes two segments share is whole here.
    pub text: String,
    /// The text in parts, in the order in which they were found.
    pub segments: Vec<Segment>,
    /// Code of the language spoken, as given or detected.
    pub language: String,
    /// Text that was decoded and not taken, in the order of the recording. In files the field is there only if there
    /// is such text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Dropped>,
}

/// Text that was decoded and not taken, because most likely nobody said it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dropped {
    /// Seconds from the start of the recording.
    pub start: f64,
    /// Seconds from the start of the recording.
    pub end: f64,
    /// The text as decoded.
    pub text: String,
    /// Why it was not taken.
    pub reason: DropReason,
}

/// Why text was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// The window most likely holds no speech, and the text is improbable.
    NoSpeech,
    /// The window failed at every temperature: the text is improbable or repeats itself.
    Failed,
    /// The words are odd, and silence surrounds them. The sound after the silence is decoded once more.
    Silence,
    /// It was said before, again and again.
    Loop,
    /// It is one of the phrases to drop.
    Phrase,
}

/// Text between two timestamps.
///
/// A segment of no length or without text is kept, with neither text nor tokens, and with no `words`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Segment {
    /// Position in the transcript.
    pub id: usize,
    /// Where the window began that it was found in, in frames of 10 ms.
    pub seek: usize,
    /// Seconds from the start of the recording.
    pub start: f64,
    /// Seconds from the start of the recording; may be past the recording's end.
    pub end: f64,
    /// The text as decoded: mostly with a leading space.
    pub text: String,
    /// The tokens as decoded, timestamps included.
    pub tokens: Vec<u32>,
    /// The temperature at which its window was decoded.
    pub temperature: f32,
    /// Logprobs of the window's tokens, end included, divided by their number.
    pub avg_logprob: f64,
    /// Bytes of the window's text ÷ bytes of the text compressed.
    pub compression_ratio: f64,
    /// Probability that the window holds no speech.
    pub no_speech_prob: f64,
    /// The words with their times; `None`: not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Vec<Word>>,
    /// The tokens of the text with their logprobs; `None`: not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Vec<TokenLogprob>>,
}

/// A token of a segment's text, and how sure the model was of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// What it stands for; a character's bytes may be those of several tokens.
    pub bytes: Vec<u8>,
    /// Among the tokens that were allowed in its place.
    pub logprob: f32,
}

/// A timed word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// The word as decoded: mostly with a leading space, and with the punctuation around it.
    pub word: String,
    /// Seconds from the start of the recording.
    pub start: f64,
    /// Seconds from the start of the recording.
    pub end: f64,
    /// Mean probability of its tokens.
    pub probability: f64,
}

/// `text` without the white space around it, as Python's `str.strip` sees white space: the separators U+001C to
/// U+001F are some to it.
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Whether Python's `str.isspace` and the `\s` of its regular expressions hold for `c`.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}
