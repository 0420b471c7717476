//! `/v1/realtime?intent=transcription`: speech is written down while it is spoken, over a WebSocket, as OpenAI does it.

mod agreement;
mod protocol;
mod session;
mod turns;

use std::sync::Arc;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State as Shared};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::error::ApiError;
use crate::state::State;
pub(crate) use session::{Heard, Session};

/// 15 MiB of sound in base64, and what is around it.
const MAX_MESSAGE_BYTES: usize = 21 << 20;
/// The subprotocol of those who speak this.
const PROTOCOL: &str = "realtime";
/// Browsers cannot send headers, and put their key into the name of a subprotocol.
const KEY_PROTOCOL: &str = "openai-insecure-api-key.";
/// What was heard and is not yet told.
const HEARD_AHEAD: usize = 16;

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
    check_key(&state, &query, &headers)?;
    let upgrade = upgrade.map_err(|rejection| ApiError::no_websocket(&rejection))?;
    let admission = state.admit()?;
    let model = query.model.unwrap_or_else(|| state.models.first().to_owned());
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(MAX_MESSAGE_BYTES);
    Ok(upgrade.on_upgrade(move |socket| async move {
        run(socket, state, &model).await;
        drop(admission);
    }))
}

/// Lets in who brings a key in a header, a subprotocol or the address.
fn check_key(state: &State, query: &RealtimeQuery, headers: &HeaderMap) -> Result<(), ApiError> {
    let keys = &state.settings.keys;
    let protocols = headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
    let in_protocol = protocols.into_iter().flat_map(|names| names.split(','));
    let in_protocol = in_protocol.filter_map(|name| name.trim().strip_prefix(KEY_PROTOCOL));
    let mut given = in_protocol.chain(query.api_key.as_deref());
    if given.any(|key| keys.knows(key)) { Ok(()) } else { keys.check(headers) }
}

/// Speaks with a client until one of both leaves.
async fn run(mut socket: WebSocket, state: Arc<State>, model: &str) {
    let (tell, mut heard) = mpsc::channel(HEARD_AHEAD);
    let mut session = Session::new(state.clone(), model, tell);
    let mut events = session.begin();
    loop {
        for event in events.drain(..) {
            if socket.send(Message::text(event.to_string())).await.is_err() {
                return;
            }
        }
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => events = session.take(text.as_str()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            Some(heard) = heard.recv() => events = session.hear(heard),
            () = state.drained() => return,
        }
    }
}

/// What is sent to a client.
type Events = Vec<Value>;

/// Where what was heard comes out.
type Tell = mpsc::Sender<Heard>;
