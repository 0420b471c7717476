//! The weights of a linear layer, packed for the register tile of this CPU.

use std::fmt;

use half::bf16;
use half::slice::HalfFloatSliceExt;

use crate::arch::{Bf16, Bytes, F32, InstructionSet, Product, Tile};
use crate::line::Aligned;
use crate::transpose::transpose;
use crate::vector::{abs_max, to_steps};

/// The numbers that weights are kept in and that products are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floating point.
    F32,
    /// bf16 for both factors, sums in f32.
    Bf16,
    /// Bytes for both factors: weights scaled by output, inputs by row, while they are multiplied. Sums are exact.
    Int8,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}

impl Precision {
    /// The fastest on this CPU of those that lose little: bytes where it multiplies them itself, else f32.
    pub fn fastest() -> Self {
        use InstructionSet::{Avx512Amx, Avx512Bf16, Avx512Vnni, AvxVnni};
        match InstructionSet::detect() {
            AvxVnni | Avx512Vnni | Avx512Bf16 | Avx512Amx => Self::Int8,
            _ => Self::F32,
        }
    }

    /// How many numbers a word of 32 bits holds.
    pub(super) fn per_word(self) -> usize {
        match self {
            Self::F32 => F32::PER_WORD,
            Self::Bf16 => Bf16::PER_WORD,
            Self::Int8 => Bytes::PER_WORD,
        }
    }
}

/// The weights `[n_out, n_in]` of a linear layer, packed for this CPU.
///
/// They stand in panels, `[n_panels, n_words, panel]`: a panel is as wide as the register tile, and a word holds the
/// weights of one output for one, two or four neighbouring inputs.
pub struct Weights {
    n_out: usize,
    n_in: usize,
    set: InstructionSet,
    precision: Precision,
    tile: Tile,
    n_words: usize,  // of one output: n_in.div_ceil(per word), up to whole steps of the tile
    panels: Aligned, // [n_out.div_ceil(panel), n_words, panel], zeros beyond both ends
    /// For bytes: what one step of each output's weights is worth, up to a whole panel.
    scales: Vec<f32>,
    /// For bytes: the sum of each output's weights, up to a whole panel.
    sums: Vec<f32>,
}

impl Weights {
    /// Packs a row-major `[n_out, n_in]` matrix.
    ///
    /// # Panics
    /// If `weights` has another length.
    pub fn pack(weights: &[f32], n_out: usize, n_in: usize, precision: Precision) -> Self {
        let set = InstructionSet::detect().for_words_of(precision.per_word());
        Self::pack_for(set, weights, n_out, n_in, precision)
    }

    pub(super) fn pack_for(
        set: InstructionSet,
        weights: &[f32],
        n_out: usize,
        n_in: usize,
        precision: Precision,
    ) -> Self {
        assert_eq!(weights.len(), n_out * n_in, "the weights are not [n_out, n_in]");
        let tile = set.tile();
        let panel = tile.columns;
        let n_words = n_in.div_ceil(precision.per_word()).next_multiple_of(tile.steps);
        let mut panels = Aligned::zeroed(n_out.div_ceil(panel) * n_words * panel);
        let (mut scales, mut sums) = (Vec::new(), Vec::new());
        let mut rows = vec![0; panel * n_words]; // one panel's, before they are its columns
        let panels_words = panels.words_mut().chunks_exact_mut(n_words * panel);
        for (weights, out) in weights.chunks(panel * n_in).zip(panels_words) {
            for (row, words) in weights.chunks_exact(n_in).zip(rows.chunks_exact_mut(n_words)) {
                if let Some(scale) = words_of_row(row, precision, words) {
                    scales.push(scale.step);
                    sums.push(scale.sum);
                }
            }
            transpose(&rows, (weights.len() / n_in, n_words), n_words, out, panel);
        }
        if precision == Precision::Int8 {
            scales.resize(n_out.next_multiple_of(panel), 0.0);
            sums.resize(n_out.next_multiple_of(panel), 0.0);
        }
        Self { n_out, n_in, set, precision, tile, n_words, panels, scales, sums }
    }

    /// The number of outputs: rows of the matrix.
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// The number of inputs: columns of the matrix.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// The numbers that the weights are kept in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Reads one row of the matrix back, `[n_in]`: the embedding of a token, where the layer is an embedding too.
    ///
    /// # Panics
    /// If there is no such row, or `out` is not as long as a row.
    pub fn row(&self, idx: usize, out: &mut [f32]) {
        assert!(idx < self.n_out && out.len() == self.n_in, "no such row, or out is not one row");
        let panel = self.tile.columns;
        let column = self.panel(idx / panel)[idx % panel..].iter().step_by(panel);
        for (out, word) in out.chunks_mut(self.precision.per_word()).zip(column) {
            let bytes = word.to_le_bytes();
            match self.precision {
                Precision::F32 => out[0] = f32::from_bits(*word),
                Precision::Bf16 => {
                    let halves = bytes.chunks_exact(2).map(|half| bf16::from_le_bytes([half[0], half[1]]));
                    out.iter_mut().zip(halves).for_each(|(out, half)| *out = half.to_f32());
                }
                Precision::Int8 => {
                    let steps = bytes.map(|byte| f32::from(byte.cast_signed()));
                    out.iter_mut().zip(steps).for_each(|(out, steps)| *out = steps * self.scales[idx]);
                }
            }
        }
    }

    pub(super) fn set(&self) -> InstructionSet {
        self.set
    }

    pub(super) fn tile(&self) -> Tile {
        self.tile
    }

    pub(super) fn n_words(&self) -> usize {
        self.n_words
    }

    /// `[n_words, panel]`
    pub(super) fn panel(&self, idx: usize) -> &[u32] {
        let len = self.n_words * self.tile.columns;
        &self.panels.words()[idx * len..][..len]
    }

    /// For bytes: what a step of each output's weights is worth, and the sum of its weights.
    pub(super) fn scales(&self) -> (&[f32], &[f32]) {
        (&self.scales, &self.sums)
    }
}

/// What bytes stand for in one row of weights.
struct Scale {
    step: f32,
    sum: f32, // of the weights
}

/// Writes one output's weights as words. Returns what bytes stand for.
fn words_of_row(row: &[f32], precision: Precision, words: &mut [u32]) -> Option<Scale> {
    match precision {
        Precision::F32 => words[..row.len()].copy_from_slice(bytemuck::cast_slice(row)),
        Precision::Bf16 => {
            let halves: &mut [u16] = bytemuck::cast_slice_mut(words);
            bytemuck::cast_slice_mut::<u16, bf16>(&mut halves[..row.len()]).convert_from_f32_slice(row);
        }
        Precision::Int8 => {
            let step = abs_max(row).max(f32::MIN_POSITIVE) / 127.0;
            let bytes: &mut [i8] = bytemuck::cast_slice_mut(words);
            let sum = to_steps(row, &vec![1.0 / step; row.len()], &mut bytes[..row.len()]);
            return Some(Scale { step, sum: sum as f32 * step });
        }
    }
    None
}
