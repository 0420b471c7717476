//! What is told, in Deepgram's words.

use std::time::{SystemTime, UNIX_EPOCH};

use boswell_transcribe::{Transcript, Word};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::live::bare;
use crate::reply::rounded;

/// A request, by name and time.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) id: String,
    created: SystemTime,
    model: String,
}

impl Request {
    /// A request that came in now.
    pub(super) fn new(model: &str) -> Self {
        Self { id: uuid(fastrand::u128(..)), created: SystemTime::now(), model: model.to_owned() }
    }

    /// The part of a live result that is the same in all.
    pub(super) fn brief(&self) -> Value {
        json!({"request_id": self.id, "model_info": self.model_info(), "model_uuid": self.model_id()})
    }

    /// What is told of the sound as a whole.
    ///
    /// - `hash`: of its bytes.
    pub(super) fn metadata(&self, hash: Sha256, duration_s: f64) -> Value {
        let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let id = self.model_id();
        json!({
            "transaction_key": "deprecated",
            "request_id": self.id,
            "sha256": hash,
            "created": rfc3339(self.created),
            "duration": rounded(duration_s),
            "channels": 1,
            "models": [id],
            "model_info": {id: self.model_info()},
        })
    }

    fn model_info(&self) -> Value {
        json!({"name": self.model, "version": env!("CARGO_PKG_VERSION"), "arch": "whisper"})
    }

    /// The same for the same model wherever it runs.
    fn model_id(&self) -> String {
        let hash: [u8; 32] = Sha256::digest(self.model.as_bytes()).into();
        uuid(hash.iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte)))
    }
}

/// A text with its words.
///
/// - `offset_s`: where its sound begins in the whole.
pub(super) fn alternative(transcript: &Transcript, offset_s: f64) -> Value {
    let words = transcript.segments.iter().filter_map(|segment| segment.words.as_ref()).flatten();
    alternative_of(&transcript.text, words, offset_s)
}

/// The same of any text.
pub(super) fn alternative_of<'a>(
    text: &str,
    words: impl Iterator<Item = &'a Word> + Clone,
    offset_s: f64,
) -> Value {
    let confidence =
        words.clone().map(|word| word.probability).sum::<f64>() / words.clone().count().max(1) as f64;
    let words: Vec<Value> = words.map(|found| word(found, offset_s)).collect();
    json!({"transcript": text.trim(), "confidence": rounded(confidence), "words": words})
}

fn word(Word { word, start, end, probability }: &Word, offset_s: f64) -> Value {
    json!({
        "word": bare(word.trim()),
        "start": rounded(start + offset_s),
        "end": rounded(end + offset_s),
        "confidence": rounded(*probability),
        "punctuated_word": word.trim(),
    })
}

/// A name in the form of RFC 9562, version 8: one's own bits.
fn uuid(bits: u128) -> String {
    let bits = bits & !(0xf << 76 | 0x3 << 62) | 0x8 << 76 | 0x2 << 62;
    let digits = format!("{bits:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// A time as `2024-02-29T12:30:05.250Z`.
///
/// Source: the calendar from days as in H. Hinnant, "chrono-compatible low-level date algorithms" (`civil_from_days`).
fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400 + 719_468, since.as_secs() % 86_400);
    // Years begin in March here, so that the leap day is the last of its year.
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_told_as_the_calendar_has_them() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (1_709_209_805_250, "2024-02-29T12:30:05.250Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (ms, text) in cases {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn names_have_the_form_that_clients_expect() {
        assert_eq!(uuid(0), "00000000-0000-8000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-8fff-bfff-ffffffffffff");
        assert_eq!(Request::new("m").model_id(), Request::new("m").model_id());
        assert_ne!(Request::new("m").id, Request::new("m").id);
    }
}
