use serde_json::Value;

use super::*;
use crate::{Word, golden};

const N_TEXT_CTX: usize = 448;

fn decoded(result: &Value, temperature: f32) -> Decoded {
    let number = |name: &str, default: f64| result.get(name).map_or(default, |value| value.as_f64().unwrap());
    let tokens = golden::ids(&result["tokens"]);
    Decoded {
        logprobs: vec![0.0; tokens.len()],
        tokens,
        temperature,
        avg_logprob: number("avg_logprob", -0.3),
        no_speech_prob: number("no_speech_prob", 0.01),
        compression_ratio: number("compression_ratio", 1.5),
    }
}

/// A walk over the clips that the options ask for.
fn over<'a>(tokenizer: &'a Tokenizer, n_frames: usize, options: &'a Options) -> Result<Walk<'a>, Error> {
    let clips = crate::parts::clips(&options.clip_timestamps, n_frames)?;
    let phrases = Arc::new(Phrases::new("en", options));
    Walk::over(tokenizer, N_TEXT_CTX, Route { clips, whole: (0, n_frames) }, phrases, options)
}

/// Walks over a recording with scripted decodes; returns what was asked and found.
fn walk(n_frames: usize, options: &Options, results: &[Value]) -> (Vec<WindowRequest>, Vec<Segment>, String) {
    let (requests, segments, text, _) = walk_with_words(n_frames, options, results, &[]);
    (requests, segments, text)
}

/// The same with scripted words for each segment that has text, and with what is dropped.
fn walk_with_words(
    n_frames: usize,
    options: &Options,
    results: &[Value],
    words: &[Vec<Word>],
) -> (Vec<WindowRequest>, Vec<Segment>, String, Vec<Dropped>) {
    let tokenizer = golden::tokenizer(51865);
    let mut walk = over(tokenizer, n_frames, options).unwrap();
    let (mut requests, mut segments, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
    let mut words = words.iter();
    while let Some(request) = walk.request() {
        let result = results.get(requests.len()).expect("more decodes are asked for than there are");
        let found = walk.accept(&request, &decoded(result, request.temperature), |segments, _| {
            for segment in segments {
                let is_text = segment.tokens.iter().any(|&token| token < EOT);
                let words = is_text.then(|| words.next()).flatten().cloned().unwrap_or_default();
                if let (Some(first), Some(last)) = (words.first(), words.last()) {
                    (segment.start, segment.end) = (first.start, last.end);
                }
                segment.words = Some(words);
            }
        });
        segments.extend(found.segments);
        dropped.extend(found.dropped);
        requests.push(request);
    }
    assert_eq!(requests.len(), results.len(), "decodes that were not asked for");
    assert!(walk.n_frames_done() <= n_frames);
    assert_eq!(words.count(), 0, "words that were not asked for");
    (requests, segments, walk.text(), dropped)
}

#[test]
#[ignore = "needs ../shared"]
fn walks_are_those_of_the_reference() {
    let file = golden::json("rules/windows.json");
    let cases = file["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let n_frames = (case["seconds"].as_f64().unwrap() * FRAMES_PER_SECOND as f64) as usize;
        let words = case.get("words").map(|words| serde_json::from_value(words.clone()).unwrap());
        let words: Vec<Vec<Word>> = words.unwrap_or_default();
        let options = golden::options(&case["options"], golden::tokenizer(51865));
        let (requests, mut segments, text, _) =
            walk_with_words(n_frames, &options, case["results"].as_array().unwrap(), &words);

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
const EOT: u32 = 50257;

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
            Options { hallucination_silence_threshold: Some(-1.0), ..Options::default() },
            "option hallucination_silence_threshold is -1, expected seconds, 0 or above",
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
        let options = Options {
            clip_timestamps,
            temperatures: vec![0.0, 0.7],
            word_timestamps: rng.bool(),
            hallucination_silence_threshold: rng.bool().then(|| rng.f64() * 3.0),
            drop_loops: rng.bool(),
            ..Options::default()
        };
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
            let tokens: Vec<u32> = (0..12).map(|_| token()).collect();
            let avg_logprob = -2.0 * rng.f64();
            let no_speech_prob = rng.f64();
            let temperature = request.temperature;
            let decoded = Decoded {
                logprobs: vec![0.0; tokens.len()],
                tokens,
                temperature,
                avg_logprob,
                no_speech_prob,
                compression_ratio: 1.0,
            };
            let add_words = |segments: &mut [Segment], _| {
                for segment in segments {
                    let mut at = || segment.seek as f64 / 100.0 + rng.f64() * 31.0;
                    let mut words = vec![word(" odd", at(), at(), 0.1); rng.usize(..3)];
                    words.iter_mut().for_each(|word| word.end = word.end.max(word.start));
                    segment.words = Some(words);
                }
            };
            for segment in walk.accept(&request, &decoded, add_words).segments {
                assert_eq!(segment.id, n_segments, "seed {seed}");
                assert!(segment.start >= request.seek as f64 / 100.0 && segment.end >= 0.0, "{segment:?}");
                n_segments += 1;
            }
        }
    }
}

/// The tokens of a text between two timestamps.
fn said(text: &str, start: u32, end: u32) -> Vec<u32> {
    [&[TS + start], &*golden::tokenizer(51865).encode(text), &[TS + end]].concat()
}

fn word(text: &str, start: f64, end: f64, probability: f64) -> Word {
    Word { word: text.to_owned(), start, end, probability }
}

#[test]
fn what_is_not_taken_is_told_with_its_reason() {
    let reasons = |dropped: &[Dropped]| -> Vec<(DropReason, String)> {
        dropped.iter().map(|dropped| (dropped.reason, dropped.text.clone())).collect()
    };

    let silence =
        serde_json::json!({ "tokens": said(" Noise.", 0, 100), "avg_logprob": -1.5, "no_speech_prob": 0.9 });
    let (_, segments, _, dropped) = walk_with_words(1000, &Options::default(), &[silence], &[]);
    assert!(segments.is_empty());
    assert_eq!(reasons(&dropped), [(DropReason::NoSpeech, " Noise.".to_owned())]);
    assert_eq!((dropped[0].start, dropped[0].end), (0.0, 2.0));

    let improbable = serde_json::json!({ "tokens": said(" Noise.", 0, 100), "avg_logprob": -1.5 });
    for (drop_failed, expected) in [(false, 0), (true, 1)] {
        let options = Options { drop_failed, temperatures: vec![0.0, 0.4], ..Options::default() };
        let results = [improbable.clone(), improbable.clone()];
        let (_, segments, _, dropped) = walk_with_words(1000, &options, &results, &[]);
        assert_eq!((segments.len(), dropped.len()), (1 - expected, expected));
        assert!(dropped.iter().all(|dropped| dropped.reason == DropReason::Failed));
    }

    let options = Options { phrase_filter: true, drop_loops: true, ..Options::default() };
    let both = [said(" Thanks for watching!", 0, 100), said(&" la di da".repeat(12), 100, 900)].concat();
    let (_, segments, text, dropped) = walk_with_words(2000, &options, &[result(&both)], &[]);
    assert_eq!(text, " la di da");
    assert_eq!((segments.len(), segments[0].start, segments[0].end), (1, 2.0, 18.0));
    let expected = [
        (DropReason::Loop, " la di da".repeat(11)),
        (DropReason::Phrase, " Thanks for watching!".to_owned()),
    ];
    assert_eq!(reasons(&dropped), expected);
    let unguarded = Options { compression_ratio_threshold: None, ..options };
    let (_, segments, _, dropped) = walk_with_words(2000, &unguarded, &[result(&both)], &[]);
    assert_eq!((segments.len(), dropped.len()), (1, 1), "no ratio, no loops");

    let options =
        Options { word_timestamps: true, hallucination_silence_threshold: Some(2.0), ..Options::default() };
    let both = [said(" Real speech.", 0, 100), said(" Bye.", 1200, 1300)].concat();
    let words = [
        vec![word(" Real", 0.5, 1.0, 0.9), word(" speech.", 1.0, 1.5, 0.9)],
        vec![word(" Bye.", 24.0, 24.01, 0.01)],
    ];
    let (requests, segments, _, dropped) =
        walk_with_words(4000, &options, &[result(&both), result(&[])], &words);
    assert_eq!((requests[1].seek, segments[0].text.as_str()), (2400, " Real speech."));
    assert_eq!(reasons(&dropped), [(DropReason::Silence, " Bye.".to_owned())]);
}

#[test]
fn of_texts_that_all_fail_the_likeliest_is_taken() {
    let failed = |word: &str, avg_logprob: f64, compression_ratio: f64| {
        serde_json::json!({
            "tokens": said(word, 0, 100), "avg_logprob": avg_logprob, "compression_ratio": compression_ratio
        })
    };
    let cases = [
        (true, [(-1.1, 1.0), (-1.2, 1.0), (-1.3, 1.0)], " one"),
        (true, [(-1.2, 1.0), (-1.1, 1.0), (-1.3, 1.0)], " two"),
        // What repeats itself is taken only if all do.
        (true, [(-0.1, 9.0), (-1.3, 1.0), (-1.4, 1.0)], " two"),
        (true, [(-0.3, 9.0), (-0.2, 9.0), (-0.1, 9.0)], " three"),
        (false, [(-1.1, 1.0), (-1.2, 1.0), (-1.3, 1.0)], " three"),
    ];
    for (keep_best_failed, figures, expected) in cases {
        let options = Options { keep_best_failed, temperatures: vec![0.0, 0.4, 0.8], ..Options::default() };
        let texts = [" one", " two", " three"].iter().zip(figures);
        let results: Vec<Value> =
            texts.map(|(text, (logprob, ratio))| failed(text, logprob, ratio)).collect();
        let next = serde_json::json!({ "tokens": said(" next", 0, 100) });
        let results = [results, vec![next]].concat();
        let (requests, _, text, _) = walk_with_words(4000, &options, &results, &[]);
        assert_eq!(text, format!("{expected} next"));
        // However it was chosen, text of a window that was that hard is not shown to the next one.
        assert_eq!((requests.len(), requests[3].prompt.len()), (4, 0));
    }
    // What does not fail is taken, whatever was likelier before.
    let options = Options { keep_best_failed: true, temperatures: vec![0.0, 0.4], ..Options::default() };
    let results = [failed(" one", -0.1, 9.0), failed(" two", -0.9, 1.0)];
    let (_, _, text, _) = walk_with_words(1000, &options, &results, &[]);
    assert_eq!(text, " two");
}

#[test]
fn a_window_in_which_something_runs_in_circles_is_decoded_again() {
    let looping = [&[TS], &*[1485, 732].repeat(20), &[TS + 500]].concat();
    let options = Options { drop_loops: true, temperatures: vec![0.0, 0.4], ..Options::default() };
    let good = result(&[TS, 1485, TS + 500]);
    let (requests, segments, _) = walk(1000, &options, &[result(&looping), good]);
    assert_eq!((requests.len(), segments.len()), (2, 1));
}
