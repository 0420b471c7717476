//! From any recording to the log-mel features that the encoder sees.
//!
//! The sound travels through this crate in one direction:
//!
//! ```text
//! file, bytes or standard input
//!   └─ AudioReader: container → packets → samples → one channel → 16 kHz
//!        └─ Spectrogram: waveform → log-mel frames of the whole recording → windows
//! ```
//!
//! [`AudioReader`] recognises a recording by its content, decodes it piece by piece and gives a
//! [waveform](SAMPLE_RATE) on the recording's own time line: what an encoder added at the ends is
//! taken away, what was lost in between is silence. [`Spectrogram`] turns it into features as
//! openai/whisper does, in memory that does not grow with the recording. [`log_mel`] does the same
//! for a short waveform in one go.
//!
//! Whoever wants to look at the waveform on its way (voice activity, a level meter) calls
//! [`AudioReader::next_chunk`] and sees every sample once, in order.

mod error;
#[cfg(test)]
mod golden;
mod mel;
mod reader;
mod resample;
mod spectrogram;
mod vad;

pub use error::Error;
pub use mel::{HOP_LENGTH, LogMel, N_FFT, log_mel, mel_filters, pad_or_trim};
pub use reader::AudioReader;
pub use resample::Resampler;
pub use spectrogram::{Spectrogram, SpectrogramOptions};
pub use vad::{VAD_CHUNK, VadOptions, VoiceActivity, speech_spans};

/// Samples per second of every waveform in this project.
pub const SAMPLE_RATE: usize = 16_000;

/// Samples in a window: the 30 s that the encoder sees at once.
pub const N_SAMPLES: usize = 30 * SAMPLE_RATE;

/// Frames in a window.
pub const N_FRAMES: usize = N_SAMPLES / HOP_LENGTH;
