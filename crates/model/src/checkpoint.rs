//! The weights of a model, in whatever format they come.
//!
//! Formats are recognised by content. Opening a checkpoint maps its files and reads their tables of contents; no
//! weight is touched before it is asked for with [`Checkpoint::tensor`], by openai/whisper's name and with the shape
//! that the dimensions give it.

mod config;
mod ggml;
mod names;
mod pickle;
mod random;
mod safetensors;
mod storage;
mod tensor;
mod torch;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use self::names::{Naming, TIED};
pub(crate) use self::storage::Stamp;
use self::storage::Storage;
pub use self::tensor::{Dtype, Tensor};
use crate::tokenizer::Vocabulary;
use crate::{Dims, Error, Generation, Tokenizer};

/// The file formats that checkpoints come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One or several `.safetensors` files, as Hugging Face publishes models.
    Safetensors,
    /// PyTorch's zip archive of a pickle and its storages: openai/whisper's `.pt`, Hugging Face's `.bin`.
    Torch,
    /// whisper.cpp's `.bin`.
    Ggml,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Safetensors => "safetensors",
            Self::Torch => "PyTorch",
            Self::Ggml => "ggml",
        })
    }
}

/// How much of a checkpoint is stored as one [`Dtype`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// The number of tensors.
    pub n_tensors: usize,
    /// The number of their values.
    pub n_parameters: u64,
    /// Their size in bytes, as stored.
    pub n_bytes: u64,
}

/// The weights of a model and what belongs to them: dimensions, how to decode, vocabulary.
///
/// Immutable; share it between threads as you like.
pub struct Checkpoint {
    name: String,
    path: Option<PathBuf>,
    format: Format,
    dims: Dims,
    generation: Generation,
    naming: Naming,
    files: Vec<Storage>,
    tensors: HashMap<String, Entry>,
    /// Where each text token stands in the only file; only ggml files have them.
    tokens: Option<Vec<Range<usize>>>,
}

/// Where a tensor is: proven to lie within its file, and to have as many bytes as its shape needs.
struct Entry {
    /// How it is stored, or the name of a type that no weights have.
    dtype: Result<Dtype, String>,
    /// Row-major.
    shape: Vec<usize>,
    /// Index into [`Checkpoint::files`].
    file_idx: usize,
    bytes: Range<usize>,
}

/// What a reader of one format finds in a file.
struct Contents {
    tensors: HashMap<String, Entry>,
    /// The dimensions, if the file itself has them.
    dims: Option<Dims>,
    /// As in [`Checkpoint`].
    tokens: Option<Vec<Range<usize>>>,
}

impl Checkpoint {
    /// Opens a model: a directory as Hugging Face publishes them, or a file of any [`Format`].
    ///
    /// A directory has `model.safetensors`, `model.safetensors.index.json` or `pytorch_model.bin`. Weights that do
    /// not say their own dimensions need a `config.json` beside them, and may have a `generation_config.json` and a
    /// vocabulary (`tokenizer.json`, or `vocab.json` and `added_tokens.json`). For `NAME.x.safetensors`, files called
    /// `NAME.config.json` and so on are preferred, so that several models can share a directory.
    ///
    /// Tensors are checked when they are asked for, so that a part of a model can be opened too.
    ///
    /// # Errors
    /// Whatever makes a file no model: unknown format, cut off, fields or types that cannot be.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let weights = if path.is_dir() { weights_in(path)? } else { path.to_owned() };
        let is_index = weights.to_string_lossy().ends_with(".index.json");
        let (format, files, contents) = if is_index { open_shards(&weights)? } else { open_file(&weights)? };
        let (dims, generation) = match contents.dims {
            Some(dims) => (dims, Generation::new(&dims, &weights.to_string_lossy())),
            None => read_config(&weights)?,
        };
        let named = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let name = if path.is_dir() { named.file_name() } else { named.file_stem() };
        Ok(Self {
            name: name.unwrap_or_default().to_string_lossy().into_owned(),
            path: Some(weights),
            format,
            dims,
            generation,
            naming: Naming::of(contents.tensors.keys().map(String::as_str)),
            files,
            tensors: contents.tensors,
            tokens: contents.tokens,
        })
    }

    /// Opens a model that is in memory.
    ///
    /// - `name`: what to call it.
    /// - `config`: a `config.json`.
    /// - `generation`: a `generation_config.json`, if there is one.
    /// - `weights`: a `.safetensors` file, uncompressed.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(
        name: &str,
        config: &str,
        generation: Option<&str>,
        weights: Vec<u8>,
    ) -> Result<Self, Error> {
        let contents = safetensors::read(&weights, name, 0)?;
        let dims = config::read_dims(config, &format!("{name}/config.json"))?;
        let generation = match generation {
            Some(text) => Generation::from_json(text, &format!("{name}/generation_config.json"), &dims)?,
            None => Generation::new(&dims, name),
        };
        Ok(Self {
            name: name.to_owned(),
            path: None,
            format: Format::Safetensors,
            dims,
            generation,
            naming: Naming::of(contents.tensors.keys().map(String::as_str)),
            files: vec![Storage::Owned(weights)],
            tensors: contents.tensors,
            tokens: None,
        })
    }

    /// The sizes of the network.
    pub fn dims(&self) -> &Dims {
        &self.dims
    }

    /// How the model wants to be decoded.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// The directory's name, or the file's without its extension.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The weights' file (of shards: their index); `None` for a model in memory.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The states of all weights' files; `None` for a model in memory, or where the system does not tell.
    pub(crate) fn stamps(&self) -> Option<Vec<Stamp>> {
        self.files.iter().map(Storage::stamp).collect()
    }

    /// The format of the weights.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The size of all weights' files in bytes.
    pub fn n_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len() as u64).sum()
    }

    /// How much is stored as what.
    pub fn dtypes(&self) -> BTreeMap<Dtype, Share> {
        let mut shares = BTreeMap::<_, Share>::new();
        for entry in self.tensors.values() {
            let Ok(dtype) = &entry.dtype else { continue };
            let share = shares.entry(*dtype).or_default();
            share.n_tensors += 1;
            share.n_parameters += (entry.bytes.len() / dtype.block_bytes() * dtype.block_len()) as u64;
            share.n_bytes += entry.bytes.len() as u64;
        }
        shares
    }

    /// The number of weights.
    pub fn n_parameters(&self) -> u64 {
        self.dtypes().values().map(|share| share.n_parameters).sum()
    }

    /// The model's own vocabulary if it brings one, else the embedded one that fits its number of tokens.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Json`] or [`Error::Vocabulary`] if the model's vocabulary cannot be used, or
    /// [`Error::Vocabulary`] if it has none and no embedded one fits.
    pub fn tokenizer(&self) -> Result<Tokenizer, Error> {
        let file = self.label();
        if let Some(tokens) = &self.tokens {
            let tokens = tokens.iter().map(|range| &self.files[0][range.clone()]);
            return Vocabulary::listed(tokens, &file, self.dims.n_vocab).map(Tokenizer::new);
        }
        let beside = |name| self.path.as_deref().and_then(|path| config::beside(path, name));
        let vocabulary = if let Some(path) = beside("tokenizer.json") {
            Vocabulary::from_tokenizer_json(&config::read_text(&path)?, &label(&path), self.dims.n_vocab)?
        } else if let Some(path) = beside("vocab.json") {
            let added = beside("added_tokens.json").map(|path| config::read_text(&path)).transpose()?;
            let text = config::read_text(&path)?;
            Vocabulary::from_vocab_json(&text, added.as_deref(), &label(&path), self.dims.n_vocab)?
        } else {
            Vocabulary::embedded(&file, self.dims.n_vocab)?
        };
        Ok(Tokenizer::new(vocabulary))
    }

    /// All tensors of known types, in no order, by the names that the file gives them.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor<'_>> {
        self.tensors.iter().filter_map(|(name, entry)| {
            let dtype = *entry.dtype.as_ref().ok()?;
            Some(self.read(name.clone(), entry, dtype))
        })
    }

    /// Whether there is a tensor of this name (openai/whisper's); its shape and type may still be wrong.
    pub fn has_tensor(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// One tensor, as it is stored.
    ///
    /// - `name`: openai/whisper's, such as `encoder.blocks.0.attn.query.weight`, whatever the file calls it.
    /// - `shape`: row-major, `[out, in]` or `[out, in, 3]`.
    ///
    /// The encoder's positional table is computed if the file has none; the token embedding may stand in the file as
    /// the output projection to which it is tied.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::Shape`], or [`Error::Tensor`] if it is of a type that no weights have.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor<'_>, Error> {
        let Some((stored, entry)) = self.find(name) else {
            if name == "encoder.positional_embedding" {
                return Ok(sinusoids(self.naming.stored(name), shape));
            }
            let (name, found) = (self.naming.stored(name), self.tensors.len());
            return Err(Error::MissingTensor { name, file: self.label(), found });
        };
        if entry.shape != shape {
            return Err(Error::Shape { name: stored, found: entry.shape.clone(), expected: shape.to_vec() });
        }
        match &entry.dtype {
            Ok(dtype) => Ok(self.read(stored, entry, *dtype)),
            Err(found) => Err(Error::tensor(&stored, format!("type {found}"), "f32, f16 or bf16")),
        }
    }

    /// All values of a tensor as f32, row-major, for the last time: the memory that its bytes took goes back.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor), and [`Error::NotFinite`] if a value is infinite or not a number.
    pub(crate) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let values = self.tensor(name, shape)?.to_f32()?;
        if let Some((_, entry)) = self.find(name) {
            self.files[entry.file_idx].release(entry.bytes.clone());
        }
        Ok(values)
    }

    fn read(&self, name: String, entry: &Entry, dtype: Dtype) -> Tensor<'_> {
        let bytes = &self.files[entry.file_idx][entry.bytes.clone()];
        Tensor::new(name, entry.shape.clone(), dtype, Cow::Borrowed(bytes))
    }

    fn find(&self, name: &str) -> Option<(String, &Entry)> {
        let find = |stored: String| self.tensors.get(&stored).map(|entry| (stored, entry));
        let tied = || if name == TIED.0 { find(TIED.1.to_owned()) } else { None };
        find(self.naming.stored(name)).or_else(tied)
    }

    /// What errors call this checkpoint.
    fn label(&self) -> String {
        self.path.as_deref().map_or_else(|| self.name.clone(), label)
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, path, format, dims, .. } = self;
        let mut fields = f.debug_struct("Checkpoint");
        fields.field("name", name).field("path", path).field("format", format).field("dims", dims);
        fields.finish_non_exhaustive()
    }
}

/// Adds a tensor to a table of contents.
///
/// # Errors
/// [`Error::Tensor`] if the table has one of this name.
fn insert_new(tensors: &mut HashMap<String, Entry>, name: String, entry: Entry) -> Result<(), Error> {
    if tensors.contains_key(&name) {
        return Err(Error::tensor(&name, "a second entry in the file", "one"));
    }
    tensors.insert(name, entry);
    Ok(())
}

fn label(path: &Path) -> String {
    path.display().to_string()
}

/// The file with the weights, or with the index of their shards.
fn weights_in(folder: &Path) -> Result<PathBuf, Error> {
    let names = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"];
    names.into_iter().map(|name| folder.join(name)).find(|path| path.exists()).ok_or(Error::MissingFile {
        folder: folder.to_owned(),
        expected: "model.safetensors, model.safetensors.index.json or pytorch_model.bin",
    })
}

fn open_file(path: &Path) -> Result<(Format, Vec<Storage>, Contents), Error> {
    let storage = Storage::map(path)?;
    let file = label(path);
    let format = recognise(&storage, &file)?;
    let contents = match format {
        Format::Safetensors => safetensors::read(&storage, &file, 0)?,
        Format::Torch => torch::read(&storage, &file)?,
        Format::Ggml => ggml::read(&storage, &file)?,
    };
    Ok((format, vec![storage], contents))
}

fn open_shards(index: &Path) -> Result<(Format, Vec<Storage>, Contents), Error> {
    let shards = config::read_index(&config::read_text(index)?, &label(index))?;
    let mut files = Vec::new();
    let mut contents = Contents { tensors: HashMap::new(), dims: None, tokens: None };
    for (shard, names) in shards {
        let path = index.with_file_name(&shard);
        let storage = Storage::map(&path)?;
        let mut found = safetensors::read(&storage, &label(&path), files.len())?;
        for name in names {
            let Some(entry) = found.tensors.remove(&name) else {
                return Err(Error::MissingTensor { name, file: label(&path), found: found.tensors.len() });
            };
            contents.tensors.insert(name, entry);
        }
        files.push(storage);
    }
    Ok((Format::Safetensors, files, contents))
}

/// Tells the format of a file from its first bytes.
fn recognise(bytes: &[u8], file: &str) -> Result<Format, Error> {
    let found = match bytes {
        [b'P', b'K', 3, 4, ..] => return Ok(Format::Torch),
        [b'l', b'm', b'g', b'g', ..] => return Ok(Format::Ggml),
        [_, _, _, _, _, _, _, _, b'{', ..] => return Ok(Format::Safetensors),
        [b'G', b'G', b'U', b'F', ..] => "a GGUF file".to_owned(),
        [0x80, 2..=5, ..] => "a bare pickle, as PyTorch wrote before version 1.6".to_owned(),
        _ if bytes.starts_with(b"version https://git-lfs") => {
            "a Git LFS pointer, not the file itself".to_owned()
        }
        _ if bytes.trim_ascii_start().starts_with(b"<") => "an HTML or XML page".to_owned(),
        _ if bytes.trim_ascii_start().starts_with(b"{") => "a JSON file".to_owned(),
        _ => format!("of an unknown format (it begins with {:02x?})", &bytes[..bytes.len().min(8)]),
    };
    let expected = "a safetensors file, a PyTorch zip archive or a ggml file of whisper.cpp";
    Err(Error::Format { file: file.to_owned(), found, expected })
}

/// Reads `config.json` and `generation_config.json` beside the weights.
fn read_config(weights: &Path) -> Result<(Dims, Generation), Error> {
    let Some(path) = config::beside(weights, "config.json") else {
        let folder = weights.parent().unwrap_or(weights).to_owned();
        return Err(Error::MissingFile {
            folder,
            expected: "config.json, and the weights do not say their dimensions",
        });
    };
    let dims = config::read_dims(&config::read_text(&path)?, &label(&path))?;
    let generation = match config::beside(weights, "generation_config.json") {
        Some(path) => Generation::from_json(&config::read_text(&path)?, &label(&path), &dims)?,
        None => Generation::new(&dims, &weights.to_string_lossy()),
    };
    Ok((dims, generation))
}

/// The encoder's positional table, `[n_audio_ctx, n_audio_state]`.
///
/// Source: `sinusoids` in openai/whisper `whisper/model.py`.
fn sinusoids(name: String, shape: &[usize]) -> Tensor<'static> {
    let &[n_ctx, n_state] = shape else { panic!("`{name}`: a positional table has two axes, not {shape:?}") };
    let half = n_state / 2;
    let increment = 10000_f32.ln() / (half.max(2) - 1) as f32;
    let scales: Vec<f32> = (0..half).map(|i| (-increment * i as f32).exp()).collect();
    let row = |t: usize| {
        let angles = scales.iter().map(move |scale| t as f32 * scale);
        angles.clone().map(f32::sin).chain(angles.map(f32::cos))
    };
    let bytes: Vec<u8> = (0..n_ctx).flat_map(row).flat_map(f32::to_le_bytes).collect();
    Tensor::new(name, vec![n_ctx, 2 * half], Dtype::F32, Cow::Owned(bytes))
}

#[cfg(test)]
mod tests;
