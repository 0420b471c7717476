//! A session: sound and control messages in, results out.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::parameters::Live;
use super::results::{Request, alternative};
use crate::error::ApiError;
use crate::form::Form;
use crate::live::{Heard, Listener, News, Protocol, Tell, What};
use crate::state::State;
use crate::transcription::Done;

/// The one channel that there is, of one.
const CHANNEL: [u8; 2] = [0, 1];

/// A client's session.
pub(crate) struct Session {
    live: Live,
    request: Request,
    listener: Listener,
    /// Of the sound so far.
    hash: Sha256,
    /// How turns ended that are not written down yet.
    ends: HashMap<String, End>,
    /// Where the last word ended, in seconds, until it is told that no more follow.
    last_word_s: Option<f64>,
    /// Whether the client waits to be told that all is told.
    owes_answer: bool,
    closing: Closing,
}

/// How a turn came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Pause,
    /// It was longer than a turn may be.
    Cut,
    /// The client wanted it so.
    Finalized,
}

/// Whether more is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    /// What was said is told, and no more.
    Asked,
    Over,
}

impl Session {
    /// A session that does what the parameters say.
    ///
    /// # Errors
    /// Status 400 for the first that makes no sense, 404 if there is no such model.
    pub(crate) fn open(
        state: Arc<State>,
        parameters: Vec<(String, String)>,
        tell: Tell,
    ) -> Result<Self, ApiError> {
        let live = Live::new(&mut Form::of(parameters), &state)?;
        Ok(Self {
            request: Request::new(&live.listening.model),
            listener: Listener::new(state, live.listening.clone(), tell),
            live,
            hash: Sha256::new(),
            ends: HashMap::new(),
            last_word_s: None,
            owes_answer: false,
            closing: Closing::No,
        })
    }

    /// The request's name.
    pub(super) fn id(&self) -> &str {
        &self.request.id
    }

    /// Whether the engine listens to what is being said.
    #[cfg(test)]
    pub(crate) fn is_listening(&self) -> bool {
        self.listener.is_listening()
    }

    /// Ends the turn that is open, if one is.
    fn finalize(&mut self, end: End) -> Vec<Value> {
        let news = if self.listener.is_open() { self.listener.commit() } else { None };
        let news = news.unwrap_or_default();
        for News { turn, what } in &news {
            if matches!(what, What::Ended { .. }) {
                self.ends.entry(turn.clone()).or_insert(end);
            }
        }
        self.tell(news)
    }

    fn tell(&mut self, news: Vec<News>) -> Vec<Value> {
        let mut messages: Vec<Value> = news.into_iter().filter_map(|news| self.message(news)).collect();
        if self.owes_answer && self.ends.is_empty() {
            messages.push(self.nothing());
            self.owes_answer = false;
        }
        messages.extend(self.utterance_end());
        if self.closing == Closing::Asked && self.listener.is_done() {
            messages.push(self.metadata());
            self.closing = Closing::Over;
        }
        messages
    }

    fn message(&mut self, News { turn, what }: News) -> Option<Value> {
        match what {
            What::Started { at_ms } => {
                let timestamp = seconds(at_ms);
                self.live
                    .vad_events
                    .then(|| json!({"type": "SpeechStarted", "channel": CHANNEL, "timestamp": timestamp}))
            }
            What::Stopped { is_cut, .. } => {
                self.ends.insert(turn, if is_cut { End::Cut } else { End::Pause });
                None
            }
            What::Idle { .. } | What::Ended { .. } => None,
            What::Heard { start_ms, done, .. } => Some(self.results(start_ms, &done, None)),
            What::Written { start_ms, done, .. } => {
                let end = self.ends.remove(&turn).unwrap_or(End::Finalized);
                let words = done.transcript.segments.iter().filter_map(|segment| segment.words.as_ref());
                if let Some(word) = words.flatten().last() {
                    self.last_word_s = Some(seconds(start_ms) + word.end);
                }
                Some(self.results(start_ms, &done, Some(end)))
            }
            What::Failed { error } => {
                self.ends.remove(&turn);
                let message = error.body()["error"]["message"].clone();
                Some(json!({"type": "Error", "variant": "TranscriptionFailed", "description": message}))
            }
        }
    }

    /// What a turn's sound is.
    ///
    /// - `end`: how it ended, if it did.
    fn results(&self, start_ms: u64, done: &Done, end: Option<End>) -> Value {
        let start_s = seconds(start_ms);
        let mut alternative = alternative(&done.transcript, start_s);
        if self.live.listening.language.is_none() {
            alternative["languages"] = json!([done.transcript.language]);
        }
        self.result(start_s, done.duration_s, &alternative, end)
    }

    fn result(&self, start_s: f64, duration_s: f64, alternative: &Value, end: Option<End>) -> Value {
        json!({
            "type": "Results",
            "channel_index": CHANNEL,
            "start": start_s,
            "duration": duration_s,
            "is_final": end.is_some(),
            "speech_final": self.live.endpointing && end == Some(End::Pause),
            "from_finalize": end == Some(End::Finalized),
            "channel": {"alternatives": [alternative]},
            "metadata": self.request.brief(),
        })
    }

    /// What tells that nothing was said that is not told.
    fn nothing(&self) -> Value {
        let nothing = json!({"transcript": "", "confidence": 0.0, "words": []});
        self.result(seconds(self.listener.now_ms()), 0.0, &nothing, Some(End::Finalized))
    }

    /// What tells that nobody has gone on speaking, when that is so.
    fn utterance_end(&mut self) -> Option<Value> {
        let wait_ms = self.live.utterance_end_ms?;
        let end_s = self.last_word_s?;
        let is_quiet =
            self.listener.is_done() && seconds(self.listener.now_ms().saturating_sub(wait_ms)) >= end_s;
        if !is_quiet {
            return None;
        }
        self.last_word_s = None;
        Some(json!({"type": "UtteranceEnd", "channel": CHANNEL, "last_word_end": end_s}))
    }

    fn metadata(&self) -> Value {
        let mut metadata = self.request.metadata(self.hash.clone(), seconds(self.listener.now_ms()));
        metadata["type"] = json!("Metadata");
        metadata
    }

    fn close(&mut self) -> Vec<Value> {
        if self.closing == Closing::No {
            self.closing = Closing::Asked;
        }
        self.finalize(End::Pause)
    }
}

impl Protocol for Session {
    fn begin(&mut self) -> Vec<Value> {
        Vec::new()
    }

    fn take(&mut self, text: &str) -> Vec<Value> {
        let message: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        match message["type"].as_str() {
            Some("KeepAlive") => Vec::new(),
            Some("Finalize") => {
                let mut messages = self.finalize(End::Finalized);
                // Clients wait for an answer, even where nobody speaks.
                self.owes_answer = !self.ends.values().any(|end| *end == End::Finalized);
                messages.extend(self.tell(Vec::new()));
                messages
            }
            Some("CloseStream") => self.close(),
            _ => {
                let description = "Expected KeepAlive, Finalize or CloseStream.";
                vec![
                    json!({"type": "Error", "variant": "SchemaError", "description": description, "message": text}),
                ]
            }
        }
    }

    /// Sound; nothing at all is how older clients close the stream.
    fn take_bytes(&mut self, bytes: &[u8]) -> Vec<Value> {
        if bytes.is_empty() {
            return self.close();
        }
        if self.closing != Closing::No {
            return Vec::new();
        }
        self.hash.update(bytes);
        // Turns end by themselves before more waits than may.
        let news = self.listener.append(bytes).unwrap_or_default();
        self.tell(news)
    }

    fn hear(&mut self, heard: Heard) -> Vec<Value> {
        let news = self.listener.hear(heard);
        self.tell(news)
    }

    fn is_over(&self) -> bool {
        self.closing == Closing::Over
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
