//! Times the log-mel spectrogram on one core: `cargo run --release -p boswell-audio --example mel_speed`.

#![allow(clippy::print_stdout, reason = "the figures are the result")]

use std::time::Instant;

use boswell_audio::{HOP_LENGTH, SAMPLE_RATE, log_mel};

const SECONDS: usize = 600;

fn main() {
    let n_samples = SECONDS * SAMPLE_RATE;
    let rising_tone = |i: usize| (i as f32 * i as f32 * 1e-7).sin() * 0.5;
    let waveform: Vec<f32> = (0..n_samples).map(rising_tone).collect();
    for n_mels in [80, 128] {
        // The result is checked before it is timed: the tone's band rises, and nothing exceeds the clamp.
        let mel = log_mel(&waveform, n_mels).expect("the waveform has samples");
        assert_eq!(mel.n_frames(), n_samples / HOP_LENGTH);
        let maximum = mel.values().iter().copied().fold(f32::MIN, f32::max);
        assert!(mel.values().iter().all(|&value| value >= maximum - 2.0 && value <= maximum));

        let times = (0..5).map(|_| {
            let start = Instant::now();
            let mel = log_mel(&waveform, n_mels).expect("the waveform has samples");
            assert_eq!(mel.n_mels(), n_mels);
            start.elapsed().as_secs_f64()
        });
        let best_s = times.fold(f64::INFINITY, f64::min);
        let frame_us = best_s * 1e6 / mel.n_frames() as f64;
        println!("{n_mels} mels: {:.0} x real time, {frame_us:.2} us per frame", SECONDS as f64 / best_s);
    }
}
