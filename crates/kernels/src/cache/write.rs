//! Rows of keys and values on their way into a cache.

use std::ops::Range;

use super::{MAX_PANEL, Number, Shape};
use crate::MAX_HEAD_DIM;
use crate::arch::{Kernel, Simd, dispatch};
use crate::threads::{Threads, TileMut};
use crate::transpose::transpose;

/// Finds what a step of each dimension is worth where bytes hold the keys and values of some rows.
///
/// - `rows`: `[n, 2, n_head, head_dim]`
/// - `keys`, `values`: `[n_head, head_dim]`
pub(super) fn scales(threads: &Threads, rows: &[f32], keys: &mut [f32], values: &mut [f32]) {
    let n_state = keys.len();
    let width = n_state.div_ceil(threads.count()).next_multiple_of(MAX_PANEL);
    for (part, scales) in [keys, values].into_iter().enumerate() {
        threads.for_each_chunk(scales, width, |idx, scales| {
            let rows = &rows[part * n_state + idx * width..];
            dispatch(Scales { rows, stride: 2 * n_state, scales });
        });
    }
}

/// A part of rows that are `stride` apart.
struct Scales<'a> {
    rows: &'a [f32],
    stride: usize,
    scales: &'a mut [f32],
}

impl Kernel for Scales<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { rows, stride, scales } = self;
        scales.fill(f32::MIN_POSITIVE);
        for row in rows.chunks(stride) {
            scales.iter_mut().zip(row).for_each(|(max, x)| *max = max.max(x.abs()));
        }
        scales.iter_mut().for_each(|scale| *scale /= 127.0);
    }
}

/// Rows of keys and values.
pub(super) struct Rows<'a> {
    pub(super) first: usize,    // position
    pub(super) rows: &'a [f32], // [n, 2, n_head, head_dim]
    pub(super) shape: Shape,
    pub(super) key_scales: &'a [f32],   // [n_head, head_dim]
    pub(super) value_scales: &'a [f32], // [n_head, head_dim]
}

impl Rows<'_> {
    /// Positions below which it is not worth the while of other threads.
    const FEW: usize = 8;

    /// Writes the rows. A task takes positions, not heads: rows are read as they stand in memory.
    pub(super) fn write<N: Number>(&self, threads: &Threads, keys: &mut [N], values: &mut [N]) {
        let Shape { n_head, head_dim, capacity, panel } = self.shape;
        let (keys_len, values_len) = (self.shape.keys_len(), capacity * panel);
        let n_value_panels = n_head * head_dim.div_ceil(panel);
        let keys = &mut keys[..n_head * keys_len];
        let values = &mut values[..n_value_panels * values_len];
        if self.rows.len() < Self::FEW * 2 * n_head * head_dim {
            let (first, tile) = (0, TileMut::whole(keys, keys_len));
            dispatch(WriteKeys { rows: self, positions: self.positions(), first, tile });
            let (first, tile) = (0, TileMut::whole(values, values_len));
            dispatch(WriteValues { rows: self, positions: self.positions(), first, tile });
            return;
        }
        threads.for_each_tile(keys, keys_len, n_head, panel * head_dim, |_, columns, tile| {
            let (first, positions) = self.within(columns.start / head_dim..columns.end / head_dim);
            dispatch(WriteKeys { rows: self, positions, first, tile });
        });
        threads.for_each_tile(values, values_len, n_value_panels, panel * panel, |_, columns, tile| {
            let (first, positions) = self.within(columns.start / panel..columns.end / panel);
            dispatch(WriteValues { rows: self, positions, first, tile });
        });
    }

    fn positions(&self) -> Range<usize> {
        let Shape { n_head, head_dim, .. } = self.shape;
        self.first..self.first + self.rows.len() / (2 * n_head * head_dim)
    }

    /// The first position of a tile, and those that are to be written there.
    fn within(&self, tile: Range<usize>) -> (usize, Range<usize>) {
        let Range { start, end } = self.positions();
        (tile.start, start.max(tile.start)..end.min(tile.end))
    }

    /// The rows from a position on.
    #[inline(always)]
    fn from(&self, position: usize) -> impl Iterator<Item = &[f32]> {
        let len = 2 * self.shape.n_head * self.shape.head_dim;
        self.rows[(position - self.first) * len..].chunks_exact(len)
    }
}

struct WriteKeys<'a, 'out, N> {
    rows: &'a Rows<'a>,
    positions: Range<usize>,
    first: usize,           // position of the tile
    tile: TileMut<'out, N>, // [n_head, (panels of positions, head_dim, panel)]
}

impl<N: Number> Kernel for WriteKeys<'_, '_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { rows, positions, first, mut tile } = self;
        let Shape { n_head, head_dim, panel, .. } = rows.shape;
        let mut converted = [N::default(); MAX_PANEL * MAX_HEAD_DIM];
        let mut position = positions.start;
        while position < positions.end {
            let in_panel = position % panel;
            let n = (panel - in_panel).min(positions.end - position);
            for head_idx in 0..n_head {
                let dims = head_idx * head_dim..(head_idx + 1) * head_dim;
                let inverses = inverses(&rows.key_scales[dims.clone()]);
                for (row, converted) in rows.from(position).take(n).zip(converted.chunks_exact_mut(head_dim))
                {
                    N::write(&row[dims.clone()], &inverses[..head_dim], converted);
                }
                let at = (position - first) / panel * panel * head_dim + in_panel;
                transpose(&converted, (n, head_dim), head_dim, &mut tile.row(head_idx)[at..], panel);
            }
            position += n;
        }
    }
}

struct WriteValues<'a, 'out, N> {
    rows: &'a Rows<'a>,
    positions: Range<usize>,
    first: usize,           // position of the tile
    tile: TileMut<'out, N>, // [(n_head, panels of dimensions), (positions, panel)]
}

impl<N: Number> Kernel for WriteValues<'_, '_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { rows, positions, first, mut tile } = self;
        let Shape { n_head, head_dim, panel, .. } = rows.shape;
        if positions.is_empty() {
            return;
        }
        let n_panels = head_dim.div_ceil(panel);
        for panel_idx in 0..n_head * n_panels {
            let (head_idx, in_head) = (panel_idx / n_panels, panel_idx % n_panels * panel);
            let start = head_idx * head_dim + in_head;
            let dims = start..start + panel.min(head_dim - in_head);
            let inverses = inverses(&rows.value_scales[dims.clone()]);
            let values = tile.row(panel_idx)[(positions.start - first) * panel..].chunks_exact_mut(panel);
            for (values, row) in values.zip(rows.from(positions.start)).take(positions.len()) {
                let row = &row[n_head * head_dim..][dims.clone()];
                N::write(row, &inverses[..row.len()], &mut values[..row.len()]);
            }
        }
    }
}

fn inverses(scales: &[f32]) -> [f32; MAX_HEAD_DIM] {
    let mut inverses = [0.0; MAX_HEAD_DIM];
    inverses.iter_mut().zip(scales).for_each(|(inverse, scale)| *inverse = 1.0 / scale);
    inverses
}
