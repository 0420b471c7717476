//! Frames of logarithmic mel energies, one at a time or from a stream of samples.

use std::sync::Arc;

use realfft::num_complex::Complex64;
use realfft::{RealFftPlanner, RealToComplex};

use super::filters::{N_FREQS, mel_filters};
use super::{HOP_LENGTH, N_FFT, PADDING};

/// Computes the logarithmic mel energies of single frames; owns the tables and the scratch space.
pub(crate) struct FrameAnalysis {
    fft: Arc<dyn RealToComplex<f64>>,
    window: Vec<f64>,         // [N_FFT]
    bands: Vec<Band>,         // [n_mels]
    weights: Vec<f32>,        // the bands' weights, one after another
    windowed: Vec<f64>,       // [N_FFT]
    spectrum: Vec<Complex64>, // [N_FREQS]
    scratch: Vec<Complex64>,
    power: [f32; N_FREQS],
}

/// Where a mel filter's weights, which are zero almost everywhere, stand and what they weigh.
struct Band {
    first_freq: usize,
    first_weight: usize,
    n_weights: usize,
}

impl FrameAnalysis {
    /// Builds the tables for 80 or 128 mel bands.
    ///
    /// # Panics
    /// If `n_mels` is neither 80 nor 128.
    pub(crate) fn new(n_mels: usize) -> Self {
        assert!(n_mels == 80 || n_mels == 128, "n_mels is {n_mels}, expected 80 or 128");
        let fft = RealFftPlanner::<f64>::new().plan_fft_forward(N_FFT);
        let (mut bands, mut weights) = (Vec::new(), Vec::new());
        for row in mel_filters(n_mels).chunks_exact(N_FREQS) {
            let first_freq = row.iter().position(|&w| w != 0.0).unwrap_or(0);
            let end = row.iter().rposition(|&w| w != 0.0).map_or(first_freq, |last| last + 1);
            bands.push(Band { first_freq, first_weight: weights.len(), n_weights: end - first_freq });
            weights.extend_from_slice(&row[first_freq..end]);
        }
        Self {
            window: hann(),
            bands,
            weights,
            windowed: fft.make_input_vec(),
            spectrum: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            power: [0.0; N_FREQS],
            fft,
        }
    }

    /// Mel bands.
    pub(crate) fn n_mels(&self) -> usize {
        self.bands.len()
    }

    /// Computes `log10(max(energy, 1e-10))` of each mel band.
    ///
    /// - `samples`: `[N_FFT]`, the frame's centre in the middle.
    /// - `out`: `[n_mels]`.
    pub(crate) fn log_energies(&mut self, samples: &[f32], out: &mut [f32]) {
        for ((windowed, sample), weight) in self.windowed.iter_mut().zip(samples).zip(&self.window) {
            *windowed = f64::from(*sample) * weight;
        }
        self.fft
            .process_with_scratch(&mut self.windowed, &mut self.spectrum, &mut self.scratch)
            .expect("the buffers were made by this transform");
        for (power, value) in self.power.iter_mut().zip(&self.spectrum) {
            *power = (value.re * value.re + value.im * value.im) as f32;
        }
        for (out, band) in out.iter_mut().zip(&self.bands) {
            let weights = &self.weights[band.first_weight..][..band.n_weights];
            let power = &self.power[band.first_freq..][..band.n_weights];
            let energy: f32 = weights.iter().zip(power).map(|(w, p)| w * p).sum();
            *out = energy.max(1e-10).log10();
        }
    }
}

/// The periodic Hann window.
fn hann() -> Vec<f64> {
    let angle = |i: usize| std::f64::consts::TAU * i as f64 / N_FFT as f64;
    (0..N_FFT).map(|i| 0.5 - 0.5 * angle(i).cos()).collect()
}

/// Cuts a waveform that arrives in pieces, of any sizes, into frames.
///
/// The waveform's beginning is reflected; its end is followed by zeros, as many as one likes.
pub(crate) struct FrameStream {
    analysis: FrameAnalysis,
    pending: Vec<f32>, // the samples from the next frame's first one on
    frame: Vec<f32>,   // [n_mels]
    n_samples: u64,
}

impl FrameStream {
    pub(crate) fn new(n_mels: usize) -> Self {
        Self {
            analysis: FrameAnalysis::new(n_mels),
            pending: Vec::new(),
            frame: vec![0.0; n_mels],
            n_samples: 0,
        }
    }

    /// Mel bands.
    pub(crate) fn n_mels(&self) -> usize {
        self.analysis.n_mels()
    }

    /// Samples so far.
    pub(crate) fn n_samples(&self) -> u64 {
        self.n_samples
    }

    /// Takes the waveform's next samples and gives `sink` each frame, `[n_mels]`, that they complete.
    pub(crate) fn push<E>(
        &mut self,
        samples: &[f32],
        sink: impl FnMut(&[f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        let was_started = self.is_started();
        self.n_samples += samples.len() as u64;
        self.pending.extend_from_slice(samples);
        if !was_started && self.is_started() {
            self.reflect_beginning();
        }
        self.drain(sink)
    }

    /// Gives `sink` the frames that contain the waveform's last samples and zeros after them.
    /// Every later frame would hold nothing but zeros.
    pub(crate) fn finish<E>(mut self, sink: impl FnMut(&[f32]) -> Result<(), E>) -> Result<(), E> {
        if !self.is_started() {
            self.pending.resize(PADDING + 1, 0.0);
            self.reflect_beginning();
            self.n_samples = self.pending.len() as u64;
        }
        // The frame at the last sample at the earliest begins `N_FFT - 1` samples before it.
        self.pending.resize(self.pending.len() + N_FFT - 1, 0.0);
        self.drain(sink)
    }

    /// Whether there are enough samples for the reflection before the first one.
    fn is_started(&self) -> bool {
        self.n_samples > PADDING as u64
    }

    fn reflect_beginning(&mut self) {
        let mirrored: Vec<f32> = self.pending[1..=PADDING].iter().rev().copied().collect();
        self.pending.splice(0..0, mirrored);
    }

    fn drain<E>(&mut self, mut sink: impl FnMut(&[f32]) -> Result<(), E>) -> Result<(), E> {
        if !self.is_started() {
            return Ok(());
        }
        let mut used = 0;
        for samples in self.pending.windows(N_FFT).step_by(HOP_LENGTH) {
            self.analysis.log_energies(samples, &mut self.frame);
            sink(&self.frame)?;
            used += HOP_LENGTH;
        }
        self.pending.drain(..used.min(self.pending.len()));
        Ok(())
    }
}
