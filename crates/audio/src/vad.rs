//! Voice activity: where in a recording somebody speaks.
//!
//! [`VoiceActivity`] listens to a waveform chunk by chunk, with the network of Silero VAD 6.2, and says how probable
//! speech is in each. [`speech_spans`] makes spans of speech of that.

mod network;
mod spans;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use network::{Network, Scratch, State};
pub use spans::{VadOptions, speech_spans};

/// Samples of a chunk, which has one probability: 32 ms.
pub const VAD_CHUNK: usize = 512;

/// Samples before a chunk that the network sees too.
const CONTEXT: usize = 64;
/// Chunks that go through the network together: each weight is read once for all of them.
const BLOCK: usize = 32;

/// Weights and tables, which all share.
static NETWORK: LazyLock<Network> = LazyLock::new(Network::new);

/// Listens to a waveform that arrives in pieces, of any sizes, and says how probable it is that somebody speaks.
///
/// The probabilities do not depend on the sizes of the pieces, but for the last bits.
#[derive(Debug)]
pub struct VoiceActivity {
    /// The end of the chunk before, then what does not fill a chunk yet.
    pending: Vec<f32>,
    state: State,
    scratch: Scratch,
}

impl Default for VoiceActivity {
    fn default() -> Self {
        Self { pending: vec![0.0; CONTEXT], state: State::default(), scratch: Scratch::default() }
    }
}

impl VoiceActivity {
    /// Takes the waveform's next samples, and appends a probability for each chunk that they complete.
    ///
    /// - `samples`: mono, `[-1, 1]`, 16 kHz, any number of them.
    /// - `probabilities`: one for every [`VAD_CHUNK`] samples, between 0 and 1.
    ///
    /// Source: `OnnxWrapper` in snakers4/silero-vad `src/silero_vad/utils_vad.py`.
    pub fn push(&mut self, samples: &[f32], probabilities: &mut Vec<f32>) {
        self.pending.extend_from_slice(samples);
        let n_chunks = (self.pending.len() - CONTEXT) / VAD_CHUNK;
        for first in (0..n_chunks).step_by(BLOCK) {
            let n = BLOCK.min(n_chunks - first);
            let samples = &self.pending[first * VAD_CHUNK..][..n * VAD_CHUNK + CONTEXT];
            NETWORK.forward(samples, &mut self.state, &mut self.scratch, probabilities);
        }
        self.pending.drain(..n_chunks * VAD_CHUNK);
    }

    /// Appends the probability of the last chunk, if the waveform ends within one: zeros follow it.
    pub fn finish(mut self, probabilities: &mut Vec<f32>) {
        let n_left = self.pending.len() - CONTEXT;
        if n_left > 0 {
            self.push(&[0.0; VAD_CHUNK][n_left..], probabilities);
        }
    }
}
