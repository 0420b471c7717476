use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::AudioReader;
use crate::golden::{self, max_difference};

fn listen<'a>(pieces: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
    let (mut activity, mut probabilities) = (VoiceActivity::default(), Vec::new());
    pieces.for_each(|piece| activity.push(piece, &mut probabilities));
    activity.finish(&mut probabilities);
    probabilities
}

/// Chunks of speech (`#`), silence (`.`) and of what is neither (`?`).
fn spans(chunks: &str, options: &VadOptions) -> Vec<Range<u64>> {
    let probability = |c| match c {
        '#' => 0.9,
        '?' => 0.4,
        _ => 0.1,
    };
    let probabilities: Vec<f32> = chunks.chars().map(probability).collect();
    let spans = speech_spans(&probabilities, (probabilities.len() * VAD_CHUNK) as u64, options);
    spans.iter().map(|span| span.start / 512..span.end.div_ceil(512)).collect()
}

#[test]
#[allow(clippy::single_range_in_vec_init, reason = "one span is what is found")]
fn speech_begins_ends_and_is_joined_by_its_rules() {
    let plain = VadOptions { min_silence_duration_ms: 100, speech_pad_ms: 0, ..VadOptions::default() };
    let cases: &[(&str, &VadOptions, &[Range<u64>])] = &[
        ("", &plain, &[]),
        ("......", &plain, &[]),
        ("..??..", &plain, &[]),
        ("..##??#....", &plain, &[2..7]),
        ("..##..##....", &plain, &[2..8]),
        ("..##......##", &plain, &[2..4, 10..12]),
        ("..#.....####.....", &VadOptions { min_speech_duration_ms: 50, ..plain.clone() }, &[8..12]),
        ("..##......##......", &VadOptions { speech_pad_ms: 64, ..plain.clone() }, &[0..6, 8..14]),
        ("..##.....##......", &VadOptions { speech_pad_ms: 96, ..plain.clone() }, &[0..7, 6..14]),
        ("..#?#?.....", &VadOptions { threshold: 0.3, neg_threshold: Some(0.2), ..plain.clone() }, &[2..6]),
        (
            "..#?#.....",
            &VadOptions { neg_threshold: Some(0.45), min_silence_duration_ms: 0, ..plain },
            &[2..3, 4..5],
        ),
    ];
    for (chunks, options, expected) in cases {
        assert_eq!(spans(chunks, options), *expected, "{chunks} {options:?}");
    }
}

#[test]
fn speech_that_is_too_long_is_cut_at_its_last_pause() {
    let options = VadOptions { speech_pad_ms: 0, max_speech_duration_s: Some(0.5), ..VadOptions::default() };
    assert_eq!(spans("########.....##########", &options), [0..8, 13..23]);
    assert_eq!(spans("########..####################", &options), [0..15, 16..30]);
}

#[test]
fn probabilities_do_not_depend_on_the_pieces() {
    let waveform: Vec<f32> = (0..40_000).map(|i| (i as f32 * 0.02).sin() * (i as f32 * 1e-3).sin()).collect();
    let whole = listen(std::iter::once(waveform.as_slice()));
    assert_eq!(whole.len(), waveform.len().div_ceil(VAD_CHUNK));
    for size in [1, 511, 512, 513, 7000] {
        let found = listen(waveform.chunks(size));
        assert!(max_difference(&found, &whole) < 1e-5, "{size}");
    }
}

#[test]
fn silence_is_no_speech_and_costs_no_memory() {
    let (mut activity, mut probabilities) = (VoiceActivity::default(), Vec::new());
    for _ in 0..60 {
        activity.push(&[0.0; 16_000], &mut probabilities);
        assert!(activity.pending.len() < CONTEXT + VAD_CHUNK);
    }
    assert!(probabilities.iter().all(|probability| *probability < 0.1));
}

proptest! {
    #[test]
    fn spans_are_in_order_and_within_the_recording(
        probabilities in prop::collection::vec(0.0_f32..1.0, 0..400),
        cut in 0_u64..512,
        (threshold, min_silence_duration_ms, speech_pad_ms) in (0.0..1.0, 0_u32..1000, 0_u32..1000),
        (min_speech_duration_ms, limit_s) in (0_u32..500, prop::option::of(0.0..10.0)),
    ) {
        let n_samples = (probabilities.len() as u64 * 512).saturating_sub(cut);
        let options = VadOptions {
            threshold,
            min_silence_duration_ms,
            speech_pad_ms,
            min_speech_duration_ms,
            max_speech_duration_s: limit_s,
            ..VadOptions::default()
        };
        let mut end = 0;
        for span in speech_spans(&probabilities, n_samples, &options) {
            prop_assert!(end <= span.start && span.start < span.end, "{span:?} after {end}");
            end = span.end;
        }
        prop_assert!(end <= n_samples);
    }
}

#[test]
#[ignore = "needs ../shared"]
fn probabilities_and_state_are_those_of_silero() {
    let arrays = golden::arrays("golden/vad/probs.safetensors");
    for (name, file) in [("jfk", "assets/jfk.wav"), ("silero_test", "assets/audio/silero_test.wav")] {
        let waveform = golden::decode(&mut AudioReader::open(&golden::path(file)).unwrap()).unwrap();
        let (mut activity, mut found) = (VoiceActivity::default(), Vec::new());
        activity.push(&waveform, &mut found);
        let n_left = (VAD_CHUNK - waveform.len() % VAD_CHUNK) % VAD_CHUNK;
        activity.push(&[0.0; VAD_CHUNK][..n_left], &mut found);
        let difference = max_difference(&found, &arrays[&format!("{name}_probs")]);
        assert!(difference < 2e-5, "{name}: {difference}");
        let state = [activity.state.output, activity.state.cell].concat();
        let difference = max_difference(&state, &arrays[&format!("{name}_final_state")]);
        assert!(difference < 1e-4, "{name}: {difference}");
    }
}

#[test]
#[ignore = "needs ../shared"]
fn spans_are_those_of_faster_whisper() {
    let arrays = golden::arrays("golden/vad/probs.safetensors");
    let cases = golden::json("golden/vad/segments.json");
    let mut n_cases = 0;
    for (name, n_samples) in [("jfk", 176_000), ("silero_test", 960_000)] {
        for case in cases["recordings"][name].as_array().unwrap() {
            let number = |key: &str| case["options"][key].as_f64();
            let mut options = VadOptions::default();
            options.threshold = number("threshold").unwrap_or(options.threshold);
            options.max_speech_duration_s = number("max_speech_duration_s");
            for (key, option) in [
                ("min_speech_duration_ms", &mut options.min_speech_duration_ms),
                ("min_silence_duration_ms", &mut options.min_silence_duration_ms),
                ("speech_pad_ms", &mut options.speech_pad_ms),
            ] {
                *option = number(key).map_or(*option, |value| value as u32);
            }
            let found = speech_spans(&arrays[&format!("{name}_probs")], n_samples, &options);
            let found: Vec<[u64; 2]> = found.iter().map(|span| [span.start, span.end]).collect();
            assert_eq!(serde_json::json!(found), case["spans"], "{name} {options:?}");
            n_cases += 1;
        }
    }
    assert_eq!(n_cases, 12);
}
