//! The weights of a linear layer, packed for the register tile of this CPU.

use std::fmt;
use std::sync::Arc;

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
        use InstructionSet::{Avx512Amx, Avx512Bf16, Avx512Vnni, AvxVnni, NeonDotprod};
        match InstructionSet::detect() {
            AvxVnni | Avx512Vnni | Avx512Bf16 | Avx512Amx | NeonDotprod => Self::Int8,
            _ => Self::F32,
        }
    }

    /// The numbers of what is never in bytes, a network's convolutions and its encoder's attention: bf16 where this CPU
    /// multiplies those faster than f32, else f32, and f32 for a network in f32.
    pub fn floating(self) -> Self {
        match self {
            Self::Bf16 | Self::Int8 if InstructionSet::detect().prefers_bf16() => Self::Bf16,
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

/// Memory that packed weights stand in, shared with whoever keeps them.
pub type Words = Arc<Aligned>;

/// The weights `[n_out, n_in]` of a linear layer, packed for this CPU.
///
/// They stand in panels, `[n_panels, n_words, panel]`: a panel is as wide as the register tile, and a word holds the
/// weights of one output for one, two or four neighbouring inputs.
pub struct Weights {
    shape: Shape,
    /// The panels, with zeros beyond both ends. For bytes, what a step of each output's weights is worth comes next,
    /// and then the sum of its weights, each f32 and up to a whole panel.
    words: Words,
}

/// What tells how weights are packed.
#[derive(Clone, Copy)]
struct Shape {
    n_out: usize,
    n_in: usize,
    set: InstructionSet,
    precision: Precision,
    tile: Tile,
    n_words: usize, // of one output: n_in.div_ceil(per word), up to whole steps of the tile
}

impl Shape {
    fn new(set: InstructionSet, n_out: usize, n_in: usize, precision: Precision) -> Self {
        let tile = set.tile();
        let n_words = n_in.div_ceil(precision.per_word()).next_multiple_of(tile.steps);
        Self { n_out, n_in, set, precision, tile, n_words }
    }

    /// For this CPU.
    fn here(n_out: usize, n_in: usize, precision: Precision) -> Self {
        Self::new(InstructionSet::detect().for_words_of(precision.per_word()), n_out, n_in, precision)
    }

    /// The outputs, up to a whole panel.
    fn n_columns(self) -> usize {
        self.n_out.next_multiple_of(self.tile.columns)
    }

    fn panels_len(self) -> usize {
        self.n_columns() * self.n_words
    }

    /// Words of all.
    fn len(self) -> usize {
        let scales = if self.precision == Precision::Int8 { 2 * self.n_columns() } else { 0 };
        self.panels_len() + scales
    }
}

impl Weights {
    /// Packs a row-major `[n_out, n_in]` matrix.
    ///
    /// # Panics
    /// If `weights` has another length.
    pub fn pack(weights: &[f32], n_out: usize, n_in: usize, precision: Precision) -> Self {
        Self::pack_as(Shape::here(n_out, n_in, precision), weights)
    }

    #[cfg(test)]
    pub(super) fn pack_for(
        set: InstructionSet,
        weights: &[f32],
        n_out: usize,
        n_in: usize,
        precision: Precision,
    ) -> Self {
        Self::pack_as(Shape::new(set, n_out, n_in, precision), weights)
    }

    fn pack_as(shape: Shape, weights: &[f32]) -> Self {
        let Shape { n_out, n_in, precision, n_words, .. } = shape;
        assert_eq!(weights.len(), n_out * n_in, "the weights are not [n_out, n_in]");
        let panel = shape.tile.columns;
        let mut words = Aligned::zeroed(shape.len());
        let (panels, scales) = words.words_mut()[..shape.len()].split_at_mut(shape.panels_len());
        let half = scales.len() / 2;
        let (steps, sums) = bytemuck::cast_slice_mut::<_, f32>(scales).split_at_mut(half);
        let mut rows = vec![0; panel * n_words]; // one panel's, before they are its columns
        for (idx, (weights, out)) in
            weights.chunks(panel * n_in).zip(panels.chunks_exact_mut(n_words * panel)).enumerate()
        {
            for (at, (row, words)) in
                (idx * panel..).zip(weights.chunks_exact(n_in).zip(rows.chunks_exact_mut(n_words)))
            {
                if let Some(scale) = words_of_row(row, precision, words) {
                    (steps[at], sums[at]) = (scale.step, scale.sum);
                }
            }
            transpose(&rows, (weights.len() / n_in, n_words), n_words, out, panel);
        }
        Self { shape, words: Arc::new(words) }
    }

    /// The length of packed weights of a shape, in words of 32 bits.
    pub fn packed_len(n_out: usize, n_in: usize, precision: Precision) -> usize {
        Shape::here(n_out, n_in, precision).len()
    }

    /// Weights that [`Weights::pack`] packed before, on a CPU with the same [`Weights::layout`].
    ///
    /// # Panics
    /// If there are fewer than [`Weights::packed_len`] words.
    pub fn from_packed(words: Words, n_out: usize, n_in: usize, precision: Precision) -> Self {
        let shape = Shape::here(n_out, n_in, precision);
        assert!(words.words().len() >= shape.len(), "the packed weights are not [{n_out}, {n_in}]");
        Self { shape, words }
    }

    /// The packed words, [`Weights::packed_len`] of them, and maybe some of zero behind.
    pub fn packed(&self) -> Words {
        self.words.clone()
    }

    /// A name for the way in which this CPU has a network's weights packed: where the names are equal, so are the words.
    pub fn layout(precision: Precision) -> String {
        let Shape { tile, .. } = Shape::here(1, 1, precision);
        format!("{precision}-{}-{}x{}", precision.floating(), tile.columns, tile.steps)
    }

    /// The number of outputs: rows of the matrix.
    pub fn n_out(&self) -> usize {
        self.shape.n_out
    }

    /// The number of inputs: columns of the matrix.
    pub fn n_in(&self) -> usize {
        self.shape.n_in
    }

    /// The numbers that the weights are kept in.
    pub fn precision(&self) -> Precision {
        self.shape.precision
    }

    /// Reads one row of the matrix back, `[n_in]`: the embedding of a token, where the layer is an embedding too.
    ///
    /// # Panics
    /// If there is no such row, or `out` is not as long as a row.
    pub fn row(&self, idx: usize, out: &mut [f32]) {
        let Shape { n_out, n_in, precision, tile, .. } = self.shape;
        assert!(idx < n_out && out.len() == n_in, "no such row, or out is not one row");
        let panel = tile.columns;
        let scale = self.scales().0.get(idx).copied().unwrap_or_default();
        let column = self.panel(idx / panel)[idx % panel..].iter().step_by(panel);
        for (out, word) in out.chunks_mut(precision.per_word()).zip(column) {
            let bytes = word.to_le_bytes();
            match precision {
                Precision::F32 => out[0] = f32::from_bits(*word),
                Precision::Bf16 => {
                    let halves = bytes.chunks_exact(2).map(|half| bf16::from_le_bytes([half[0], half[1]]));
                    out.iter_mut().zip(halves).for_each(|(out, half)| *out = half.to_f32());
                }
                Precision::Int8 => {
                    let steps = bytes.map(|byte| f32::from(byte.cast_signed()));
                    out.iter_mut().zip(steps).for_each(|(out, steps)| *out = steps * scale);
                }
            }
        }
    }

    pub(super) fn set(&self) -> InstructionSet {
        self.shape.set
    }

    pub(super) fn tile(&self) -> Tile {
        self.shape.tile
    }

    pub(super) fn n_words(&self) -> usize {
        self.shape.n_words
    }

    /// `[n_words, panel]`
    pub(super) fn panel(&self, idx: usize) -> &[u32] {
        let len = self.shape.n_words * self.shape.tile.columns;
        &self.words.words()[..self.shape.panels_len()][idx * len..][..len]
    }

    /// For bytes: what a step of each output's weights is worth, and the sum of its weights.
    pub(super) fn scales(&self) -> (&[f32], &[f32]) {
        let scales = &self.words.words()[self.shape.panels_len()..self.shape.len()];
        bytemuck::cast_slice(scales).split_at(scales.len() / 2)
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
