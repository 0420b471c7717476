//! The facade: a recording's features in, its transcript out.

use std::ops::ControlFlow;
use std::sync::Arc;

use boswell_audio::{N_FRAMES, Spectrogram};
use boswell_model::{Dims, Model, Row, Scratch, Task};

use crate::decode::{DecodeRow, Hypothesis, Plan, step};
use crate::language::{LanguageProbability, language_code, language_probabilities};
use crate::windows::{FRAMES_PER_SECOND, Walk, WindowRequest};
use crate::{Error, Options, Segment, Transcript};

/// Transcribes recordings with one model. Several threads may do so at once.
pub struct Transcriber {
    model: Arc<Model>,
}

/// What is reported while a recording is transcribed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// The language is known.
    Language {
        /// Its code.
        code: &'a str,
        /// How probable it is, if it was detected.
        probability: Option<f32>,
    },
    /// A segment was found. Its text is empty where nothing was said.
    Segment(&'a Segment),
    /// A window is done.
    Progress {
        /// Seconds of the recording that are behind.
        done_s: f64,
        /// Seconds of the recording.
        total_s: f64,
    },
    /// A token of a window was decoded. Tells nothing, but is a chance to stop.
    Step,
}

impl Transcriber {
    /// A transcriber with a model, which others may use too.
    pub fn new(model: Arc<Model>) -> Self {
        Self { model }
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Transcribes a recording.
    ///
    /// - `spectrogram`: with as many mel bands as the model's dimensions say.
    /// - `on_event`: is told what is found, in order, and may ask to stop. Then what was found so far is the
    ///   transcript; the window in work is lost. All segments of the transcript are told.
    ///
    /// # Errors
    /// [`Error::Model`], [`Error::CannotTranslate`] or [`Error::Option`] if the model cannot do what `options` ask
    /// for or they make no sense, [`Error::Context`] if a prefix is too long, [`Error::Features`] if the spectrogram
    /// cannot be read, [`Error::Window`] if the model does not see 30 s at once.
    ///
    /// # Panics
    /// If the spectrogram has another number of mel bands than the model.
    pub fn transcribe(
        &self,
        spectrogram: &Spectrogram,
        options: &Options,
        mut on_event: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Transcript, Error> {
        let (model, tokenizer) = (self.model.as_ref(), self.model.tokenizer());
        if options.task == Task::Translate {
            check_translates(model.dims())?;
        }
        let mut walk = Walk::new(tokenizer, model.dims().n_text_ctx, spectrogram.n_frames(), options)?;
        let mut encoder = Encoder::new(model, spectrogram)?;
        let (language, probability) = self.language(options, &mut encoder)?;
        let plan = Arc::new(Plan::new(tokenizer, model.dims(), &language, options)?);
        let mut transcript = Transcript { language, ..Transcript::default() };
        let mut stop = on_event(Event::Language { code: &transcript.language, probability }).is_break();
        let total_s = spectrogram.duration_s();

        while !stop && let Some(request) = walk.request() {
            let WindowRequest { seek, n_frames, temperature, prompt } = &request;
            let hypothesis = Hypothesis::new(plan.clone(), prompt, *temperature, seed(options, &request))?;
            let mut row = DecodeRow::new(hypothesis, encoder.window(*seek, *n_frames)?);
            while !row.is_finished() && !stop {
                step(model, std::slice::from_mut(&mut row), &mut encoder.scratch);
                stop = on_event(Event::Step).is_break();
            }
            if !row.is_finished() {
                break;
            }
            let decoded = row.decoded(tokenizer);
            encoder.give_back(*seek, *n_frames, row.into_row());
            tracing::debug!(
                seek_s = request.seek as f64 / FRAMES_PER_SECOND as f64,
                temperature = request.temperature,
                n_tokens = decoded.tokens.len(),
                avg_logprob = decoded.avg_logprob,
                no_speech_prob = decoded.no_speech_prob,
                compression_ratio = decoded.compression_ratio,
                "window decoded"
            );
            for segment in walk.accept(&request, &decoded) {
                stop |= on_event(Event::Segment(&segment)).is_break();
                transcript.segments.push(segment);
            }
            let done_s = (walk.position() as f64 / FRAMES_PER_SECOND as f64).min(total_s);
            stop |= on_event(Event::Progress { done_s, total_s }).is_break();
        }
        transcript.text = walk.text();
        Ok(transcript)
    }

    /// The probabilities of all languages in the first 30 s of a recording, the most probable first. Empty if the
    /// model is English only.
    ///
    /// # Errors
    /// [`Error::Features`] if the spectrogram cannot be read, [`Error::Window`] if the model does not see 30 s at once.
    ///
    /// # Panics
    /// If the spectrogram has another number of mel bands than the model.
    pub fn detect_language(&self, spectrogram: &Spectrogram) -> Result<Vec<LanguageProbability>, Error> {
        if !self.model.tokenizer().is_multilingual() {
            return Ok(Vec::new());
        }
        Encoder::new(&self.model, spectrogram)?.language_probabilities()
    }

    /// The code of the language asked for or detected, and in the latter case its probability.
    fn language(&self, options: &Options, encoder: &mut Encoder<'_>) -> Result<(String, Option<f32>), Error> {
        let tokenizer = self.model.tokenizer();
        if let Some(language) = &options.language {
            return Ok((language_code(tokenizer, language).to_owned(), None));
        }
        if !tokenizer.is_multilingual() {
            return Ok(("en".to_owned(), None));
        }
        let LanguageProbability { code, probability } = encoder.language_probabilities()?[0];
        tracing::info!(language = code, probability, "language detected");
        Ok((code.to_owned(), Some(probability)))
    }
}

/// Refuses translations that would be none.
fn check_translates(dims: &Dims) -> Result<(), Error> {
    if !dims.is_multilingual() {
        return Err(Error::CannotTranslate { reason: "it is English only" });
    }
    // Of large-v3's 32 decoder layers turbo has 4, and was trained on transcriptions alone since; most models with 2
    // were too, but not all.
    match (dims.n_audio_layer, dims.n_text_layer) {
        (32, 4) => Err(Error::CannotTranslate { reason: "turbo models were trained to transcribe only" }),
        (32, 2) => {
            tracing::warn!(
                "distilled models are mostly trained to transcribe only: this may be no translation"
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Encodes windows of a recording, each one once however often it is decoded.
struct Encoder<'a> {
    model: &'a Model,
    spectrogram: &'a Spectrogram,
    scratch: Scratch,
    mel: Vec<f32>, // [n_mels, N_FRAMES]
    /// The window encoded last: its first frame, its frames, and a row over it without tokens.
    window: Option<(usize, usize, Row)>,
}

impl<'a> Encoder<'a> {
    fn new(model: &'a Model, spectrogram: &'a Spectrogram) -> Result<Self, Error> {
        let dims = model.dims();
        assert_eq!(spectrogram.n_mels(), dims.n_mels, "spectrogram and model differ in mel bands");
        if 2 * dims.n_audio_ctx != N_FRAMES {
            return Err(Error::Window { found: dims.n_audio_ctx, expected: N_FRAMES / 2 });
        }
        let mel = vec![0.0; dims.n_mels * N_FRAMES];
        Ok(Self { model, spectrogram, scratch: Scratch::default(), mel, window: None })
    }

    /// A row without tokens over a window, which begins at `seek`.
    fn window(&mut self, seek: usize, n_frames: usize) -> Result<Row, Error> {
        match self.window.take() {
            Some((last_seek, last_n_frames, row)) if (last_seek, last_n_frames) == (seek, n_frames) => {
                Ok(row)
            }
            _ => {
                self.spectrogram.window(seek, n_frames, &mut self.mel)?;
                Ok(self.model.start(&self.model.encode(&self.mel)))
            }
        }
    }

    /// Keeps a row for the case that its window is decoded again.
    fn give_back(&mut self, seek: usize, n_frames: usize, row: Row) {
        self.window = Some((seek, n_frames, row));
    }

    /// The probabilities of the languages in the first 30 s.
    fn language_probabilities(&mut self) -> Result<Vec<LanguageProbability>, Error> {
        self.spectrogram.window_with_silence(0, &mut self.mel)?;
        let mut row = self.model.start(&self.model.encode(&self.mel));
        let languages = language_probabilities(self.model, &mut row, &mut self.scratch);
        if self.spectrogram.n_frames() >= N_FRAMES {
            self.give_back(0, N_FRAMES, row);
        }
        Ok(languages)
    }
}

/// Where the draws in a window start: the same whatever was decoded before it.
fn seed(options: &Options, request: &WindowRequest) -> u64 {
    let window = (request.seek as u64) << 32 | u64::from(request.temperature.to_bits());
    options.seed ^ window.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests;
