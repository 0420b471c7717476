//! Sound to measure with where there is no recording.

use std::f32::consts::TAU;

use boswell_audio::SAMPLE_RATE;

/// Samples in a syllable: there are four a second.
const SYLLABLE: usize = SAMPLE_RATE / 4;

/// Noise with a spectrum and a rhythm like those of speech, mono, 16 kHz; always the same. It is made as it is read, so
/// that hours of it take no memory.
pub(super) struct Noise {
    n_left: usize,
    state: u64,
    /// What the low-pass gave last.
    low: f32,
    rhythm: Vec<f32>, // [SYLLABLE]
}

impl Noise {
    pub(super) fn new(seconds: f64) -> Self {
        let loudness = |idx: usize| 0.55 + 0.45 * (idx as f32 * TAU / SYLLABLE as f32).sin();
        Self {
            n_left: (seconds * SAMPLE_RATE as f64) as usize,
            state: 0x2545_f491_4f6c_dd1d,
            low: 0.0,
            rhythm: (0..SYLLABLE).map(loudness).collect(),
        }
    }

    /// Clears `out` and fills it with the next syllable. Returns whether there was one left.
    pub(super) fn next_chunk(&mut self, out: &mut Vec<f32>) -> bool {
        let Self { n_left, state, low, rhythm } = self;
        let n_samples = rhythm.len().min(*n_left);
        let sample = |loudness: &f32| {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            let white = (*state >> 40) as f32 / (1 << 23) as f32 - 1.0;
            // At about 500 Hz.
            *low += 0.18 * (white - *low);
            0.5 * *low * loudness
        };
        out.clear();
        out.extend(rhythm[..n_samples].iter().map(sample));
        *n_left -= n_samples;
        n_samples > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_as_long_as_asked_for_and_always_the_same() {
        let made = || {
            let (mut noise, mut samples, mut chunk) = (Noise::new(1.3), Vec::new(), Vec::new());
            while noise.next_chunk(&mut chunk) {
                samples.extend_from_slice(&chunk);
            }
            samples
        };
        assert_eq!(made().len(), 20_800);
        assert_eq!(made(), made());
        assert!(made().iter().all(|x| x.abs() <= 0.5) && made().iter().any(|x| x.abs() > 0.1));
    }
}
