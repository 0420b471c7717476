use serde_json::Value;

use super::*;
use crate::{DropReason, Dropped, Word, golden};

fn written(transcript: &Transcript, format: Format, options: &WriteOptions) -> String {
    let mut out = Vec::new();
    write(transcript, format, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn segment(start: f64, end: f64, text: &str, words: Option<Vec<Word>>) -> Segment {
    Segment {
        id: 0,
        seek: 0,
        start,
        end,
        text: text.to_owned(),
        tokens: vec![50364, 400],
        temperature: 0.2,
        avg_logprob: -0.25,
        compression_ratio: 1.25,
        no_speech_prob: 1.5e-9,
        words,
        logprobs: None,
    }
}

fn transcript(segments: Vec<Segment>) -> Transcript {
    Transcript { text: " Ü".to_owned(), segments, language: "de".to_owned(), dropped: Vec::new() }
}

#[test]
#[ignore = "needs ../shared"]
fn files_are_those_of_the_reference() {
    let transcripts = golden::json("rules/writers/transcripts.json");
    let cases = golden::json("rules/writers/writers.json");
    for case in cases.as_array().unwrap() {
        let file = case["file"].as_str().unwrap();
        let expected = golden::text(&format!("rules/writers/{file}"));
        let given = &transcripts[case["transcript"].as_str().unwrap()];
        let transcript: Transcript = serde_json::from_value(given.clone()).unwrap();
        let format: Format = case["format"].as_str().unwrap().parse().unwrap();
        let limit =
            |name: &str| case["options"].get(name).and_then(Value::as_u64).map(|limit| limit as usize);
        let options = WriteOptions {
            max_line_width: limit("max_line_width"),
            max_line_count: limit("max_line_count"),
            max_words_per_line: limit("max_words_per_line"),
            highlight_words: case["options"].get("highlight_words").and_then(Value::as_bool).unwrap_or(false),
            ..WriteOptions::default()
        };
        let found = written(&transcript, format, &options);
        if format == Format::Json {
            // The case's fields stand in another order than those of openai/whisper's transcribe(), which are ours.
            let mut in_order_of_case = Vec::new();
            json::write(given, &mut in_order_of_case).unwrap();
            assert_eq!(String::from_utf8(in_order_of_case).unwrap(), expected, "{file}");
            let (found, expected): (Value, Value) =
                (serde_json::from_str(&found).unwrap(), serde_json::from_str(&expected).unwrap());
            assert_eq!(found, expected, "{file}");
        } else {
            assert_eq!(found, expected, "{file}");
        }
    }
}

#[test]
fn json_has_the_fields_of_openai_whisper_in_its_order() {
    let found =
        written(&transcript(vec![segment(0.0, 1.1, " Ü", None)]), Format::Json, &WriteOptions::default());
    let expected = concat!(
        r#"{"text": " \u00dc", "segments": [{"id": 0, "seek": 0, "start": 0.0, "end": 1.1, "text": " \u00dc", "#,
        r#""tokens": [50364, 400], "temperature": 0.2, "avg_logprob": -0.25, "compression_ratio": 1.25, "#,
        r#""no_speech_prob": 1.5e-09}], "language": "de"}"#
    );
    assert_eq!(found, expected);
}

#[test]
fn lyrics_have_minutes_and_hundredths() {
    let segments = vec![
        segment(0.0, 1.0, " One.", None),
        segment(1.0, 1.0, "", None),
        segment(59.996, 61.0, " Two", None),
        segment(6001.25, 6002.0, " Three ", None),
    ];
    let found = written(&transcript(segments), Format::Lrc, &WriteOptions::default());
    assert_eq!(found, "[00:00.00]One.\n[01:00.00]Two\n[100:01.25]Three\n");
}

#[test]
fn the_console_line_is_that_of_openai_whisper() {
    let mut out = Vec::new();
    write_console_line(&segment(0.0, 3725.5, " One --> two.", None), &mut out).unwrap();
    write_console_line(&segment(1.0, 1.0, "", Some(Vec::new())), &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "[00:00.000 --> 01:02:05.500]  One --> two.\n");
}

#[test]
fn a_cleared_segment_does_not_turn_off_the_others() {
    // openai/whisper gives the first an empty list of words, and then looks for words in the second.
    let segments = vec![segment(0.0, 0.0, "", Some(Vec::new())), segment(0.0, 1.0, " Two.", None)];
    let found = written(&transcript(segments), Format::Srt, &WriteOptions::default());
    assert_eq!(found, "1\n00:00:00,000 --> 00:00:00,000\n\n\n2\n00:00:00,000 --> 00:00:01,000\nTwo.\n\n");
}

#[test]
fn formats_are_known_by_their_names() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
    }
    let error = "doc".parse::<Format>().unwrap_err();
    assert_eq!(error.to_string(), "unknown output format `doc`, expected txt, srt, vtt, tsv, json or lrc");
}

#[test]
fn subtitles_stay_long_enough_to_be_read_and_leave_gaps() {
    let segments = vec![
        segment(0.0, 0.5, " Twenty letters here", None),
        segment(5.0, 6.0, " Much more than can be read in this time", None),
        segment(6.01, 8.0, " Short", None),
        segment(8.0, 8.1, " End", None),
    ];
    let times = |options: &WriteOptions| -> Vec<String> {
        let srt = written(&transcript(segments.clone()), Format::Srt, options);
        srt.lines()
            .filter(|line| line.contains("-->"))
            .map(|line| line.replace("00:00:0", "").replace("00:00:", ""))
            .collect()
    };
    let options = WriteOptions { max_chars_per_second: Some(10.0), ..WriteOptions::default() };
    assert_eq!(times(&options), ["0,000 --> 1,900", "5,000 --> 6,010", "6,010 --> 8,000", "8,000 --> 8,300"]);
    let options = WriteOptions { min_gap_s: Some(0.1), ..options };
    assert_eq!(times(&options), ["0,000 --> 1,900", "5,000 --> 5,910", "6,010 --> 7,900", "8,000 --> 8,300"]);
    let options = WriteOptions { min_duration_s: Some(2.5), ..options };
    assert_eq!(
        times(&options),
        ["0,000 --> 2,500", "5,000 --> 5,910", "6,010 --> 7,900", "8,000 --> 10,500"]
    );
    let options = WriteOptions { min_gap_s: Some(1.5), ..WriteOptions::default() };
    assert_eq!(times(&options), ["0,000 --> 0,500", "5,000 --> 5,500", "6,010 --> 7,005", "8,000 --> 8,100"]);
}

#[test]
fn the_json_tells_what_was_dropped() {
    let dropped = Dropped { start: 1.0, end: 2.5, text: " Bye.".to_owned(), reason: DropReason::NoSpeech };
    let transcript = Transcript { dropped: vec![dropped], ..transcript(Vec::new()) };
    let found = written(&transcript, Format::Json, &WriteOptions::default());
    assert!(found.ends_with(
        r#""language": "de", "dropped": [{"start": 1.0, "end": 2.5, "text": " Bye.", "reason": "no_speech"}]}"#
    ));
    assert_eq!(serde_json::from_str::<Transcript>(&found).unwrap(), transcript);
}
