//! The layers that encoder and decoder are made of, and how they are read from a checkpoint.

use std::sync::OnceLock;

use boswell_kernels::{Linear, Precision, Threads, Weights, layer_norm};

use crate::{Checkpoint, Error};

/// Layer normalisation over rows of `[n_state]`.
pub(crate) struct LayerNorm {
    weight: Vec<f32>, // [n_state]
    bias: Vec<f32>,   // [n_state]
}

impl LayerNorm {
    /// Reads `name.weight` and `name.bias`.
    pub(crate) fn load(checkpoint: &Checkpoint, name: &str, n_state: usize) -> Result<Self, Error> {
        let read = |part: &str| checkpoint.values(&format!("{name}.{part}"), &[n_state]);
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
}

/// Makes some things, each on the thread that is free.
pub(crate) fn make_each<T: Send + Sync>(
    threads: &Threads,
    n: usize,
    make: impl Fn(usize) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let made: Vec<OnceLock<Result<T, Error>>> = (0..n).map(|_| OnceLock::new()).collect();
    threads.run(n, &|idx| {
        made[idx].get_or_init(|| make(idx));
    });
    made.into_iter().map(|made| made.into_inner().expect("every task has run")).collect()
}

/// Reads the linear layer `name.weight`, `[n_out, n_in]`, with `name.bias`.
pub(crate) fn linear(
    checkpoint: &Checkpoint,
    name: &str,
    n_out: usize,
    n_in: usize,
    precision: Precision,
) -> Result<Linear, Error> {
    joined(checkpoint, &[(name, true)], n_out, n_in, precision)
}

/// Reads several linear layers over the same input as one: their outputs stand side by side.
///
/// A layer without a bias (Whisper's keys have none) has one of zeros.
pub(crate) fn joined(
    checkpoint: &Checkpoint,
    names_with_bias: &[(&str, bool)],
    n_out: usize,
    n_in: usize,
    precision: Precision,
) -> Result<Linear, Error> {
    let (mut weights, mut bias) = (Vec::new(), Vec::new());
    for (name, has_bias) in names_with_bias {
        weights.extend(checkpoint.values(&format!("{name}.weight"), &[n_out, n_in])?);
        match has_bias {
            true => bias.extend(checkpoint.values(&format!("{name}.bias"), &[n_out])?),
            false => bias.resize(bias.len() + n_out, 0.0),
        }
    }
    Ok(Linear::new(Weights::pack(&weights, names_with_bias.len() * n_out, n_in, precision), bias))
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
    /// Reads the MLP of the block `name`.
    pub(crate) fn load(
        checkpoint: &Checkpoint,
        name: &str,
        n_state: usize,
        precision: Precision,
    ) -> Result<Self, Error> {
        Ok(Self {
            ln: LayerNorm::load(checkpoint, &format!("{name}.mlp_ln"), n_state)?,
            up: linear(checkpoint, &format!("{name}.mlp.0"), 4 * n_state, n_state, precision)?,
            down: linear(checkpoint, &format!("{name}.mlp.2"), n_state, 4 * n_state, precision)?,
        })
    }
}

/// Reads query, key and value of the attention `name` as one layer, `[3 * n_state, n_state]`.
pub(crate) fn query_key_value(
    checkpoint: &Checkpoint,
    name: &str,
    n_state: usize,
    precision: Precision,
) -> Result<Linear, Error> {
    let [query, key, value] = ["query", "key", "value"].map(|part| format!("{name}.{part}"));
    joined(checkpoint, &[(&query, true), (&key, false), (&value, true)], n_state, n_state, precision)
}
