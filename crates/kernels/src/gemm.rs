//! Matrix products: linear layers over packed weights.
//!
//! Weights are packed once, see [`Weights`]. A task packs the rows of its part of the input the same way, so that the
//! inner loop reads both in order. Tall inputs (the encoder) are cut by rows, thin ones (the decoder) by panels.

mod rows;
mod weights;

use std::cell::RefCell;
use std::ops::Range;

use crate::arch::{self, Kernel, Product, Simd, run_on};
use crate::threads::{Threads, TileMut};
use crate::vector::gelu_vector;
use rows::{PackedRows, RowScale};

pub use weights::{Precision, Weights};

/// Rows that a task packs at once, in register tiles: with 2048 inputs they take half of a second-level cache.
const TILES_PER_TASK: usize = 5;
/// An upper bound of `TILE_ROWS * TILE_COLUMNS`.
const MAX_TILE: usize = 12 * 32;

/// What happens to a product before it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epilogue {
    /// `out = x · wᵀ + bias`
    Store,
    /// `out = gelu(x · wᵀ + bias)`
    Gelu,
    /// `out += x · wᵀ + bias`: the residual connection.
    Add,
}

/// The input of a linear layer: rows of `n_in` numbers each, `stride` apart. Rows may overlap: that is a convolution.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The numbers; the last row ends within them.
    pub data: &'a [f32],
    /// How many rows.
    pub n_rows: usize,
    /// From the start of one row to the start of the next.
    pub stride: usize,
}

impl<'a> Input<'a> {
    /// A row-major matrix `[n_rows, n_columns]`.
    ///
    /// # Panics
    /// If `data` is not a multiple of `n_columns`.
    pub fn matrix(data: &'a [f32], n_columns: usize) -> Self {
        assert!(data.len().is_multiple_of(n_columns), "the input is not a matrix of {n_columns} columns");
        Self { data, n_rows: data.len() / n_columns, stride: n_columns }
    }
}

/// A linear layer: weights and, if it has one, the bias `[n_out]`.
pub struct Linear {
    /// The packed matrix.
    pub weights: Weights,
    /// Added to every row of the result.
    pub bias: Option<Vec<f32>>,
}

/// Computes a linear layer for all rows of the input: `out` is `[n_rows, n_out]`, row-major.
///
/// # Panics
/// If a shape does not fit.
pub fn linear(threads: &Threads, input: Input<'_>, layer: &Linear, epilogue: Epilogue, out: &mut [f32]) {
    let Linear { weights, bias } = layer;
    let Input { data, n_rows, stride } = input;
    let n_out = weights.n_out();
    assert_eq!(out.len(), n_rows * n_out, "out is not [n_rows, n_out]");
    assert!(bias.as_ref().is_none_or(|b| b.len() == n_out), "the bias is not [n_out]");
    if n_rows == 0 {
        return;
    }
    assert!((n_rows - 1) * stride + weights.n_in() <= data.len(), "the input is shorter than its rows");
    let (tile_rows, panel) = (weights.set().tile_rows(), weights.set().tile_columns());
    let n_tiles = n_rows.div_ceil(tile_rows);
    let (rows, columns) = if n_tiles >= 4 * threads.count() {
        let n_tasks = n_tiles.div_ceil(TILES_PER_TASK).next_multiple_of(threads.count());
        (n_tiles.div_ceil(n_tasks) * tile_rows, n_out)
    } else {
        let n_panels = n_out.div_ceil(panel);
        (n_rows, n_panels.div_ceil(4 * threads.count()).max(1) * panel)
    };
    threads.for_each_tile(out, n_out, rows, columns, |rows, columns, out| {
        PACKED_ROWS.with_borrow_mut(|packed| {
            let finish = Finish { bias: bias.as_deref(), epilogue, columns, out };
            run_on(weights.set(), Block { input, weights, rows, packed, finish });
        });
    });
}

thread_local! {
    /// The packed rows of the task at hand.
    static PACKED_ROWS: RefCell<PackedRows> = RefCell::default();
}

/// A task: some rows of the input times some panels of the weights.
struct Block<'a, 'out> {
    input: Input<'a>,
    weights: &'a Weights,
    rows: Range<usize>,
    packed: &'a mut PackedRows,
    finish: Finish<'a, 'out>,
}

/// What becomes of the sums of a task.
struct Finish<'a, 'out> {
    bias: Option<&'a [f32]>,
    epilogue: Epilogue,
    columns: Range<usize>, // starts at a panel
    out: TileMut<'out>,
}

impl Kernel for Block<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.weights.precision() {
            Precision::F32 => self.multiply::<S, arch::F32>(simd),
            Precision::Bf16 => self.multiply::<S, arch::Bf16>(simd),
            Precision::Int8 => self.multiply::<S, arch::Bytes>(simd),
        }
    }
}

impl Block<'_, '_> {
    #[inline(always)]
    fn multiply<S: Simd, P: Product>(self, simd: S) {
        let Self { input, weights, rows, packed, mut finish } = self;
        packed.pack(simd, input, rows.clone(), weights.n_in(), weights.precision());
        let tile_len = weights.n_words() * S::TILE_ROWS;
        let columns = &finish.columns;
        let panels = columns.start / S::TILE_COLUMNS..columns.end.div_ceil(S::TILE_COLUMNS);
        let mut sums = [0; MAX_TILE];
        for panel_idx in panels {
            let (panel, column) = (weights.panel(panel_idx), panel_idx * S::TILE_COLUMNS);
            for (idx, tile) in packed.tiles(tile_len).enumerate() {
                let first = idx * S::TILE_ROWS;
                let n_rows = S::TILE_ROWS.min(rows.len() - first);
                simd.tile::<P>(n_rows, tile, S::TILE_ROWS, panel, &mut sums, false);
                for (idx, sums) in (first..first + n_rows).zip(sums.chunks_exact_mut(S::TILE_COLUMNS)) {
                    if weights.precision() == Precision::Int8 {
                        let (scales, totals) = weights.scales();
                        scale(simd, sums, packed.scales[idx], &scales[column..], &totals[column..]);
                    }
                    finish.store(simd, rows.start + idx, column, bytemuck::cast_slice_mut(sums));
                }
            }
        }
    }
}

/// Turns sums of products of bytes into the numbers that they stand for, in place.
///
/// With `x = offset + scale * byte` and `w = weight_scale * step`, the sum of `x * w` is
/// `weight_scale * (scale * sum of byte * step + offset * sum of steps)`.
#[inline(always)]
fn scale<S: Simd>(simd: S, sums: &mut [u32], row: RowScale, weight_scales: &[f32], totals: &[f32]) {
    let (row_scale, offset) = (simd.splat(row.scale), simd.splat(row.offset));
    for (v, sums) in sums.chunks_exact_mut(S::LANES).enumerate() {
        let at = v * S::LANES;
        let sum = simd.mul(simd.to_f32(simd.load_words(sums)), row_scale);
        let sum = simd.mul_add(simd.load(&totals[at..]), offset, sum);
        simd.store(simd.mul(sum, simd.load(&weight_scales[at..])), bytemuck::cast_slice_mut(sums));
    }
}

impl Finish<'_, '_> {
    /// Finishes one row of a tile, `[TILE_COLUMNS]`, and writes as much of it as the layer has outputs.
    #[inline(always)]
    fn store<S: Simd>(&mut self, simd: S, row: usize, column: usize, sums: &mut [f32]) {
        let n = S::TILE_COLUMNS.min(self.columns.end - column);
        if let Some(bias) = self.bias {
            for (sum, bias) in sums.iter_mut().zip(&bias[column..column + n]) {
                *sum += bias;
            }
        }
        let out = &mut self.out.row(row)[column - self.columns.start..][..n];
        match self.epilogue {
            Epilogue::Store => out.copy_from_slice(&sums[..n]),
            Epilogue::Add => {
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out += *sum;
                }
            }
            Epilogue::Gelu => {
                for sums in sums.chunks_exact_mut(S::LANES) {
                    simd.store(gelu_vector(simd, simd.load(sums)), sums);
                }
                out.copy_from_slice(&sums[..n]);
            }
        }
    }
}

#[cfg(test)]
mod tests;
