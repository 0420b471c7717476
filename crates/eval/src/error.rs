//! What can go wrong between a manifest and its figures.

use std::io;
use std::path::PathBuf;

/// What can go wrong between a manifest and its figures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder that cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A line that makes no sense.
    #[error("`{}`, line {line}: found {found}, expected {expected}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1 on.
        line: usize,
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
    },

    /// A file or folder in which nothing is listed.
    #[error("`{}` lists no recordings, expected {expected}", path.display())]
    Empty {
        /// Its path.
        path: PathBuf,
        /// What there should be.
        expected: &'static str,
    },
}
