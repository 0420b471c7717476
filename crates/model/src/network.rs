//! The network as a whole: mel in, logits out.

use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use boswell_kernels::{KeyValues, Precision, Threads};

use crate::decoder::{Decoder, Spare, has_rough_logits};
use crate::encoder::Encoder;
use crate::loader::Loader;
use crate::{AudioFeatures, Checkpoint, Dims, Error, Generation, Row, Scratch, Step, Tokenizer, Watch};

/// How a model is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Threads that compute, the caller's included.
    pub threads: usize,
    /// The numbers that weights are kept in.
    pub precision: Precision,
    /// Whether weights of less than f32 are kept, as they are packed for this CPU, in a file beside the model, which
    /// makes the next start faster. A folder that cannot be written to does no harm.
    pub keep_packed: bool,
}

impl Default for LoadOptions {
    /// All cores, f32, nothing kept.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { threads, precision: Precision::F32, keep_packed: false }
    }
}

impl LoadOptions {
    /// About how many bytes the weights of a checkpoint take in memory when they are loaded so.
    pub fn weight_bytes(&self, checkpoint: &Checkpoint) -> u64 {
        let bytes_each = match self.precision {
            Precision::F32 => 4,
            Precision::Bf16 => 2,
            Precision::Int8 => 1,
        };
        let dims = checkpoint.dims();
        let coarse =
            if has_rough_logits(dims, self.precision) { dims.n_vocab * dims.n_text_state / 2 } else { 0 };
        checkpoint.n_parameters() * bytes_each + coarse as u64
    }
}

/// A Whisper network with its vocabulary: immutable, shared by everybody who transcribes with it.
pub struct Model {
    dims: Dims,
    generation: Generation,
    tokenizer: Tokenizer,
    threads: Threads,
    encoder: Encoder,
    decoder: Decoder,
    /// Of the window that was encoded last; windows that are encoded meanwhile have memory of their own.
    kept: Mutex<Option<crate::encoder::Scratch>>,
    /// Of rows that are done.
    spare: Mutex<Spare>,
}

impl Model {
    /// Loads a checkpoint of any format, see [`Checkpoint::open`].
    ///
    /// # Errors
    /// If the checkpoint cannot be opened, or lacks a tensor, or has one of another shape.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self, Error> {
        Self::new(&Checkpoint::open(path)?, options)
    }

    /// Builds the network from an open checkpoint, packing its weights for this CPU.
    ///
    /// # Errors
    /// If the checkpoint lacks a tensor, or has one of another shape.
    pub fn new(checkpoint: &Checkpoint, options: &LoadOptions) -> Result<Self, Error> {
        let started = std::time::Instant::now();
        let dims = checkpoint.dims();
        if dims.n_text_state != dims.n_audio_state {
            let expected = format!("{}, as n_audio_state", dims.n_audio_state);
            return Err(Error::field(checkpoint.name(), "n_text_state", dims.n_text_state, expected));
        }
        let threads = Threads::new(options.threads);
        let tokenizer = checkpoint.tokenizer()?;
        let loader = Loader::new(checkpoint, &threads, options);
        let encoder = Encoder::load(&loader, *dims)?;
        let decoder = Decoder::load(&loader, *dims, tokenizer.special().eot as usize)?;
        loader.finish();
        let model = Self {
            dims: *dims,
            generation: checkpoint.generation().clone(),
            tokenizer,
            encoder,
            decoder,
            threads,
            kept: Mutex::default(),
            spare: Mutex::default(),
        };
        tracing::debug!(dims = ?model.dims, threads = model.threads.count(), precision = %options.precision, elapsed = ?started.elapsed(), "model loaded");
        Ok(model)
    }

    /// The sizes of the network.
    pub fn dims(&self) -> &Dims {
        &self.dims
    }

    /// How the model wants to be decoded.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// The threads that compute.
    pub fn threads(&self) -> &Threads {
        &self.threads
    }

    /// The vocabulary.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Encodes a window: `[n_mels, 2 * n_ctx]` to `[n_ctx, n_audio_state]`. `n_ctx` is `n_audio_ctx`, as models are
    /// trained, or less: then the end of the window is left out, as if there were none.
    ///
    /// # Panics
    /// If `mel` has another length.
    pub fn encode(&self, mel: &[f32]) -> AudioFeatures {
        let mut scratch = self.encoder.scratch();
        let rows = self.encoder.run(&self.threads, mel, &mut scratch, |_, _| {}).to_vec();
        AudioFeatures { n_state: self.dims.n_audio_state, rows }
    }

    /// A row without tokens over a window; computes the window's keys and values for cross-attention.
    ///
    /// # Panics
    /// If the features are of another width than this model's.
    pub fn start(&self, features: &AudioFeatures) -> Row {
        assert_eq!(features.n_state, self.dims.n_text_state, "the features are another model's");
        let mut key_value = vec![0.0; 2 * features.rows.len()];
        self.decoder.start(&self.threads, &features.rows, self.caches(), &mut key_value)
    }

    /// [`encode`](Self::encode) and [`start`](Self::start) in one, in memory that is kept from window to window:
    /// clearing fresh pages costs a tenth of the encoder's time. `on_encoded` is called between the two.
    ///
    /// # Panics
    /// If `mel` has another length.
    pub fn window(&self, mel: &[f32], on_encoded: impl FnOnce()) -> Row {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut scratch = kept.unwrap_or_else(|| self.encoder.scratch());
        self.encoder.run(&self.threads, mel, &mut scratch, |_, _| {});
        on_encoded();
        let (features, key_value) = scratch.features_and_room();
        let row = self.decoder.start(&self.threads, features, self.caches(), key_value);
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(scratch);
        row
    }

    /// Takes the memory of a row that is of no more use, for the next.
    pub fn reclaim(&self, row: Row) {
        self.spare().reclaim(row);
    }

    /// A row that is as another and shares its window, as its clone, in memory that was reclaimed if there is some.
    pub fn fork(&self, row: &Row) -> Row {
        self.spare().fork(row)
    }

    /// Feeds every row its tokens, together: each weight is read once for all of them.
    ///
    /// - `logits`: `[n_logits, n_vocab]`, those that all steps ask for one after the other.
    ///
    /// # Panics
    /// If a token is not in the vocabulary, a row grows past `n_text_ctx`, a step asks for more logits than it has
    /// tokens, or `logits` has another length.
    pub fn decode(&self, steps: &mut [Step<'_>], logits: &mut [f32], scratch: &mut Scratch) {
        self.decoder.run(&self.threads, steps, None, logits, scratch);
    }

    /// Feeds one row its tokens as [`decode`](Self::decode) does, but computes its logits in the rough where that is
    /// faster: those of text are a little off, until [`refine`](Self::refine) makes the greatest exact.
    ///
    /// # Panics
    /// As [`decode`](Self::decode).
    pub fn decode_roughly(&self, step: &mut Step<'_>, logits: &mut [f32], scratch: &mut Scratch) {
        self.decoder.run_roughly(&self.threads, step, logits, scratch);
    }

    /// Makes the greatest of some logits that which [`decode`](Self::decode) would have given, if `scratch` was last used
    /// by [`decode_roughly`](Self::decode_roughly) for them. What is −∞ stays so.
    ///
    /// # Panics
    /// If `among` is not in the vocabulary.
    pub fn refine(&self, scratch: &Scratch, among: Range<usize>, logits: &mut [f32]) {
        self.decoder.refine(scratch, among, logits);
    }

    /// Feeds every row its tokens as [`decode`](Self::decode) does, and tells where attention heads look.
    ///
    /// # Panics
    /// As [`decode`](Self::decode); if the scores to watch are not `[n_tokens, n_heads, n_ctx]`, or a head does not
    /// exist.
    pub fn decode_watched(
        &self,
        steps: &mut [Step<'_>],
        watch: Watch<'_>,
        logits: &mut [f32],
        scratch: &mut Scratch,
    ) {
        self.decoder.run(&self.threads, steps, Some(watch), logits, scratch);
    }

    /// Memory for a row.
    fn caches(&self) -> (Vec<KeyValues>, Vec<KeyValues>) {
        self.decoder.caches(&mut self.spare())
    }

    fn spare(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
