//! Transcripts as they are found: OpenAI's server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use boswell_transcribe::Segment;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tracing::Instrument;

use crate::error::ApiError;
use crate::reply::{diarized_segment, has_text, language, logprobs, usage, verbose_segment};
use crate::request::ResponseFormat;
use crate::state::Admission;
use crate::transcription::{Done, Found, Transcription};

/// Proxies close connections on which nothing is sent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events that wait for a client that reads slowly.
const EVENTS_AHEAD: usize = 64;

/// Answers with events, until the transcript is done or the client leaves.
pub(crate) fn stream(transcription: Transcription, format: ResponseFormat, admission: Admission) -> Response {
    let (events, sent) = mpsc::channel(EVENTS_AHEAD);
    let telling = async move {
        let _admission = admission;
        // Whoever left does not need the rest, and what it is dropped with ends the work.
        let _ = tell(transcription, format, &events).await;
    };
    tokio::spawn(telling.in_current_span());
    let events =
        ReceiverStream::new(sent).map(|data: String| Ok::<_, Infallible>(Event::default().data(data)));
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// The client has left.
struct Gone;

async fn send(events: &mpsc::Sender<String>, event: &Value) -> Result<(), Gone> {
    events.send(event.to_string()).await.map_err(|_| Gone)
}

async fn tell(
    mut transcription: Transcription,
    format: ResponseFormat,
    events: &mpsc::Sender<String>,
) -> Result<(), Gone> {
    let mut text = String::new();
    let mut number = 0;
    let end = loop {
        let found = tokio::select! {
            found = transcription.next() => found,
            () = events.closed() => return Err(Gone),
        };
        match found {
            Ok(Some(Found::Segment(segment))) if has_text(&segment) => {
                number += 1;
                if let Some(event) = segment_event(&segment, number, format) {
                    send(events, &event).await?;
                }
                // Deltas are put together by clients, and must give the text as it is at the end.
                let delta = if text.is_empty() { segment.text.trim_start() } else { segment.text.as_str() };
                let mut event = json!({"type": "transcript.text.delta", "delta": delta});
                if segment.logprobs.is_some() {
                    event["logprobs"] = logprobs([&segment], text.is_empty());
                }
                text.push_str(delta);
                send(events, &event).await?;
            }
            Ok(Some(Found::Progress { done_s, total_s })) if format == ResponseFormat::VerboseJson => {
                let event = json!({"type": "transcript.progress", "done_s": done_s, "total_s": total_s});
                send(events, &event).await?;
            }
            Ok(Some(_)) => {}
            Ok(None) => break finish(transcription, events).await?,
            Err(error) => break Err(error),
        }
    };
    let last = match end {
        Ok(done) => {
            let mut event = json!({"type": "transcript.text.done", "text": text, "usage": usage(&done)});
            if done.transcript.segments.iter().any(|segment| segment.logprobs.is_some()) {
                event["logprobs"] = logprobs(&done.transcript.segments, true);
            }
            if format == ResponseFormat::VerboseJson {
                event["language"] = language(&done).into();
                event["duration"] = done.duration_s.into();
            }
            event
        }
        Err(error) => error.body(),
    };
    send(events, &last).await?;
    events.send("[DONE]".to_owned()).await.map_err(|_| Gone)
}

/// What formats with more than text tell of a segment.
fn segment_event(segment: &Segment, number: usize, format: ResponseFormat) -> Option<Value> {
    match format {
        ResponseFormat::DiarizedJson => Some(diarized_segment(segment, number)),
        // OpenAI does not stream this format; there is nothing that this could be at odds with.
        ResponseFormat::VerboseJson => {
            let mut event = verbose_segment(number - 1, segment);
            event["type"] = "transcript.text.segment".into();
            Some(event)
        }
        _ => None,
    }
}

async fn finish(
    transcription: Transcription,
    events: &mpsc::Sender<String>,
) -> Result<Result<Done, ApiError>, Gone> {
    tokio::select! {
        end = transcription.finish() => Ok(end),
        () = events.closed() => Err(Gone),
    }
}
