//! A session: sound in, events out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use boswell_audio::{Resampler, SAMPLE_RATE};
use boswell_transcribe::Options;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::agreement::Agreement;
use super::config::Config;
use super::protocol::{ClientEvent, Misunderstood, read};
use super::turns::{MAX_BUFFER_S, Turn, Turns};
use super::{Events, Tell, new_id};
use crate::error::ApiError;
use crate::reply::{logprobs, usage};
use crate::state::State;
use crate::transcription::{Done, Transcription};

/// So much more has to be said before it is listened to once more.
const LISTEN_EVERY: usize = SAMPLE_RATE * 4 / 5;
/// What is shorter is not listened to before the turn's end.
const MIN_HEARD: usize = SAMPLE_RATE / 2;
/// More than the model hears at once is only listened to at the end.
const MAX_PARTIAL: usize = 29 * SAMPLE_RATE;

/// What the engine made of the sound of an item.
pub(crate) struct Heard {
    item: String,
    is_final: bool,
    result: Result<Done, ApiError>,
}

/// A client's session.
pub(crate) struct Session {
    state: Arc<State>,
    tell: Tell,
    id: String,
    config: Config,
    turns: Turns,
    /// Bytes of a sample that is not complete.
    bytes: Vec<u8>,
    resampler: Resampler,
    /// What is being said.
    item: Option<Item>,
    /// What was said and is not told to its end, in order: the first is not written down yet.
    ending: VecDeque<Ending>,
    previous: Option<String>,
    n_events: u64,
}

/// A turn that is over.
struct Ending {
    item: Item,
    ended: Instant,
    /// What was written down of it, while a turn before it is not.
    result: Option<Result<Done, ApiError>>,
}

/// A turn's text.
struct Item {
    id: String,
    text: Agreement,
    /// Samples that were listened to.
    n_heard: usize,
    /// The listening that goes on.
    partial: Option<JoinHandle<()>>,
}

impl Item {
    fn new() -> Self {
        let id = format!("item_{:016x}", fastrand::u64(..));
        Self { id, text: Agreement::default(), n_heard: 0, partial: None }
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            partial.abort();
        }
    }
}

impl Session {
    /// A session that does what `config` says until it is told otherwise.
    pub(crate) fn new(state: Arc<State>, config: Config, tell: Tell) -> Self {
        let mut turns = Turns::default();
        turns.set_detection(config.detection);
        Self {
            state,
            tell,
            id: new_id(),
            resampler: Resampler::new(config.format.rate()),
            config,
            turns,
            bytes: Vec::new(),
            item: None,
            ending: VecDeque::new(),
            previous: None,
            n_events: 0,
        }
    }

    /// What is said at first.
    pub(crate) fn begin(&mut self) -> Events {
        vec![self.session_event("created")]
    }

    /// Takes what the client says.
    pub(crate) fn take(&mut self, text: &str) -> Events {
        let event: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        match read(&event, &self.config) {
            Ok(ClientEvent::Update(config)) => self.update(config, &event["event_id"]),
            Ok(ClientEvent::Append(bytes)) => self.append(bytes, &event["event_id"]),
            Ok(ClientEvent::Commit) => self.commit(&event["event_id"]),
            Ok(ClientEvent::Clear) => {
                self.turns.commit();
                self.item = None;
                vec![self.event("input_audio_buffer.cleared", json!({}))]
            }
            Err(error) => vec![self.error(error, &event["event_id"])],
        }
    }

    /// Takes what the engine has heard.
    pub(crate) fn hear(&mut self, heard: Heard) -> Events {
        let Heard { item: id, is_final, result } = heard;
        if is_final {
            return self.take_end(&id, result);
        }
        let Some(item) = self.item.as_mut().filter(|item| item.id == id) else { return Vec::new() };
        item.partial = None;
        let delta = match result {
            Ok(done) => item.text.hear(&done.transcript.text),
            Err(_) => String::new(), // the end of the turn will tell what is wrong
        };
        let events = self.delta(&id, &delta);
        self.listen();
        events
    }

    /// Whether the engine listens to what is being said.
    #[cfg(test)]
    pub(crate) fn is_listening(&self) -> bool {
        self.item.as_ref().is_some_and(|item| item.partial.is_some())
    }

    fn update(&mut self, config: Config, event_id: &Value) -> Events {
        if let Err(error) = self.state.models.check(&config.model) {
            let message = error.body()["error"]["message"].as_str().unwrap_or_default().to_owned();
            return vec![
                self.error(
                    Misunderstood { code: "model_not_found", param: Some("model"), message },
                    event_id,
                ),
            ];
        }
        if config.format != self.config.format {
            self.resampler = Resampler::new(config.format.rate());
            self.bytes.clear();
        }
        self.turns.set_detection(config.detection);
        self.config = config;
        vec![self.session_event("updated")]
    }

    fn append(&mut self, bytes: Vec<u8>, event_id: &Value) -> Events {
        self.bytes.extend_from_slice(&bytes);
        let (mut samples, mut waveform) = (Vec::new(), Vec::new());
        self.config.format.decode(&mut self.bytes, &mut samples);
        self.resampler.push(&samples, &mut waveform);
        if self.turns.waveform().len() + waveform.len() > MAX_BUFFER_S * SAMPLE_RATE {
            let message = format!("More than {MAX_BUFFER_S} s wait to be committed.");
            let error = Misunderstood { code: "input_audio_buffer_full", param: None, message };
            return vec![self.error(error, event_id)];
        }
        let mut events = Vec::new();
        for turn in self.turns.push(&waveform) {
            match turn {
                Turn::Started { at_ms } => {
                    let item = self.item.insert(Item::new()).id.clone();
                    let fields = json!({"audio_start_ms": at_ms, "item_id": item});
                    events.push(self.event("input_audio_buffer.speech_started", fields));
                }
                Turn::Stopped { at_ms, waveform } => {
                    let item = self.item.take().unwrap_or_else(Item::new);
                    let fields = json!({"audio_end_ms": at_ms, "item_id": item.id});
                    events.push(self.event("input_audio_buffer.speech_stopped", fields));
                    events.extend(self.end(item, waveform));
                }
            }
        }
        self.listen();
        events
    }

    fn commit(&mut self, event_id: &Value) -> Events {
        match self.turns.commit().filter(|waveform| waveform.len() >= SAMPLE_RATE / 10) {
            Some(waveform) => {
                let item = self.item.take().unwrap_or_else(Item::new);
                self.end(item, waveform)
            }
            None => {
                let message =
                    "Error committing input audio buffer: buffer too small, expected at least 100 ms.";
                let error = Misunderstood {
                    code: "input_audio_buffer_commit_empty",
                    param: None,
                    message: message.to_owned(),
                };
                vec![self.error(error, event_id)]
            }
        }
    }

    /// Listens to what is being said, if there is enough of it that was not listened to.
    fn listen(&mut self) {
        let n_samples = self.turns.waveform().len();
        if !self.turns.is_open() || !(MIN_HEARD..=MAX_PARTIAL).contains(&n_samples) {
            return;
        }
        let item = self.item.get_or_insert_with(Item::new);
        if item.partial.is_some() || n_samples < item.n_heard + LISTEN_EVERY {
            return;
        }
        item.n_heard = n_samples;
        let (id, waveform) = (item.id.clone(), self.turns.waveform().to_vec());
        let partial = self.transcribe(id, waveform, false);
        if let Some(item) = &mut self.item {
            item.partial = Some(partial);
        }
    }

    /// Ends a turn: its text is completed when all of it was listened to.
    fn end(&mut self, mut item: Item, waveform: Vec<f32>) -> Events {
        if let Some(partial) = item.partial.take() {
            partial.abort();
        }
        let id = item.id.clone();
        let previous = self.previous.replace(id.clone());
        let mut events = vec![
            self.event("input_audio_buffer.committed", json!({"previous_item_id": previous, "item_id": id})),
        ];
        let content = json!([{"type": "input_audio", "transcript": null}]);
        let message = json!({"id": id, "object": "realtime.item", "type": "message", "status": "completed", "role": "user", "content": content});
        let kinds: &[&str] = if self.config.is_beta { &["created"] } else { &["added", "done"] };
        for kind in kinds {
            let fields = json!({"previous_item_id": previous, "item": message});
            events.push(self.event(&format!("conversation.item.{kind}"), fields));
        }
        drop(self.transcribe(id, waveform, true));
        self.ending.push_back(Ending { item, ended: Instant::now(), result: None });
        events
    }

    /// Has the engine listen to a waveform; what it hears comes in [`hear`](Self::hear).
    fn transcribe(&self, item: String, waveform: Vec<f32>, is_final: bool) -> JoinHandle<()> {
        let options = Options {
            language: self.config.language.clone().filter(|language| language != "auto"),
            initial_prompt: self.config.prompt.clone(),
            hotwords: Some(self.config.keywords.join(", ")).filter(|words| !words.is_empty()),
            temperatures: if is_final { vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0] } else { vec![0.0] },
            drop_loops: true,
            keep_best_failed: true,
            among_languages: self.config.among_languages.clone(),
            token_logprobs: is_final && self.config.with_logprobs,
            ..Options::default()
        };
        let (state, model, tell) = (self.state.clone(), self.config.model.clone(), self.tell.clone());
        tokio::spawn(async move {
            let result = match Transcription::live(state, waveform, &model, options).await {
                Ok(transcription) => transcription.finish().await,
                Err(error) => Err(error),
            };
            // The client may have left.
            let _ = tell.send(Heard { item, is_final, result }).await;
        })
    }

    /// Takes the whole text of a turn. Turns are told in the order in which they were spoken, whichever the engine was
    /// done with first.
    fn take_end(&mut self, id: &str, result: Result<Done, ApiError>) -> Events {
        if let Some(ending) = self.ending.iter_mut().find(|ending| ending.item.id == id) {
            ending.result = Some(result);
        }
        let mut events = Vec::new();
        while self.ending.front().is_some_and(|ending| ending.result.is_some()) {
            if let Some(Ending { item, ended, result: Some(result) }) = self.ending.pop_front() {
                self.state.metrics.turn_written(ended.elapsed());
                events.extend(self.complete(item, result));
            }
        }
        events
    }

    fn complete(&mut self, mut item: Item, result: Result<Done, ApiError>) -> Events {
        match result {
            Ok(done) => {
                let delta = item.text.finish(&done.transcript.text);
                let mut events = self.delta(&item.id, &delta);
                let transcript = done.transcript.text.trim();
                let mut fields = json!({"item_id": item.id, "content_index": 0, "transcript": transcript, "usage": usage(&done)});
                if self.config.with_logprobs {
                    fields["logprobs"] = logprobs(&done.transcript.segments, true);
                }
                events.push(self.event("conversation.item.input_audio_transcription.completed", fields));
                events
            }
            Err(error) => {
                let fields = json!({"item_id": item.id, "content_index": 0, "error": error.body()["error"]});
                vec![self.event("conversation.item.input_audio_transcription.failed", fields)]
            }
        }
    }

    fn delta(&mut self, id: &str, delta: &str) -> Events {
        if delta.is_empty() {
            return Vec::new();
        }
        let fields = json!({"item_id": id, "content_index": 0, "delta": delta});
        vec![self.event("conversation.item.input_audio_transcription.delta", fields)]
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
