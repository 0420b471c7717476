//! Keys and values of one layer for one sequence, and attention of one query to them: the decoder's.

mod write;

use std::cell::RefCell;
use std::ops::Range;

use half::slice::HalfFloatSliceExt;

use crate::MAX_HEAD_DIM;
use crate::arch::{InstructionSet, Kernel, Simd, dispatch};
use crate::line::Aligned;
use crate::threads::Threads;
use crate::vector::{softmax, steps};
use write::Rows;

/// The numbers that a cache is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachePrecision {
    /// 32 bits.
    F32,
    /// 16 bits, half precision: what is read from it is computed with in f32.
    F16,
    /// Bytes, scaled by dimension over all positions, which come at once: see [`KeyValues::fill`].
    Int8,
}

/// The keys and values of one layer for one sequence.
///
/// Both stand in panels as wide as a register tile, so that they are read from start to end: keys as
/// `[n_head, panels of positions, head_dim, panel]`, values as `[n_head, panels of dimensions, capacity, panel]`. Memory
/// grows with what is held: few windows have as many tokens as a model could write.
pub struct KeyValues {
    shape: Shape,
    limit: usize, // of positions
    len: usize,
    keys: Numbers,
    values: Numbers,
    key_scales: Vec<f32>, // [n_head, head_dim]: what a step of a dimension is worth; 1 but for bytes
    value_scales: Vec<f32>, // [n_head, head_dim]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    n_head: usize,
    head_dim: usize,
    capacity: usize, // positions that there is memory for
    panel: usize,
}

/// Positions that memory is taken for at first.
const FIRST_CAPACITY: usize = 64;

impl Shape {
    /// Numbers of one head's keys.
    fn keys_len(self) -> usize {
        self.capacity.next_multiple_of(self.panel) * self.head_dim
    }

    /// Numbers of one head's values.
    fn values_len(self) -> usize {
        self.capacity * self.head_dim.next_multiple_of(self.panel)
    }
}

enum Numbers {
    F32(Aligned),
    F16(Aligned),
    Int8(Aligned),
}

impl Numbers {
    fn zeroed(len: usize, precision: CachePrecision) -> Self {
        match precision {
            CachePrecision::F32 => Self::F32(Aligned::zeroed(len)),
            CachePrecision::F16 => Self::F16(Aligned::zeroed(len.div_ceil(2))),
            CachePrecision::Int8 => Self::Int8(Aligned::zeroed(len.div_ceil(4))),
        }
    }

    fn precision(&self) -> CachePrecision {
        match self {
            Self::F32(_) => CachePrecision::F32,
            Self::F16(_) => CachePrecision::F16,
            Self::Int8(_) => CachePrecision::Int8,
        }
    }

    /// Takes numbers over from `other`: ranges of it, each to a place.
    fn copy_from(&mut self, other: &Self, ranges: impl Iterator<Item = (Range<usize>, usize)>) {
        match (self, other) {
            (Self::F32(to), Self::F32(from)) => copy(from.numbers(), to.numbers_mut(), ranges),
            (Self::F16(to), Self::F16(from)) => copy(from.halves(), to.halves_mut(), ranges),
            (Self::Int8(to), Self::Int8(from)) => copy(from.bytes(), to.bytes_mut(), ranges),
            _ => unreachable!("caches of one shape are kept in the same numbers"),
        }
    }
}

fn copy<N: Copy>(from: &[N], to: &mut [N], ranges: impl Iterator<Item = (Range<usize>, usize)>) {
    ranges.for_each(|(range, place)| to[place..][..range.len()].copy_from_slice(&from[range]));
}

/// A number of a cache: how it is written, and how a vector of them is read.
trait Number: Copy + Default + Send + Sync + 'static {
    /// Writes a row of a head. Bytes are steps of `1 / inverses[dimension]`; other numbers are as they are.
    fn write(x: &[f32], inverses: &[f32], out: &mut [Self]);
    fn load<S: Simd>(simd: S, x: &[Self]) -> S::F32;
}

impl Number for f32 {
    #[inline(always)]
    fn write(x: &[f32], _: &[f32], out: &mut [f32]) {
        out.copy_from_slice(x);
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, x: &[f32]) -> S::F32 {
        simd.load(x)
    }
}

impl Number for u16 {
    #[inline(always)]
    fn write(x: &[f32], _: &[f32], out: &mut [u16]) {
        bytemuck::cast_slice_mut::<u16, half::f16>(out).convert_from_f32_slice(x);
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, x: &[u16]) -> S::F32 {
        simd.load_f16(x)
    }
}

impl Number for i8 {
    #[inline(always)]
    fn write(x: &[f32], inverses: &[f32], out: &mut [i8]) {
        steps(x, inverses, out);
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, x: &[i8]) -> S::F32 {
        simd.load_steps(x)
    }
}

impl Clone for KeyValues {
    /// Copies what is held, with as much memory.
    fn clone(&self) -> Self {
        self.with_capacity(self.shape.capacity)
    }
}

impl KeyValues {
    /// For up to `limit` positions; holds none.
    ///
    /// # Panics
    /// If a head is wider than [`MAX_HEAD_DIM`].
    pub fn new(n_head: usize, head_dim: usize, limit: usize, precision: CachePrecision) -> Self {
        assert!(head_dim <= MAX_HEAD_DIM, "a head of {head_dim} is wider than {MAX_HEAD_DIM}");
        let panel = InstructionSet::detect().tile().columns;
        let shape = Shape { n_head, head_dim, capacity: 0, panel };
        let [keys, values] = [(); 2].map(|()| Numbers::zeroed(0, precision));
        let [key_scales, value_scales] = [(); 2].map(|()| vec![1.0; n_head * head_dim]);
        Self { shape, limit, len: 0, keys, values, key_scales, value_scales }
    }

    /// The same with memory for so many positions.
    fn with_capacity(&self, capacity: usize) -> Self {
        let Shape { n_head, head_dim, .. } = self.shape;
        let precision = self.keys.precision();
        let mut new = Self::new(n_head, head_dim, self.limit, precision);
        new.shape.capacity = capacity;
        new.keys = Numbers::zeroed(n_head * new.shape.keys_len(), precision);
        new.values = Numbers::zeroed(n_head * new.shape.values_len(), precision);
        new.follow(self, 0);
        new
    }

    /// Makes sure that there is memory for so many positions: if there is too little, it becomes at least twice as much.
    fn reserve(&mut self, n: usize) {
        let Shape { capacity, .. } = self.shape;
        if n > capacity {
            *self = self.with_capacity(n.max(2 * capacity).max(FIRST_CAPACITY).min(self.limit));
        }
    }

    /// The number of positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all positions from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Adds positions: rows `[n, 2 * n_head * head_dim]` that hold a key and then a value each.
    ///
    /// # Panics
    /// If there is no room, the rows are not whole, or the cache is of bytes and holds something: how much a byte
    /// is worth is settled by all positions together.
    pub fn extend(&mut self, threads: &Threads, rows: &[f32]) {
        let Shape { n_head, head_dim, .. } = self.shape;
        let n_state = n_head * head_dim;
        assert!(rows.len().is_multiple_of(2 * n_state), "the rows are not of keys and values");
        let n = rows.len() / (2 * n_state);
        let limit = self.limit;
        assert!(self.len + n <= limit, "{} positions are more than the room for {limit}", self.len + n);
        if n == 0 {
            return;
        }
        self.reserve(self.len + n);
        let first = self.len;
        self.len += n;
        if self.keys.precision() == CachePrecision::Int8 {
            assert!(first == 0, "a cache of bytes takes all positions at once");
            write::scales(threads, rows, &mut self.key_scales, &mut self.value_scales);
        }
        let Self { shape, key_scales, value_scales, .. } = self;
        let rows = Rows { first, rows, shape: *shape, key_scales, value_scales };
        match (&mut self.keys, &mut self.values) {
            (Numbers::F32(keys), Numbers::F32(values)) => {
                rows.write(threads, keys.numbers_mut(), values.numbers_mut());
            }
            (Numbers::F16(keys), Numbers::F16(values)) => {
                rows.write(threads, keys.halves_mut(), values.halves_mut());
            }
            (Numbers::Int8(keys), Numbers::Int8(values)) => {
                rows.write(threads, keys.bytes_mut(), values.bytes_mut());
            }
            _ => unreachable!("keys and values are kept in the same numbers"),
        }
    }

    /// Holds these positions, rows as for [`extend`](Self::extend), and no others.
    ///
    /// # Panics
    /// As `extend`.
    pub fn fill(&mut self, threads: &Threads, rows: &[f32]) {
        self.truncate(0);
        self.extend(threads, rows);
    }

    /// Becomes what `other` is, which holds the same in the first `n_same` positions: only later ones are copied.
    ///
    /// # Panics
    /// If the caches differ in shape or precision, or one holds less than `n_same` positions.
    pub fn follow(&mut self, other: &Self, n_same: usize) {
        let kind = |cache: &Self| (Shape { capacity: cache.limit, ..cache.shape }, cache.keys.precision());
        assert_eq!(kind(self), kind(other), "a cache cannot follow one of another shape or other numbers");
        assert!(n_same <= self.len.min(other.len), "{n_same} positions are not held by both caches");
        self.reserve(other.len);
        let (to, from) = (self.shape, other.shape);
        let Shape { n_head, head_dim, panel, .. } = from;
        // Keys stand in panels of positions: the one that is partly the same is copied too.
        let panels = n_same / panel * panel * head_dim..other.len.next_multiple_of(panel) * head_dim;
        let places = |range: &Range<usize>, from: usize, to: usize| {
            (from + range.start..from + range.end, to + range.start)
        };
        let keys = (0..n_head).map(|head| places(&panels, head * from.keys_len(), head * to.keys_len()));
        self.keys.copy_from(&other.keys, keys);
        let rows = n_same * panel..other.len * panel;
        let n_value_panels = n_head * head_dim.div_ceil(panel);
        let values = (0..n_value_panels)
            .map(|idx| places(&rows, idx * from.capacity * panel, idx * to.capacity * panel));
        self.values.copy_from(&other.values, values);
        self.key_scales.copy_from_slice(&other.key_scales);
        self.value_scales.copy_from_slice(&other.value_scales);
        self.len = other.len;
    }

    /// The scores of one query against the first `out.len()` positions: `q · kᵀ / sqrt(head_dim)` of one head, before
    /// softmax.
    ///
    /// - `query`: `[head_dim]`
    /// - `out`: one score per position
    ///
    /// # Panics
    /// If so many positions are not held, or a length does not fit.
    pub fn scores(&self, head_idx: usize, query: &[f32], out: &mut [f32]) {
        let shape = self.shape;
        assert!(out.len() <= self.len, "{} positions of {} have no scores", out.len(), self.len);
        assert!(head_idx < shape.n_head, "there is no head {head_idx}");
        assert_eq!(query.len(), shape.head_dim, "query is not [head_dim]");
        let at = head_idx * shape.keys_len();
        let scales = &self.key_scales[head_idx * shape.head_dim..][..shape.head_dim];
        let query = Query { shape, numbers: query, scales };
        SCRATCH.with_borrow_mut(|scratch| match &self.keys {
            Numbers::F32(keys) => dispatch(Scores { keys: &keys.numbers()[at..], query, scratch, out }),
            Numbers::F16(keys) => dispatch(Scores { keys: &keys.halves()[at..], query, scratch, out }),
            Numbers::Int8(keys) => dispatch(Scores { keys: &keys.bytes()[at..], query, scratch, out }),
        });
    }

    /// Attention of one query to the first `len` positions: `softmax(q · kᵀ / sqrt(head_dim)) · v` of one head.
    ///
    /// - `query`, `out`: `[head_dim]`
    ///
    /// # Panics
    /// If so many positions are not held, or a length does not fit.
    pub fn attend(&self, head_idx: usize, len: usize, query: &[f32], out: &mut [f32]) {
        let shape = self.shape;
        assert!((1..=self.len).contains(&len), "{len} positions of {} cannot be attended to", self.len);
        assert!(head_idx < shape.n_head, "there is no head {head_idx}");
        assert!([query.len(), out.len()] == [shape.head_dim; 2], "query and out are not [head_dim]");
        let (keys_at, values_at) = (head_idx * shape.keys_len(), head_idx * shape.values_len());
        let dims = head_idx * shape.head_dim..(head_idx + 1) * shape.head_dim;
        let query = Query { shape, numbers: query, scales: &self.key_scales[dims.clone()] };
        let scales = &self.value_scales[dims];
        SCRATCH.with_borrow_mut(|scratch| match (&self.keys, &self.values) {
            (Numbers::F32(keys), Numbers::F32(values)) => {
                let (keys, values) = (&keys.numbers()[keys_at..], &values.numbers()[values_at..]);
                dispatch(Attend { len, keys, values, query, scales, scratch, out });
            }
            (Numbers::F16(keys), Numbers::F16(values)) => {
                let (keys, values) = (&keys.halves()[keys_at..], &values.halves()[values_at..]);
                dispatch(Attend { len, keys, values, query, scales, scratch, out });
            }
            (Numbers::Int8(keys), Numbers::Int8(values)) => {
                let (keys, values) = (&keys.bytes()[keys_at..], &values.bytes()[values_at..]);
                dispatch(Attend { len, keys, values, query, scales, scratch, out });
            }
            _ => unreachable!("keys and values are kept in the same numbers"),
        });
    }
}

thread_local! {
    static SCRATCH: RefCell<Aligned> = RefCell::default();
}

/// One head's query, and what a step of each dimension of its keys is worth.
#[derive(Clone, Copy)]
struct Query<'a> {
    shape: Shape,
    numbers: &'a [f32], // [head_dim]
    scales: &'a [f32],  // [head_dim]
}

struct Attend<'a, N> {
    len: usize,
    keys: &'a [N],   // [panels of positions, head_dim, panel]
    values: &'a [N], // [panels of dimensions, capacity, panel]
    query: Query<'a>,
    scales: &'a [f32], // [head_dim], of the values
    scratch: &'a mut Aligned,
    out: &'a mut [f32], // [head_dim]
}

impl<N: Number> Kernel for Attend<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Shape { capacity, panel, .. } = self.query.shape;
        let scores = scores(simd, self.len, self.keys, self.query, self.scratch);
        softmax(scores);
        let mut sums = [0.0; MAX_PANEL];
        let outs = self.out.chunks_mut(panel).zip(self.scales.chunks(panel));
        for ((out, scales), values) in outs.zip(self.values.chunks_exact(capacity * panel)) {
            weighted_sum(simd, scores, values, &mut sums[..panel]);
            for ((out, sum), scale) in out.iter_mut().zip(&sums).zip(scales) {
                *out = sum * scale;
            }
        }
    }
}

struct Scores<'a, N> {
    keys: &'a [N], // [panels of positions, head_dim, panel]
    query: Query<'a>,
    scratch: &'a mut Aligned,
    out: &'a mut [f32], // [len]
}

impl<N: Number> Kernel for Scores<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let scores = scores(simd, self.out.len(), self.keys, self.query, self.scratch);
        self.out.copy_from_slice(scores);
    }
}

/// The scaled products of a query with the keys of the first `len` positions; they stand in `scratch`.
#[inline(always)]
fn scores<'a, S: Simd, N: Number>(
    simd: S,
    len: usize,
    keys: &[N],
    query: Query<'_>,
    scratch: &'a mut Aligned,
) -> &'a mut [f32] {
    let Shape { head_dim, panel, .. } = query.shape;
    let n_panels = len.div_ceil(panel);
    scratch.at_least(n_panels * panel + head_dim);
    let (scores, rest) = scratch.numbers_mut().split_at_mut(n_panels * panel);
    let scaled = &mut rest[..head_dim];
    let scale = 1.0 / (head_dim as f32).sqrt();
    for ((out, x), key_scale) in scaled.iter_mut().zip(query.numbers).zip(query.scales) {
        *out = x * scale * key_scale;
    }
    for (scores, keys) in scores.chunks_exact_mut(panel).zip(keys.chunks_exact(head_dim * panel)) {
        weighted_sum(simd, scaled, keys, scores);
    }
    &mut scores[..len]
}

/// An upper bound of `TILE_COLUMNS`.
const MAX_PANEL: usize = 32;

/// How far ahead, in bytes, a panel is asked for: cross-attention's come from memory, and so much is done with each number
/// that a CPU does not see the next ones early enough.
const BYTES_AHEAD: usize = 8192;

/// `out[j] = sum over k of weights[k] * panel[k][j]`, in two sums for each vector, so that one need not wait for the
/// other.
#[inline(always)]
fn weighted_sum<S: Simd, N: Number>(simd: S, weights: &[f32], panel: &[N], out: &mut [f32]) {
    let columns = S::TILE_COLUMNS;
    let zero = simd.splat(0.0);
    let mut sums = [[zero; 2]; 2];
    let pairs = weights.chunks_exact(2);
    let last = pairs.remainder();
    for (weights, rows) in pairs.zip(panel.chunks_exact(2 * columns)) {
        simd.prefetch(rows, BYTES_AHEAD);
        for (i, weight) in weights.iter().enumerate() {
            let weight = simd.splat(*weight);
            for (v, sum) in sums[i].iter_mut().enumerate() {
                *sum = simd.mul_add(weight, N::load(simd, &rows[i * columns + v * S::LANES..]), *sum);
            }
        }
    }
    if let [weight] = last {
        let row = &panel[(weights.len() - 1) * columns..];
        for (v, sum) in sums[0].iter_mut().enumerate() {
            *sum = simd.mul_add(simd.splat(*weight), N::load(simd, &row[v * S::LANES..]), *sum);
        }
    }
    for v in 0..2 {
        simd.store(simd.add(sums[0][v], sums[1][v]), &mut out[v * S::LANES..]);
    }
}

#[cfg(test)]
mod tests;
