//! British spellings, written as American ones.

use std::collections::HashMap;
use std::sync::LazyLock;

/// See the folder's `make.py`.
const SPELLINGS: &str = include_str!("../../spellings/english.txt");

static AMERICAN: LazyLock<HashMap<String, String>> = LazyLock::new(|| SPELLINGS.lines().map(pair).collect());

/// The British spelling of a line, and the American one.
fn pair(line: &str) -> (String, String) {
    let mut parts = line.split('|');
    let mut part = || parts.next().expect("a line has four parts");
    let (start, british, american, end) = (part(), part(), part(), part());
    ([start, british, end].concat(), [start, american, end].concat())
}

/// Words with single spaces between them, each in its American spelling.
///
/// Source: `EnglishSpellingNormalizer` in openai/whisper `whisper/normalizers/english.py`.
pub(super) fn normalise(text: &str) -> String {
    let words = super::words(text).map(|word| AMERICAN.get(word).map_or(word, String::as_str));
    words.collect::<Vec<_>>().join(" ")
}
