//! Lets clients hear why they are refused: what they are still sending is read and thrown away for a while, since many
//! look at the answer only when they have sent everything, and find the connection closed otherwise.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use tokio_stream::{Stream, StreamExt};

/// So much is thrown away, for so long: enough for a recording that is a little too large, and no burden.
const MAX_BYTES: usize = 256 << 20;
const MAX_TIME: Duration = Duration::from_secs(10);

/// Answers, and goes on reading where the answer is a refusal.
pub(crate) async fn linger(request: Request, next: Next) -> Response {
    // Who asks whether to send at all has not begun to.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let rest = Rest(Arc::new(Mutex::new(Some(body.into_data_stream()))));
    let lent = Body::from_stream(rest.clone());
    let response = next.run(Request::from_parts(parts, lent)).await;
    if response.status().is_client_error() || response.status().is_server_error() {
        // Nobody waits for it.
        drop(tokio::spawn(tokio::time::timeout(MAX_TIME, discard(rest))));
    }
    response
}

async fn discard(mut rest: Rest) {
    let mut n_bytes = 0;
    while let Some(Ok(bytes)) = rest.next().await {
        n_bytes += bytes.len();
        if n_bytes > MAX_BYTES {
            return;
        }
    }
}

/// What is left of a body; `None` at its end.
#[derive(Clone)]
struct Rest(Arc<Mutex<Option<BodyDataStream>>>);

impl Stream for Rest {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stream) = body.as_mut() else { return Poll::Ready(None) };
        let next = ready!(Pin::new(stream).poll_next(context));
        if !matches!(next, Some(Ok(_))) {
            *body = None;
        }
        Poll::Ready(next)
    }
}
