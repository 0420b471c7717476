//! Lists of recordings and what is said in them.
//!
//! | what | how it is recognised |
//! |---|---|
//! | LibriSpeech | a folder with `*.trans.txt` files in it, at any depth |
//! | TED-LIUM | `.stm`: file, channel, speaker, start, end, labels, text |
//! | Common Voice | `.tsv` with a line of names: `path` and `sentence`, recordings in `clips` beside it |
//! | any other file | an object of JSON a line: `audio`, `text`, perhaps `words`, `start` and `end` |

mod jsonl;
mod libri;
mod stm;
#[cfg(test)]
mod tests;
mod tsv;

use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;

pub use jsonl::{Hypothesis, hypotheses};

/// A recording, or a part of one, and what is said in it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Item {
    /// What results call it: the path as the manifest has it, or an id.
    pub id: String,
    /// The file.
    pub audio: PathBuf,
    /// Start and end in the file, in seconds; `None`: all of it.
    pub part: Option<(f64, f64)>,
    /// What is said, empty where nothing is; `None`: unknown.
    pub text: Option<String>,
    /// When each word is said, in seconds from the start of the part; `None`: unknown.
    pub words: Option<Vec<TimedWord>>,
    /// Code of the language spoken, if the manifest has it.
    pub language: Option<String>,
}

/// A word and when it is said.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct TimedWord {
    /// The word.
    #[serde(alias = "text")]
    pub word: String,
    /// In seconds.
    pub start: f64,
    /// In seconds.
    pub end: f64,
}

/// Reads a list of recordings, whatever its format.
///
/// # Errors
/// [`Error::Read`], [`Error::Line`] or [`Error::Empty`] if it is none.
pub fn read(path: &Path) -> Result<Vec<Item>, Error> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    let (items, expected) = match extension.as_deref() {
        _ if path.is_dir() => (libri::read(path)?, "*.trans.txt files, as LibriSpeech has them"),
        Some("stm") => (stm::read(path)?, "lines of file, channel, speaker, start, end and text"),
        Some("tsv") => (tsv::read(path)?, "lines under `path` and `sentence`"),
        _ => (jsonl::read(path)?, "an object of JSON a line"),
    };
    if items.is_empty() {
        return Err(Error::Empty { path: path.to_owned(), expected });
    }
    Ok(items)
}

/// The text of a file. Bytes that are no UTF-8 become U+FFFD.
fn text_of(path: &Path) -> Result<String, Error> {
    let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
}

/// The folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// The first of `paths` that there is; the first, if there is none.
fn existing(paths: impl IntoIterator<Item = PathBuf>) -> PathBuf {
    let mut paths = paths.into_iter();
    let first = paths.next().unwrap_or_default();
    if first.exists() {
        return first;
    }
    paths.find(|path| path.exists()).unwrap_or(first)
}
