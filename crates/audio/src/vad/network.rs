//! The network of Silero VAD 6.2 at 16 kHz: Fourier transform, four convolutions, an LSTM, a logistic unit.
//!
//! A chunk is 4 frames of the transform for the convolutions, which see nothing of the chunks around it. They run over a
//! block of chunks at a time; only the LSTM goes from one chunk to the next.

use std::fmt;
use std::sync::Arc;

use boswell_kernels::{Epilogue, Input, Linear, Precision, Threads, Weights, dot, linear, lstm_step};
use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};
use safetensors::SafeTensors;

use super::{CONTEXT, VAD_CHUNK};

/// The weights, see the folder's `make.py`.
const WEIGHTS: &[u8] = include_bytes!("../../silero/weights.safetensors");

/// Samples of a frame of the Fourier transform.
const N_FFT: usize = 256;
/// Samples from one frame to the next.
const HOP: usize = 128;
/// Magnitudes of a frame.
const N_FREQS: usize = N_FFT / 2 + 1;
/// Frames of a chunk.
const N_FRAMES: usize = 4;
/// Samples of the chunk's end that are reflected behind it.
const REFLECTED: usize = 64;
/// Taps of a convolution.
const N_TAPS: usize = 3;
/// Units of the LSTM.
const N_UNITS: usize = 128;
/// Gates of a unit: input, forget, candidate, output.
const N_GATES: usize = 4;

/// The weights and tables; they do not change.
pub(super) struct Network {
    fft: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>, // [N_FFT]
    convolutions: [Convolution; 4],
    /// From the convolutions to the gates, with both biases.
    gates_of_input: Linear,
    /// From the LSTM's last output to the gates.
    gates_of_output: Linear,
    output: Vec<f32>, // [N_UNITS]
    output_bias: f32,
    /// The caller's thread alone: blocks are small.
    threads: Threads,
}

/// A convolution over the frames of a chunk, with zeros before and after them.
struct Convolution {
    taps: [Linear; N_TAPS],
    stride: usize,
    n_in: usize,
    n_out: usize,
}

/// What the LSTM keeps from one chunk to the next.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct State {
    pub(super) output: [f32; N_UNITS],
    pub(super) cell: [f32; N_UNITS],
}

impl Default for State {
    fn default() -> Self {
        Self { output: [0.0; N_UNITS], cell: [0.0; N_UNITS] }
    }
}

/// Space to compute in, which grows to what a block of chunks takes.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    chunk: Vec<f32>,          // [CONTEXT + VAD_CHUNK + REFLECTED]
    windowed: Vec<f32>,       // [N_FFT]
    spectrum: Vec<Complex32>, // [N_FREQS]
    fft: Vec<Complex32>,
    frames: Vec<f32>,    // [n_frames, n_chunks, n_channels], of what a convolution reads
    convolved: Vec<f32>, // the same, of what it writes
    gates: Vec<f32>,     // [n_chunks, N_GATES, N_UNITS]
}

impl Network {
    /// Unpacks the weights.
    pub(super) fn new() -> Self {
        let file = SafeTensors::deserialize(WEIGHTS).expect("the weights are part of the program");
        let tensor = |name: &str| -> Vec<f32> {
            let data = file.tensor(name).expect("the weights are part of the program").data();
            data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        };
        let convolution = |idx: usize, n_in: usize, n_out: usize, stride: usize| {
            let (weight, bias) = (tensor(&format!("conv{idx}.weight")), tensor(&format!("conv{idx}.bias")));
            Convolution::new(&weight, bias, n_in, n_out, stride)
        };
        let bias = tensor("lstm.bias_ih").iter().zip(tensor("lstm.bias_hh")).map(|(x, y)| x + y).collect();
        let fft = RealFftPlanner::<f32>::new().plan_fft_forward(N_FFT);
        let angle = |i: usize| std::f64::consts::TAU * i as f64 / N_FFT as f64;
        Self {
            fft,
            window: (0..N_FFT).map(|i| (0.5 - 0.5 * angle(i).cos()) as f32).collect(),
            convolutions: [
                convolution(1, N_FREQS, 128, 1),
                convolution(2, 128, 64, 2),
                convolution(3, 64, 64, 2),
                convolution(4, 64, N_UNITS, 1),
            ],
            gates_of_input: layer(&tensor("lstm.weight_ih"), Some(bias), N_GATES * N_UNITS, N_UNITS),
            gates_of_output: layer(&tensor("lstm.weight_hh"), None, N_GATES * N_UNITS, N_UNITS),
            output: tensor("output.weight"),
            output_bias: tensor("output.bias")[0],
            threads: Threads::new(1),
        }
    }

    /// Appends the probability of each chunk.
    ///
    /// - `samples`: `[CONTEXT + n_chunks * VAD_CHUNK]`, the chunks and the end of the one before them.
    pub(super) fn forward(
        &self,
        samples: &[f32],
        state: &mut State,
        scratch: &mut Scratch,
        probabilities: &mut Vec<f32>,
    ) {
        let n_chunks = (samples.len() - CONTEXT) / VAD_CHUNK;
        self.magnitudes(samples, n_chunks, scratch);
        for convolution in &self.convolutions {
            let Scratch { frames, convolved, .. } = scratch;
            convolution.forward(&self.threads, frames, n_chunks, convolved);
            std::mem::swap(frames, convolved);
        }
        let Scratch { frames, gates, .. } = scratch;
        gates.resize(n_chunks * N_GATES * N_UNITS, 0.0);
        let input = Input::matrix(frames, N_UNITS);
        linear(&self.threads, input, &self.gates_of_input, Epilogue::Store, gates);
        for gates in gates.chunks_exact_mut(N_GATES * N_UNITS) {
            let before = Input::matrix(&state.output, N_UNITS);
            linear(&self.threads, before, &self.gates_of_output, Epilogue::Add, gates);
            lstm_step(gates, &mut state.cell, &mut state.output);
            probabilities.push(self.probability(&state.output));
        }
    }

    /// Writes the magnitudes of all chunks' frames, `[N_FRAMES, n_chunks, N_FREQS]`.
    fn magnitudes(&self, samples: &[f32], n_chunks: usize, scratch: &mut Scratch) {
        let Scratch { chunk, windowed, spectrum, fft, frames, .. } = scratch;
        windowed.resize(N_FFT, 0.0);
        spectrum.resize(N_FREQS, Complex32::default());
        fft.resize(self.fft.get_scratch_len(), Complex32::default());
        frames.resize(N_FRAMES * n_chunks * N_FREQS, 0.0);
        for (chunk_idx, samples) in samples.windows(CONTEXT + VAD_CHUNK).step_by(VAD_CHUNK).enumerate() {
            chunk.clear();
            chunk.extend_from_slice(samples);
            chunk.extend(samples[samples.len() - 1 - REFLECTED..samples.len() - 1].iter().rev());
            for (frame_idx, samples) in chunk.windows(N_FFT).step_by(HOP).enumerate() {
                for ((windowed, sample), weight) in windowed.iter_mut().zip(samples).zip(&self.window) {
                    *windowed = sample * weight;
                }
                self.fft
                    .process_with_scratch(windowed, spectrum, fft)
                    .expect("the buffers are as long as the transform asks for");
                let out = &mut frames[(frame_idx * n_chunks + chunk_idx) * N_FREQS..][..N_FREQS];
                for (out, value) in out.iter_mut().zip(spectrum.iter()) {
                    *out = value.norm_sqr().sqrt();
                }
            }
        }
    }

    fn probability(&self, output: &[f32; N_UNITS]) -> f32 {
        let positive = output.map(|x| x.max(0.0));
        logistic(dot(&self.output, &positive) + self.output_bias)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

impl Convolution {
    /// - `weight`: `[n_out, n_in, N_TAPS]`.
    fn new(weight: &[f32], bias: Vec<f32>, n_in: usize, n_out: usize, stride: usize) -> Self {
        let tap = |tap: usize, bias: Option<Vec<f32>>| {
            let weight: Vec<f32> = weight.iter().skip(tap).step_by(N_TAPS).copied().collect();
            layer(&weight, bias, n_out, n_in)
        };
        Self { taps: [tap(0, None), tap(1, Some(bias)), tap(2, None)], stride, n_in, n_out }
    }

    /// Writes `max(0, convolution)` of `input`, `[n_frames, n_chunks, n_in]`, to `out`,
    /// `[n_frames.div_ceil(stride), n_chunks, n_out]`.
    fn forward(&self, threads: &Threads, input: &[f32], n_chunks: usize, out: &mut Vec<f32>) {
        let n_frames = input.len() / (n_chunks * self.n_in);
        out.resize(n_frames.div_ceil(self.stride) * n_chunks * self.n_out, 0.0);
        let frame = |idx: usize| {
            Input::matrix(&input[idx * n_chunks * self.n_in..][..n_chunks * self.n_in], self.n_in)
        };
        let [before, at, after] = &self.taps;
        for (idx, out) in out.chunks_exact_mut(n_chunks * self.n_out).enumerate() {
            let centre = idx * self.stride;
            linear(threads, frame(centre), at, Epilogue::Store, out);
            if centre > 0 {
                linear(threads, frame(centre - 1), before, Epilogue::Add, out);
            }
            if centre + 1 < n_frames {
                linear(threads, frame(centre + 1), after, Epilogue::Add, out);
            }
            out.iter_mut().for_each(|x| *x = x.max(0.0));
        }
    }
}

fn layer(weight: &[f32], bias: Option<Vec<f32>>, n_out: usize, n_in: usize) -> Linear {
    let weights = Weights::pack(weight, n_out, n_in, Precision::F32);
    match bias {
        Some(bias) => Linear::new(weights, bias),
        None => Linear::without_bias(weights),
    }
}

fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
