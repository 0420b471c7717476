//! Where a spectrogram's values are kept: in memory, or in a file if they are many.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::sync::{Mutex, PoisonError};

use crate::Error;
use crate::mel::{Framer, Frames};

/// Logarithmic energies before clamping, `[n_frames, n_mels]`.
#[derive(Debug)]
pub(super) struct Values {
    n_mels: usize,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// In pieces of [`Framer::STRETCH`] frames: one long one would be moved whenever it grows.
    Memory(Vec<Vec<f32>>),
    File(Mutex<File>),
}

impl Values {
    /// Hands out frames that there are, a piece at a time: the place of its first frame among them, and its values,
    /// `[n, n_mels]`.
    ///
    /// # Errors
    /// [`Error::Temporary`] if they are in a file that cannot be read.
    pub(super) fn for_each_piece(
        &self,
        start_frame: usize,
        n_frames: usize,
        mut take: impl FnMut(usize, &[f32]),
    ) -> Result<(), Error> {
        let (mut read, mut first) = (Vec::new(), 0);
        while first < n_frames {
            let (piece, at) =
                ((start_frame + first) / Framer::STRETCH, (start_frame + first) % Framer::STRETCH);
            let n = (Framer::STRETCH - at).min(n_frames - first);
            match &self.place {
                Place::Memory(pieces) => take(first, &pieces[piece][at * self.n_mels..][..n * self.n_mels]),
                Place::File(file) => {
                    read.resize(n * self.n_mels, 0.0);
                    read_values(file, (start_frame + first) * self.n_mels, &mut read)?;
                    take(first, &read);
                }
            }
            first += n;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn are_in_file(&self) -> bool {
        matches!(self.place, Place::File(_))
    }
}

/// Where frames go while there may be more of them than memory should hold.
pub(super) struct Sink {
    n_mels: usize,
    maximum: f32,
    in_memory: Vec<Vec<f32>>,
    n_values: usize,
    most_values: usize, // in memory
    in_file: Option<BufWriter<File>>,
}

impl Sink {
    /// - `memory_bytes`: of values that are kept in memory before they go to a file.
    pub(super) fn new(n_mels: usize, memory_bytes: usize) -> Self {
        Self {
            n_mels,
            maximum: f32::NEG_INFINITY,
            in_memory: Vec::new(),
            n_values: 0,
            most_values: memory_bytes / size_of::<f32>(),
            in_file: None,
        }
    }

    /// Takes the next frames, [`Framer::STRETCH`] of them but for the last.
    pub(super) fn push(&mut self, frames: Frames) -> Result<(), Error> {
        self.maximum = self.maximum.max(frames.maximum);
        self.n_values += frames.values.len();
        if self.in_file.is_none() && self.n_values > self.most_values {
            let mut file = BufWriter::with_capacity(1 << 18, tempfile::tempfile().map_err(Error::Temporary)?);
            self.in_memory.drain(..).try_for_each(|values| write_values(&mut file, &values))?;
            self.in_file = Some(file);
        }
        match &mut self.in_file {
            Some(file) => write_values(file, &frames.values),
            None => {
                self.in_memory.push(frames.values);
                Ok(())
            }
        }
    }

    /// The greatest value, and all of them.
    pub(super) fn finish(self) -> Result<(f32, Values), Error> {
        let place = match self.in_file {
            Some(file) => {
                let file = file.into_inner().map_err(|error| Error::Temporary(error.into_error()))?;
                Place::File(Mutex::new(file))
            }
            None => Place::Memory(self.in_memory),
        };
        Ok((self.maximum, Values { n_mels: self.n_mels, place }))
    }
}

/// Values that are made bytes at once, or of bytes.
const VALUES: usize = 1024;

fn write_values(file: &mut impl Write, values: &[f32]) -> Result<(), Error> {
    let mut bytes = [0; VALUES * size_of::<f32>()];
    for values in values.chunks(VALUES) {
        let bytes = &mut bytes[..size_of_val(values)];
        for (bytes, value) in bytes.chunks_exact_mut(size_of::<f32>()).zip(values) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        file.write_all(bytes).map_err(Error::Temporary)?;
    }
    Ok(())
}

/// Reads the values from the `start`-th on.
fn read_values(file: &Mutex<File>, start: usize, values: &mut [f32]) -> Result<(), Error> {
    let mut bytes = [0; VALUES * size_of::<f32>()];
    // A thread that panicked with the lock held leaves only the position behind, which is set anew here.
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    let start = (start * size_of::<f32>()) as u64;
    file.seek(SeekFrom::Start(start)).map_err(Error::Temporary)?;
    for values in values.chunks_mut(VALUES) {
        let bytes = &mut bytes[..size_of_val(values)];
        file.read_exact(bytes).map_err(Error::Temporary)?;
        for (value, bytes) in values.iter_mut().zip(bytes.chunks_exact(size_of::<f32>())) {
            *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
    }
    Ok(())
}
