//! The normaliser for English.

use std::sync::LazyLock;

use regex::Regex;

use super::{numbers, regex, spelling, with_single_spaces, without_brackets, without_symbols_and_diacritics};

/// Contractions, titles and slang, in the order in which they are replaced.
const REPLACEMENTS: &[(&str, &str)] = &[
    (r"\bwon't\b", "will not"),
    (r"\bcan't\b", "can not"),
    (r"\blet's\b", "let us"),
    (r"\bain't\b", "aint"),
    (r"\by'all\b", "you all"),
    (r"\bwanna\b", "want to"),
    (r"\bgotta\b", "got to"),
    (r"\bgonna\b", "going to"),
    (r"\bi'ma\b", "i am going to"),
    (r"\bimma\b", "i am going to"),
    (r"\bwoulda\b", "would have"),
    (r"\bcoulda\b", "could have"),
    (r"\bshoulda\b", "should have"),
    (r"\bma'am\b", "madam"),
    (r"\bmr\b", "mister "),
    (r"\bmrs\b", "missus "),
    (r"\bst\b", "saint "),
    (r"\bdr\b", "doctor "),
    (r"\bprof\b", "professor "),
    (r"\bcapt\b", "captain "),
    (r"\bgov\b", "governor "),
    (r"\bald\b", "alderman "),
    (r"\bgen\b", "general "),
    (r"\bsen\b", "senator "),
    (r"\brep\b", "representative "),
    (r"\bpres\b", "president "),
    (r"\brev\b", "reverend "),
    (r"\bhon\b", "honorable "),
    (r"\basst\b", "assistant "),
    (r"\bassoc\b", "associate "),
    (r"\blt\b", "lieutenant "),
    (r"\bcol\b", "colonel "),
    (r"\bjr\b", "junior "),
    (r"\bsr\b", "senior "),
    (r"\besq\b", "esquire "),
    (r"'d been\b", " had been"),
    (r"'s been\b", " has been"),
    (r"'d gone\b", " had gone"),
    (r"'s gone\b", " has gone"),
    (r"'d done\b", " had done"),
    (r"'s got\b", " has got"),
    (r"n't\b", " not"),
    (r"'re\b", " are"),
    (r"'s\b", " is"),
    (r"'d\b", " would"),
    (r"'ll\b", " will"),
    (r"'t\b", " not"),
    (r"'ve\b", " have"),
    (r"'m\b", " am"),
];

/// The regular expressions, compiled once. `${1}` in a replacement is what a group found.
struct Rules {
    before_numbers: Vec<(Regex, &'static str)>,
    after_numbers: Vec<(Regex, &'static str)>,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let compiled = |rules: &[(&str, &'static str)]| {
        rules.iter().map(|(pattern, replacement)| (regex(pattern), *replacement)).collect::<Vec<_>>()
    };
    let mut before_numbers = compiled(&[(r"\b(hmm|mm|mhm|mmm|uh|um)\b", ""), (r"[\s\x1c-\x1f]+'", "'")]);
    before_numbers.extend(compiled(REPLACEMENTS));
    before_numbers.extend(compiled(&[(r"(\d),(\d)", "${1}${2}"), (r"\.([^0-9]|\z)", " ${1}")]));
    let after_numbers = compiled(&[(r"[.$¢€£]([^0-9])", " ${1}"), (r"([^0-9])%", "${1} ")]);
    Rules { before_numbers, after_numbers }
});

fn replace(text: String, rules: &[(Regex, &'static str)]) -> String {
    rules.iter().fold(text, |text, (regex, replacement)| regex.replace_all(&text, *replacement).into_owned())
}

/// Source: `EnglishTextNormalizer` in openai/whisper `whisper/normalizers/english.py`.
pub(super) fn normalise(text: &str) -> String {
    let text = replace(without_brackets(text), &RULES.before_numbers);
    let text = without_symbols_and_diacritics(&text, ".%$¢€£");
    let text = spelling::normalise(&numbers::normalise(&text));
    with_single_spaces(&replace(text, &RULES.after_numbers))
}
