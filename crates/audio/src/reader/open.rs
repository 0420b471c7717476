//! From bytes to a demuxer and the track that is heard.

use std::io;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::formats::{FormatReader, Track, TrackFlags, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::RawValue;
use symphonia::core::units::TimeBase;
use symphonia::default::formats::{
    AdtsReader, AiffReader, CafReader, FlacReader, IsoMp4Reader, MkvReader, MpaReader, OggReader, WavReader,
};

use super::chunks::{Chunks, format_name};
use super::container::{Container, Found, recognise};
use super::decode::{TrackDecoder, UNKNOWN};
use super::guard::guard;
use super::matroska::{Matroska, MatroskaTrack, next_cluster};
use super::mp4::{Edit, Mp4Track};
use super::source::{Region, SharedSource, Source, read_at};
use super::sphere::{Refusal, Sphere};
use super::{mp4, sync};
use crate::Error;

/// A demuxer, and what we know of the file beyond what it says.
pub(super) struct Opened {
    pub(super) demuxer: Box<dyn FormatReader>,
    pub(super) container: Container,
    mp4_tracks: Vec<Mp4Track>,
    matroska: Matroska,
    source: SharedSource,
    found: Found,
    wave_s: Option<f64>,
    /// Whether the header promises more than there is.
    pub(super) is_truncated: bool,
}

/// The track that is heard, before anything of it was decoded.
pub(super) struct Heard {
    pub(super) id: u32,
    pub(super) time_base: Option<TimeBase>,
    pub(super) decoder: TrackDecoder,
    pub(super) trim: Trim,
    pub(super) duration_s: Option<f64>,
}

/// What of a track is not to be heard, in the units in which files say so.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Trim {
    /// Samples at the beginning.
    pub(super) n_start: u64,
    /// Samples to the end of a padding, and how many of them it takes: what comes after is heard.
    pub(super) end: Option<(u64, u64)>,
    /// The part to be heard, instead of the above.
    pub(super) edit: Option<Edit>,
    /// Seconds before the end of the track.
    pub(super) padding_s: f64,
}

/// Bytes that a demuxer reads before it needs them, at most.
const READ_AHEAD: u64 = 1 << 16;

/// Samples with which AAC begins whatever encoder made it: a decoder adds each block's halves to its
/// neighbours', and the first one has none. ADTS has no place to say how many more an encoder added.
const AAC_PRIMING: u64 = 1024;

impl Opened {
    /// Recognises a source of `len` bytes and opens the demuxer of its container.
    pub(super) fn new(name: &str, mut source: Source, len: u64) -> Result<Self, Error> {
        let read_error = |source: io::Error| Error::Read { name: name.to_owned(), source };
        if len == 0 {
            return Err(Error::NotAudio { name: name.to_owned(), found: "no bytes".to_owned() });
        }
        let found = recognise(&mut source, len).map_err(read_error)?;
        let mut found = found.map_err(|found| Error::NotAudio { name: name.to_owned(), found })?;
        let (mut header, mut wave_s, mut is_truncated) = (Vec::new(), None, false);
        if let Container::Wave | Container::Wave64 | Container::Aiff = found.container {
            let chunks = Chunks::read(&mut source, found.container, found.start, found.end);
            let chunks =
                chunks.map_err(read_error)?.map_err(|reason| damaged(name, found.container, &reason))?;
            is_truncated = chunks.is_truncated;
            (found.start, found.end) = (chunks.data.start, chunks.data.end);
            match stream_in_wave(name, found.container, &chunks)? {
                None => header = chunks.plain_header(),
                Some(container) => {
                    let stream = sync::find(&mut source, found.start, found.end).map_err(read_error)?;
                    let stream = stream.filter(|(found, _)| *found == container);
                    let (_, start) =
                        stream.ok_or_else(|| damaged(name, container, "no frames in the WAV file"))?;
                    (found.container, found.start) = (container, start);
                }
            }
            wave_s = chunks.duration_s().filter(|_| found.container != Container::Aiff && !header.is_empty());
        }
        let (mut mp4_tracks, mut matroska) = (Vec::new(), Matroska::default());
        match found.container {
            Container::Sphere => {
                let sphere = Sphere::read(&mut source, found.start, found.end).map_err(read_error)?;
                let sphere = sphere.map_err(|refusal| refused(name, refusal))?;
                (found.start, found.end) = (sphere.data.start, sphere.data.end);
                (header, wave_s) = (sphere.header(), Some(sphere.duration_s()));
                (found.container, is_truncated) = (sphere.container(), sphere.is_truncated);
            }
            Container::Mp4 => {
                mp4_tracks = mp4::tracks(&mut source, found.start, found.end).map_err(read_error)?;
            }
            Container::Matroska => {
                matroska = Matroska::read(&mut source, found.start, found.end).map_err(read_error)?;
            }
            Container::Ogg => {
                let page = read_at(&mut source, found.start, 64).map_err(read_error)?;
                if let Some(codec) = other_codec_in_ogg(&page) {
                    return Err(Error::Codec { name: name.to_owned(), codec: codec.to_owned() });
                }
            }
            _ => {}
        }
        // The demuxer refuses a segment that is larger than the file, but not one of unknown size.
        if let Some(first_cluster) = matroska.first_cluster.filter(|_| matroska.is_truncated) {
            (header, found.start, is_truncated) = (matroska.preamble.clone(), first_cluster, true);
        }
        let source = SharedSource::new(source);
        let demuxer = open_demuxer(name, source.clone(), header, &found)?;
        let container = found.container;
        Ok(Self { demuxer, container, mp4_tracks, matroska, source, found, wave_s, is_truncated })
    }

    /// Goes on behind damage at which the demuxer got lost: at the next cluster of a Matroska file.
    ///
    /// Returns whether there is one. It may lie before what was read already.
    pub(super) fn resume(&mut self, name: &str) -> Result<bool, Error> {
        if self.container != Container::Matroska || self.matroska.preamble.is_empty() {
            return Ok(false);
        }
        // The demuxer reads ahead, so that the damage lies before the point that was reached.
        let from = self.source.reached().saturating_sub(READ_AHEAD).max(self.found.start + 1);
        let cluster = self.source.with(|source| next_cluster(source, from, self.found.end));
        let cluster = cluster.map_err(|source| Error::Read { name: name.to_owned(), source })?;
        let Some(cluster) = cluster else { return Ok(false) };
        self.found.start = cluster;
        let header = self.matroska.preamble.clone();
        match open_demuxer(name, self.source.clone(), header, &self.found) {
            Ok(demuxer) => self.demuxer = demuxer,
            Err(_) => return Ok(false),
        }
        Ok(true)
    }

    /// Whether the demuxer stopped before it had read everything.
    pub(super) fn stopped_early(&self) -> bool {
        self.source.reached().saturating_add(READ_AHEAD) < self.found.end
    }

    /// Chooses the track that is heard: the default one, or the first one, that can be decoded.
    pub(super) fn choose_track(&mut self, name: &str) -> Result<Heard, Error> {
        let is_audio = |track: &&Track| track.track_type() == Some(TrackType::Audio);
        let mut tracks: Vec<Track> = self.demuxer.tracks().iter().filter(is_audio).cloned().collect();
        tracks.sort_by_key(|track| !self.is_default(track));
        let mut first_codec = None;
        for track in tracks {
            let Some(CodecParameters::Audio(params)) = &track.codec_params else { continue };
            match TrackDecoder::new(params) {
                Ok(decoder) => {
                    if let Some(codec) = first_codec {
                        tracing::warn!(name, codec, "cannot decode the default track, taking another one");
                    }
                    return Ok(self.heard(&track, decoder));
                }
                Err(codec) => first_codec = first_codec.or(Some(self.name_codec(track.id, codec))),
            }
        }
        let name = name.to_owned();
        if let Some(codec) = first_codec.or_else(|| self.mp4_codec(None)) {
            return Err(Error::Codec { name, codec });
        }
        let found = format!("{} with {} other tracks", self.container.name(), self.demuxer.tracks().len());
        Err(Error::NoAudioTrack { name, found })
    }

    fn is_default(&self, track: &Track) -> bool {
        let is_flagged = track.flags.contains(TrackFlags::DEFAULT);
        self.matroska_track(track.id).map_or(is_flagged, |track| track.is_default)
    }

    fn matroska_track(&self, id: u32) -> Option<&MatroskaTrack> {
        self.matroska.tracks.iter().find(|track| track.number == u64::from(id))
    }

    fn heard(&mut self, track: &Track, decoder: TrackDecoder) -> Heard {
        let mut trim = Trim { n_start: decoder.pre_skip(), ..Trim::default() };
        match self.container {
            Container::Mp4 => {
                let edit =
                    self.mp4_tracks.iter().find(|other| other.id == track.id).and_then(|track| track.edit);
                trim.edit = edit.or_else(|| self.itunes_edit(track));
            }
            Container::Matroska => {
                trim.padding_s =
                    self.matroska_track(track.id).map_or(0.0, |track| track.end_padding_ns as f64 / 1e9);
            }
            Container::Adts => trim.n_start = AAC_PRIMING,
            Container::Mpeg | Container::Caf => {
                let n_start = u64::from(track.delay.unwrap_or(0));
                let n_end = u64::from(track.padding.unwrap_or(0));
                trim.n_start = trim.n_start.max(n_start);
                let n_heard = track.num_frames.filter(|_| n_end > 0);
                trim.end = n_heard.map(|n_heard| (n_start + n_heard + n_end, n_end));
            }
            _ => {}
        }
        let duration_s = self.duration_s(track, &trim);
        Heard { id: track.id, time_base: track.time_base, decoder, trim, duration_s }
    }

    /// The recording's length, as far as the headers tell.
    fn duration_s(&self, track: &Track, trim: &Trim) -> Option<f64> {
        let media = self.demuxer.media_info();
        let of = |time_base: Option<TimeBase>, duration: Option<symphonia::core::units::Duration>| {
            let seconds = time_base?.calc_duration(duration?)?.as_secs_f64();
            (seconds > 0.0).then_some(seconds)
        };
        let whole_s = of(track.time_base, track.duration)
            .or(self.wave_s)
            .or_else(|| of(media.time_base, media.duration))?;
        let heard_s = match trim.edit {
            Some(Edit { duration_s: Some(duration_s), .. }) => duration_s.min(whole_s),
            Some(Edit { start_s, duration_s: None }) => whole_s - start_s,
            None => whole_s,
        };
        Some(heard_s.max(0.0))
    }

    /// The part to be heard as iTunes notes it: hexadecimal delay, padding and number of samples.
    fn itunes_edit(&mut self, track: &Track) -> Option<Edit> {
        let rate = track.time_base.filter(|time_base| time_base.numer.get() == 1)?.denom.get();
        let metadata = self.demuxer.metadata();
        let mut tags = metadata.current()?.media.tags.iter();
        let tag = tags.find(|tag| tag.raw.key.ends_with("iTunSMPB"))?;
        let RawValue::String(text) = &tag.raw.value else { return None };
        let mut numbers = text.split_whitespace().map(|number| u64::from_str_radix(number, 16).ok());
        let (delay, n_heard) = (numbers.nth(1)??, numbers.nth(1)??);
        let duration_s = (n_heard > 0).then(|| n_heard as f64 / f64::from(rate));
        Some(Edit { start_s: delay as f64 / f64::from(rate), duration_s })
    }

    fn name_codec(&self, track: u32, codec: String) -> String {
        if codec != UNKNOWN {
            return codec;
        }
        let matroska_codec = self.matroska_track(track).map(|track| format!("`{}`", track.codec));
        self.mp4_codec(Some(track)).or(matroska_codec).unwrap_or(codec)
    }

    /// The codec as an MP4 file names it, of a track or of the first one that sounds like audio.
    fn mp4_codec(&self, track: Option<u32>) -> Option<String> {
        const AUDIO: &[&[u8; 4]] = &[
            b"samr", b"sawb", b"ec-3", b"ac-3", b"ac-4", b"dtsc", b"dtse", b"mlpa", b"QDM2", b"agsm",
            b"ima4", b"sqcp",
        ];
        let name = self.mp4_tracks.iter().find_map(|other| match track {
            Some(track) => other.codec.filter(|_| other.id == track),
            None => other.codec.filter(|codec| AUDIO.contains(&codec)),
        })?;
        Some(match &name {
            b"samr" | b"sawb" => "AMR".to_owned(),
            other => format!("`{}`", String::from_utf8_lossy(other).escape_debug()),
        })
    }
}

/// Which bare stream a WAV file holds instead of samples, if it does.
fn stream_in_wave(name: &str, container: Container, chunks: &Chunks) -> Result<Option<Container>, Error> {
    if container == Container::Aiff {
        return Ok(None);
    }
    match chunks.format_tag() {
        Some(0x0001..=0x0003 | 0x0006 | 0x0007 | 0x0011) => Ok(None),
        Some(0x0050 | 0x0055) => Ok(Some(Container::Mpeg)),
        Some(0x1600) => Ok(Some(Container::Adts)),
        Some(tag) => Err(Error::Codec { name: name.to_owned(), codec: format_name(tag) }),
        None => Err(damaged(name, Container::Wave, "the format chunk is too short")),
    }
}

/// Names the codec of an Ogg stream that is not decoded, by its first page.
fn other_codec_in_ogg(page: &[u8]) -> Option<&'static str> {
    let n_segments = usize::from(*page.get(26)?);
    let packet = page.get(27 + n_segments..)?;
    let names: &[(&[u8], &str)] = &[(b"Speex   ", "Speex"), (b"CELT    ", "CELT"), (b"PCM     ", "Ogg PCM")];
    names.iter().find(|(magic, _)| packet.starts_with(magic)).map(|&(_, name)| name)
}

fn open_demuxer(
    name: &str,
    source: SharedSource,
    header: Vec<u8>,
    found: &Found,
) -> Result<Box<dyn FormatReader>, Error> {
    let region = Region::new(source, header, found.start, found.end);
    let stream = MediaSourceStream::new(Box::new(region), MediaSourceStreamOptions::default());
    let container = found.container;
    let opened = guard(move || -> Result<Box<dyn FormatReader>, symphonia::core::errors::Error> {
        let options = Default::default();
        Ok(match container {
            Container::Wave | Container::Wave64 => Box::new(WavReader::try_new(stream, options)?),
            Container::Aiff => Box::new(AiffReader::try_new(stream, options)?),
            Container::Caf => Box::new(CafReader::try_new(stream, options)?),
            Container::Sphere => unreachable!("its samples have got the header of another container"),
            Container::Flac => Box::new(FlacReader::try_new(stream, options)?),
            Container::Ogg => Box::new(OggReader::try_new(stream, options)?),
            Container::Matroska => Box::new(MkvReader::try_new(stream, options)?),
            Container::Mp4 => Box::new(IsoMp4Reader::try_new(stream, options)?),
            Container::Mpeg => Box::new(MpaReader::try_new(stream, options)?),
            Container::Adts => Box::new(AdtsReader::try_new(stream, options)?),
        })
    });
    match opened {
        Ok(Ok(demuxer)) => Ok(demuxer),
        Ok(Err(error)) => Err(damaged(name, container, &error.to_string())),
        Err(_) => Err(damaged(name, container, "its headers make no sense")),
    }
}

fn refused(name: &str, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Codec(codec) => Error::Codec { name: name.to_owned(), codec },
        Refusal::Damaged(reason) => damaged(name, Container::Sphere, &reason),
    }
}

fn damaged(name: &str, container: Container, reason: &str) -> Error {
    Error::Damaged { name: name.to_owned(), reason: format!("{} file: {reason}", container.name()) }
}
