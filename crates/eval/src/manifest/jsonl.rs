//! Objects of JSON, one a line.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Item, TimedWord, folder_of, text_of};
use crate::Error;

/// A line, with the names that others use for the same.
#[derive(Debug, Deserialize)]
struct Row {
    #[serde(alias = "path", alias = "audio_filepath", alias = "file", alias = "id")]
    audio: PathBuf,
    #[serde(default, alias = "sentence", alias = "transcript", alias = "hypothesis", alias = "pred_text")]
    text: Option<String>,
    #[serde(default)]
    words: Option<Vec<TimedWord>>,
    #[serde(default, alias = "offset")]
    start: Option<f64>,
    #[serde(default)]
    end: Option<f64>,
    #[serde(default)]
    language: Option<String>,
}

fn rows(path: &Path) -> Result<Vec<Row>, Error> {
    let text = text_of(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let row = |(idx, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| Error::Line {
            path: path.to_owned(),
            line: idx + 1,
            found: error.to_string(),
            expected: "an object with `audio`, `text` and perhaps `words`",
        })
    };
    lines.map(row).collect()
}

/// Reads a manifest; paths are relative to its folder.
pub(super) fn read(path: &Path) -> Result<Vec<Item>, Error> {
    let folder = folder_of(path);
    let item = |row: Row| Item {
        id: row.audio.to_string_lossy().into_owned(),
        audio: folder.join(&row.audio),
        part: (row.start.is_some() || row.end.is_some())
            .then(|| (row.start.unwrap_or(0.0), row.end.unwrap_or(f64::INFINITY))),
        text: row.text,
        words: row.words,
        language: row.language,
    };
    Ok(rows(path)?.into_iter().map(item).collect())
}

/// What some program wrote for a recording.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hypothesis {
    /// The recording, as the manifest calls it.
    pub id: String,
    /// The text.
    pub text: String,
    /// The words with their times, if there are any.
    pub words: Option<Vec<TimedWord>>,
}

/// Reads what some program wrote: an object of JSON a line, with `audio` as in the manifest, `text`, and perhaps `words`.
///
/// # Errors
/// [`Error::Read`] or [`Error::Line`].
pub fn hypotheses(path: &Path) -> Result<Vec<Hypothesis>, Error> {
    let hypothesis = |row: Row| Hypothesis {
        id: row.audio.to_string_lossy().into_owned(),
        text: row.text.unwrap_or_default(),
        words: row.words,
    };
    Ok(rows(path)?.into_iter().map(hypothesis).collect())
}
