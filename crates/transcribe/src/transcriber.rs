//! The facade: a recording's features in, its transcript out.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use boswell_audio::Spectrogram;
use boswell_model::{Dims, Model, Task};

use crate::decode::{Decode, StepScratch, step};
use crate::encoder::Encoder;
use crate::lanes::{Lanes, Next, are_many};
use crate::language::{LanguageProbability, language_code};
use crate::parts::Course;
use crate::timeline::Timeline;
use crate::{AudioContext, Error, Options, Segment, Transcript};

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
        /// Seconds that are decoded.
        done_s: f64,
        /// Seconds to decode: the recording, or as much of it as clips and speech leave.
        total_s: f64,
    },
    /// The decoding has ended, or was stopped in its course. Told last.
    End(Stages),
    /// A window was encoded, or a token of one decoded. Tells nothing, but is a chance to stop.
    Step,
}

/// Where the time of a transcription went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stages {
    /// In the encoder.
    pub encode: Duration,
    /// In the keys and values for cross-attention, once a window.
    pub cross: Duration,
    /// In the decoder, the choice of tokens and the times of words included.
    pub decode: Duration,
    /// Windows encoded.
    pub n_windows: usize,
    /// Tokens decoded, the end of each window included.
    pub n_tokens: usize,
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
    /// for or they make no sense, [`Error::Context`] if a prefix is too long, [`Error::VoiceActivity`] if the spectrogram
    /// comes without it and `options` ask for it, [`Error::Features`] if it cannot be read, [`Error::Window`] if the
    /// model does not see 30 s at once. What was found before an error is told.
    ///
    /// # Panics
    /// If the spectrogram has another number of mel bands than the model.
    pub fn transcribe(
        &self,
        spectrogram: &Spectrogram,
        options: &Options,
        mut on_event: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Transcript, Error> {
        let model = self.model.as_ref();
        let (mut lanes, mut flow) = begin(model, spectrogram, options, &mut on_event)?;
        let mut scratch = StepScratch::default();
        while flow.is_continue() {
            flow = match lanes.next()? {
                Next::Begun => ControlFlow::Continue(()),
                Next::Nothing if lanes.decodes().next().is_none() => break,
                Next::Nothing => decode(model, &mut lanes, &mut scratch, &mut on_event),
                Next::Encode(excerpt) => {
                    let mut flow = ControlFlow::Continue(());
                    let encoded = excerpt.encode_beside(model, spectrogram, || {
                        flow = decode(model, &mut lanes, &mut scratch, &mut on_event);
                        let (n_decoding, is_last) = (lanes.decodes().count(), !lanes.has_next());
                        if are_many(n_decoding, options.batch_size, is_last) {
                            flow
                        } else {
                            ControlFlow::Break(())
                        }
                    });
                    lanes.begin(encoded?)?;
                    if flow.is_continue() { on_event(Event::Step) } else { flow }
                }
            };
        }
        Ok(lanes.finish(&mut on_event))
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
        Encoder::new(&self.model, spectrogram, Timeline::of_recording(), AudioContext::Full)?
            .language_probabilities(0)
    }
}

/// Moves the windows that are being decoded on by a step, if there are any, and hands out what is done.
fn decode(
    model: &Model,
    lanes: &mut Lanes<'_>,
    scratch: &mut StepScratch,
    on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let started = Instant::now();
    let mut decodes: Vec<&mut Decode> = lanes.decodes().collect();
    let n_decodes = decodes.len();
    if n_decodes == 0 {
        return ControlFlow::Continue(());
    }
    step(model, &mut decodes, scratch);
    lanes.count_step(n_decodes, started.elapsed());
    let flow = on_event(Event::Step);
    if flow.is_continue() && lanes.accept() { lanes.hand_out(on_event) } else { flow }
}

/// Begins a recording: its language is told, after the model has listened for it if need be, and no window is encoded.
///
/// Returns with its lanes whether `on_event` wants it to go on.
///
/// # Errors
/// Those of [`Transcriber::transcribe`].
///
/// # Panics
/// If the spectrogram has another number of mel bands than the model.
pub(crate) fn begin<'a>(
    model: &'a Model,
    spectrogram: &'a Spectrogram,
    options: &'a Options,
    on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<(Lanes<'a>, ControlFlow<()>), Error> {
    if options.task == Task::Translate {
        check_translates(model.dims())?;
    }
    let Course { timeline, routes, first_speech } = Course::new(spectrogram, options)?;
    let mut encoder = Encoder::new(model, spectrogram, timeline, options.audio_context)?;
    let (language, probability) = language(options, first_speech, &mut encoder)?;
    let lanes = Lanes::new(encoder, routes, &language, options)?;
    let flow = on_event(Event::Language { code: &language, probability });
    Ok((lanes, flow))
}

/// The code of the language asked for or detected, and in the latter case its probability.
fn language(
    options: &Options,
    first_speech: Option<usize>,
    encoder: &mut Encoder<'_>,
) -> Result<(String, Option<f32>), Error> {
    let tokenizer = encoder.model.tokenizer();
    if let Some(language) = &options.language {
        return Ok((language_code(tokenizer, language).to_owned(), None));
    }
    // Where nobody speaks, the language is of no account, and an encoder run is a high price for it.
    let Some(start_frame) = first_speech.filter(|_| tokenizer.is_multilingual()) else {
        return Ok(("en".to_owned(), None));
    };
    let heard = encoder.language_probabilities(start_frame)?;
    let is_meant =
        |heard: &&LanguageProbability| options.among_languages.iter().any(|code| code == heard.code);
    let LanguageProbability { code, probability } = *heard.iter().find(is_meant).unwrap_or(&heard[0]);
    tracing::info!(language = code, probability, "language detected");
    Ok((code.to_owned(), Some(probability)))
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

#[cfg(test)]
mod tests;
