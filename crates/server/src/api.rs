//! The routes.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Request, State as Shared};
use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;

use crate::audio;
use crate::deepgram::{listen, recorded};
use crate::error::ApiError;
use crate::linger::linger;
use crate::models::Listed;
use crate::observe::observe;
use crate::realtime::{client_secret, realtime, transcription_session};
use crate::state::State;
use crate::{jobs, neighbours, page, status};

/// Where clients look for OpenAI's API.
const PREFIXES: [&str; 4] = ["", "/v1", "/openai/v1", "/api/v1"];

/// All routes of a server.
pub(crate) fn router(state: Arc<State>) -> Router {
    let mut guarded = Router::new();
    for prefix in PREFIXES {
        let path = |path: &str| format!("{prefix}{path}");
        guarded = guarded
            .route(&path("/audio/transcriptions"), post(audio::transcriptions))
            .route(&path("/audio/translations"), post(audio::translations))
            .route(&path("/models"), get(list_models))
            .route(&path("/models/{*id}"), get(show_model));
    }
    let guarded = guarded
        .merge(jobs::routes())
        .merge(neighbours::routes())
        .route("/v1/listen", post(recorded))
        .route("/v1/realtime/client_secrets", post(client_secret))
        .route("/v1/realtime/transcription_sessions", post(transcription_session))
        .route("/api/ps", get(status::loaded_models))
        .route("/api/ps/{*id}", post(status::load_model).delete(status::unload_model))
        .route("/status", get(status::status))
        .route_layer(from_fn_with_state(state.clone(), check_client));
    // A browser cannot send its key as others do.
    let open = Router::new().route("/v1/realtime", get(realtime)).route("/v1/listen", get(listen));
    // Whoever watches over the server has no key, and the page asks for one.
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .merge(open)
        .merge(page::routes())
        .merge(guarded)
        .method_not_allowed_fallback(no_method)
        .fallback(no_route)
        .layer(cors(&state))
        .layer(CatchPanicLayer::custom(|_: Box<dyn Any + Send>| ApiError::internal().into_response()))
        .layer(from_fn(linger))
        .layer(from_fn_with_state(state.clone(), observe))
        .layer(DefaultBodyLimit::disable()) // bodies are counted as they are read
        .with_state(state)
}

/// Lets browsers use the API from the pages that are allowed to.
fn cors(state: &State) -> CorsLayer {
    let origins = state.settings.cors_origins.iter().filter_map(|origin| origin.parse::<HeaderValue>().ok());
    let origins: Vec<HeaderValue> = origins.collect();
    if origins.is_empty() {
        return CorsLayer::new();
    }
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
        ])
        .expose_headers([HeaderName::from_static("x-request-id"), header::RETRY_AFTER])
}

async fn check_client(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let may_ask = state.settings.keys.check(request.headers()).and_then(|()| match &state.rates {
        Some(rates) => rates.check(request.headers(), address),
        None => Ok(()),
    });
    match may_ask {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Whether requests are answered without delay.
async fn ready(Shared(state): Shared<Arc<State>>) -> Result<Json<Value>, ApiError> {
    if state.is_draining() {
        return Err(ApiError::unavailable("The server is about to end.", 10));
    }
    if !state.models.is_loaded(state.models.first()) {
        return Err(ApiError::unavailable("The model is not loaded.", 5));
    }
    Ok(Json(json!({"status": "ready"})))
}

async fn metrics(Shared(state): Shared<Arc<State>>) -> impl IntoResponse {
    let loaded = state.models.loaded();
    let loaded: Vec<_> = loaded.iter().map(|engine| (engine.name.clone(), engine.n_recordings())).collect();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], state.metrics.text(&loaded))
}

async fn list_models(Shared(state): Shared<Arc<State>>) -> Json<Value> {
    let models: Vec<Value> = state.models.list().iter().map(model).collect();
    Json(json!({"object": "list", "data": models}))
}

async fn show_model(
    Shared(state): Shared<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let models = state.models.list();
    let listed = models.iter().find(|listed| listed.id == id).ok_or_else(|| ApiError::no_model(&id))?;
    Ok(Json(model(listed)))
}

fn model(Listed { id, created, owned_by }: &Listed) -> Value {
    json!({"id": id, "object": "model", "created": created, "owned_by": owned_by})
}

async fn no_route(method: Method, uri: Uri) -> ApiError {
    ApiError::no_route(method.as_str(), uri.path())
}

async fn no_method(method: Method, uri: Uri) -> ApiError {
    ApiError::no_method(method.as_str(), uri.path())
}
