//! Packed weights, kept in a file beside the model: packing takes longer than reading what was packed.
//!
//! A file holds the weights of one precision, as the CPUs with one register tile and one [`Precision::floating`] have
//! them: eight bytes of [`MAGIC`], the length of a JSON header, the header, and the words of each layer on a cache line of
//! their own. The header says of which files of which state they are made; each layer has a checksum, which is looked at
//! before it is used. A file that does not fit in any way is as good as none and is replaced when the model is loaded, by
//! renaming a complete one: programs that start at once may both write it, and neither ever reads a half.
//!
//! Layers are read into memory and not mapped: the system gives memory in large pages, files in small ones, and a
//! decoder that reads all weights at every step is a quarter slower from those.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use boswell_kernels::{Aligned, Precision, Weights, Words};
use serde::{Deserialize, Serialize};

use crate::Checkpoint;
use crate::checkpoint::Stamp;

const MAGIC: &[u8; 8] = b"boswpack";
/// To be raised when weights are packed in another way, or the header is another.
const VERSION: u32 = 1;
/// The bytes of a cache line: every layer begins on one.
const LINE: usize = 64;
/// Longer headers are not believed.
const MAX_HEADER: u64 = 1 << 24;

/// What stands in front of the weights.
#[derive(Serialize, Deserialize)]
struct Header {
    origin: Origin,
    /// By name of the layer.
    layers: BTreeMap<String, Layer>,
}

/// What packed weights are made of, and how. Where it is equal, they are.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Origin {
    version: u32,
    layout: String,
    files: Vec<Stamp>,
}

/// Where a layer's words are.
#[derive(Serialize, Deserialize)]
struct Layer {
    offset: u64, // in bytes, behind the header
    n_words: u64,
    crc32: u32,
}

/// The packed weights of a model: those of the file, and those to be written to it.
pub(crate) struct Packed {
    path: PathBuf,
    origin: Origin,
    found: Option<Found>,
    /// What was not in the file, with the layers that were.
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    is_new: bool,
    layers: BTreeMap<String, (Words, usize)>, // with their lengths
}

/// A file that fits.
struct Found {
    path: PathBuf,
    layers: BTreeMap<String, Layer>,
    start: u64, // of the layers' words
}

impl Packed {
    /// Looks for the packed weights of a checkpoint. `None` if it has no file that they could stand beside, or
    /// nothing would be gained: in f32 they are only in another order.
    pub(crate) fn beside(checkpoint: &Checkpoint, precision: Precision) -> Option<Self> {
        if precision == Precision::F32 {
            return None;
        }
        let layout = Weights::layout(precision);
        let mut name = checkpoint.path()?.file_name()?.to_owned();
        name.push(format!(".{layout}.packed"));
        let path = checkpoint.path()?.with_file_name(name);
        let origin = Origin { version: VERSION, layout, files: checkpoint.stamps()? };
        let found = Found::open(&path, &origin);
        Some(Self { path, origin, found, made: Mutex::default() })
    }

    /// The words of a layer, if the file has so many and they are whole.
    pub(crate) fn find(&self, name: &str, n_words: usize) -> Option<Words> {
        let words = self.found.as_ref()?.layer(name, n_words)?;
        self.add(name, words.clone(), n_words, false);
        Some(words)
    }

    /// Takes a layer that was packed, to be written.
    pub(crate) fn keep(&self, name: &str, words: Words, n_words: usize) {
        self.add(name, words, n_words, true);
    }

    fn add(&self, name: &str, words: Words, n_words: usize, is_new: bool) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.is_new |= is_new;
        made.layers.insert(name.to_owned(), (words, n_words));
    }

    /// Writes the file, if any layer is new. Where that cannot be done, the next start packs again.
    pub(crate) fn write(self) {
        let made = self.made.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !made.is_new {
            return;
        }
        match write(&self.path, self.origin, &made.layers) {
            Ok(()) => tracing::debug!(path = %self.path.display(), "packed weights are kept"),
            Err(error) => {
                tracing::debug!(path = %self.path.display(), %error, "packed weights cannot be kept");
            }
        }
    }
}

impl Found {
    fn open(path: &Path, origin: &Origin) -> Option<Self> {
        let file = File::open(path).ok()?;
        let found = Self::read(path, file, origin);
        if found.is_none() {
            tracing::debug!(path = %path.display(), "packed weights are stale");
        }
        found
    }

    fn read(path: &Path, file: File, origin: &Origin) -> Option<Self> {
        let mut file = BufReader::new(file);
        let mut start = [0; 16];
        file.read_exact(&mut start).ok()?;
        let len = start.strip_prefix(MAGIC)?.first_chunk()?;
        let len = Some(u64::from_le_bytes(*len)).filter(|len| *len <= MAX_HEADER)?;
        let mut header = Vec::new();
        file.take(len).read_to_end(&mut header).ok()?;
        let header: Header = serde_json::from_slice(&header).ok()?;
        let start = (16 + len).next_multiple_of(LINE as u64);
        (header.origin == *origin).then(|| Self { path: path.to_owned(), layers: header.layers, start })
    }

    /// Reads a layer. It may come from another file that has taken this one's place: that has the same words there,
    /// or another checksum.
    fn layer(&self, name: &str, n_words: usize) -> Option<Words> {
        let layer = self.layers.get(name).filter(|layer| layer.n_words == n_words as u64)?;
        let mut file = File::open(&self.path).ok()?;
        file.seek(SeekFrom::Start(self.start.checked_add(layer.offset)?)).ok()?;
        let mut words = Aligned::zeroed(n_words);
        let bytes = bytemuck::cast_slice_mut(&mut words.words_mut()[..n_words]);
        file.read_exact(bytes).ok()?;
        (crc32fast::hash(bytes) == layer.crc32).then(|| Arc::new(words))
    }
}

/// Writes a complete file beside the one that may be there, and takes its place.
fn write(path: &Path, origin: Origin, layers: &BTreeMap<String, (Words, usize)>) -> io::Result<()> {
    let mut offset = 0;
    let mut table = BTreeMap::new();
    for (name, layer) in layers {
        let crc32 = crc32fast::hash(bytes_of(layer));
        table.insert(name.clone(), Layer { offset, n_words: layer.1 as u64, crc32 });
        offset += (4 * layer.1).next_multiple_of(LINE) as u64;
    }
    let header = serde_json::to_vec(&Header { origin, layers: table })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".boswell-packed-"); // says whose it is, should the program be killed now
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let file = builder.tempfile_in(folder)?;
    let mut out = BufWriter::new(&file);
    out.write_all(MAGIC)?;
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    write_lines(&mut out, &header, 16)?;
    for layer in layers.values() {
        write_lines(&mut out, bytes_of(layer), 0)?;
    }
    out.flush()?;
    drop(out);
    file.persist(path)?;
    Ok(())
}

fn bytes_of((words, n_words): &(Words, usize)) -> &[u8] {
    bytemuck::cast_slice(&words.words()[..*n_words])
}

/// Writes bytes, of which `n_before` stand on the same cache line, and zeros up to the next one.
fn write_lines(out: &mut impl Write, bytes: &[u8], n_before: usize) -> io::Result<()> {
    let len = n_before + bytes.len();
    out.write_all(bytes)?;
    out.write_all(&[0; LINE][..len.next_multiple_of(LINE) - len])
}

#[cfg(test)]
mod tests;
