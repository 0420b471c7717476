//! The JSON files beside Hugging Face's weights.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Dims, Error};

/// The largest JSON file that is read: five times the largest `tokenizer.json` of a Whisper model.
const MAX_BYTES: u64 = 16 << 20;

/// Finds a file that belongs to the weights: for `tiny.hf.safetensors` and `config.json` the first that exists of
/// `tiny.hf.config.json`, `tiny.config.json`, `config.json`.
pub(super) fn beside(weights: &Path, name: &str) -> Option<PathBuf> {
    let file_name = weights.file_name()?.to_str()?;
    let prefixes = file_name.rmatch_indices('.').map(|(dot, _)| &file_name[..=dot]);
    let named = prefixes.map(|prefix| weights.with_file_name(format!("{prefix}{name}")));
    named.chain([weights.with_file_name(name)]).find(|path| path.is_file())
}

/// Reads a text file of bounded size.
///
/// # Errors
/// [`Error::Io`] if it cannot be read or is not UTF-8, [`Error::Field`] if it is larger than any such file is.
pub(super) fn read_text(path: &Path) -> Result<String, Error> {
    let n_bytes = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if n_bytes > MAX_BYTES {
        let expected = format!("at most {MAX_BYTES} bytes");
        return Err(Error::field(&path.display().to_string(), "its size", n_bytes, expected));
    }
    std::fs::read_to_string(path).map_err(Error::io(path))
}

/// Reads the dimensions from a `config.json` of transformers.
///
/// # Errors
/// [`Error::Json`] if it is not a JSON object; [`Error::Field`] if a field is missing, is no dimension, or asks for a
/// network that is not openai/whisper's.
pub(super) fn read_dims(text: &str, file: &str) -> Result<Dims, Error> {
    let fields: Map<String, Value> = parse(text, file)?;
    for (name, expected) in [
        ("model_type", Value::from("whisper")),
        ("activation_function", Value::from("gelu")),
        ("scale_embedding", Value::from(false)),
    ] {
        if let Some(found) = fields.get(name).filter(|found| **found != expected) {
            return Err(Error::field(file, name, found, expected));
        }
    }
    let size = |name: &str| match fields.get(name) {
        Some(value) => {
            let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
            size.ok_or_else(|| Error::field(file, name, value, "a whole number"))
        }
        None => Err(Error::field(file, name, "missing", "a whole number")),
    };
    let n_state = size("d_model")?;
    for name in ["encoder_ffn_dim", "decoder_ffn_dim"] {
        if fields.contains_key(name) && Some(size(name)?) != n_state.checked_mul(4) {
            return Err(Error::field(
                file,
                name,
                &fields[name],
                format!("4 times d_model, which is {n_state}"),
            ));
        }
    }
    let dims = Dims {
        n_mels: size("num_mel_bins")?,
        n_audio_ctx: size("max_source_positions")?,
        n_audio_state: n_state,
        n_audio_head: size("encoder_attention_heads")?,
        n_audio_layer: size("encoder_layers")?,
        n_vocab: size("vocab_size")?,
        n_text_ctx: size("max_target_positions")?,
        n_text_state: n_state,
        n_text_head: size("decoder_attention_heads")?,
        n_text_layer: size("decoder_layers")?,
    };
    dims.checked(file)
}

/// Reads a `model.safetensors.index.json`: the names of the tensors in each shard.
///
/// # Errors
/// [`Error::Json`] if it is no such index, [`Error::Field`] if a shard is not a file beside it.
pub(super) fn read_index(text: &str, file: &str) -> Result<BTreeMap<String, Vec<String>>, Error> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = parse(text, file)?;
    let mut shards = BTreeMap::<_, Vec<_>>::new();
    for (tensor, shard) in index.weight_map {
        let is_plain = shard.ends_with(".safetensors") && !shard.contains(['/', '\\', ':', '\0']);
        if !is_plain {
            let field = format!("the shard of tensor `{tensor}`");
            return Err(Error::field(file, &field, format!("{shard:?}"), "a .safetensors file beside it"));
        }
        shards.entry(shard).or_default().push(tensor);
    }
    Ok(shards)
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str, file: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|source| Error::Json { file: file.to_owned(), source })
}
