//! A session: what the client says in, events out.

use std::sync::Arc;

use serde_json::{Value, json};

use super::config::Config;
use super::protocol::{ClientEvent, Misunderstood, read};
use super::{Events, new_id};
use crate::live::{Heard, Listener, MAX_BUFFER_S, News, Protocol, Tell, What};
use crate::reply::{logprobs, usage};
use crate::state::State;
use crate::transcription::Done;

/// A client's session.
pub(crate) struct Session {
    state: Arc<State>,
    id: String,
    config: Config,
    listener: Listener,
    n_events: u64,
}

impl Session {
    /// A session that does what `config` says until it is told otherwise.
    pub(crate) fn new(state: Arc<State>, config: Config, tell: Tell) -> Self {
        let listener = Listener::new(state.clone(), config.listening.clone(), tell);
        Self { state, id: new_id(), config, listener, n_events: 0 }
    }

    /// Whether the engine listens to what is being said.
    #[cfg(test)]
    pub(crate) fn is_listening(&self) -> bool {
        self.listener.is_listening()
    }

    fn update(&mut self, config: Config, event_id: &Value) -> Events {
        if let Err(error) = self.state.models.check(&config.listening.model) {
            let message = error.body()["error"]["message"].as_str().unwrap_or_default().to_owned();
            let error = Misunderstood { code: "model_not_found", param: Some("model"), message };
            return vec![self.error(error, event_id)];
        }
        self.listener.set(config.listening.clone());
        self.config = config;
        vec![self.session_event("updated")]
    }

    fn tell(&mut self, news: Vec<News>) -> Events {
        news.into_iter().flat_map(|news| self.events_of(news)).collect()
    }

    fn events_of(&mut self, News { turn, what }: News) -> Events {
        match what {
            What::Started { at_ms } => {
                let fields = json!({"audio_start_ms": at_ms, "item_id": turn});
                vec![self.event("input_audio_buffer.speech_started", fields)]
            }
            What::Stopped { at_ms, .. } => {
                let fields = json!({"audio_end_ms": at_ms, "item_id": turn});
                vec![self.event("input_audio_buffer.speech_stopped", fields)]
            }
            What::Idle { start_ms, end_ms } => {
                let fields = json!({"audio_start_ms": start_ms, "audio_end_ms": end_ms, "item_id": turn});
                vec![self.event("input_audio_buffer.timeout_triggered", fields)]
            }
            What::Ended { previous } => self.committed(&turn, previous.as_deref()),
            What::Heard { delta, .. } => self.delta(&turn, &delta),
            What::Written { delta, done, .. } => self.completed(&turn, &delta, &done),
            What::Failed { error } => {
                let fields = json!({"item_id": turn, "content_index": 0, "error": error.body()["error"]});
                vec![self.event("conversation.item.input_audio_transcription.failed", fields)]
            }
        }
    }

    fn committed(&mut self, id: &str, previous: Option<&str>) -> Events {
        let fields = json!({"previous_item_id": previous, "item_id": id});
        let mut events = vec![self.event("input_audio_buffer.committed", fields)];
        let content = json!([{"type": "input_audio", "transcript": null}]);
        let message = json!({"id": id, "object": "realtime.item", "type": "message", "status": "completed", "role": "user", "content": content});
        let kinds: &[&str] = if self.config.is_beta { &["created"] } else { &["added", "done"] };
        for kind in kinds {
            let fields = json!({"previous_item_id": previous, "item": message});
            events.push(self.event(&format!("conversation.item.{kind}"), fields));
        }
        events
    }

    fn delta(&mut self, id: &str, delta: &str) -> Events {
        if delta.is_empty() {
            return Vec::new();
        }
        let fields = json!({"item_id": id, "content_index": 0, "delta": delta});
        vec![self.event("conversation.item.input_audio_transcription.delta", fields)]
    }

    /// The whole text, which counts even where it is not what the deltas were.
    fn completed(&mut self, id: &str, delta: &str, done: &Done) -> Events {
        let mut events = self.delta(id, delta);
        let transcript = done.transcript.text.trim();
        let mut fields =
            json!({"item_id": id, "content_index": 0, "transcript": transcript, "usage": usage(done)});
        if self.config.listening.token_logprobs {
            fields["logprobs"] = logprobs(&done.transcript.segments, true);
        }
        events.push(self.event("conversation.item.input_audio_transcription.completed", fields));
        events
    }

    fn refuse(&mut self, code: &'static str, message: String, event_id: &Value) -> Events {
        vec![self.error(Misunderstood { code, param: None, message }, event_id)]
    }

    fn error(&mut self, error: Misunderstood, event_id: &Value) -> Value {
        let Misunderstood { code, param, message } = error;
        let error = json!({"type": "invalid_request_error", "code": code, "message": message, "param": param, "event_id": event_id});
        self.event("error", json!({"error": error}))
    }

    fn session_event(&mut self, what: &str) -> Value {
        let session = self.config.shown(&self.id);
        let name = if self.config.is_beta && what == "updated" {
            "transcription_session.updated".to_owned()
        } else {
            format!("session.{what}")
        };
        self.event(&name, json!({"session": session}))
    }

    fn event(&mut self, kind: &str, fields: Value) -> Value {
        self.n_events += 1;
        let mut event = json!({"event_id": format!("event_{}", self.n_events), "type": kind});
        if let (Some(event), Value::Object(fields)) = (event.as_object_mut(), fields) {
            event.extend(fields);
        }
        event
    }
}

impl Protocol for Session {
    fn begin(&mut self) -> Events {
        vec![self.session_event("created")]
    }

    fn take(&mut self, text: &str) -> Events {
        let event: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        match read(&event, &self.config) {
            Ok(ClientEvent::Update(config)) => self.update(config, &event["event_id"]),
            Ok(ClientEvent::Append(bytes)) => match self.listener.append(&bytes) {
                Some(news) => self.tell(news),
                None => {
                    let message = format!("More than {MAX_BUFFER_S} s wait to be committed.");
                    self.refuse("input_audio_buffer_full", message, &event["event_id"])
                }
            },
            Ok(ClientEvent::Commit) => match self.listener.commit() {
                Some(news) => self.tell(news),
                None => {
                    let message =
                        "Error committing input audio buffer: buffer too small, expected at least 100 ms.";
                    self.refuse("input_audio_buffer_commit_empty", message.to_owned(), &event["event_id"])
                }
            },
            Ok(ClientEvent::Clear) => {
                self.listener.clear();
                vec![self.event("input_audio_buffer.cleared", json!({}))]
            }
            Err(error) => vec![self.error(error, &event["event_id"])],
        }
    }

    /// Sound comes in texts; other programs' bytes mean nothing here.
    fn take_bytes(&mut self, _: &[u8]) -> Events {
        Vec::new()
    }

    fn hear(&mut self, heard: Heard) -> Events {
        let news = self.listener.hear(heard);
        self.tell(news)
    }

    /// It is the client that ends it.
    fn is_over(&self) -> bool {
        false
    }
}
