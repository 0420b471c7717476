//! What a session is to do, and how its sound is written.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::turns::TurnDetection;

/// Sessions are said to end after so long.
const SESSION_S: u64 = 3600;

/// How samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SoundFormat {
    /// 16 bits, little-endian, of so many samples a second.
    Pcm16 { rate: u32 },
    /// G.711 µ-law, 8 kHz.
    MuLaw,
    /// G.711 A-law, 8 kHz.
    ALaw,
}

/// What a session is to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    pub(super) model: String,
    pub(super) language: Option<String>,
    /// Codes of the languages that may be spoken; empty: all.
    pub(super) among_languages: Vec<String>,
    /// Whether the logprobs of the tokens are to be told with a turn's whole text.
    pub(super) with_logprobs: bool,
    pub(super) prompt: Option<String>,
    pub(super) keywords: Vec<String>,
    pub(super) format: SoundFormat,
    pub(super) detection: Option<TurnDetection>,
    /// Whether the client speaks as before OpenAI's interface was finished.
    pub(super) is_beta: bool,
}

impl Config {
    /// What a session does until it is told otherwise.
    pub(crate) fn new(model: &str) -> Self {
        Self {
            model: model.to_owned(),
            language: None,
            among_languages: Vec::new(),
            with_logprobs: false,
            prompt: None,
            keywords: Vec::new(),
            format: SoundFormat::Pcm16 { rate: 24_000 },
            detection: Some(TurnDetection::default()),
            is_beta: false,
        }
    }

    /// As clients are told of it.
    ///
    /// - `id`: the session's.
    pub(super) fn shown(&self, id: &str) -> Value {
        let Self { model, language, prompt, format, detection, .. } = self;
        let detection = detection.map(|detection| {
            json!({
                "type": "server_vad",
                "threshold": detection.threshold,
                "prefix_padding_ms": detection.prefix_ms,
                "silence_duration_ms": detection.silence_ms,
            })
        });
        let format = match format {
            SoundFormat::Pcm16 { rate } => json!({"type": "audio/pcm", "rate": rate}),
            SoundFormat::MuLaw => json!({"type": "audio/pcmu"}),
            SoundFormat::ALaw => json!({"type": "audio/pcma"}),
        };
        let include = if self.with_logprobs { &["item.input_audio_transcription.logprobs"][..] } else { &[] };
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

impl SoundFormat {
    /// Samples a second.
    pub(super) fn rate(self) -> u32 {
        match self {
            Self::Pcm16 { rate } => rate,
            Self::MuLaw | Self::ALaw => 8_000,
        }
    }

    /// Appends samples, `[-1, 1]`. Of 16 bits, a byte that has no partner yet is left in `bytes`.
    pub(super) fn decode(self, bytes: &mut Vec<u8>, samples: &mut Vec<f32>) {
        let unit = |sample: i16| f32::from(sample) / 32_768.0;
        match self {
            Self::Pcm16 { .. } => {
                let pairs = bytes.chunks_exact(2);
                samples.extend(pairs.map(|pair| unit(i16::from_le_bytes([pair[0], pair[1]]))));
                bytes.drain(..bytes.len() / 2 * 2);
            }
            Self::MuLaw => samples.extend(bytes.drain(..).map(|byte| unit(mu_law(byte)))),
            Self::ALaw => samples.extend(bytes.drain(..).map(|byte| unit(a_law(byte)))),
        }
    }
}

/// Source: ITU-T G.711, table 2.
fn mu_law(byte: u8) -> i16 {
    let byte = !byte;
    let (exponent, mantissa) = (byte >> 4 & 7, i16::from(byte & 15));
    let magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84;
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

/// Source: ITU-T G.711, table 1.
fn a_law(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let (exponent, mantissa) = (byte >> 4 & 7, i16::from(byte & 15));
    let magnitude = match exponent {
        0 => (mantissa << 4) + 8,
        _ => ((mantissa << 4) + 0x108) << (exponent - 1),
    };
    if byte & 0x80 == 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g711_is_unfolded_as_the_standard_says() {
        assert_eq!([0xff, 0x7f, 0x80, 0x00, 0xf0].map(mu_law), [0, 0, 32_124, -32_124, 120]);
        assert_eq!([0xd5, 0x55, 0xaa, 0x2a].map(a_law), [8, -8, 32_256, -32_256]);
    }

    #[test]
    fn half_a_sample_waits_for_the_other_half() {
        let format = SoundFormat::Pcm16 { rate: 16_000 };
        let (mut bytes, mut samples) = (vec![0, 0x40, 0], Vec::new());
        format.decode(&mut bytes, &mut samples);
        assert_eq!((samples.as_slice(), bytes.as_slice()), (&[0.5][..], &[0][..]));
        bytes.push(0xc0);
        format.decode(&mut bytes, &mut samples);
        assert_eq!(samples, [0.5, -0.5]);
    }
}
