//! A model that listens to the recordings of a manifest.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use boswell_audio::{AudioReader, Spectrogram, SpectrogramOptions};
use boswell_eval::{Item, Outcome, TimedWord};
use boswell_model::Model;
use boswell_transcribe::{Options, Transcriber, Transcript, Word};
use serde_json::json;

use crate::args::RecognitionArgs;
use crate::load;
use crate::screen::Screen;
use crate::transcribe::options;

/// What a model, or some program, wrote for a recording.
pub(super) struct Found {
    pub(super) outcome: Outcome,
    /// The language, if it is known.
    pub(super) language: Option<String>,
}

/// Transcribes all recordings. One that fails is reported, and the others are done all the same.
///
/// - `save`: where what is found is kept, line by line.
///
/// # Errors
/// If the model cannot be loaded, flags make no sense, or `save` cannot be written.
pub(super) fn listen(
    args: &RecognitionArgs,
    save: Option<&Path>,
    items: &[Item],
    screen: &Screen,
) -> Result<Vec<Option<Found>>> {
    let options = options(args)?;
    let transcriber = Transcriber::new(Arc::new(load::model(&args.model, screen)?));
    let mut listener = Listener { transcriber, options, last: None };
    let cannot_write = || format!("cannot write `{}`", save.unwrap_or(Path::new("")).display());
    let mut file = save.map(File::create).transpose().with_context(cannot_write)?.map(BufWriter::new);
    let bar = screen.transcription_bar(items.len() as u64);
    let mut all = Vec::with_capacity(items.len());
    for item in items {
        bar.set_message(item.id.clone());
        let found = match listener.find(item) {
            Ok(found) => Some(found),
            Err(error) => {
                tracing::error!("{error:#}");
                None
            }
        };
        if let (Some(file), Some(Found { outcome, .. })) = (&mut file, &found) {
            let line = json!({ "audio": item.id, "text": outcome.text.trim(), "words": outcome.words });
            writeln!(file, "{line}").and_then(|()| file.flush()).with_context(cannot_write)?;
        }
        bar.inc(1);
        all.push(found);
    }
    bar.finish_and_clear();
    Ok(all)
}

/// A model, and the recording that it heard last: the next part is mostly of the same.
struct Listener {
    transcriber: Transcriber,
    options: Options,
    last: Option<(PathBuf, Spectrogram)>,
}

impl Listener {
    fn find(&mut self, item: &Item) -> Result<Found> {
        let started = Instant::now();
        let mut options = self.options.clone();
        if let Some((start_s, end_s)) = item.part {
            options.clip_timestamps =
                [Some(start_s), end_s.is_finite().then_some(end_s)].into_iter().flatten().collect();
        }
        let Self { transcriber, last, .. } = self;
        let spectrogram = heard(last, &item.audio, transcriber.model(), options.vad.is_some())?;
        let transcript = transcriber
            .transcribe(spectrogram, &options, |_| ControlFlow::Continue(()))
            .with_context(|| format!("cannot transcribe {}", item.id))?;
        let (start_s, end_s) = item.part.unwrap_or((0.0, f64::INFINITY));
        let outcome = Outcome {
            words: options.word_timestamps.then(|| words(&transcript, start_s)),
            text: transcript.text,
            audio_s: Some((end_s.min(spectrogram.duration_s()) - start_s).max(0.0)),
            wall_s: Some(started.elapsed().as_secs_f64()),
        };
        Ok(Found { outcome, language: Some(transcript.language) })
    }
}

/// The features of a recording, which may be those of the last one.
fn heard<'a>(
    last: &'a mut Option<(PathBuf, Spectrogram)>,
    path: &Path,
    model: &Model,
    voice_activity: bool,
) -> Result<&'a Spectrogram> {
    let spectrogram = match last.take() {
        Some((last_path, spectrogram)) if last_path == path => spectrogram,
        _ => {
            let threads = model.threads().count();
            let options = SpectrogramOptions { voice_activity, threads, ..SpectrogramOptions::default() };
            let mut reader = AudioReader::open(path)?;
            Spectrogram::compute_with(&mut reader, model.dims().n_mels, &options, |_| {
                ControlFlow::Continue(())
            })?
        }
    };
    Ok(&last.insert((path.to_owned(), spectrogram)).1)
}

/// All words with their times from `start_s` on.
fn words(transcript: &Transcript, start_s: f64) -> Vec<TimedWord> {
    let words = transcript.segments.iter().flat_map(|segment| segment.words.iter().flatten());
    let timed = |word: &Word| TimedWord {
        word: word.word.trim().to_owned(),
        start: word.start - start_s,
        end: word.end - start_s,
    };
    words.map(timed).collect()
}
