//! Hugging Face's format: a length, a JSON table of contents, and the tensors one after the other.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Contents, Dtype, Entry};
use crate::{Dims, Error};

/// The largest table of contents that is read; large-v3 has 0.2 MB. It also bounds what a hostile one can make the
/// JSON reader allocate.
const MAX_HEADER: u64 = 16 << 20;

/// Reads the table of contents of a `.safetensors` file.
///
/// # Errors
/// [`Error::Truncated`] if it or a tensor does not fit into the file, [`Error::Json`] if it is not such a table,
/// [`Error::Tensor`] if a tensor has another number of bytes than its shape and type need, [`Error::Field`] if the
/// metadata hold dimensions that cannot be.
///
/// Source: <https://github.com/huggingface/safetensors#format>.
pub(super) fn read(file: &[u8], label: &str, file_idx: usize) -> Result<Contents, Error> {
    let (header, data_start) = read_header(file, label)?;
    let mut tensors = HashMap::with_capacity(header.tensors.len());
    for (name, info) in header.tensors {
        let (start, end) = info.data_offsets;
        let place = data_start.checked_add(start).zip(data_start.checked_add(end));
        let Some((start, end)) = place.filter(|(start, end)| start <= end) else {
            let found = format!("the data offsets {:?}", info.data_offsets);
            return Err(Error::tensor(&name, found, "a start and an end after it"));
        };
        if end > file.len() {
            let (what, file_len) = (format!("tensor `{name}`"), file.len() as u64);
            return Err(Error::Truncated {
                file: label.to_owned(),
                what,
                needed: end as u64,
                found: file_len,
            });
        }
        let dtype = match info.dtype.as_str() {
            "F32" => Ok(Dtype::F32),
            "F16" => Ok(Dtype::F16),
            "BF16" => Ok(Dtype::Bf16),
            _ => Err(info.dtype),
        };
        if let Ok(dtype) = &dtype
            && dtype.byte_len(&info.shape) != Some(end - start)
        {
            let found = format!("{} bytes for {:?} in {dtype}", end - start, info.shape);
            return Err(Error::tensor(&name, found, needed(*dtype, &info.shape)));
        }
        tensors.insert(name, Entry { dtype, shape: info.shape, file_idx, bytes: start..end });
    }
    let dims =
        if header.metadata.contains_key("n_mels") { Some(read_dims(&header.metadata, label)?) } else { None };
    Ok(Contents { tensors, dims, tokens: None })
}

/// The bytes that a shape needs, in words.
pub(super) fn needed(dtype: Dtype, shape: &[usize]) -> String {
    dtype.byte_len(shape).map_or("a possible shape".to_owned(), |n| format!("{n} bytes"))
}

fn read_header(file: &[u8], label: &str) -> Result<(Header, usize), Error> {
    let truncated = |needed: u64| Error::Truncated {
        file: label.to_owned(),
        what: "the table of contents".to_owned(),
        needed,
        found: file.len() as u64,
    };
    let Some((n_bytes, rest)) = file.split_first_chunk() else { return Err(truncated(8)) };
    let n_bytes = u64::from_le_bytes(*n_bytes);
    if n_bytes > MAX_HEADER {
        let expected = format!("at most {MAX_HEADER} bytes");
        return Err(Error::field(label, "the length of the table of contents", n_bytes, expected));
    }
    let n_bytes = n_bytes as usize;
    let Some(json) = rest.get(..n_bytes) else { return Err(truncated(8 + n_bytes as u64)) };
    let header =
        serde_json::from_slice(json).map_err(|source| Error::Json { file: label.to_owned(), source })?;
    Ok((header, 8 + n_bytes))
}

/// The dimensions in the metadata, each a string.
fn read_dims(metadata: &HashMap<String, String>, label: &str) -> Result<Dims, Error> {
    let size = |name: &str| {
        let text = metadata.get(name).map_or("missing", String::as_str);
        text.parse().map_err(|_| Error::field(label, name, text, "a whole number"))
    };
    Dims::by_name(size)?.checked(label)
}

#[derive(Default)]
struct Header {
    metadata: HashMap<String, String>,
    tensors: HashMap<String, Info>,
}

#[derive(Deserialize)]
struct Info {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

/// Reads the header by hand, so that errors name the tensor and nothing is held twice.
struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(name) = map.next_key::<String>()? {
            let named = |error: A::Error| A::Error::custom(format_args!("`{name}`: {error}"));
            if name == "__metadata__" {
                header.metadata = map.next_value().map_err(named)?;
                continue;
            }
            let info = map.next_value().map_err(named)?;
            if header.tensors.contains_key(&name) {
                return Err(A::Error::custom(format_args!("tensor `{name}` is there twice")));
            }
            header.tensors.insert(name, info);
        }
        Ok(header)
    }
}
