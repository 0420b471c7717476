//! The layers that encoder and decoder are made of, and how they are read.

use boswell_kernels::{Linear, Threads, layer_norm, mlp, normed_linear};

use crate::Error;
use crate::loader::Loader;

/// Layer normalisation over rows of `[n_state]`.
pub(crate) struct LayerNorm {
    weight: Vec<f32>, // [n_state]
    bias: Vec<f32>,   // [n_state]
}

impl LayerNorm {
    /// Reads `name.weight` and `name.bias`.
    pub(crate) fn load(loader: &Loader<'_>, name: &str, n_state: usize) -> Result<Self, Error> {
        let read = |part: &str| loader.values(&format!("{name}.{part}"), &[n_state]);
        Ok(Self { weight: read("weight")?, bias: read("bias")? })
    }

    /// Normalises every row of `x` into `out`, both `[n_rows, n_state]`.
    pub(crate) fn run(&self, threads: &Threads, x: &[f32], out: &mut [f32]) {
        let n_state = self.weight.len();
        let rows_per_task = (x.len() / n_state).div_ceil(4 * threads.count()).max(8);
        threads.for_each_chunk(out, rows_per_task * n_state, |idx, out| {
            let x = &x[idx * rows_per_task * n_state..];
            for (x, out) in x.chunks_exact(n_state).zip(out.chunks_exact_mut(n_state)) {
                layer_norm(x, &self.weight, &self.bias, out);
            }
        });
    }

    /// Normalises every row of `x`, `[n_rows, n_state]`, and applies a layer: `out` is `[n_rows, n_out]`; for many rows.
    pub(crate) fn run_with(&self, threads: &Threads, x: &[f32], layer: &Linear, out: &mut [f32]) {
        normed_linear(threads, x, self.parameters(), layer, out);
    }

    /// Weight and bias.
    fn parameters(&self) -> [&[f32]; 2] {
        [&self.weight, &self.bias]
    }
}

/// The two layers between attention blocks: wider by four, GELU, and back.
pub(crate) struct Mlp {
    /// Normalises the residual stream.
    pub(crate) ln: LayerNorm,
    /// `[4 * n_state, n_state]`
    pub(crate) up: Linear,
    /// `[n_state, 4 * n_state]`
    pub(crate) down: Linear,
}

impl Mlp {
    /// Adds to every row of `x`, `[n_rows, n_state]`, what the MLP makes of it; for many rows.
    pub(crate) fn run(&self, threads: &Threads, x: &mut [f32]) {
        mlp(threads, x, self.ln.parameters(), &self.up, &self.down);
    }

    /// Reads the MLP of the block `name`.
    pub(crate) fn load(loader: &Loader<'_>, name: &str, n_state: usize) -> Result<Self, Error> {
        Ok(Self {
            ln: LayerNorm::load(loader, &format!("{name}.mlp_ln"), n_state)?,
            up: loader.linear(&format!("{name}.mlp.0"), 4 * n_state, n_state)?,
            down: loader.linear(&format!("{name}.mlp.2"), n_state, 4 * n_state)?,
        })
    }
}
