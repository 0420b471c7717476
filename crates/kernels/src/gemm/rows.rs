//! The rows of an input, packed for the register tile.

use std::ops::Range;

use super::Input;
use crate::arch::Simd;
use crate::gemm::Precision;
use crate::line::Aligned;
use crate::vector::{fold, fold_max, for_each_vector};

/// What one row of bytes stands for: `x = offset + scale * byte`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RowScale {
    pub(super) scale: f32,
    pub(super) offset: f32,
}

/// Rows of an input in register tiles, `[tiles, n_words, TILE_ROWS]`, and the memory for it.
#[derive(Default)]
pub(super) struct PackedRows {
    words: Aligned,
    len: usize,
    row: Aligned, // one row, before it is spread over its tile
    /// For bytes, one for each row.
    pub(super) scales: Vec<RowScale>,
}

impl PackedRows {
    /// The tiles of the last call of [`PackedRows::pack`], `[n_words, TILE_ROWS]` each.
    #[inline(always)]
    pub(super) fn tiles(&self, tile_len: usize) -> impl Iterator<Item = &[u32]> {
        self.words.words()[..self.len].chunks_exact(tile_len)
    }

    /// Packs some rows of the input.
    #[inline(always)]
    pub(super) fn pack<S: Simd>(
        &mut self,
        simd: S,
        input: Input<'_>,
        rows: Range<usize>,
        n_in: usize,
        precision: Precision,
    ) {
        let n_words = n_in.div_ceil(precision.per_word());
        self.len = rows.len().div_ceil(S::TILE_ROWS) * n_words * S::TILE_ROWS;
        let words = self.words.at_least(self.len);
        let row_words = self.row.at_least(n_words.next_multiple_of(S::LANES));
        self.scales.clear();
        for (idx, row) in rows.enumerate() {
            let x = &input.data[row * input.stride..][..n_in];
            let column = &mut words[idx / S::TILE_ROWS * n_words * S::TILE_ROWS + idx % S::TILE_ROWS..];
            let source: &[u32] = match precision {
                Precision::F32 => bytemuck::cast_slice(x),
                Precision::Bf16 => {
                    let halves: &mut [u16] = bytemuck::cast_slice_mut(row_words);
                    for_each_vector(
                        simd,
                        x,
                        #[inline(always)]
                        |at, x| simd.store_bf16(x, &mut halves[at..]),
                    );
                    row_words
                }
                Precision::Int8 => {
                    self.scales.push(bytes_of_row(simd, x, bytemuck::cast_slice_mut(row_words)));
                    row_words
                }
            };
            for (out, word) in column.iter_mut().step_by(S::TILE_ROWS).zip(&source[..n_words]) {
                *out = *word;
            }
        }
    }
}

/// Writes a row as bytes, over the range of its numbers.
///
/// Zero is a whole byte: most numbers behind a GELU are next to zero, and an error that they share would add up.
#[inline(always)]
fn bytes_of_row<S: Simd>(simd: S, x: &[f32], bytes: &mut [u8]) -> RowScale {
    let zero = simd.splat(0.0);
    let least = fold(
        simd,
        x,
        zero,
        0.0,
        #[inline(always)]
        |min, x| simd.min(min, x),
    );
    let least = -simd.max_lane(simd.sub(zero, least));
    let scale = ((fold_max(simd, x).max(0.0) - least) / 255.0).max(f32::MIN_POSITIVE);
    let zero_byte = (-least / scale).round_ties_even();
    let (inverse, start) = (simd.splat(1.0 / scale), simd.splat(zero_byte));
    for_each_vector(
        simd,
        x,
        #[inline(always)]
        |at, x| simd.store_bytes(simd.mul_add(x, inverse, start), &mut bytes[at..]),
    );
    RowScale { scale, offset: -scale * zero_byte }
}
