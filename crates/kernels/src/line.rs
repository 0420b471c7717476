//! Memory that starts on a cache line, so that no vector of a panel lies across two of them.

use bytemuck::{Pod, Zeroable};

/// One cache line of words.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// A buffer of words of 32 bits that starts on a cache line: numbers in f32, or smaller ones packed.
#[derive(Clone, Default)]
pub struct Aligned {
    lines: Vec<Line>,
}

impl Aligned {
    /// `len` words of zero, rounded up to whole cache lines.
    pub fn zeroed(len: usize) -> Self {
        Self { lines: bytemuck::zeroed_vec(len.div_ceil(16)) }
    }

    /// Makes room for `len` words; what was there before is of no meaning. Allocates only to grow.
    pub(crate) fn at_least(&mut self, len: usize) -> &mut [u32] {
        if self.lines.len() * 16 < len {
            self.lines = bytemuck::zeroed_vec(len.div_ceil(16));
        }
        &mut self.words_mut()[..len]
    }

    /// As [`at_least`](Self::at_least), for f32.
    pub(crate) fn numbers_at_least(&mut self, len: usize) -> &mut [f32] {
        bytemuck::cast_slice_mut(self.at_least(len))
    }

    /// All words, up to whole cache lines.
    pub fn words(&self) -> &[u32] {
        bytemuck::cast_slice(&self.lines)
    }

    /// All words, up to whole cache lines.
    pub fn words_mut(&mut self) -> &mut [u32] {
        bytemuck::cast_slice_mut(&mut self.lines)
    }

    /// The words as f32.
    pub(crate) fn numbers(&self) -> &[f32] {
        bytemuck::cast_slice(&self.lines)
    }

    /// The words as f32.
    pub(crate) fn numbers_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.lines)
    }

    /// The words as pairs of numbers of 16 bits.
    pub(crate) fn halves(&self) -> &[u16] {
        bytemuck::cast_slice(&self.lines)
    }

    /// The words as pairs of numbers of 16 bits.
    pub(crate) fn halves_mut(&mut self) -> &mut [u16] {
        bytemuck::cast_slice_mut(&mut self.lines)
    }

    /// The words as four bytes each.
    pub(crate) fn bytes(&self) -> &[i8] {
        bytemuck::cast_slice(&self.lines)
    }

    /// The words as four bytes each.
    pub(crate) fn bytes_mut(&mut self) -> &mut [i8] {
        bytemuck::cast_slice_mut(&mut self.lines)
    }
}
