//! Attention of all positions of a sequence to all of them: the encoder's.
//!
//! It is made of the register tiles of [`Simd::tile`]. A task takes a panel of queries of one head, with scores
//! transposed, `[keys, queries]`: then the maximum and the sum over keys go down the lanes, and the probabilities are
//! a packed panel for the product with the values as they stand. Keys are taken in blocks with a running maximum and
//! sum, so the scores of one block are all that is ever stored.

use std::cell::RefCell;
use std::marker::PhantomData;

use crate::arch::{Bf16, F32, InstructionSet, Kernel, Operands, Product, Simd, run_on};
use crate::line::Aligned;
use crate::threads::{Threads, TileMut};
use crate::transpose::{lay_tile, transpose_words};
use crate::vector::{MAX_LANES, exp2, exp2_rough, for_each_vector};

/// Keys in a block, or a few less: its scores fit in the first-level cache.
const BLOCK_KEYS: usize = 128;
/// How far, in powers of two, a score may be above the number that it is compared with before that is raised.
const HEADROOM: f32 = 16.0;
/// An upper bound of the vectors in a panel.
const MAX_PANEL_VECTORS: usize = 2;
/// An upper bound of `TILE_COLUMNS` and `TILE_ROWS`.
const MAX_COLUMNS: usize = 32;
/// An upper bound of `TILE_STEPS`.
const MAX_STEPS: usize = 16;

/// The widest head that attention works on; Whisper's have 64.
pub const MAX_HEAD_DIM: usize = 512;

/// Full attention within one sequence, with the memory that it needs.
pub struct Attention {
    shape: Shape,
    keys: Aligned,   // [n_head, keys_len]: see `PackKeys`
    values: Aligned, // [n_head, values_len]: see `PackValues`
}

#[derive(Clone, Copy)]
struct Shape {
    n_ctx: usize,
    n_head: usize,
    head_dim: usize,
    is_bf16: bool,
}

impl Shape {
    /// The instruction set that multiplies.
    fn set(self) -> InstructionSet {
        InstructionSet::detect().for_words_of(self.per_word())
    }

    fn per_word(self) -> usize {
        if self.is_bf16 { Bf16::PER_WORD } else { F32::PER_WORD }
    }

    /// Words of one head's keys.
    fn keys_len(self) -> usize {
        let tile = self.set().tile();
        let n_words = self.head_dim.div_ceil(self.per_word()).next_multiple_of(tile.steps);
        self.n_ctx.next_multiple_of(tile.rows) * n_words
    }

    /// Words of one head's values.
    fn values_len(self) -> usize {
        let tile = self.set().tile();
        let n_words = self.n_ctx.div_ceil(self.per_word()).next_multiple_of(tile.steps);
        n_words * self.head_dim.next_multiple_of(tile.rows)
    }
}

impl Attention {
    /// For sequences of `n_ctx` positions and `n_head` heads of `head_dim`, with factors in f32 or in bf16.
    ///
    /// # Panics
    /// If a head is wider than [`MAX_HEAD_DIM`].
    pub fn new(n_ctx: usize, n_head: usize, head_dim: usize, is_bf16: bool) -> Self {
        assert!(head_dim <= MAX_HEAD_DIM, "a head of {head_dim} is wider than {MAX_HEAD_DIM}");
        let shape = Shape { n_ctx, n_head, head_dim, is_bf16 };
        let keys = Aligned::zeroed(n_head * shape.keys_len());
        Self { shape, keys, values: Aligned::zeroed(n_head * shape.values_len()) }
    }

    /// `softmax(q · kᵀ / sqrt(head_dim)) · v` for every head.
    ///
    /// - `qkv`: `[n_ctx, 3 * n_head * head_dim]`, the queries, keys and values of a position side by side.
    /// - `out`: `[n_ctx, n_head * head_dim]`
    ///
    /// # Panics
    /// If a shape does not fit.
    pub fn run(&mut self, threads: &Threads, qkv: &[f32], out: &mut [f32]) {
        let Shape { n_ctx, n_head, head_dim, .. } = self.shape;
        let n_state = n_head * head_dim;
        assert_eq!(qkv.len(), n_ctx * 3 * n_state, "qkv is not [n_ctx, 3 * n_state]");
        assert_eq!(out.len(), n_ctx * n_state, "out is not [n_ctx, n_state]");
        if self.shape.is_bf16 {
            self.run_as::<Bf16>(threads, qkv, out);
        } else {
            self.run_as::<F32>(threads, qkv, out);
        }
    }

    fn run_as<P: Factor>(&mut self, threads: &Threads, qkv: &[f32], out: &mut [f32]) {
        let shape = self.shape;
        let Shape { n_head, head_dim, .. } = shape;
        let (n_state, stride) = (n_head * head_dim, 3 * n_head * head_dim);
        let (keys_len, values_len) = (shape.keys_len(), shape.values_len());
        threads.for_each_chunk(&mut self.keys.words_mut()[..n_head * keys_len], keys_len, |head_idx, out| {
            let rows = Rows { data: &qkv[n_state + head_idx * head_dim..], stride, len: head_dim };
            run_on(shape.set(), PackKeys::<P> { rows, out, factor: PhantomData });
        });
        threads.for_each_chunk(
            &mut self.values.words_mut()[..n_head * values_len],
            values_len,
            |head_idx, out| {
                let rows = Rows { data: &qkv[2 * n_state + head_idx * head_dim..], stride, len: head_dim };
                run_on(shape.set(), PackValues::<P> { rows, out, factor: PhantomData });
            },
        );
        let (keys, values) = (self.keys.words(), self.values.words());
        let panel = shape.set().tile().columns;
        threads.for_each_tile(out, n_state, panel, head_dim, |queries, columns, out| {
            let head_idx = columns.start / head_dim;
            let head = Head {
                queries: Rows { data: &qkv[queries.start * stride + columns.start..], stride, len: head_dim },
                n_queries: queries.len(),
                n_keys: shape.n_ctx,
                keys: &keys[head_idx * keys_len..][..keys_len],
                values: &values[head_idx * values_len..][..values_len],
            };
            SCRATCH.with_borrow_mut(|scratch| {
                let first = queries.start;
                run_on(shape.set(), Attend::<P> { head, first, scratch, out, factor: PhantomData });
            });
        });
    }
}

/// The factors of attention: how they are packed, one number in a word or two, and how exact they are.
trait Factor: Product {
    /// Packs a row of a head, scaled, into words, with room for whole vectors.
    fn pack<S: Simd>(simd: S, row: &[f32], scale: f32, words: &mut [u32]);
    /// Joins rows of neighbouring positions, [`Product::PER_WORD`] of them, into one row of words.
    fn join<S: Simd>(simd: S, rows: &[S::F32], out: &mut [u32]);
    /// `2^x` as exact as the factors are.
    fn exp2<S: Simd>(simd: S, x: S::F32) -> S::F32;
}

impl Factor for F32 {
    #[inline(always)]
    fn pack<S: Simd>(_: S, row: &[f32], scale: f32, words: &mut [u32]) {
        for (word, x) in words.iter_mut().zip(row) {
            *word = (x * scale).to_bits();
        }
    }

    #[inline(always)]
    fn join<S: Simd>(simd: S, rows: &[S::F32], out: &mut [u32]) {
        simd.store(rows[0], bytemuck::cast_slice_mut(out));
    }

    #[inline(always)]
    fn exp2<S: Simd>(simd: S, x: S::F32) -> S::F32 {
        exp2(simd, x)
    }
}

impl Factor for Bf16 {
    #[inline(always)]
    fn pack<S: Simd>(simd: S, row: &[f32], scale: f32, words: &mut [u32]) {
        let halves: &mut [u16] = bytemuck::cast_slice_mut(words);
        for_each_vector(
            simd,
            row,
            #[inline(always)]
            |at, x| {
                simd.store_bf16(simd.mul(x, simd.splat(scale)), &mut halves[at..]);
            },
        );
    }

    #[inline(always)]
    fn join<S: Simd>(simd: S, rows: &[S::F32], out: &mut [u32]) {
        simd.store_words(simd.join_bf16(rows[0], rows[1]), out);
    }

    #[inline(always)]
    fn exp2<S: Simd>(simd: S, x: S::F32) -> S::F32 {
        exp2_rough(simd, x)
    }
}

/// One head's part of a sequence: the first row starts the data, the others are `stride` apart.
#[derive(Clone, Copy)]
struct Rows<'a> {
    data: &'a [f32],
    stride: usize,
    len: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn iter(self) -> impl Iterator<Item = &'a [f32]> {
        self.data.chunks(self.stride).map(
            #[inline(always)]
            move |row| &row[..self.len],
        )
    }
}

/// Packs the rows of a factor of tiles, `width` rows at a time, `[n_words, width]`; `lay` is how that is laid out.
/// `words` is room for so many packed rows.
#[inline(always)]
fn pack<S: Simd, P: Factor>(
    simd: S,
    rows: Rows<'_>,
    (width, scale): (usize, f32),
    words: &mut [u32],
    out: &mut [u32],
    lay: impl Fn(S, &[u32], (usize, usize), usize, &mut [u32], usize),
) {
    let n_words = words_of_head::<S, P>(rows.len);
    let row_len = n_words.next_multiple_of(S::LANES);
    let n_packed = rows.len.next_multiple_of(S::LANES) / P::PER_WORD;
    let mut rows = rows.iter();
    for out in out.chunks_exact_mut(n_words * width) {
        let mut n_rows = 0;
        for (row, words) in rows.by_ref().take(width).zip(words.chunks_exact_mut(row_len)) {
            P::pack(simd, row, scale, words);
            words[n_packed..].fill(0);
            n_rows += 1;
        }
        lay(simd, words, (n_rows, row_len), n_words, out, width);
    }
}

/// Words of a row of a head, up to whole steps of a tile.
#[inline(always)]
fn words_of_head<S: Simd, P: Factor>(head_dim: usize) -> usize {
    head_dim.div_ceil(P::PER_WORD).next_multiple_of(S::TILE_STEPS)
}

struct PackKeys<'a, P> {
    rows: Rows<'a>,
    out: &'a mut [u32], // tiles of keys, each as `lay_tile` has it
    factor: PhantomData<P>,
}

impl<P: Factor> Kernel for PackKeys<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut words = [0; MAX_COLUMNS * MAX_HEAD_DIM];
        pack::<S, P>(simd, self.rows, (S::TILE_ROWS, 1.0), &mut words, self.out, lay_tile::<S>);
    }
}

struct PackValues<'a, P> {
    rows: Rows<'a>,
    /// `[tiles of dimensions, words of positions, rows of a tile]`; where tiles take several words at a step,
    /// `[words of positions / TILE_STEPS, head_dim or more, TILE_STEPS]`.
    out: &'a mut [u32],
    factor: PhantomData<P>,
}

impl<P: Factor> Kernel for PackValues<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let head_dim = self.rows.len;
        let mut rows = self.rows.iter();
        let mut words = [0; MAX_STEPS * MAX_HEAD_DIM];
        if S::TILE_STEPS == 1 {
            let n_words = self.out.len() / head_dim.next_multiple_of(S::TILE_ROWS);
            let tile_rows = rows_of_values::<S>(head_dim);
            for idx in 0..n_words {
                let words = &mut words[..head_dim];
                join_rows::<S, P>(simd, &mut rows, words);
                let tiles = self.out.chunks_exact_mut(n_words * tile_rows);
                for (piece, tile) in words.chunks(tile_rows).zip(tiles) {
                    tile[idx * tile_rows..][..piece.len()].copy_from_slice(piece);
                }
            }
            return;
        }
        for out in self.out.chunks_exact_mut(head_dim.next_multiple_of(S::TILE_ROWS) * S::TILE_STEPS) {
            for words in words.chunks_exact_mut(head_dim).take(S::TILE_STEPS) {
                join_rows::<S, P>(simd, &mut rows, words);
            }
            transpose_words(simd, &words, (S::TILE_STEPS, head_dim), head_dim, out, S::TILE_STEPS);
        }
    }
}

/// Dimensions of a head that a tile of values has as rows: so many that all tiles have about the same.
#[inline(always)]
fn rows_of_values<S: Simd>(head_dim: usize) -> usize {
    let n_tiles = head_dim.div_ceil(S::TILE_ROWS);
    if S::TILE_STEPS == 1 { head_dim.div_ceil(n_tiles) } else { S::TILE_ROWS }
}

/// Joins the next rows, as many as a word holds numbers, into one of words, `[head_dim]`; rows that are not there are
/// zeros.
#[inline(always)]
fn join_rows<'a, S: Simd, P: Factor>(simd: S, rows: &mut impl Iterator<Item = &'a [f32]>, out: &mut [u32]) {
    const NONE: &[f32] = &[0.0; MAX_HEAD_DIM];
    let pair = [0, 1].map(|idx| if idx < P::PER_WORD { rows.next().unwrap_or(NONE) } else { NONE });
    let whole = out.len() / S::LANES * S::LANES;
    for at in (0..whole).step_by(S::LANES) {
        P::join(simd, &[simd.load(&pair[0][at..]), simd.load(&pair[1][at..])], &mut out[at..]);
    }
    if whole < out.len() {
        let (rest, mut words) = (out.len() - whole, [0; MAX_LANES]);
        let mut padded = [[0.0; MAX_LANES]; 2];
        for (padded, row) in padded.iter_mut().zip(pair) {
            padded[..rest].copy_from_slice(&row[whole..][..rest]);
        }
        P::join(simd, &[simd.load(&padded[0]), simd.load(&padded[1])], &mut words);
        out[whole..].copy_from_slice(&words[..rest]);
    }
}

thread_local! {
    static SCRATCH: RefCell<Aligned> = RefCell::default();
}

/// One panel of queries against all keys of one head.
struct Head<'a> {
    queries: Rows<'a>,
    n_queries: usize,
    n_keys: usize,
    keys: &'a [u32],   // see `PackKeys`
    values: &'a [u32], // see `PackValues`
}

struct Attend<'a, 'out, P> {
    head: Head<'a>,
    first: usize, // of the queries
    scratch: &'a mut Aligned,
    out: TileMut<'out>,
    factor: PhantomData<P>,
}

impl<P: Factor> Kernel for Attend<'_, '_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { head, first, scratch, mut out, .. } = self;
        let (panel, head_dim) = (S::TILE_COLUMNS, head.queries.len);
        let n_words = words_of_head::<S, P>(head_dim);
        let block = BLOCK_KEYS / S::TILE_ROWS * S::TILE_ROWS;
        let row_len = head_dim.next_multiple_of(S::LANES);
        let scratch = scratch.at_least((n_words + head_dim + block + row_len) * panel);
        let (queries, scratch) = scratch.split_at_mut(n_words * panel); // [n_words, panel]
        let (sums, scratch) = scratch.split_at_mut(head_dim * panel); // [head_dim, panel]
        let (scores, rows) = scratch.split_at_mut(block * panel); // [block, panel], [panel, row_len]
        queries.fill(0);
        // Scores are powers of two.
        let scale = std::f32::consts::LOG2_E / (head_dim as f32).sqrt();
        pack::<S, P>(simd, head.queries, (panel, scale), rows, queries, transpose_words);
        sums.fill(0);
        let mut running = Running::new(simd);
        simd.prepare_tiles();
        for (idx, keys) in head.keys.chunks(block * n_words).enumerate() {
            let first = idx * block;
            let n_keys = block.min(head.n_keys - first);
            let stride = S::TILE_ROWS * S::TILE_STEPS;
            let tiles = keys.chunks_exact(S::TILE_ROWS * n_words);
            for (keys, scores) in tiles.zip(scores[..n_keys * panel].chunks_mut(S::TILE_ROWS * panel)) {
                let rows = scores.len() / panel;
                let operands = Operands { rows, a: keys, a_stride: stride, b: queries, b_is_far: false };
                simd.tile::<P>(operands, scores, false);
            }
            running.exponentiate::<P>(simd, n_keys, scores, bytemuck::cast_slice_mut(sums));
            let n_used = n_keys.div_ceil(P::PER_WORD);
            let n_steps = n_used.next_multiple_of(S::TILE_STEPS);
            scores[n_used * panel..n_steps * panel].fill(0);
            let values = Values { words: head.values, head_dim, first: first / P::PER_WORD };
            values.add::<S, P>(simd, &scores[..n_steps * panel], sums);
        }
        running.divide(simd, bytemuck::cast_slice_mut(sums));
        transpose_words(simd, sums, (head_dim, panel), panel, rows, head_dim);
        let rows: &[f32] = bytemuck::cast_slice(rows);
        for (idx, row) in rows.chunks_exact(head_dim).take(head.n_queries).enumerate() {
            out.row(first + idx).copy_from_slice(row);
        }
    }
}

/// The values of one head, from a position on.
struct Values<'a> {
    words: &'a [u32], // see `PackValues`
    head_dim: usize,
    first: usize, // in words of positions
}

impl Values<'_> {
    /// `sums[dim, query] += sum over keys of values[key, dim] * probabilities[key, query]`
    #[inline(always)]
    fn add<S: Simd, P: Factor>(self, simd: S, probabilities: &[u32], sums: &mut [u32]) {
        let Self { words, head_dim, first } = self;
        let rows = rows_of_values::<S>(head_dim);
        let n_rows = head_dim.next_multiple_of(S::TILE_ROWS); // that there is room for
        let n_used = probabilities.len() / S::TILE_COLUMNS;
        for (idx, sums) in sums.chunks_mut(rows * S::TILE_COLUMNS).enumerate() {
            let (values, stride) = match S::TILE_STEPS {
                1 => {
                    let tile = &words[idx * (words.len() / n_rows) * rows..];
                    (&tile[first * rows..][..n_used * rows], rows)
                }
                n => (&words[first * n_rows + idx * rows * n..], n_rows * n),
            };
            let rows = sums.len() / S::TILE_COLUMNS;
            let operands = Operands { rows, a: values, a_stride: stride, b: probabilities, b_is_far: false };
            simd.tile::<P>(operands, sums, true);
        }
    }
}

/// The softmax over keys that come in blocks, in powers of two: for each query a number near the greatest score so
/// far, and the sum so far of the powers of what is above it.
struct Running<S: Simd> {
    reference: [S::F32; MAX_PANEL_VECTORS],
    sum: [S::F32; MAX_PANEL_VECTORS],
}

impl<S: Simd> Running<S> {
    const VECTORS: usize = S::TILE_COLUMNS / S::LANES;

    #[inline(always)]
    fn new(simd: S) -> Self {
        Self {
            reference: [simd.splat(f32::MIN); MAX_PANEL_VECTORS],
            sum: [simd.splat(0.0); MAX_PANEL_VECTORS],
        }
    }

    /// Turns the scores `[n_keys, panel]` of a block into `2^(score - reference)`, packed as the factor of a product.
    #[inline(always)]
    fn exponentiate<P: Factor>(&mut self, simd: S, n_keys: usize, scores: &mut [u32], sums: &mut [f32]) {
        let columns = S::TILE_COLUMNS;
        for v in 0..Self::VECTORS {
            let lanes = v * S::LANES;
            self.raise::<P>(simd, v, &scores[..n_keys * columns], sums);
            let (reference, mut sum) = (self.reference[v], self.sum[v]);
            for word in 0..n_keys.div_ceil(P::PER_WORD) {
                let mut joined = [simd.splat(0.0); 2];
                for (i, p) in joined.iter_mut().enumerate().take(P::PER_WORD) {
                    let key = word * P::PER_WORD + i;
                    if key < n_keys {
                        let score = simd.as_f32(simd.load_words(&scores[key * columns + lanes..]));
                        *p = P::exp2(simd, simd.sub(score, reference));
                        sum = simd.add(sum, *p);
                    }
                }
                // Words are fewer than keys, so nothing is overwritten that is still needed.
                P::join(simd, &joined, &mut scores[word * columns + lanes..]);
            }
            self.sum[v] = sum;
        }
    }

    /// Raises the references of a vector of queries to the greatest scores of a block, `[n_keys, panel]`, if one is
    /// far above, and scales what was summed before.
    #[inline(always)]
    fn raise<P: Factor>(&mut self, simd: S, v: usize, scores: &[u32], sums: &mut [f32]) {
        let (columns, lanes) = (S::TILE_COLUMNS, v * S::LANES);
        let reference = self.reference[v];
        // Several maxima, so that one need not wait for the other.
        let mut maxima = [reference; 4];
        for rows in scores.chunks(maxima.len() * columns) {
            for (max, row) in maxima.iter_mut().zip(rows.chunks_exact(columns)) {
                *max = simd.max(*max, simd.as_f32(simd.load_words(&row[lanes..])));
            }
        }
        let max = simd.max(simd.max(maxima[0], maxima[1]), simd.max(maxima[2], maxima[3]));
        if simd.max_lane(simd.sub(max, reference)) <= HEADROOM {
            return;
        }
        let correction = P::exp2(simd, simd.sub(reference, max));
        self.sum[v] = simd.mul(self.sum[v], correction);
        for row in sums.chunks_exact_mut(columns) {
            simd.store(simd.mul(simd.load(&row[lanes..]), correction), &mut row[lanes..]);
        }
        self.reference[v] = max;
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

#[cfg(test)]
mod tests;
