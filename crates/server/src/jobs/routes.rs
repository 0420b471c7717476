//! `/v1/jobs` and what belongs to it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, Request, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use boswell_transcribe::Transcript;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::run::{request, request_of};
use super::store::{End, now};
use super::{Job, JobState, Jobs};
use crate::audio::{form, recording};
use crate::error::ApiError;
use crate::form::Form;
use crate::reply;
use crate::state::State;
use crate::transcription::Done;

/// Jobs that a list shows.
const MAX_LISTED: u32 = 100;
const MAX_KEY_LEN: usize = 255;
/// Between these a job's priority may be.
const MAX_PRIORITY: i64 = 100;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The routes of jobs.
pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/v1/jobs", post(create).get(list))
        .route("/v1/jobs/{id}", get(show).delete(cancel))
        .route("/v1/jobs/{id}/result", get(result))
        .route("/v1/jobs/{id}/events", get(events))
}

/// Takes in a recording, with the parameters of a transcription and `priority` and `task`.
async fn create(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    body: Request,
) -> Result<Response, ApiError> {
    state.check_room()?;
    let jobs = state.jobs()?;
    let key = idempotency_key(&headers)?;
    if let Some(known) = with_key(&jobs, key.clone()).await? {
        return Ok((StatusCode::OK, Json(shown(&jobs, &known).await?)).into_response());
    }
    let mut form = form(&state, body, "file").await?;
    let priority = priority(&mut form)?;
    if let Some(url) = form.text("callback_url") {
        state.outside.check("callback_url", &url)?;
    }
    state.models.check(&request(&mut form)?.model)?;
    let upload = recording(&state, &mut form).await?;
    let job = Job {
        id: format!("job_{:032x}", fastrand::u128(..)),
        state: JobState::Queued,
        priority,
        fields: form.into_texts(),
        file_name: upload.name.clone(),
        created_at: now(),
        started_at: None,
        finished_at: None,
        duration_s: None,
        error: None,
        n_attempts: 0,
    };
    let (stored, id) = (job.clone(), job.id.clone());
    let kept = jobs.with_store(move |jobs| {
        jobs.keep(&stored.id, upload).map_err(Refused::Disk)?;
        jobs.store.insert(&stored, key.as_deref()).map_err(|error| {
            jobs.forget(&stored.id);
            Refused::Database(error, key)
        })
    });
    match kept.await {
        Ok(()) => {}
        // Somebody else came first with the same key.
        Err(Refused::Database(error, key)) => match with_key(&jobs, key).await? {
            Some(known) => return Ok((StatusCode::OK, Json(shown(&jobs, &known).await?)).into_response()),
            None => return Err(refused(&error)),
        },
        Err(Refused::Disk(error)) => {
            tracing::error!("cannot store the recording of a job: {error}");
            return Err(ApiError::storage());
        }
    }
    tracing::info!(id, "job accepted");
    jobs.queued.notify_one();
    jobs.changed(&id);
    Ok((StatusCode::ACCEPTED, Json(shown(&jobs, &job).await?)).into_response())
}

/// Why a job was not accepted.
enum Refused {
    Disk(std::io::Error),
    Database(rusqlite::Error, Option<String>),
}

fn refused(error: &rusqlite::Error) -> ApiError {
    tracing::error!("the database of jobs refuses: {error}");
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => ApiError::storage(),
        _ => ApiError::internal(),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    match key.to_str() {
        Ok(key) if (1..=MAX_KEY_LEN).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(ApiError::invalid(format!("An Idempotency-Key has 1 to {MAX_KEY_LEN} ASCII characters."))),
    }
}

fn priority(form: &mut Form) -> Result<i64, ApiError> {
    let Some(text) = form.text("priority") else { return Ok(0) };
    let priority = text.parse().ok().filter(|priority| (-MAX_PRIORITY..=MAX_PRIORITY).contains(priority));
    priority.ok_or_else(|| {
        let message = format!("Invalid priority '{text}': expected -{MAX_PRIORITY} to {MAX_PRIORITY}.");
        ApiError::param("priority", message)
    })
}

async fn with_key(jobs: &Arc<Jobs>, key: Option<String>) -> Result<Option<Job>, ApiError> {
    let Some(key) = key else { return Ok(None) };
    jobs.with_store(move |jobs| jobs.store.with_key(&key)).await.map_err(|error| refused(&error))
}

async fn find(jobs: &Arc<Jobs>, id: &str) -> Result<Job, ApiError> {
    let wanted = id.to_owned();
    let job = jobs.with_store(move |jobs| jobs.store.get(&wanted)).await.map_err(|error| refused(&error))?;
    job.ok_or_else(|| ApiError::no_job(id))
}

async fn list(Shared(state): Shared<Arc<State>>) -> Result<Json<Value>, ApiError> {
    let jobs = state.jobs()?;
    let newest =
        jobs.with_store(|jobs| jobs.store.newest(MAX_LISTED)).await.map_err(|error| refused(&error))?;
    let mut data = Vec::new();
    for job in &newest {
        data.push(shown(&jobs, job).await?);
    }
    Ok(Json(json!({"object": "list", "data": data})))
}

async fn show(Shared(state): Shared<Arc<State>>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let jobs = state.jobs()?;
    let job = find(&jobs, &id).await?;
    Ok(Json(shown(&jobs, &job).await?))
}

/// Cancels a job; one that is at its end is removed.
async fn cancel(Shared(state): Shared<Arc<State>>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let jobs = state.jobs()?;
    let job = find(&jobs, &id).await?;
    let name = id.clone();
    if job.state.is_final() {
        jobs.with_store(move |jobs| jobs.store.remove(&name)).await.map_err(|error| refused(&error))?;
        return Ok(Json(json!({"id": id, "object": "job", "deleted": true})));
    }
    let finished = jobs.with_store(move |jobs| jobs.store.finish(&name, &End::Cancelled));
    finished.await.map_err(|error| refused(&error))?;
    match jobs.running(&id) {
        // Whoever works on it removes the recording.
        Some(running) => running.cancel.notify_one(),
        None => jobs.forget(&id),
    }
    jobs.changed(&id);
    let job = find(&jobs, &id).await?;
    Ok(Json(shown(&jobs, &job).await?))
}

#[derive(Debug, Deserialize)]
struct ResultQuery {
    format: Option<String>,
}

/// What a job came to, in the format that was asked for when it was sent, or in another.
async fn result(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
    Query(query): Query<ResultQuery>,
) -> Result<Response, ApiError> {
    let jobs = state.jobs()?;
    let job = find(&jobs, &id).await?;
    let wanted = id.clone();
    let stored =
        jobs.with_store(move |jobs| jobs.store.result(&wanted)).await.map_err(|error| refused(&error))?;
    let Some(stored) = stored else {
        return Err(ApiError::conflict(format!("The job is {}: there is no result.", job.state.name())));
    };
    let transcript: Transcript = serde_json::from_str(&stored).map_err(|error| {
        tracing::error!(id, "the result of a job cannot be read: {error}");
        ApiError::internal()
    })?;
    let done = Done { transcript, duration_s: job.duration_s.unwrap_or(0.0) };
    let request = request_of(&job)?;
    reply::in_format(&request, &done, query.format.as_deref())
}

/// Tells a job's state whenever it changes, until its end.
async fn events(Shared(state): Shared<Arc<State>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let jobs = state.jobs()?;
    let mut changes = jobs.changes.subscribe();
    find(&jobs, &id).await?;
    let (events, sent) = mpsc::channel(8);
    tokio::spawn(async move {
        loop {
            let Ok(job) = find(&jobs, &id).await else { return };
            let Ok(shown) = shown(&jobs, &job).await else { return };
            if events.send(shown.to_string()).await.is_err() || job.state.is_final() {
                return;
            }
            tokio::select! {
                () = changed(&mut changes, &id) => {}
                () = events.closed() => return,
            }
        }
    });
    let events = ReceiverStream::new(sent).map(|data| Ok::<_, Infallible>(Event::default().data(data)));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// Waits until the job `id` has changed, or may have.
async fn changed(changes: &mut broadcast::Receiver<String>, id: &str) {
    while let Ok(other) = changes.recv().await {
        if other == id {
            return;
        }
    }
}

/// A job as clients see it.
pub(super) async fn shown(jobs: &Arc<Jobs>, job: &Job) -> Result<Value, ApiError> {
    let running = jobs.running(&job.id);
    let progress = match job.state {
        JobState::Succeeded => 1.0,
        _ => running.as_ref().map_or(0.0, |running| running.progress),
    };
    let eta_s = running.filter(|running| running.progress > 0.0).map(|running| {
        let spent_s = running.began.elapsed().as_secs_f64();
        (spent_s * (1.0 - running.progress) / running.progress).ceil()
    });
    let position = if job.state == JobState::Queued {
        let queued = job.clone();
        let position = jobs.with_store(move |jobs| jobs.store.position(&queued));
        Some(position.await.map_err(|error| refused(&error))?)
    } else {
        None
    };
    let error = job.error.as_deref().and_then(|error| serde_json::from_str::<Value>(error).ok());
    Ok(json!({
        "id": job.id,
        "object": "job",
        "status": job.state.name(),
        "progress": progress,
        "eta_s": eta_s,
        "queue_position": position,
        "priority": job.priority,
        "model": job.field("model"),
        "file_name": job.file_name,
        "duration": job.duration_s,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "error": error.map(|error| error["error"].clone()),
    }))
}
