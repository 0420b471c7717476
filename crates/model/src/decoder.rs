//! The decoder: tokens so far and audio features to the logits of the next token, for a batch of rows.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use boswell_kernels::{
    CachePrecision, Coarse, Epilogue, Input, KeyValues, Linear, Precision, Threads, add, linear,
};

use crate::layer::{LayerNorm, Mlp};
use crate::loader::Loader;
use crate::{Dims, Error};

/// One hypothesis being decoded: the caches of its tokens so far, over those of its window.
///
/// A clone shares the window's cache, which is how beams are made.
#[derive(Clone)]
pub struct Row {
    self_kv: Vec<KeyValues>,       // [n_text_layer]
    cross_kv: Arc<Vec<KeyValues>>, // [n_text_layer]
}

impl Row {
    /// The number of tokens fed so far.
    pub fn n_tokens(&self) -> usize {
        self.self_kv.first().map_or(0, KeyValues::len)
    }

    /// Forgets all tokens from the `n_tokens`-th on.
    pub fn truncate(&mut self, n_tokens: usize) {
        self.self_kv.iter_mut().for_each(|kv| kv.truncate(n_tokens));
    }

    /// Becomes what `other` is, a row over the same window whose first `n_same` tokens are the same: only what later
    /// tokens left is copied.
    ///
    /// # Panics
    /// If the rows are of different models or windows, or one has less than `n_same` tokens.
    pub fn follow(&mut self, other: &Self, n_same: usize) {
        assert!(Arc::ptr_eq(&self.cross_kv, &other.cross_kv), "a row cannot follow one over another window");
        self.self_kv.iter_mut().zip(&other.self_kv).for_each(|(kv, other)| kv.follow(other, n_same));
    }
}

/// What one row takes part in a step with.
pub struct Step<'a> {
    /// The row that grows.
    pub row: &'a mut Row,
    /// What it is fed: the prompt at first, then the token that was chosen last.
    pub tokens: &'a [u32],
    /// After how many of the tokens, the last ones, logits are wanted.
    pub n_logits: usize,
}

/// Where attention heads look while tokens are fed.
pub struct Watch<'a> {
    /// (layer, head) of each.
    pub heads: &'a [(usize, usize)],
    /// How many of the window's audio features they are watched at.
    pub n_ctx: usize,
    /// `[n_tokens, n_heads, n_ctx]`: receives the scores of cross-attention before softmax, for the tokens of all
    /// steps one after the other.
    pub scores: &'a mut [f32],
}

/// What a step computes with; grows to the largest step and is used again.
#[derive(Default)]
pub struct Scratch {
    x: Vec<f32>,       // [n_tokens, n_state]: the residual stream
    normed: Vec<f32>,  // [n_tokens, n_state]
    qkv: Vec<f32>,     // [n_tokens, 3 * n_state]
    hidden: Vec<f32>,  // [n_tokens, 4 * n_state]
    owner: Vec<usize>, // [n_tokens]: the step that a token belongs to
    len: Vec<usize>,   // [n_tokens]: the positions that a token sees, itself included
    is_rough: bool,    // whether the logits of the last step are
}

/// Caches of rows that are of no more use, to be filled again: as many as there are at once, mostly. Memory that comes
/// and goes with every window would lie in pieces after some hours.
#[derive(Default)]
pub(crate) struct Spare {
    of_tokens: Vec<Vec<KeyValues>>,  // [n, n_text_layer]
    of_windows: Vec<Vec<KeyValues>>, // [n, n_text_layer]
}

impl Spare {
    /// Windows that are kept.
    const MAX_WINDOWS: usize = 16;
    /// Sequences that are kept: five for each window.
    const MAX_ROWS: usize = 5 * Self::MAX_WINDOWS;

    /// Takes the memory of a row, that over its window if no other row shares it.
    pub(crate) fn reclaim(&mut self, row: Row) {
        if self.of_tokens.len() < Self::MAX_ROWS {
            self.of_tokens.push(row.self_kv);
        }
        if self.of_windows.len() < Self::MAX_WINDOWS {
            self.of_windows.extend(Arc::try_unwrap(row.cross_kv));
        }
    }

    /// A row that is as another, and goes on from it.
    pub(crate) fn fork(&mut self, row: &Row) -> Row {
        let Some(mut self_kv) = self.of_tokens.pop() else { return row.clone() };
        self_kv.iter_mut().zip(&row.self_kv).for_each(|(kv, other)| {
            kv.truncate(0);
            kv.follow(other, 0);
        });
        Row { self_kv, cross_kv: row.cross_kv.clone() }
    }
}

pub(crate) struct Decoder {
    dims: Dims,
    precision: Precision,
    tokens: Linear,         // [n_vocab, n_state]: the embedding, and the last layer
    coarse: Option<Coarse>, // of the last layer, see `has_rough_logits`
    positions: Vec<f32>,    // [n_text_ctx, n_state]
    blocks: Vec<Block>,
    ln: LayerNorm,
}

struct Block {
    attn_ln: LayerNorm,
    qkv: Linear, // [3 * n_state, n_state]
    out: Linear, // [n_state, n_state]
    cross_attn_ln: LayerNorm,
    cross_query: Linear,     // [n_state, n_state]
    cross_key_value: Linear, // [2 * n_state, n_state]
    cross_out: Linear,       // [n_state, n_state]
    mlp: Mlp,
}

impl Decoder {
    /// Reads the decoder of a vocabulary whose first `n_text` tokens are text.
    pub(crate) fn load(loader: &Loader<'_>, dims: Dims, n_text: usize) -> Result<Self, Error> {
        let n_state = dims.n_text_state;
        let tokens = || {
            let (name, shape) = ("decoder.token_embedding", [dims.n_vocab, n_state]);
            let read = || loader.values(&format!("{name}.weight"), &shape);
            loader.weights(name, shape, loader.precision, read).map(Linear::without_bias)
        };
        let block = |idx: usize| Block::load(loader, &format!("decoder.blocks.{idx}"), n_state);
        // The embedding is the largest by far: it is begun first, and the blocks are read beside it.
        let embedding = OnceLock::new();
        let parts = loader.make_each(dims.n_text_layer + 1, |idx| match idx.checked_sub(1) {
            None => {
                embedding.get_or_init(tokens);
                Ok(None)
            }
            Some(idx) => block(idx).map(Some),
        })?;
        let tokens = embedding.into_inner().expect("its task has run")?;
        // Timestamps and other special tokens stay exact: of these, decoding compares more than the greatest.
        let coarse = has_rough_logits(&dims, loader.precision)
            .then(|| Coarse::new(loader.threads, &tokens, n_text.min(dims.n_vocab)));
        Ok(Self {
            dims,
            precision: loader.precision,
            tokens,
            coarse,
            positions: loader.values("decoder.positional_embedding", &[dims.n_text_ctx, n_state])?,
            blocks: parts.into_iter().flatten().collect(),
            ln: LayerNorm::load(loader, "decoder.ln", n_state)?,
        })
    }

    /// Memory for a row: the caches of its tokens, empty, and those of its window, to be filled.
    pub(crate) fn caches(&self, spare: &mut Spare) -> (Vec<KeyValues>, Vec<KeyValues>) {
        let Dims { n_text_state: n_state, n_text_head: n_head, n_text_ctx, n_audio_ctx, .. } = self.dims;
        let made = |n_positions: usize, precision: CachePrecision| {
            let empty = || KeyValues::new(n_head, n_state / n_head, n_positions, precision);
            self.blocks.iter().map(|_| empty()).collect()
        };
        let mut self_kv: Vec<KeyValues> =
            spare.of_tokens.pop().unwrap_or_else(|| made(n_text_ctx, self.self_precision()));
        self_kv.iter_mut().for_each(|kv| kv.truncate(0));
        (self_kv, spare.of_windows.pop().unwrap_or_else(|| made(n_audio_ctx, self.cross_precision())))
    }

    /// A row without tokens over a window: computes the window's keys and values for cross-attention.
    ///
    /// - `features`: `[n_ctx, n_state]`
    /// - `caches`: those of [`caches`](Self::caches)
    /// - `key_value`: scratch space, `[n_ctx, 2 * n_state]`
    pub(crate) fn start(
        &self,
        threads: &Threads,
        features: &[f32],
        (self_kv, mut cross_kv): (Vec<KeyValues>, Vec<KeyValues>),
        key_value: &mut [f32],
    ) -> Row {
        let n_state = self.dims.n_text_state;
        for (block, cross_kv) in self.blocks.iter().zip(&mut cross_kv) {
            linear(
                threads,
                Input::matrix(features, n_state),
                &block.cross_key_value,
                Epilogue::Store,
                key_value,
            );
            cross_kv.fill(threads, key_value);
        }
        Row { self_kv, cross_kv: Arc::new(cross_kv) }
    }

    fn self_precision(&self) -> CachePrecision {
        match self.precision {
            Precision::F32 => CachePrecision::F32,
            Precision::Bf16 | Precision::Int8 => CachePrecision::F16,
        }
    }

    /// Cross-attention is most of what a batch reads, and all of a window's positions are there at once.
    fn cross_precision(&self) -> CachePrecision {
        match self.precision {
            Precision::Int8 => CachePrecision::Int8,
            _ => self.self_precision(),
        }
    }

    /// Feeds one row its tokens and computes the logits it asks for, in the rough where that is faster: then
    /// [`refine`](Self::refine) makes the greatest exact.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    pub(crate) fn run_roughly(
        &self,
        threads: &Threads,
        step: &mut Step<'_>,
        logits: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let steps = std::slice::from_mut(step);
        let Some(coarse) = self.coarse.as_ref().filter(|_| steps[0].n_logits == 1) else {
            return self.run(threads, steps, None, logits, scratch);
        };
        self.run_blocks(threads, steps, None, scratch);
        coarse.multiply(threads, &self.tokens, self.normed(threads, steps, scratch), logits);
        scratch.is_rough = true;
    }

    /// Makes the greatest of some logits what it is, if [`run_roughly`](Self::run_roughly) left it in the rough.
    pub(crate) fn refine(&self, scratch: &Scratch, among: Range<usize>, logits: &mut [f32]) {
        if let Some(coarse) = self.coarse.as_ref().filter(|_| scratch.is_rough) {
            coarse.refine(&self.tokens, &scratch.normed[..self.dims.n_text_state], among, logits);
        }
    }

    /// Feeds every row its tokens and computes the logits that the steps ask for, and the scores of heads to watch.
    ///
    /// - `logits`: `[n_logits, n_vocab]`, those of all steps one after the other.
    ///
    /// # Panics
    /// If a token is not in the vocabulary, a row grows past `n_text_ctx`, a step asks for more logits than it has
    /// tokens, `logits` has another length, or the scores to watch are not `[n_tokens, n_heads, n_ctx]`.
    pub(crate) fn run(
        &self,
        threads: &Threads,
        steps: &mut [Step<'_>],
        watch: Option<Watch<'_>>,
        logits: &mut [f32],
        scratch: &mut Scratch,
    ) {
        self.run_blocks(threads, steps, watch, scratch);
        let Dims { n_text_state: n_state, n_vocab, .. } = self.dims;
        let normed = self.normed(threads, steps, scratch);
        let n_logits = normed.len() / n_state;
        assert_eq!(logits.len(), n_logits * n_vocab, "the logits are not [{n_logits}, {n_vocab}]");
        linear(threads, Input::matrix(normed, n_state), &self.tokens, Epilogue::Store, logits);
    }

    /// Feeds every row its tokens, up to the residual stream behind the last block.
    fn run_blocks(
        &self,
        threads: &Threads,
        steps: &mut [Step<'_>],
        mut watch: Option<Watch<'_>>,
        scratch: &mut Scratch,
    ) {
        self.embed(steps, scratch);
        scratch.is_rough = false;
        for (layer, block) in self.blocks.iter().enumerate() {
            block.run(threads, &self.dims, layer, steps, watch.as_mut(), scratch);
        }
    }

    /// Lays out the tokens of all steps one after the other, as embeddings with positions.
    fn embed(&self, steps: &[Step<'_>], scratch: &mut Scratch) {
        let Dims { n_text_state: n_state, n_text_ctx, n_vocab, .. } = self.dims;
        let n_tokens = steps.iter().map(|step| step.tokens.len()).sum::<usize>();
        scratch.resize(n_tokens, n_state);
        let mut rows = scratch.x.chunks_exact_mut(n_state);
        for (step_idx, step) in steps.iter().enumerate() {
            let n_before = step.row.n_tokens();
            let n_after = n_before + step.tokens.len();
            assert!(n_after <= n_text_ctx, "{n_after} tokens are more than the text context of {n_text_ctx}");
            for (position, token) in (n_before..).zip(step.tokens) {
                assert!((*token as usize) < n_vocab, "token {token} is not in the vocabulary of {n_vocab}");
                let row = rows.next().expect("there is a row for every token");
                self.tokens.weights().row(*token as usize, row);
                add(row, &self.positions[position * n_state..][..n_state]);
                scratch.owner.push(step_idx);
                scratch.len.push(position + 1);
            }
        }
    }

    /// Normalises the rows that logits are wanted after: `[n_logits, n_state]`.
    fn normed<'a>(&self, threads: &Threads, steps: &[Step<'_>], scratch: &'a mut Scratch) -> &'a [f32] {
        let n_state = self.dims.n_text_state;
        let (mut n_seen, mut n_logits) = (0, 0);
        for Step { tokens, n_logits: k, .. } in steps {
            assert!(*k <= tokens.len(), "logits are wanted after {k} tokens of {}", tokens.len());
            n_seen += tokens.len();
            // Rows move forward only, so nothing is overwritten that is still needed.
            scratch.x.copy_within((n_seen - k) * n_state..n_seen * n_state, n_logits * n_state);
            n_logits += k;
        }
        let normed = &mut scratch.normed[..n_logits * n_state];
        self.ln.run(threads, &scratch.x[..n_logits * n_state], normed);
        normed
    }
}

/// Whether logits are computed in the rough: where the vocabulary, in bytes, is most of what a step reads.
pub(crate) fn has_rough_logits(dims: &Dims, precision: Precision) -> bool {
    let Dims { n_text_state: n_state, n_text_layer, n_vocab, .. } = *dims;
    precision == Precision::Int8 && n_vocab * n_state > n_text_layer * 14 * n_state * n_state
}

impl Scratch {
    /// Makes room for a step of `n_tokens`.
    fn resize(&mut self, n_tokens: usize, n_state: usize) {
        self.x.resize(n_tokens * n_state, 0.0);
        self.normed.resize(n_tokens * n_state, 0.0);
        self.qkv.resize(n_tokens * 3 * n_state, 0.0);
        self.hidden.resize(n_tokens * 4 * n_state, 0.0);
        self.owner.clear();
        self.len.clear();
    }
}

impl Block {
    fn load(loader: &Loader<'_>, name: &str, n_state: usize) -> Result<Self, Error> {
        let [key, value] = ["key", "value"].map(|part| format!("{name}.cross_attn.{part}"));
        let square = |part: &str| loader.linear(&format!("{name}.{part}"), n_state, n_state);
        Ok(Self {
            attn_ln: LayerNorm::load(loader, &format!("{name}.attn_ln"), n_state)?,
            qkv: loader.query_key_value(&format!("{name}.attn"), n_state)?,
            out: square("attn.out")?,
            cross_attn_ln: LayerNorm::load(loader, &format!("{name}.cross_attn_ln"), n_state)?,
            cross_query: square("cross_attn.query")?,
            cross_key_value: loader.joined(&[(&key, false), (&value, true)], n_state, n_state)?,
            cross_out: square("cross_attn.out")?,
            mlp: Mlp::load(loader, name, n_state)?,
        })
    }

    fn run(
        &self,
        threads: &Threads,
        dims: &Dims,
        layer: usize,
        steps: &mut [Step<'_>],
        watch: Option<&mut Watch<'_>>,
        scratch: &mut Scratch,
    ) {
        let Dims { n_text_state: n_state, n_text_head: n_head, .. } = *dims;
        let head_dim = n_state / n_head;
        let Scratch { x, normed, qkv, hidden, owner, len, .. } = scratch;
        self.attn_ln.run(threads, x, normed);
        linear(threads, Input::matrix(normed, n_state), &self.qkv, Epilogue::Store, qkv);
        for (owner, qkv) in owner.iter().zip(qkv.chunks_exact(3 * n_state)) {
            steps[*owner].row.self_kv[layer].extend(threads, &qkv[n_state..]);
        }
        let steps = &*steps;
        threads.for_each_chunk(normed, head_dim, |idx, out| {
            let (token_idx, head_idx) = (idx / n_head, idx % n_head);
            let query = &qkv[token_idx * 3 * n_state + head_idx * head_dim..][..head_dim];
            let cache = &steps[owner[token_idx]].row.self_kv[layer];
            cache.attend(head_idx, len[token_idx], query, out);
        });
        linear(threads, Input::matrix(normed, n_state), &self.out, Epilogue::Add, x);

        self.cross_attn_ln.run(threads, x, normed);
        let queries = &mut qkv[..x.len()];
        linear(threads, Input::matrix(normed, n_state), &self.cross_query, Epilogue::Store, queries);
        threads.for_each_chunk(normed, head_dim, |idx, out| {
            let (token_idx, head_idx) = (idx / n_head, idx % n_head);
            let cache = &steps[owner[token_idx]].row.cross_kv[layer];
            cache.attend(head_idx, cache.len(), &queries[idx * head_dim..][..head_dim], out);
        });
        if let Some(Watch { heads, n_ctx, scores }) = watch {
            assert_eq!(
                scores.len(),
                owner.len() * heads.len() * *n_ctx,
                "scores: not [n_tokens, n_heads, n_ctx]"
            );
            threads.for_each_chunk(scores, *n_ctx, |idx, out| {
                let (token_idx, (head_layer, head_idx)) = (idx / heads.len(), heads[idx % heads.len()]);
                if head_layer == layer {
                    let query = &queries[token_idx * n_state + head_idx * head_dim..][..head_dim];
                    steps[owner[token_idx]].row.cross_kv[layer].scores(head_idx, query, out);
                }
            });
        }
        linear(threads, Input::matrix(normed, n_state), &self.cross_out, Epilogue::Add, x);

        self.mlp.ln.run(threads, x, normed);
        linear(threads, Input::matrix(normed, n_state), &self.mlp.up, Epilogue::Gelu, hidden);
        linear(threads, Input::matrix(hidden, 4 * n_state), &self.mlp.down, Epilogue::Add, x);
    }
}
