use boswell_audio::{N_SAMPLES, log_mel, pad_or_trim};
use boswell_model::Dims;

use super::*;
use crate::golden;
use crate::language::language_probabilities;
use crate::{DropReason, Word};

fn spectrogram(waveform: &[f32]) -> Spectrogram {
    Spectrogram::from_waveform(waveform, 80).unwrap()
}

fn go_on(_: Event<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The random model of `golden/model` that knows all languages, or the English-only one.
fn transcriber(file: &str) -> Transcriber {
    Transcriber::new(golden::models().find(|golden| golden.file == file).unwrap().model)
}

/// With the thresholds off: the model is random.
fn options() -> Options {
    Options {
        language: Some("en".to_owned()),
        compression_ratio_threshold: None,
        logprob_threshold: None,
        no_speech_threshold: None,
        max_new_tokens: Some(60),
        ..Options::default()
    }
}

fn check_words(name: &str, found: Option<&[Word]>, expected: Option<&[Word]>) {
    let (Some(found), Some(expected)) = (found, expected) else {
        return assert_eq!(found, expected, "{name}");
    };
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.word, expected.word, "{name}");
        let times = (found.start - expected.start).abs().max((found.end - expected.end).abs());
        assert!(times < 1e-4, "{name}: {found:?}, expected {expected:?}");
        assert!(
            (found.probability - expected.probability).abs() < 1e-4,
            "{name}: {found:?}, expected {expected:?}"
        );
    }
}

fn check_segment(name: &str, found: &Segment, expected: &Segment) {
    let near = |found: f64, expected: f64, tolerance: f64| (found - expected).abs() <= tolerance;
    assert_eq!((found.id, found.seek), (expected.id, expected.seek), "{name}");
    assert_eq!(found.tokens, expected.tokens, "{name}");
    assert_eq!(found.text, expected.text, "{name}");
    check_words(name, found.words.as_deref(), expected.words.as_deref());
    assert_eq!(found.temperature, expected.temperature, "{name}");
    assert!(
        near(found.start, expected.start, 1e-4) && near(found.end, expected.end, 1e-4),
        "{name}: {found:?}"
    );
    assert!(near(found.avg_logprob, expected.avg_logprob, 1e-4), "{name}: {found:?}");
    assert!(
        near(found.no_speech_prob, expected.no_speech_prob, 1e-3 * expected.no_speech_prob),
        "{name}: {found:?}"
    );
    let tolerance = 0.05 * expected.compression_ratio;
    assert!(near(found.compression_ratio, expected.compression_ratio, tolerance), "{name}: {found:?}");
}

#[test]
#[ignore = "needs ../shared"]
fn whole_transcripts_are_those_of_the_reference() {
    let spectrogram = spectrogram(&golden::waveform("audio/silero_test.wav"));
    let mut n_cases = 0;
    for golden in golden::models() {
        let Some(cases) = golden.outputs.get("transcribe") else { continue };
        for (name, case) in cases.as_object().unwrap() {
            let name = format!("{}, {name}", golden.file);
            let options = golden::options(&case["options"], golden.model.tokenizer());
            let mut told = Vec::new();
            let found = Transcriber::new(golden.model.clone())
                .transcribe(&spectrogram, &options, |event| {
                    if let Event::Segment(segment) = event {
                        told.push(segment.clone());
                    }
                    ControlFlow::Continue(())
                })
                .unwrap();
            assert_eq!(found.text, case["text"].as_str().unwrap(), "{name}");
            assert_eq!(found.language, case["language"].as_str().unwrap(), "{name}");
            let expected: Vec<Segment> = serde_json::from_value(case["segments"].clone()).unwrap();
            assert_eq!(found.segments.len(), expected.len(), "{name}");
            for (found, expected) in found.segments.iter().zip(&expected) {
                check_segment(&name, found, expected);
            }
            assert_eq!(told, found.segments, "{name}: what is told is what is returned");
            n_cases += 1;
        }
    }
    assert!(n_cases > 0);
}

#[test]
#[ignore = "needs ../shared"]
fn language_probabilities_are_those_of_the_reference() {
    for golden in golden::models() {
        let (model, expected) = (&golden.model, golden.outputs["language_probs"].as_object().unwrap());
        let waveform = pad_or_trim(&golden::waveform("jfk.wav"), N_SAMPLES);
        let mut row = model.start(&model.encode(log_mel(&waveform, 80).unwrap().values()));
        let found = language_probabilities(model, &mut row, &mut boswell_model::Scratch::default());
        assert_eq!(found.len(), expected.len(), "{}", golden.file);
        for LanguageProbability { code, probability } in &found {
            let expected = expected[*code].as_f64().unwrap();
            assert!(
                (f64::from(*probability) - expected).abs() < 1e-5,
                "{}: {code} {probability}",
                golden.file
            );
        }
        assert!(found.is_sorted_by(|a, b| a.probability >= b.probability));
    }
}

#[test]
#[ignore = "needs ../shared"]
fn only_languages_that_may_be_spoken_are_detected() {
    let transcriber = transcriber("tiny.openai.safetensors");
    let spectrogram = spectrogram(&golden::waveform("jfk.wav"));
    let detected = transcriber.detect_language(&spectrogram).unwrap();
    let codes: Vec<&str> = detected.iter().map(|language| language.code).collect();
    for (among, expected) in [(&codes[3..5], codes[3]), (&["xx"][..], codes[0]), (&[], codes[0])] {
        let among_languages = among.iter().map(|&code| code.to_owned()).collect();
        let options = Options { language: None, among_languages, max_new_tokens: Some(1), ..options() };
        let transcript = transcriber.transcribe(&spectrogram, &options, go_on).unwrap();
        assert_eq!(transcript.language, expected, "among {among:?}");
    }
}

#[test]
#[ignore = "needs ../shared"]
fn logprobs_are_those_of_the_text() {
    let transcriber = transcriber("tiny.openai.safetensors");
    let spectrogram = spectrogram(&golden::waveform("jfk.wav"));
    let eot = transcriber.model().tokenizer().special().eot;
    for beam_size in [1, 3] {
        let told = Options { beam_size, token_logprobs: true, ..options() };
        let transcript = transcriber.transcribe(&spectrogram, &told, go_on).unwrap();
        let silent = Options { token_logprobs: false, ..told };
        let without = transcriber.transcribe(&spectrogram, &silent, go_on).unwrap();
        assert_eq!(without.text, transcript.text);
        assert!(without.segments.iter().all(|segment| segment.logprobs.is_none()));
        for segment in transcript.segments.iter().filter(|segment| !segment.tokens.is_empty()) {
            let logprobs = segment.logprobs.as_ref().unwrap();
            let n_text = segment.tokens.iter().filter(|&&token| token < eot).count();
            assert_eq!(logprobs.len(), n_text);
            assert!(logprobs.iter().all(|token| token.logprob <= 0.0 && !token.bytes.is_empty()));
        }
    }
}

#[test]
#[ignore = "needs ../shared"]
fn silence_follows_a_recording_that_is_listened_to_for_its_language() {
    // The reference pads the 11 s to 30 s; filled with zeros as windows to decode are, another language comes out.
    let transcriber = transcriber("tiny.openai.safetensors");
    let detected = transcriber.detect_language(&spectrogram(&golden::waveform("jfk.wav"))).unwrap();
    let outputs = golden::json("model/tiny_outputs.json");
    for LanguageProbability { code, probability } in detected {
        let expected = outputs["language_probs"][code].as_f64().unwrap();
        assert!(
            (f64::from(probability) - expected).abs() < 1e-5,
            "{code} {probability}, expected {expected}"
        );
    }
}

#[test]
#[ignore = "needs ../shared"]
fn the_language_is_detected_unless_it_is_given() {
    let transcriber = transcriber("tiny.openai.safetensors");
    let spectrogram = spectrogram(&golden::waveform("jfk.wav"));
    let detected = transcriber.detect_language(&spectrogram).unwrap()[0];
    let mut told = None;
    let options = Options { language: None, ..options() };
    let transcript = transcriber.transcribe(&spectrogram, &options, |event| match event {
        Event::Language { code, probability } => {
            told = Some((code.to_owned(), probability));
            ControlFlow::Break(())
        }
        Event::End(_) => ControlFlow::Continue(()),
        _ => panic!("nothing but the end comes after the language if that stops the work"),
    });
    assert_eq!(told, Some((detected.code.to_owned(), Some(detected.probability))));
    assert_eq!(
        transcript.unwrap(),
        Transcript { language: detected.code.to_owned(), ..Transcript::default() }
    );

    let options = Options { language: Some("German".to_owned()), ..options };
    assert_eq!(transcriber.transcribe(&spectrogram, &options, go_on).unwrap().language, "de");
    let options = Options { language: Some("Klingon".to_owned()), ..options };
    let error = transcriber.transcribe(&spectrogram, &options, go_on).unwrap_err();
    assert_eq!(error.to_string(), "the language is `Klingon`, expected one of the model's 99 languages");
}

#[test]
#[ignore = "needs ../shared"]
fn an_english_model_writes_english_and_translates_nothing() {
    let transcriber = transcriber("micro.pt");
    let spectrogram = spectrogram(&golden::waveform("jfk.wav"));
    assert_eq!(transcriber.detect_language(&spectrogram).unwrap(), []);
    let options = Options { language: Some("de".to_owned()), ..options() };
    assert_eq!(transcriber.transcribe(&spectrogram, &options, go_on).unwrap().language, "en");
    let options = Options { task: Task::Translate, ..options };
    let error = transcriber.transcribe(&spectrogram, &options, go_on).unwrap_err();
    assert_eq!(error.to_string(), "this model cannot translate: it is English only");
}

#[test]
#[ignore = "needs ../shared"]
fn what_was_found_before_a_stop_is_kept() {
    let transcriber = transcriber("tiny.openai.safetensors");
    let spectrogram = spectrogram(&golden::waveform("audio/silero_test.wav"));
    let all = transcriber.transcribe(&spectrogram, &options(), go_on).unwrap();
    assert!(all.segments.len() > 1);

    let mut told = Vec::new();
    let stopped = transcriber.transcribe(&spectrogram, &options(), |event| match event {
        Event::Segment(segment) => {
            told.push(segment.clone());
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    let stopped = stopped.unwrap();
    assert_eq!(stopped.segments, told);
    assert_eq!(stopped.segments, all.segments[..told.len()]);
    assert!(!stopped.text.is_empty() && all.text.starts_with(&stopped.text) && stopped.text != all.text);

    let mut n_steps = 0;
    let stopped = transcriber.transcribe(&spectrogram, &options(), |event| match event {
        Event::Step => {
            n_steps += 1;
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    assert_eq!((stopped.unwrap().segments, n_steps), (vec![], 1), "a stop takes no longer than a step");
}

#[test]
#[ignore = "needs ../shared"]
fn a_window_that_fails_is_decoded_again_at_the_next_temperature() {
    let transcriber = transcriber("tiny.openai.safetensors");
    let spectrogram = spectrogram(&golden::waveform("jfk.wav"));
    let impossible = Options { temperatures: vec![0.0, 0.2, 0.4], logprob_threshold: Some(0.0), ..options() };
    let transcript = transcriber.transcribe(&spectrogram, &impossible, go_on).unwrap();
    assert!(transcript.segments.iter().all(|segment| segment.temperature == 0.4));
    assert_eq!(
        transcript,
        transcriber.transcribe(&spectrogram, &impossible, go_on).unwrap(),
        "the same draws"
    );
    let other = Options { seed: 1, ..impossible };
    assert_ne!(transcript.text, transcriber.transcribe(&spectrogram, &other, go_on).unwrap().text);
}

#[test]
#[ignore = "needs ../shared"]
fn recordings_of_any_length_have_a_transcript() {
    let transcriber = transcriber("micro.ggml.bin");
    let waveform = golden::waveform("jfk.wav");
    let nothing = transcriber.transcribe(&spectrogram(&[]), &options(), go_on).unwrap();
    assert_eq!(nothing, Transcript { language: "en".to_owned(), ..Transcript::default() });
    for n_samples in [1, 159, 160, 161, 8000] {
        let (mut last_s, mut n_windows) = (0.0, 0);
        let spectrogram = spectrogram(&waveform[..n_samples]);
        let transcript = transcriber.transcribe(&spectrogram, &options(), |event| {
            if let Event::Progress { done_s, total_s } = event {
                assert!((0.0..=total_s).contains(&done_s));
                (last_s, n_windows) = (done_s, n_windows + 1);
            }
            ControlFlow::Continue(())
        });
        let n_frames = n_samples / 160;
        assert_eq!(n_windows, n_frames.min(1), "{n_samples} samples");
        assert_eq!(transcript.unwrap().segments.is_empty(), n_frames == 0, "{n_samples} samples");
        assert_eq!(last_s, n_frames as f64 / 100.0, "{n_samples} samples");
    }
}

#[test]
fn models_that_cannot_translate_are_known_by_their_shape() {
    let large = Dims {
        n_mels: 128,
        n_audio_ctx: 1500,
        n_audio_state: 1280,
        n_audio_head: 20,
        n_audio_layer: 32,
        n_vocab: 51866,
        n_text_ctx: 448,
        n_text_state: 1280,
        n_text_head: 20,
        n_text_layer: 32,
    };
    let turbo = Dims { n_text_layer: 4, ..large };
    let english = Dims { n_vocab: 51864, n_audio_layer: 4, n_text_layer: 4, ..large };
    let tiny = Dims { n_vocab: 51865, ..english };
    for (dims, expected) in [
        (large, None),
        (tiny, None),
        (turbo, Some("this model cannot translate: turbo models were trained to transcribe only")),
        (english, Some("this model cannot translate: it is English only")),
    ] {
        let found = check_translates(&dims).err().map(|error| error.to_string());
        assert_eq!(found.as_deref(), expected, "{dims:?}");
    }
}

#[test]
#[ignore = "needs ../shared"]
fn parts_give_the_same_text_together_as_one_by_one() {
    let spectrogram = spectrogram(&golden::waveform("audio/silero_test.wav"));
    for file in ["tiny.openai.safetensors", "micro.pt"] {
        let transcriber = transcriber(file);
        // Clips of unequal length, so that lanes end and begin at different times; one is empty.
        let clips = vec![0.0, 7.0, 7.0, 30.5, 31.0, 31.0, 31.0, 44.0, 44.0, 48.0, 50.0, 60.0];
        let options =
            Options { clip_timestamps: clips.clone(), condition_on_previous_text: false, ..options() };
        let alone = transcriber.transcribe(&spectrogram, &options, go_on).unwrap();
        assert!(alone.segments.len() > 5);
        for batch_size in [2, 3, 8] {
            let mut told = Vec::new();
            let mut progress = vec![0.0];
            let options = Options { batch_size, ..options.clone() };
            let together = transcriber.transcribe(&spectrogram, &options, |event| {
                match event {
                    Event::Segment(segment) => told.push(segment.clone()),
                    Event::Progress { done_s, total_s } => {
                        assert!((total_s - 57.5).abs() < 1e-9);
                        progress.push(done_s);
                    }
                    _ => {}
                }
                ControlFlow::Continue(())
            });
            let together = together.unwrap();
            assert_eq!(together.text, alone.text, "{file}, {batch_size} together");
            assert_eq!(told, together.segments);
            assert!(progress.is_sorted() && progress.ends_with(&[57.5]), "{progress:?}");
            for (found, expected) in together.segments.iter().zip(&alone.segments) {
                check_segment(&format!("{file}, {batch_size} together"), found, expected);
            }
        }
    }
}

#[test]
#[ignore = "needs ../shared"]
fn a_batch_that_is_stopped_keeps_what_is_told() {
    let spectrogram = spectrogram(&golden::waveform("audio/silero_test.wav"));
    let options = Options { batch_size: 3, ..options() };
    let mut n_told = 0;
    let transcript = transcriber("tiny.openai.safetensors")
        .transcribe(&spectrogram, &options, |event| {
            n_told += usize::from(matches!(event, Event::Segment(_)));
            if n_told > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!(transcript.segments.len(), n_told);
    assert!(n_told > 0 && !transcript.text.is_empty());
}

#[test]
#[ignore = "needs ../shared"]
fn words_have_their_times_in_batches_and_in_beams_too() {
    let spectrogram = spectrogram(&golden::waveform("audio/silero_test.wav"));
    let transcriber = transcriber("tiny.openai.safetensors");
    for (batch_size, beam_size, silence_s) in [(1, 1, None), (3, 1, None), (4, 3, None), (3, 1, Some(2.0))] {
        let options = Options {
            batch_size,
            beam_size,
            word_timestamps: true,
            hallucination_silence_threshold: silence_s,
            ..options()
        };
        let transcript = transcriber.transcribe(&spectrogram, &options, go_on).unwrap();
        let mut n_words = 0;
        for segment in &transcript.segments {
            let words = segment.words.as_deref().unwrap();
            assert_eq!(words.iter().map(|word| word.word.as_str()).collect::<String>(), segment.text);
            for word in words {
                assert!((0.0..=60.0).contains(&word.start) && word.start <= word.end, "{word:?}");
                assert!((0.0..=1.0).contains(&word.probability), "{word:?}");
            }
            n_words += words.len();
        }
        assert!(n_words > 10 || silence_s.is_some(), "{n_words} words in batches of {batch_size}");
        assert!(transcript.dropped.iter().all(|dropped| dropped.reason == DropReason::Silence));
        assert_eq!(
            transcript.dropped.is_empty(),
            silence_s.is_none(),
            "odd words are dropped if that is asked for"
        );
    }
}
