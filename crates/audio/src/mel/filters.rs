//! Slaney's mel filters.

use crate::{N_FFT, SAMPLE_RATE};

/// Frequencies of a frame's spectrum: 0 to 8000 Hz in steps of 40 Hz.
pub(crate) const N_FREQS: usize = N_FFT / 2 + 1;

/// Computes the mel filters: triangles of equal area, evenly spaced on Slaney's mel scale from 0 to 8000 Hz.
///
/// Returns `[n_mels, 201]`, row-major.
///
/// Source: `librosa.filters.mel(sr=16000, n_fft=400, n_mels=n_mels)`, which wrote openai/whisper's
/// `mel_filters.npz`.
pub fn mel_filters(n_mels: usize) -> Vec<f32> {
    let top = mel_from_hz(SAMPLE_RATE as f64 / 2.0);
    let corner_hz = |i: usize| hz_from_mel(top * i as f64 / (n_mels + 1) as f64);
    let mut filters = vec![0.0; n_mels * N_FREQS]; // [n_mels, n_freqs]
    for (mel_idx, row) in filters.chunks_exact_mut(N_FREQS).enumerate() {
        let (low, peak, high) = (corner_hz(mel_idx), corner_hz(mel_idx + 1), corner_hz(mel_idx + 2));
        let height = 2.0 / (high - low);
        for (freq_idx, weight) in row.iter_mut().enumerate() {
            let hz = (freq_idx * SAMPLE_RATE) as f64 / N_FFT as f64;
            let rising = (hz - low) / (peak - low);
            let falling = (high - hz) / (high - peak);
            *weight = (rising.min(falling).max(0.0) * height) as f32;
        }
    }
    filters
}

/// The mel scale of Slaney's Auditory Toolbox: linear below 1000 Hz, logarithmic above.
const HZ_PER_MEL: f64 = 200.0 / 3.0;
const LOG_FROM_HZ: f64 = 1000.0;
const LOG_FROM_MEL: f64 = LOG_FROM_HZ / HZ_PER_MEL;

/// The logarithm of the ratio between two frequencies that are one mel apart: 27 mel from 1 to 6.4 kHz.
fn log_step() -> f64 {
    6.4f64.ln() / 27.0
}

fn mel_from_hz(hz: f64) -> f64 {
    if hz < LOG_FROM_HZ { hz / HZ_PER_MEL } else { LOG_FROM_MEL + (hz / LOG_FROM_HZ).ln() / log_step() }
}

fn hz_from_mel(mel: f64) -> f64 {
    if mel < LOG_FROM_MEL {
        mel * HZ_PER_MEL
    } else {
        LOG_FROM_HZ * ((mel - LOG_FROM_MEL) * log_step()).exp()
    }
}
