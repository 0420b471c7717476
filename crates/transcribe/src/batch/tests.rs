use std::sync::Mutex;

use boswell_model::{Checkpoint, Dims, LoadOptions, Task};

use super::*;
use crate::{AudioContext, Stages, Transcriber};

/// A small English-only network with random weights, on one thread.
fn model() -> Arc<Model> {
    model_on(1)
}

fn model_on(threads: usize) -> Arc<Model> {
    let dims = Dims {
        n_mels: 80,
        n_audio_ctx: 1500,
        n_audio_state: 64,
        n_audio_head: 1,
        n_audio_layer: 1,
        n_vocab: 51864,
        n_text_ctx: 448,
        n_text_state: 64,
        n_text_head: 1,
        n_text_layer: 2,
    };
    let options = LoadOptions { threads, ..LoadOptions::default() };
    Arc::new(Model::new(&Checkpoint::random("random", dims), &options).unwrap())
}

/// So many seconds of noise, different for each seed.
fn noise(seed: u64, seconds: usize) -> Spectrogram {
    let mut rng = fastrand::Rng::with_seed(seed);
    let waveform: Vec<f32> = (0..seconds * 16_000).map(|_| rng.f32() - 0.5).collect();
    Spectrogram::from_waveform(&waveform, 80).unwrap()
}

/// With the thresholds off: the model is random.
fn options() -> Options {
    Options {
        compression_ratio_threshold: None,
        logprob_threshold: None,
        no_speech_threshold: None,
        max_new_tokens: Some(12),
        ..Options::default()
    }
}

/// What recordings were told, by name, in order.
type Told = Arc<Mutex<Vec<(&'static str, String)>>>;

/// A recording that notes what it is told, and asks to stop at the event that `stops_at` describes.
fn recording(
    name: &'static str,
    spectrogram: Spectrogram,
    options: Options,
    urgency: Urgency,
    stops_at: &'static str,
    told: &Told,
) -> Recording {
    let (on_event, on_end) = (told.clone(), told.clone());
    Recording {
        spectrogram,
        options,
        urgency,
        on_event: Box::new(move |event| {
            let event = format!("{event:?}");
            let stops = !stops_at.is_empty() && event.starts_with(stops_at);
            on_event.lock().unwrap().push((name, event));
            if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }),
        on_end: Box::new(move |result| {
            let result = result.map_or_else(|error| format!("error: {error}"), |done| format!("{done:?}"));
            on_end.lock().unwrap().push((name, result));
        }),
    }
}

fn run(batch: &mut Batch) {
    for _ in 0..10_000 {
        if batch.n_recordings() == 0 {
            return;
        }
        batch.step();
    }
    panic!("the batch does not come to an end");
}

/// The last thing that a recording was told.
fn result(told: &Told, name: &str) -> String {
    let told = told.lock().unwrap();
    told.iter().rev().find(|(of, _)| *of == name).unwrap().1.clone()
}

#[test]
fn recordings_come_out_as_they_would_alone() {
    let alone = Transcriber::new(model());
    let in_parts = Options { batch_size: 3, ..options() };
    let with_words = Options { word_timestamps: true, ..options() };
    let drawn = Options { temperatures: vec![0.7], best_of: 3, ..options() };
    let cases = [
        ("long", 70, options()),
        ("in parts", 70, in_parts),
        ("short", 5, with_words),
        ("drawn", 8, drawn),
        ("empty", 0, options()),
    ];
    let told = Told::default();
    for (n_threads, n_windows) in [(1, 2), (1, 16), (2, 2), (2, 16), (3, 5)] {
        let mut batch = Batch::new(model_on(n_threads), n_windows);
        for (seed, (name, seconds, options)) in cases.iter().enumerate() {
            let spectrogram = noise(seed as u64, *seconds);
            batch.push(recording(name, spectrogram, options.clone(), Urgency::Waiting, "", &told));
        }
        run(&mut batch);
        for (seed, (name, seconds, options)) in cases.iter().enumerate() {
            let go_on = |_: Event<'_>| ControlFlow::Continue(());
            let alone = alone.transcribe(&noise(seed as u64, *seconds), options, go_on).unwrap();
            let among = format!("{name} among {n_windows} windows, {n_threads} threads");
            assert_eq!(result(&told, name), format!("{alone:?}"), "{among}");
        }
    }
}

#[test]
fn who_stops_leaves_at_once_and_the_others_go_on() {
    let told = Told::default();
    let mut batch = Batch::new(model(), 4);
    batch.push(recording("leaves", noise(1, 65), options(), Urgency::Waiting, "Step", &told));
    batch.push(recording("leaves later", noise(1, 65), options(), Urgency::Waiting, "Segment", &told));
    batch.push(recording("stays", noise(2, 5), options(), Urgency::Waiting, "", &told));
    batch.step();
    assert_eq!(batch.n_recordings(), 2);
    run(&mut batch);
    assert!(result(&told, "leaves").contains("segments: []"));
    assert!(result(&told, "leaves later").contains("segments: [Segment"));
    assert!(result(&told, "stays").contains("segments: [Segment"));
    let n_steps = told.lock().unwrap().iter().filter(|(name, _)| *name == "leaves").count();
    assert!(n_steps <= 3, "one event, the end of stages, the result");
}

#[test]
fn who_leaves_while_its_window_is_encoded_is_gone() {
    for n_threads in [1, 2] {
        let told = Told::default();
        let mut batch = Batch::new(model_on(n_threads), 4);
        let long = Options { max_new_tokens: Some(200), ..options() };
        batch.push(recording("stays", noise(2, 5), long, Urgency::Waiting, "", &told));
        batch.step();
        let mut n_steps = 0;
        let leaves = Recording {
            on_event: Box::new(move |event| {
                n_steps += usize::from(event == Event::Step);
                // At the first step it is begun, at the second its window is being encoded.
                if n_steps == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }),
            ..recording("leaves", noise(1, 65), options(), Urgency::Waiting, "", &told)
        };
        batch.push(leaves);
        batch.step();
        assert_eq!(batch.n_recordings(), 1, "{n_threads} threads");
        assert!(result(&told, "leaves").contains("segments: []"));
        run(&mut batch);
        assert!(result(&told, "stays").contains("segments: [Segment"));
    }
}

#[test]
fn what_one_asks_for_in_vain_is_told_to_it_alone() {
    let told = Told::default();
    let mut batch = Batch::new(model(), 4);
    let translate = Options { task: Task::Translate, ..options() };
    let impossible = Options { prefix: Some("word ".repeat(400)), max_new_tokens: None, ..options() };
    let no_temperatures = Options { temperatures: vec![], ..options() };
    batch.push(recording("translates", noise(1, 5), translate, Urgency::Waiting, "", &told));
    batch.push(recording("no temperatures", noise(1, 5), no_temperatures, Urgency::Waiting, "", &told));
    batch.push(recording("prefix", noise(1, 5), impossible, Urgency::Waiting, "", &told));
    batch.push(recording("fine", noise(2, 5), options(), Urgency::Waiting, "", &told));
    run(&mut batch);
    assert!(result(&told, "translates").contains("cannot translate"));
    assert!(result(&told, "no temperatures").contains("option temperatures"));
    assert!(result(&told, "fine").contains("segments: [Segment"));
    assert!(!result(&told, "prefix").is_empty());
}

#[test]
fn the_urgent_goes_first_and_the_rest_is_not_forgotten() {
    let told = Told::default();
    let mut batch = Batch::new(model(), 1);
    let many = |n| Options { max_new_tokens: Some(n), ..options() };
    batch.push(recording("background", noise(1, 29), many(30), Urgency::Background, "", &told));
    batch.push(recording("first", noise(2, 5), many(30), Urgency::Waiting, "", &told));
    batch.push(recording("second", noise(3, 5), many(30), Urgency::Waiting, "", &told));
    for _ in 0..5 {
        batch.step();
    }
    batch.push(recording("live", noise(4, 5), many(5), Urgency::Live, "", &told));
    run(&mut batch);
    let told = told.lock().unwrap();
    let ends = told.iter().filter(|(_, text)| text.starts_with("Transcript")).map(|(name, _)| *name);
    assert_eq!(ends.collect::<Vec<_>>(), ["live", "first", "second", "background"]);
}

#[test]
fn a_stopped_batch_tells_everybody() {
    let told = Told::default();
    let mut batch = Batch::new(model(), 1);
    batch.push(recording("begun", noise(1, 5), options(), Urgency::Waiting, "", &told));
    batch.push(recording("arrived", noise(1, 5), options(), Urgency::Waiting, "", &told));
    batch.step();
    batch.stop();
    assert_eq!(batch.n_recordings(), 0);
    assert!(result(&told, "begun").starts_with("Transcript"));
    assert!(result(&told, "arrived").starts_with("Transcript"));
}

#[test]
fn a_short_recording_is_seen_in_part_if_that_is_asked_for_and_a_long_one_never() {
    let transcriber = Transcriber::new(model());
    let found = |seconds: usize, audio_context: AudioContext| {
        let options = Options { audio_context, ..options() };
        transcriber.transcribe(&noise(3, seconds), &options, |_| ControlFlow::Continue(())).unwrap()
    };
    let (full, auto) = (AudioContext::Full, AudioContext::Auto);
    let shortened = found(4, auto);
    assert_ne!(shortened, found(4, full));
    assert_eq!(shortened, found(4, AudioContext::Rows(500)));
    assert_eq!(found(4, AudioContext::Rows(1500)), found(4, full));
    assert_eq!(
        found(4, AudioContext::Rows(1)),
        found(4, AudioContext::Rows(200)),
        "what is recorded is seen"
    );
    for seconds in [28, 31] {
        assert_eq!(found(seconds, auto), found(seconds, full), "{seconds} s");
    }
}

#[test]
fn a_short_window_that_fails_is_seen_whole() {
    let transcriber = Transcriber::new(model());
    let found = |audio_context: AudioContext| {
        let (temperatures, logprob_threshold) = (vec![0.0, 0.2], Some(0.0));
        let options = Options { audio_context, temperatures, logprob_threshold, ..options() };
        let mut stages = Stages::default();
        let transcript = transcriber.transcribe(&noise(3, 4), &options, |event| {
            if let Event::End(end) = event {
                stages = end;
            }
            ControlFlow::Continue(())
        });
        (transcript.unwrap(), stages.n_windows)
    };
    let ((whole, n_whole), (shortened, n_shortened)) = (found(AudioContext::Full), found(AudioContext::Auto));
    assert_eq!(shortened, whole);
    assert_eq!(n_shortened, 2 * n_whole, "each window is encoded twice");
}
