use serde_json::Value;

use super::*;
use crate::{Word, golden};

const N_TEXT_CTX: usize = 448;

fn decoded(result: &Value, temperature: f32) -> Decoded {
    let number = |name: &str, default: f64| result.get(name).map_or(default, |value| value.as_f64().unwrap());
    Decoded {
        tokens: golden::ids(&result["tokens"]),
        temperature,
        avg_logprob: number("avg_logprob", -0.3),
        no_speech_prob: number("no_speech_prob", 0.01),
        compression_ratio: number("compression_ratio", 1.5),
    }
}

/// A walk over the clips that the options ask for.
fn over<'a>(tokenizer: &'a Tokenizer, n_frames: usize, options: &'a Options) -> Result<Walk<'a>, Error> {
    Walk::over(tokenizer, N_TEXT_CTX, crate::parts::clips(&options.clip_timestamps, n_frames)?, options)
}

/// Walks over a recording with scripted decodes; returns what was asked and found.
fn walk(n_frames: usize, options: &Options, results: &[Value]) -> (Vec<WindowRequest>, Vec<Segment>, String) {
    let tokenizer = golden::tokenizer(51865);
    let mut walk = over(tokenizer, n_frames, options).unwrap();
    let (mut requests, mut segments) = (Vec::new(), Vec::new());
    while let Some(request) = walk.request() {
        let result = results.get(requests.len()).expect("more decodes are asked for than there are");
        segments.extend(walk.accept(&request, &decoded(result, request.temperature)));
        requests.push(request);
    }
    assert_eq!(requests.len(), results.len(), "decodes that were not asked for");
    assert!(walk.n_frames_done() <= n_frames);
    (requests, segments, walk.text())
}

#[test]
#[ignore = "needs ../shared"]
fn walks_are_those_of_the_reference() {
    let file = golden::json("rules/windows.json");
    // Word times, with which the walk goes differently, are not there yet.
    let has_words = |case: &&Value| case["options"].get("word_timestamps").is_some();
    let cases: Vec<&Value> =
        file["cases"].as_array().unwrap().iter().filter(|case| !has_words(case)).collect();
    assert!(!cases.is_empty());
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let n_frames = (case["seconds"].as_f64().unwrap() * FRAMES_PER_SECOND as f64) as usize;
        let (requests, mut segments, text) = walk(
            n_frames,
            &golden::options(&case["options"], golden::tokenizer(51865)),
            case["results"].as_array().unwrap(),
        );

        let calls: Vec<(f64, Vec<u32>)> = case["calls"]
            .as_array()
            .unwrap()
            .iter()
            .map(|call| (call["temperature"].as_f64().unwrap(), golden::ids(&call["prompt"])))
            .collect();
        let asked: Vec<(f64, Vec<u32>)> = requests
            .iter()
            .map(|request| (golden::widened(request.temperature), request.prompt.clone()))
            .collect();
        assert_eq!(asked, calls, "{name}");
        for segment in &mut segments {
            segment.start = (segment.start * 1e4).round() / 1e4;
            segment.end = (segment.end * 1e4).round() / 1e4;
        }
        let expected: Vec<Segment> = serde_json::from_value(case["segments"].clone()).unwrap();
        assert_eq!(segments, expected, "{name}");
        assert_eq!(text, case["text"].as_str().unwrap(), "{name}");
    }
}

fn result(tokens: &[u32]) -> Value {
    serde_json::json!({ "tokens": tokens })
}

const TS: u32 = 50364;

#[test]
fn a_recording_without_samples_has_no_windows() {
    let (requests, segments, text) = walk(0, &Options::default(), &[]);
    assert!(requests.is_empty() && segments.is_empty() && text.is_empty());
}

#[test]
fn the_last_window_holds_what_is_left() {
    let (requests, segments, _) =
        walk(3007, &Options::default(), &[result(&[]), result(&[TS, 1485, TS + 1])]);
    let windows: Vec<(usize, usize)> =
        requests.iter().map(|request| (request.seek, request.n_frames)).collect();
    assert_eq!(windows, [(0, 3000), (3000, 7)]);
    assert_eq!((segments[1].start, segments[1].end), (30.0, 30.02));
}

#[test]
fn clips_end_with_the_recording() {
    let options = Options { clip_timestamps: vec![1.0, 99.0, 50.0], ..Options::default() };
    let (requests, _, _) = walk(250, &options, &[result(&[])]);
    assert_eq!((requests[0].seek, requests[0].n_frames), (100, 150));
}

#[test]
fn a_decode_that_makes_no_headway_is_left_behind() {
    let stuck = vec![result(&[TS, 1485, TS, TS]); MAX_STALLS + 1];
    let (requests, _, _) = walk(1000, &Options::default(), &stuck);
    assert!(requests.iter().all(|request| request.seek == 0));
}

#[test]
fn a_slice_that_begins_without_a_timestamp_begins_with_the_window() {
    let (_, segments, _) =
        walk(1000, &Options::default(), &[result(&[1485, TS + 50, TS + 50, 732, TS + 60])]);
    let times: Vec<(f64, f64)> = segments.iter().map(|segment| (segment.start, segment.end)).collect();
    assert_eq!(times, [(0.0, 1.0), (1.0, 1.2)]);
}

#[test]
fn a_character_that_two_segments_share_is_whole_in_the_text() {
    let tokenizer = golden::tokenizer(51865);
    let tokens = tokenizer.encode("\u{1f9ff}");
    assert!(tokens.len() > 1);
    let (head, tail) = tokens.split_at(1);
    let tokens = [&[TS], head, &[TS + 50, TS + 50], tail, &[TS + 99]].concat();
    let (_, segments, text) = walk(1000, &Options::default(), &[result(&tokens)]);
    assert_eq!(text, "\u{1f9ff}");
    assert!(segments.iter().all(|segment| segment.text.contains('\u{fffd}')));
    assert_eq!(segments[0].words, None::<Vec<Word>>);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let tokenizer = golden::tokenizer(51865);
    let cases = [
        (
            Options { temperatures: vec![], ..Options::default() },
            "option temperatures is [], expected one number or more, 0 or above",
        ),
        (
            Options { temperatures: vec![0.0, -1.0], ..Options::default() },
            "option temperatures is [0.0, -1.0], expected one number or more, 0 or above",
        ),
        (
            Options { clip_timestamps: vec![1.0, f64::NAN], ..Options::default() },
            "option clip_timestamps is NaN, expected seconds, 0 or above",
        ),
    ];
    for (options, message) in cases {
        let error = over(tokenizer, 1000, &options).err().unwrap();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn whatever_is_decoded_the_walk_ends_within_the_recording() {
    let tokenizer = golden::tokenizer(51865);
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let n_frames = rng.usize(..20_000);
        let clip_timestamps = (0..rng.usize(..5)).map(|_| rng.f64() * 300.0).collect();
        let options = Options { clip_timestamps, temperatures: vec![0.0, 0.7], ..Options::default() };
        let mut walk = over(tokenizer, n_frames, &options).unwrap();
        let mut n_segments = 0;
        while let Some(request) = walk.request() {
            assert!(request.n_frames > 0 && request.seek + request.n_frames <= n_frames);
            let mut token = || match rng.u32(..4) {
                0 => rng.u32(..50257),
                1 => rng.u32(50257..TS),
                2 => TS,
                _ => rng.u32(TS..51865),
            };
            let tokens = (0..12).map(|_| token()).collect();
            let avg_logprob = -2.0 * rng.f64();
            let no_speech_prob = rng.f64();
            let temperature = request.temperature;
            let decoded =
                Decoded { tokens, temperature, avg_logprob, no_speech_prob, compression_ratio: 1.0 };
            for segment in walk.accept(&request, &decoded) {
                assert_eq!(segment.id, n_segments, "seed {seed}");
                assert!(segment.start >= request.seek as f64 / 100.0 && segment.end >= 0.0, "{segment:?}");
                n_segments += 1;
            }
        }
    }
}
