//! A client on a WebSocket, with whom a session speaks.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use serde_json::Value;
use tokio::sync::mpsc;

use super::listener::{Heard, Tell};
use crate::state::State;

/// What was heard and is not yet told.
const HEARD_AHEAD: usize = 16;

/// A session as a protocol has it: what comes from the client goes in, messages for it come out.
pub(crate) trait Protocol {
    /// What is said at first.
    fn begin(&mut self) -> Vec<Value>;

    /// Takes a text.
    fn take(&mut self, text: &str) -> Vec<Value>;

    /// Takes bytes.
    fn take_bytes(&mut self, bytes: &[u8]) -> Vec<Value>;

    /// Takes what the engine has heard.
    fn hear(&mut self, heard: Heard) -> Vec<Value>;

    /// Whether everything is said.
    fn is_over(&self) -> bool;
}

/// Where a session's listener tells what the engine has heard, and where that comes out.
pub(crate) fn hearing() -> (Tell, mpsc::Receiver<Heard>) {
    mpsc::channel(HEARD_AHEAD)
}

/// Speaks with a client until one of both leaves.
///
/// - `heard`: what the engine has heard for the session.
pub(crate) async fn speak(
    mut socket: WebSocket,
    state: Arc<State>,
    mut session: impl Protocol,
    mut heard: mpsc::Receiver<Heard>,
) {
    let mut messages = session.begin();
    loop {
        for message in messages.drain(..) {
            if socket.send(Message::text(message.to_string())).await.is_err() {
                return;
            }
        }
        if session.is_over() {
            // The client may be gone.
            let _ = socket.send(Message::Close(None)).await;
            return;
        }
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => messages = session.take(text.as_str()),
                Some(Ok(Message::Binary(bytes))) => messages = session.take_bytes(&bytes),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            Some(heard) = heard.recv() => messages = session.hear(heard),
            () = state.drained() => return,
        }
    }
}
