//! What runs where, and how fast: `/status` and `/api/ps`.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use boswell_model::{InstructionSet, language_name};
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::error::ApiError;
use crate::metrics::resident_bytes;
use crate::state::State;

/// The devices, and for each model that is loaded what it has done on which of them.
pub(crate) async fn status(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    let loaded = state.models.loaded();
    let models: Vec<Value> = loaded.iter().map(|engine| model_status(&state, engine)).collect();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "device": {"kind": "cpu", "name": format!("CPU, {}", InstructionSet::detect())},
        "memory_bytes": resident_bytes(),
        "requests": {"in_flight": state.metrics.in_flight.get(), "limit": state.settings.max_requests},
        "models": models,
    }))
}

/// The models that are loaded.
pub(crate) async fn loaded_models(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    let loaded = state.models.loaded();
    let models = loaded.iter().map(|engine| {
        let since = engine.loaded_at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        json!({
            "id": engine.name,
            "loaded_at": since,
            "bytes": engine.n_bytes,
            "idle_s": engine.last_use().elapsed().as_secs(),
            "recordings": engine.n_recordings(),
        })
    });
    let bytes: u64 = loaded.iter().map(|engine| engine.n_bytes).sum();
    let memory = json!({"bytes": bytes, "limit": state.models.max_bytes()});
    Json(json!({"models": models.collect::<Vec<_>>(), "memory": memory}))
}

/// Loads a model before anybody needs it.
pub(crate) async fn load_model(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    if state.models.is_loaded(&id) {
        return Err(ApiError::conflict(format!("The model '{id}' is loaded.")));
    }
    state.models.engine(&id).await.map(|_| StatusCode::CREATED)
}

/// Unloads a model that nobody uses just now; it is loaded again when somebody asks for it.
pub(crate) async fn unload_model(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    match state.models.unload(&id)? {
        true => Ok(StatusCode::NO_CONTENT),
        false if state.models.is_loaded(&id) => {
            Err(ApiError::conflict(format!("The model '{id}' is in use.")))
        }
        false => Err(ApiError::conflict(format!("The model '{id}' is not loaded."))),
    }
}

fn model_status(state: &State, engine: &Engine) -> Value {
    let tokenizer = engine.model.tokenizer();
    let languages = tokenizer.languages().map(|(code, _)| language_name(code).unwrap_or(code));
    let languages: Vec<&str> =
        if tokenizer.is_multilingual() { languages.collect() } else { vec!["english"] };
    let done = state.metrics.done(&engine.name);
    let stages =
        done.work_s.map(|(stage, seconds)| (stage.to_owned(), json!({"device": "cpu", "seconds": seconds})));
    json!({
        "id": engine.name,
        "languages": languages,
        "recordings": engine.n_recordings(),
        "audio_s": done.audio_s,
        "real_time_factor": done.real_time_factor(),
        "stages": Value::Object(stages.into_iter().collect()),
    })
}
