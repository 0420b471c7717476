//! What a caller may ask of a transcription.

use std::fmt;
use std::str::FromStr;

use boswell_audio::{N_FRAMES, VadOptions};
use boswell_model::Task;

use crate::Error;
use crate::error::UnknownAudioContext;
use crate::parts::clips;
use crate::windows::FRAMES_PER_SECOND;

/// How a recording is to be transcribed. The default is openai/whisper's `transcribe()` at temperature 0.
///
/// Source: `transcribe` in openai/whisper `whisper/transcribe.py`, `DecodingOptions` in `whisper/decoding.py`.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Write what is said in its own language, or in English.
    pub task: Task,
    /// Code or English name of the language spoken; `None`: detected in the first 30 s.
    pub language: Option<String>,
    /// Codes of the languages that are detected; empty: all that the model knows, and so where it knows none of these.
    pub among_languages: Vec<String>,

    /// Temperatures to try on a window, one after the other, until its decode passes the thresholds below. At 0
    /// the likeliest token is taken, above it tokens are drawn. Not empty.
    pub temperatures: Vec<f32>,
    /// Of a window that fails at all of them, the likeliest text is taken, and one that repeats itself only if all do;
    /// else the last one. Source: `generate_with_fallback` in SYSTRAN/faster-whisper `faster_whisper/transcribe.py`.
    pub keep_best_failed: bool,
    /// Sequences that are followed at once at temperature 0, in 1 to 100 beams; 1: always the likeliest token.
    pub beam_size: usize,
    /// A search in beams ends when `beam_size` times this sequences are at their end.
    pub patience: f64,
    /// Sequences that are drawn above temperature 0, 1 to 100; the best is taken.
    pub best_of: usize,
    /// How much long sequences are preferred, 0 to 1, as in Google's translation system; `None`: by their logprob per
    /// token.
    pub length_penalty: Option<f64>,
    /// Logits of tokens that a window has already are divided by this, or multiplied where they are below 0; 1: nothing
    /// is done.
    pub repetition_penalty: f32,
    /// So many text tokens in a row do not come twice in a window; 0: they may.
    pub no_repeat_ngram_size: usize,

    /// A decode fails when its text compresses better than this: it repeats itself.
    pub compression_ratio_threshold: Option<f64>,
    /// A decode fails when its average logprob is below this.
    pub logprob_threshold: Option<f64>,
    /// A window is silence when the probability of no speech is above this and the average logprob is not above
    /// `logprob_threshold`.
    pub no_speech_threshold: Option<f64>,

    /// Let the model see the text of the windows before.
    pub condition_on_previous_text: bool,
    /// Text that the recording continues: names, spellings, style.
    pub initial_prompt: Option<String>,
    /// A window that was decoded above this temperature is not shown to the next one.
    pub prompt_reset_on_temperature: f32,
    /// Words to expect, put before every window, in front of the text before.
    pub hotwords: Option<String>,
    /// Put the initial prompt before every window, not only before the first.
    pub carry_initial_prompt: bool,
    /// Parts to transcribe, in seconds: start, end, start, end, …; the last end may be missing. Empty: everything.
    pub clip_timestamps: Vec<f64>,

    /// Decode only where somebody speaks, and take this for speech; `None`: decode everything. Needs a spectrogram with
    /// [voice activity](boswell_audio::SpectrogramOptions::voice_activity).
    pub vad: Option<VadOptions>,

    /// Find when each word is spoken, and let segments begin and end with their words.
    pub word_timestamps: bool,
    /// Marks that are joined to the word after them.
    pub prepend_punctuations: String,
    /// Marks that are joined to the word before them.
    pub append_punctuations: String,
    /// With `word_timestamps`: text whose words are too short, too long or too improbable is dropped where more seconds
    /// than this around it are silent.
    pub hallucination_silence_threshold: Option<f64>,

    /// A decode in which one phrase runs in circles fails as one that compresses too well does, and if no temperature
    /// helps, the phrase is taken once. Has an effect with a `compression_ratio_threshold` only.
    pub drop_loops: bool,
    /// Drop the text of a window that fails at every temperature.
    pub drop_failed: bool,
    /// Drop segments that are nothing but a phrase of the kind that models write where nobody speaks.
    pub phrase_filter: bool,
    /// Drop segments that are nothing but one of these phrases; case and marks do not matter.
    pub drop_phrases: Vec<String>,

    /// Tell the logprob of each token of the text.
    pub token_logprobs: bool,
    /// Decode without timestamp tokens: one segment per window.
    pub without_timestamps: bool,
    /// The latest time in a window at which its first segment may start, in seconds; `None` or 0: no limit.
    pub max_initial_timestamp: Option<f64>,
    /// Do not let a decode begin with a blank or with its end.
    pub suppress_blank: bool,
    /// Tokens that are never written.
    pub suppress_tokens: SuppressTokens,
    /// Text tokens in which this regular expression matches are never written; the space before a word does not count.
    pub suppress_regex: Option<String>,
    /// Digits and the signs `%`, `$` and `£` are never written: numbers come as words.
    pub suppress_numerals: bool,
    /// Most tokens to decode per window; `None`: half of the model's text context.
    pub max_new_tokens: Option<usize>,
    /// Start of every window's text.
    pub prefix: Option<String>,
    /// How much the encoder sees of a window that the recording does not fill.
    pub audio_context: AudioContext,
    /// How many windows are decoded together. Above 1 the recording is cut into parts at quiet moments, and each is
    /// transcribed on its own: faster, and without the text of the part before. With `vad`, parts begin and end with
    /// speech, and pauses stay where a part has room for them.
    pub batch_size: usize,
    /// Where the draws at temperatures above 0 start; the same seed draws the same tokens.
    pub seed: u64,
}

/// Tokens that are never written. With both fields empty nothing is suppressed, special tokens included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressTokens {
    /// The symbols that nobody speaks (openai/whisper's `-1`).
    pub non_speech: bool,
    /// Further token ids.
    pub ids: Vec<u32>,
}

/// How much the encoder sees of a window of 30 s that the recording does not fill: less is faster.
///
/// Models are trained with whole windows. It is for recordings of up to 30 s, commands and dictation; longer ones are
/// seen whole, and so is a window whose decode failed, when it is decoded again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AudioContext {
    /// All of it.
    #[default]
    Full,
    /// What is recorded and 5 s more, and 10 s at least.
    Auto,
    /// So many rows of audio features, 20 ms each, but never less than is recorded.
    Rows(usize),
}

impl AudioContext {
    /// Rows that [`Auto`](Self::Auto) has at least.
    const FLOOR: usize = 500;
    /// Rows that it has after the recording.
    const MARGIN: usize = 250;

    /// The rows of a window with so many frames of a recording.
    pub(crate) fn n_rows(self, n_frames: usize, n_audio_ctx: usize) -> usize {
        let n_recorded = n_frames.div_ceil(2);
        let n_rows = match self {
            Self::Full => n_audio_ctx,
            Self::Auto => Self::FLOOR.max(n_recorded + Self::MARGIN),
            Self::Rows(n_rows) => n_rows.max(n_recorded),
        };
        n_rows.clamp(1, n_audio_ctx)
    }
}

impl FromStr for AudioContext {
    type Err = UnknownAudioContext;

    /// `full`, `auto` or rows; as in whisper.cpp 0 is `full`.
    fn from_str(text: &str) -> Result<Self, UnknownAudioContext> {
        match text {
            "full" => Ok(Self::Full),
            "auto" => Ok(Self::Auto),
            _ => match text.parse() {
                Ok(0) => Ok(Self::Full),
                Ok(n_rows) if n_rows <= N_FRAMES / 2 => Ok(Self::Rows(n_rows)),
                _ => Err(UnknownAudioContext { found: text.to_owned() }),
            },
        }
    }
}

impl fmt::Display for AudioContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("full"),
            Self::Auto => f.write_str("auto"),
            Self::Rows(n_rows) => write!(f, "{n_rows}"),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            task: Task::Transcribe,
            language: None,
            among_languages: Vec::new(),
            temperatures: vec![0.0],
            keep_best_failed: false,
            beam_size: 1,
            patience: 1.0,
            best_of: 1,
            length_penalty: None,
            repetition_penalty: 1.0,
            no_repeat_ngram_size: 0,
            compression_ratio_threshold: Some(2.4),
            logprob_threshold: Some(-1.0),
            no_speech_threshold: Some(0.6),
            condition_on_previous_text: true,
            initial_prompt: None,
            prompt_reset_on_temperature: 0.5,
            hotwords: None,
            carry_initial_prompt: false,
            clip_timestamps: Vec::new(),
            vad: None,
            word_timestamps: false,
            prepend_punctuations: "\"'“¿([{-".to_owned(),
            append_punctuations: "\"'.。,，!！?？:：”)]}、".to_owned(),
            hallucination_silence_threshold: None,
            drop_loops: false,
            drop_failed: false,
            phrase_filter: false,
            drop_phrases: Vec::new(),
            token_logprobs: false,
            without_timestamps: false,
            max_initial_timestamp: Some(1.0),
            suppress_blank: true,
            suppress_tokens: SuppressTokens { non_speech: true, ids: Vec::new() },
            suppress_regex: None,
            suppress_numerals: false,
            max_new_tokens: None,
            prefix: None,
            audio_context: AudioContext::Full,
            batch_size: 1,
            seed: 0,
        }
    }
}

impl Options {
    /// How much of a recording of `duration_s` seconds is to be transcribed, in seconds: all of it, or its clips.
    ///
    /// # Errors
    /// [`Error::Option`] if the clips make no sense.
    pub fn asked_s(&self, duration_s: f64) -> Result<f64, Error> {
        if self.clip_timestamps.is_empty() {
            return Ok(duration_s);
        }
        let n_frames = (duration_s * FRAMES_PER_SECOND as f64).ceil() as usize;
        let clips = clips(&self.clip_timestamps, n_frames)?;
        let n_asked: usize = clips.iter().map(|(start, end)| end.saturating_sub(*start)).sum();
        Ok(n_asked as f64 / FRAMES_PER_SECOND as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_the_recording_or_its_clips() {
        let cases: [(&[f64], f64); 5] = [
            (&[], 100.004),
            (&[0.0, 20.0], 20.0),
            (&[5.0], 95.01),
            (&[5.0, 20.0, 90.0, 200.0], 25.01),
            (&[9.0, 2.0], 0.0),
        ];
        for (clips, seconds) in cases {
            let options = Options { clip_timestamps: clips.to_vec(), ..Options::default() };
            assert_eq!(options.asked_s(100.004).unwrap(), seconds, "{clips:?}");
        }
        let options = Options { clip_timestamps: vec![-1.0], ..Options::default() };
        assert!(options.asked_s(100.0).is_err());
    }

    #[test]
    fn an_audio_context_never_leaves_out_what_is_recorded() {
        let cases = [
            (AudioContext::Full, 200, 1500),
            (AudioContext::Auto, 0, 500),
            (AudioContext::Auto, 500, 500),
            (AudioContext::Auto, 601, 551),
            (AudioContext::Auto, 2900, 1500),
            (AudioContext::Auto, 3000, 1500),
            (AudioContext::Rows(300), 200, 300),
            (AudioContext::Rows(300), 601, 301),
            (AudioContext::Rows(usize::MAX), 601, 1500),
        ];
        for (context, n_frames, n_rows) in cases {
            assert_eq!(context.n_rows(n_frames, 1500), n_rows, "{context}, {n_frames} frames");
        }
    }

    #[test]
    fn an_audio_context_is_read_as_it_is_written() {
        for context in
            [AudioContext::Full, AudioContext::Auto, AudioContext::Rows(1), AudioContext::Rows(1500)]
        {
            assert_eq!(context.to_string().parse::<AudioContext>().unwrap(), context);
        }
        assert_eq!("0".parse::<AudioContext>().unwrap(), AudioContext::Full);
        for text in ["", "1501", "-1", "half"] {
            assert!(text.parse::<AudioContext>().is_err(), "{text}");
        }
    }
}
