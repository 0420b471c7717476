//! What can go wrong with the NPU, its driver, and the files that are made for it.

/// What can go wrong with the NPU, its driver, and the files that are made for it.
///
/// Every message names the thing, what was found and what was expected; what concerns the machine says what its user
/// can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or a part of it is not what it should be.
    #[error("{thing} is {found}, expected {expected}")]
    Format {
        /// The container and the field.
        thing: String,
        /// What is there.
        found: String,
        /// What could have been there.
        expected: String,
    },
    /// A file ends before a part that it announces.
    #[error("{thing} needs {needed} bytes from byte {start} on, but only {available} are there")]
    Short {
        /// The container and the part.
        thing: String,
        /// Where the part begins.
        start: u64,
        /// Its length.
        needed: u64,
        /// The length of what it must lie in.
        available: u64,
    },
    /// The description of the kernels in an xclbin is not XML.
    #[error("the xclbin's kernel description is not the XML that it should be")]
    Xml(#[from] roxmltree::Error),
}

impl Error {
    pub(crate) fn format(
        thing: impl Into<String>,
        found: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Format { thing: thing.into(), found: found.to_string(), expected: expected.into() }
    }

    pub(crate) fn short(thing: impl Into<String>, start: usize, needed: usize, available: usize) -> Self {
        Self::Short {
            thing: thing.into(),
            start: start as u64,
            needed: needed as u64,
            available: available as u64,
        }
    }
}

/// `len` bytes of `bytes` from `start` on.
///
/// # Errors
/// [`Error::Short`], about `thing`, if there are fewer.
pub(crate) fn need<'a>(thing: &str, bytes: &'a [u8], start: usize, len: usize) -> Result<&'a [u8], Error> {
    crate::words::part(bytes, start, len).ok_or_else(|| Error::short(thing, start, len, bytes.len()))
}
