//! `boswell bench`: how fast a model is on this machine.

mod report;
mod sizes;
mod sound;

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use boswell_audio::{AudioReader, N_FRAMES, Spectrogram, SpectrogramOptions};
use boswell_model::{LoadOptions, Model};
use boswell_transcribe::{Event, Options, Stages, SuppressTokens, Transcriber};

use crate::args::BenchArgs;
use crate::load;
use crate::screen::Screen;
use report::Report;
use sound::Noise;

/// Measures a model.
///
/// The recording is cut into windows of 30 s, and each is decoded on its own to a fixed number of tokens, so that
/// every engine and every run has the same work. The result of each run is checked before its time counts.
///
/// # Errors
/// If the model or the recording cannot be read, or a run gives another result than the one before.
pub(crate) fn run(args: &BenchArgs, screen: &Screen) -> Result<ExitCode> {
    let (model, options, load) = model(args, screen)?;
    let transcriber = Transcriber::new(Arc::new(model));
    let mut runs: Vec<Run> = Vec::new();
    for _ in 0..args.repeats {
        let run = Run::of(args, &transcriber)?;
        if let Some(first) = runs.first() {
            ensure!(run.tokens == first.tokens, "two runs on the same recording gave different tokens");
        }
        runs.push(run);
    }
    let report = Report::new(args, &options, load, &runs);
    if args.json {
        report.write_json(screen)?;
    } else {
        report.write_table(screen)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The model to measure, one with random weights if it is called `random:SIZE`, and how long it took to load.
fn model(args: &BenchArgs, screen: &Screen) -> Result<(Model, LoadOptions, Duration)> {
    let options = load::options(&args.model);
    let (model, started) = match args.model.model.strip_prefix("random:") {
        Some(size) => {
            let checkpoint = sizes::checkpoint(size)?;
            let started = Instant::now();
            (Model::new(&checkpoint, &options)?, started)
        }
        None => {
            let started = Instant::now();
            (load::model(&args.model, screen)?, started)
        }
    };
    Ok((model, options, started.elapsed()))
}

/// One pass over the recording.
struct Run {
    wall: Duration,
    /// Reading, decoding and the log-mel spectrogram.
    mel: Duration,
    stages: Stages,
    duration_s: f64,
    tokens: Vec<Vec<u32>>, // of each window
}

impl Run {
    fn of(args: &BenchArgs, transcriber: &Transcriber) -> Result<Self> {
        let started = Instant::now();
        let n_mels = transcriber.model().dims().n_mels;
        let threads = transcriber.model().threads().count();
        let features = SpectrogramOptions { threads, ..SpectrogramOptions::default() };
        let spectrogram = match &args.audio {
            Some(path) => {
                let mut reader = AudioReader::open(path)?;
                Spectrogram::compute_with(&mut reader, n_mels, &features, |_| ControlFlow::Continue(()))?
            }
            None => {
                let mut noise = Noise::new(args.seconds);
                Spectrogram::from_chunks(|chunk| noise.next_chunk(chunk), n_mels, &features)?
            }
        };
        let mel = started.elapsed();
        let duration_s = spectrogram.duration_s();
        ensure!(duration_s >= 0.1, "there is nothing to measure in {duration_s:.2} s");
        let mut stages = Stages::default();
        let transcript = transcriber
            .transcribe(&spectrogram, &options(args, spectrogram.n_frames()), |event| {
                if let Event::End(end) = event {
                    stages = end;
                }
                ControlFlow::Continue(())
            })
            .context("cannot transcribe")?;
        let windows = transcript.segments.chunk_by(|one, next| one.seek == next.seek);
        let tokens: Vec<Vec<u32>> = windows
            .map(|segments| segments.iter().flat_map(|segment| segment.tokens.iter().copied()).collect())
            .collect();
        let n_windows = spectrogram.n_frames().div_ceil(N_FRAMES);
        ensure!(tokens.len() == n_windows, "{} windows of {n_windows} gave tokens", tokens.len());
        Ok(Self { wall: started.elapsed(), mel, stages, duration_s, tokens })
    }
}

/// Windows of 30 s, a fixed number of tokens in each, nothing suppressed, no second try.
fn options(args: &BenchArgs, n_frames: usize) -> Options {
    let starts = (0..n_frames).step_by(N_FRAMES);
    let clips = starts.flat_map(|start| [start, (start + N_FRAMES).min(n_frames)]);
    Options {
        language: Some("en".to_owned()),
        clip_timestamps: clips.map(|frame| frame as f64 / 100.0).collect(),
        without_timestamps: !args.timestamps,
        condition_on_previous_text: false,
        compression_ratio_threshold: None,
        logprob_threshold: None,
        no_speech_threshold: None,
        suppress_blank: false,
        suppress_tokens: SuppressTokens { non_speech: false, ids: Vec::new() },
        max_new_tokens: Some(args.tokens as usize),
        audio_context: args.audio_context,
        batch_size: args.batch as usize,
        beam_size: args.beam_size,
        ..Options::default()
    }
}
