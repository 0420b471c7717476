//! Tensor names: openai/whisper's, and what Hugging Face calls the same tensors.

/// How a file names its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// As openai/whisper: `encoder.blocks.0.attn.query.weight`.
    OpenAi,
    /// As transformers: `encoder.layers.0.self_attn.q_proj.weight`, behind `model.` or nothing.
    HuggingFace { prefix: &'static str },
}

/// openai/whisper's name and transformers' name of tensors outside of blocks, where they differ.
const WHOLE: [(&str, &str); 7] = [
    ("encoder.positional_embedding", "encoder.embed_positions.weight"),
    ("encoder.ln_post.weight", "encoder.layer_norm.weight"),
    ("encoder.ln_post.bias", "encoder.layer_norm.bias"),
    ("decoder.positional_embedding", "decoder.embed_positions.weight"),
    ("decoder.token_embedding.weight", "decoder.embed_tokens.weight"),
    ("decoder.ln.weight", "decoder.layer_norm.weight"),
    ("decoder.ln.bias", "decoder.layer_norm.bias"),
];

/// The same for the parts of a block, without `weight` and `bias`.
const PARTS: [(&str, &str); 13] = [
    ("attn.query", "self_attn.q_proj"),
    ("attn.key", "self_attn.k_proj"),
    ("attn.value", "self_attn.v_proj"),
    ("attn.out", "self_attn.out_proj"),
    ("attn_ln", "self_attn_layer_norm"),
    ("cross_attn.query", "encoder_attn.q_proj"),
    ("cross_attn.key", "encoder_attn.k_proj"),
    ("cross_attn.value", "encoder_attn.v_proj"),
    ("cross_attn.out", "encoder_attn.out_proj"),
    ("cross_attn_ln", "encoder_attn_layer_norm"),
    ("mlp.0", "fc1"),
    ("mlp.2", "fc2"),
    ("mlp_ln", "final_layer_norm"),
];

/// The output projection, tied to the token embedding; transformers keeps either or both.
pub(super) const TIED: (&str, &str) = ("decoder.token_embedding.weight", "proj_out.weight");

impl Naming {
    /// Recognises the naming from the names in a file.
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Self {
        let is_hugging_face = |name: &str| {
            let name = name.strip_prefix("model.").unwrap_or(name);
            name.starts_with("encoder.layers.")
                || name.starts_with("decoder.layers.")
                || WHOLE.iter().any(|(_, theirs)| name == *theirs)
        };
        if !names.clone().any(is_hugging_face) {
            return Self::OpenAi;
        }
        let is_prefixed =
            |name: &str| name.starts_with("model.encoder.") || name.starts_with("model.decoder.");
        Self::HuggingFace { prefix: if names.into_iter().any(is_prefixed) { "model." } else { "" } }
    }

    /// What a file of this naming calls the tensor that openai/whisper calls `name`.
    pub(super) fn stored(self, name: &str) -> String {
        match self {
            Self::OpenAi => name.to_owned(),
            Self::HuggingFace { prefix } => format!("{prefix}{}", hugging_face(name)),
        }
    }
}

fn hugging_face(name: &str) -> String {
    if let Some((_, theirs)) = WHOLE.iter().find(|(ours, _)| *ours == name) {
        return (*theirs).to_owned();
    }
    in_block(name).unwrap_or_else(|| name.to_owned())
}

/// Translates `encoder.blocks.0.attn.query.weight`; `None` for what is not in a block.
fn in_block(name: &str) -> Option<String> {
    let (side, rest) = name.split_once(".blocks.")?;
    let (layer, rest) = rest.split_once('.')?;
    let (part, kind) = rest.rsplit_once('.')?;
    let (_, theirs) = PARTS.iter().find(|(ours, _)| *ours == part)?;
    Some(format!("{side}.layers.{layer}.{theirs}.{kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_translated_as_transformers_has_them() {
        let cases = [
            ("encoder.conv1.weight", "model.encoder.conv1.weight"),
            ("encoder.positional_embedding", "model.encoder.embed_positions.weight"),
            ("encoder.blocks.11.attn.query.weight", "model.encoder.layers.11.self_attn.q_proj.weight"),
            ("encoder.blocks.0.mlp.2.bias", "model.encoder.layers.0.fc2.bias"),
            ("decoder.blocks.3.cross_attn_ln.bias", "model.decoder.layers.3.encoder_attn_layer_norm.bias"),
            ("decoder.blocks.3.cross_attn.out.weight", "model.decoder.layers.3.encoder_attn.out_proj.weight"),
            ("decoder.ln.weight", "model.decoder.layer_norm.weight"),
        ];
        for (ours, theirs) in cases {
            assert_eq!(Naming::HuggingFace { prefix: "model." }.stored(ours), theirs);
            assert_eq!(Naming::OpenAi.stored(ours), ours);
        }
    }

    #[test]
    fn the_naming_is_recognised() {
        let cases: [(&[&str], Naming); 5] = [
            (
                &["model.encoder.conv1.weight", "model.encoder.layers.0.fc1.bias"],
                Naming::HuggingFace { prefix: "model." },
            ),
            (&["encoder.layer_norm.bias", "encoder.conv1.weight"], Naming::HuggingFace { prefix: "" }),
            (
                &["proj_out.weight", "model.decoder.embed_tokens.weight"],
                Naming::HuggingFace { prefix: "model." },
            ),
            (&["encoder.conv1.weight", "encoder.blocks.0.mlp.0.bias"], Naming::OpenAi),
            (&[], Naming::OpenAi),
        ];
        for (names, naming) in cases {
            assert_eq!(Naming::of(names.iter().copied()), naming, "{names:?}");
        }
    }
}
