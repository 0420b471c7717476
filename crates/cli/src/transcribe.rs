//! `boswell transcribe`: recordings in, transcripts out.

mod input;
mod interrupt;
mod options;
mod output;
mod progress;

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use boswell_audio::{Spectrogram, SpectrogramOptions};
use boswell_model::language_name;
use boswell_transcribe::{Event, Options, Transcriber};

use crate::args::TranscribeArgs;
use crate::load;
use crate::screen::{ReaderGone, Screen};
use input::Input;
use interrupt::Interrupt;
pub(crate) use options::options;
use output::Sink;
use progress::Progress;

/// What a shell reports for a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

/// Transcribes the recordings that the command line names, one after the other.
///
/// A recording that fails is reported, and the others are done all the same.
///
/// # Errors
/// If the command line makes no sense, the model cannot be loaded, or nobody takes the output any more.
pub(crate) fn run(args: &TranscribeArgs, screen: &Screen) -> Result<ExitCode> {
    let inputs = input::inputs(&args.files)?;
    let options = options(&args.recognition)?;
    let sink = Sink::new(&args.output, options::write_options(&args.recognition.words)?, screen)?;
    let transcriber = Transcriber::new(Arc::new(load::model(&args.recognition.model, screen)?));
    let work = Work { transcriber, options, sink, screen, interrupt: Interrupt::listen()? };

    let mut n_failed = 0;
    for (input, stem) in inputs.iter().zip(output::stems(&inputs)) {
        if inputs.len() > 1 {
            tracing::info!("{input}:");
        }
        match work.transcribe(input, &stem) {
            Ok(()) => {}
            Err(error) if error.is::<ReaderGone>() => return Err(error),
            Err(error) => {
                tracing::error!("{error:#}");
                n_failed += 1;
            }
        }
        if work.interrupt.is_requested() {
            return Ok(ExitCode::from(INTERRUPTED));
        }
    }
    if n_failed > 0 && inputs.len() > 1 {
        tracing::error!("{n_failed} of {} recordings could not be transcribed", inputs.len());
    }
    Ok(if n_failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What all recordings share.
struct Work<'a> {
    transcriber: Transcriber,
    options: Options,
    sink: Sink<'a>,
    screen: &'a Screen,
    interrupt: Interrupt,
}

impl Work<'_> {
    /// Transcribes one recording. After Ctrl-C, what was found until then is its transcript.
    fn transcribe(&self, input: &Input, stem: &str) -> Result<()> {
        let mut progress = Progress::new(self.screen);
        let Some(spectrogram) = self.listen(input, &progress)? else {
            tracing::warn!("stopped before {input} was read; nothing is written");
            return Ok(());
        };
        if spectrogram.n_frames() == 0 {
            tracing::warn!("{input} holds no sound");
        }
        let cannot = || format!("cannot transcribe {input}");
        progress.transcribing(self.options.asked_s(spectrogram.duration_s()).with_context(cannot)?);
        let mut broken = None;
        let transcript = self
            .transcriber
            .transcribe(&spectrogram, &self.options, |event| {
                match event {
                    Event::Segment(segment) if broken.is_none() => broken = self.sink.segment(segment).err(),
                    Event::Segment(_) => {}
                    Event::Progress { done_s, total_s } => progress.transcribed(done_s, total_s),
                    Event::Language { code, probability: Some(probability) } => {
                        let name = language_name(code).unwrap_or(code);
                        tracing::info!("detected language: {name} ({:.0} % sure)", probability * 100.0);
                    }
                    Event::Language { .. } | Event::Step | Event::End(_) => {}
                }
                if broken.is_some() { ControlFlow::Break(()) } else { self.interrupt.flow() }
            })
            .with_context(cannot)?;
        if let Some(error) = broken {
            return Err(error);
        }
        self.sink.finish(&transcript, stem)?;
        if !transcript.dropped.is_empty() {
            let n_dropped = transcript.dropped.len();
            tracing::info!(
                "text dropped in {n_dropped} places, since nobody seems to say it: the JSON lists it"
            );
        }
        progress.finish(self.interrupt.is_requested());
        Ok(())
    }

    /// Reads a recording and computes its features; `None` after Ctrl-C.
    fn listen(&self, input: &Input, progress: &Progress<'_>) -> Result<Option<Spectrogram>> {
        let model = self.transcriber.model();
        let on_read = |read_s| {
            progress.read(read_s);
            self.interrupt.flow()
        };
        let options = SpectrogramOptions {
            voice_activity: self.options.vad.is_some(),
            threads: model.threads().count(),
            ..SpectrogramOptions::default()
        };
        match Spectrogram::compute_with(&mut input.open()?, model.dims().n_mels, &options, on_read) {
            Ok(spectrogram) => Ok(Some(spectrogram)),
            Err(boswell_audio::Error::Stopped) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
