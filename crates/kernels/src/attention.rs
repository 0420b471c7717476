//! Attention of all positions of a sequence to all of them: the encoder's.
//!
//! It is made of the register tiles of [`Simd::tile`]. A task takes a panel of queries of one head, with scores
//! transposed, `[keys, queries]`: then the maximum and the sum over keys go down the lanes, and the probabilities are
//! a packed panel for the product with the values as they stand. Keys are taken in blocks with a running maximum and
//! sum, so the scores of one block are all that is ever stored.

use std::cell::RefCell;

use crate::arch::{Bf16, F32, InstructionSet, Kernel, Product, Simd, dispatch};
use crate::line::Aligned;
use crate::threads::{Threads, TileMut};
use crate::vector::{exp, for_each_vector};

/// Register tiles of keys in a block: its scores fit in the first-level cache.
const TILES_PER_BLOCK: usize = 10;
/// An upper bound of the vectors in a panel.
const MAX_PANEL_VECTORS: usize = 2;

/// The widest head that attention works on; Whisper's have 64.
pub const MAX_HEAD_DIM: usize = 512;

/// Full attention within one sequence, with the memory that it needs.
pub struct Attention {
    shape: Shape,
    keys: Aligned,   // [n_head, tiles of keys, words of a head, tile rows]
    values: Aligned, // [n_head, words of positions, head_dim]
}

#[derive(Clone, Copy)]
struct Shape {
    n_ctx: usize,
    n_head: usize,
    head_dim: usize,
    is_bf16: bool,
}

impl Shape {
    fn per_word(self) -> usize {
        if self.is_bf16 { Bf16::PER_WORD } else { F32::PER_WORD }
    }

    /// Words of one head's keys.
    fn keys_len(self) -> usize {
        let n_keys = self.n_ctx.next_multiple_of(InstructionSet::detect().tile_rows());
        n_keys * self.head_dim.div_ceil(self.per_word())
    }

    /// Words of one head's values.
    fn values_len(self) -> usize {
        self.n_ctx.div_ceil(self.per_word()) * self.head_dim
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
            dispatch(PackKeys::<P> { rows, out, factor: std::marker::PhantomData });
        });
        threads.for_each_chunk(
            &mut self.values.words_mut()[..n_head * values_len],
            values_len,
            |head_idx, out| {
                let rows = Rows { data: &qkv[2 * n_state + head_idx * head_dim..], stride, len: head_dim };
                dispatch(PackValues::<P> { rows, out, factor: std::marker::PhantomData });
            },
        );
        let (keys, values) = (self.keys.words(), self.values.words());
        let panel = InstructionSet::detect().tile_columns();
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
                dispatch(Attend::<P> {
                    head,
                    first: queries.start,
                    scratch,
                    out,
                    factor: std::marker::PhantomData,
                });
            });
        });
    }
}

/// How the factors of attention are packed: one number in a word, or two.
trait Factor: Product {
    /// Packs a row of a head, scaled, into words.
    fn pack<S: Simd>(simd: S, row: &[f32], scale: f32, words: &mut [u32]);
    /// Joins rows of neighbouring positions, [`Product::PER_WORD`] of them, into one row of words.
    fn join<S: Simd>(simd: S, rows: &[S::F32], out: &mut [u32]);
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

/// Packs rows into columns `[words of a head, width]`, `width` rows at a time.
#[inline(always)]
fn pack_columns<S: Simd, P: Factor>(
    simd: S,
    rows: Rows<'_>,
    n: usize,
    width: usize,
    scale: f32,
    out: &mut [u32],
) {
    let mut words = [0; MAX_HEAD_DIM];
    let n_words = rows.len.div_ceil(P::PER_WORD);
    for (idx, row) in rows.iter().take(n).enumerate() {
        P::pack(simd, row, scale, &mut words);
        let column = &mut out[idx / width * n_words * width + idx % width..];
        for (out, word) in column.iter_mut().step_by(width).zip(&words[..n_words]) {
            *out = *word;
        }
    }
}

struct PackKeys<'a, P> {
    rows: Rows<'a>,
    out: &'a mut [u32], // [tiles of keys, words of a head, tile rows]
    factor: std::marker::PhantomData<P>,
}

impl<P: Factor> Kernel for PackKeys<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        pack_columns::<S, P>(simd, self.rows, usize::MAX, S::TILE_ROWS, 1.0, self.out);
    }
}

struct PackValues<'a, P> {
    rows: Rows<'a>,
    out: &'a mut [u32], // [words of positions, head_dim]
    factor: std::marker::PhantomData<P>,
}

impl<P: Factor> Kernel for PackValues<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let head_dim = self.rows.len;
        let mut padded = [[0.0; MAX_HEAD_DIM]; 2];
        let mut words = [0; MAX_HEAD_DIM];
        let mut rows = self.rows.iter();
        for out in self.out.chunks_exact_mut(head_dim) {
            for padded in &mut padded[..P::PER_WORD] {
                match rows.next() {
                    Some(row) => padded[..head_dim].copy_from_slice(row),
                    None => padded.fill(0.0),
                }
            }
            for at in (0..head_dim).step_by(S::LANES) {
                let pair = [simd.load(&padded[0][at..]), simd.load(&padded[1][at..])];
                P::join(simd, &pair, &mut words[at..]);
            }
            out.copy_from_slice(&words[..head_dim]);
        }
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
    keys: &'a [u32],   // [tiles of keys, words of a head, tile rows]
    values: &'a [u32], // [words of positions, head_dim]
}

struct Attend<'a, 'out, P> {
    head: Head<'a>,
    first: usize, // of the queries
    scratch: &'a mut Aligned,
    out: TileMut<'out>,
    factor: std::marker::PhantomData<P>,
}

impl<P: Factor> Kernel for Attend<'_, '_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { head, first, scratch, mut out, .. } = self;
        let (panel, head_dim) = (S::TILE_COLUMNS, head.queries.len);
        let n_words = head_dim.div_ceil(P::PER_WORD);
        let block = TILES_PER_BLOCK * S::TILE_ROWS;
        let scratch = scratch.at_least((n_words + head_dim + block) * panel);
        let (queries, scratch) = scratch.split_at_mut(n_words * panel); // [n_words, panel]
        let (sums, scores) = scratch.split_at_mut(head_dim * panel); // [head_dim, panel], [block, panel]
        queries.fill(0);
        let scale = 1.0 / (head_dim as f32).sqrt();
        pack_columns::<S, P>(simd, head.queries, head.n_queries, panel, scale, queries);
        sums.fill(0);
        let mut running = Running::new(simd);
        let key_blocks = head.keys.chunks(block * n_words);
        let value_blocks = head.values.chunks(block / P::PER_WORD * head_dim);
        for (idx, (keys, values)) in key_blocks.zip(value_blocks).enumerate() {
            let n_keys = block.min(head.n_keys - idx * block);
            let tiles = keys.chunks_exact(S::TILE_ROWS * n_words);
            for (keys, scores) in tiles.zip(scores[..n_keys * panel].chunks_mut(S::TILE_ROWS * panel)) {
                simd.tile::<P>(scores.len() / panel, keys, S::TILE_ROWS, queries, scores, false);
            }
            running.exponentiate::<P>(simd, n_keys, scores, bytemuck::cast_slice_mut(sums));
            add_values::<S, P>(simd, values, head_dim, scores, sums);
        }
        let sums = bytemuck::cast_slice_mut(sums);
        running.divide(simd, sums);
        for idx in 0..head.n_queries {
            for (out, sums) in out.row(first + idx).iter_mut().zip(sums.chunks_exact(panel)) {
                *out = sums[idx];
            }
        }
    }
}

/// `sums[dim, query] += sum over keys of values[key, dim] * probabilities[key, query]`
#[inline(always)]
fn add_values<S: Simd, P: Factor>(
    simd: S,
    values: &[u32],
    head_dim: usize,
    probabilities: &[u32],
    sums: &mut [u32],
) {
    let n_tiles = head_dim.div_ceil(S::TILE_ROWS);
    let rows = head_dim.div_ceil(n_tiles);
    for (idx, sums) in sums.chunks_mut(rows * S::TILE_COLUMNS).enumerate() {
        let n = sums.len() / S::TILE_COLUMNS;
        simd.tile::<P>(n, &values[idx * rows..], head_dim, probabilities, sums, true);
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

    /// Turns the scores `[n_keys, panel]` of a block into `exp(score - maximum so far)`, packed as the factor of a
    /// product, and scales what was summed before to the new maximum.
    #[inline(always)]
    fn exponentiate<P: Factor>(&mut self, simd: S, n_keys: usize, scores: &mut [u32], sums: &mut [f32]) {
        let columns = S::TILE_COLUMNS;
        for v in 0..Self::VECTORS {
            let lanes = v * S::LANES;
            let mut max = self.max[v];
            for row in scores[..n_keys * columns].chunks_exact(columns) {
                max = simd.max(max, simd.as_f32(simd.load_words(&row[lanes..])));
            }
            let correction = exp(simd, simd.sub(self.max[v], max));
            let mut sum = simd.mul(self.sum[v], correction);
            for word in 0..n_keys.div_ceil(P::PER_WORD) {
                let mut joined = [simd.splat(0.0); 2];
                for (i, p) in joined.iter_mut().enumerate().take(P::PER_WORD) {
                    let key = word * P::PER_WORD + i;
                    if key < n_keys {
                        let score = simd.as_f32(simd.load_words(&scores[key * columns + lanes..]));
                        *p = exp(simd, simd.sub(score, max));
                        sum = simd.add(sum, *p);
                    }
                }
                // Words are fewer than keys, so nothing is overwritten that is still needed.
                P::join(simd, &joined, &mut scores[word * columns + lanes..]);
            }
            for row in sums.chunks_exact_mut(columns) {
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

#[cfg(test)]
mod tests;
