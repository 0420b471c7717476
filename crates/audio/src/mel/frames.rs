//! Frames of logarithmic mel energies, from samples that arrive in pieces.

use std::sync::Arc;

use realfft::num_complex::Complex64;
use realfft::{RealFftPlanner, RealToComplex};

use super::filters::{N_FREQS, mel_filters};
use super::log::log10;
use super::{HOP_LENGTH, N_FFT, PADDING};

/// Products that are added up side by side.
const LANES: usize = 4;
/// [`N_FREQS`] and room for a band's last lanes.
const N_POWERS: usize = N_FREQS + LANES - 1;

/// Computes the logarithmic mel energies of single frames; owns the tables and the scratch space.
pub(crate) struct FrameAnalysis {
    fft: Arc<dyn RealToComplex<f64>>,
    window: Vec<f64>,         // [N_FFT]
    bands: Vec<Band>,         // [n_mels]
    weights: Vec<f32>,        // the bands' weights, one after another
    windowed: Vec<f64>,       // [N_FFT]
    spectrum: Vec<Complex64>, // [N_FREQS]
    scratch: Vec<Complex64>,
    power: [f32; N_POWERS],
}

/// Where a mel filter's weights, which are zero almost everywhere, stand and what they weigh.
struct Band {
    first_freq: usize,
    first_weight: usize,
    n_weights: usize, // with zeros up to whole lanes
}

/// Frames one after the other.
pub(crate) struct Frames {
    /// Logarithmic energies, `[n_frames, n_mels]`.
    pub(crate) values: Vec<f32>,
    /// The greatest of them.
    pub(crate) maximum: f32,
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
            let n_weights = (end - first_freq).next_multiple_of(LANES);
            bands.push(Band { first_freq, first_weight: weights.len(), n_weights });
            weights.extend_from_slice(&row[first_freq..end]);
            weights.resize(weights.len().next_multiple_of(LANES), 0.0);
        }
        Self {
            window: hann(),
            bands,
            weights,
            windowed: fft.make_input_vec(),
            spectrum: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            power: [0.0; N_POWERS],
            fft,
        }
    }

    /// Computes frames that follow each other.
    ///
    /// - `samples`: from the first one of the first frame to the last one of the last.
    pub(crate) fn frames(&mut self, samples: &[f32]) -> Frames {
        let (n_mels, samples) = (self.bands.len(), samples.windows(N_FFT).step_by(HOP_LENGTH));
        let mut values = vec![0.0; samples.len() * n_mels];
        for (frame, samples) in values.chunks_exact_mut(n_mels).zip(samples) {
            self.log_energies(samples, frame);
        }
        Frames { maximum: boswell_kernels::max(&values), values }
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
            let mut sums = [0.0; LANES];
            for (weights, power) in weights.chunks_exact(LANES).zip(power.chunks_exact(LANES)) {
                for ((sum, weight), power) in sums.iter_mut().zip(weights).zip(power) {
                    *sum += weight * power;
                }
            }
            *out = sums.iter().sum::<f32>().max(1e-10);
        }
        log10(out);
    }
}

/// The periodic Hann window.
fn hann() -> Vec<f64> {
    let angle = |i: usize| std::f64::consts::TAU * i as f64 / N_FFT as f64;
    (0..N_FFT).map(|i| 0.5 - 0.5 * angle(i).cos()).collect()
}

/// Cuts a waveform that arrives in pieces, of any sizes, into stretches of [`Framer::STRETCH`] frames.
///
/// The waveform's beginning is reflected; its end is followed by zeros, as many as one likes.
#[derive(Default)]
pub(crate) struct Framer {
    pending: Vec<f32>,
    next: usize, // where in `pending` the next frame begins
    n_samples: u64,
    is_ended: bool,
}

impl Framer {
    /// Frames in a stretch; the last stretch may have less.
    pub(crate) const STRETCH: usize = 128;

    /// Samples so far.
    pub(crate) fn n_samples(&self) -> u64 {
        self.n_samples
    }

    /// Takes the waveform's next samples.
    pub(crate) fn push(&mut self, samples: &[f32]) {
        let was_started = self.is_started();
        self.n_samples += samples.len() as u64;
        self.pending.drain(..std::mem::take(&mut self.next));
        self.pending.extend_from_slice(samples);
        if !was_started && self.is_started() {
            self.reflect_beginning();
        }
    }

    /// Puts zeros behind the waveform, up to the last frame that contains a sample of it. Every later frame would hold
    /// nothing but zeros.
    pub(crate) fn end(&mut self) {
        if !self.is_started() {
            self.pending.resize(PADDING + 1, 0.0);
            self.reflect_beginning();
        }
        self.is_ended = true;
        // The frame at the last sample at the earliest begins `N_FFT - 1` samples before it.
        self.pending.resize(self.pending.len() + N_FFT - 1, 0.0);
    }

    /// The samples of the next stretch, from the first one of its first frame to the last one of its last; `None` if they
    /// are not all there, or there are no more.
    pub(crate) fn next_stretch(&mut self) -> Option<Vec<f32>> {
        let pending = &self.pending[self.next..];
        let n_frames = pending.windows(N_FFT).step_by(HOP_LENGTH).len().min(Self::STRETCH);
        let is_there =
            if self.is_ended { n_frames > 0 } else { self.is_started() && n_frames == Self::STRETCH };
        is_there.then(|| {
            self.next += n_frames * HOP_LENGTH;
            pending[..(n_frames - 1) * HOP_LENGTH + N_FFT].to_vec()
        })
    }

    /// Whether there are enough samples for the reflection before the first one.
    fn is_started(&self) -> bool {
        self.n_samples > PADDING as u64
    }

    fn reflect_beginning(&mut self) {
        let mirrored: Vec<f32> = self.pending[1..=PADDING].iter().rev().copied().collect();
        self.pending.splice(0..0, mirrored);
    }
}
