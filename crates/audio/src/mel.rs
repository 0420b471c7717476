//! The log-mel spectrogram: a waveform's energy in mel bands, one frame per 10 ms.
//!
//! Exactly openai/whisper's `log_mel_spectrogram`: a short-time Fourier transform with a periodic
//! Hann window of 400 samples every 160, squared magnitudes, Slaney's mel filters, the logarithm
//! to base 10 of at least 1e-10, clamped to 8 below the maximum, `(x + 4) / 4`.
//!
//! [`FrameAnalysis`] computes each frame from its 400 samples alone, so that it has the same bits
//! however the waveform arrives and on whichever thread it is computed.

mod filters;
mod frames;
mod log;
#[cfg(test)]
mod tests;

pub use filters::mel_filters;
pub(crate) use frames::{FrameAnalysis, Framer, Frames};

use crate::Error;

/// Samples in a frame of the short-time Fourier transform: 25 ms.
pub const N_FFT: usize = 400;

/// Samples from one frame to the next: 10 ms.
pub const HOP_LENGTH: usize = 160;

/// Samples of a frame that lie before its centre.
pub(crate) const PADDING: usize = N_FFT / 2;

/// A log-mel spectrogram, clamped and scaled as the encoder expects it.
#[derive(Debug, Clone, PartialEq)]
pub struct LogMel {
    n_mels: usize,
    values: Vec<f32>, // [n_mels, n_frames]
}

impl LogMel {
    /// Mel bands: 80 or 128.
    pub fn n_mels(&self) -> usize {
        self.n_mels
    }

    /// Frames of 10 ms.
    pub fn n_frames(&self) -> usize {
        self.values.len() / self.n_mels
    }

    /// The values, `[n_mels, n_frames]`, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

/// Computes the log-mel spectrogram of a waveform: the input of the encoder.
///
/// - `waveform`: mono, `[-1, 1]`, 16 kHz, any length. Both ends are reflected by 200 samples; a
///   waveform of fewer than 201, which cannot be reflected so far, is taken as if zeros followed.
/// - `n_mels`: 80 or 128, as the model's dimensions say.
///
/// Returns `[n_mels, n_frames]`, one frame per 160 samples (10 ms) that are complete.
///
/// # Errors
/// [`Error::Empty`] if `waveform` has no samples.
///
/// # Panics
/// If `n_mels` is neither 80 nor 128.
///
/// Source: `log_mel_spectrogram` in openai/whisper `whisper/audio.py`.
pub fn log_mel(waveform: &[f32], n_mels: usize) -> Result<LogMel, Error> {
    if waveform.is_empty() {
        return Err(Error::Empty);
    }
    let (padded, n_frames) = (reflect(waveform), waveform.len() / HOP_LENGTH);
    let n_used = if n_frames == 0 { 0 } else { (n_frames - 1) * HOP_LENGTH + N_FFT };
    let Frames { values: frames, maximum } = FrameAnalysis::new(n_mels).frames(&padded[..n_used]);
    let mut values = vec![0.0; n_mels * n_frames]; // [n_mels, n_frames]
    normalise(&frames, n_mels, maximum, n_frames, &mut values);
    Ok(LogMel { n_mels, values })
}

/// Cuts a waveform or fills it with zeros to exactly `length` samples.
///
/// Source: `pad_or_trim` in openai/whisper `whisper/audio.py`.
pub fn pad_or_trim(waveform: &[f32], length: usize) -> Vec<f32> {
    let mut padded = waveform[..waveform.len().min(length)].to_vec();
    padded.resize(length, 0.0);
    padded
}

/// Clamps logarithmic energies to 8 below the recording's maximum and scales them for the encoder.
///
/// - `frames`: `[n_frames, n_mels]`.
/// - `out`: `[n_mels, n_columns]` from any column on: so many columns as there are frames are written.
pub(crate) fn normalise(frames: &[f32], n_mels: usize, maximum: f32, n_columns: usize, out: &mut [f32]) {
    // A tile of frames stays in the cache while its columns are written one after another, each long enough to stream.
    const TILE: usize = 128;
    for (tile_idx, tile) in frames.chunks(TILE * n_mels).enumerate() {
        for (mel_idx, row) in out.chunks_mut(n_columns).enumerate() {
            let row = &mut row[tile_idx * TILE..];
            for (value, frame) in row.iter_mut().zip(tile.chunks_exact(n_mels)) {
                *value = normalised(frame[mel_idx], maximum);
            }
        }
    }
}

/// One logarithmic energy, clamped to 8 below the maximum and scaled.
#[inline]
pub(crate) fn normalised(log_energy: f32, maximum: f32) -> f32 {
    (log_energy.max(maximum - 8.0) + 4.0) / 4.0
}

/// Puts the mirror image of [`PADDING`] samples before and after a waveform, which is filled with
/// zeros to the shortest length that has one.
fn reflect(waveform: &[f32]) -> Vec<f32> {
    let waveform = pad_or_trim(waveform, waveform.len().max(PADDING + 1));
    let last = waveform.len() - 1;
    let before = waveform[1..=PADDING].iter().rev();
    let after = waveform[last - PADDING..last].iter().rev();
    before.chain(&waveform).chain(after).copied().collect()
}
