//! What happens to every request: a name, a line in the log, a place in the figures.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use crate::state::State;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
/// A client's own names for requests are not longer.
const MAX_ID_LEN: usize = 128;

/// Gives a request its name, and tells the log and the figures how it was answered.
pub(crate) async fn observe(
    Shared(state): Shared<Arc<State>>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    // What clients make up as paths is not to become names in the figures.
    let route = matched.as_ref().map_or("none", MatchedPath::as_str).to_owned();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("request", id, %method, path, status = tracing::field::Empty);
    let mut response = next.run(request).instrument(span.clone()).await;
    let elapsed = started.elapsed();
    let status = response.status().as_u16();
    span.record("status", status);
    span.in_scope(|| {
        let elapsed_ms = elapsed.as_millis() as u64;
        if response.status().is_server_error() {
            tracing::warn!(id, %method, path, status, elapsed_ms, "answered");
        } else {
            tracing::info!(id, %method, path, status, elapsed_ms, "answered");
        }
    });
    state.metrics.answered(&route, method.as_str(), status, elapsed);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(PROCESSING_MS, (elapsed.as_millis() as u64).into());
    response
}

/// The client's name for its request, if it is a decent one, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let is_decent =
        |id: &&str| !id.is_empty() && id.len() <= MAX_ID_LEN && id.chars().all(|c| c.is_ascii_graphic());
    match given.filter(is_decent) {
        Some(id) => id.to_owned(),
        None => format!("req_{:032x}", fastrand::u128(..)),
    }
}
