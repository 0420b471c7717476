//! `/v1/audio/transcriptions` and `/v1/audio/translations`.

use std::sync::Arc;

use axum::extract;
use axum::extract::Request;
use axum::response::Response;
use boswell_model::Task;
use boswell_transcribe::Urgency;
use tracing::{Instrument, info_span};

use crate::error::ApiError;
use crate::form::{Form, FormLimits, Upload};
use crate::reply::reply;
use crate::request::TranscriptionRequest;
use crate::state::State;
use crate::stream::stream;
use crate::transcription::Transcription;

/// Writes down what is said.
pub(crate) async fn transcriptions(
    extract::State(state): extract::State<Arc<State>>,
    request: Request,
) -> Result<Response, ApiError> {
    answer(state, request, Task::Transcribe).await
}

/// Writes down what is said, in English.
pub(crate) async fn translations(
    extract::State(state): extract::State<Arc<State>>,
    request: Request,
) -> Result<Response, ApiError> {
    answer(state, request, Task::Translate).await
}

/// The recording of a form: the one in it, or the one that its `url` leads to.
///
/// # Errors
/// Status 400 if there is none, or it is empty, or cannot be fetched.
pub(crate) async fn recording(state: &Arc<State>, form: &mut Form) -> Result<Upload, ApiError> {
    let upload = match (form.upload.take(), form.text("url")) {
        (Some(upload), _) => upload,
        (None, Some(url)) => {
            let state = state.clone();
            let fetched = tokio::task::spawn_blocking(move || {
                let settings = &state.settings;
                state.outside.fetch(&url, settings.max_upload_bytes, &settings.temp_dir)
            });
            fetched.await.map_err(|_| ApiError::internal())??
        }
        (None, None) => return Err(ApiError::missing("file")),
    };
    if upload.n_bytes == 0 {
        return Err(ApiError::param("file", "The recording is empty."));
    }
    Ok(upload)
}

/// The form of a request, if there is room for one.
///
/// - `file_field`: the name of the field with the recording.
///
/// # Errors
/// Status 429 or 503 if there is no room, and those of [`Form::read`].
pub(crate) async fn form(state: &State, request: Request, file_field: &str) -> Result<Form, ApiError> {
    state.check_room()?;
    Form::read(request, file_field, limits(state)).instrument(info_span!("upload")).await
}

/// The recording that is a request's whole body, if there is room for one.
///
/// # Errors
/// Status 429 or 503 if there is no room, and those of [`Upload::read`].
pub(crate) async fn body(state: &State, request: Request) -> Result<Upload, ApiError> {
    state.check_room()?;
    Upload::read(request, limits(state)).instrument(info_span!("upload")).await
}

fn limits(state: &State) -> FormLimits<'_> {
    FormLimits {
        max_bytes: state.settings.max_upload_bytes,
        idle: state.settings.idle_upload,
        temp_dir: &state.settings.temp_dir,
    }
}

async fn answer(state: Arc<State>, request: Request, task: Task) -> Result<Response, ApiError> {
    let mut form = form(&state, request, "file").await?;
    let request = TranscriptionRequest::new(&mut form, task)?;
    let upload = recording(&state, &mut form).await?;
    answer_form(state, &request, upload).await
}

/// Answers a request whose recording is there.
///
/// # Errors
/// Those of [`State::admit`] and of [`Transcription`].
pub(crate) async fn answer_form(
    state: Arc<State>,
    request: &TranscriptionRequest,
    upload: Upload,
) -> Result<Response, ApiError> {
    let admission = state.admit()?;
    tracing::debug!(model = request.model, bytes = upload.n_bytes, format = ?request.format, "recording arrived");
    let options = request.options.clone();
    let transcription =
        Transcription::begin(state.clone(), upload, &request.model, options, Urgency::Waiting).await?;
    if request.stream {
        return Ok(stream(transcription, request.format, admission));
    }
    Ok(reply(request, &transcription.finish().await?))
}
