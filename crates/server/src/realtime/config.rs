//! What a session is to do.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::live::{Listening, SoundFormat};

/// Sessions are said to end after so long.
const SESSION_S: u64 = 3600;

/// What a session is to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    pub(super) listening: Listening,
    /// Whether the client speaks as before OpenAI's interface was finished.
    pub(super) is_beta: bool,
}

impl Config {
    /// What a session does until it is told otherwise.
    pub(crate) fn new(model: &str) -> Self {
        Self { listening: Listening::new(model, SoundFormat::Pcm16 { rate: 24_000 }), is_beta: false }
    }

    /// As clients are told of it.
    ///
    /// - `id`: the session's.
    pub(super) fn shown(&self, id: &str) -> Value {
        let Listening { model, language, prompt, format, detection, .. } = &self.listening;
        let detection = detection.map(|detection| {
            json!({
                "type": "server_vad",
                "threshold": detection.threshold,
                "prefix_padding_ms": detection.prefix_ms,
                "silence_duration_ms": detection.silence_ms,
                "idle_timeout_ms": detection.idle_ms,
            })
        });
        let format = match format {
            SoundFormat::Pcm16 { rate } => json!({"type": "audio/pcm", "rate": rate}),
            SoundFormat::MuLaw => json!({"type": "audio/pcmu"}),
            SoundFormat::ALaw => json!({"type": "audio/pcma"}),
        };
        let include = if self.listening.token_logprobs {
            &["item.input_audio_transcription.logprobs"][..]
        } else {
            &[]
        };
        json!({
            "id": id,
            "object": "realtime.transcription_session",
            "type": "transcription",
            "expires_at": now() + SESSION_S,
            "include": include,
            "audio": {"input": {
                "format": format,
                "transcription": {"model": model, "language": language, "prompt": prompt},
                "turn_detection": detection,
                "noise_reduction": null,
            }},
        })
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
