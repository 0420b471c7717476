use boswell_audio::{N_SAMPLES, log_mel, pad_or_trim};
use boswell_model::{AudioFeatures, Precision};
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

    let hotwords = Options { hotwords: Some(" And so".to_owned()), ..Options::default() };
    let tokens = plan(&hotwords).initial_tokens(&prompt).unwrap();
    assert_eq!(tokens, [&[50361, 400, 370], &prompt[300 - 221..], &SOT[..]].concat());
    assert_eq!(plan(&hotwords).initial_tokens(&[]).unwrap(), [&[50361, 400, 370], &SOT[..]].concat());
    let many = Options { hotwords: Some("word ".repeat(300)), ..Options::default() };
    assert_eq!(plan(&many).initial_tokens(&prompt).unwrap().len(), 224 + SOT.len());

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

/// Logits under which some tokens are likelier than all others, by so much.
fn logits_for(likely: &[(usize, f32)]) -> Vec<f32> {
    let mut logits = vec![0.0; DIMS.n_vocab];
    likely.iter().for_each(|&(id, logit)| logits[id] = logit);
    logits
}

fn search(options: &Options, prompt: &[u32], temperature: f32) -> Search {
    Search::new(Arc::new(plan(options)), prompt, temperature, 0).unwrap()
}

/// Feeds all sequences that are on their way, each with the logits that its last token says.
fn feed(search: &mut Search, logits_after: impl Fn(u32) -> Vec<f32>) {
    let mut logits: Vec<Vec<f32>> =
        search.sequences().map(|tokens| logits_after(*tokens.last().unwrap())).collect();
    search.feed(logits.iter_mut().map(Vec::as_mut_slice), &mut |_, _| {});
}

const EOT: usize = 50257;

#[test]
fn a_search_ends_at_its_end_token_and_at_its_limits() {
    let options = Options { max_new_tokens: Some(3), without_timestamps: true, ..Options::default() };

    let mut ended = search(&options, &[], 0.0);
    feed(&mut ended, |_| logits_for(&[(1000, 9.0)]));
    assert!(!ended.is_finished());
    feed(&mut ended, |_| logits_for(&[(EOT, 9.0)]));
    assert!(ended.is_finished());
    let (tokens, _, sum_logprob) = ended.best();
    assert_eq!(tokens, [1000]);
    let expected = 2.0 * (9.0 - (DIMS.n_vocab as f32 + 9f32.exp()).ln());
    assert!((sum_logprob - expected).abs() < 0.01, "{sum_logprob} is near {expected}");

    for temperature in [0.0, 0.5] {
        let mut long = search(&options, &[], temperature);
        (0..3).for_each(|_| feed(&mut long, |_| logits_for(&[(1000, 99.0)])));
        assert!(long.is_finished(), "after as many tokens as were asked for");
        assert_eq!(long.best().0, [1000; 3]);
    }

    let options = Options { prefix: Some("word ".repeat(215)), ..options };
    let options = Options { max_new_tokens: Some(9), ..options };
    let mut full = search(&options, &(0..300).collect::<Vec<u32>>(), 0.0);
    let len = full.sequences().next().unwrap().len();
    assert!(DIMS.n_text_ctx - len < 8, "the prompt leaves room for {}", DIMS.n_text_ctx - len);
    while !full.is_finished() {
        feed(&mut full, |_| logits_for(&[(1000, 9.0)]));
    }
    assert_eq!(len + full.best().0.len(), DIMS.n_text_ctx + 1, "the last token is not fed any more");

    for options in [Options::default(), Options { beam_size: 3, best_of: 3, ..Options::default() }] {
        for temperature in [0.0, 0.5] {
            let mut broken = search(&options, &[], temperature);
            feed(&mut broken, |_| vec![f32::NAN; DIMS.n_vocab]);
            assert!(broken.is_finished(), "a model that computes nothing sensible ends");
            assert_eq!(broken.best().0, [0; 0]);
        }
    }
}

#[test]
fn beams_find_what_the_likeliest_token_hides() {
    // After 1000 nothing is likely; after 2000, which is less likely at first, the end is certain.
    let logits_after = |token: u32| match token {
        1000 => logits_for(&[(EOT, 5.0), (3000, 5.0)]),
        2000 => logits_for(&[(EOT, 40.0)]),
        3000 => logits_for(&[(EOT, 40.0)]),
        _ => logits_for(&[(1000, 30.0), (2000, 29.5)]),
    };
    let options = Options { without_timestamps: true, ..Options::default() };
    let found = |options: &Options| {
        let mut search = search(options, &[], 0.0);
        while !search.is_finished() {
            feed(&mut search, logits_after);
        }
        search.best().0.to_vec()
    };
    assert_eq!(found(&options)[0], 1000);
    assert_eq!(found(&Options { beam_size: 2, ..options.clone() }), [2000]);
    // As much is kept as is enough: with patience, what ends later counts too.
    let mut impatient = search(&Options { beam_size: 2, ..options.clone() }, &[], 0.0);
    let mut patient = search(&Options { beam_size: 2, patience: 2.0, ..options }, &[], 0.0);
    let n_steps = |search: &mut Search| {
        (0..)
            .take_while(|_| {
                let goes_on = !search.is_finished();
                if goes_on {
                    feed(search, logits_after);
                }
                goes_on
            })
            .count()
    };
    assert!(n_steps(&mut impatient) < n_steps(&mut patient));
}

#[test]
fn of_several_draws_the_best_is_taken() {
    let options = Options { without_timestamps: true, best_of: 20, ..Options::default() };
    let mut search = search(&options, &[], 1.0);
    feed(&mut search, |_| logits_for(&[(1000, 15.0), (2000, 14.0)]));
    assert_eq!(search.sources(), [0; 20]);
    assert!(search.sequences().any(|tokens| tokens.ends_with(&[2000])), "draws differ");
    feed(&mut search, |_| logits_for(&[(EOT, 40.0)]));
    assert!(search.is_finished());
    assert_eq!(search.best().0, [1000]);
}

#[test]
fn numbers_of_sequences_that_make_no_sense_are_refused() {
    let default = Options::default;
    let cases = [
        (Options { beam_size: 0, ..default() }, "option beam_size is 0, expected 1 to 100"),
        (Options { best_of: 1000, ..default() }, "option best_of is 1000, expected 1 to 100"),
        (
            Options { beam_size: 5, patience: 0.05, ..default() },
            "option patience is 0.05, expected 1 to 100 sequences, beam_size times patience",
        ),
        (Options { length_penalty: Some(1.5), ..default() }, "option length_penalty is 1.5, expected 0 to 1"),
    ];
    for (options, message) in cases {
        let error = Plan::new(golden::tokenizer(DIMS.n_vocab), &DIMS, "de", &options).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

fn features(model: &Model) -> AudioFeatures {
    let waveform = pad_or_trim(&golden::waveform("jfk.wav"), N_SAMPLES);
    model.encode(log_mel(&waveform, model.dims().n_mels).unwrap().values())
}

/// The decodes of a model's outputs: name, case, and a decode to start with.
fn decodes<'a>(golden: &'a GoldenModel, features: &AudioFeatures) -> Vec<(&'a str, &'a Value, Decode)> {
    let (model, tokenizer) = (&golden.model, golden.model.tokenizer());
    let cases = golden.outputs["decode"].as_object().unwrap();
    assert_eq!(cases.len(), 13);
    cases
        .iter()
        .map(|(name, case)| {
            let options = golden::options(&case["options"], tokenizer);
            let plan = Plan::new(tokenizer, model.dims(), "en", &options).unwrap();
            let prompt = case["options"].get("prompt").map_or_else(Vec::new, golden::ids);
            let decode = Decode::new(Arc::new(plan), &prompt, 0.0, 0, model.start(features)).unwrap();
            let start = decode.search.sequences().next().unwrap();
            assert_eq!(start, golden::ids(&case["initial_tokens"]), "{}, {name}", golden.file);
            (name.as_str(), case, decode)
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

/// Calls `check` with every decode of a model at its end: name, case, and what was decoded.
fn each_decoded(golden: &GoldenModel, check: impl Fn(&str, &Value, &Decoded)) {
    let model = &golden.model;
    let mut scratch = StepScratch::default();
    for (name, case, mut decode) in decodes(golden, &features(model)) {
        while !decode.is_finished() {
            step(model, &mut [&mut decode], &mut scratch);
        }
        check(&format!("{}, {name}", golden.file), case, &decode.decoded(model.tokenizer()));
    }
}

#[test]
#[ignore = "needs ../shared"]
fn decodes_are_those_of_the_reference() {
    for golden in golden::models() {
        each_decoded(&golden, |name, case, decoded| check(name, case, decoded, golden.model.tokenizer()));
    }
}

#[test]
#[ignore = "needs ../shared"]
fn less_exact_numbers_find_text_that_is_nearly_as_likely() {
    // The models are random, so that many tokens are as good as others: decodes that differ are listed.
    for precision in [Precision::Bf16, Precision::Int8] {
        for golden in golden::models_in(precision) {
            each_decoded(&golden, |name, case, decoded| {
                let (found, expected) = (&decoded.tokens, golden::ids(&case["tokens"]));
                let n_same = found.iter().zip(&expected).take_while(|(x, y)| x == y).count();
                let less_likely = case["avg_logprob"].as_f64().unwrap() - decoded.avg_logprob;
                if *found != expected {
                    println!("{precision}, {name}: other tokens from {n_same} of {} on", expected.len());
                }
                assert!(less_likely < 0.5, "{precision}, {name}: less likely by {less_likely:.4} a token");
            });
        }
    }
}

#[test]
#[ignore = "needs ../shared"]
fn windows_that_decode_together_find_what_they_find_alone() {
    for golden in golden::models() {
        let model = &golden.model;
        let cases = decodes(&golden, &features(model));
        let (cases, mut decodes): (Vec<_>, Vec<_>) =
            cases.into_iter().map(|(name, case, decode)| ((name, case), decode)).unzip();
        let mut scratch = StepScratch::default();
        while !decodes.iter().all(Decode::is_finished) {
            step(model, &mut decodes.iter_mut().collect::<Vec<_>>(), &mut scratch);
        }
        for ((name, case), decode) in cases.into_iter().zip(decodes) {
            check(
                &format!("{}, {name}", golden.file),
                case,
                &decode.decoded(model.tokenizer()),
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
    let options = Options { best_of: 3, ..Options::default() };
    let plan = Arc::new(Plan::new(model.tokenizer(), model.dims(), "en", &options).unwrap());
    let features = features(model);
    let mut scratch = StepScratch::default();
    let mut drawn = |seed: u64| {
        let mut decode = Decode::new(plan.clone(), &[], 0.9, seed, model.start(&features)).unwrap();
        while !decode.is_finished() {
            step(model, &mut [&mut decode], &mut scratch);
        }
        decode.decoded(model.tokenizer()).tokens
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
}
