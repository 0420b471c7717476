//! What a client asks for: the parameters of OpenAI's audio API, checked.

use boswell_audio::VadOptions;
use boswell_model::{Task, language_code};
use boswell_transcribe::Options;

use crate::error::ApiError;
use crate::form::Form;

/// A transcription or translation as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TranscriptionRequest {
    /// What the client calls the model.
    pub(crate) model: String,
    pub(crate) options: Options,
    pub(crate) format: ResponseFormat,
    pub(crate) wants_segments: bool,
    /// Send the text as it is found.
    pub(crate) stream: bool,
}

/// How the transcript is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseFormat {
    Json,
    Text,
    Srt,
    Vtt,
    Lrc,
    VerboseJson,
    DiarizedJson,
}

/// Parameters that change nothing about the text: two are taken elsewhere, and speakers are not told apart.
const WITHOUT_EFFECT: [&str; 5] =
    ["url", "callback_url", "known_speaker_names", "known_speaker_references", "user"];

impl TranscriptionRequest {
    /// Reads the parameters of a form.
    ///
    /// # Errors
    /// Status 400 for the first that is missing or makes no sense.
    pub(crate) fn new(form: &mut Form, task: Task) -> Result<Self, ApiError> {
        let model = form.text("model").ok_or_else(|| ApiError::missing("model"))?;
        let format = format(form.text("response_format"), task)?;
        let granularities = granularities(form, format)?;
        let is_any = |name: &str| granularities.iter().any(|granularity| granularity == name);
        // Other formats have no place for them.
        let token_logprobs = includes_logprobs(form)? && format == ResponseFormat::Json;
        let options = options(form, task)?;
        let request = Self {
            model,
            options: Options { word_timestamps: is_any("word"), token_logprobs, ..options },
            format,
            wants_segments: granularities.is_empty() || is_any("segment"),
            stream: truth(form, "stream")?.unwrap_or(false),
        };
        form.ignore(&WITHOUT_EFFECT);
        let unknown = form.unknown();
        if !unknown.is_empty() {
            tracing::warn!(parameters = unknown.join(", "), "unknown parameters have no effect");
        }
        Ok(request)
    }
}

fn options(form: &mut Form, task: Task) -> Result<Options, ApiError> {
    let temperature = temperature(form)?;
    let hotwords = [form.list("keywords"), form.list("hotwords")].concat().join(", ");
    let among_languages = among_languages(form)?;
    Ok(Options {
        task,
        language: language(form, task)?.or_else(|| only(&among_languages)),
        among_languages,
        temperatures: match temperature {
            0.0 => vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            fixed => vec![fixed],
        },
        beam_size: count(form, "beam_size")?.unwrap_or(1),
        best_of: count(form, "best_of")?.unwrap_or(5),
        initial_prompt: form.text("prompt"),
        hotwords: Some(hotwords).filter(|words| !words.is_empty()),
        drop_loops: true,
        keep_best_failed: true,
        vad: voice_activity(form)?,
        without_timestamps: truth(form, "without_timestamps")?.unwrap_or(false),
        ..Options::default()
    })
}

/// What is taken for speech, if only that is to be decoded: OpenAI's `chunking_strategy`, or the `vad_filter` of others.
fn voice_activity(form: &mut Form) -> Result<Option<VadOptions>, ApiError> {
    const NAME: &str = "chunking_strategy";
    let is_wanted = truth(form, "vad_filter")?.unwrap_or(false);
    let options = vad_options(form, &VAD_PARAMETERS, VadOptions::default())?;
    let plain = form.text(NAME);
    let fields = form.object(NAME);
    if fields.is_empty() {
        return match plain.as_deref() {
            None => Ok(is_wanted.then_some(options)),
            Some("auto" | "\"auto\"") => Ok(Some(options)),
            Some(other) => {
                let message = format!("Invalid {NAME} '{other}': expected 'auto' or an object.");
                Err(ApiError::param(NAME, message))
            }
        };
    }
    let mut options = options;
    for (key, value) in fields {
        let set = set_vad_option(&mut options, &key, &value);
        set.ok_or_else(|| ApiError::param(NAME, format!("Invalid {NAME}: '{key}' is '{value}'.")))?;
    }
    Ok(Some(options))
}

/// whisper.cpp's parameters for what is speech.
const VAD_PARAMETERS: [&str; 5] = [
    "vad_threshold",
    "vad_min_speech_duration_ms",
    "vad_max_speech_duration_s",
    "vad_min_silence_duration_ms",
    "vad_speech_pad_ms",
];

/// Reads parameters for what is speech, whose names may begin with `vad_`.
///
/// # Errors
/// Status 400 for the first that makes no sense.
pub(crate) fn vad_options(
    form: &mut Form,
    names: &[&'static str],
    mut options: VadOptions,
) -> Result<VadOptions, ApiError> {
    for name in names {
        let Some(value) = form.text(name) else { continue };
        let set = set_vad_option(&mut options, name.trim_start_matches("vad_"), &value);
        set.ok_or_else(|| ApiError::param(name, format!("Invalid value '{value}' of {name}.")))?;
    }
    Ok(options)
}

/// Sets the option that faster-whisper or OpenAI call so, if there is one; `None`: the value makes no sense.
fn set_vad_option(options: &mut VadOptions, name: &str, value: &str) -> Option<()> {
    let probability = || value.parse().ok().filter(|probability| (0.0..=1.0).contains(probability));
    let milliseconds = || value.parse().ok().filter(|ms| *ms <= 60_000);
    match name {
        "threshold" => options.threshold = probability()?,
        "neg_threshold" => options.neg_threshold = Some(probability()?),
        "min_speech_duration_ms" => options.min_speech_duration_ms = milliseconds()?,
        "min_silence_duration_ms" | "silence_duration_ms" => {
            options.min_silence_duration_ms = milliseconds()?;
        }
        "speech_pad_ms" | "prefix_padding_ms" => options.speech_pad_ms = milliseconds()?,
        "max_speech_duration_s" => {
            // For no limit, programs send infinity or the largest number that they have.
            let seconds: f64 = value.parse().ok().filter(|seconds| *seconds >= 1.0)?;
            options.max_speech_duration_s = Some(seconds).filter(|seconds| *seconds < 1e9);
        }
        _ => {}
    }
    Some(())
}

/// The code of the language spoken; `None`: to be detected.
fn language(form: &mut Form, task: Task) -> Result<Option<String>, ApiError> {
    let asked = form.text("language").map(|language| language.to_lowercase());
    let Some(asked) = asked.filter(|language| !["auto", "none"].contains(&language.as_str())) else {
        return Ok(None);
    };
    match language_code(&asked) {
        // A translation's own parameters have none.
        Some(code) => Ok(Some(code.to_owned())),
        None if task == Task::Translate => Ok(None),
        None => Err(no_language("language", &asked)),
    }
}

/// The codes of the languages that may be spoken; empty: all.
fn among_languages(form: &mut Form) -> Result<Vec<String>, ApiError> {
    const NAME: &str = "languages";
    let code = |asked: String| match language_code(&asked.to_lowercase()) {
        Some(code) => Ok(code.to_owned()),
        None => Err(no_language(NAME, &asked)),
    };
    form.list(NAME).into_iter().map(code).collect()
}

/// The one of a list that has but one.
fn only(languages: &[String]) -> Option<String> {
    if let [only] = languages { Some(only.clone()) } else { None }
}

fn no_language(param: &str, asked: &str) -> ApiError {
    let message =
        format!("Invalid language '{asked}'. Language parameter must be specified in ISO-639-1 format.");
    ApiError::param(param, message)
}

fn temperature(form: &mut Form) -> Result<f32, ApiError> {
    let Some(text) = form.text("temperature") else { return Ok(0.0) };
    match text.parse::<f32>() {
        Ok(temperature) if (0.0..=1.0).contains(&temperature) => Ok(temperature),
        _ => Err(ApiError::param("temperature", format!("Invalid temperature '{text}': expected 0 to 1."))),
    }
}

/// A number of sequences; programs send 0 or less for what is usual.
fn count(form: &mut Form, name: &'static str) -> Result<Option<usize>, ApiError> {
    let Some(text) = form.text(name) else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(count) => Ok(usize::try_from(count).ok().filter(|count| *count > 0)),
        Err(_) => Err(ApiError::param(name, format!("Invalid value '{text}' of {name}: expected a number."))),
    }
}

/// The format of that name.
///
/// # Errors
/// Status 400 if there is none for the task.
pub(crate) fn format(text: Option<String>, task: Task) -> Result<ResponseFormat, ApiError> {
    let formats = [
        ("json", ResponseFormat::Json),
        ("text", ResponseFormat::Text),
        ("srt", ResponseFormat::Srt),
        ("verbose_json", ResponseFormat::VerboseJson),
        ("vtt", ResponseFormat::Vtt),
        ("lrc", ResponseFormat::Lrc),
        ("diarized_json", ResponseFormat::DiarizedJson),
    ];
    let n_formats = if task == Task::Translate { formats.len() - 1 } else { formats.len() };
    let formats = &formats[..n_formats];
    let Some(text) = text else { return Ok(ResponseFormat::Json) };
    formats.iter().find(|(name, _)| *name == text).map(|(_, format)| *format).ok_or_else(|| {
        let names: Vec<String> = formats.iter().map(|(name, _)| format!("'{name}'")).collect();
        let message = format!("Invalid response_format '{text}': expected one of {}.", names.join(", "));
        ApiError::param("response_format", message)
    })
}

fn granularities(form: &mut Form, format: ResponseFormat) -> Result<Vec<String>, ApiError> {
    const NAME: &str = "timestamp_granularities";
    let granularities = form.list(NAME);
    if let Some(bad) = granularities.iter().find(|name| !["word", "segment"].contains(&name.as_str())) {
        let message = format!("Invalid granularity '{bad}': expected 'word' or 'segment'.");
        return Err(ApiError::param(NAME, message));
    }
    // Other formats have no place for words; clients that send the parameter all the same get what they asked for.
    Ok(if format == ResponseFormat::VerboseJson { granularities } else { Vec::new() })
}

/// What a `task` says is to be written.
///
/// # Errors
/// Status 400 if it is something else than `transcribe` or `translate`.
pub(crate) fn task(form: &mut Form) -> Result<Task, ApiError> {
    match form.text("task").as_deref() {
        None | Some("transcribe") => Ok(Task::Transcribe),
        Some("translate") => Ok(Task::Translate),
        Some(other) => {
            let message = format!("Invalid task '{other}': expected 'transcribe' or 'translate'.");
            Err(ApiError::param("task", message))
        }
    }
}

/// A text that is true or false.
///
/// # Errors
/// Status 400 if it is something else.
pub(crate) fn truth(form: &mut Form, name: &'static str) -> Result<Option<bool>, ApiError> {
    let Some(text) = form.text(name) else { return Ok(None) };
    match text.to_lowercase().as_str() {
        "true" | "1" => Ok(Some(true)),
        "false" | "0" => Ok(Some(false)),
        _ => Err(ApiError::param(name, format!("Invalid value '{text}' of {name}: expected true or false."))),
    }
}

/// Whether the logprobs of the tokens are to be told.
fn includes_logprobs(form: &mut Form) -> Result<bool, ApiError> {
    let included = form.list("include");
    match included.iter().find(|name| *name != "logprobs") {
        Some(bad) => Err(ApiError::param("include", format!("Invalid value '{bad}': expected 'logprobs'."))),
        None => Ok(!included.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&str, &str)], task: Task) -> Result<TranscriptionRequest, ApiError> {
        let texts = fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        TranscriptionRequest::new(&mut Form::of(texts.collect()), task)
    }

    fn transcription(fields: &[(&str, &str)]) -> TranscriptionRequest {
        read(&[&[("model", "whisper-1")], fields].concat(), Task::Transcribe).unwrap()
    }

    #[test]
    fn without_parameters_it_is_openai_s_default() {
        let request = transcription(&[]);
        assert_eq!(
            (request.format, request.stream, request.wants_segments),
            (ResponseFormat::Json, false, true)
        );
        assert_eq!(request.options.temperatures, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!((request.options.language, request.options.word_timestamps), (None, false));
    }

    #[test]
    fn lists_are_understood_however_they_are_spelled() {
        let spellings: &[&[(&str, &str)]] = &[
            &[("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment")],
            &[("timestamp_granularities", "word"), ("timestamp_granularities", "segment")],
            &[("timestamp_granularities[0]", "word"), ("timestamp_granularities[1]", "segment")],
            &[("timestamp_granularities", r#"["word", "segment"]"#)],
            &[("timestamp_granularities[]", "segment, word")],
        ];
        for spelling in spellings {
            let request = transcription(&[&[("response_format", "verbose_json")], *spelling].concat());
            assert!(request.options.word_timestamps && request.wants_segments, "{spelling:?}");
        }
        let words =
            transcription(&[("response_format", "verbose_json"), ("timestamp_granularities[]", "word")]);
        assert!(words.options.word_timestamps && !words.wants_segments);
        let unused = transcription(&[("timestamp_granularities", r#"["segment"]"#)]);
        assert!(!unused.options.word_timestamps);
    }

    #[test]
    fn languages_are_codes_names_or_to_be_found() {
        let cases = [
            ("en", Some("en")),
            ("English", Some("en")),
            ("deu", Some("de")),
            ("pt-BR", Some("pt")),
            ("auto", None),
            ("", None),
        ];
        for (asked, code) in cases {
            assert_eq!(transcription(&[("language", asked)]).options.language.as_deref(), code, "{asked}");
        }
        assert_eq!(transcription(&[("languages[]", "fr")]).options.language.as_deref(), Some("fr"));
        let several = transcription(&[("languages[]", "fr"), ("languages[]", "German")]).options;
        assert_eq!(
            (several.language, several.among_languages),
            (None, vec!["fr".to_owned(), "de".to_owned()])
        );
    }

    #[test]
    fn how_it_is_searched_may_be_told() {
        let search = |fields: &[(&str, &str)]| {
            let Options { beam_size, best_of, without_timestamps, .. } = transcription(fields).options;
            (beam_size, best_of, without_timestamps)
        };
        assert_eq!(search(&[]), (1, 5, false));
        assert_eq!(search(&[("beam_size", "-1"), ("best_of", "0")]), (1, 5, false));
        let told = [("beam_size", "5"), ("best_of", "2"), ("without_timestamps", "true")];
        assert_eq!(search(&told), (5, 2, true));
    }

    #[test]
    fn logprobs_are_for_json() {
        for (format, is_told) in [("json", true), ("verbose_json", false), ("srt", false)] {
            let request = transcription(&[("response_format", format), ("include[]", "logprobs")]);
            assert_eq!(request.options.token_logprobs, is_told, "{format}");
        }
        assert!(!transcription(&[]).options.token_logprobs);
    }

    #[test]
    fn words_to_expect_come_together() {
        let request =
            transcription(&[("keywords[]", "Boswell"), ("keywords[]", "Johnson"), ("prompt", " p ")]);
        assert_eq!(request.options.hotwords.as_deref(), Some("Boswell, Johnson"));
        assert_eq!(request.options.initial_prompt.as_deref(), Some("p"));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let cases = [
            ("response_format", "xml"),
            ("temperature", "2"),
            ("temperature", "warm"),
            ("language", "klingon"),
            ("languages[]", "klingon"),
            ("chunking_strategy[threshold]", "2"),
            ("chunking_strategy", "banana"),
            ("vad_speech_pad_ms", "-1"),
            ("vad_max_speech_duration_s", "NaN"),
            ("without_timestamps", "perhaps"),
            ("beam_size", "many"),
            ("timestamp_granularities[]", "character"),
            ("stream", "perhaps"),
            ("include[]", "everything"),
        ];
        for (name, value) in cases {
            let error = read(&[("model", "m"), (name, value)], Task::Transcribe).unwrap_err();
            assert_eq!(error.status, 400, "{name}");
            assert_eq!(error.body()["error"]["param"], name.split('[').next().unwrap(), "{value}");
        }
        assert_eq!(read(&[], Task::Transcribe).unwrap_err().body()["error"]["param"], "model");
        assert!(read(&[("model", "m"), ("response_format", "diarized_json")], Task::Translate).is_err());
    }

    #[test]
    fn what_is_speech_may_be_told() {
        let vad = |fields: &[(&str, &str)]| transcription(fields).options.vad;
        assert_eq!(vad(&[]), None);
        assert_eq!(vad(&[("chunking_strategy", "")]), None);
        assert_eq!(vad(&[("vad_threshold", "0.4")]), None);
        for usual in [("vad_filter", "true"), ("chunking_strategy", "auto")] {
            assert_eq!(vad(&[usual]), Some(VadOptions::default()));
        }
        let told = VadOptions {
            threshold: 0.3,
            min_silence_duration_ms: 200,
            speech_pad_ms: 300,
            ..VadOptions::default()
        };
        let spelled = [
            ("chunking_strategy[type]", "server_vad"),
            ("chunking_strategy[threshold]", "0.3"),
            ("chunking_strategy[silence_duration_ms]", "200"),
            ("chunking_strategy[prefix_padding_ms]", "300"),
        ];
        let json = r#"{"type": "server_vad", "threshold": 0.3, "silence_duration_ms": 200, "prefix_padding_ms": 300}"#;
        assert_eq!(vad(&spelled), Some(told.clone()));
        assert_eq!(vad(&[("chunking_strategy", json)]), Some(told));
        let of_whisper_cpp = [
            ("vad_filter", "1"),
            ("vad_threshold", "0.4"),
            ("vad_min_speech_duration_ms", "250"),
            ("vad_max_speech_duration_s", "3.402823e38"),
            ("vad_min_silence_duration_ms", "100"),
        ];
        let told = VadOptions {
            threshold: 0.4,
            min_speech_duration_ms: 250,
            min_silence_duration_ms: 100,
            ..VadOptions::default()
        };
        assert_eq!(vad(&of_whisper_cpp), Some(told));
    }

    #[test]
    fn what_nobody_knows_has_no_effect() {
        let extra = [("chunking_strategy[type]", "server_vad"), ("made_up", "1"), ("temperature", "0.4")];
        assert_eq!(transcription(&extra).options.temperatures, [0.4]);
    }
}
