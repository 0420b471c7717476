//! The bytes of a weights file: mapped into memory, or held in it.

use std::fs::File;
use std::ops::{Deref, Range};
use std::path::Path;

use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice;

use crate::Error;

/// The bytes of a weights file.
pub(super) enum Storage {
    /// A file on disk; pages are read when they are touched.
    Mapped(Mmap),
    /// A file that the caller has in memory.
    Owned(Vec<u8>),
}

impl Storage {
    /// Maps a file into memory.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened or mapped, [`Error::Format`] if it is empty.
    pub(super) fn map(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io(path))?;
        let metadata = file.metadata().map_err(Error::io(path))?;
        let refuse = |found: &str| {
            let found = found.to_owned();
            Err(Error::Format { file: path.display().to_string(), found, expected: "a file with weights" })
        };
        if !metadata.is_file() {
            return refuse("neither a file nor a directory");
        }
        if metadata.len() == 0 {
            return refuse("empty");
        }
        map(&file).map(Self::Mapped).map_err(Error::io(path))
    }
}

impl Storage {
    /// Says that some bytes are not needed any more: where they are mapped, their pages leave this process, and come
    /// back from the file if they are read again.
    #[cfg_attr(unix, expect(unsafe_code, reason = "the memory map of the weights"))]
    pub(super) fn release(&self, bytes: Range<usize>) {
        #[cfg(unix)]
        if let Self::Mapped(map) = self {
            // SAFETY: the map is of a file and is never written to, so what is read again is the same.
            let result =
                unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, bytes.start, bytes.len()) };
            if let Err(error) = result {
                tracing::debug!(%error, "pages of the weights stay in memory");
            }
        }
        #[cfg(not(unix))]
        let _ = bytes;
    }
}

#[expect(
    unsafe_code,
    reason = "the memory map of the weights is one of the three places that STYLE.md allows"
)]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is read-only and lives as long as the `Mmap`, which unmaps it once. What remains is that the
    // file must not change while it is mapped, which no program can enforce: weights are only ever replaced by
    // renaming another file over them, which leaves the mapped one intact. If someone overwrites a file in place all
    // the same, every value is still read as plain bytes, for which any bit pattern is valid; if someone truncates
    // it, the access faults and the process ends, as with every program that maps its weights.
    unsafe { Mmap::map(file) }
}

impl Deref for Storage {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}
