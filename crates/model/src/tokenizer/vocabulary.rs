//! The tokens of a model: their bytes, and which of them are special.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::LazyLock;

use flate2::read::ZlibDecoder;
use serde::Deserialize;

use super::Special;
use super::language::LANGUAGES;
use crate::Error;

/// Text tokens of English-only models; multilingual ones have one more, which is empty.
const N_TEXT_ENGLISH: usize = 50256;

/// Timestamps from 0 to 30 s in steps of 20 ms.
const N_TIMESTAMPS: usize = 1501;

/// The tokens of a model: text tokens in the order of their ranks, then special tokens, then timestamps.
///
/// Every single byte is a token, so any text can be encoded.
#[derive(Clone, Debug)]
pub(crate) struct Vocabulary {
    tokens: Tokens,
    special: Special,
    languages: Vec<(&'static str, u32)>,
}

/// A list of byte strings.
#[derive(Clone, Debug, Default)]
struct Tokens {
    bytes: Vec<u8>,
    /// Where each token ends in `bytes`.
    ends: Vec<usize>,
}

impl Vocabulary {
    /// The vocabulary of openai/whisper that fits a model of `n_vocab` tokens. `file` is named in the error.
    pub(crate) fn embedded(file: &str, n_vocab: usize) -> Result<Self, Error> {
        let layout = Layout::of(file, n_vocab)?;
        Ok(Self::complete(layout.embedded_text().clone(), &layout))
    }

    /// A vocabulary that a file lists in order, special tokens or not. `file` is named in errors.
    pub(crate) fn listed<'a>(
        tokens: impl ExactSizeIterator<Item = &'a [u8]>,
        file: &str,
        n_vocab: usize,
    ) -> Result<Self, Error> {
        let layout = Layout::of(file, n_vocab)?;
        let (found, expected) = (tokens.len(), layout.n_text);
        if found < expected {
            return Err(vocabulary(file, format!("{found} tokens"), format!("at least {expected}")));
        }
        let mut text = Tokens::default();
        for (id, token) in tokens.take(layout.n_text).enumerate() {
            // Early converters of whisper.cpp wrote parts of characters as U+FFFD. What they were is known.
            let original = layout.embedded_text().get(id);
            let is_replaced = original != token && String::from_utf8_lossy(original).as_bytes() == token;
            text.push(if is_replaced { original } else { token });
        }
        Self::checked(text, &layout, file)
    }

    /// The vocabulary in a `tokenizer.json`. `file` is named in errors.
    pub(crate) fn from_tokenizer_json(json: &str, file: &str, n_vocab: usize) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Json {
            model: Model,
            #[serde(default)]
            added_tokens: Vec<Added>,
        }
        #[derive(Deserialize)]
        struct Model {
            vocab: BTreeMap<String, u32>,
        }
        #[derive(Deserialize)]
        struct Added {
            content: String,
            id: u32,
        }
        let json: Json = parse(json, file)?;
        let added = json.added_tokens.into_iter().map(|added| (added.content, added.id)).collect();
        Self::mapped(&json.model.vocab, &added, file, n_vocab)
    }

    /// The vocabulary in a `vocab.json` and, if there is one, an `added_tokens.json`. `file` is named in errors.
    pub(crate) fn from_vocab_json(
        json: &str,
        added: Option<&str>,
        file: &str,
        n_vocab: usize,
    ) -> Result<Self, Error> {
        let added = added.map(|json| parse(json, file)).transpose()?.unwrap_or_default();
        Self::mapped(&parse(json, file)?, &added, file, n_vocab)
    }

    /// A vocabulary as transformers writes it: text tokens in GPT-2's alphabet, special tokens as they are.
    fn mapped(
        vocab: &BTreeMap<String, u32>,
        added: &BTreeMap<String, u32>,
        file: &str,
        n_vocab: usize,
    ) -> Result<Self, Error> {
        let layout = Layout::of(file, n_vocab)?;
        let is_text = |id: u32| (id as usize) < layout.n_text;
        let mut by_id = vec![None; layout.n_text];
        for (token, id) in vocab.iter().filter(|(_, id)| is_text(**id)) {
            by_id[*id as usize] = Some(token.as_str());
        }
        let mut text = Tokens::default();
        for (id, token) in by_id.into_iter().enumerate() {
            let token = token.unwrap_or_default();
            let bytes: Option<Vec<u8>> = token.chars().map(gpt2_byte).collect();
            let bytes =
                bytes.ok_or_else(|| vocabulary(file, format!("token {id} {token:?}"), "GPT-2's alphabet"))?;
            text.push(&bytes);
        }
        let complete = Self::checked(text, &layout, file)?;
        // Tokens that training added come after all that the network knows.
        let is_special = |id: u32| !is_text(id) && (id as usize) < n_vocab;
        for (token, id) in vocab.iter().chain(added).filter(|(_, id)| is_special(**id)) {
            // Its name before openai/whisper renamed it.
            let token = if token == "<|nocaptions|>" { "<|nospeech|>" } else { token };
            let expected = complete.bytes(*id);
            if expected != token.as_bytes() {
                let expected = format!("{:?} there", String::from_utf8_lossy(expected));
                return Err(vocabulary(file, format!("{token:?} as token {id}"), expected));
            }
        }
        Ok(complete)
    }

    /// Adds the special tokens to text tokens from outside.
    fn checked(text: Tokens, layout: &Layout, file: &str) -> Result<Self, Error> {
        let mut is_token = [false; 256];
        for id in 0..text.ends.len() {
            if let [byte] = text.get(id) {
                is_token[usize::from(*byte)] = true;
            }
        }
        if let Some(byte) = is_token.iter().position(|found| !found) {
            return Err(vocabulary(file, format!("no token for the byte {byte:#04x}"), "one for every byte"));
        }
        Ok(Self::complete(text, layout))
    }

    /// Adds the special tokens.
    ///
    /// Source: `get_encoding` in openai/whisper `whisper/tokenizer.py`.
    fn complete(mut tokens: Tokens, layout: &Layout) -> Self {
        let mut push = |text: &str| {
            tokens.push(text.as_bytes());
            tokens.ends.len() as u32 - 1
        };
        let eot = push("<|endoftext|>");
        let sot = push("<|startoftranscript|>");
        let codes = LANGUAGES.iter().take(layout.n_languages).map(|language| language.code);
        let mut languages: Vec<_> = codes.map(|code| (code, push(&format!("<|{code}|>")))).collect();
        let special = Special {
            eot,
            sot,
            translate: push("<|translate|>"),
            transcribe: push("<|transcribe|>"),
            sot_lm: push("<|startoflm|>"),
            sot_prev: push("<|startofprev|>"),
            no_speech: push("<|nospeech|>"),
            no_timestamps: push("<|notimestamps|>"),
            timestamp_begin: push("<|0.00|>"),
        };
        for step in 1..N_TIMESTAMPS {
            push(&format!("<|{:.2}|>", step as f64 * 0.02));
        }
        if !layout.is_multilingual {
            languages.clear();
        }
        Self { tokens, special, languages }
    }

    pub(super) fn n_tokens(&self) -> usize {
        self.tokens.ends.len()
    }

    pub(super) fn special(&self) -> &Special {
        &self.special
    }

    pub(super) fn languages(&self) -> &[(&'static str, u32)] {
        &self.languages
    }

    /// The bytes of a token; none for ids that do not exist.
    pub(super) fn bytes(&self, token: u32) -> &[u8] {
        let id = token as usize;
        if id < self.n_tokens() { self.tokens.get(id) } else { &[] }
    }
}

impl Tokens {
    fn push(&mut self, token: &[u8]) {
        self.bytes.extend_from_slice(token);
        self.ends.push(self.bytes.len());
    }

    /// # Panics
    /// If there is no such token.
    fn get(&self, id: usize) -> &[u8] {
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[id]]
    }
}

/// What the number of tokens says about a vocabulary.
struct Layout {
    is_multilingual: bool,
    n_text: usize,
    n_languages: usize,
}

impl Layout {
    /// Source: `is_multilingual` and `num_languages` in openai/whisper `whisper/model.py`.
    fn of(file: &str, n_vocab: usize) -> Result<Self, Error> {
        match n_vocab {
            51864 => Ok(Self { is_multilingual: false, n_text: N_TEXT_ENGLISH, n_languages: 99 }),
            51865 => Ok(Self { is_multilingual: true, n_text: N_TEXT_ENGLISH + 1, n_languages: 99 }),
            51866 => Ok(Self { is_multilingual: true, n_text: N_TEXT_ENGLISH + 1, n_languages: 100 }),
            _ => Err(vocabulary(file, format!("{n_vocab} tokens"), "51864, 51865 or 51866")),
        }
    }

    /// openai/whisper's text tokens.
    fn embedded_text(&self) -> &'static Tokens {
        static ENGLISH: LazyLock<Tokens> =
            LazyLock::new(|| expand(include_bytes!("../../vocabulary/gpt2.bin")));
        static MULTILINGUAL: LazyLock<Tokens> =
            LazyLock::new(|| expand(include_bytes!("../../vocabulary/multilingual.bin")));
        if self.is_multilingual { &MULTILINGUAL } else { &ENGLISH }
    }
}

fn vocabulary(file: &str, found: String, expected: impl Into<String>) -> Error {
    Error::Vocabulary { file: file.to_owned(), found, expected: expected.into() }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str, file: &str) -> Result<T, Error> {
    serde_json::from_str(json).map_err(|source| Error::Json { file: file.to_owned(), source })
}

/// Expands an embedded vocabulary: see `vocabulary/make.py`.
fn expand(packed: &[u8]) -> Tokens {
    let mut unpacked = Vec::new();
    ZlibDecoder::new(packed).read_to_end(&mut unpacked).expect("make.py packed it");
    let (bytes, merges) = unpacked.split_at(256);
    let n_merges = merges.len() / 4;
    let mut tokens = Tokens::default();
    for byte in bytes {
        tokens.push(&[*byte]);
    }
    for i in 0..n_merges {
        for plane in [0, 2] {
            let low = merges[plane * n_merges + i];
            let high = merges[(plane + 1) * n_merges + i];
            let part = usize::from(u16::from_le_bytes([low, high]));
            if part != usize::from(u16::MAX) {
                let start = part.checked_sub(1).map_or(0, |before| tokens.ends[before]);
                tokens.bytes.extend_from_within(start..tokens.ends[part]);
            }
        }
        tokens.ends.push(tokens.bytes.len());
    }
    tokens
}

/// The byte that a character stands for in GPT-2's vocabulary files: printable Latin-1 characters for themselves, the
/// other 68 bytes as the characters from U+0100 on.
///
/// Source: `bytes_to_unicode` in openai/gpt-2 `src/encoder.py`.
fn gpt2_byte(c: char) -> Option<u8> {
    let is_itself = |code: u32| matches!(code, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(c) {
        code if is_itself(code) => u8::try_from(code).ok(),
        code => {
            let place = code.checked_sub(0x100)?;
            (0..=255_u8).filter(|byte| !is_itself(u32::from(*byte))).nth(place as usize)
        }
    }
}
