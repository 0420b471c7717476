//! Times the way from a recording to its features:
//! `cargo run --release -p boswell-audio --example front_end_speed -- RECORDING...`.
//!
//! Prints how many times faster than real time it is decoded to 16 kHz on one core, how many times with the
//! spectrogram beside it on another, and the memory that was resident at most so far.

#![allow(clippy::print_stdout, reason = "the figures are the result")]

use std::ops::ControlFlow;
use std::time::Instant;

use boswell_audio::{AudioReader, Error, SAMPLE_RATE, Spectrogram};

fn main() -> Result<(), Error> {
    for path in std::env::args_os().skip(1) {
        let (mut reader, start) = (AudioReader::open(path.as_ref())?, Instant::now());
        let (mut chunk, mut n_samples) = (Vec::new(), 0);
        while reader.next_chunk(&mut chunk)? {
            n_samples += chunk.len();
        }
        let seconds = n_samples as f64 / SAMPLE_RATE as f64;
        let decoding = seconds / start.elapsed().as_secs_f64();
        let decoding_mib = peak_mib();

        let (mut reader, start) = (AudioReader::open(path.as_ref())?, Instant::now());
        let spectrogram = Spectrogram::compute(&mut reader, 80, |_| ControlFlow::Continue(()))?;
        assert_eq!(spectrogram.duration_s(), seconds);
        let total = seconds / start.elapsed().as_secs_f64();
        println!(
            "{}: {seconds:.1} s; decoding {decoding:.0} x, {decoding_mib:.0} MiB; with spectrogram {total:.0} x, {:.0} MiB",
            path.to_string_lossy(),
            peak_mib()
        );
    }
    Ok(())
}

/// The largest resident memory so far in MiB, on Linux; 0 elsewhere.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
