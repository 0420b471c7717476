//! Attention: of all positions to all (the encoder), and of one position to a cache (the decoder).
//!
//! Both are made of the register tiles of [`Simd::tile`]. The encoder works on a panel of queries at a time, with
//! scores transposed, `[keys, queries]`: then the maximum and the sum over keys go down the lanes, and the
//! probabilities are a packed panel for the product with the values as they stand. Keys are taken in blocks with a
//! running maximum and sum, so the scores of one block are all that is ever stored.

use std::cell::RefCell;

use crate::arch::{InstructionSet, Kernel, Simd, dispatch};
use crate::line::Aligned;
use crate::threads::{Threads, TileMut};
use crate::vector::{exp, softmax};

/// Register tiles of keys in a block: its scores fit in the first-level cache.
const TILES_PER_BLOCK: usize = 10;
/// An upper bound of the vectors in a panel.
const MAX_PANEL_VECTORS: usize = 2;

/// Full attention within one sequence, with the memory that it needs.
pub struct Attention {
    n_ctx: usize,
    n_head: usize,
    head_dim: usize,
    keys: Aligned,   // [n_head, tiles of keys, head_dim, tile rows]
    values: Aligned, // [n_head, n_ctx, head_dim]
}

impl Attention {
    /// For sequences of `n_ctx` positions and `n_head` heads of `head_dim`.
    pub fn new(n_ctx: usize, n_head: usize, head_dim: usize) -> Self {
        let padded = n_ctx.next_multiple_of(InstructionSet::detect().tile_rows());
        let (keys, values) = (padded * n_head * head_dim, n_ctx * n_head * head_dim);
        Self { n_ctx, n_head, head_dim, keys: Aligned::zeroed(keys), values: Aligned::zeroed(values) }
    }

    /// `softmax(q · kᵀ / sqrt(head_dim)) · v` for every head.
    ///
    /// - `qkv`: `[n_ctx, 3 * n_head * head_dim]`, the queries, keys and values of a position side by side.
    /// - `out`: `[n_ctx, n_head * head_dim]`
    ///
    /// # Panics
    /// If a shape does not fit.
    pub fn run(&mut self, threads: &Threads, qkv: &[f32], out: &mut [f32]) {
        let Self { n_ctx, n_head, head_dim, .. } = *self;
        let n_state = n_head * head_dim;
        assert_eq!(qkv.len(), n_ctx * 3 * n_state, "qkv is not [n_ctx, 3 * n_state]");
        assert_eq!(out.len(), n_ctx * n_state, "out is not [n_ctx, n_state]");
        let set = InstructionSet::detect();
        let (tile_rows, panel) = (set.tile_rows(), set.tile_columns());
        let keys_len = self.keys.as_slice().len() / n_head;
        threads.for_each_chunk(self.keys.as_mut_slice(), keys_len, |head_idx, keys| {
            let first = n_state + head_idx * head_dim;
            for (idx, row) in qkv.chunks_exact(3 * n_state).enumerate() {
                let tile = &mut keys[idx / tile_rows * head_dim * tile_rows + idx % tile_rows..];
                for (out, x) in tile.iter_mut().step_by(tile_rows).zip(&row[first..first + head_dim]) {
                    *out = *x;
                }
            }
        });
        let values = &mut self.values.as_mut_slice()[..n_ctx * n_state];
        threads.for_each_chunk(values, n_ctx * head_dim, |head_idx, values| {
            let first = 2 * n_state + head_idx * head_dim;
            for (out, row) in values.chunks_exact_mut(head_dim).zip(qkv.chunks_exact(3 * n_state)) {
                out.copy_from_slice(&row[first..first + head_dim]);
            }
        });
        let (keys, values) = (self.keys.as_slice(), self.values.as_slice());
        threads.for_each_tile(out, n_state, panel, head_dim, |queries, columns, out| {
            let head_idx = columns.start / head_dim;
            let panel = QueryPanel {
                queries: &qkv[queries.start * 3 * n_state + columns.start..],
                stride: 3 * n_state,
                first: queries.start,
                n_queries: queries.len(),
                head_dim,
                keys: &keys[head_idx * keys_len..][..keys_len],
                values: &values[head_idx * n_ctx * head_dim..][..n_ctx * head_dim],
            };
            SCRATCH.with_borrow_mut(|scratch| dispatch(Attend { panel, scratch, out }));
        });
    }
}

thread_local! {
    static SCRATCH: RefCell<Aligned> = RefCell::default();
}

/// One panel of queries against all keys of one head.
struct QueryPanel<'a> {
    queries: &'a [f32], // the head's part of the first query, the others `stride` apart
    stride: usize,
    first: usize,
    n_queries: usize,
    head_dim: usize,
    keys: &'a [f32],   // [tiles of keys, head_dim, tile rows]
    values: &'a [f32], // [n_ctx, head_dim]
}

struct Attend<'a, 'out> {
    panel: QueryPanel<'a>,
    scratch: &'a mut Aligned,
    out: TileMut<'out>,
}

impl Kernel for Attend<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { panel: queries, scratch, mut out } = self;
        let (panel, head_dim) = (S::TILE_COLUMNS, queries.head_dim);
        let block = TILES_PER_BLOCK * S::TILE_ROWS;
        let scratch = scratch.at_least((2 * head_dim + block) * panel);
        let (packed, scratch) = scratch.split_at_mut(head_dim * panel); // [head_dim, panel]
        let (sums, scores) = scratch.split_at_mut(head_dim * panel); // [head_dim, panel], [block, panel]
        queries.pack(panel, packed);
        sums.fill(0.0);
        let mut running = Running::new(simd);
        let key_blocks = queries.keys.chunks(block * head_dim);
        for (keys, values) in key_blocks.zip(queries.values.chunks(block * head_dim)) {
            let n_keys = values.len() / head_dim;
            let scores = &mut scores[..n_keys * panel];
            let tiles = keys.chunks_exact(S::TILE_ROWS * head_dim);
            for (keys, scores) in tiles.zip(scores.chunks_mut(S::TILE_ROWS * panel)) {
                simd.tile(scores.len() / panel, keys, S::TILE_ROWS, packed, scores, false);
            }
            running.exponentiate(simd, scores, sums);
            add_values(simd, values, head_dim, scores, sums);
        }
        running.divide(simd, sums);
        for idx in 0..queries.n_queries {
            let out = out.row(queries.first + idx);
            for (out, sums) in out.iter_mut().zip(sums.chunks_exact(panel)) {
                *out = sums[idx];
            }
        }
    }
}

impl QueryPanel<'_> {
    /// The queries as a panel `[head_dim, panel]`, scaled by `1 / sqrt(head_dim)`.
    #[inline(always)]
    fn pack(&self, panel: usize, packed: &mut [f32]) {
        let scale = 1.0 / (self.head_dim as f32).sqrt();
        packed.fill(0.0);
        for (idx, query) in self.queries.chunks(self.stride).take(self.n_queries).enumerate() {
            for (packed, x) in packed.chunks_exact_mut(panel).zip(query) {
                packed[idx] = x * scale;
            }
        }
    }
}

/// `sums[dim, query] += sum over keys of values[key, dim] * probabilities[key, query]`
#[inline(always)]
fn add_values<S: Simd>(simd: S, values: &[f32], head_dim: usize, probabilities: &[f32], sums: &mut [f32]) {
    let n_tiles = head_dim.div_ceil(S::TILE_ROWS);
    let rows = head_dim.div_ceil(n_tiles);
    for (idx, sums) in sums.chunks_mut(rows * S::TILE_COLUMNS).enumerate() {
        let n = sums.len() / S::TILE_COLUMNS;
        simd.tile(n, &values[idx * rows..], head_dim, probabilities, sums, true);
    }
}

/// The softmax over keys that come in blocks: for each query the greatest score so far and the sum so far.
struct Running<S: Simd> {
    max: [S::F32; MAX_PANEL_VECTORS],
    sum: [S::F32; MAX_PANEL_VECTORS],
}

impl<S: Simd> Running<S> {
    const VECTORS: usize = S::TILE_COLUMNS / S::LANES;

    #[inline(always)]
    fn new(simd: S) -> Self {
        Self { max: [simd.splat(f32::MIN); MAX_PANEL_VECTORS], sum: [simd.splat(0.0); MAX_PANEL_VECTORS] }
    }

    /// Turns the scores `[keys, panel]` of a block into `exp(score - maximum so far)`, and scales what was summed
    /// before to the new maximum.
    #[inline(always)]
    fn exponentiate(&mut self, simd: S, scores: &mut [f32], sums: &mut [f32]) {
        for v in 0..Self::VECTORS {
            let lanes = v * S::LANES;
            let mut max = self.max[v];
            for row in scores.chunks_exact(S::TILE_COLUMNS) {
                max = simd.max(max, simd.load(&row[lanes..]));
            }
            let correction = exp(simd, simd.sub(self.max[v], max));
            let mut sum = simd.mul(self.sum[v], correction);
            for row in scores.chunks_exact_mut(S::TILE_COLUMNS) {
                let p = exp(simd, simd.sub(simd.load(&row[lanes..]), max));
                sum = simd.add(sum, p);
                simd.store(p, &mut row[lanes..]);
            }
            for row in sums.chunks_exact_mut(S::TILE_COLUMNS) {
                simd.store(simd.mul(simd.load(&row[lanes..]), correction), &mut row[lanes..]);
            }
            (self.max[v], self.sum[v]) = (max, sum);
        }
    }

    /// Divides `[head_dim, panel]` by the sums of the probabilities.
    #[inline(always)]
    fn divide(&self, simd: S, sums: &mut [f32]) {
        for row in sums.chunks_exact_mut(S::TILE_COLUMNS) {
            for (v, row) in row.chunks_exact_mut(S::LANES).enumerate() {
                simd.store(simd.div(simd.load(row), self.sum[v]), row);
            }
        }
    }
}

/// The keys and values of one layer for one sequence, in the order in which [`KeyValues::attend`] reads them.
#[derive(Clone)]
pub struct KeyValues {
    n_head: usize,
    head_dim: usize,
    capacity: usize,
    len: usize,
    panel: usize,
    keys: Aligned,   // [n_head, panels of positions, head_dim, panel]
    values: Aligned, // [n_head, panels of dimensions, capacity, panel]
}

impl KeyValues {
    /// Room for `capacity` positions.
    pub fn new(n_head: usize, head_dim: usize, capacity: usize) -> Self {
        let panel = InstructionSet::detect().tile_columns();
        let keys = n_head * capacity.next_multiple_of(panel) * head_dim;
        let values = n_head * head_dim.next_multiple_of(panel) * capacity;
        let (keys, values) = (Aligned::zeroed(keys), Aligned::zeroed(values));
        Self { n_head, head_dim, capacity, len: 0, panel, keys, values }
    }

    /// The number of positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds the next position: its key and its value, `[n_head * head_dim]` each.
    ///
    /// # Panics
    /// If there is no room, or a length does not fit.
    pub fn push(&mut self, key: &[f32], value: &[f32]) {
        let Self { n_head, head_dim, capacity, len, panel, .. } = *self;
        assert!(len < capacity, "all {capacity} positions are taken");
        assert!(
            key.len() == n_head * head_dim && value.len() == key.len(),
            "key and value are not [n_state]"
        );
        let keys_len = capacity.next_multiple_of(panel) * head_dim;
        let heads = self.keys.as_mut_slice().chunks_exact_mut(keys_len);
        for (keys, key) in heads.zip(key.chunks_exact(head_dim)) {
            let column = &mut keys[len / panel * panel * head_dim + len % panel..];
            column.iter_mut().step_by(panel).zip(key).for_each(|(out, x)| *out = *x);
        }
        let values_len = capacity * head_dim.next_multiple_of(panel);
        let heads = self.values.as_mut_slice().chunks_exact_mut(values_len);
        for (values, value) in heads.zip(value.chunks_exact(head_dim)) {
            for (values, value) in values.chunks_exact_mut(capacity * panel).zip(value.chunks(panel)) {
                values[len * panel..][..value.len()].copy_from_slice(value);
            }
        }
        self.len += 1;
    }

    /// Attention of one query to the first `len` positions: `softmax(q · kᵀ / sqrt(head_dim)) · v` of one head.
    ///
    /// - `query`, `out`: `[head_dim]`
    ///
    /// # Panics
    /// If so many positions are not held, or a length does not fit.
    pub fn attend(&self, head_idx: usize, len: usize, query: &[f32], out: &mut [f32]) {
        assert!((1..=self.len).contains(&len), "{len} positions of {} cannot be attended to", self.len);
        assert!(head_idx < self.n_head, "there is no head {head_idx}");
        assert!([query.len(), out.len()] == [self.head_dim; 2], "query and out are not [head_dim]");
        SCRATCH.with_borrow_mut(|scratch| {
            dispatch(AttendHead { query, cache: self, head_idx, len, scratch, out });
        });
    }

    /// Forgets all positions from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

struct AttendHead<'a> {
    query: &'a [f32], // [head_dim]
    cache: &'a KeyValues,
    head_idx: usize,
    len: usize,
    scratch: &'a mut Aligned,
    out: &'a mut [f32], // [head_dim]
}

impl Kernel for AttendHead<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let KeyValues { head_dim, capacity, panel, ref keys, ref values, .. } = *self.cache;
        let n_panels = self.len.div_ceil(panel);
        let scratch = self.scratch.at_least(n_panels * panel + head_dim + panel);
        let (scores, scratch) = scratch.split_at_mut(n_panels * panel);
        let (scaled, sums) = scratch.split_at_mut(head_dim);
        let scale = 1.0 / (head_dim as f32).sqrt();
        for (out, x) in scaled.iter_mut().zip(self.query) {
            *out = x * scale;
        }
        let keys_len = capacity.next_multiple_of(panel) * head_dim;
        let keys = keys.as_slice()[self.head_idx * keys_len..].chunks_exact(head_dim * panel);
        for (scores, keys) in scores.chunks_exact_mut(panel).zip(keys) {
            simd.tile(1, scaled, 1, keys, scores, false);
        }
        let scores = &mut scores[..self.len];
        softmax(scores);
        let values_len = capacity * head_dim.next_multiple_of(panel);
        let values = values.as_slice()[self.head_idx * values_len..].chunks_exact(capacity * panel);
        for (out, values) in self.out.chunks_mut(panel).zip(values) {
            simd.tile(1, scores, 1, values, sums, false);
            out.copy_from_slice(&sums[..out.len()]);
        }
    }
}

#[cfg(test)]
mod tests;
