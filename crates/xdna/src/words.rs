//! Little-endian numbers in bytes that are borrowed.

use std::fmt;

/// Little-endian 32-bit words, not copied and not necessarily aligned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    /// The whole words of `bytes`; up to three bytes at the end are left out.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(&bytes[..bytes.len() / 4 * 4])
    }

    /// The number of words.
    pub fn len(self) -> usize {
        self.0.len() / 4
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The word at `idx`, if there is one.
    pub fn get(self, idx: usize) -> Option<u32> {
        u32_at(self.0, idx.checked_mul(4)?)
    }

    /// The words in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = u32> + 'a {
        self.0.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")))
    }

    /// The bytes of the words.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// `len` words from `start` on, if there are so many.
    pub(crate) fn part(self, start: usize, len: usize) -> Option<Self> {
        part(self.0, start.checked_mul(4)?, len.checked_mul(4)?).map(Self)
    }
}

impl fmt::Debug for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|word| format!("{word:#010x}"))).finish()
    }
}

/// Up to eight words, and how many more there are.
impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        for (idx, word) in self.iter().take(SHOWN).enumerate() {
            write!(f, "{}{word:#010x}", if idx == 0 { "" } else { " " })?;
        }
        match self.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more words"),
        }
    }
}

/// `len` bytes from `start` on, if there are so many.
pub(crate) fn part(bytes: &[u8], start: usize, len: usize) -> Option<&[u8]> {
    bytes.get(start..start.checked_add(len)?)
}

/// The `u32` at `at`, if there is one.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    part(bytes, at, 4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")))
}

/// Appends words.
pub(crate) fn push(out: &mut Vec<u8>, words: &[u32]) {
    out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

/// NOT of the sum of all words, with which PDIs and CDOs check their headers.
pub(crate) fn checksum(words: Words<'_>) -> u32 {
    !words.iter().fold(0, u32::wrapping_add)
}
