//! What the network is built with: the checkpoint, and the packed weights beside it.

use std::sync::OnceLock;

use boswell_kernels::{Linear, Precision, Threads, Weights};

use crate::packed::Packed;
use crate::{Checkpoint, Error, LoadOptions};

/// Reads layers, packed before or packed now.
pub(crate) struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    /// The threads that compute.
    pub(crate) threads: &'a Threads,
    /// The numbers that weights are kept in.
    pub(crate) precision: Precision,
    packed: Option<Packed>,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(checkpoint: &'a Checkpoint, threads: &'a Threads, options: &LoadOptions) -> Self {
        let precision = options.precision;
        let packed = if options.keep_packed { Packed::beside(checkpoint, precision) } else { None };
        Self { checkpoint, threads, precision, packed }
    }

    /// As [`Checkpoint::values`].
    pub(crate) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        self.checkpoint.values(name, shape)
    }

    /// The matrix `[n_out, n_in]` called `name`, of the precision given; `read` reads it, if it is not packed yet.
    pub(crate) fn weights(
        &self,
        name: &str,
        [n_out, n_in]: [usize; 2],
        precision: Precision,
        read: impl FnOnce() -> Result<Vec<f32>, Error>,
    ) -> Result<Weights, Error> {
        let n_words = Weights::packed_len(n_out, n_in, precision);
        if let Some(words) = self.packed.as_ref().and_then(|packed| packed.find(name, n_words)) {
            return Ok(Weights::from_packed(words, n_out, n_in, precision));
        }
        let weights = Weights::pack(&read()?, n_out, n_in, precision);
        if let Some(packed) = &self.packed {
            packed.keep(name, weights.packed(), n_words);
        }
        Ok(weights)
    }

    /// The linear layer `name.weight`, `[n_out, n_in]`, with `name.bias`.
    pub(crate) fn linear(&self, name: &str, n_out: usize, n_in: usize) -> Result<Linear, Error> {
        self.joined(&[(name, true)], n_out, n_in)
    }

    /// Several linear layers over the same input as one: their outputs stand side by side. Each of the parts has a
    /// name, and a bias or (Whisper's keys) none, which is one of zeros.
    pub(crate) fn joined(&self, parts: &[(&str, bool)], n_out: usize, n_in: usize) -> Result<Linear, Error> {
        let mut bias = Vec::new();
        for (name, has_bias) in parts {
            match has_bias {
                true => bias.extend(self.values(&format!("{name}.bias"), &[n_out])?),
                false => bias.resize(bias.len() + n_out, 0.0),
            }
        }
        let name = parts.iter().map(|(name, _)| *name).collect::<Vec<_>>().join("+");
        let weights = self.weights(&name, [parts.len() * n_out, n_in], self.precision, || {
            let mut weights = Vec::with_capacity(parts.len() * n_out * n_in);
            for (name, _) in parts {
                weights.extend(self.values(&format!("{name}.weight"), &[n_out, n_in])?);
            }
            Ok(weights)
        })?;
        Ok(Linear::new(weights, bias))
    }

    /// Query, key and value of the attention `name` as one layer, `[3 * n_state, n_state]`.
    pub(crate) fn query_key_value(&self, name: &str, n_state: usize) -> Result<Linear, Error> {
        let [query, key, value] = ["query", "key", "value"].map(|part| format!("{name}.{part}"));
        self.joined(&[(&query, true), (&key, false), (&value, true)], n_state, n_state)
    }

    /// Makes some things, each on the thread that is free.
    pub(crate) fn make_each<T: Send + Sync>(
        &self,
        n: usize,
        make: impl Fn(usize) -> Result<T, Error> + Sync,
    ) -> Result<Vec<T>, Error> {
        let made: Vec<OnceLock<Result<T, Error>>> = (0..n).map(|_| OnceLock::new()).collect();
        self.threads.run(n, &|idx| {
            made[idx].get_or_init(|| make(idx));
        });
        made.into_iter().map(|made| made.into_inner().expect("every task has run")).collect()
    }

    /// Keeps what was packed for the next time.
    pub(crate) fn finish(self) {
        if let Some(packed) = self.packed {
            packed.write();
        }
    }
}
