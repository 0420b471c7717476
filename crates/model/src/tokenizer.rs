//! Text and tokens.

mod language;
mod split;
mod vocabulary;
mod words;

use std::sync::OnceLock;

pub use self::language::{language_code, language_name};
use self::split::Encoder;
pub(crate) use self::vocabulary::Vocabulary;
pub use self::words::Word;
use crate::Error;

/// What to do with speech in another language than English.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Task {
    /// Write it down as it was said.
    #[default]
    Transcribe,
    /// Write it down in English.
    Translate,
}

/// The tokens that are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Special {
    /// `<|endoftext|>`; all smaller tokens are text.
    pub eot: u32,
    /// `<|startoftranscript|>`.
    pub sot: u32,
    /// `<|translate|>`.
    pub translate: u32,
    /// `<|transcribe|>`.
    pub transcribe: u32,
    /// `<|startoflm|>`.
    pub sot_lm: u32,
    /// `<|startofprev|>`: a prompt follows.
    pub sot_prev: u32,
    /// `<|nospeech|>`.
    pub no_speech: u32,
    /// `<|notimestamps|>`.
    pub no_timestamps: u32,
    /// `<|0.00|>`; all larger tokens are later times, in steps of 20 ms.
    pub timestamp_begin: u32,
}

/// Turns text into tokens and tokens into text.
///
/// Source: `Tokenizer` in openai/whisper `whisper/tokenizer.py`.
#[derive(Debug)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    /// Made when something is first encoded.
    encoder: OnceLock<Encoder>,
}

impl Tokenizer {
    pub(crate) fn new(vocabulary: Vocabulary) -> Self {
        Self { vocabulary, encoder: OnceLock::new() }
    }

    /// The tokenizer of models that bring no vocabulary, by their number of tokens: 51864 English only, 51865 with 99
    /// languages, 51866 with 100.
    ///
    /// # Errors
    /// [`Error::Vocabulary`] for any other number.
    pub fn embedded(n_vocab: usize) -> Result<Self, Error> {
        Vocabulary::embedded("the embedded vocabulary", n_vocab).map(Self::new)
    }

    /// The number of tokens, special ones and timestamps included.
    pub fn n_vocab(&self) -> usize {
        self.vocabulary.n_tokens()
    }

    /// The tokens that are no text.
    pub fn special(&self) -> &Special {
        self.vocabulary.special()
    }

    /// Whether there are languages to choose from.
    pub fn is_multilingual(&self) -> bool {
        !self.vocabulary.languages().is_empty()
    }

    /// The languages of the model and their tokens, in the order of openai/whisper; none if it is English only.
    pub fn languages(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.vocabulary.languages().iter().copied()
    }

    /// The token of a language, by its code (`de`); `None` if the model does not know it.
    pub fn language_token(&self, code: &str) -> Option<u32> {
        self.languages().find(|(known, _)| *known == code).map(|(_, token)| token)
    }

    /// Splits text into tokens. Special tokens that are written out are plain text.
    ///
    /// Takes time in proportion to the text's length (times its logarithm), whatever the text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.encoder.get_or_init(|| Encoder::new(&self.vocabulary)).encode(&self.vocabulary, text)
    }

    /// The bytes of a token, of a special one its text (`<|en|>`); none for ids that do not exist.
    ///
    /// A character may begin in one token and end in a later one: see [`StreamDecoder`].
    pub fn token_bytes(&self, token: u32) -> &[u8] {
        self.vocabulary.bytes(token)
    }

    /// The text of tokens, without timestamps. What is not UTF-8 becomes U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let timestamp_begin = self.special().timestamp_begin;
        self.join(tokens.iter().filter(|token| **token < timestamp_begin))
    }

    /// The text of tokens, timestamps written out (`<|1.08|>`). What is not UTF-8 becomes U+FFFD.
    pub fn decode_with_timestamps(&self, tokens: &[u32]) -> String {
        self.join(tokens.iter())
    }

    fn join<'a>(&self, tokens: impl Iterator<Item = &'a u32>) -> String {
        let bytes: Vec<u8> = tokens.flat_map(|token| self.token_bytes(*token)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The tokens with which a transcript starts, without `<|notimestamps|>`.
    ///
    /// - `language`: a code; English if `None`. Ignored, as is `task`, if the model is English only.
    ///
    /// # Errors
    /// [`Error::Language`] if the model does not know the language.
    pub fn sot_sequence(&self, language: Option<&str>, task: Task) -> Result<Vec<u32>, Error> {
        let special = self.special();
        if !self.is_multilingual() {
            return Ok(vec![special.sot]);
        }
        let code = language.unwrap_or("en");
        let Some(language) = self.language_token(code) else {
            let expected = format!("one of the model's {} languages", self.languages().count());
            return Err(Error::Language { found: code.to_owned(), expected });
        };
        let task = match task {
            Task::Transcribe => special.transcribe,
            Task::Translate => special.translate,
        };
        Ok(vec![special.sot, language, task])
    }

    /// The tokens that stand for no speech: brackets, speaker tags, music notes. Sorted.
    pub fn non_speech_tokens(&self) -> Vec<u32> {
        self::words::non_speech_tokens(self)
    }

    /// What openai/whisper suppresses by default: [`non_speech_tokens`](Self::non_speech_tokens) and the special
    /// tokens that only stand at the start. Sorted.
    ///
    /// Source: `_get_suppress_tokens` in openai/whisper `whisper/decoding.py`.
    pub fn suppressed_tokens(&self) -> Vec<u32> {
        let Special { sot, translate, transcribe, sot_lm, sot_prev, no_speech, .. } = *self.special();
        let mut tokens = self.non_speech_tokens();
        tokens.extend([transcribe, translate, sot, sot_prev, sot_lm, no_speech]);
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }

    /// What must not come first: a space, and the end.
    pub fn blank_tokens(&self) -> Vec<u32> {
        let mut tokens = self.encode(" ");
        tokens.push(self.special().eot);
        tokens
    }

    /// Splits tokens into words: at spaces, or into characters for languages that are written without.
    ///
    /// - `language`: a code; for `zh`, `ja`, `th`, `lo`, `my` and `yue`, characters.
    pub fn split_to_word_tokens(&self, tokens: &[u32], language: Option<&str>) -> Vec<Word> {
        self::words::split(self, tokens, language)
    }
}

/// Decodes token after token, and holds back characters that are not complete.
#[derive(Clone, Debug, Default)]
pub struct StreamDecoder {
    held: Vec<u8>,
}

impl StreamDecoder {
    /// Takes the next token and returns the text that is complete now. Timestamps are left out.
    pub fn push(&mut self, tokenizer: &Tokenizer, token: u32) -> String {
        if token >= tokenizer.special().timestamp_begin {
            return String::new();
        }
        self.held.extend_from_slice(tokenizer.token_bytes(token));
        let complete = complete_len(&self.held);
        let text = String::from_utf8_lossy(&self.held[..complete]).into_owned();
        self.held.drain(..complete);
        text
    }

    /// Returns what was held back, as U+FFFD, and starts anew.
    pub fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        String::from_utf8_lossy(&held).into_owned()
    }
}

/// The length of `bytes` without a character at the end that later bytes can complete.
fn complete_len(bytes: &[u8]) -> usize {
    // A character has at most 4 bytes, so at most 3 are incomplete.
    let tail = bytes.len().saturating_sub(3);
    (tail..bytes.len())
        .find(|start| {
            let rest = std::str::from_utf8(&bytes[*start..]);
            rest.is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        })
        .unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests;
