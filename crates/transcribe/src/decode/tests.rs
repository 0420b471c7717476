use boswell_audio::{N_SAMPLES, log_mel, pad_or_trim};
use boswell_model::AudioFeatures;
use serde_json::Value;

use super::*;
use crate::golden::{self, GoldenModel};

#[test]
fn the_last_tokens_are_those_that_python_takes() {
    let tokens = [1, 2, 3, 4];
    for (n, expected) in [(2, &[3, 4][..]), (9, &tokens), (0, &tokens), (-1, &[2, 3, 4]), (-9, &[])] {
        assert_eq!(last(&tokens, n), expected, "n = {n}");
    }
}

const DIMS: Dims = Dims {
    n_mels: 80,
    n_audio_ctx: 1500,
    n_audio_state: 64,
    n_audio_head: 2,
    n_audio_layer: 2,
    n_vocab: 51865,
    n_text_ctx: 448,
    n_text_state: 64,
    n_text_head: 2,
    n_text_layer: 2,
};

fn plan(options: &Options) -> Plan {
    Plan::new(golden::tokenizer(DIMS.n_vocab), &DIMS, "de", options).unwrap()
}

#[test]
fn a_decode_starts_with_the_end_of_the_prompt_and_the_prefix() {
    const SOT: [u32; 3] = [50258, 50261, 50359];
    let prompt: Vec<u32> = (0..300).collect();
    let tokens = plan(&Options::default()).initial_tokens(&prompt).unwrap();
    assert_eq!(tokens, [&[50361], &prompt[300 - 223..], &SOT[..]].concat());
    assert_eq!(plan(&Options::default()).initial_tokens(&[]).unwrap(), SOT);

    let prefix = Some("  And so ".to_owned());
    for (max_new_tokens, expected) in [(None, &[400, 370][..]), (Some(223), &[370]), (Some(225), &[370])] {
        let options = Options {
            prefix: prefix.clone(),
            max_new_tokens,
            without_timestamps: true,
            ..Options::default()
        };
        let tokens = plan(&options).initial_tokens(&[]).unwrap();
        assert_eq!(tokens, [&SOT[..], &[50363], expected].concat(), "{max_new_tokens:?} new tokens");
    }
}

#[test]
fn a_start_that_does_not_fit_is_refused() {
    let options = Options { prefix: Some("word ".repeat(230)), ..Options::default() };
    let error = plan(&options).initial_tokens(&(0..300).collect::<Vec<u32>>()).unwrap_err();
    assert_eq!(error.to_string(), "prompt, start tokens and prefix are 457 tokens, expected at most 448");
}

#[test]
fn a_hypothesis_ends_at_its_end_token_and_at_its_limits() {
    let n_vocab = DIMS.n_vocab;
    let options = Options { max_new_tokens: Some(3), without_timestamps: true, ..Options::default() };
    let hypothesis =
        |options: &Options, prompt: &[u32]| Hypothesis::new(Arc::new(plan(options)), prompt, 0.0, 0).unwrap();
    let logits_for = |id: usize| {
        let mut logits = vec![0.0; n_vocab];
        logits[id] = 9.0;
        logits
    };

    let mut ended = hypothesis(&options, &[]);
    ended.feed(&mut logits_for(1000));
    assert!(!ended.finished);
    ended.feed(&mut logits_for(50257));
    assert!(ended.finished);
    assert_eq!(ended.tokens[ended.sample_begin..], [1000]);
    let expected = 2.0 * (9.0 - (n_vocab as f32 + 9f32.exp()).ln());
    assert!((ended.sum_logprob - expected).abs() < 0.01, "{} is near {expected}", ended.sum_logprob);

    let mut long = hypothesis(&options, &[]);
    (0..3).for_each(|_| long.feed(&mut logits_for(1000)));
    assert!(long.finished, "after as many tokens as were asked for");

    let options = Options { prefix: Some("word ".repeat(215)), ..options };
    let options = Options { max_new_tokens: Some(9), ..options };
    let mut full = hypothesis(&options, &(0..300).collect::<Vec<u32>>());
    let room = DIMS.n_text_ctx - full.sample_begin;
    assert!(room < 8, "the prompt leaves room for {room} tokens");
    while !full.finished {
        full.feed(&mut logits_for(1000));
    }
    assert_eq!(full.tokens.len(), DIMS.n_text_ctx + 1, "the last token is not fed any more");

    let mut broken = hypothesis(&options, &[]);
    broken.feed(&mut vec![f32::NAN; n_vocab]);
    assert!(broken.finished, "a model that computes nothing sensible ends");
}

fn features(model: &Model) -> AudioFeatures {
    let waveform = pad_or_trim(&golden::waveform("jfk.wav"), N_SAMPLES);
    model.encode(log_mel(&waveform, model.dims().n_mels).unwrap().values())
}

/// The greedy decodes of a model's outputs: name, case, and a row to start with.
fn greedy_rows<'a>(
    golden: &'a GoldenModel,
    features: &AudioFeatures,
) -> Vec<(&'a str, &'a Value, DecodeRow)> {
    let (model, tokenizer) = (&golden.model, golden.model.tokenizer());
    let cases = golden.outputs["decode"].as_object().unwrap();
    let greedy = cases.iter().filter(|(_, case)| case["options"].get("beam_size").is_none());
    greedy
        .map(|(name, case)| {
            let options = golden::options(&case["options"], tokenizer);
            let plan = Plan::new(tokenizer, model.dims(), "en", &options).unwrap();
            let prompt = case["options"].get("prompt").map_or_else(Vec::new, golden::ids);
            let hypothesis = Hypothesis::new(Arc::new(plan), &prompt, 0.0, 0).unwrap();
            assert_eq!(hypothesis.tokens, golden::ids(&case["initial_tokens"]), "{}, {name}", golden.file);
            (name.as_str(), case, DecodeRow::new(hypothesis, model.start(features)))
        })
        .collect()
}

fn check(name: &str, case: &Value, decoded: &Decoded, tokenizer: &Tokenizer) {
    let number = |name: &str| case[name].as_f64().unwrap();
    assert_eq!(decoded.tokens, golden::ids(&case["tokens"]), "{name}");
    assert_eq!(strip(&tokenizer.decode(&decoded.tokens)), case["text"].as_str().unwrap(), "{name}");
    let near = |found: f64, expected: f64, tolerance: f64| (found - expected).abs() <= tolerance;
    assert!(
        near(decoded.avg_logprob, number("avg_logprob"), 1e-4),
        "{name}: avg_logprob {}",
        decoded.avg_logprob
    );
    let expected = number("no_speech_prob");
    assert!(
        near(decoded.no_speech_prob, expected, 1e-3 * expected),
        "{name}: no_speech {}",
        decoded.no_speech_prob
    );
    let expected = number("compression_ratio");
    assert!(
        near(decoded.compression_ratio, expected, 0.05 * expected),
        "{name}: {}",
        decoded.compression_ratio
    );
}

#[test]
#[ignore = "needs ../shared"]
fn greedy_decodes_are_those_of_the_reference() {
    for golden in golden::models() {
        let model = &golden.model;
        let mut scratch = Scratch::default();
        for (name, case, row) in greedy_rows(&golden, &features(model)) {
            let mut rows = [row];
            while !rows[0].is_finished() {
                step(model, &mut rows.iter_mut().collect::<Vec<_>>(), &mut scratch);
            }
            let decoded = rows[0].decoded(model.tokenizer());
            check(&format!("{}, {name}", golden.file), case, &decoded, model.tokenizer());
        }
    }
}

#[test]
#[ignore = "needs ../shared"]
fn rows_that_decode_together_find_what_they_find_alone() {
    for golden in golden::models() {
        let model = &golden.model;
        let cases = greedy_rows(&golden, &features(model));
        let (cases, mut rows): (Vec<_>, Vec<_>) =
            cases.into_iter().map(|(name, case, row)| ((name, case), row)).unzip();
        let mut scratch = Scratch::default();
        while !rows.iter().all(DecodeRow::is_finished) {
            step(model, &mut rows.iter_mut().collect::<Vec<_>>(), &mut scratch);
        }
        for ((name, case), row) in cases.into_iter().zip(rows) {
            check(
                &format!("{}, {name}", golden.file),
                case,
                &row.decoded(model.tokenizer()),
                model.tokenizer(),
            );
        }
    }
}

#[test]
#[ignore = "needs ../shared"]
fn drawn_tokens_are_the_same_for_the_same_seed() {
    let golden = golden::models().next().unwrap();
    let model = &golden.model;
    let plan = Arc::new(Plan::new(model.tokenizer(), model.dims(), "en", &Options::default()).unwrap());
    let features = features(model);
    let mut scratch = Scratch::default();
    let mut drawn = |seed: u64| {
        let hypothesis = Hypothesis::new(plan.clone(), &[], 0.9, seed).unwrap();
        let mut rows = [DecodeRow::new(hypothesis, model.start(&features))];
        while !rows[0].is_finished() {
            step(model, &mut rows.iter_mut().collect::<Vec<_>>(), &mut scratch);
        }
        rows[0].decoded(model.tokenizer()).tokens
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
}
