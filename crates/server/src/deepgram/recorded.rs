//! Recordings: the whole body, or at an address.

use std::io::{BufRead, BufReader, Seek};
use std::sync::Arc;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Query, Request as HttpRequest, State as Shared};
use axum::http::header;
use boswell_transcribe::{Options, Urgency};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Parameters;
use super::parameters::{Speech, note_unknown, speech};
use super::results::{Request, alternative, alternative_of};
use crate::audio;
use crate::error::ApiError;
use crate::form::{Form, Upload};
use crate::reply::{has_text, rounded};
use crate::request::truth;
use crate::state::State;
use crate::transcription::{Done, Transcription};

/// Most bytes of what names an address.
const MAX_JSON_BYTES: usize = 64 << 10;

/// Writes a recording down.
pub(crate) async fn recorded(
    Shared(state): Shared<Arc<State>>,
    Query(parameters): Parameters,
    request: HttpRequest,
) -> Result<Json<Value>, ApiError> {
    let mut form = Form::of(parameters);
    let Speech { model, language, keywords } = speech(&mut form, &state)?;
    let wants_utterances = truth(&mut form, "utterances")?.unwrap_or(false);
    note_unknown(&mut form);
    let (upload, hash) = hash(recording(&state, request).await?).await?;
    let _admission = state.admit()?;
    let is_detected = language.is_none();
    let options = Options {
        language,
        hotwords: Some(keywords.join(", ")).filter(|words| !words.is_empty()),
        temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
        drop_loops: true,
        keep_best_failed: true,
        word_timestamps: true,
        ..Options::default()
    };
    let transcription =
        Transcription::begin(state.clone(), upload, &model, options, Urgency::Waiting).await?;
    let done = transcription.finish().await?;
    let mut channel = json!({"alternatives": [alternative(&done.transcript, 0.0)]});
    if is_detected {
        channel["detected_language"] = json!(done.transcript.language);
    }
    let mut results = json!({"channels": [channel]});
    if wants_utterances {
        results["utterances"] = utterances(&done);
    }
    let metadata = Request::new(&model).metadata(hash, done.duration_s);
    Ok(Json(json!({"metadata": metadata, "results": results})))
}

async fn recording(state: &Arc<State>, request: HttpRequest) -> Result<Upload, ApiError> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let mut form = Form::default();
    if kind.is_some_and(|kind| kind.starts_with("application/json")) {
        let json = to_bytes(request.into_body(), MAX_JSON_BYTES).await;
        let json = json.map_err(|error| ApiError::invalid(format!("The body cannot be read: {error}.")))?;
        let json: Value = serde_json::from_slice(&json)
            .map_err(|error| ApiError::invalid(format!("Expected JSON with a url: {error}.")))?;
        let url = json["url"].as_str().ok_or_else(|| ApiError::missing("url"))?;
        form.add("url", url.to_owned());
    } else {
        form.upload = Some(audio::body(state, request).await?);
    }
    audio::recording(state, &mut form).await
}

/// The recording, and the hash of its bytes.
async fn hash(mut upload: Upload) -> Result<(Upload, Sha256), ApiError> {
    let hashed = tokio::task::spawn_blocking(move || {
        let mut hash = Sha256::new();
        upload.file.rewind()?;
        let mut reader = BufReader::with_capacity(1 << 16, &upload.file);
        while let bytes = reader.fill_buf()?
            && !bytes.is_empty()
        {
            let n_bytes = bytes.len();
            hash.update(bytes);
            reader.consume(n_bytes);
        }
        upload.file.rewind()?;
        Ok((upload, hash))
    });
    hashed.await.map_err(|_| ApiError::internal())?.map_err(|error: std::io::Error| {
        tracing::error!("cannot read a recording: {error}");
        ApiError::internal()
    })
}

/// The segments.
fn utterances(done: &Done) -> Value {
    let segments = done.transcript.segments.iter().filter(|segment| has_text(segment));
    let utterances = segments.map(|segment| {
        let mut utterance = alternative_of(&segment.text, segment.words.iter().flatten(), 0.0);
        utterance["start"] = json!(rounded(segment.start));
        utterance["end"] = json!(rounded(segment.end));
        utterance["channel"] = json!(0);
        utterance["id"] = json!(segment.id.to_string());
        utterance
    });
    utterances.collect()
}
