//! Texts made comparable: openai/whisper's normalisers, to the letter.
//!
//! Word error rates can be compared with others' only if both texts were normalised in the same way, odd results
//! included: `...` becomes `.`, and `1 dollar and 1 cent` becomes ` one.01`.

mod english;
mod numbers;
mod spelling;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use regex::{Captures, Regex};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// What is done to texts before they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normaliser {
    /// Nothing.
    None,
    /// For any language: lower case, no marks, nothing in brackets.
    Basic {
        /// Letters lose their accents.
        remove_diacritics: bool,
        /// Every letter is a word: for languages that put no spaces between words.
        split_letters: bool,
    },
    /// For English: the same, and numbers, contractions, titles and spellings in one form.
    English,
}

impl Normaliser {
    /// The normaliser that openai/whisper's figures are computed with for a language, by its code.
    ///
    /// Source: appendix C of the Whisper paper.
    pub fn for_language(language: &str) -> Self {
        match language {
            "en" => Self::English,
            code => Self::Basic {
                remove_diacritics: false,
                split_letters: ["zh", "ja", "th", "lo", "my", "yue"].contains(&code),
            },
        }
    }

    /// Normalises a text.
    ///
    /// Source: `whisper/normalizers` in openai/whisper.
    pub fn normalise(self, text: &str) -> String {
        match self {
            Self::None => text.to_owned(),
            Self::Basic { remove_diacritics, split_letters } => basic(text, remove_diacritics, split_letters),
            Self::English => english::normalise(text),
        }
    }
}

/// A regular expression of this crate.
fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is part of the program")
}

/// Python's `\s`.
const SPACE: &str = r"[\s\x1c-\x1f]";

static BRACKETS: LazyLock<Regex> = LazyLock::new(|| regex(r"[<\[][^>\]]*[>\]]"));
static PARENTHESES: LazyLock<Regex> = LazyLock::new(|| regex(r"\(([^)]+?)\)"));
static SPACES: LazyLock<Regex> = LazyLock::new(|| regex(&format!("{SPACE}+")));
static SYMBOL: LazyLock<Regex> = LazyLock::new(|| regex(r"[\p{M}\p{S}\p{P}]"));
static SYMBOL_OR_ODD_LETTER: LazyLock<Regex> = LazyLock::new(|| regex(r"[\p{M}\p{S}\p{P}œŒøØæÆßẞđĐðÐþÞłŁ]"));
static MARK: LazyLock<Regex> = LazyLock::new(|| regex(r"^\p{Mn}$"));

/// Lower case, without what is in brackets.
fn without_brackets(text: &str) -> String {
    let text = text.to_lowercase();
    let text = BRACKETS.replace_all(&text, "");
    PARENTHESES.replace_all(&text, "").into_owned()
}

/// White space of any kind and length becomes one space.
fn with_single_spaces(text: &str) -> String {
    SPACES.replace_all(text, " ").into_owned()
}

/// The words between white space, as Python's `split` sees it.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
        .filter(|word| !word.is_empty())
}

/// Source: `BasicTextNormalizer` in openai/whisper `whisper/normalizers/basic.py`.
fn basic(text: &str, remove_diacritics: bool, split_letters: bool) -> String {
    let text = without_brackets(text);
    let text = if remove_diacritics {
        without_symbols_and_diacritics(&text, "")
    } else {
        let text: String = text.nfkc().collect();
        SYMBOL.replace_all(&text, " ").into_owned()
    };
    let mut text = text.to_lowercase();
    if split_letters {
        text = text.graphemes(true).collect::<Vec<_>>().join(" ");
    }
    with_single_spaces(&text)
}

/// Symbols and punctuation become spaces, but for those to keep; accents vanish.
///
/// Source: `remove_symbols_and_diacritics` in openai/whisper `whisper/normalizers/basic.py`.
fn without_symbols_and_diacritics(text: &str, keep: &str) -> String {
    let text: String = text.nfkd().collect();
    let replacement = |found: &Captures<'_>| {
        let symbol = &found[0];
        let plain = match symbol {
            _ if keep.contains(symbol) => symbol,
            "œ" => "oe",
            "Œ" => "OE",
            "ø" => "o",
            "Ø" => "O",
            "æ" => "ae",
            "Æ" => "AE",
            "ß" => "ss",
            "ẞ" => "SS",
            "đ" | "ð" => "d",
            "Đ" | "Ð" => "D",
            "þ" | "Þ" => "th",
            "ł" => "l",
            "Ł" => "L",
            _ if MARK.is_match(symbol) => "",
            _ => " ",
        };
        plain.to_owned()
    };
    SYMBOL_OR_ODD_LETTER.replace_all(&text, replacement).into_owned()
}
