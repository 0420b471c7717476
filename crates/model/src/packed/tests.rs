use std::fs;

use half::f16;
use proptest::prelude::*;
use safetensors::tensor::TensorView;
use serde_json::json;

use super::*;
use crate::{Dims, LoadOptions, Model};

const DIMS: Dims = Dims {
    n_mels: 80,
    n_audio_ctx: 6,
    n_audio_state: 64,
    n_audio_head: 1,
    n_audio_layer: 1,
    n_vocab: 51865,
    n_text_ctx: 4,
    n_text_state: 64,
    n_text_head: 1,
    n_text_layer: 1,
};

/// Writes a model whose encoder has `weight` everywhere in its block.
fn write_model(folder: &Path, weight: f32) -> PathBuf {
    let checkpoint = Checkpoint::random("random", DIMS);
    let changed = |len: usize| f16::from_f32(weight).to_le_bytes().repeat(len);
    let tensors = checkpoint.tensors().map(|tensor| {
        let is_changed = tensor.name().starts_with("encoder.blocks");
        let bytes = if is_changed { changed(tensor.len()) } else { tensor.bytes().to_vec() };
        (tensor.name().to_owned(), tensor.shape().to_vec(), bytes)
    });
    let tensors: Vec<_> = tensors.collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(safetensors::Dtype::F16, shape.clone(), bytes).unwrap())
    });
    let path = folder.join("model.safetensors");
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    let config = json!({
        "model_type": "whisper", "activation_function": "gelu", "num_mel_bins": DIMS.n_mels,
        "vocab_size": DIMS.n_vocab, "d_model": DIMS.n_audio_state, "encoder_layers": 1, "decoder_layers": 1,
        "encoder_attention_heads": 1, "decoder_attention_heads": 1, "encoder_ffn_dim": 4 * DIMS.n_audio_state,
        "max_source_positions": DIMS.n_audio_ctx, "max_target_positions": DIMS.n_text_ctx, "scale_embedding": false,
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    path
}

/// What a model says of a window.
fn features(path: &Path, keep_packed: bool) -> Vec<f32> {
    let options = LoadOptions { threads: 2, precision: Precision::Int8, keep_packed };
    let mel: Vec<f32> = (0..80 * 12).map(|idx| (idx % 17) as f32 / 17.0).collect();
    Model::load(path, &options).unwrap().encode(&mel).rows
}

fn packed_files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "packed")).collect()
}

#[test]
fn a_model_is_the_same_from_its_packed_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_model(folder.path(), 0.125);
    let expected = features(&path, false);
    assert!(packed_files(folder.path()).is_empty());
    assert_eq!(features(&path, true), expected);
    let [packed] = &packed_files(folder.path())[..] else { panic!("no packed weights were kept") };

    let options = |precision| LoadOptions { threads: 1, precision, keep_packed: true };
    let checkpoint = Checkpoint::open(&path).unwrap();
    let kept = Packed::beside(&checkpoint, Precision::Int8).unwrap();
    for name in ["encoder.conv1", "encoder.blocks.0.mlp.2", "decoder.token_embedding"] {
        assert!(kept.found.as_ref().unwrap().layers.contains_key(name), "{name} was not kept");
    }
    let written = fs::metadata(packed).unwrap().modified().unwrap();
    assert_eq!(features(&path, true), expected);
    assert_eq!(fs::metadata(packed).unwrap().modified().unwrap(), written, "it was written again");

    Model::load(&path, &options(Precision::F32)).unwrap();
    assert_eq!(packed_files(folder.path()).len(), 1, "f32 was kept too");
}

#[test]
fn packed_weights_of_another_model_are_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_model(folder.path(), 0.125);
    let before = features(&path, true);
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    write_model(folder.path(), 0.25);
    // As long, and of the same time.
    fs::File::open(&path).unwrap().set_modified(modified).unwrap();
    let (expected, found) = (features(&path, false), features(&path, true));
    assert!(found == expected && found != before, "the features are not those of the weights");
    assert_eq!(packed_files(folder.path()).len(), 1);
}

fn layers() -> BTreeMap<String, (Words, usize)> {
    let words = |first: u32, len: usize| {
        let mut words = Aligned::zeroed(len);
        words.words_mut().iter_mut().zip(first..).take(len).for_each(|(word, x)| *word = x);
        Arc::new(words)
    };
    BTreeMap::from([("a".to_owned(), (words(1, 100), 100)), ("b".to_owned(), (words(7, 33), 20))])
}

fn origin() -> Origin {
    Origin { version: VERSION, layout: "int8-bf16-32x16".to_owned(), files: Vec::new() }
}

proptest! {
    #[test]
    fn damage_is_noticed(at in 0.0..1.0, byte: u8, cut in proptest::option::of(0.0..1.0)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.packed");
        write(&path, origin(), &layers()).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let at = (at * bytes.len() as f64) as usize;
        bytes[at] ^= byte;
        if let Some(cut) = cut {
            bytes.truncate((cut * bytes.len() as f64) as usize);
        }
        fs::write(&path, &bytes).unwrap();
        let found = Found::open(&path, &origin());
        if byte == 0 && cut.is_none() {
            prop_assert!(found.is_some());
        }
        for (name, (words, len)) in layers() {
            let part = found.as_ref().and_then(|found| found.layer(&name, len));
            if let Some(part) = &part {
                prop_assert_eq!(&part.words()[..len], &words.words()[..len]);
            }
            prop_assert!(part.is_some() || byte != 0 || cut.is_some());
            prop_assert!(found.as_ref().is_none_or(|found| found.layer(&name, len + 1).is_none()));
        }
    }
}

#[test]
fn another_layout_or_state_of_the_files_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.packed");
    write(&path, origin(), &layers()).unwrap();
    assert!(Found::open(&path, &origin()).is_some());
    assert!(Found::open(&path, &Origin { version: VERSION + 1, ..origin() }).is_none());
    assert!(Found::open(&path, &Origin { layout: "int8-16x1".to_owned(), ..origin() }).is_none());
}
