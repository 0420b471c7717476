//! Routes of other servers, for the programs that speak with those: whisper.cpp's (`/inference`),
//! whisper-asr-webservice's (`/asr`, `/detect-language`), speaches' (`/v1/audio/speech/timestamps`) and Unicorn
//! Amanuensis' (`/transcribe`).

use std::io::{Seek, Write};
use std::sync::Arc;

use axum::extract::{Query, Request, State as Shared};
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use boswell_audio::{SAMPLE_RATE, VadOptions};
use boswell_model::{Task, language_name};
use boswell_transcribe::{AudioContext, Format, Options, Urgency};
use serde_json::{Value, json};

use crate::audio;
use crate::error::ApiError;
use crate::form::{Form, Upload};
use crate::reply;
use crate::request::{ResponseFormat, TranscriptionRequest, task, truth, vad_options};
use crate::state::State;
use crate::transcription::{Found, Transcription, speech};
use crate::wav::{HEADER_BYTES, PcmFormat};

/// How much of a recording is heard to tell its language.
const LANGUAGE_S: f64 = 30.0;

type Parameters = Query<Vec<(String, String)>>;

pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/inference", post(inference))
        .route("/asr", post(asr))
        .route("/detect-language", post(detect_language))
        .route("/transcribe", post(transcribe))
        .route("/v1/audio/speech/timestamps", post(speech_timestamps))
}

/// whisper.cpp's server: OpenAI's formats, and no model to choose.
async fn inference(Shared(state): Shared<Arc<State>>, request: Request) -> Result<Response, ApiError> {
    let mut form = audio::form(&state, request, "file").await?;
    let task =
        if truth(&mut form, "translate")?.unwrap_or(false) { Task::Translate } else { Task::Transcribe };
    for (name, ours) in [("vad", "vad_filter"), ("no_timestamps", "without_timestamps")] {
        if let Some(value) = form.text(name) {
            form.add(ours, value);
        }
    }
    form.add("model", state.models.first().to_owned());
    let audio_context = audio_context(&mut form)?;
    let mut request = TranscriptionRequest::new(&mut form, task)?;
    request.options.audio_context = audio_context;
    // There, words come with the segments unless nobody wants times.
    request.options.word_timestamps |=
        request.format == ResponseFormat::VerboseJson && !request.options.without_timestamps;
    let upload = audio::recording(&state, &mut form).await?;
    audio::answer_form(state, &request, upload).await
}

/// How much the encoder is to see of a short recording; 0, as without the parameter: what the server does by itself.
fn audio_context(form: &mut Form) -> Result<AudioContext, ApiError> {
    const NAME: &str = "audio_ctx";
    let Some(text) = form.text(NAME) else { return Ok(AudioContext::Full) };
    text.parse().map_err(|error| ApiError::param(NAME, format!("{error}.")))
}

/// Unicorn Amanuensis: everything that is known, of the first model unless another is asked for.
async fn transcribe(Shared(state): Shared<Arc<State>>, request: Request) -> Result<Response, ApiError> {
    let mut form = audio::form(&state, request, "file").await?;
    let usual = [
        ("model", state.models.first()),
        ("response_format", "verbose_json"),
        ("timestamp_granularities", "segment,word"),
    ];
    for (name, value) in usual {
        if form.list(name).is_empty() {
            form.add(name, value.to_owned());
        }
    }
    let request = TranscriptionRequest::new(&mut form, Task::Transcribe)?;
    let upload = audio::recording(&state, &mut form).await?;
    audio::answer_form(state, &request, upload).await
}

/// speaches: where somebody speaks, in milliseconds, and nothing else.
async fn speech_timestamps(
    Shared(state): Shared<Arc<State>>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    const PARAMETERS: [&str; 6] = [
        "threshold",
        "neg_threshold",
        "min_speech_duration_ms",
        "max_speech_duration_s",
        "min_silence_duration_ms",
        "speech_pad_ms",
    ];
    let usual = VadOptions {
        threshold: 0.75,
        min_silence_duration_ms: 1000,
        speech_pad_ms: 0,
        ..VadOptions::default()
    };
    let mut form = audio::form(&state, request, "file").await?;
    let options = vad_options(&mut form, &PARAMETERS, usual)?;
    let upload = audio::recording(&state, &mut form).await?;
    let _admission = state.admit()?;
    let spans = speech(state, upload, &options).await?;
    let ms = |sample: u64| sample * 1000 / SAMPLE_RATE as u64;
    Ok(Json(spans.into_iter().map(|span| json!({"start": ms(span.start), "end": ms(span.end)})).collect()))
}

/// whisper-asr-webservice: parameters in the address, files as answers.
async fn asr(
    Shared(state): Shared<Arc<State>>,
    Query(parameters): Parameters,
    request: Request,
) -> Result<Response, ApiError> {
    let mut form = asr_form(&state, parameters, request).await?;
    let task = task(&mut form)?;
    let output = form.text("output").unwrap_or_else(|| Format::Txt.to_string());
    let format: Format = output.parse().map_err(|error| ApiError::param("output", format!("{error}.")))?;
    if let Some(prompt) = form.text("initial_prompt") {
        form.add("prompt", prompt);
    }
    let word_timestamps = truth(&mut form, "word_timestamps")?.unwrap_or(false);
    let upload = asr_recording(&state, &mut form).await?;
    let TranscriptionRequest { model, options, .. } = TranscriptionRequest::new(&mut form, task)?;
    let name = file_name(&upload.name, format);
    let _admission = state.admit()?;
    let options = Options { word_timestamps, ..options };
    let transcription =
        Transcription::begin(state.clone(), upload, &model, options, Urgency::Waiting).await?;
    let done = transcription.finish().await?;
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (HeaderName::from_static("asr-engine"), "boswell".to_owned()),
    ];
    Ok((headers, reply::file(&done.transcript, format)).into_response())
}

/// whisper-asr-webservice: which language is spoken at the start of a recording.
async fn detect_language(
    Shared(state): Shared<Arc<State>>,
    Query(parameters): Parameters,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let mut form = asr_form(&state, parameters, request).await?;
    let upload = asr_recording(&state, &mut form).await?;
    let _admission = state.admit()?;
    let options = Options {
        clip_timestamps: vec![0.0, LANGUAGE_S],
        max_new_tokens: Some(1),
        temperatures: vec![0.0],
        ..Options::default()
    };
    let model = state.models.first().to_owned();
    let mut transcription =
        Transcription::begin(state.clone(), upload, &model, options, Urgency::Waiting).await?;
    while let Some(found) = transcription.next().await? {
        if let Found::Language { code, probability } = found {
            let name = language_name(&code).unwrap_or(&code);
            // A model that knows one language is sure of it.
            let confidence = probability.unwrap_or(1.0);
            return Ok(Json(
                json!({"detected_language": name, "language_code": code, "confidence": confidence}),
            ));
        }
    }
    transcription.finish().await.and(Err(ApiError::internal()))
}

/// The form, with the parameters of the address in it.
async fn asr_form(
    state: &State,
    parameters: Vec<(String, String)>,
    request: Request,
) -> Result<Form, ApiError> {
    let mut form = audio::form(state, request, "audio_file").await?;
    parameters.into_iter().for_each(|(name, value)| form.add(&name, value));
    form.add("model", state.models.first().to_owned());
    Ok(form)
}

/// The recording; with `encode=false` it is samples without a head.
async fn asr_recording(state: &Arc<State>, form: &mut Form) -> Result<Upload, ApiError> {
    let has_head = truth(form, "encode")?.unwrap_or(true);
    let upload = audio::recording(state, form).await?;
    if has_head {
        return Ok(upload);
    }
    let state = state.clone();
    let made = tokio::task::spawn_blocking(move || with_head(upload, &state));
    made.await.map_err(|_| ApiError::internal())?.map_err(|error| {
        tracing::error!("cannot store a recording: {error}");
        ApiError::storage()
    })
}

/// A wav file of samples as most programs send them.
fn with_head(mut upload: Upload, state: &State) -> std::io::Result<Upload> {
    let mut file = tempfile::tempfile_in(&state.settings.temp_dir)?;
    file.write_all(&PcmFormat::USUAL.wav_header(upload.n_bytes))?;
    upload.file.rewind()?;
    std::io::copy(&mut upload.file, &mut file)?;
    Ok(Upload { file, name: upload.name, n_bytes: upload.n_bytes + HEADER_BYTES })
}

/// What the answer's file is called: as the recording, with another ending.
fn file_name(recording: &str, format: Format) -> String {
    let stem =
        std::path::Path::new(recording).file_stem().and_then(|stem| stem.to_str()).unwrap_or("transcript");
    let stem: String = stem.chars().filter(|c| c.is_ascii_graphic() && !['"', '\\'].contains(c)).collect();
    format!("{}.{format}", if stem.is_empty() { "transcript" } else { &stem })
}
