//! What clients of a realtime session say, checked.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use boswell_model::language_code;
use serde_json::Value;

use super::config::Config;
use crate::live::{Listening, SoundFormat, TurnDetection};

/// What a client says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ClientEvent {
    Update(Config),
    /// Samples as they were sent.
    Append(Vec<u8>),
    Commit,
    Clear,
}

/// Why an event is not understood: a code, the parameter, and words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misunderstood {
    pub(super) code: &'static str,
    pub(super) param: Option<&'static str>,
    pub(super) message: String,
}

fn misunderstood(
    code: &'static str,
    param: Option<&'static str>,
    message: impl Into<String>,
) -> Misunderstood {
    Misunderstood { code, param, message: message.into() }
}

/// Reads an event.
///
/// - `config`: what an update changes.
///
/// # Errors
/// If it is no event that there is, or makes no sense.
pub(super) fn read(event: &Value, config: &Config) -> Result<ClientEvent, Misunderstood> {
    match event["type"].as_str() {
        Some("session.update") => Ok(ClientEvent::Update(update(&event["session"], config)?)),
        Some("transcription_session.update") => {
            Ok(ClientEvent::Update(beta_update(&event["session"], config)?))
        }
        Some("input_audio_buffer.append") => {
            let audio = event["audio"].as_str().unwrap_or_default();
            let bytes = BASE64_STANDARD.decode(audio).map_err(|error| {
                misunderstood("invalid_value", Some("audio"), format!("The audio is not base64: {error}."))
            })?;
            Ok(ClientEvent::Append(bytes))
        }
        Some("input_audio_buffer.commit") => Ok(ClientEvent::Commit),
        Some("input_audio_buffer.clear") => Ok(ClientEvent::Clear),
        Some(other) => {
            let message = format!("Invalid value '{other}': there is no such event for transcription.");
            Err(misunderstood("invalid_value", Some("type"), message))
        }
        None => Err(misunderstood("missing_required_parameter", Some("type"), "The event has no type.")),
    }
}

/// A configuration with what a session's description says of it.
///
/// # Errors
/// If it makes no sense.
pub(super) fn update(session: &Value, config: &Config) -> Result<Config, Misunderstood> {
    let input = &session["audio"]["input"];
    let mut config = Config { is_beta: false, ..config.clone() };
    if let Some(format) = input.get("format") {
        config.listening.format = match (format["type"].as_str(), format["rate"].as_u64().unwrap_or(24_000)) {
            (Some("audio/pcm"), rate @ (8_000 | 16_000 | 24_000 | 32_000 | 44_100 | 48_000)) => {
                SoundFormat::Pcm16 { rate: rate as u32 }
            }
            (Some("audio/pcmu"), _) => SoundFormat::MuLaw,
            (Some("audio/pcma"), _) => SoundFormat::ALaw,
            _ => {
                return Err(misunderstood(
                    "invalid_value",
                    Some("session.audio.input.format"),
                    "Expected audio/pcm at 16000 or 24000 Hz, audio/pcmu or audio/pcma.",
                ));
            }
        };
    }
    transcription(&input["transcription"], &mut config.listening);
    include(session, &mut config.listening);
    if let Some(detection) = input.get("turn_detection") {
        config.listening.detection = turn_detection(detection);
    }
    Ok(config)
}

/// The same for a description as it was before OpenAI's interface was finished.
///
/// # Errors
/// If it makes no sense.
pub(super) fn beta_update(session: &Value, config: &Config) -> Result<Config, Misunderstood> {
    let mut config = Config { is_beta: true, ..config.clone() };
    if let Some(format) = session.get("input_audio_format") {
        config.listening.format = match format.as_str() {
            Some("pcm16") => SoundFormat::Pcm16 { rate: 24_000 },
            Some("g711_ulaw") => SoundFormat::MuLaw,
            Some("g711_alaw") => SoundFormat::ALaw,
            _ => {
                return Err(misunderstood(
                    "invalid_value",
                    Some("session.input_audio_format"),
                    "Expected pcm16, g711_ulaw or g711_alaw.",
                ));
            }
        };
    }
    transcription(&session["input_audio_transcription"], &mut config.listening);
    include(session, &mut config.listening);
    if let Some(detection) = session.get("turn_detection") {
        config.listening.detection = turn_detection(detection);
    }
    Ok(config)
}

fn transcription(transcription: &Value, listening: &mut Listening) {
    let text = |name: &str| transcription[name].as_str().map(str::to_owned);
    if let Some(model) = text("model") {
        listening.model = model;
    }
    listening.language = text("language").or(listening.language.take());
    listening.prompt = text("prompt").or(listening.prompt.take());
    let texts = |name: &str| Some(transcription[name].as_array()?.iter().filter_map(Value::as_str));
    if let Some(keywords) = texts("keywords") {
        listening.keywords = keywords.map(str::to_owned).collect();
    }
    if let Some(languages) = texts("languages") {
        listening.among_languages = languages.filter_map(language_code).map(str::to_owned).collect();
    }
}

/// What is to be told beside the text.
fn include(session: &Value, listening: &mut Listening) {
    if let Some(included) = session["include"].as_array() {
        listening.token_logprobs =
            included.iter().any(|name| name == "item.input_audio_transcription.logprobs");
    }
}

/// Turns by what is heard, unless it is null. What `semantic_vad` means by eagerness is how long it waits.
fn turn_detection(detection: &Value) -> Option<TurnDetection> {
    if detection.is_null() {
        return None;
    }
    let usual = TurnDetection::default();
    let silence_ms = match detection["eagerness"].as_str() {
        Some("low") => 1000,
        Some("high") => 300,
        _ => usual.silence_ms,
    };
    Some(TurnDetection {
        threshold: detection["threshold"].as_f64().map_or(usual.threshold, |x| x.clamp(0.0, 1.0) as f32),
        prefix_ms: detection["prefix_padding_ms"].as_u64().unwrap_or(usual.prefix_ms).min(5_000),
        silence_ms: detection["silence_duration_ms"].as_u64().unwrap_or(silence_ms).clamp(32, 10_000),
        idle_ms: detection["idle_timeout_ms"].as_u64().map(|ms| ms.clamp(5_000, 30_000)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn config() -> Config {
        Config::new("m")
    }

    #[test]
    fn both_ways_to_configure_a_session_are_understood() {
        let new = json!({"type": "session.update", "session": {"type": "transcription", "audio": {"input": {
            "format": {"type": "audio/pcm", "rate": 16000},
            "transcription": {"model": "other", "language": "de", "prompt": "p", "keywords": ["a", "b"],
                "languages": ["german", "en"]},
            "turn_detection": {"type": "server_vad", "threshold": 0.3, "silence_duration_ms": 200, "idle_timeout_ms": 1}}},
            "include": ["item.input_audio_transcription.logprobs"]}});
        let Ok(ClientEvent::Update(read_config)) = read(&new, &config()) else { panic!() };
        let listening = read_config.listening;
        assert_eq!((listening.model.as_str(), listening.language.as_deref()), ("other", Some("de")));
        assert_eq!((listening.format, listening.keywords.len()), (SoundFormat::Pcm16 { rate: 16_000 }, 2));
        assert_eq!(listening.among_languages, ["de", "en"]);
        assert!(listening.token_logprobs);
        let expected =
            TurnDetection { threshold: 0.3, silence_ms: 200, prefix_ms: 300, idle_ms: Some(5_000) };
        assert_eq!(listening.detection, Some(expected));

        let old = json!({"type": "transcription_session.update", "session": {
            "input_audio_format": "g711_ulaw", "input_audio_transcription": {"model": "x"}, "turn_detection": null}});
        let Ok(ClientEvent::Update(read_config)) = read(&old, &config()) else { panic!() };
        let listening = &read_config.listening;
        assert_eq!((listening.format, listening.detection), (SoundFormat::MuLaw, None));
        assert!(read_config.is_beta);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let cases = [
            (json!({}), "type"),
            (json!({"type": "response.create"}), "type"),
            (json!({"type": "input_audio_buffer.append", "audio": "!"}), "audio"),
            (
                json!({"type": "transcription_session.update", "session": {"input_audio_format": "mp3"}}),
                "session.input_audio_format",
            ),
            (
                json!({"type": "session.update", "session": {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 1}}}}}),
                "session.audio.input.format",
            ),
        ];
        for (event, param) in cases {
            assert_eq!(read(&event, &config()).unwrap_err().param, Some(param), "{event}");
        }
    }

    proptest! {
        #[test]
        fn no_words_make_it_panic(kind in "(session.update|input_audio_buffer.append|transcription_session.update)", key in "(session|audio)", text in ".{0,20}", n in any::<f64>()) {
            for value in [json!(text), json!(n), json!(null), json!({"audio": {"input": text}}), json!({"turn_detection": {"threshold": n, "silence_duration_ms": n}})] {
                let _ = read(&json!({"type": kind, key.clone(): value}), &config());
            }
        }
    }
}
