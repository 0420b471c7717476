//! PyTorch's format since version 1.6: a zip archive of a pickle and the storages to which it refers.
//!
//! Storages are not compressed, so that tensors are read from where they lie in the file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::ops::Range;

use zip::read::ZipArchive;
use zip::result::ZipError;
use zip::{CompressionMethod, read::ZipFile};

use super::pickle::{self, StateDict, Strided};
use super::safetensors::needed;
use super::{Contents, Dtype, Entry, insert_new};
use crate::{Dims, Error};

/// The largest pickle that is read; large-v3 has 0.2 MB.
const MAX_PICKLE: u64 = 4 << 20;

/// Reads the table of contents of a `.pt` file.
///
/// # Errors
/// [`Error::Zip`] if it is no complete zip archive, [`Error::Pickle`] if the pickle holds anything but a state dict,
/// [`Error::Field`] for dimensions that cannot be, [`Error::Tensor`] for a tensor that does not fit its storage.
///
/// Source: `torch.save` in PyTorch `torch/serialization.py`.
pub(super) fn read(file: &[u8], label: &str) -> Result<Contents, Error> {
    let zip_error = |source| Error::Zip { file: label.to_owned(), source };
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(zip_error)?;
    let Some(pickle_name) = pickle_name(&archive) else {
        let found = "a zip archive without a data.pkl".to_owned();
        return Err(Error::Format { file: label.to_owned(), found, expected: "one that PyTorch wrote" });
    };
    let folder = pickle_name.strip_suffix("data.pkl").unwrap_or_default();
    check_byte_order(&mut archive, folder, label)?;
    let pickle = archive.by_name(&pickle_name).map_err(zip_error)?;
    let pickle = read_all(pickle, &pickle_name, MAX_PICKLE, label)?;
    let pickle_label = format!("{label}/{pickle_name}");
    let StateDict { dims, tensors } = pickle::read(&pickle, &pickle_label)?;
    let dims = dims.map(|dims| read_dims(&dims, label)).transpose()?;
    let mut entries = HashMap::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let storage = format!("{folder}data/{}", tensor.storage_key);
        let range = match archive.by_name(&storage) {
            Ok(found) => stored_range(&found, &storage, file, label)?,
            Err(ZipError::FileNotFound) => {
                let expected = "a storage of the archive";
                return Err(Error::tensor(name, format!("the storage {:?}", tensor.storage_key), expected));
            }
            Err(error) => return Err(zip_error(error)),
        };
        insert_new(&mut entries, name.to_owned(), entry(name, tensor, range)?)?;
    }
    Ok(Contents { tensors: entries, dims, tokens: None })
}

/// The main pickle: in a folder that is called like the archive.
fn pickle_name(archive: &Archive<'_>) -> Option<String> {
    let is_pickle = |name: &str| name == "data.pkl" || name.ends_with("/data.pkl");
    archive.file_names().filter_map(Result::ok).find(|name| is_pickle(name)).map(Cow::into_owned)
}

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// Refuses archives of big-endian machines. Archives of older versions do not say, and are little-endian.
fn check_byte_order(archive: &mut Archive<'_>, folder: &str, label: &str) -> Result<(), Error> {
    let name = format!("{folder}byteorder");
    let Ok(file) = archive.by_name(&name) else { return Ok(()) };
    let order = read_all(file, &name, 16, label)?;
    if order != b"little" {
        return Err(Error::field(
            label,
            "byteorder",
            format!("{:?}", String::from_utf8_lossy(&order)),
            "little",
        ));
    }
    Ok(())
}

/// Reads a file of the archive that has at most `limit` bytes.
fn read_all(file: ZipFile<'_, Cursor<&[u8]>>, name: &str, limit: u64, label: &str) -> Result<Vec<u8>, Error> {
    let size = file.size();
    if size > limit {
        return Err(Error::field(
            label,
            &format!("the size of {name}"),
            size,
            format!("at most {limit} bytes"),
        ));
    }
    let mut bytes = Vec::new();
    let read = file.take(limit).read_to_end(&mut bytes);
    read.map_err(|error| Error::Zip { file: label.to_owned(), source: error.into() })?;
    Ok(bytes)
}

/// Where the bytes of a storage, which the archive knows as `name`, are in the file.
fn stored_range(
    storage: &ZipFile<'_, Cursor<&[u8]>>,
    name: &str,
    file: &[u8],
    label: &str,
) -> Result<Range<usize>, Error> {
    let what = || format!("the storage {name}");
    if storage.compression() != CompressionMethod::Stored || storage.encrypted() {
        let found = format!("compressed by {} or encrypted", storage.compression());
        return Err(Error::field(label, &what(), found, "stored as it is"));
    }
    let start = storage.data_start().unwrap_or(u64::MAX);
    let end = start.saturating_add(storage.size());
    if end > file.len() as u64 {
        let (file, found) = (label.to_owned(), file.len() as u64);
        return Err(Error::Truncated { file, what: what(), needed: end, found });
    }
    Ok(start as usize..end as usize)
}

/// The place of a tensor in its storage, which lies at `storage` in the file.
fn entry(name: &str, tensor: Strided<'_>, storage: Range<usize>) -> Result<Entry, Error> {
    let Strided { storage_class, offset, shape, strides, .. } = tensor;
    let dtype = match storage_class {
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::Bf16,
        other => return Ok(Entry { dtype: Err(other.to_owned()), shape, file_idx: 0, bytes: storage }),
    };
    if !is_contiguous(&shape, &strides) {
        let found = format!("shape {shape:?} with strides {strides:?}");
        return Err(Error::tensor(name, found, "rows one after the other"));
    }
    let place = dtype.byte_len(&shape).zip(offset.checked_mul(dtype.block_bytes()));
    let bytes = place.and_then(|(len, offset)| {
        let start = storage.start.checked_add(offset)?;
        Some(start..start.checked_add(len)?)
    });
    match bytes.filter(|bytes| bytes.end <= storage.end) {
        Some(bytes) => Ok(Entry { dtype: Ok(dtype), shape, file_idx: 0, bytes }),
        None => {
            let found =
                format!("a storage of {} bytes for {shape:?} in {dtype} from value {offset}", storage.len());
            Err(Error::tensor(name, found, format!("{} after the offset", needed(dtype, &shape))))
        }
    }
}

/// Whether the values of a tensor follow each other, last axis first. An axis of one value may have any stride.
fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1_usize;
    shape.iter().zip(strides).rev().all(|(size, stride)| {
        let fits = *size == 1 || *stride == expected;
        expected = expected.saturating_mul(*size);
        fits
    })
}

fn read_dims(dims: &HashMap<&str, i64>, label: &str) -> Result<Dims, Error> {
    let size = |name| {
        let value = dims.get(name).copied();
        let found = value.map_or("missing".to_owned(), |value| value.to_string());
        value.and_then(|value| usize::try_from(value).ok()).ok_or(Error::field(
            label,
            name,
            found,
            "1 or more",
        ))
    };
    Dims::by_name(size)?.checked(label)
}
