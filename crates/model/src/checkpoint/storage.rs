//! The bytes of a weights file: mapped into memory, or held in it.

use std::fs::{File, Metadata};
use std::ops::{Deref, Range};
use std::path::Path;
use std::time::UNIX_EPOCH;

use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice;
use serde::{Deserialize, Serialize};

use crate::Error;

/// The bytes of a weights file.
pub(super) enum Storage {
    /// A file on disk; pages are read when they are touched.
    Mapped {
        /// Its bytes.
        map: Mmap,
        /// Its state when it was opened, where the system tells it.
        stamp: Option<Stamp>,
    },
    /// A file that the caller has in memory.
    Owned(Vec<u8>),
}

/// The state of a file: files that differ in what they hold have different ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    name: String,
    n_bytes: usize,
    modified_ns: u64, // since 1970
    /// Of [`SAMPLES`] pieces spread over the file: images of systems give all their files the same time.
    crc32: u32,
}

/// How many pieces of a file its [`Stamp`] looks at.
const SAMPLES: usize = 64;
/// Bytes of each.
const SAMPLE: usize = 1024;

impl Stamp {
    fn new(path: &Path, metadata: &Metadata, bytes: &[u8]) -> Option<Self> {
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let mut hasher = crc32fast::Hasher::new();
        for idx in 0..SAMPLES {
            let rest = &bytes[bytes.len() / SAMPLES * idx..];
            hasher.update(&rest[..rest.len().min(SAMPLE)]);
        }
        Some(Self {
            name: path.file_name()?.to_string_lossy().into_owned(),
            n_bytes: bytes.len(),
            modified_ns: u64::try_from(modified.as_nanos()).ok()?,
            crc32: hasher.finalize(),
        })
    }
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
        let map = map(&file).map_err(Error::io(path))?;
        let stamp = Stamp::new(path, &metadata, &map);
        Ok(Self::Mapped { map, stamp })
    }

    /// The state of the file, if it is one.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Mapped { stamp, .. } => stamp.clone(),
            Self::Owned(_) => None,
        }
    }

    /// Says that some bytes are not needed any more: where they are mapped, their pages leave this process, and come
    /// back from the file if they are read again.
    #[cfg_attr(unix, expect(unsafe_code, reason = "the memory map of the weights"))]
    pub(super) fn release(&self, bytes: Range<usize>) {
        #[cfg(unix)]
        if let Self::Mapped { map, .. } = self {
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
            Self::Mapped { map, .. } => map,
            Self::Owned(bytes) => bytes,
        }
    }
}
