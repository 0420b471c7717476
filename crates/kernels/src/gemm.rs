//! Matrix products: linear layers over packed weights.
//!
//! Weights are packed once, see [`Weights`]. Inputs are packed the same way, so that the inner loop reads both in order:
//! tall ones (the encoder's) are cut by rows, which each task packs for itself, thin ones (the decoder's) by panels.

mod coarse;
mod normed;
mod rows;
mod weights;

use std::cell::RefCell;
use std::ops::Range;

use crate::arch::{self, Kernel, Operands, Product, Simd, run_on};
use crate::threads::{Threads, TileMut};
use crate::vector::{gelu_rough, gelu_vector};
use rows::{PackedRows, RowScale};

pub use coarse::Coarse;
pub use normed::{mlp, normed_linear};
pub use weights::{Precision, Weights, Words};

/// Rows that a task of a tall product takes at most. Each task reads all weights, so with far fewer it waits for those;
/// with more, its packed rows do not stay in a second-level cache.
const ROWS_PER_TASK: usize = 256;
/// Words of packed rows that a task takes at most: 1 MiB.
const WORDS_PER_TASK: usize = 1 << 18;
/// An upper bound of `TILE_COLUMNS`.
const MAX_COLUMNS: usize = 32;
/// An upper bound of `TILE_ROWS * TILE_COLUMNS`.
const MAX_TILE: usize = 32 * MAX_COLUMNS;

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

/// A linear layer: packed weights and a bias.
pub struct Linear {
    weights: Weights,
    bias: Vec<f32>, // up to a whole panel, with zeros behind
}

impl Linear {
    /// A layer that adds `bias`, `[n_out]`, to every row of its result.
    ///
    /// # Panics
    /// If the bias has another length.
    pub fn new(weights: Weights, mut bias: Vec<f32>) -> Self {
        assert_eq!(bias.len(), weights.n_out(), "the bias is not [n_out]");
        bias.resize(weights.n_out().next_multiple_of(weights.tile().columns), 0.0);
        Self { weights, bias }
    }

    /// A layer that adds nothing.
    pub fn without_bias(weights: Weights) -> Self {
        let bias = vec![0.0; weights.n_out()];
        Self::new(weights, bias)
    }

    /// The packed matrix.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }
}

/// Computes a linear layer for all rows of the input: `out` is `[n_rows, n_out]`, row-major.
///
/// # Panics
/// If a shape does not fit.
pub fn linear(threads: &Threads, input: Input<'_>, layer: &Linear, epilogue: Epilogue, out: &mut [f32]) {
    let weights = &layer.weights;
    let Input { data, n_rows, stride } = input;
    let n_out = weights.n_out();
    assert_eq!(out.len(), n_rows * n_out, "out is not [n_rows, n_out]");
    if n_rows == 0 {
        return;
    }
    assert!((n_rows - 1) * stride + weights.n_in() <= data.len(), "the input is shorter than its rows");
    if n_rows.div_ceil(weights.tile().rows) >= 2 * threads.count() {
        let rows = rows_per_task(threads, n_rows, weights, ROWS_PER_TASK);
        threads.for_each_tile(out, n_out, rows, n_out, |rows, columns, out| {
            PACKED_ROWS.with_borrow_mut(|packed| {
                packed
                    .pack(Input { data: &data[rows.start * stride..], n_rows: rows.len(), stride }, weights);
                multiply(packed, layer, Finish::new(layer, epilogue, rows, columns, out));
            });
        });
        return;
    }
    // Not borrowed, as that would be for as long as other threads work.
    let mut packed = PACKED_ROWS.take();
    packed.pack(input, weights);
    let columns = columns_per_task(threads, n_out, weights);
    threads.for_each_tile(out, n_out, n_rows, columns, |rows, columns, out| {
        multiply(&packed, layer, Finish::new(layer, epilogue, rows, columns, out));
    });
    PACKED_ROWS.set(packed);
}

/// The columns of a task, whole panels, of a thin product.
fn columns_per_task(threads: &Threads, n_out: usize, weights: &Weights) -> usize {
    let panel = weights.tile().columns;
    n_out.div_ceil(panel).div_ceil(4 * threads.count()).max(1) * panel
}

/// The rows of a task, `at_most` or less, whole tiles: so few that all threads have as much to do.
fn rows_per_task(threads: &Threads, n_rows: usize, weights: &Weights, at_most: usize) -> usize {
    let tile = weights.tile();
    let at_most = at_most.min(WORDS_PER_TASK / weights.n_words());
    let n_tiles = n_rows.div_ceil(tile.rows).max(1);
    let n_tasks = n_tiles.div_ceil((at_most / tile.rows).max(1)).next_multiple_of(threads.count());
    n_tiles.div_ceil(n_tasks) * tile.rows
}

thread_local! {
    /// The packed rows of the product at hand.
    static PACKED_ROWS: RefCell<PackedRows> = RefCell::default();
}

/// Multiplies rows that are packed for a layer with some panels of its weights.
fn multiply(rows: &PackedRows, layer: &Linear, finish: Finish<'_, '_>) {
    let weights = &layer.weights;
    run_on(weights.set(), Block { rows, weights, finish });
}

/// A task: some rows times some panels of the weights.
struct Block<'a, 'out> {
    rows: &'a PackedRows,
    weights: &'a Weights,
    finish: Finish<'a, 'out>,
}

/// What becomes of the sums of a task.
struct Finish<'a, 'out> {
    bias: &'a [f32],
    epilogue: Epilogue,
    first_row: usize,      // of `out`
    columns: Range<usize>, // starts at a panel
    out: TileMut<'out>,
}

impl<'a, 'out> Finish<'a, 'out> {
    /// The sums become the part of these rows and columns of a matrix.
    fn new(
        layer: &'a Linear,
        epilogue: Epilogue,
        rows: Range<usize>,
        columns: Range<usize>,
        out: TileMut<'out>,
    ) -> Self {
        Self { bias: &layer.bias, epilogue, first_row: rows.start, columns, out }
    }
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
    fn multiply<S: Simd, P: Factor>(self, simd: S) {
        let Self { rows, weights, mut finish } = self;
        let stride = S::TILE_ROWS * S::TILE_STEPS;
        let tile_len = weights.n_words() * S::TILE_ROWS;
        let panels = finish.columns.start / S::TILE_COLUMNS..finish.columns.end.div_ceil(S::TILE_COLUMNS);
        let scales = weights.scales();
        let mut sums = [0; MAX_TILE];
        simd.prepare_tiles();
        for panel_idx in panels {
            let (panel, column) = (weights.panel(panel_idx), panel_idx * S::TILE_COLUMNS);
            for (idx, tile) in rows.tiles(tile_len).enumerate() {
                let first = idx * S::TILE_ROWS;
                let n_rows = S::TILE_ROWS.min(rows.n_rows() - first);
                let operands =
                    Operands { rows: n_rows, a: tile, a_stride: stride, b: panel, b_is_far: first == 0 };
                simd.tile::<P>(operands, &mut sums, false);
                for (idx, sums) in (first..first + n_rows).zip(sums.chunks_exact(S::TILE_COLUMNS)) {
                    let products = Products { sums, row: rows.scale(idx), scales, column };
                    finish.store::<S, P>(simd, idx, &products);
                }
            }
        }
    }
}

/// One row of a tile, as the products left it.
struct Products<'a> {
    sums: &'a [u32], // [TILE_COLUMNS]
    row: RowScale,
    scales: (&'a [f32], &'a [f32]), // see `Weights::scales`
    column: usize,                  // of the first
}

/// The factors of a linear layer: how the numbers that their sums stand for are found, and how exact a GELU must be.
trait Factor: Product {
    /// The vector of numbers at `at` in a row of a tile, with the bias.
    fn numbers<S: Simd>(simd: S, products: &Products<'_>, at: usize, bias: S::F32) -> S::F32;
    /// GELU as exact as the factors are.
    fn gelu<S: Simd>(simd: S, x: S::F32) -> S::F32;
}

impl Factor for arch::F32 {
    #[inline(always)]
    fn numbers<S: Simd>(simd: S, products: &Products<'_>, at: usize, bias: S::F32) -> S::F32 {
        simd.add(simd.as_f32(simd.load_words(&products.sums[at..])), bias)
    }

    #[inline(always)]
    fn gelu<S: Simd>(simd: S, x: S::F32) -> S::F32 {
        gelu_vector(simd, x)
    }
}

impl Factor for arch::Bf16 {
    #[inline(always)]
    fn numbers<S: Simd>(simd: S, products: &Products<'_>, at: usize, bias: S::F32) -> S::F32 {
        arch::F32::numbers(simd, products, at, bias)
    }

    #[inline(always)]
    fn gelu<S: Simd>(simd: S, x: S::F32) -> S::F32 {
        gelu_rough(simd, x)
    }
}

impl Factor for arch::Bytes {
    /// With `x = offset + scale * byte` and `w = weight_scale * step`, the sum of `x * w` is
    /// `weight_scale * scale * sum of byte * step + offset * sum of w`.
    #[inline(always)]
    fn numbers<S: Simd>(simd: S, products: &Products<'_>, at: usize, bias: S::F32) -> S::F32 {
        let Products { sums, row, scales: (scales, totals), column } = products;
        let scale = simd.mul(simd.load(&scales[column + at..]), simd.splat(row.scale));
        let rest = simd.mul_add(simd.load(&totals[column + at..]), simd.splat(row.offset), bias);
        simd.mul_add(simd.to_f32(simd.load_words(&sums[at..])), scale, rest)
    }

    #[inline(always)]
    fn gelu<S: Simd>(simd: S, x: S::F32) -> S::F32 {
        gelu_rough(simd, x)
    }
}

impl Finish<'_, '_> {
    /// Finishes the row at `row` of the task and writes as much of it as the layer has outputs.
    #[inline(always)]
    fn store<S: Simd, P: Factor>(&mut self, simd: S, row: usize, products: &Products<'_>) {
        let column = products.column;
        let n = S::TILE_COLUMNS.min(self.columns.end - column);
        let bias = &self.bias[column..column + S::TILE_COLUMNS];
        let out = &mut self.out.row(self.first_row + row)[column - self.columns.start..][..n];
        if n == S::TILE_COLUMNS {
            return finish_row::<S, P>(simd, self.epilogue, products, bias, out);
        }
        let mut padded = [0.0; MAX_COLUMNS];
        padded[..n].copy_from_slice(out);
        finish_row::<S, P>(simd, self.epilogue, products, bias, &mut padded[..S::TILE_COLUMNS]);
        out.copy_from_slice(&padded[..n]);
    }
}

/// Bias, scale and epilogue for one row of a tile, `[TILE_COLUMNS]`.
#[inline(always)]
fn finish_row<S: Simd, P: Factor>(
    simd: S,
    epilogue: Epilogue,
    products: &Products<'_>,
    bias: &[f32],
    out: &mut [f32],
) {
    for (v, out) in out.chunks_exact_mut(S::LANES).enumerate() {
        let at = v * S::LANES;
        let x = P::numbers(simd, products, at, simd.load(&bias[at..]));
        let x = match epilogue {
            Epilogue::Store => x,
            Epilogue::Gelu => P::gelu(simd, x),
            Epilogue::Add => simd.add(simd.load(out), x),
        };
        simd.store(x, out);
    }
}

#[cfg(test)]
mod tests;
