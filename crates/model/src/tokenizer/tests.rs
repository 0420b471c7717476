use std::path::PathBuf;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn golden(name: &str) -> Value {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("BOSWELL_SHARED").map_or(here, PathBuf::from);
    let text = std::fs::read_to_string(shared.join("golden/tokenizer").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn english() -> Tokenizer {
    Tokenizer::embedded(51864).unwrap()
}

fn multilingual() -> Tokenizer {
    Tokenizer::embedded(51865).unwrap()
}

fn words(words: &[Word]) -> Vec<(&str, usize)> {
    words.iter().map(|word| (word.text.as_str(), word.tokens.len())).collect()
}

#[test]
#[ignore = "needs ../shared"]
fn golden_texts_become_the_same_tokens_and_words() {
    let (english, multilingual) = (english(), multilingual());
    let cases = golden("cases.json");
    for case in cases.as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let tokens = ids(&case["multilingual"]);
        assert_eq!(multilingual.encode(text), tokens, "{text:?}");
        assert_eq!(multilingual.decode(&tokens), text);
        assert_eq!(english.encode(text), ids(&case["gpt2"]), "{text:?}");
        assert_eq!(english.decode(&ids(&case["gpt2"])), text);
        for (field, language) in [("words_by_space", "en"), ("words_by_character", "zh")] {
            let split = multilingual.split_to_word_tokens(&tokens, Some(language));
            let expected = case[field].as_array().unwrap().iter();
            let expected: Vec<_> = expected
                .map(|word| (word[0].as_str().unwrap(), word[1].as_u64().unwrap() as usize))
                .collect();
            assert_eq!(words(&split), expected, "{text:?} for {language}");
            let joined: Vec<u32> = split.iter().flat_map(|word| word.tokens.iter().copied()).collect();
            assert_eq!(joined, tokens);
        }
    }
}

#[test]
#[ignore = "needs ../shared"]
fn golden_tokens_become_the_same_text() {
    let multilingual = multilingual();
    let cases = golden("decode.json");
    for case in cases.as_array().unwrap() {
        let tokens = ids(&case["ids"]);
        assert_eq!(multilingual.decode(&tokens), case["text"].as_str().unwrap(), "{tokens:?}");
        if let Some(text) = case.get("with_timestamps") {
            assert_eq!(multilingual.decode_with_timestamps(&tokens), text.as_str().unwrap());
        }
    }
}

#[test]
#[ignore = "needs ../shared"]
fn golden_special_tokens_are_the_same() {
    for (name, expected) in golden("special.json")["vocabularies"].as_object().unwrap() {
        let tokenizer = Tokenizer::embedded(expected["n_vocab"].as_u64().unwrap() as usize).unwrap();
        assert_eq!(tokenizer.n_vocab() as u64, expected["n_vocab"].as_u64().unwrap());
        let special = tokenizer.special();
        let fields = [
            ("eot", special.eot),
            ("sot", special.sot),
            ("sot_prev", special.sot_prev),
            ("sot_lm", special.sot_lm),
            ("transcribe", special.transcribe),
            ("translate", special.translate),
            ("no_speech", special.no_speech),
            ("no_timestamps", special.no_timestamps),
            ("timestamp_begin", special.timestamp_begin),
            ("timestamp_end", tokenizer.n_vocab() as u32 - 1),
        ];
        for (field, id) in fields {
            assert_eq!(Value::from(id), expected[field], "{name}: {field}");
        }
        for (text, id) in expected["special_tokens"].as_object().unwrap() {
            let id = id.as_u64().unwrap() as u32;
            assert_eq!(tokenizer.token_bytes(id), text.as_bytes(), "{name}");
        }
        let languages: Vec<_> = tokenizer.languages().collect();
        let listed = expected["languages"].as_object().unwrap().iter();
        let listed: Vec<_> = listed.map(|(code, id)| (code.as_str(), id.as_u64().unwrap() as u32)).collect();
        assert_eq!(languages, listed, "{name}");
        assert_eq!(tokenizer.non_speech_tokens(), ids(&expected["non_speech_tokens"]), "{name}");
        assert_eq!(tokenizer.blank_tokens(), ids(&expected["blank_tokens"]), "{name}");
        for (start, sequences) in expected["sot_sequences"].as_object().unwrap() {
            let (language, task) = start.split_once(' ').unwrap_or((start, ""));
            let task = if task == "translate" { Task::Translate } else { Task::Transcribe };
            let mut sequence = tokenizer.sot_sequence(Some(language), task).unwrap();
            assert_eq!(sequence, ids(&sequences["timestamps"]), "{name}: {start}");
            sequence.push(special.no_timestamps);
            assert_eq!(sequence, ids(&sequences["no_timestamps"]), "{name}: {start}");
        }
    }
}

#[test]
#[ignore = "needs ../shared"]
fn golden_language_names_are_the_same() {
    let special = golden("special.json");
    for (code, name) in special["languages"].as_object().unwrap() {
        assert_eq!(language_name(code), name.as_str());
        assert_eq!(language_code(code), Some(code.as_str()));
    }
    for (name, code) in special["to_language_code"].as_object().unwrap() {
        assert_eq!(language_code(name), code.as_str(), "{name}");
    }
}

#[test]
fn languages_are_found_by_many_names() {
    let cases = [
        ("English", Some("en")),
        (" DE ", Some("de")),
        ("mandarin", Some("zh")),
        ("Haitian Creole", Some("ht")),
        ("ger", Some("de")),
        ("deu", Some("de")),
        ("yue", Some("yue")),
        ("de-AT", Some("de")),
        ("zh_Hans", Some("zh")),
        ("-en", None),
        ("klingon", None),
        ("", None),
    ];
    for (name, code) in cases {
        assert_eq!(language_code(name), code, "{name:?}");
    }
    let mut all: Vec<_> = language::LANGUAGES.iter().flat_map(language::Language::names).collect();
    let n_names = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), n_names, "a name stands for two languages");
}

#[test]
fn a_language_that_the_model_lacks_is_named() {
    let error = multilingual().sot_sequence(Some("yue"), Task::Transcribe).unwrap_err();
    assert_eq!(error.to_string(), "the language is `yue`, expected one of the model's 99 languages");
    assert_eq!(english().sot_sequence(Some("yue"), Task::Translate).unwrap(), [50257]);
    assert_eq!(multilingual().sot_sequence(None, Task::Translate).unwrap(), [50258, 50259, 50358]);
}

#[test]
fn only_three_sizes_of_vocabulary_exist() {
    for n_vocab in [0, 51863, 51867, usize::MAX] {
        let message = Tokenizer::embedded(n_vocab).unwrap_err().to_string();
        assert!(
            message.ends_with(&format!("has {n_vocab} tokens, expected 51864, 51865 or 51866")),
            "{message}"
        );
    }
}

#[test]
fn white_space_goes_with_the_word_after_it() {
    let cases: [(&str, &[&str]); 7] = [
        ("  three", &[" ", " three"]),
        ("a \n\t b", &["a", " \n\t", " b"]),
        ("\tx", &["\t", "x"]),
        ("x  ", &["x", "  "]),
        ("\u{3000}\u{3000}x", &["\u{3000}", "\u{3000}", "x"]),
        ("don't'nt 's12ab", &["don", "'t", "'", "nt", " '", "s", "12", "ab"]),
        ("", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(split::pieces_of(text), expected, "{text:?}");
    }
}

#[test]
fn incomplete_characters_are_held_back() {
    let tokenizer = multilingual();
    let text = " Žluťoučký 世界麒麟 😀👍🏽 ṩ ภาษา";
    let tokens = tokenizer.encode(text);
    let mut decoder = StreamDecoder::default();
    let parts: Vec<String> = tokens.iter().map(|token| decoder.push(&tokenizer, *token)).collect();
    assert_eq!(parts.concat(), text);
    assert!(parts.iter().any(String::is_empty), "no character was cut");
    assert_eq!(decoder.finish(), "");

    let cut =
        tokens.iter().position(|token| std::str::from_utf8(tokenizer.token_bytes(*token)).is_err()).unwrap();
    let before = decoder.push(&tokenizer, tokens[cut]);
    assert_eq!(before + &decoder.finish(), tokenizer.decode(&tokens[cut..=cut]));
    assert_eq!(decoder.push(&tokenizer, tokenizer.special().timestamp_begin), "");
}

#[test]
fn unknown_tokens_have_no_text() {
    let tokenizer = english();
    assert_eq!(tokenizer.decode_with_timestamps(&[51864, u32::MAX, 51863]), "<|30.00|>");
    assert_eq!(tokenizer.token_bytes(u32::MAX), b"");
}

#[test]
fn hostile_text_takes_linear_time() {
    let tokenizer = multilingual();
    for unit in ["a", " ", "1", "!", "'", "aA", "\u{301}", "世"] {
        let text = unit.repeat(1_000_000);
        let start = Instant::now();
        let tokens = tokenizer.encode(&text);
        assert!(start.elapsed() < Duration::from_secs(20), "{unit:?} took {:?}", start.elapsed());
        assert_eq!(tokenizer.decode(&tokens), text);
    }
}

/// The obvious way: look for the best pair again after every merge.
fn merge_slowly(tokenizer: &Tokenizer, piece: &[u8]) -> Vec<u32> {
    let rank =
        |bytes: &[u8]| (0..tokenizer.special().eot).find(|token| tokenizer.token_bytes(*token) == bytes);
    let mut parts: Vec<Vec<u8>> = piece.iter().map(|byte| vec![*byte]).collect();
    loop {
        let unions = parts.windows(2).enumerate();
        let best = unions.filter_map(|(i, pair)| rank(&pair.concat()).map(|rank| (rank, i))).min();
        let Some((_, i)) = best else { break };
        let right = parts.remove(i + 1);
        parts[i].extend(right);
    }
    parts.iter().map(|part| rank(part).unwrap()).collect()
}

#[test]
fn merges_are_those_of_the_obvious_way() {
    let tokenizer = multilingual();
    for piece in ["aaaaaaa", " supercali", "Übergröß", "!?!?..", "ภาษา", "  \n  "] {
        assert_eq!(tokenizer.encode(piece), merge_slowly(&tokenizer, piece.as_bytes()), "{piece:?}");
    }
}

proptest! {
    #[test]
    fn any_text_survives(text in any::<String>()) {
        for tokenizer in [english(), multilingual()] {
            prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text)), &*text);
        }
    }

    #[test]
    fn any_tokens_have_a_text(tokens in prop::collection::vec(any::<u32>().prop_map(|id| id % 51870), 0..40)) {
        let tokenizer = multilingual();
        let text = tokenizer.decode(&tokens);
        let mut decoder = StreamDecoder::default();
        let streamed: String = tokens.iter().map(|token| decoder.push(&tokenizer, *token)).collect();
        prop_assert_eq!(streamed + &decoder.finish(), text);
        for language in ["en", "zh"] {
            let words = tokenizer.split_to_word_tokens(&tokens, Some(language));
            let joined: Vec<u32> = words.iter().flat_map(|word| word.tokens.iter().copied()).collect();
            prop_assert!(tokens.starts_with(&joined));
        }
    }

    #[test]
    fn no_vocabulary_makes_the_reader_panic(text in any::<String>(), tokens in any::<Vec<Vec<u8>>>()) {
        let _ = Vocabulary::from_tokenizer_json(&text, "f", 51865);
        let _ = Vocabulary::from_vocab_json(&text, Some(&text), "f", 51865);
        let _ = Vocabulary::listed(tokens.iter().map(Vec::as_slice), "f", 51865);
    }
}

/// Text tokens in GPT-2's alphabet, as transformers writes them.
fn vocab_json(tokenizer: &Tokenizer) -> serde_json::Map<String, Value> {
    let alphabet = gpt2_alphabet();
    let name =
        |id: u32| -> String { tokenizer.token_bytes(id).iter().map(|b| alphabet[usize::from(*b)]).collect() };
    (0..tokenizer.special().eot).map(|id| (name(id), Value::from(id))).collect()
}

/// Source: `bytes_to_unicode` in openai/gpt-2 `src/encoder.py`.
fn gpt2_alphabet() -> Vec<char> {
    let mut next = 256;
    let character = |byte: u8| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        _ => {
            next += 1;
            char::from_u32(next - 1).unwrap()
        }
    };
    (0..=255).map(character).collect()
}

#[test]
fn the_vocabulary_of_transformers_is_the_same() {
    for expected in [english(), multilingual()] {
        let n_vocab = expected.n_vocab();
        let mut vocab = vocab_json(&expected);
        let eot = expected.special().eot;
        vocab.insert("<|endoftext|>".to_owned(), Value::from(eot));
        let added = serde_json::json!({"<|startoftranscript|>": eot + 1, "<|nocaptions|>": expected.special().no_speech,
            "[PAD]": n_vocab});
        let json = Value::from(vocab.clone()).to_string();
        let found = Vocabulary::from_vocab_json(&json, Some(&added.to_string()), "f", n_vocab).unwrap();
        let found = Tokenizer::new(found);
        let listed: Vec<_> = added
            .as_object()
            .unwrap()
            .iter()
            .map(|(k, v)| serde_json::json!({"content": k, "id": v}))
            .collect();
        let json =
            serde_json::json!({"model": {"vocab": vocab, "merges": []}, "added_tokens": listed}).to_string();
        let other = Tokenizer::new(Vocabulary::from_tokenizer_json(&json, "f", n_vocab).unwrap());
        for id in 0..n_vocab as u32 {
            assert_eq!(found.token_bytes(id), expected.token_bytes(id), "{id}");
            assert_eq!(other.token_bytes(id), expected.token_bytes(id), "{id}");
        }
    }
}

#[test]
fn replaced_characters_of_a_listed_vocabulary_are_restored() {
    let expected = multilingual();
    let replaced: Vec<String> = (0..expected.special().eot)
        .map(|id| String::from_utf8_lossy(expected.token_bytes(id)).into_owned())
        .collect();
    assert!(replaced.iter().any(|token| token.contains('\u{fffd}')));
    // One token is the model's own.
    let listed =
        replaced.iter().enumerate().map(|(id, token)| if id == 1000 { b"boswell" } else { token.as_bytes() });
    let found = Vocabulary::listed(listed, "f", 51865).unwrap();
    for id in 0..expected.n_vocab() as u32 {
        let expected = if id == 1000 { b"boswell" } else { expected.token_bytes(id) };
        assert_eq!(found.bytes(id), expected, "{id}");
    }
}

#[test]
fn wrong_vocabularies_are_named() {
    let tokenizer = english();
    let vocab = vocab_json(&tokenizer);
    let error = |vocab: &serde_json::Map<String, Value>, added: &str| {
        let json = Value::from(vocab.clone()).to_string();
        Vocabulary::from_vocab_json(&json, Some(added), "f", 51864).unwrap_err().to_string()
    };
    assert_eq!(
        error(&vocab, r#"{"<|de|>": 50258}"#),
        r#"the vocabulary of `f` has "<|de|>" as token 50258, expected "<|en|>" there"#
    );
    let mut lacks = vocab.clone();
    lacks.remove("A");
    assert_eq!(
        error(&lacks, "{}"),
        "the vocabulary of `f` has no token for the byte 0x41, expected one for every byte"
    );
    let mut foreign = vocab;
    foreign.insert("世".to_owned(), Value::from(50255));
    assert_eq!(
        error(&foreign, "{}"),
        "the vocabulary of `f` has token 50255 \"世\", expected GPT-2's alphabet"
    );
    let few: [&[u8]; 2] = [b"a", b"b"];
    let error = Vocabulary::listed(few.into_iter(), "f", 51864).unwrap_err().to_string();
    assert_eq!(error, "the vocabulary of `f` has 2 tokens, expected at least 50256");
}
