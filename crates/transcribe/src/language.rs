//! Which language is spoken.

use boswell_model::{Model, Row, Scratch, Step, Tokenizer};

/// A language and how probable it is that it is spoken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LanguageProbability {
    /// Its code.
    pub code: &'static str,
    /// Between 0 and 1; all languages of the model together have 1.
    pub probability: f32,
}

/// The code of a language that is given by code or name. What nobody knows is returned as it is.
///
/// English-only models take everything for English, as in openai/whisper.
pub(crate) fn language_code<'a>(tokenizer: &Tokenizer, language: &'a str) -> &'a str {
    let code = boswell_model::language_code(language).unwrap_or(language);
    if tokenizer.is_multilingual() || code == "en" {
        return code;
    }
    tracing::warn!(language, "the model is English only: the recording is taken for English");
    "en"
}

/// The probabilities of all languages of a multilingual model, the most probable first.
///
/// - `row`: over the window to listen to, without tokens; it has none afterwards.
///
/// Source: `detect_language` in openai/whisper `whisper/decoding.py`.
pub(crate) fn language_probabilities(
    model: &Model,
    row: &mut Row,
    scratch: &mut Scratch,
) -> Vec<LanguageProbability> {
    let tokenizer = model.tokenizer();
    let mut logits = vec![0.0; model.dims().n_vocab];
    let tokens = [tokenizer.special().sot];
    model.decode(&mut [Step { row, tokens: &tokens, n_logits: 1 }], &mut logits, scratch);
    row.truncate(0);

    let (codes, mut probabilities): (Vec<&str>, Vec<f32>) =
        tokenizer.languages().map(|(code, token)| (code, logits[token as usize])).unzip();
    boswell_kernels::softmax(&mut probabilities);
    let pairs = codes.into_iter().zip(probabilities);
    let mut languages: Vec<_> =
        pairs.map(|(code, probability)| LanguageProbability { code, probability }).collect();
    languages.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    languages
}
