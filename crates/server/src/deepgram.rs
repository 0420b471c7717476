//! `/v1/listen`, as Deepgram has it: over a WebSocket speech is written down while it is spoken, and with POST a
//! recording.

mod parameters;
mod recorded;
mod results;
mod session;

use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;

use crate::error::ApiError;
use crate::live::{hearing, speak};
use crate::state::State;
pub(crate) use recorded::recorded;
pub(crate) use session::Session;

/// Subprotocols before the key, in the words of browsers, which cannot send headers.
const KEY_PROTOCOLS: [&str; 2] = ["token", "bearer"];
const MAX_MESSAGE_BYTES: usize = 4 << 20;

type Parameters = Query<Vec<(String, String)>>;

/// Opens a session.
pub(crate) async fn listen(
    Shared(state): Shared<Arc<State>>,
    Query(parameters): Parameters,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    check_key(&state, &headers)?;
    let (tell, heard) = hearing();
    let session = Session::open(state.clone(), parameters, tell)?;
    let upgrade = upgrade.map_err(|rejection| ApiError::no_websocket(&rejection))?;
    let admission = state.admit()?;
    let upgrade = upgrade.protocols(KEY_PROTOCOLS).max_message_size(MAX_MESSAGE_BYTES);
    let id = HeaderValue::from_str(session.id()).map_err(|_| ApiError::internal())?;
    let mut response = upgrade.on_upgrade(move |socket| async move {
        speak(socket, state, session, heard).await;
        drop(admission);
    });
    response.headers_mut().insert(HeaderName::from_static("dg-request-id"), id);
    Ok(response)
}

/// Lets in who brings a key in a header or as a subprotocol.
fn check_key(state: &State, headers: &HeaderMap) -> Result<(), ApiError> {
    let keys = &state.settings.keys;
    let protocols = headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
    let mut names = protocols.into_iter().flat_map(|names| names.split(',')).map(str::trim);
    if names.any(|name| keys.knows(name)) { Ok(()) } else { keys.check(headers) }
}
