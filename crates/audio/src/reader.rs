//! From any recording to a waveform: mono, 16 kHz, `f32`, in pieces.
//!
//! Containers and codecs come from `symphonia`, Opus from `opus-pure`. What this module adds is a time line
//! that holds: encoders' delay and padding are cut ([`open`], [`timeline`]), lost packets become silence,
//! and whatever the bytes are, the caller gets samples or an [`Error`], never a panic and never
//! more memory than a few packets take.

mod chunks;
mod container;
mod decode;
mod downmix;
mod guard;
mod matroska;
mod mp4;
mod open;
mod opus;
mod source;
mod sphere;
mod sync;
#[cfg(test)]
mod tests;
mod timeline;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::packet::Packet;

use self::container::Container;
use self::guard::guard;
use self::open::{Heard, Opened, Trim};
use self::source::Source;
use self::timeline::Timeline;
use crate::resample::{MAX_RATE, MIN_RATE, Resampler};
use crate::{Error, SAMPLE_RATE};

/// Reads a recording as a waveform, piece by piece.
///
/// Reads wav (RF64 and Wave64 too), flac, mp3, m4a and mp4 (AAC, ALAC, Opus, FLAC, MP3), ADTS, ogg (Vorbis, Opus,
/// FLAC), mkv and webm, aiff, caf and NIST SPHERE, by content and not by name; of several audio tracks the default
/// one, or the first. Channels are mixed as ffmpeg does. Time 0 is the first sample that the encoder was given.
///
/// Damage in the middle is skipped with a warning and leaves silence of its length, where that is known; a
/// recording that ends early gives what is there, with a warning.
///
/// ```no_run
/// let mut reader = boswell_audio::AudioReader::open("talk.mp3".as_ref())?;
/// let mut chunk = Vec::new();
/// while reader.next_chunk(&mut chunk)? {
///     println!("{} more samples", chunk.len());
/// }
/// # Ok::<(), boswell_audio::Error>(())
/// ```
pub struct AudioReader {
    name: String,
    opened: Opened,
    track: Heard,
    stream: Option<Stream>,
    decoded: Vec<f32>, // the last packet's samples, mono, until they are passed on
    padding: Vec<f32>, // samples that are padding if the recording ends here
    n_silent: u64,     // samples of silence to pass on before them
    lost_s: f64,       // length of the packets lost since the last good one
    last_pts: Option<i64>,
    known_until: Option<i64>, // packets up to this time come a second time
    counts: Counts,
    is_done: bool,
}

/// What stands between decoded samples and 16 kHz, once the rate is known.
struct Stream {
    rate: u32,
    timeline: Timeline,
    resampler: Resampler,
    heard: Vec<f32>, // samples to be heard, at `rate`
}

/// What happened so far.
#[derive(Default)]
struct Counts {
    n_decoded: u64,
    n_lost: u64,
    n_errors_in_a_row: u64,
    has_warned_of_values: bool,
}

/// Samples that a chunk has at least, but for the last one.
const MIN_CHUNK: usize = SAMPLE_RATE / 2;

/// Samples of silence that are made at once.
const SILENCE_BLOCK: u64 = 1 << 16;

/// Errors of the demuxer in a row after which it is believed to be lost.
const MAX_ERRORS_IN_A_ROW: u64 = 1000;

/// The longest packet of any codec, in seconds: nothing more is assumed to be lost with one packet.
const MAX_PACKET_S: f64 = 1.0;

impl AudioReader {
    /// Opens a recording; a pipe is copied to a temporary file first.
    ///
    /// # Errors
    /// All but [`Error::Empty`] and [`Error::Stopped`]. A recording without samples is no error.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let name = format!("`{}`", path.display());
        let file = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = file.map_err(|source| Error::Read { name: name.clone(), source })?;
        if metadata.is_dir() {
            return Err(Error::NotAudio { name, found: "a directory".to_owned() });
        }
        if metadata.is_file() { Self::from_source(name, Box::new(file)) } else { Self::spooled(name, file) }
    }

    /// Opens the recording that comes on standard input.
    ///
    /// Containers have to be read out of order, so a pipe is copied to a temporary file first.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn from_stdin() -> Result<Self, Error> {
        let name = "standard input".to_owned();
        match source::stdin_file() {
            Some(file) => Self::from_source(name, Box::new(file)),
            None => Self::spooled(name, io::stdin().lock()),
        }
    }

    /// Opens a recording that can be read once, from its beginning to its end; it is copied to a temporary
    /// file first.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn from_stream(stream: impl Read) -> Result<Self, Error> {
        Self::spooled("the recording".to_owned(), stream)
    }

    /// Opens a recording in anything that can seek, such as an [`io::Cursor`] over bytes in memory.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn from_reader(reader: impl Read + Seek + Send + Sync + 'static) -> Result<Self, Error> {
        Self::from_source("the recording".to_owned(), Box::new(reader))
    }

    /// Gives the recording another name in messages than its path or "the recording".
    pub fn set_name(&mut self, name: impl Into<String>) {
        self.name = name.into();
    }

    /// The recording's length in seconds as its headers tell it, which may be wrong; `None` if they do not.
    pub fn duration_hint(&self) -> Option<f64> {
        self.track.duration_s
    }

    /// Reads the next half second or so.
    ///
    /// - `out`: is cleared and filled with mono samples in `[-1, 1]` at 16 kHz.
    ///
    /// Returns whether there were any; `false` is the end.
    ///
    /// # Errors
    /// [`Error::Read`] if reading fails, [`Error::Damaged`] if no packet at all could be decoded,
    /// [`Error::SampleRate`], [`Error::Codec`] if another recording follows in the same file whose
    /// codec cannot be decoded.
    pub fn next_chunk(&mut self, out: &mut Vec<f32>) -> Result<bool, Error> {
        out.clear();
        while out.len() < MIN_CHUNK && !self.is_done {
            self.step(out)?;
        }
        out.iter_mut().for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
        Ok(!out.is_empty())
    }

    fn spooled(name: String, stream: impl Read) -> Result<Self, Error> {
        let file = source::spool(stream).map_err(|source| Error::Read { name: name.clone(), source })?;
        Self::from_source(name, Box::new(file.map_err(Error::Temporary)?))
    }

    fn from_source(name: String, mut source: Source) -> Result<Self, Error> {
        let len = source.seek(SeekFrom::End(0));
        let len = len.map_err(|source| Error::Read { name: name.clone(), source })?;
        let mut opened = Opened::new(&name, source, len)?;
        if opened.is_truncated {
            tracing::warn!(name, "the recording ends before its header says");
        }
        let track = opened.choose_track(&name)?;
        Ok(Self {
            name,
            opened,
            track,
            stream: None,
            decoded: Vec::new(),
            padding: Vec::new(),
            n_silent: 0,
            lost_s: 0.0,
            last_pts: None,
            known_until: None,
            counts: Counts::default(),
            is_done: false,
        })
    }

    /// Passes on silence, or the last packet, or reads the next one.
    fn step(&mut self, out: &mut Vec<f32>) -> Result<(), Error> {
        match &mut self.stream {
            Some(stream) if self.n_silent > 0 => {
                let n_silent = self.n_silent.min(SILENCE_BLOCK);
                self.n_silent -= n_silent;
                stream.push(&vec![0.0; n_silent as usize], out);
            }
            Some(stream) if !self.decoded.is_empty() => {
                stream.push(&self.decoded, out);
                self.decoded.clear();
                if stream.timeline.is_over() {
                    self.finish(out)?;
                }
            }
            _ => self.read_packet(out)?,
        }
        Ok(())
    }

    fn read_packet(&mut self, out: &mut Vec<f32>) -> Result<(), Error> {
        let result = guard(|| self.opened.demuxer.next_packet());
        if let Ok(Ok(_)) = result {
            self.counts.n_errors_in_a_row = 0;
        }
        match result {
            Ok(Ok(Some(packet))) if packet.track_id == self.track.id && !self.is_known(&packet) => {
                self.decode(&packet, out)
            }
            Ok(Ok(Some(_))) => Ok(()),
            Ok(Ok(None)) if self.opened.stopped_early() => self.resume(out),
            Ok(Ok(None)) => self.finish(out),
            Ok(Err(SymphoniaError::ResetRequired)) => self.next_link(out),
            Ok(Err(SymphoniaError::IoError(error))) if error.kind() != io::ErrorKind::UnexpectedEof => {
                Err(Error::Read { name: self.name.clone(), source: error })
            }
            Ok(Err(SymphoniaError::IoError(_))) => {
                self.note_damage("the recording, or a part of it, ends in the middle of a packet");
                self.resume(out)
            }
            Ok(Err(error)) => {
                self.counts.n_errors_in_a_row += 1;
                self.note_damage(&error.to_string());
                if self.counts.n_errors_in_a_row < MAX_ERRORS_IN_A_ROW { Ok(()) } else { self.resume(out) }
            }
            Err(_) => {
                self.note_damage("the demuxer gave up");
                self.resume(out)
            }
        }
    }

    /// Goes on behind damage if the container allows it, or ends the recording.
    fn resume(&mut self, out: &mut Vec<f32>) -> Result<(), Error> {
        self.counts.n_errors_in_a_row = 0;
        self.known_until = self.last_pts;
        if self.opened.resume(&self.name)? { Ok(()) } else { self.finish(out) }
    }

    /// Whether a packet was read before, when the demuxer was set back to a place before the damage.
    fn is_known(&mut self, packet: &Packet) -> bool {
        let pts = packet.pts.get();
        if self.known_until.is_some_and(|known_until| pts <= known_until) {
            return true;
        }
        (self.known_until, self.last_pts) = (None, Some(pts));
        false
    }

    /// Decodes a packet into `decoded` and finds out how much silence belongs before it.
    fn decode(&mut self, packet: &Packet, out: &mut Vec<f32>) -> Result<(), Error> {
        let rate = match self.track.decoder.decode(packet, &mut self.decoded) {
            Ok(rate) => rate,
            Err(reason) => {
                self.lost_s += self.packet_s(packet);
                self.note_damage(&reason);
                return Ok(());
            }
        };
        self.counts.n_decoded += 1;
        if self.opened.container == Container::Ogg && self.track.decoder.is_opus() {
            self.hold_padding(packet.trim_end.get());
        }
        if self.decoded.is_empty() {
            return Ok(());
        }
        self.replace_bad_values();
        let time_s = self.time_s(packet);
        let stream = self.stream_at(rate, time_s, out)?;
        let gap = time_s.map_or(0, |time_s| stream.timeline.gap_before(time_s));
        let lost = (self.lost_s * f64::from(rate)).round() as u64;
        self.lost_s = 0.0;
        self.n_silent = gap.max(lost);
        Ok(())
    }

    /// Takes off a packet's end what lies past the page's: padding, if nothing else follows. If something does,
    /// the page was numbered carelessly, and the samples are put back.
    fn hold_padding(&mut self, n_padding: u64) {
        let n_heard = self.decoded.len().saturating_sub(n_padding as usize);
        if n_heard > 0 {
            let n_held = self.padding.len();
            self.decoded.splice(0..0, self.padding.drain(..));
            self.padding.extend(self.decoded.drain(n_held + n_heard..));
        } else {
            self.padding.append(&mut self.decoded);
        }
    }

    /// The stream for samples of this rate: the one so far, or a new one, which the first packet needs and
    /// every packet at which the rate changes.
    fn stream_at(
        &mut self,
        rate: u32,
        time_s: Option<f64>,
        out: &mut Vec<f32>,
    ) -> Result<&mut Stream, Error> {
        if !(MIN_RATE..=MAX_RATE).contains(&rate) {
            let name = self.name.clone();
            return Err(Error::SampleRate { name, found: rate, min: MIN_RATE, max: MAX_RATE });
        }
        if let Some(stream) = self.stream.take_if(|stream| stream.rate != rate) {
            stream.resampler.finish(out);
        }
        let trim = std::mem::take(&mut self.track.trim);
        let container = self.opened.container;
        Ok(self.stream.get_or_insert_with(|| Stream::new(rate, container, &trim, time_s)))
    }

    /// Goes on with the recording that follows in the same file, as Ogg allows.
    fn next_link(&mut self, out: &mut Vec<f32>) -> Result<(), Error> {
        let duration_s = self.track.duration_s;
        self.padding.clear();
        self.track = self.opened.choose_track(&self.name)?;
        self.track.duration_s = duration_s;
        if let Some(stream) = self.stream.take() {
            stream.resampler.finish(out);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<f32>) -> Result<(), Error> {
        self.is_done = true;
        if let Some(stream) = self.stream.take() {
            stream.resampler.finish(out);
        }
        if self.counts.n_lost > 0 {
            let (n_lost, n_decoded) = (self.counts.n_lost, self.counts.n_decoded);
            if n_decoded == 0 {
                let reason = format!("none of its {n_lost} packets can be decoded");
                return Err(Error::Damaged { name: self.name.clone(), reason });
            }
            tracing::warn!(name = self.name, n_lost, n_decoded, "the recording is damaged in places");
        }
        Ok(())
    }

    fn note_damage(&mut self, reason: &str) {
        self.counts.n_lost += 1;
        if self.counts.n_lost == 1 {
            tracing::warn!(name = self.name, reason, "skipping a damaged packet");
        } else {
            tracing::debug!(name = self.name, reason, "skipping a damaged packet");
        }
    }

    /// Replaces what is no number, which files of floats may hold, and what is too large to compute with.
    fn replace_bad_values(&mut self) {
        let mut n_bad = 0;
        for sample in &mut self.decoded {
            if !sample.is_finite() {
                *sample = 0.0;
                n_bad += 1;
            }
            *sample = sample.clamp(-MAX_VALUE, MAX_VALUE);
        }
        if n_bad > 0 && !self.counts.has_warned_of_values {
            self.counts.has_warned_of_values = true;
            tracing::warn!(
                name = self.name,
                "the recording holds samples that are not numbers; they become 0"
            );
        }
    }

    /// When a packet begins, in seconds on the track's own clock.
    fn time_s(&self, packet: &Packet) -> Option<f64> {
        let time_base = self.track.time_base?;
        let unit_s = f64::from(time_base.numer.get()) / f64::from(time_base.denom.get());
        Some(packet.pts.get() as f64 * unit_s)
    }

    /// How long a packet that cannot be decoded would have been, in seconds.
    fn packet_s(&self, packet: &Packet) -> f64 {
        let time_base = self
            .track
            .time_base
            .map_or(0.0, |time_base| f64::from(time_base.numer.get()) / f64::from(time_base.denom.get()));
        let duration_s = packet.dur.get() as f64 * time_base;
        let packet_s = if duration_s == 0.0 && self.track.decoder.is_opus() {
            opus::packet_s(&packet.data).unwrap_or(0.0)
        } else {
            duration_s
        };
        packet_s.min(MAX_PACKET_S)
    }
}

impl std::fmt::Debug for AudioReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AudioReader")
            .field("name", &self.name)
            .field("container", &self.opened.container)
            .field("duration_hint", &self.duration_hint())
            .finish_non_exhaustive()
    }
}

/// The largest sample that is passed to the resampler: 18 dB over full scale.
const MAX_VALUE: f32 = 8.0;

impl Stream {
    /// Begins at a packet of `trim`'s track, at `time_s` on the track's clock.
    fn new(rate: u32, container: Container, trim: &Trim, time_s: Option<f64>) -> Self {
        let samples = |seconds: f64| (seconds * f64::from(rate)).round() as u64;
        let mut cuts = Vec::new();
        if let Some(edit) = trim.edit {
            cuts.push(0..samples(edit.start_s));
            if let Some(duration_s) = edit.duration_s {
                cuts.push(samples(edit.start_s + duration_s)..u64::MAX);
            }
        } else if container == Container::Matroska && trim.n_start == 0 {
            // The encoder's delay lies before time 0.
            cuts.push(0..samples(time_s.map_or(0.0, |time_s| (-time_s).clamp(0.0, MAX_PACKET_S))));
        } else {
            cuts.push(0..trim.n_start);
            cuts.extend(trim.end.map(|(end, n_padding)| end - n_padding..end));
        }
        // These two count samples; others count milliseconds, or what a recorder's clock showed.
        let counts_samples = matches!(container, Container::Flac | Container::Ogg);
        let min_gap_s = if counts_samples { 0.02 } else { 0.1 };
        let n_padding = samples(trim.padding_s.clamp(0.0, MAX_PACKET_S)) as usize;
        let timeline = Timeline::new(rate, cuts, n_padding, min_gap_s);
        Self { rate, timeline, resampler: Resampler::new(rate), heard: Vec::new() }
    }

    /// Passes decoded samples through the time line and the resampler.
    fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.heard.clear();
        self.timeline.push(samples, &mut self.heard);
        self.resampler.push(&self.heard, out);
    }
}
