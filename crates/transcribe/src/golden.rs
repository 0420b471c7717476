//! Where tests find the reference's numbers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use boswell_audio::AudioReader;
use boswell_model::{LoadOptions, Model, Precision, Task, Tokenizer};
use serde_json::Value;

use crate::{Options, SuppressTokens};

/// The folder with the shared data: `BOSWELL_SHARED`, else `shared` beside the workspace.
pub(crate) fn shared() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    std::env::var_os("BOSWELL_SHARED").map_or_else(beside, PathBuf::from)
}

/// A file of `golden/`, as text.
pub(crate) fn text(path: &str) -> String {
    let path = shared().join("golden").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file of `golden/`, parsed.
pub(crate) fn json(path: &str) -> Value {
    serde_json::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A tensor of f32 in a safetensors file of `golden/`: its shape and numbers.
pub(crate) fn tensor(path: &str, name: &str) -> (Vec<usize>, Vec<f32>) {
    let bytes = std::fs::read(shared().join("golden").join(path)).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(name).unwrap();
    assert_eq!(view.dtype(), safetensors::Dtype::F32, "{name}");
    let numbers = view.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
    (view.shape().to_vec(), numbers.collect())
}

/// Token ids in a list.
pub(crate) fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Numbers in a list, or in a text with commas between.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    match value.as_str() {
        Some(text) => text.split(',').map(|number| number.parse().unwrap()).collect(),
        None => serde_json::from_value(value.clone()).unwrap(),
    }
}

/// The number with the same digits: what is written 0.2 stays 0.2.
pub(crate) fn widened(number: f32) -> f64 {
    number.to_string().parse().unwrap()
}

/// The embedded vocabulary with that many tokens.
pub(crate) fn tokenizer(n_vocab: usize) -> &'static Tokenizer {
    static MADE: [OnceLock<Tokenizer>; 3] = [const { OnceLock::new() }; 3];
    let kind = n_vocab
        .checked_sub(51864)
        .and_then(|kind| MADE.get(kind))
        .expect("a vocabulary of that size is known");
    kind.get_or_init(|| Tokenizer::embedded(n_vocab).unwrap())
}

/// A model of `golden/model`: the file, and which outputs are its.
pub(crate) struct GoldenModel {
    pub(crate) model: Arc<Model>,
    /// For messages.
    pub(crate) file: &'static str,
    /// `tiny_outputs.json` or `micro_outputs.json`.
    pub(crate) outputs: Value,
}

/// The models of `golden/model`, each in both of its formats.
pub(crate) fn models() -> impl Iterator<Item = GoldenModel> {
    models_in(Precision::F32)
}

/// The same models with weights in other numbers.
pub(crate) fn models_in(precision: Precision) -> impl Iterator<Item = GoldenModel> {
    let folder = shared().join("golden/model");
    let files = ["tiny.hf.safetensors", "tiny.openai.safetensors", "micro.pt", "micro.ggml.bin"];
    files.into_iter().map(move |file| {
        let name = file.split('.').next().unwrap();
        let path = folder.join(file);
        let loaded = match file {
            "tiny.hf.safetensors" => load(hugging_face_folder(&folder, name).path(), precision),
            _ => load(&path, precision),
        };
        GoldenModel { model: Arc::new(loaded), file, outputs: json(&format!("model/{name}_outputs.json")) }
    })
}

/// The model `tiny` whose `generation_config.json` says something else in some fields.
pub(crate) fn model_that(fields: &[(&str, Value)]) -> Model {
    let folder = hugging_face_folder(&shared().join("golden/model"), "tiny");
    let path = folder.path().join("generation_config.json");
    let mut generation: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    fields.iter().for_each(|(name, value)| generation[name] = value.clone());
    // The copy is as read-only as the original.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, generation.to_string()).unwrap();
    load(folder.path(), Precision::F32)
}

fn load(path: &Path, precision: Precision) -> Model {
    let options = LoadOptions { precision, ..LoadOptions::default() };
    Model::load(path, &options).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a model under the names that they have in a Hugging Face repository.
fn hugging_face_folder(folder: &Path, name: &str) -> tempfile::TempDir {
    let names = [
        ("hf.safetensors", "model.safetensors"),
        ("config.json", "config.json"),
        ("generation_config.json", "generation_config.json"),
    ];
    let made = tempfile::tempdir().unwrap();
    for (from, to) in names {
        std::fs::copy(folder.join(format!("{name}.{from}")), made.path().join(to)).unwrap();
    }
    made
}

/// A recording of `assets/`.
pub(crate) fn waveform(path: &str) -> Vec<f32> {
    let mut reader = AudioReader::open(&shared().join("assets").join(path)).unwrap();
    let (mut waveform, mut chunk) = (Vec::new(), Vec::new());
    while reader.next_chunk(&mut chunk).unwrap() {
        waveform.extend_from_slice(&chunk);
    }
    waveform
}

/// Options as openai/whisper's `transcribe` and `DecodingOptions` take them; ids of a prefix are turned into text.
///
pub(crate) fn options(given: &Value, tokenizer: &Tokenizer) -> Options {
    let mut options = Options::default();
    for (name, value) in given.as_object().unwrap() {
        match name.as_str() {
            "temperature" => {
                let numbers = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                options.temperatures = numbers.iter().map(|number| number.as_f64().unwrap() as f32).collect();
            }
            "task" if value == "translate" => options.task = Task::Translate,
            "language" => options.language = value.as_str().map(str::to_owned),
            "compression_ratio_threshold" => options.compression_ratio_threshold = value.as_f64(),
            "logprob_threshold" => options.logprob_threshold = value.as_f64(),
            "no_speech_threshold" => options.no_speech_threshold = value.as_f64(),
            "condition_on_previous_text" => options.condition_on_previous_text = value.as_bool().unwrap(),
            "carry_initial_prompt" => options.carry_initial_prompt = value.as_bool().unwrap(),
            "initial_prompt" => options.initial_prompt = value.as_str().map(str::to_owned),
            "clip_timestamps" => options.clip_timestamps = numbers(value),
            "without_timestamps" => options.without_timestamps = value.as_bool().unwrap(),
            "max_initial_timestamp" => options.max_initial_timestamp = value.as_f64(),
            "suppress_blank" => options.suppress_blank = value.as_bool().unwrap(),
            "suppress_tokens" if value == "" => {
                options.suppress_tokens = SuppressTokens { non_speech: false, ids: Vec::new() };
            }
            "sample_len" => options.max_new_tokens = value.as_u64().map(|n| n as usize),
            "prefix" => options.prefix = Some(tokenizer.decode(&ids(value))),
            "beam_size" => options.beam_size = value.as_u64().unwrap() as usize,
            "best_of" => options.best_of = value.as_u64().unwrap() as usize,
            "patience" => options.patience = value.as_f64().unwrap(),
            "word_timestamps" => options.word_timestamps = value.as_bool().unwrap(),
            "hallucination_silence_threshold" => options.hallucination_silence_threshold = value.as_f64(),
            "length_penalty" => options.length_penalty = value.as_f64(),
            "prompt" => {}
            other => panic!("option {other} is {value}, which is not known here"),
        }
    }
    options
}
