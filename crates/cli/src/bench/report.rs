//! What was measured, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use boswell_model::{InstructionSet, LoadOptions};
use boswell_transcribe::AudioContext;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Run;
use crate::args::BenchArgs;
use crate::screen::Screen;

/// The figures of all runs. Times of stages are for one window, and are medians over the runs; in a batch they overlap, so
/// that together they are more than the total.
pub(super) struct Report {
    model: String,
    precision: String,
    device: String,
    threads: usize,
    batch: u32,
    beam_size: usize,
    audio_context: AudioContext,
    duration_s: f64,
    load_s: f64,
    mel_s: f64,
    encode_s: f64,
    cross_s: f64, // within `decode_s`, as most engines count it
    decode_s: f64,
    wall_s: f64,
    wall_min_s: f64,
    peak_rss_mb: Option<u64>,
    n_runs: usize,
    tokens: Vec<Vec<u32>>,
}

impl Report {
    pub(super) fn new(args: &BenchArgs, options: &LoadOptions, load: Duration, runs: &[Run]) -> Self {
        let per_window = |of: &dyn Fn(&Run) -> Duration| {
            median(runs.iter().map(|run| of(run).as_secs_f64() / run.tokens.len() as f64))
        };
        let walls = || runs.iter().map(|run| run.wall.as_secs_f64());
        Self {
            model: args.model.model.clone(),
            precision: options.precision.to_string(),
            device: format!("CPU, {}", InstructionSet::detect()),
            threads: options.threads,
            batch: args.batch,
            beam_size: args.beam_size,
            audio_context: args.audio_context,
            duration_s: runs[0].duration_s,
            load_s: load.as_secs_f64(),
            mel_s: per_window(&|run| run.mel),
            encode_s: per_window(&|run| run.stages.encode),
            cross_s: per_window(&|run| run.stages.cross),
            decode_s: per_window(&|run| run.stages.cross + run.stages.decode),
            wall_s: median(walls()),
            wall_min_s: walls().fold(f64::MAX, f64::min),
            peak_rss_mb: peak_rss_mb(),
            n_runs: runs.len(),
            tokens: runs[0].tokens.clone(),
        }
    }

    /// One line that `compare.py` and other programs read.
    pub(super) fn write_json(&self, screen: &Screen) -> Result<()> {
        let line = json!({
            "engine": "boswell",
            "version": env!("CARGO_PKG_VERSION"),
            "model": self.model,
            "precision": self.precision,
            "device": self.device,
            "threads": self.threads,
            "batch": self.batch,
            "beam_size": self.beam_size,
            "audio_context": self.audio_context.to_string(),
            "seconds": rounded(self.duration_s),
            "load_s": rounded(self.load_s),
            "mel_s": rounded(self.mel_s),
            "encode_s": rounded(self.encode_s),
            "cross_s": rounded(self.cross_s),
            "decode_s": rounded(self.decode_s),
            "wall_s": rounded(self.wall_s),
            "wall_min_s": rounded(self.wall_min_s),
            "realtime": rounded(self.duration_s / self.wall_s),
            "realtime_max": rounded(self.duration_s / self.wall_min_s),
            "peak_rss_mb": self.peak_rss_mb,
            "runs": self.n_runs,
            "windows": self.tokens.len(),
            "tokens": self.n_tokens(),
            "tokens_head": &self.tokens[0][..self.tokens[0].len().min(8)],
            "tokens_hash": hash(&self.tokens),
        });
        screen.result(format!("{line}\n").as_bytes())
    }

    /// A table.
    pub(super) fn write_table(&self, screen: &Screen) -> Result<()> {
        let mut text = String::new();
        let windows = self.tokens.len();
        let mut row = |name: &str, value: String| writeln!(text, "{name:<11} {value}");
        row("model", format!("{}, {}", self.model, self.precision))?;
        row("device", format!("{}, {} threads", self.device, self.threads))?;
        row(
            "work",
            format!("{:.0} s in {windows} windows of 30 s, {} tokens", self.duration_s, self.n_tokens()),
        )?;
        let Self { batch, beam_size, audio_context, .. } = self;
        row(
            "batch",
            format!("{batch} windows at a time, beam size {beam_size}, audio context {audio_context}"),
        )?;
        row("load", milliseconds(self.load_s))?;
        row("mel", format!("{} a window", milliseconds(self.mel_s)))?;
        row("encode", format!("{} a window", milliseconds(self.encode_s)))?;
        let [decode, cross] = [self.decode_s, self.cross_s].map(milliseconds);
        let beside = if *batch > 1 && self.threads > 1 { ", while others are encoded" } else { "" };
        let of_cross = format!("{cross} for keys and values of cross-attention");
        row("decode", format!("{decode} a window{beside} ({of_cross})"))?;
        row(
            "total",
            format!("{} (median of {}; least {:.3} s)", seconds(self.wall_s), self.n_runs, self.wall_min_s),
        )?;
        row("speed", format!("{:.1} x real time", self.duration_s / self.wall_s))?;
        if let Some(megabytes) = self.peak_rss_mb {
            row("memory", format!("{megabytes} MB at most"))?;
        }
        screen.result(text.as_bytes())
    }

    fn n_tokens(&self) -> usize {
        self.tokens.iter().map(Vec::len).sum()
    }
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.3} s")
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

fn rounded(x: f64) -> f64 {
    (x * 1e5).round() / 1e5
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// The first 12 digits of the SHA-256 of the tokens of all windows, written as Python's `json.dumps` does.
fn hash(tokens: &[Vec<u32>]) -> String {
    let text = Value::from(tokens.to_vec()).to_string().replace(',', ", ");
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(6).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// The most memory that this process had at once, mapped files included, in MB; where the system tells it.
fn peak_rss_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_hashed_as_python_writes_them() {
        // hashlib.sha256(json.dumps([[1, 2], [3]]).encode()).hexdigest()[:12]
        assert_eq!(hash(&[vec![1, 2], vec![3]]), "192f318fa669");
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
    }
}
