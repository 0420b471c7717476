mod hostile;
mod write;

use std::fs;

use serde_json::json;

use self::write::{DIMS, Weight, ggml, safetensors, torch, weights};
use super::*;

/// A file of the data beside the repository.
pub(super) fn shared(path: &str) -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    std::env::var_os("BOSWELL_SHARED").map_or(here, PathBuf::from).join(path)
}

/// All tensors of a network of these dimensions, by openai/whisper's names.
fn network(dims: &Dims) -> Vec<(String, Vec<usize>)> {
    let d = *dims;
    let mut tensors = vec![
        ("encoder.conv1.weight".to_owned(), vec![d.n_audio_state, d.n_mels, 3]),
        ("encoder.conv1.bias".to_owned(), vec![d.n_audio_state]),
        ("encoder.conv2.weight".to_owned(), vec![d.n_audio_state, d.n_audio_state, 3]),
        ("encoder.conv2.bias".to_owned(), vec![d.n_audio_state]),
        ("encoder.positional_embedding".to_owned(), vec![d.n_audio_ctx, d.n_audio_state]),
        ("encoder.ln_post.weight".to_owned(), vec![d.n_audio_state]),
        ("encoder.ln_post.bias".to_owned(), vec![d.n_audio_state]),
        ("decoder.token_embedding.weight".to_owned(), vec![d.n_vocab, d.n_text_state]),
        ("decoder.positional_embedding".to_owned(), vec![d.n_text_ctx, d.n_text_state]),
        ("decoder.ln.weight".to_owned(), vec![d.n_text_state]),
        ("decoder.ln.bias".to_owned(), vec![d.n_text_state]),
    ];
    let sides = [("encoder", d.n_audio_layer, d.n_audio_state), ("decoder", d.n_text_layer, d.n_text_state)];
    for (side, n_layer, n) in sides {
        for layer in 0..n_layer {
            let mut add = |part: &str, shape: &[usize]| {
                tensors.push((format!("{side}.blocks.{layer}.{part}"), shape.to_vec()));
            };
            for attention in if side == "encoder" { &["attn"][..] } else { &["attn", "cross_attn"] } {
                for part in ["query", "key", "value", "out"] {
                    add(&format!("{attention}.{part}.weight"), &[n, n]);
                    if part != "key" {
                        add(&format!("{attention}.{part}.bias"), &[n]);
                    }
                }
                add(&format!("{attention}_ln.weight"), &[n]);
                add(&format!("{attention}_ln.bias"), &[n]);
            }
            add("mlp.0.weight", &[4 * n, n]);
            add("mlp.0.bias", &[4 * n]);
            add("mlp.2.weight", &[n, 4 * n]);
            add("mlp.2.bias", &[n]);
            add("mlp_ln.weight", &[n]);
            add("mlp_ln.bias", &[n]);
        }
    }
    tensors
}

#[test]
#[ignore = "needs ../shared"]
fn golden_models_are_the_same_in_every_format() {
    for (a, b) in [("tiny.hf.safetensors", "tiny.openai.safetensors"), ("micro.pt", "micro.ggml.bin")] {
        let [a, b] = [a, b].map(|name| Checkpoint::open(&shared("golden/model").join(name)).unwrap());
        assert_eq!(a.dims(), b.dims());
        for (name, shape) in network(a.dims()) {
            let [a, b] = [&a, &b].map(|checkpoint| checkpoint.tensor(&name, &shape).unwrap());
            assert_eq!(a.to_f32().unwrap(), b.to_f32().unwrap(), "{name}");
        }
        assert_eq!(network(a.dims()).len(), a.tensors.len());
        assert_eq!(a.n_parameters(), b.n_parameters());
        assert_eq!(a.generation().alignment_heads, b.generation().alignment_heads);
        let [a, b] = [a, b].map(|checkpoint| checkpoint.tokenizer().unwrap());
        assert!((0..a.n_vocab() as u32).all(|id| a.token_bytes(id) == b.token_bytes(id)));
    }
}

#[test]
#[ignore = "needs ../shared"]
fn the_real_encoder_opens_without_its_decoder() {
    let checkpoint = Checkpoint::open(&shared("models/whisper-base-encoder")).unwrap();
    assert_eq!(checkpoint.name(), "whisper-base-encoder");
    for (name, shape) in network(checkpoint.dims()).iter().filter(|(name, _)| name.starts_with("encoder")) {
        checkpoint.tensor(name, shape).unwrap().to_f32().unwrap();
    }
    let error = checkpoint.tensor("decoder.ln.bias", &[512]).unwrap_err().to_string();
    assert!(error.starts_with("tensor `model.decoder.layer_norm.bias` is missing from"), "{error}");
    let stored = checkpoint.tensor("encoder.positional_embedding", &[1500, 512]).unwrap().to_f32().unwrap();
    let computed = sinusoids("positions".to_owned(), &[1500, 512]).to_f32().unwrap();
    let worst = stored.iter().zip(&computed).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 5e-4, "{worst}");
}

#[test]
#[ignore = "needs ../shared"]
fn headers_of_whisper_cpp_bring_their_vocabulary() {
    for (name, n_vocab, n_layer) in
        [("for-tests-ggml-tiny.bin", 51865, 4), ("for-tests-ggml-base.en.bin", 51864, 6)]
    {
        let checkpoint = Checkpoint::open(&shared("assets").join(name)).unwrap();
        assert_eq!((checkpoint.dims().n_vocab, checkpoint.dims().n_text_layer), (n_vocab, n_layer));
        assert!(checkpoint.tokens.is_some());
        let (found, expected) = (checkpoint.tokenizer().unwrap(), Tokenizer::embedded(n_vocab).unwrap());
        assert!((0..n_vocab as u32).all(|id| found.token_bytes(id) == expected.token_bytes(id)), "{name}");
        assert_eq!(found.special(), expected.special());
    }
    let error = Checkpoint::open(&shared("assets/for-tests-silero-v6.2.0-ggml.bin")).unwrap_err().to_string();
    assert!(error.ends_with("n_mels is 8454144, expected 1 to 128"), "{error}");
}

fn same(checkpoint: &Checkpoint, weights: &[Weight]) {
    for weight in weights {
        let tensor = checkpoint.tensor(&weight.name, &weight.shape).unwrap();
        assert_eq!(tensor.to_f32().unwrap(), weight.values, "{}", weight.name);
    }
}

fn hugging_face(name: &str) -> String {
    Naming::HuggingFace { prefix: "model." }.stored(name)
}

#[test]
fn every_format_gives_the_same_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let weights = weights();
    fs::write(folder.path().join("config.json"), write::config().to_string()).unwrap();
    let files = [
        ("a", safetensors(&weights, true, str::to_owned), Format::Safetensors),
        ("b", safetensors(&weights, false, hugging_face), Format::Safetensors),
        (
            "c",
            safetensors(&weights, false, |name| hugging_face(name).replace("model.", "")),
            Format::Safetensors,
        ),
        ("d.bin", torch(&weights), Format::Torch),
        ("e.pt", ggml(&weights, &[]), Format::Ggml),
    ];
    for (name, bytes, format) in files {
        let path = folder.path().join(name);
        fs::write(&path, &bytes).unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        assert_eq!((checkpoint.format(), *checkpoint.dims()), (format, DIMS), "{name}");
        assert_eq!(checkpoint.n_bytes(), bytes.len() as u64);
        let n_parameters: usize = weights.iter().map(|weight| weight.values.len()).sum();
        assert_eq!(checkpoint.n_parameters(), n_parameters as u64);
        same(&checkpoint, &weights);
    }
    let bytes = safetensors(&weights, false, hugging_face);
    same(&Checkpoint::from_bytes("built-in", &write::config().to_string(), None, bytes).unwrap(), &weights);
}

#[test]
fn shards_make_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let weights = weights();
    let (first, second) = weights.split_at(4);
    let shard_of = |weights: &[Weight], shard: &str| -> Vec<_> {
        weights.iter().map(|weight| (hugging_face(&weight.name), json!(shard))).collect()
    };
    let map = [shard_of(first, "1-of-2.safetensors"), shard_of(second, "2-of-2.safetensors")].concat();
    let index = json!({"metadata": {}, "weight_map": serde_json::Map::from_iter(map.clone())});
    write("model.safetensors.index.json", index.to_string().as_bytes());
    write("config.json", write::config().to_string().as_bytes());
    write("1-of-2.safetensors", &safetensors(first, false, hugging_face));
    let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("cannot read") && error.ends_with("2-of-2.safetensors`"), "{error}");
    write("2-of-2.safetensors", &safetensors(&second[1..], false, hugging_face));
    let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
    let name = hugging_face(&second[0].name);
    assert!(error.starts_with(&format!("tensor `{name}` is missing from")), "{error}");
    write("2-of-2.safetensors", &safetensors(second, false, hugging_face));
    same(&Checkpoint::open(folder.path()).unwrap(), &weights);
    same(&Checkpoint::open(&folder.path().join("model.safetensors.index.json")).unwrap(), &weights);

    let index = json!({"weight_map": {"encoder.conv1.bias": "../elsewhere.safetensors"}});
    write("model.safetensors.index.json", index.to_string().as_bytes());
    let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
    let expected = "the shard of tensor `encoder.conv1.bias` is \"../elsewhere.safetensors\", expected";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn what_belongs_to_the_weights_is_found_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let weights = weights();
    write("tiny.hf.safetensors", &safetensors(&weights, false, hugging_face));
    let path = folder.path().join("tiny.hf.safetensors");
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(error.ends_with("has no config.json, and the weights do not say their dimensions"), "{error}");
    let mut other = write::config();
    other["max_source_positions"] = json!(7);
    write("config.json", other.to_string().as_bytes());
    assert_eq!(Checkpoint::open(&path).unwrap().dims().n_audio_ctx, 7);
    write("tiny.config.json", write::config().to_string().as_bytes());
    write("tiny.generation_config.json", br#"{"alignment_heads": [[1, 3]]}"#);
    write("vocab.json", br#"{"a": 0}"#);
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!((checkpoint.dims(), checkpoint.name()), (&DIMS, "tiny.hf"));
    assert_eq!(checkpoint.generation().alignment_heads, [(1, 3)]);
    let error = checkpoint.tokenizer().unwrap_err().to_string();
    assert!(error.contains("vocab.json` has no token for the byte 0x00"), "{error}");

    let empty = tempfile::tempdir().unwrap();
    let error = Checkpoint::open(empty.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("has no model.safetensors, model.safetensors.index.json or pytorch_model.bin"),
        "{error}"
    );
}

#[test]
fn an_output_projection_stands_for_the_embedding() {
    let weights = weights();
    let rename = |name: &str| match name {
        "decoder.token_embedding.weight" => "proj_out.weight".to_owned(),
        _ => hugging_face(name),
    };
    let bytes = safetensors(&weights, false, rename);
    same(&Checkpoint::from_bytes("m", &write::config().to_string(), None, bytes).unwrap(), &weights);
}

#[test]
fn only_a_missing_positional_table_is_computed() {
    let weights: Vec<_> =
        weights().into_iter().filter(|weight| !weight.name.ends_with("embedding")).collect();
    let bytes = safetensors(&weights, false, hugging_face);
    let checkpoint = Checkpoint::from_bytes("m", &write::config().to_string(), None, bytes).unwrap();
    let table = checkpoint.tensor("encoder.positional_embedding", &[6, 8]).unwrap().to_f32().unwrap();
    // Row 2: sin and cos of 2 / 10000^(i/3).
    let expected =
        [0.909_297, 0.092_698_5, 0.004_308_86, 0.0002, -0.416_146_8, 0.995_694_2, 0.999_990_7, 1.0];
    assert!(table[16..24].iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{:?}", &table[16..24]);
    assert!(matches!(
        checkpoint.tensor("decoder.positional_embedding", &[4, 8]),
        Err(Error::MissingTensor { .. })
    ));
}

#[test]
fn wrong_shapes_and_types_are_named() {
    let header = json!({"encoder.conv1.bias": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]},
        "encoder.embed_positions.weight": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}});
    let file = write::safetensors_file(&header.to_string(), &[0; 8]);
    let checkpoint = Checkpoint::from_bytes("m", &write::config().to_string(), None, file).unwrap();
    let message = |name, shape: &[usize]| checkpoint.tensor(name, shape).unwrap_err().to_string();
    assert_eq!(
        message("encoder.positional_embedding", &[6, 8]),
        "tensor `encoder.embed_positions.weight` has shape [1, 2], expected [6, 8]"
    );
    assert_eq!(
        message("encoder.conv1.bias", &[1]),
        "tensor `encoder.conv1.bias` has type I64, expected f32, f16 or bf16"
    );
    let missing = "tensor `encoder.layers.0.fc1.bias` is missing from `m`, which has 2 others";
    assert_eq!(message("encoder.blocks.0.mlp.0.bias", &[32]), missing);
}
