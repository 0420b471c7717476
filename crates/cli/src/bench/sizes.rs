//! Whisper's sizes, for models with random weights.

use anyhow::{Result, bail};
use boswell_model::{Checkpoint, Dims};

/// Name, width, heads, encoder layers, decoder layers.
const SIZES: [(&str, usize, usize, usize, usize); 6] = [
    ("tiny", 384, 6, 4, 4),
    ("base", 512, 8, 6, 6),
    ("small", 768, 12, 12, 12),
    ("medium", 1024, 16, 24, 24),
    ("turbo", 1280, 20, 32, 4),
    ("large", 1280, 20, 32, 32),
];

/// A model of a named size with random weights.
///
/// # Errors
/// If there is no such size.
pub(super) fn checkpoint(size: &str) -> Result<Checkpoint> {
    let Some((name, n_state, n_head, n_audio_layer, n_text_layer)) = SIZES.into_iter().find(|s| s.0 == size)
    else {
        let names = SIZES.map(|s| s.0).join(", ");
        bail!("there is no size `{size}`; there are {names}");
    };
    let is_large = n_state == 1280;
    let dims = Dims {
        n_mels: if is_large { 128 } else { 80 },
        n_audio_ctx: 1500,
        n_audio_state: n_state,
        n_audio_head: n_head,
        n_audio_layer,
        n_vocab: if is_large { 51866 } else { 51865 },
        n_text_ctx: 448,
        n_text_state: n_state,
        n_text_head: n_head,
        n_text_layer,
    };
    Ok(Checkpoint::random(&format!("random:{name}"), dims))
}
