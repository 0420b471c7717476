//! Resampling to 16 kHz, piece by piece.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

use crate::SAMPLE_RATE;

#[cfg(test)]
mod tests;

/// Sample rates that are read; a header that claims another is not a recording's.
pub(crate) const MIN_RATE: u32 = 1_000;
pub(crate) const MAX_RATE: u32 = 768_000;

/// Samples of the slower side in one block of the transform, and in the filter, at least.
///
/// The longer the filter, the nearer the pass band reaches to half the slower rate, and the further a
/// sound's edges ring: 16 ms here. With this length and window, tones come out right to 110 dB, and
/// what lies above 8 kHz is 130 dB down.
const MIN_BLOCK: usize = 512;

/// Turns a stream of samples of any rate into one of 16 kHz, without delay: output sample `k` lies at
/// input time `k / 16000` s, and `n` samples become `round(n · 16000 / rate)`, however they are cut.
pub struct Resampler {
    kind: Kind,
}

enum Kind {
    /// The rate is right already.
    Identity,
    /// It is not.
    Fft(Box<FftResampler>),
}

/// A block-wise resampler in the frequency domain, with its delay taken away.
struct FftResampler {
    fft: Fft<f32>,
    rate: u64,
    pending: Vec<f32>, // fewer samples than a block takes
    block: Vec<f32>,   // what a block gives
    n_in: u64,
    n_out: u64,
    to_skip: usize, // output samples that are the filter's delay
}

impl Resampler {
    /// Builds a resampler from `rate`, in Hz, which lies between 1,000 and 768,000.
    ///
    /// # Panics
    /// If it does not.
    pub fn new(rate: u32) -> Self {
        assert!((MIN_RATE..=MAX_RATE).contains(&rate), "cannot resample from {rate} Hz");
        if rate as usize == SAMPLE_RATE {
            return Self { kind: Kind::Identity };
        }
        let rate = rate as usize;
        let divisor = gcd(rate, SAMPLE_RATE);
        let slower = rate.min(SAMPLE_RATE) / divisor;
        // An even number of blocks makes the filter's delay a whole number of samples on both sides.
        let n_units = MIN_BLOCK.div_ceil(slower).next_multiple_of(2);
        let chunk = n_units * rate / divisor;
        let window = WindowFunction::Blackman;
        let fft = Fft::new_custom(rate, SAMPLE_RATE, chunk, 1, 1, window, FixedSync::Both)
            .expect("the rates and the block are not zero");
        let block = vec![0.0; fft.output_frames_max()];
        let to_skip = fft.output_delay();
        let rate = rate as u64;
        let fft = FftResampler { fft, rate, pending: Vec::new(), block, n_in: 0, n_out: 0, to_skip };
        Self { kind: Kind::Fft(Box::new(fft)) }
    }

    /// Takes the next samples and appends what they complete to `out`.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        match &mut self.kind {
            Kind::Identity => out.extend_from_slice(samples),
            Kind::Fft(resampler) => resampler.push(samples, out),
        }
    }

    /// Appends what is left to `out`. The resampler is as new afterwards, but for its filter's memory:
    /// it must not be used again.
    pub fn finish(self, out: &mut Vec<f32>) {
        if let Kind::Fft(resampler) = self.kind {
            resampler.finish(out);
        }
    }
}

impl FftResampler {
    fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.n_in += samples.len() as u64;
        self.pending.extend_from_slice(samples);
        let chunk = self.fft.input_frames_next();
        let mut used = 0;
        while self.pending.len() - used >= chunk {
            self.process(used, chunk, out);
            used += chunk;
        }
        self.pending.drain(..used);
    }

    fn finish(mut self, out: &mut Vec<f32>) {
        let n_total = (self.n_in * SAMPLE_RATE as u64 + self.rate / 2) / self.rate;
        let chunk = self.fft.input_frames_next();
        while self.n_out < n_total {
            self.pending.resize(chunk, 0.0);
            self.process(0, chunk, out);
            self.pending.clear();
        }
        out.truncate(out.len() - (self.n_out - n_total) as usize);
    }

    /// Resamples one block of `pending` and appends it to `out`.
    fn process(&mut self, first: usize, chunk: usize, out: &mut Vec<f32>) {
        let input = &self.pending[first..first + chunk];
        let n_block = self.block.len();
        let input = InterleavedSlice::new(input, 1, chunk).expect("the slice has this length");
        let mut output =
            InterleavedSlice::new_mut(&mut self.block, 1, n_block).expect("the slice has this length");
        let (_, n_written) =
            self.fft.process_into_buffer(&input, &mut output, None).expect("both buffers hold a block");
        let skipped = self.to_skip.min(n_written);
        self.to_skip -= skipped;
        out.extend_from_slice(&self.block[skipped..n_written]);
        self.n_out += (n_written - skipped) as u64;
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
