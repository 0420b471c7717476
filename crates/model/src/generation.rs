//! How a model wants to be decoded: what `generation_config.json` says.

mod heads;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Dims, Error};

/// How a model wants to be decoded: what its `generation_config.json` says, or openai/whisper's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Tokens that never appear, if the model lists them; else those of
    /// [`Tokenizer::suppressed_tokens`](crate::Tokenizer::suppressed_tokens) apply.
    pub suppress_tokens: Option<Vec<u32>>,
    /// Tokens that do not come first, if the model lists them; else those of
    /// [`Tokenizer::blank_tokens`](crate::Tokenizer::blank_tokens) apply.
    pub begin_suppress_tokens: Option<Vec<u32>>,
    /// Cross-attention heads that follow the audio, (layer, head); by default those of the published model of the same
    /// shape, else all heads of the decoder's upper half.
    pub alignment_heads: Vec<(usize, usize)>,
    /// Whether those heads follow the audio better when the model sees the timestamps that it wrote, and not the text
    /// alone: `false` for Whisper's models.
    pub align_with_timestamps: bool,
    /// Whether the model knows other languages than English.
    pub is_multilingual: bool,
    /// Language tokens by their text, such as `<|en|>`; empty if the model does not list them.
    pub lang_to_id: BTreeMap<String, u32>,
    /// Task tokens by name; empty if the model does not list them.
    pub task_to_id: BTreeMap<String, u32>,
    /// The token that switches timestamps off, if the model names it.
    pub no_timestamps_token_id: Option<u32>,
    /// The latest first timestamp in steps of 20 ms, if the model says it.
    pub max_initial_timestamp_index: Option<u32>,
}

/// The fields of `generation_config.json` that matter; `null` and absent mean the same.
#[derive(Deserialize)]
struct Json {
    suppress_tokens: Option<Vec<u32>>,
    begin_suppress_tokens: Option<Vec<u32>>,
    alignment_heads: Option<Vec<(usize, usize)>>,
    align_with_timestamps: Option<bool>,
    is_multilingual: Option<bool>,
    lang_to_id: Option<BTreeMap<String, u32>>,
    task_to_id: Option<BTreeMap<String, u32>>,
    no_timestamps_token_id: Option<u32>,
    max_initial_timestamp_index: Option<u32>,
}

impl Generation {
    /// openai/whisper's defaults for a model of these dimensions and this name.
    pub fn new(dims: &Dims, name: &str) -> Self {
        Self {
            suppress_tokens: None,
            begin_suppress_tokens: None,
            alignment_heads: heads::alignment_heads(dims, name),
            align_with_timestamps: false,
            is_multilingual: dims.is_multilingual(),
            lang_to_id: BTreeMap::new(),
            task_to_id: BTreeMap::new(),
            no_timestamps_token_id: None,
            max_initial_timestamp_index: None,
        }
    }

    /// Reads a `generation_config.json`; what it leaves out has openai/whisper's defaults.
    ///
    /// `file` is named in errors.
    ///
    /// # Errors
    /// [`Error::Json`] if it is not JSON or a field has a wrong type, [`Error::Field`] if a token is not in the
    /// vocabulary.
    pub(crate) fn from_json(text: &str, file: &str, dims: &Dims) -> Result<Self, Error> {
        let json: Json =
            serde_json::from_str(text).map_err(|source| Error::Json { file: file.to_owned(), source })?;
        let lists = [
            ("suppress_tokens", &json.suppress_tokens),
            ("begin_suppress_tokens", &json.begin_suppress_tokens),
        ];
        let listed =
            lists.into_iter().flat_map(|(field, list)| list.iter().flatten().map(move |id| (field, *id)));
        let maps = [("lang_to_id", &json.lang_to_id), ("task_to_id", &json.task_to_id)];
        let mapped =
            maps.into_iter().flat_map(|(field, map)| map.iter().flatten().map(move |(_, id)| (field, *id)));
        let single = json.no_timestamps_token_id.map(|id| ("no_timestamps_token_id", id));
        if let Some((field, id)) =
            listed.chain(mapped).chain(single).find(|(_, id)| *id as usize >= dims.n_vocab)
        {
            return Err(Error::field(file, field, id, format!("tokens below {}", dims.n_vocab)));
        }
        let default = Self::new(dims, file);
        // Some distilled models carry the heads of their teacher, which has more layers.
        let heads = json.alignment_heads.filter(|heads| {
            !heads.is_empty()
                && heads.iter().all(|(layer, head)| *layer < dims.n_text_layer && *head < dims.n_text_head)
        });
        Ok(Self {
            suppress_tokens: json.suppress_tokens,
            begin_suppress_tokens: json.begin_suppress_tokens,
            alignment_heads: heads.unwrap_or(default.alignment_heads),
            align_with_timestamps: json.align_with_timestamps.unwrap_or(default.align_with_timestamps),
            is_multilingual: json.is_multilingual.unwrap_or(default.is_multilingual),
            lang_to_id: json.lang_to_id.unwrap_or_default(),
            task_to_id: json.task_to_id.unwrap_or_default(),
            no_timestamps_token_id: json.no_timestamps_token_id,
            max_initial_timestamp_index: json.max_initial_timestamp_index,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        n_text_layer: 3,
    };

    #[test]
    fn an_empty_file_gives_the_defaults() {
        let generation = Generation::from_json("{\"suppress_tokens\": null}", "f", &DIMS).unwrap();
        assert_eq!(generation, Generation::new(&DIMS, "f"));
        assert_eq!(generation.alignment_heads, [(1, 0), (1, 1), (2, 0), (2, 1)]);
        assert!(generation.is_multilingual);
    }

    #[test]
    fn fields_are_taken_as_found() {
        let text = r#"{"suppress_tokens": [1, 2], "begin_suppress_tokens": [220, 50257], "alignment_heads": [[2, 1]],
            "is_multilingual": false, "lang_to_id": {"<|en|>": 50259}, "max_initial_timestamp_index": 50, "other": {}}"#;
        let generation = Generation::from_json(text, "f", &DIMS).unwrap();
        assert_eq!(generation.suppress_tokens.as_deref(), Some(&[1, 2][..]));
        assert_eq!(generation.begin_suppress_tokens.as_deref(), Some(&[220, 50257][..]));
        assert_eq!(generation.alignment_heads, [(2, 1)]);
        assert!(!generation.is_multilingual);
        assert_eq!(generation.lang_to_id["<|en|>"], 50259);
        assert_eq!(generation.max_initial_timestamp_index, Some(50));
    }

    #[test]
    fn heads_of_another_model_are_not_taken() {
        let generation =
            Generation::from_json(r#"{"alignment_heads": [[1, 0], [3, 0]]}"#, "f", &DIMS).unwrap();
        assert_eq!(generation.alignment_heads, Generation::new(&DIMS, "f").alignment_heads);
    }

    #[test]
    fn wrong_values_are_named() {
        let error = Generation::from_json(r#"{"suppress_tokens": [5, 51865]}"#, "f", &DIMS).unwrap_err();
        assert_eq!(error.to_string(), "`f`: suppress_tokens is 51865, expected tokens below 51865");
        for text in ["", "[", "[]", r#"{"suppress_tokens": [-1]}"#, r#"{"alignment_heads": [[1]]}"#, "\u{0}"]
        {
            let error = Generation::from_json(text, "f", &DIMS).unwrap_err();
            assert!(matches!(error, Error::Json { .. }), "{text}: {error}");
        }
    }
}
