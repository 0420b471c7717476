//! Memory that starts on a cache line, so that no vector of a panel lies across two of them.

use bytemuck::{Pod, Zeroable};

/// One cache line of numbers.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// A buffer of `f32` that starts on a cache line.
#[derive(Clone, Default)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
}

impl Aligned {
    /// `len` zeros, rounded up to whole cache lines.
    pub(crate) fn zeroed(len: usize) -> Self {
        Self { lines: vec![Line::zeroed(); len.div_ceil(16)] }
    }

    /// Makes room for `len` numbers; what was there before is of no meaning. Allocates only to grow.
    pub(crate) fn at_least(&mut self, len: usize) -> &mut [f32] {
        if self.lines.len() * 16 < len {
            self.lines = vec![Line::zeroed(); len.div_ceil(16)];
        }
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..len]
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        bytemuck::cast_slice(&self.lines)
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.lines)
    }
}
