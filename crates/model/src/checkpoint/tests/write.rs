//! Writers of small checkpoints in every format, with random weights.

use std::io::{Cursor, Write};

use half::f16;
use serde_json::json;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::Dims;

pub(super) const DIMS: Dims = Dims {
    n_mels: 80,
    n_audio_ctx: 6,
    n_audio_state: 8,
    n_audio_head: 2,
    n_audio_layer: 1,
    n_vocab: 51865,
    n_text_ctx: 4,
    n_text_state: 8,
    n_text_head: 4,
    n_text_layer: 2,
};

/// A tensor by openai/whisper's name: values that are f16 numbers.
pub(super) struct Weight {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl Weight {
    fn halves(&self) -> Vec<u8> {
        self.values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect()
    }

    fn singles(&self) -> Vec<u8> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }
}

/// Some of a model's tensors, one of each kind.
pub(super) fn weights() -> Vec<Weight> {
    let shapes: [(&str, &[usize]); 9] = [
        ("encoder.conv1.weight", &[8, 80, 3]),
        ("encoder.conv1.bias", &[8]),
        ("encoder.positional_embedding", &[6, 8]),
        ("encoder.blocks.0.attn.key.weight", &[8, 8]),
        ("encoder.ln_post.bias", &[8]),
        ("decoder.positional_embedding", &[4, 8]),
        ("decoder.token_embedding.weight", &[51, 8]),
        ("decoder.blocks.1.cross_attn.out.weight", &[8, 8]),
        ("decoder.blocks.1.mlp.0.weight", &[32, 8]),
    ];
    let mut seed = 1_u32;
    let mut draw = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f16::from_f32((seed >> 8) as f32 / (1 << 23) as f32 - 1.0).to_f32()
    };
    let weight = |(name, shape): (&str, &[usize])| Weight {
        name: name.to_owned(),
        shape: shape.to_vec(),
        values: (0..shape.iter().product()).map(|_| draw()).collect(),
    };
    shapes.map(weight).into()
}

pub(super) fn config() -> serde_json::Value {
    json!({
        "model_type": "whisper", "activation_function": "gelu", "num_mel_bins": DIMS.n_mels,
        "vocab_size": DIMS.n_vocab, "d_model": DIMS.n_audio_state, "encoder_layers": DIMS.n_audio_layer,
        "decoder_layers": DIMS.n_text_layer, "encoder_attention_heads": DIMS.n_audio_head,
        "decoder_attention_heads": DIMS.n_text_head, "encoder_ffn_dim": 4 * DIMS.n_audio_state,
        "max_source_positions": DIMS.n_audio_ctx, "max_target_positions": DIMS.n_text_ctx, "scale_embedding": false,
    })
}

fn sizes() -> [(&'static str, usize); 10] {
    [
        ("n_mels", DIMS.n_mels),
        ("n_vocab", DIMS.n_vocab),
        ("n_audio_ctx", DIMS.n_audio_ctx),
        ("n_audio_state", DIMS.n_audio_state),
        ("n_audio_head", DIMS.n_audio_head),
        ("n_audio_layer", DIMS.n_audio_layer),
        ("n_text_ctx", DIMS.n_text_ctx),
        ("n_text_state", DIMS.n_text_state),
        ("n_text_head", DIMS.n_text_head),
        ("n_text_layer", DIMS.n_text_layer),
    ]
}

/// A table of contents and data behind it.
pub(super) fn safetensors_file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// f16, under names that `rename` gives.
pub(super) fn safetensors(weights: &[Weight], with_dims: bool, rename: impl Fn(&str) -> String) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    if with_dims {
        let dims: serde_json::Map<_, _> =
            sizes().map(|(name, size)| (name.to_owned(), json!(size.to_string()))).into_iter().collect();
        header.insert("__metadata__".to_owned(), dims.into());
    }
    for weight in weights {
        let start = data.len();
        data.extend(weight.halves());
        let info = json!({"dtype": "F16", "shape": weight.shape, "data_offsets": [start, data.len()]});
        header.insert(rename(&weight.name), info);
    }
    safetensors_file(&serde_json::Value::from(header).to_string(), &data)
}

/// As whisper.cpp: the vocabulary is `tokens`; matrices are f16, the rest f32.
pub(super) fn ggml(weights: &[Weight], tokens: &[&[u8]]) -> Vec<u8> {
    let d = DIMS;
    let header = [d.n_vocab, d.n_audio_ctx, d.n_audio_state, d.n_audio_head, d.n_audio_layer];
    let header =
        header.into_iter().chain([d.n_text_ctx, d.n_text_state, d.n_text_head, d.n_text_layer, d.n_mels]);
    let mut file = b"lmgg".to_vec();
    let ints = |file: &mut Vec<u8>, values: &[usize]| {
        file.extend(values.iter().flat_map(|value| (*value as i32).to_le_bytes()));
    };
    ints(&mut file, &header.chain([2001, d.n_mels, 2]).collect::<Vec<_>>());
    file.extend(vec![0; 4 * 2 * d.n_mels]);
    ints(&mut file, &[tokens.len()]);
    for token in tokens {
        ints(&mut file, &[token.len()]);
        file.extend(*token);
    }
    for weight in weights {
        let mut shape = weight.shape.clone();
        if weight.name == "encoder.conv1.bias" {
            shape.push(1);
        }
        let is_single = shape.len() < 2 || shape[1] == 1 || weight.name.ends_with("positional_embedding");
        ints(&mut file, &[shape.len(), weight.name.len(), usize::from(!is_single)]);
        ints(&mut file, &shape.into_iter().rev().collect::<Vec<_>>());
        file.extend(weight.name.as_bytes());
        file.extend(if is_single { weight.singles() } else { weight.halves() });
    }
    file
}

/// As openai/whisper, f16: the first half of the tensors in one storage, the others in one each.
pub(super) fn torch(weights: &[Weight]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut write = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("tiny/{name}"), SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    };
    let (shared, single) = weights.split_at(weights.len() / 2);
    let mut state = b"}(".to_vec();
    let mut storage = Vec::new();
    for weight in shared {
        state.extend(tensor_pickle(weight, "shared", storage.len() / 2));
        storage.extend(weight.halves());
    }
    for (i, weight) in single.iter().enumerate() {
        state.extend(tensor_pickle(weight, &i.to_string(), 0));
    }
    state.push(b'u');
    let dims: Vec<u8> = sizes().iter().flat_map(|(name, size)| [text(name), int(*size)].concat()).collect();
    let pickle =
        [b"\x80\x02}(", &*text("dims"), b"}(", &dims, b"u", &text("model_state_dict"), &state, b"u."]
            .concat();
    write("data.pkl", &pickle);
    write("byteorder", b"little");
    write("data/shared", &storage);
    for (i, weight) in single.iter().enumerate() {
        write(&format!("data/{i}"), &weight.halves());
    }
    zip.finish().unwrap().into_inner()
}

/// The name of a tensor and the call that makes it.
fn tensor_pickle(weight: &Weight, storage: &str, offset: usize) -> Vec<u8> {
    let tuple = |sizes: &[usize]| {
        [b"(", &*sizes.iter().flat_map(|size| int(*size)).collect::<Vec<_>>(), b"t"].concat()
    };
    let strides: Vec<usize> = (1..=weight.shape.len()).map(|i| weight.shape[i..].iter().product()).collect();
    let id =
        [b"(", &*text("storage"), b"ctorch\nHalfStorage\n", &text(storage), &text("cpu"), &int(9), b"tQ"]
            .concat();
    let hooks = b"\x89ccollections\nOrderedDict\n)R";
    let arguments = [b"(", &*id, &int(offset), &tuple(&weight.shape), &tuple(&strides), hooks, b"t"].concat();
    [&*text(&weight.name), b"ctorch._utils\n_rebuild_tensor_v2\n", &arguments, b"R"].concat()
}

pub(super) fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

pub(super) fn int(value: usize) -> Vec<u8> {
    [b"J", &(value as i32).to_le_bytes()[..]].concat()
}
