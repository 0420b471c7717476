use proptest::prelude::*;

use super::*;

const BASIC: Normaliser = Normaliser::Basic { remove_diacritics: false, split_letters: false };

#[test]
fn english_texts_are_in_one_form() {
    let cases = [
        ("Hello, WORLD!", "hello world"),
        ("I won't; you're (laughs) right [noise]", "i will not you are right"),
        ("Mr. Smith's colour", "mister smith is color"),
        ("twenty one", "21"),
        ("two hundred and five", "205"),
        ("one oh one", "101"),
        ("nineteen sixties", "1960s"),
        ("three point one four", "3.14"),
        ("two and a half million", "2500000"),
        ("twenty million dollars", "$20000000"),
        ("two dollars and seven cents", "$2.07"),
        ("double o seven", "007"),
        ("fifty per cent", "50%"),
        ("minus 5", "-5"),
        ("1,000 and 2", "1000 and 2"),
        ("the first one", "the 1st one"),
        ("one decillion", "1000000000000000000000000000000000"),
        ("five thousand five thousand", "10000"),
        ("...", "."),
        ("", ""),
    ];
    for (text, expected) in cases {
        assert_eq!(Normaliser::English.normalise(text), expected, "{text}");
    }
}

#[test]
fn texts_in_any_language_lose_case_and_marks() {
    let cases =
        [("Hello, World!", "hello world "), ("Café (x) <y> Straße", "café straße"), ("日本語。", "日本語 ")];
    for (text, expected) in cases {
        assert_eq!(BASIC.normalise(text), expected);
    }
    let plain = Normaliser::Basic { remove_diacritics: true, split_letters: false };
    assert_eq!(plain.normalise("Café Łódź"), "cafe lodz");
    assert_eq!(Normaliser::for_language("ja").normalise("日本語"), "日 本 語");
    assert_eq!(Normaliser::None.normalise("Hello, World!"), "Hello, World!");
}

proptest! {
    #[test]
    fn no_text_makes_them_panic(text in "\\PC*", words in "(one|two|twenty|hundred|million|sixties|point|and|a half|oh|double|minus|dollars|cents|[$]5|٣|0|3.5|per|cent|thousandth| ){0,30}") {
        for text in [text, words.replace(' ', "  "), words] {
            Normaliser::English.normalise(&text);
            BASIC.normalise(&text);
            Normaliser::Basic { remove_diacritics: true, split_letters: true }.normalise(&text);
        }
    }
}

#[test]
#[ignore = "needs ../shared"]
fn texts_are_those_of_openai_whisper() {
    let root = std::env::var_os("BOSWELL_SHARED").map_or_else(
        || concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").into(),
        std::path::PathBuf::from,
    );
    let cases = std::fs::read(root.join("assets/normalizer/cases.json")).unwrap();
    let cases: Vec<std::collections::HashMap<String, String>> = serde_json::from_slice(&cases).unwrap();
    assert!(cases.len() > 200);
    let basic = |remove_diacritics, split_letters| Normaliser::Basic { remove_diacritics, split_letters };
    let normalisers = [
        ("english", Normaliser::English),
        ("basic", basic(false, false)),
        ("basic_no_diacritics", basic(true, false)),
        ("basic_split", basic(false, true)),
    ];
    for case in &cases {
        for (name, normaliser) in normalisers {
            assert_eq!(normaliser.normalise(&case["text"]), case[name], "{name}: {}", case["text"]);
        }
    }
}
