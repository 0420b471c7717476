//! Contract (a): log-mel features of a window, within the tolerances that the facts state.

use super::{Known, Tile, halves, words};

const BINS: usize = 201;
/// Frames of a call.
const FRAMES: usize = 20;
/// Bins of a part of the factors, of which a neighbour's memory holds 81.
const PART: usize = 67;

/// openai/whisper's filters, which are librosa's: triangles on Slaney's mel scale, of equal area. [n_mels][201]
fn filters(n_mels: usize) -> Vec<Vec<f64>> {
    let log_step = 6.4_f64.ln() / 27.0;
    let hz = |mel: f64| {
        if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * (log_step * (mel - 15.0)).exp() }
    };
    let top = 15.0 + 8.0_f64.ln() / log_step;
    let points: Vec<f64> = (0..n_mels + 2).map(|i| hz(top * i as f64 / (n_mels + 1) as f64)).collect();
    let weight = |j: usize, bin: usize| {
        let (low, middle, high) = (points[j], points[j + 1], points[j + 2]);
        let at = bin as f64 * 40.0;
        let rise = ((at - low) / (middle - low)).min((high - at) / (high - middle));
        rise.max(0.0) * 2.0 / (high - low)
    };
    (0..n_mels).map(|j| (0..BINS).map(|bin| weight(j, bin)).collect()).collect()
}

/// The window times cosine and sine of samples 1 to 200, for all bins: Q15.
fn factors() -> Vec<u8> {
    let turn = |i: usize| 2.0 * std::f64::consts::PI * (i % 400) as f64 / 400.0;
    let q15 = |x: f64| ((32768.0 * x).round() as i32).min(32767);
    let pair = |k: usize, m: usize| {
        let window = 0.5 - 0.5 * turn(m).cos();
        [q15(window * turn(k * m).cos()), q15(-window * turn(k * m).sin())]
    };
    halves((0..BINS).flat_map(|k| (1..=200).flat_map(move |m| pair(k, m))))
}

/// A tile that computes features of one kind.
struct LogMel {
    tile: Tile,
    factors: Vec<u8>,
    n_mels: usize,
}

impl LogMel {
    fn new(n_mels: usize) -> Self {
        let writable = ["top", "folded", "powers", "exponents", "output"];
        let mut tile = Tile::new(include_str!("../kernels/log_mel.s"), &writable);
        let (mut places, mut weights) = (Vec::new(), Vec::new());
        for row in filters(n_mels) {
            let first = row.iter().position(|weight| *weight > 0.0).unwrap();
            let taps = row[first..].iter().take_while(|weight| **weight > 0.0).count();
            places.extend([2 * first as i32, taps as i32]);
            weights.extend(row[first..first + taps].iter().map(|w| (w * f64::from(1 << 20)).round() as i32));
        }
        tile.put("filters", &words(places));
        tile.put("weights", &words(weights));
        let log = |i: i32| (2048.0 * (1.0 + (f64::from(i) + 0.5) / 512.0).log10()).round() as i32;
        tile.put("logs", &halves((0..512).map(log)));
        Self { tile, factors: factors(), n_mels }
    }

    /// log10 of the features in Q11, [n_frames, n_mels], and the largest of them.
    fn run(&mut self, padded: &[u8]) -> (Vec<i32>, i32) {
        let n_frames = (padded.len() / 2 - 240) / 160;
        let (mut found, mut top) = (Vec::new(), i32::MIN);
        for frame in (0..n_frames).step_by(FRAMES) {
            self.tile.put("samples", &padded[frame * 320..][..FRAMES * 320 + 480]);
            for first in (0..BINS).step_by(PART) {
                let is_last = first + PART == BINS;
                let header = [FRAMES, PART, first, usize::from(is_last), self.n_mels].map(|x| x as i32);
                self.tile.put("frames", &words(header.into_iter().chain([top])));
                self.tile.west.data[..PART * 800].copy_from_slice(&self.factors[first * 800..][..PART * 800]);
                self.tile.call();
            }
            top = i32::from_le_bytes(self.tile.get("top", 4).try_into().unwrap());
            let output = self.tile.get("output", FRAMES * self.n_mels * 2);
            found.extend(output.chunks(2).map(|half| i32::from(i16::from_le_bytes([half[0], half[1]]))));
        }
        (found, top)
    }
}

/// The samples of a WAV file, as a window of 30 s that is reflected at its ends.
fn window(wav: &[u8]) -> Vec<u8> {
    let data = wav.windows(4).position(|name| name == b"data").unwrap() + 8;
    let mut samples: Vec<[u8; 2]> = wav[data..].as_chunks().0.to_vec();
    samples.resize(480_000, [0; 2]);
    let before = samples[1..=200].iter().rev();
    let after = samples[480_000 - 41..480_000 - 1].iter().rev();
    before.chain(&samples).chain(after).flatten().copied().collect()
}

#[test]
#[ignore = "needs ../shared"]
fn log_mel_features() {
    let known = Known::open("log_mel");
    let shared = std::env::var("BOSWELL_SHARED").unwrap();
    let jfk = std::fs::read(format!("{shared}/assets/jfk.wav")).unwrap();
    let (mut of_80, mut of_128) = (LogMel::new(80), LogMel::new(128));
    let short = ["full_scale_square", "tone", "chirp", "quiet_noise", "loud_noise", "impulse", "one_lsb"];
    let short = short.into_iter().chain(["quiet_speech", "speech_128"]).map(|case| (case, 0.01, 0.0005));
    for (case, max, mean) in short.chain([("silence", 0.0, 0.0), ("window_80", 0.005, 0.0002)]) {
        let padded =
            if case == "window_80" { window(&jfk) } else { known.bytes(&format!("{case}.padded_samples")) };
        let (found, top) = if case == "speech_128" { of_128.run(&padded) } else { of_80.run(&padded) };
        assert_eq!(found.iter().max(), Some(&top), "{case}");
        let reference = known.bytes(&format!("{case}.log_mel"));
        let reference = reference.as_chunks().0.iter().map(|word| f64::from(f32::from_le_bytes(*word)));
        let pairs: Vec<(f64, f64)> = found
            .iter()
            .map(|log10| f64::from((*log10).max(top - 16384) + 8192) / 8192.0)
            .zip(reference)
            .collect();
        assert_eq!(pairs.len(), found.len());
        let errors = || pairs.iter().map(|(a, b)| (a - b).abs());
        let (worst, average) = (errors().fold(0.0, f64::max), errors().sum::<f64>() / pairs.len() as f64);
        let sum = |term: fn(&(f64, f64)) -> f64| pairs.iter().map(term).sum::<f64>();
        let cosine = sum(|(a, b)| a * b) / (sum(|(a, _)| a * a) * sum(|(_, b)| b * b)).sqrt();
        println!("{case}: at most {worst:.5}, on average {average:.6}, cosine {cosine:.6}");
        assert!(worst <= max && average <= mean, "{case}");
        assert!(case != "window_80" || cosine >= 0.99999);
    }
}
