//! The rows of an input, packed for the register tile.

use super::{Input, Precision, Weights};
use crate::arch::{Kernel, Simd, run_on};
use crate::line::Aligned;
use crate::transpose::lay_tile;
use crate::vector::{fold, for_each_vector};

/// What one row of bytes stands for: `x = offset + scale * byte`, with a sign or without as [`Simd::LEAST_BYTE`] says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RowScale {
    pub(super) scale: f32,
    pub(super) offset: f32,
}

/// Rows of an input in register tiles, `[tiles, n_words / TILE_STEPS, TILE_ROWS, TILE_STEPS]`, and the memory for it.
#[derive(Default)]
pub(super) struct PackedRows {
    words: Aligned,
    n_rows: usize,
    len: usize,
    tile_rows: Aligned,    // the rows of one tile, before they are its columns
    scales: Vec<RowScale>, // for bytes, one for each row
}

impl PackedRows {
    /// The tiles of the last call of [`PackedRows::pack`], `[n_words, TILE_ROWS]` each.
    #[inline(always)]
    pub(super) fn tiles(&self, tile_len: usize) -> impl Iterator<Item = &[u32]> {
        self.words.words()[..self.len].chunks_exact(tile_len)
    }

    /// What the row at `idx` stands for; of no meaning but for bytes.
    #[inline(always)]
    pub(super) fn scale(&self, idx: usize) -> RowScale {
        self.scales.get(idx).copied().unwrap_or_default()
    }

    #[inline(always)]
    pub(super) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Packs the rows of an input as the weights are packed that it is to be multiplied with.
    pub(super) fn pack(&mut self, input: Input<'_>, weights: &Weights) {
        run_on(weights.set(), Pack { rows: self, input, weights });
    }

    #[inline(always)]
    fn pack_on<S: Simd>(&mut self, simd: S, input: Input<'_>, weights: &Weights) {
        let (n_words, precision) = (weights.n_words(), weights.precision());
        self.n_rows = input.n_rows;
        self.len = input.n_rows.div_ceil(S::TILE_ROWS) * n_words * S::TILE_ROWS;
        let words = self.words.at_least(self.len);
        self.scales.clear();
        let row_len = n_words.next_multiple_of(S::LANES);
        let tile_rows = self.tile_rows.at_least(S::TILE_ROWS * row_len);
        let tiles = words.chunks_exact_mut(n_words * S::TILE_ROWS);
        for (first, tile) in (0..input.n_rows).step_by(S::TILE_ROWS).zip(tiles) {
            let rows = first..input.n_rows.min(first + S::TILE_ROWS);
            if precision == Precision::F32 {
                // Its numbers are words as they are.
                let data = bytemuck::cast_slice(&input.data[first * input.stride..]);
                lay_tile(simd, data, (rows.len(), input.stride), n_words, tile, S::TILE_ROWS);
                continue;
            }
            for (row, words) in rows.clone().zip(tile_rows.chunks_exact_mut(row_len)) {
                let x = &input.data[row * input.stride..][..weights.n_in()];
                simd.prefetch(x, size_of::<f32>() * input.stride); // the next row
                self.scales.extend(words_of_row(simd, x, precision, words));
            }
            lay_tile(simd, tile_rows, (rows.len(), row_len), n_words, tile, S::TILE_ROWS);
        }
    }
}

struct Pack<'a> {
    rows: &'a mut PackedRows,
    input: Input<'a>,
    weights: &'a Weights,
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.rows.pack_on(simd, self.input, self.weights);
    }
}

/// Writes a row as words of bytes or else of bf16, with zeros behind them. Returns what bytes stand for.
#[inline(always)]
fn words_of_row<S: Simd>(simd: S, x: &[f32], precision: Precision, words: &mut [u32]) -> Option<RowScale> {
    let scale = if precision == Precision::Int8 {
        Some(bytes_of_row(simd, x, bytemuck::cast_slice_mut(words)))
    } else {
        let halves: &mut [u16] = bytemuck::cast_slice_mut(words);
        for_each_vector(
            simd,
            x,
            #[inline(always)]
            |at, x| simd.store_bf16(x, &mut halves[at..]),
        );
        None
    };
    words[x.len().next_multiple_of(S::LANES) / precision.per_word()..].fill(0);
    scale
}

/// Writes a row as bytes, over the range of its numbers.
///
/// Zero is a whole byte: most numbers behind a GELU are next to zero, and an error that they share would add up.
#[inline(always)]
pub(super) fn bytes_of_row<S: Simd>(simd: S, x: &[f32], bytes: &mut [u8]) -> RowScale {
    let zero = simd.splat(0.0);
    let (least, greatest) = fold(
        simd,
        x,
        0.0,
        (zero, zero),
        #[inline(always)]
        |(least, greatest), x| (simd.min(least, x), simd.max(greatest, x)),
        #[inline(always)]
        |x, y| (simd.min(x.0, y.0), simd.max(x.1, y.1)),
    );
    let least = -simd.max_lane(simd.sub(zero, least));
    let scale = ((simd.max_lane(greatest) - least) / 255.0).max(f32::MIN_POSITIVE);
    let zero_byte = (-least / scale).round_ties_even() + S::LEAST_BYTE;
    let (inverse, start) = (simd.splat(1.0 / scale), simd.splat(zero_byte));
    for_each_vector(
        simd,
        x,
        #[inline(always)]
        |at, x| simd.store_bytes(simd.mul_add(x, inverse, start), &mut bytes[at..]),
    );
    RowScale { scale, offset: -scale * zero_byte }
}
