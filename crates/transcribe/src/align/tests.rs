use boswell_audio::{N_SAMPLES, log_mel, pad_or_trim};
use serde_json::Value;

use super::*;
use crate::golden;

fn rows(value: &Value) -> Vec<Vec<f32>> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
#[ignore = "needs ../shared"]
fn ways_through_a_matrix_are_those_of_the_reference() {
    for case in golden::json("rules/words.json")["dtw"].as_array().unwrap() {
        let costs = rows(&case["cost"]);
        let found = warp::path(&Matrix { n_columns: costs[0].len(), values: costs.concat() });
        let expected = |name: &str| serde_json::from_value::<Vec<usize>>(case[name].clone()).unwrap();
        assert_eq!(found.rows, expected("text_indices"));
        assert_eq!(found.columns, expected("time_indices"));
    }
}

#[test]
#[ignore = "needs ../shared"]
fn medians_are_those_of_the_reference() {
    for case in golden::json("rules/words.json")["median_filter"].as_array().unwrap() {
        let width = case["width"].as_u64().unwrap() as usize;
        for (x, expected) in rows(&case["x"]).iter().zip(rows(&case["y"])) {
            let mut found = vec![0.0; x.len()];
            matrix::median_filter(x, width, &mut found);
            assert_eq!(found, expected, "{x:?}");
        }
    }
}

#[test]
fn a_path_begins_every_row_once_and_never_goes_back() {
    for seed in 0..50 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (n_rows, n_columns) = (rng.usize(1..9), rng.usize(1..30));
        let values = (0..n_rows * n_columns).map(|_| rng.f32()).collect();
        let path = warp::path(&Matrix { n_columns, values });
        assert!(path.rows.is_sorted() && path.columns.is_sorted());
        assert_eq!((path.rows[0], path.columns[0]), (0, 0));
        assert_eq!((path.rows.last(), path.columns.last()), (Some(&(n_rows - 1)), Some(&(n_columns - 1))));
        assert_eq!(path.first_columns().count(), n_rows);
    }
}

#[test]
#[ignore = "needs ../shared"]
fn alignments_are_those_of_the_reference() {
    for golden in golden::models() {
        let (model, expected) = (golden.model.as_ref(), &golden.outputs["words"]);
        let options = Options::default();
        let mut aligner = Aligner::new(model, "en", &options).unwrap();
        let waveform = pad_or_trim(&golden::waveform("jfk.wav"), N_SAMPLES);
        let mut row = model.start(&model.encode(log_mel(&waveform, model.dims().n_mels).unwrap().values()));
        let text = model.tokenizer().encode(expected["text"].as_str().unwrap());
        let n_frames = expected["num_frames"].as_u64().unwrap() as usize;
        let heads: Vec<(usize, usize)> = serde_json::from_value(expected["alignment_heads"].clone()).unwrap();
        assert_eq!(model.generation().alignment_heads, heads, "{}", golden.file);

        let found = aligner.align(&mut row, n_frames, &text);
        let words = expected["words"].as_array().unwrap();
        assert_eq!(found.len(), words.len(), "{}", golden.file);
        for (found, expected) in found.iter().zip(words) {
            let number = |name: &str| expected[name].as_f64().unwrap();
            assert_eq!(found.word, expected["word"].as_str().unwrap(), "{}", golden.file);
            assert_eq!(
                (found.start, found.end),
                (number("start"), number("end")),
                "{}: {found:?}",
                golden.file
            );
            assert!((found.probability - number("probability")).abs() < 1e-5, "{}: {found:?}", golden.file);
        }

        let mut segments = [Segment { end: n_frames as f64 / 100.0, tokens: text, ..Segment::default() }];
        let request =
            WindowRequest { seek: 0, n_frames, is_again: false, temperature: 0.0, prompt: Vec::new() };
        aligner.add_words(&mut row, &request, &mut segments, 0.0);
        let [segment] = segments;
        for (found, expected) in
            segment.words.unwrap().iter().zip(expected["segment_words"].as_array().unwrap())
        {
            let number = |name: &str| expected[name].as_f64().unwrap();
            assert_eq!(found.word, expected["word"].as_str().unwrap(), "{}", golden.file);
            let error_s = (found.start - number("start")).abs().max((found.end - number("end")).abs());
            assert!(error_s < 1e-6, "{}: {found:?}, expected {expected}", golden.file);
        }
        assert_eq!(segment.start, expected["segment_start"].as_f64().unwrap());
        assert_eq!(segment.end, expected["segment_end"].as_f64().unwrap());
    }
}

#[test]
fn text_stays_between_its_timestamps() {
    const TS: u32 = 1000;
    // A word alone, two words of which attention puts the border somewhere, and what the window's end cuts off.
    let said = [TS + 50, 1, TS + 60, TS + 100, 2, 3, TS + 150, TS + 200, 4, 5];
    let mut times = [0.3, 0.5, 0.9, 1.3, 1.4, 2.5, 2.6, 3.9, 3.0, 4.5, 4.6];
    anchor(&said, TS, &mut times);
    assert_eq!(times, [1.0, 1.0, 1.2, 2.0, 2.0, 2.5, 3.0, 4.0, 4.0, 4.5, 4.6]);
}

#[test]
#[ignore = "needs ../shared"]
fn a_model_that_wants_its_timestamps_is_shown_them() {
    let model = golden::model_that(&[("align_with_timestamps", true.into())]);
    let begin = model.tokenizer().special().timestamp_begin;
    let options = Options::default();
    let mut aligner = Aligner::new(&model, "en", &options).unwrap();
    let mut row = model.start(&model.encode(&vec![0.0; 80 * 3000]));
    let text = model.tokenizer().encode(" and so my");
    let [first, second, third] = text.as_slice() else { panic!("{text:?}") };
    let tokens = vec![begin + 10, *first, begin + 20, begin + 30, *second, *third, begin + 90];
    let request =
        WindowRequest { seek: 100, n_frames: 2000, is_again: false, temperature: 0.0, prompt: Vec::new() };
    let mut segments = [Segment { seek: 100, start: 1.2, end: 2.8, tokens, ..Segment::default() }];
    aligner.add_words(&mut row, &request, &mut segments, 1.0);
    let words = segments[0].words.as_deref().unwrap();
    let found: Vec<&str> = words.iter().map(|word| word.word.as_str()).collect();
    assert_eq!(found, [" and", " so", " my"]);
    assert_eq!((words[0].start, words[0].end), (1.2, 1.4));
    assert_eq!((words[1].start, words[2].end), (1.6, 2.8));
    assert!(words[1].end == words[2].start && words.iter().all(|word| word.probability > 0.0));
}

#[test]
#[ignore = "needs ../shared"]
fn matrices_are_those_of_the_reference() {
    for golden in golden::models() {
        let (model, expected) = (golden.model.as_ref(), &golden.outputs["words"]);
        let name = golden.file.split('.').next().unwrap();
        let (shape, values) = golden::tensor(&format!("model/{name}_outputs.safetensors"), "matrix");
        let options = Options::default();
        let waveform = pad_or_trim(&golden::waveform("jfk.wav"), N_SAMPLES);
        let mut row = model.start(&model.encode(log_mel(&waveform, model.dims().n_mels).unwrap().values()));
        let text = model.tokenizer().encode(expected["text"].as_str().unwrap());
        let n_frames = expected["num_frames"].as_u64().unwrap() as usize;
        let found = Aligner::new(model, "en", &options).unwrap().feed(&mut row, n_frames, &text).matrix;
        assert_eq!((found.values.len(), found.n_columns), (shape[0] * shape[1], shape[1]), "{}", golden.file);
        let worst = found.values.iter().zip(&values).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(worst < 5e-3, "{}: max error {worst:e}", golden.file);
    }
}

#[test]
#[ignore = "needs ../shared"]
fn text_of_any_length_has_times() {
    let model = golden::models().next().unwrap().model;
    let options = Options::default();
    let mut aligner = Aligner::new(&model, "en", &options).unwrap();
    let mut row = model.start(&model.encode(&vec![0.0; 80 * 3000]));
    for (n_tokens, n_frames) in [(0, 3000), (1, 1), (1, 3000), (444, 7), (600, 3000)] {
        let text: Vec<u32> = (0..n_tokens).map(|i| 1000 + i % 500).collect();
        let words = aligner.align(&mut row, n_frames, &text);
        assert_eq!(words.iter().map(|word| word.n_tokens).sum::<usize>(), text.len());
        let times: Vec<f64> = words.iter().flat_map(|word| [word.start, word.end]).collect();
        assert!(times.is_sorted() && times.iter().all(|time| (-0.02..=30.0).contains(time)), "{times:?}");
        assert!(words.iter().all(|word| (0.0..=1.0).contains(&word.probability)));
    }
}
