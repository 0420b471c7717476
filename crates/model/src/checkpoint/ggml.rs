//! whisper.cpp's format: a header, mel filters, the vocabulary, then tensors until the file ends.

use std::collections::HashMap;
use std::ops::Range;

use super::{Contents, Dtype, Entry, insert_new};
use crate::{Dims, Error};

/// Tensors have at most as many axes in whisper.cpp.
const MAX_AXES: usize = 3;

/// Names are shorter in whisper.cpp's own files: 64 bytes with the terminator.
const MAX_NAME: usize = 256;

/// Reads the table of contents of a ggml file.
///
/// # Errors
/// [`Error::Truncated`] if a part does not fit into the file, [`Error::Field`] if a header has values that cannot be,
/// [`Error::Tensor`] if a tensor is of an unknown type or there twice.
///
/// Source: `whisper_model_load` in whisper.cpp `src/whisper.cpp`.
pub(super) fn read(file: &[u8], label: &str) -> Result<Contents, Error> {
    let mut reader = Reader { file, label, at: 4 };
    let dims = read_dims(&mut reader)?;
    let n_mels = reader.size("the number of mel filters")?;
    let n_bins = reader.size("the width of the mel filters")?;
    if n_mels != dims.n_mels {
        return Err(Error::field(
            label,
            "the number of mel filters",
            n_mels,
            format!("n_mels, which is {}", dims.n_mels),
        ));
    }
    reader.skip(n_mels.saturating_mul(n_bins).saturating_mul(4), || "the mel filters".to_owned())?;
    let n_tokens = reader.size("the number of tokens")?;
    let mut tokens = Vec::new();
    for id in 0..n_tokens {
        let len = reader.size("the length of a token")?;
        tokens.push(reader.skip(len, || format!("token {id}"))?);
    }
    let mut tensors = HashMap::new();
    while reader.at < file.len() {
        let (name, entry) = read_tensor(&mut reader)?;
        insert_new(&mut tensors, name, entry)?;
    }
    Ok(Contents { tensors, dims: Some(dims), tokens: (!tokens.is_empty()).then_some(tokens) })
}

fn read_dims(reader: &mut Reader<'_>) -> Result<Dims, Error> {
    let dims = Dims {
        n_vocab: reader.size("n_vocab")?,
        n_audio_ctx: reader.size("n_audio_ctx")?,
        n_audio_state: reader.size("n_audio_state")?,
        n_audio_head: reader.size("n_audio_head")?,
        n_audio_layer: reader.size("n_audio_layer")?,
        n_text_ctx: reader.size("n_text_ctx")?,
        n_text_state: reader.size("n_text_state")?,
        n_text_head: reader.size("n_text_head")?,
        n_text_layer: reader.size("n_text_layer")?,
        n_mels: reader.size("n_mels")?,
    };
    // The file type, 1000 times the version of the block formats plus the type of most tensors: each tensor has its
    // own. Version 1 of the block formats was laid out differently, and was never used by whisper.cpp.
    let file_type = reader.size("the file type")?;
    if file_type / 1000 == 1 {
        return Err(Error::field(reader.label, "the version of the block formats", 1, "0 or 2"));
    }
    dims.checked(reader.label)
}

fn read_tensor(reader: &mut Reader<'_>) -> Result<(String, Entry), Error> {
    let place = reader.at;
    let n_axes = reader.size("a tensor's number of axes")?;
    let name_len = reader.size("the length of a tensor's name")?;
    let dtype = reader.size("a tensor's type")?;
    if n_axes == 0 || n_axes > MAX_AXES || name_len == 0 || name_len > MAX_NAME {
        let found = format!("{n_axes} axes and a name of {name_len} bytes");
        let expected = format!("1 to {MAX_AXES} axes and a name of 1 to {MAX_NAME} bytes");
        return Err(Error::field(reader.label, &format!("the tensor at byte {place}"), found, expected));
    }
    let mut shape = Vec::with_capacity(MAX_AXES);
    for _ in 0..n_axes {
        shape.push(reader.size("a tensor's shape")?);
    }
    // ggml counts the axes from the innermost.
    shape.reverse();
    let name = reader.skip(name_len, || "a tensor's name".to_owned())?;
    let name = String::from_utf8_lossy(&reader.file[name]).into_owned();
    let Some(dtype) = dtype_of(dtype) else {
        let expected = "f32, f16, bf16, q4_0, q4_1, q5_0, q5_1 or q8_0 (types 0, 1, 30, 2, 3, 6, 7, 8)";
        return Err(Error::tensor(&name, format!("ggml type {dtype}"), expected));
    };
    let Some(n_bytes) = dtype.byte_len(&shape) else {
        return Err(Error::tensor(&name, format!("shape {shape:?} in {dtype}"), "rows of whole blocks"));
    };
    let bytes = reader.skip(n_bytes, || format!("tensor `{name}`"))?;
    // The biases of the convolutions are stored as columns, to be added to whole rows.
    if let [n_out, 1] = shape[..]
        && name.ends_with(".bias")
    {
        shape = vec![n_out];
    }
    Ok((name, Entry { dtype: Ok(dtype), shape, file_idx: 0, bytes }))
}

/// Source: `ggml_type` in ggml `include/ggml.h`.
fn dtype_of(number: usize) -> Option<Dtype> {
    Some(match number {
        0 => Dtype::F32,
        1 => Dtype::F16,
        2 => Dtype::Q4_0,
        3 => Dtype::Q4_1,
        6 => Dtype::Q5_0,
        7 => Dtype::Q5_1,
        8 => Dtype::Q8_0,
        30 => Dtype::Bf16,
        _ => return None,
    })
}

/// Walks through a file, and never past its end.
struct Reader<'a> {
    file: &'a [u8],
    label: &'a str,
    at: usize,
}

impl Reader<'_> {
    /// Reads an i32 that counts something.
    fn size(&mut self, what: &str) -> Result<usize, Error> {
        let range = self.skip(4, || what.to_owned())?;
        let bytes = self.file[range].first_chunk().expect("skip(4) gives 4 bytes");
        let value = i32::from_le_bytes(*bytes);
        usize::try_from(value).map_err(|_| Error::field(self.label, what, value, "0 or more"))
    }

    /// Steps over `len` bytes and returns where they are.
    fn skip(&mut self, len: usize, what: impl FnOnce() -> String) -> Result<Range<usize>, Error> {
        let end = self.at.saturating_add(len);
        if end > self.file.len() {
            let (file, found) = (self.label.to_owned(), self.file.len() as u64);
            return Err(Error::Truncated { file, what: what(), needed: end as u64, found });
        }
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }
}
