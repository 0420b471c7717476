//! Transcripts as OpenAI's API answers them.

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use boswell_model::language_name;
use boswell_transcribe::{Format, Segment, TokenLogprob, Transcript, Word, WriteOptions, write};
use serde_json::{Map, Value, json};

use crate::error::ApiError;
use crate::request::{ResponseFormat, TranscriptionRequest};
use crate::transcription::Done;

/// The one speaker: who speaks is not told apart.
pub(crate) const SPEAKER: &str = "A";

const PLAIN: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];

/// The answer to a request whose transcript is done.
pub(crate) fn reply(request: &TranscriptionRequest, done: &Done) -> Response {
    let text = done.transcript.text.trim();
    match request.format {
        ResponseFormat::Json => Json(short(request, done)).into_response(),
        ResponseFormat::Text => (PLAIN, format!("{text}\n")).into_response(),
        ResponseFormat::Srt => (PLAIN, file(&done.transcript, Format::Srt)).into_response(),
        ResponseFormat::Vtt => (PLAIN, file(&done.transcript, Format::Vtt)).into_response(),
        ResponseFormat::Lrc => (PLAIN, file(&done.transcript, Format::Lrc)).into_response(),
        ResponseFormat::VerboseJson => Json(verbose(request, done)).into_response(),
        ResponseFormat::DiarizedJson => Json(diarized(done)).into_response(),
    }
}

/// The answer in a format by its name, one of OpenAI's or one of Boswell's files; without a name, as was asked for.
///
/// # Errors
/// Status 400 if there is no such format.
pub(crate) fn in_format(
    request: &TranscriptionRequest,
    done: &Done,
    name: Option<&str>,
) -> Result<Response, ApiError> {
    match name.map(str::parse::<Format>) {
        Some(Ok(format)) if format != Format::Json => {
            Ok((PLAIN, file(&done.transcript, format)).into_response())
        }
        _ => {
            let format = match name {
                Some(name) => crate::request::format(Some(name.to_owned()), request.options.task)?,
                None => request.format,
            };
            Ok(reply(&TranscriptionRequest { format, ..request.clone() }, done))
        }
    }
}

/// What is billed elsewhere.
pub(crate) fn usage(done: &Done) -> Value {
    json!({"type": "duration", "seconds": done.duration_s.ceil() as u64})
}

/// The tokens of segments with their logprobs. Put together they are the text.
///
/// - `begins`: whether the first token begins a text, which has no space before it.
pub(crate) fn logprobs<'a>(segments: impl IntoIterator<Item = &'a Segment>, begins: bool) -> Value {
    let tokens = segments.into_iter().filter_map(|segment| segment.logprobs.as_ref()).flatten();
    let tokens = tokens.enumerate().map(|(idx, TokenLogprob { bytes, logprob })| {
        let bytes = if begins && idx == 0 { bytes.trim_ascii_start() } else { bytes };
        json!({"token": String::from_utf8_lossy(bytes), "logprob": shortest(*logprob), "bytes": bytes})
    });
    tokens.collect()
}

/// A segment as `diarized_json` and its stream have it.
pub(crate) fn diarized_segment(segment: &Segment, number: usize) -> Value {
    json!({
        "type": "transcript.text.segment",
        "id": format!("seg_{number:03}"),
        "start": rounded(segment.start),
        "end": rounded(segment.end),
        "text": segment.text.trim(),
        "speaker": SPEAKER,
    })
}

/// A word as `verbose_json` has it.
pub(crate) fn word(word: &Word) -> Value {
    json!({
        "word": word.word.trim(),
        "start": rounded(word.start),
        "end": rounded(word.end),
        "probability": word.probability,
    })
}

/// The English name of the language spoken.
pub(crate) fn language(done: &Done) -> &str {
    let code = done.transcript.language.as_str();
    language_name(code).unwrap_or(code)
}

/// Whether there is something to read in a segment.
pub(crate) fn has_text(segment: &Segment) -> bool {
    !segment.text.trim().is_empty()
}

/// A transcript as one of Boswell's files.
pub(crate) fn file(transcript: &Transcript, format: Format) -> Vec<u8> {
    let mut file = Vec::new();
    let layout = WriteOptions { always_hours: true, ..WriteOptions::default() };
    write(transcript, format, &layout, &mut file).expect("memory takes everything");
    file
}

fn short(request: &TranscriptionRequest, done: &Done) -> Value {
    let mut body = json!({"text": done.transcript.text.trim()});
    if request.options.token_logprobs {
        body["logprobs"] = logprobs(&done.transcript.segments, true);
    }
    if !request.options.among_languages.is_empty() {
        body["languages"] = json!([{"code": done.transcript.language}]);
    }
    body["usage"] = usage(done);
    body
}

fn verbose(request: &TranscriptionRequest, done: &Done) -> Value {
    let Done { transcript, duration_s } = done;
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
    let translates = request.options.task == boswell_model::Task::Translate;
    put("task", json!(if translates { "translate" } else { "transcribe" }));
    put("language", json!(if translates { "english" } else { language(done) }));
    put("duration", json!(rounded(*duration_s)));
    put("text", json!(transcript.text.trim()));
    if request.wants_segments {
        let segments = transcript.segments.iter().enumerate();
        put("segments", segments.map(|(id, segment)| verbose_segment(id, segment)).collect());
    }
    if request.options.word_timestamps {
        let words = transcript.segments.iter().filter_map(|segment| segment.words.as_ref()).flatten();
        put("words", words.map(word).collect());
    }
    put("usage", usage(done));
    Value::Object(body)
}

/// A segment as `verbose_json` has it, with its words if they are known, as whisper.cpp and faster-whisper tell them.
pub(crate) fn verbose_segment(id: usize, segment: &Segment) -> Value {
    let mut told = json!({
        "id": id,
        "seek": segment.seek,
        "start": rounded(segment.start),
        "end": rounded(segment.end),
        "text": segment.text,
        "tokens": segment.tokens,
        "temperature": shortest(segment.temperature),
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
    });
    if let Some(words) = &segment.words {
        told["words"] = words.iter().map(word).collect();
    }
    told
}

fn diarized(done: &Done) -> Value {
    let text = done.transcript.text.trim();
    let segments = done.transcript.segments.iter().filter(|segment| has_text(segment)).zip(1..);
    json!({
        "task": "transcribe",
        "duration": rounded(done.duration_s),
        "text": if text.is_empty() { String::new() } else { format!("{SPEAKER}: {text}") },
        "segments": segments.map(|(segment, number)| diarized_segment(segment, number)).collect::<Vec<_>>(),
        "usage": usage(done),
    })
}

/// A time without the digits that no clock has.
pub(crate) fn rounded(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// 0.2 for 0.2 in 32 bits.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use boswell_transcribe::Options;
    use http_body_util::BodyExt;

    use super::*;

    fn done() -> Done {
        let word = |word: &str, start, end| Word { word: word.to_owned(), start, end, probability: 0.5 };
        let segment = |id, start, end, text: &str| Segment {
            id,
            start,
            end,
            text: text.to_owned(),
            temperature: 0.2,
            tokens: vec![1],
            ..Segment::default()
        };
        let mut first = segment(0, 0.0, 1.2, " Hello there.");
        first.words = Some(vec![word(" Hello", 0.0, 0.5), word(" there.", 0.5, 1.2)]);
        let mut second = segment(1, 1.2, 3725.5, "");
        second.words = Some(Vec::new());
        let mut third = segment(2, 3725.5, 3726.0, " Bye.");
        third.words = Some(vec![word(" Bye.", 3725.5, 3726.0)]);
        let transcript = Transcript {
            text: " Hello there. Bye.".to_owned(),
            language: "en".to_owned(),
            segments: vec![first, second, third],
            ..Transcript::default()
        };
        Done { transcript, duration_s: 3726.3 }
    }

    /// The answer's type and text.
    fn answer(format: ResponseFormat, word_timestamps: bool, wants_segments: bool) -> (String, String) {
        let request = TranscriptionRequest {
            model: String::new(),
            options: Options { word_timestamps, ..Options::default() },
            format,
            wants_segments,
            stream: false,
        };
        let response = reply(&request, &done());
        assert_eq!(response.status(), StatusCode::OK);
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(response.into_body().collect()).unwrap().to_bytes();
        (kind, String::from_utf8(body.to_vec()).unwrap())
    }

    fn json_answer(format: ResponseFormat, words: bool, segments: bool) -> Value {
        let (kind, text) = answer(format, words, segments);
        assert_eq!(kind, "application/json");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn plain_formats_are_plain_text() {
        let cases = [
            (ResponseFormat::Text, "Hello there. Bye.\n", ""),
            (ResponseFormat::Srt, "1\n00:00:00,000 --> 00:00:01,200\nHello there.\n\n", "01:02:05,500"),
            (ResponseFormat::Lrc, "[00:00.00]Hello there.\n", "[62:05.50]Bye."),
            (
                ResponseFormat::Vtt,
                "WEBVTT\n\n00:00:00.000 --> 00:00:01.200\nHello there.\n\n",
                "01:02:05.500",
            ),
        ];
        for (format, start, inside) in cases {
            let (kind, text) = answer(format, false, true);
            assert_eq!(kind, "text/plain; charset=utf-8");
            assert!(text.starts_with(start) && text.contains(inside), "{text}");
        }
    }

    #[test]
    fn json_has_the_text_and_its_length() {
        let body = json_answer(ResponseFormat::Json, false, true);
        let usage = json!({"type": "duration", "seconds": 3727});
        assert_eq!(body, json!({"text": "Hello there. Bye.", "usage": usage}));
    }

    #[test]
    fn verbose_json_has_what_was_asked_for() {
        let body = json_answer(ResponseFormat::VerboseJson, false, true);
        assert_eq!(body["language"], "english");
        assert_eq!(body["segments"][0]["text"], " Hello there.");
        assert_eq!(body["segments"][0]["temperature"], 0.2);
        assert!(body.get("words").is_none());
        let body = json_answer(ResponseFormat::VerboseJson, true, true);
        assert_eq!(body["segments"][2]["words"][0]["word"], "Bye.");
        let body = json_answer(ResponseFormat::VerboseJson, true, false);
        assert_eq!(body["words"].as_array().unwrap().len(), 3);
        assert_eq!(body["words"][1]["word"], "there.");
        assert!(body.get("segments").is_none());
    }

    #[test]
    fn without_speakers_all_is_said_by_one() {
        let body = json_answer(ResponseFormat::DiarizedJson, false, true);
        assert_eq!(body["text"], "A: Hello there. Bye.");
        assert_eq!(body["segments"].as_array().unwrap().len(), 2);
        assert_eq!(body["segments"][1]["id"], "seg_002");
        assert_eq!(body["segments"][1]["speaker"], "A");
    }
}
