//! The recordings to transcribe.

use std::fmt;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::Result;
use boswell_audio::AudioReader;

use crate::usage::usage;

/// A recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    StandardInput,
    File(PathBuf),
}

impl Input {
    /// Starts to read the recording.
    ///
    /// # Errors
    /// If it cannot be read or is none.
    pub(super) fn open(&self) -> Result<AudioReader> {
        Ok(match self {
            Self::StandardInput => AudioReader::from_stdin()?,
            Self::File(path) => AudioReader::open(path)?,
        })
    }

    /// What its transcript's files are called, without an extension.
    pub(super) fn stem(&self) -> String {
        match self {
            Self::StandardInput => "stdin".into(),
            Self::File(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StandardInput => f.write_str("standard input"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The recordings that the command line names; without any, what is piped in.
///
/// # Errors
/// If nothing is named and nothing piped in, or standard input is named twice.
pub(super) fn inputs(files: &[PathBuf]) -> Result<Vec<Input>> {
    let n_dashes = files.iter().filter(|file| is_dash(file)).count();
    if n_dashes > 1 {
        usage!("standard input (`-`) is named twice, and can be read only once");
    }
    let reads_stdin = files.is_empty() || n_dashes > 0;
    if reads_stdin && io::stdin().is_terminal() {
        usage!("no recording is named or piped in: expected files, or a recording on standard input");
    }
    if files.is_empty() {
        return Ok(vec![Input::StandardInput]);
    }
    let input = |file: &PathBuf| if is_dash(file) { Input::StandardInput } else { Input::File(file.clone()) };
    Ok(files.iter().map(input).collect())
}

fn is_dash(file: &Path) -> bool {
    file == Path::new("-")
}
