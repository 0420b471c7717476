//! Sound to measure with where there is no recording.

use super::n_samples;

/// Noise with a spectrum and a rhythm like those of speech, mono, 16 kHz; always the same.
pub(super) fn synthetic(seconds: f64) -> Vec<f32> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut low = 0.0_f32;
    let sample = |idx: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let white = (state >> 40) as f32 / (1 << 23) as f32 - 1.0;
        // A low-pass at about 500 Hz, and four syllables a second.
        low += 0.18 * (white - low);
        let rhythm = 0.55 + 0.45 * (idx as f32 * (std::f32::consts::TAU * 4.0 / 16_000.0)).sin();
        0.5 * low * rhythm
    };
    (0..n_samples(seconds)).map(sample).collect()
}
