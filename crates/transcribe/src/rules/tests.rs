use serde_json::Value;

use super::*;
use crate::SuppressTokens;
use crate::golden;

/// The vocabulary that a case names, for example `english_51864`.
fn tokenizer(kind: &str) -> &'static Tokenizer {
    golden::tokenizer(kind.rsplit('_').next().unwrap().parse().unwrap())
}

fn logits(case: &Value) -> Vec<f32> {
    let (n_vocab, seed) = (case["n_vocab"].as_u64().unwrap(), case["seed"].as_u64().unwrap());
    let logit = |i: u64| (((i * 7919 + seed * 104_729) % 10007) as f64 / 10007.0 * 10.0 - 5.0) as f32;
    let mut logits: Vec<f32> = (0..n_vocab).map(logit).collect();
    for pair in case["set"].as_array().unwrap() {
        logits[pair[0].as_u64().unwrap() as usize] = pair[1].as_f64().unwrap() as f32;
    }
    logits
}

/// Logits as they should be.
fn exact(_: Range<usize>, _: &mut [f32]) {}

/// `[first, last]` of each run of ids that may come next.
fn runs(logits: &[f32], allowed: &Allowed) -> Vec<[u64; 2]> {
    let mut runs: Vec<[u64; 2]> = Vec::new();
    for id in allowed.text.clone().chain(allowed.timestamps.clone()).filter(|&id| logits[id].is_finite()) {
        match runs.last_mut() {
            Some([_, last]) if *last + 1 == id as u64 => *last += 1,
            _ => runs.push([id as u64; 2]),
        }
    }
    runs
}

#[test]
#[ignore = "needs ../shared"]
fn what_may_come_next_is_what_the_reference_says() {
    let file = golden::json("rules/logit_filters.json");
    for case in file["cases"].as_array().unwrap() {
        let name = format!("{}, {}", case["vocabulary"], case["name"]);
        let tokenizer = tokenizer(case["vocabulary"].as_str().unwrap());
        let limit = case["max_initial_timestamp_index"].as_u64();
        let options = Options { max_initial_timestamp: limit.map(|i| i as f64 * 0.02), ..Options::default() };
        let mut logits = logits(case);
        let rules = Rules::new(tokenizer, logits.len(), &options).unwrap();

        let allowed = rules.apply(&mut logits, &golden::ids(&case["sampled"]), &mut exact);

        let expected: Vec<[u64; 2]> = serde_json::from_value(case["allowed"].clone()).unwrap();
        assert_eq!(runs(&logits, &allowed), expected, "{name}");
        let mut kept = vec![f32::NEG_INFINITY; logits.len()];
        for ids in [allowed.text, allowed.timestamps] {
            kept[ids.clone()].copy_from_slice(&logits[ids]);
        }
        let argmax = (0..kept.len()).rev().max_by(|&a, &b| kept[a].total_cmp(&kept[b])).unwrap();
        assert_eq!(argmax as u64, case["argmax"].as_u64().unwrap(), "{name}");
        let error = f64::from(log_sum_exp(&kept)) - case["logsumexp"].as_f64().unwrap();
        assert!(error.abs() < 1e-4, "{name}: logsumexp is off by {error:e}");
    }
}

const N_VOCAB: usize = 51865;

#[test]
fn without_timestamps_every_token_that_is_not_suppressed_may_come() {
    let tokenizer = golden::tokenizer(N_VOCAB);
    let suppress_tokens = SuppressTokens { non_speech: false, ids: vec![7] };
    let options = Options { without_timestamps: true, suppress_tokens, ..Options::default() };
    let rules = Rules::new(tokenizer, N_VOCAB, &options).unwrap();
    let mut logits = vec![0.0; N_VOCAB];
    let allowed = rules.apply(&mut logits, &[], &mut exact);
    let special = tokenizer.special();
    let blank = tokenizer.encode(" ")[0];
    assert_eq!(allowed, Allowed { text: 0..N_VOCAB, timestamps: N_VOCAB..N_VOCAB });
    for id in [7, blank, special.eot, special.sot, special.translate, special.no_speech] {
        assert_eq!(logits[id as usize], f32::NEG_INFINITY, "token {id}");
    }
    logits.fill(0.0);
    rules.apply(&mut logits, &[8], &mut exact);
    assert!(logits[blank as usize].is_finite() && logits[special.eot as usize].is_finite(), "only at first");
}

#[test]
fn an_empty_list_suppresses_nothing() {
    let suppress_tokens = SuppressTokens { non_speech: false, ids: Vec::new() };
    let options =
        Options { without_timestamps: true, suppress_blank: false, suppress_tokens, ..Options::default() };
    let rules = Rules::new(golden::tokenizer(N_VOCAB), N_VOCAB, &options).unwrap();
    let mut logits = vec![0.0; N_VOCAB];
    rules.apply(&mut logits, &[], &mut exact);
    assert!(logits.iter().all(|logit| logit.is_finite()));
}

#[test]
fn a_token_that_does_not_exist_cannot_be_suppressed() {
    let suppress_tokens = SuppressTokens { non_speech: true, ids: vec![N_VOCAB as u32] };
    let options = Options { suppress_tokens, ..Options::default() };
    let error = Rules::new(golden::tokenizer(N_VOCAB), N_VOCAB, &options).unwrap_err();
    assert_eq!(error.to_string(), "option suppress_tokens is 51865, expected ids below 51865");
}

#[test]
fn tokens_are_suppressed_by_what_they_say() {
    let tokenizer = golden::tokenizer(N_VOCAB);
    let suppressed = |options: &Options| {
        let mut logits = vec![0.0; N_VOCAB];
        Rules::new(tokenizer, N_VOCAB, options).unwrap().apply(&mut logits, &[8], &mut exact);
        move |text: &str| logits[tokenizer.encode(text)[0] as usize] == f32::NEG_INFINITY
    };
    let none = SuppressTokens { non_speech: false, ids: Vec::new() };
    let plain = Options { suppress_tokens: none, without_timestamps: true, ..Options::default() };
    let numerals = suppressed(&Options { suppress_numerals: true, ..plain.clone() });
    assert!(numerals("7") && numerals(" 7") && numerals(" 20") && numerals("$") && !numerals(" seven"));
    let regex = suppressed(&Options { suppress_regex: Some("^(um|uh)$".to_owned()), ..plain.clone() });
    assert!(regex(" um") && regex("um") && !regex(" umbrella") && !regex(" 7"));
    let bad = Options { suppress_regex: Some("(".to_owned()), ..plain };
    let error = Rules::new(tokenizer, N_VOCAB, &bad).unwrap_err().to_string();
    assert!(error.starts_with("option suppress_regex is `(`, expected a regular expression"), "{error}");
}

#[test]
fn an_initial_limit_of_zero_or_past_the_vocabulary_is_none() {
    let tokenizer = golden::tokenizer(N_VOCAB);
    let begin = tokenizer.special().timestamp_begin as usize;
    for (limit, expected) in
        [(Some(0.5), begin + 26), (None, N_VOCAB), (Some(0.0), N_VOCAB), (Some(1e300), N_VOCAB)]
    {
        let options = Options { max_initial_timestamp: limit, ..Options::default() };
        let allowed =
            Rules::new(tokenizer, N_VOCAB, &options).unwrap().apply(&mut vec![0.0; N_VOCAB], &[], &mut exact);
        assert_eq!(allowed.timestamps, begin..expected, "limit {limit:?}");
    }
}
