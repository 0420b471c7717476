//! Matrix products: linear layers over packed weights.
//!
//! Weights are packed once into panels: `[n_panels, n_in, panel]`, where a panel is as wide as the register tile of
//! the instruction set. A task packs the rows of its part of the input the same way, `[n_in, tile rows]`, so that the
//! inner loop reads both in order. Tall inputs (the encoder) are cut by rows, thin ones (the decoder) by panels.

use std::cell::RefCell;
use std::ops::Range;

use crate::arch::{InstructionSet, Kernel, Simd, run_on};
use crate::line::Aligned;
use crate::threads::{Threads, TileMut};
use crate::vector::gelu_vector;

/// Rows that a task packs at once, in register tiles: with 2048 inputs they take half of a second-level cache.
const TILES_PER_TASK: usize = 5;
/// An upper bound of `TILE_ROWS * TILE_COLUMNS`.
const MAX_TILE: usize = 12 * 32;

/// The weights `[n_out, n_in]` of a linear layer, packed for this CPU.
pub struct Weights {
    n_out: usize,
    n_in: usize,
    set: InstructionSet,
    panels: Aligned, // [n_out.div_ceil(panel), n_in, panel], zeros beyond n_out
}

impl Weights {
    /// Packs a row-major `[n_out, n_in]` matrix.
    ///
    /// # Panics
    /// If `weights` has another length.
    pub fn pack(weights: &[f32], n_out: usize, n_in: usize) -> Self {
        Self::pack_for(InstructionSet::detect(), weights, n_out, n_in)
    }

    fn pack_for(set: InstructionSet, weights: &[f32], n_out: usize, n_in: usize) -> Self {
        assert_eq!(weights.len(), n_out * n_in, "the weights are not [n_out, n_in]");
        let panel = set.tile_columns();
        let mut panels = Aligned::zeroed(n_out.div_ceil(panel) * n_in * panel);
        let rows = weights.chunks_exact(panel * n_in).chain([weights.chunks_exact(panel * n_in).remainder()]);
        for (rows, packed) in rows.zip(panels.as_mut_slice().chunks_exact_mut(n_in * panel)) {
            pack_columns(rows, n_in, panel, packed);
        }
        Self { n_out, n_in, set, panels }
    }

    /// The number of outputs: rows of the matrix.
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// The number of inputs: columns of the matrix.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// Reads one row of the matrix back, `[n_in]`: the embedding of a token, where the layer is an embedding too.
    ///
    /// # Panics
    /// If there is no such row, or `out` is not as long as a row.
    pub fn row(&self, idx: usize, out: &mut [f32]) {
        assert!(idx < self.n_out && out.len() == self.n_in, "no such row, or out is not one row");
        let panel = self.set.tile_columns();
        let packed = self.panel(idx / panel);
        for (out, column) in out.iter_mut().zip(packed.chunks_exact(panel)) {
            *out = column[idx % panel];
        }
    }

    fn panel(&self, idx: usize) -> &[f32] {
        let len = self.n_in * self.set.tile_columns();
        &self.panels.as_slice()[idx * len..][..len]
    }
}

/// Turns up to `width` rows `[rows, n_in]` into columns `[n_in, width]`; columns without a row stay as they are.
fn pack_columns(rows: &[f32], n_in: usize, width: usize, out: &mut [f32]) {
    for (column_idx, row) in rows.chunks_exact(n_in).enumerate() {
        for (out, x) in out.chunks_exact_mut(width).zip(row) {
            out[column_idx] = *x;
        }
    }
}

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
    assert_eq!(out.len(), n_rows * weights.n_out, "out is not [n_rows, n_out]");
    assert!(bias.as_ref().is_none_or(|b| b.len() == weights.n_out), "the bias is not [n_out]");
    if n_rows == 0 {
        return;
    }
    assert!((n_rows - 1) * stride + weights.n_in <= data.len(), "the input is shorter than its rows");
    let tile_rows = weights.set.tile_rows();
    let panel = weights.set.tile_columns();
    let n_tiles = n_rows.div_ceil(tile_rows);
    let (rows, columns) = if n_tiles >= 4 * threads.count() {
        let n_tasks = n_tiles.div_ceil(TILES_PER_TASK).next_multiple_of(threads.count());
        (n_tiles.div_ceil(n_tasks) * tile_rows, weights.n_out)
    } else {
        let n_panels = weights.n_out.div_ceil(panel);
        (n_rows, n_panels.div_ceil(4 * threads.count()).max(1) * panel)
    };
    threads.for_each_tile(out, weights.n_out, rows, columns, |rows, columns, out| {
        PACKED_ROWS.with_borrow_mut(|packed| {
            let finish = Finish { bias: bias.as_deref(), epilogue, columns, out };
            run_on(weights.set, Block { input, weights, rows, packed, finish });
        });
    });
}

thread_local! {
    /// The packed rows of the task at hand.
    static PACKED_ROWS: RefCell<Aligned> = RefCell::default();
}

/// A task: some rows of the input times some panels of the weights.
struct Block<'a, 'out> {
    input: Input<'a>,
    weights: &'a Weights,
    rows: Range<usize>,
    packed: &'a mut Aligned,
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
        let Self { input, weights, rows, packed, mut finish } = self;
        let tile_len = weights.n_in * S::TILE_ROWS;
        let packed = packed.at_least(rows.len().div_ceil(S::TILE_ROWS) * tile_len);
        for (idx, packed) in packed.chunks_exact_mut(tile_len).enumerate() {
            pack_tile(input, tile_rows::<S>(&rows, idx), weights.n_in, S::TILE_ROWS, packed);
        }
        let columns = &finish.columns;
        let panels = columns.start / S::TILE_COLUMNS..columns.end.div_ceil(S::TILE_COLUMNS);
        let mut sums = [0.0; MAX_TILE];
        for panel_idx in panels {
            let panel = weights.panel(panel_idx);
            for (idx, packed) in packed.chunks_exact(tile_len).enumerate() {
                let rows = tile_rows::<S>(&rows, idx);
                simd.tile(rows.len(), packed, S::TILE_ROWS, panel, &mut sums, false);
                for (row, sums) in rows.zip(sums.chunks_exact_mut(S::TILE_COLUMNS)) {
                    finish.store(simd, row, panel_idx * S::TILE_COLUMNS, sums);
                }
            }
        }
    }
}

/// The rows of one register tile of a task.
#[inline(always)]
fn tile_rows<S: Simd>(rows: &Range<usize>, tile_idx: usize) -> Range<usize> {
    let start = rows.start + tile_idx * S::TILE_ROWS;
    start..(start + S::TILE_ROWS).min(rows.end)
}

/// Turns up to `width` rows of the input into columns `[n_in, width]`.
#[inline(always)]
fn pack_tile(input: Input<'_>, rows: Range<usize>, n_in: usize, width: usize, out: &mut [f32]) {
    for (column_idx, row) in rows.enumerate() {
        let row = &input.data[row * input.stride..][..n_in];
        for (out, x) in out.chunks_exact_mut(width).zip(row) {
            out[column_idx] = *x;
        }
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
