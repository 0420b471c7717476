//! `/v1/realtime?intent=transcription`: speech is written down while it is spoken, over a WebSocket, as OpenAI does it.

mod config;
mod protocol;
mod secrets;
mod session;

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, State as Shared};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::keys::key_of;
use crate::live::{hearing, speak};
use crate::state::State;
pub(crate) use config::Config;
use protocol::{Misunderstood, beta_update, update};
pub(crate) use secrets::Secrets;
use secrets::{Secret, lifetime};
pub(crate) use session::Session;

/// 15 MiB of sound in base64, and what is around it.
const MAX_MESSAGE_BYTES: usize = 21 << 20;
/// The subprotocol of those who speak this.
const PROTOCOL: &str = "realtime";
/// Browsers cannot send headers, and put their key into the name of a subprotocol.
const KEY_PROTOCOL: &str = "openai-insecure-api-key.";
/// Most bytes of a session's description.
const MAX_DESCRIPTION_BYTES: usize = 64 << 10;

#[derive(Debug, Deserialize)]
pub(crate) struct RealtimeQuery {
    model: Option<String>,
    api_key: Option<String>,
}

/// Opens a session.
pub(crate) async fn realtime(
    Shared(state): Shared<Arc<State>>,
    Query(query): Query<RealtimeQuery>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let config = config(&state, &query, &headers)?;
    let upgrade = upgrade.map_err(|rejection| ApiError::no_websocket(&rejection))?;
    let admission = state.admit()?;
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(MAX_MESSAGE_BYTES);
    let (tell, heard) = hearing();
    let session = Session::new(state.clone(), config, tell);
    Ok(upgrade.on_upgrade(move |socket| async move {
        speak(socket, state, session, heard).await;
        drop(admission);
    }))
}

/// Makes a secret for a session: `POST /v1/realtime/client_secrets`.
pub(crate) async fn client_secret(
    Shared(state): Shared<Arc<State>>,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let asked = json_of(body).await?;
    let (config, secret) =
        secret(&state, update(&asked["session"], &usual(&state)), &asked["expires_after"])?;
    let session = config.shown(&new_id());
    Ok(Json(json!({"value": secret.value, "expires_at": secret.expires_at, "session": session})))
}

/// The same as it was before OpenAI's interface was finished: `POST /v1/realtime/transcription_sessions`.
pub(crate) async fn transcription_session(
    Shared(state): Shared<Arc<State>>,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let asked = json_of(body).await?;
    let (config, secret) = secret(&state, beta_update(&asked, &usual(&state)), &asked["expires_after"])?;
    let mut session = config.shown(&new_id());
    session["client_secret"] = json!({"value": secret.value, "expires_at": secret.expires_at});
    Ok(Json(session))
}

fn secret(
    state: &State,
    config: Result<Config, Misunderstood>,
    expires_after: &Value,
) -> Result<(Config, Secret), ApiError> {
    let config = config.map_err(|Misunderstood { param, message, .. }| match param {
        Some(param) => ApiError::param(param, message),
        None => ApiError::invalid(message),
    })?;
    state.models.check(&config.listening.model)?;
    let secret = state.secrets.give(config.clone(), lifetime(expires_after)?)?;
    Ok((config, secret))
}

async fn json_of(body: Body) -> Result<Value, ApiError> {
    let bytes = to_bytes(body, MAX_DESCRIPTION_BYTES).await;
    let bytes = bytes.map_err(|error| ApiError::invalid(format!("The body cannot be read: {error}.")))?;
    if bytes.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(&bytes).map_err(|error| ApiError::invalid(format!("Expected JSON: {error}.")))
}

/// What a session does until it is told otherwise.
fn usual(state: &State) -> Config {
    Config::new(state.models.first())
}

fn new_id() -> String {
    format!("sess_{:016x}", fastrand::u64(..))
}

/// What a session is to do at first; lets in who brings a key in a header, a subprotocol or the address, or a secret
/// for one session in their place.
fn config(state: &State, query: &RealtimeQuery, headers: &HeaderMap) -> Result<Config, ApiError> {
    let protocols = headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
    let in_protocol = protocols.into_iter().flat_map(|names| names.split(','));
    let in_protocol = in_protocol.filter_map(|name| name.trim().strip_prefix(KEY_PROTOCOL));
    let given: Vec<&str> = in_protocol.chain(query.api_key.as_deref()).chain(key_of(headers)).collect();
    let secret = given.iter().find_map(|key| state.secrets.config(key));
    let keys = &state.settings.keys;
    if secret.is_none() && !given.iter().any(|key| keys.knows(key)) {
        keys.check(headers)?;
    }
    let mut config = secret.unwrap_or_else(|| usual(state));
    if let Some(model) = &query.model {
        config.listening.model.clone_from(model);
    }
    Ok(config)
}

/// What is sent to a client.
type Events = Vec<Value>;
