//! What is asked for in the address, checked.

use boswell_model::language_code;

use crate::error::ApiError;
use crate::form::Form;
use crate::live::{Listening, SoundFormat, TurnDetection};
use crate::request::truth;
use crate::state::State;

/// A session as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Live {
    pub(super) listening: Listening,
    /// Whether it is told when somebody begins to speak.
    pub(super) vad_events: bool,
    /// Whether it is told that a text ends with a pause.
    pub(super) endpointing: bool,
    /// So long after the last word it is told that there are no more.
    pub(super) utterance_end_ms: Option<u64>,
}

/// How the names of Deepgram's models begin, for which the first of ours stands in.
const DEEPGRAM_MODELS: [&str; 6] = ["nova", "enhanced", "base", "whisper", "general", "flux"];
/// A shorter pause ends no turn: it would part the words of a sentence, and the model hears each part alone.
const MIN_PAUSE_MS: u64 = 300;
const MAX_PAUSE_MS: u64 = 10_000;
/// Parameters that change nothing about what is answered: texts are written as the model writes them, with
/// punctuation, and speakers are not told apart.
const WITHOUT_EFFECT: [&str; 13] = [
    "punctuate",
    "smart_format",
    "diarize",
    "numerals",
    "dictation",
    "filler_words",
    "profanity_filter",
    "paragraphs",
    "no_delay",
    "version",
    "tier",
    "tag",
    "mip_opt_out",
];

impl Live {
    /// What is to be done in a session.
    ///
    /// # Errors
    /// Status 400 for the first parameter that makes no sense.
    pub(super) fn new(form: &mut Form, state: &State) -> Result<Self, ApiError> {
        let (pause_ms, endpointing) = endpointing(form)?;
        let n_channels = number(form, "channels", 1..=8)?.unwrap_or(1) as usize;
        if n_channels > 1 && truth(form, "multichannel")?.unwrap_or(false) {
            let message = "Channels are mixed: this server does not listen to each of them.";
            return Err(ApiError::param("multichannel", message));
        }
        let speech = speech(form, state)?;
        let listening = Listening {
            language: speech.language,
            keywords: speech.keywords,
            n_channels,
            detection: Some(TurnDetection { silence_ms: pause_ms, ..TurnDetection::default() }),
            before_end: truth(form, "interim_results")?.unwrap_or(false),
            word_timestamps: true,
            ..Listening::new(&speech.model, format(form)?)
        };
        let live = Self {
            listening,
            vad_events: truth(form, "vad_events")?.unwrap_or(false),
            endpointing,
            utterance_end_ms: number(form, "utterance_end_ms", 0..=60_000)?,
        };
        note_unknown(form);
        Ok(live)
    }
}

/// What is spoken, and what writes it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Speech {
    pub(super) model: String,
    /// Its code; `None`: to be detected.
    pub(super) language: Option<String>,
    pub(super) keywords: Vec<String>,
}

/// # Errors
/// Status 400 if there is no such language, 404 if there is no such model.
pub(super) fn speech(form: &mut Form, state: &State) -> Result<Speech, ApiError> {
    let detects = truth(form, "detect_language").ok().flatten().unwrap_or(false);
    let language = form.text("language").filter(|language| !detects && language != "multi");
    let language = language.map(|asked| {
        // `en-US` is English.
        let code = language_code(asked.split(['-', '_']).next().unwrap_or_default());
        code.map(str::to_owned)
            .ok_or_else(|| ApiError::param("language", format!("There is no language '{asked}'.")))
    });
    let mut keywords = form.list("keyterm");
    // `word:2` wants it twice as much.
    keywords
        .extend(form.list("keywords").iter().map(|word| word.split(':').next().unwrap_or(word).to_owned()));
    Ok(Speech { model: model(form, state)?, language: language.transpose()?, keywords })
}

/// Tells of parameters that nobody has asked for.
pub(super) fn note_unknown(form: &mut Form) {
    form.ignore(&WITHOUT_EFFECT);
    let unknown = form.unknown();
    if !unknown.is_empty() {
        tracing::warn!(parameters = unknown.join(", "), "unknown parameters have no effect");
    }
}

fn model(form: &mut Form, state: &State) -> Result<String, ApiError> {
    let Some(asked) = form.text("model") else { return Ok(state.models.first().to_owned()) };
    match state.models.check(&asked) {
        Err(_) if DEEPGRAM_MODELS.iter().any(|name| asked.starts_with(name)) => {
            Ok(state.models.first().to_owned())
        }
        other => other.map(|()| asked),
    }
}

/// How long a pause ends a turn, and whether that is told.
fn endpointing(form: &mut Form) -> Result<(u64, bool), ApiError> {
    const NAME: &str = "endpointing";
    match form.text(NAME).as_deref() {
        None | Some("true") => Ok((TurnDetection::default().silence_ms, true)),
        Some("false") => Ok((TurnDetection::default().silence_ms, false)),
        Some(_) => {
            let pause_ms = number(form, NAME, 0..=u64::MAX)?.unwrap_or_default();
            Ok((pause_ms.clamp(MIN_PAUSE_MS, MAX_PAUSE_MS), true))
        }
    }
}

fn format(form: &mut Form) -> Result<SoundFormat, ApiError> {
    let encoding = form.text("encoding");
    let rate = number(form, "sample_rate", 1_000..=192_000)?;
    match (encoding.as_deref(), rate) {
        (Some("linear16"), Some(rate)) => Ok(SoundFormat::Pcm16 { rate: rate as u32 }),
        (Some("linear16"), None) => Err(ApiError::missing("sample_rate")),
        (Some("mulaw"), None | Some(8_000)) => Ok(SoundFormat::MuLaw),
        (Some("alaw"), None | Some(8_000)) => Ok(SoundFormat::ALaw),
        (Some("mulaw" | "alaw"), _) => {
            Err(ApiError::param("sample_rate", "G.711 has 8000 samples a second."))
        }
        _ => {
            let message = "Expected the encoding of samples without a container: linear16, mulaw or alaw.";
            Err(ApiError::param("encoding", message))
        }
    }
}

fn number(
    form: &mut Form,
    name: &'static str,
    range: std::ops::RangeInclusive<u64>,
) -> Result<Option<u64>, ApiError> {
    let Some(text) = form.text(name) else { return Ok(None) };
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.map(Some).ok_or_else(|| {
        let (least, most) = range.into_inner();
        ApiError::param(name, format!("Invalid {name} '{text}': expected {least} to {most}."))
    })
}
