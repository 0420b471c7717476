//! Where the encoded bytes come from: anything that can seek, or is made to.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use symphonia::core::io::MediaSource;

/// Bytes that can be read anywhere: a file, a buffer, a spooled stream.
pub(super) trait ReadSeek: Read + Seek + Send + Sync {}
impl<T: Read + Seek + Send + Sync> ReadSeek for T {}

pub(super) type Source = Box<dyn ReadSeek>;

/// Copies a stream that cannot seek to a temporary file without a name.
pub(super) fn spool(mut stream: impl Read) -> io::Result<Result<File, io::Error>> {
    let mut file = match tempfile::tempfile() {
        Ok(file) => file,
        Err(error) => return Ok(Err(error)),
    };
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n_read = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n_read) => n_read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if let Err(error) = io::Write::write_all(&mut file, &buffer[..n_read]) {
            return Ok(Err(error));
        }
    }
    Ok(file.rewind().map(|()| file))
}

/// Standard input as a file, if that is what the shell made it (`< talk.mp3`) and nobody read from it.
#[cfg(unix)]
pub(super) fn stdin_file() -> Option<File> {
    use std::os::fd::AsFd;
    let mut file = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    (is_file && file.stream_position().ok()? == 0).then_some(file)
}

/// Other systems spool.
#[cfg(not(unix))]
pub(super) fn stdin_file() -> Option<File> {
    None
}

/// Reads up to `n_bytes` at a position; fewer only where the source ends.
pub(super) fn read_at(source: &mut dyn ReadSeek, position: u64, n_bytes: usize) -> io::Result<Vec<u8>> {
    source.seek(SeekFrom::Start(position))?;
    let mut bytes = Vec::new();
    source.take(n_bytes as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A source that is read by one demuxer after another.
#[derive(Clone)]
pub(super) struct SharedSource {
    source: Arc<Mutex<Source>>,
    reached: Arc<AtomicU64>, // where the last reading of a region ended
}

impl SharedSource {
    pub(super) fn new(source: Source) -> Self {
        Self { source: Arc::new(Mutex::new(source)), reached: Arc::default() }
    }

    /// Uses the source for a moment.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut dyn ReadSeek) -> T) -> T {
        // Each use begins with a seek, so that nothing is left behind by a thread that panicked.
        f(&mut *self.source.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where in the source the last reading of a region ended.
    pub(super) fn reached(&self) -> u64 {
        self.reached.load(Ordering::Relaxed)
    }
}

/// A part of a source that a demuxer takes for the whole file, with a header of our own before it.
pub(super) struct Region {
    source: SharedSource,
    header: Vec<u8>,
    start: u64,    // in the source
    end: u64,      // in the source
    position: u64, // in the region
}

impl Region {
    /// The bytes from `start` to `end` of a source, after `header`.
    pub(super) fn new(source: SharedSource, header: Vec<u8>, start: u64, end: u64) -> Self {
        Self { source, header, start, end: end.max(start), position: 0 }
    }

    fn len(&self) -> u64 {
        self.header.len() as u64 + (self.end - self.start)
    }
}

impl Read for Region {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n_header = self.header.len() as u64;
        let n_read = if self.position < n_header {
            let mut header = &self.header[self.position as usize..];
            header.read(out)?
        } else {
            let n_left = self.len().saturating_sub(self.position);
            let n_wanted = n_left.min(out.len() as u64) as usize;
            let from = self.start + (self.position - n_header);
            let n_read = self.source.with(|source| {
                source.seek(SeekFrom::Start(from))?;
                source.read(&mut out[..n_wanted])
            })?;
            self.source.reached.store(from + n_read as u64, Ordering::Relaxed);
            n_read
        };
        self.position += n_read as u64;
        Ok(n_read)
    }
}

impl Seek for Region {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
            SeekFrom::End(delta) => self.len().checked_add_signed(delta),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl MediaSource for Region {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.len())
    }
}
