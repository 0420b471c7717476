//! The model inside the program: `digits.en`, so that a fresh copy works without a download.
//!
//! `training/` made it, and `models/digits.en/` holds it.

use std::io::Read;

use anyhow::{Context, Result};
use boswell_model::Checkpoint;

/// What the model is called.
pub(crate) const NAME: &str = "digits.en";

const CONFIG: &str = include_str!("../../../models/digits.en/config.json");
const GENERATION: &str = include_str!("../../../models/digits.en/generation_config.json");
/// A safetensors file, compressed with zstd.
const WEIGHTS: &[u8] = include_bytes!("../../../models/digits.en/model.safetensors.zst");

/// Unpacks the built-in model.
///
/// # Errors
/// If the program's file is damaged.
pub(crate) fn checkpoint() -> Result<Checkpoint> {
    let mut weights = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(WEIGHTS)
        .map_err(anyhow::Error::from)
        .and_then(|mut decoder| Ok(decoder.read_to_end(&mut weights)?))
        .context("cannot unpack the built-in model")?;
    Ok(Checkpoint::from_bytes(NAME, CONFIG, Some(GENERATION), weights)?)
}

/// The bytes that it takes in the program.
pub(crate) fn bytes() -> u64 {
    (WEIGHTS.len() + CONFIG.len() + GENERATION.len()) as u64
}

/// Says what the model can do.
pub(crate) fn introduce() {
    tracing::info!(
        "using the built-in model {NAME}, which knows spoken English digits and nothing else;\n\
         for other speech fetch a model once, such as `boswell models pull base`,\n\
         and name it: `--model base`"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_model_is_small_and_whole() {
        let checkpoint = checkpoint().unwrap();
        assert!(!checkpoint.dims().is_multilingual());
        assert!(bytes() <= 4 << 20, "{} bytes", bytes());
        boswell_model::Model::new(&checkpoint, &boswell_model::LoadOptions::default()).unwrap();
    }
}
