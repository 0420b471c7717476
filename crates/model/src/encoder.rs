//! The encoder: a window's log-mel spectrogram to audio features.

use boswell_kernels::{Attention, Epilogue, Input, Linear, Precision, Threads, add, linear};

use crate::layer::{LayerNorm, Mlp};
use crate::loader::Loader;
use crate::{Dims, Error};

/// Frames that are turned into rows at once: few enough that they stay in a first-level cache meanwhile.
const FRAMES_PER_TASK: usize = 64;

/// What the encoder heard in one window: `[n_ctx, n_audio_state]`, 20 ms a row.
#[derive(Clone, Debug)]
pub struct AudioFeatures {
    /// The width of a row.
    pub n_state: usize,
    /// The rows, one after the other.
    pub rows: Vec<f32>,
}

pub(crate) struct Encoder {
    dims: Dims,
    precision: Precision,
    conv1: Linear,       // [n_state, 3 * n_mels]
    conv2: Linear,       // [n_state, 3 * n_state]
    positions: Vec<f32>, // [n_ctx, n_state]
    blocks: Vec<Block>,
    ln_post: LayerNorm,
}

struct Block {
    attn_ln: LayerNorm,
    qkv: Linear, // [3 * n_state, n_state]
    out: Linear, // [n_state, n_state]
    mlp: Mlp,
}

/// What the encoder computes with, used again for every window.
pub(crate) struct Scratch {
    n_ctx: usize,     // of the last window
    frames: Vec<f32>, // [2 * n_ctx + 2, n_mels]: zeros at both ends
    x: Vec<f32>,      // [n_ctx, n_state]: the residual stream
    normed: Vec<f32>, // [n_ctx, n_state]
    /// What is wide, one after the other: rows between the convolutions, `[2 * n_ctx + 2, n_state]`, with zeros at both
    /// ends; then queries, keys and values, `[n_ctx, 3 * n_state]`.
    wide: Vec<f32>,
    attention: Attention,
}

impl Scratch {
    /// The audio features that were computed last, `[n_ctx, n_state]`, and room for as many keys and values, of any
    /// contents.
    pub(crate) fn features_and_room(&mut self) -> (&[f32], &mut [f32]) {
        let n = 2 * self.normed.len();
        (&self.normed, &mut self.wide[..n])
    }
}

impl Encoder {
    pub(crate) fn load(loader: &Loader<'_>, dims: Dims) -> Result<Self, Error> {
        let n_state = dims.n_audio_state;
        let block = |idx: usize| Block::load(loader, &format!("encoder.blocks.{idx}"), n_state);
        Ok(Self {
            dims,
            precision: loader.precision,
            conv1: convolution(loader, "encoder.conv1", n_state, dims.n_mels)?,
            conv2: convolution(loader, "encoder.conv2", n_state, n_state)?,
            positions: loader.values("encoder.positional_embedding", &[dims.n_audio_ctx, n_state])?,
            blocks: loader.make_each(dims.n_audio_layer, block)?,
            ln_post: LayerNorm::load(loader, "encoder.ln_post", n_state)?,
        })
    }

    /// The memory that [`run`](Self::run) works in. It grows with the first window.
    pub(crate) fn scratch(&self) -> Scratch {
        Scratch {
            n_ctx: 0,
            frames: Vec::new(),
            x: Vec::new(),
            normed: Vec::new(),
            wide: Vec::new(),
            attention: self.attention(0),
        }
    }

    /// Makes the memory as large as windows of `n_ctx` rows need it.
    fn fit(&self, scratch: &mut Scratch, n_ctx: usize) {
        if scratch.n_ctx == n_ctx {
            return;
        }
        let Dims { n_mels, n_audio_state: n_state, .. } = self.dims;
        let n_rows = 2 * n_ctx + 2;
        scratch.frames.resize(n_rows * n_mels, 0.0);
        scratch.frames[(n_rows - 1) * n_mels..].fill(0.0);
        scratch.x.resize(n_ctx * n_state, 0.0);
        scratch.normed.resize(n_ctx * n_state, 0.0);
        scratch.wide.resize(n_rows.max(3 * n_ctx) * n_state, 0.0);
        scratch.attention = self.attention(n_ctx);
        scratch.n_ctx = n_ctx;
    }

    fn attention(&self, n_ctx: usize) -> Attention {
        let Dims { n_audio_state: n_state, n_audio_head: n_head, .. } = self.dims;
        Attention::new(n_ctx, n_head, n_state / n_head, self.precision.floating() == Precision::Bf16)
    }

    /// Encodes a window; returns the audio features, `[n_ctx, n_state]`. `on_stage` sees the residual stream
    /// `[n_ctx, n_state]` after the convolutions (0) and after each block (1, 2, …).
    ///
    /// - `mel`: `[n_mels, 2 * n_ctx]`, a whole window or the beginning of one: `n_ctx` is 1 to `n_audio_ctx`.
    ///
    /// # Panics
    /// If `mel` is not `[n_mels, 2 * n_ctx]`.
    pub(crate) fn run<'a>(
        &self,
        threads: &Threads,
        mel: &[f32],
        scratch: &'a mut Scratch,
        mut on_stage: impl FnMut(usize, &[f32]),
    ) -> &'a [f32] {
        let Dims { n_mels, n_audio_ctx, .. } = self.dims;
        let n_ctx = mel.len() / (2 * n_mels);
        let is_window = mel.len() == n_ctx * 2 * n_mels && (1..=n_audio_ctx).contains(&n_ctx);
        assert!(is_window, "mel is not [{n_mels}, 2 * n_ctx] with n_ctx 1 to {n_audio_ctx}");
        self.fit(scratch, n_ctx);
        self.embed(threads, mel, scratch);
        on_stage(0, &scratch.x);
        for (idx, block) in self.blocks.iter().enumerate() {
            block.run(threads, self.dims.n_audio_state, scratch);
            on_stage(idx + 1, &scratch.x);
        }
        self.ln_post.run(threads, &scratch.x, &mut scratch.normed);
        &scratch.normed
    }

    /// The two convolutions and the positions.
    fn embed(&self, threads: &Threads, mel: &[f32], scratch: &mut Scratch) {
        let Dims { n_mels, n_audio_state: n_state, .. } = self.dims;
        let Scratch { n_ctx, frames, wide, x, .. } = scratch;
        let (n_ctx, n_frames) = (*n_ctx, 2 * *n_ctx);
        // Frames one after the other, with one of zeros at both ends: a kernel of 3 frames is then a row.
        threads.for_each_chunk(
            &mut frames[n_mels..][..mel.len()],
            FRAMES_PER_TASK * n_mels,
            |idx, frames| {
                for (band, mel) in mel.chunks_exact(n_frames).enumerate() {
                    let column = frames[band..].iter_mut().step_by(n_mels);
                    column.zip(&mel[idx * FRAMES_PER_TASK..]).for_each(|(out, x)| *out = *x);
                }
            },
        );
        let input = Input { data: frames, n_rows: n_frames, stride: n_mels };
        let (first, rest) = wide.split_at_mut(n_state);
        let (inner, rest) = rest.split_at_mut(n_frames * n_state);
        first.fill(0.0);
        rest[..n_state].fill(0.0);
        linear(threads, input, &self.conv1, Epilogue::Gelu, inner);
        let input = Input { data: wide, n_rows: n_ctx, stride: 2 * n_state };
        linear(threads, input, &self.conv2, Epilogue::Gelu, x);
        threads.for_each_chunk(x, FRAMES_PER_TASK * n_state, |idx, x| {
            add(x, &self.positions[idx * FRAMES_PER_TASK * n_state..][..x.len()]);
        });
    }
}

impl Block {
    fn load(loader: &Loader<'_>, name: &str, n_state: usize) -> Result<Self, Error> {
        Ok(Self {
            attn_ln: LayerNorm::load(loader, &format!("{name}.attn_ln"), n_state)?,
            qkv: loader.query_key_value(&format!("{name}.attn"), n_state)?,
            out: loader.linear(&format!("{name}.attn.out"), n_state, n_state)?,
            mlp: Mlp::load(loader, name, n_state)?,
        })
    }

    fn run(&self, threads: &Threads, n_state: usize, scratch: &mut Scratch) {
        let Scratch { x, normed, wide, attention, .. } = scratch;
        let qkv = &mut wide[..3 * x.len()];
        self.attn_ln.run_with(threads, x, &self.qkv, qkv);
        attention.run(threads, qkv, normed);
        linear(threads, Input::matrix(normed, n_state), &self.out, Epilogue::Add, x);
        self.mlp.run(threads, x);
    }
}

/// Reads a convolution of kernel 3, `[n_out, n_in, 3]`, as a linear layer over three frames, `[n_out, 3 * n_in]`.
///
/// It is never in bytes: it is small, and all else stands on it.
fn convolution(loader: &Loader<'_>, name: &str, n_out: usize, n_in: usize) -> Result<Linear, Error> {
    let precision = loader.precision.floating();
    let weights = loader.weights(name, [n_out, 3 * n_in], precision, || {
        let weights = loader.values(&format!("{name}.weight"), &[n_out, n_in, 3])?;
        let mut rows = vec![0.0; weights.len()];
        for (row, weights) in rows.chunks_exact_mut(3 * n_in).zip(weights.chunks_exact(3 * n_in)) {
            for (channel, taps) in weights.chunks_exact(3).enumerate() {
                taps.iter().enumerate().for_each(|(tap, w)| row[tap * n_in + channel] = *w);
            }
        }
        Ok(rows)
    })?;
    Ok(Linear::new(weights, loader.values(&format!("{name}.bias"), &[n_out])?))
}
