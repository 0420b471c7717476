//! What Matroska and WebM files say of their tracks beyond what the demuxer tells.
//!
//! A track is a default one unless it says otherwise, and most say nothing. A block may say how much of its end
//! is the encoder's padding (`DiscardPadding`), which only the last block of a track does in practice.

use std::io;

use super::source::{ReadSeek, read_at};

/// What this module knows of a file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Matroska {
    /// The tracks.
    pub(super) tracks: Vec<MatroskaTrack>,
    /// Whether the file ends before its header says.
    pub(super) is_truncated: bool,
    /// What a demuxer has to read before it can begin at any cluster.
    pub(super) preamble: Vec<u8>,
    /// Where the first cluster is.
    pub(super) first_cluster: Option<u64>,
}

/// What this module knows of a track.
#[derive(Debug, PartialEq)]
pub(super) struct MatroskaTrack {
    /// The track's number.
    pub(super) number: u64,
    /// Whether players choose it if nobody chose another one.
    pub(super) is_default: bool,
    /// The codec, for messages.
    pub(super) codec: String,
    /// The padding at the track's end, in nanoseconds; 0 in a file that was streamed: its clusters are of
    /// unknown size, and to find the last one all would have to be read.
    pub(super) end_padding_ns: u64,
}

const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK_ENTRY: u32 = 0xae;
const TRACK_NUMBER: u32 = 0xd7;
const FLAG_DEFAULT: u32 = 0x88;
const CODEC_ID: u32 = 0x86;
const CLUSTER: u32 = 0x1f43_b675;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;
const DISCARD_PADDING: u32 = 0x75a2;

/// The head of a segment of unknown size.
const OPEN_SEGMENT: [u8; 12] = [0x18, 0x53, 0x80, 0x67, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// Bytes of an element that the preamble takes, at most.
const MAX_PREAMBLE: u64 = 1 << 20;

/// Elements that are looked at, at most.
const MAX_STEPS: usize = 1_000_000;

/// Bytes that are read of a small element, at most.
const MAX_CONTENT: u64 = 64;

impl Matroska {
    /// Reads what there is to know between `start` and `end`; what is damaged is left out.
    pub(super) fn read(source: &mut dyn ReadSeek, start: u64, end: u64) -> io::Result<Self> {
        let (mut matroska, mut steps) = (Self::default(), 0);
        let (mut last_cluster, mut position) = (None, start);
        // The segment's children are read as if they stood beside it: it is entered, they are stepped over.
        while let Some(element) = Element::read(source, position, end, &mut steps)? {
            match element.id {
                SEGMENT => {
                    matroska.is_truncated |= element.is_cut;
                    matroska.preamble.extend(OPEN_SEGMENT);
                    position = element.start;
                    continue;
                }
                EBML | INFO => matroska.copy(source, position, &element)?,
                TRACKS => {
                    matroska.copy(source, position, &element)?;
                    matroska.tracks = read_tracks(source, &element, &mut steps)?;
                }
                CLUSTER => {
                    last_cluster = Some(element.clone());
                    matroska.first_cluster.get_or_insert(position);
                }
                _ => {}
            }
            if element.is_open {
                return Ok(matroska);
            }
            position = element.end;
        }
        if let Some(cluster) = last_cluster {
            matroska.read_paddings(source, &cluster, &mut steps)?;
        }
        Ok(matroska)
    }

    /// Adds an element to the preamble.
    fn copy(&mut self, source: &mut dyn ReadSeek, position: u64, element: &Element) -> io::Result<()> {
        let n_bytes = (element.end - position).min(MAX_PREAMBLE) as usize;
        self.preamble.extend(read_at(source, position, n_bytes)?);
        Ok(())
    }

    /// Notes the paddings of the tracks' last blocks.
    fn read_paddings(
        &mut self,
        source: &mut dyn ReadSeek,
        cluster: &Element,
        steps: &mut usize,
    ) -> io::Result<()> {
        let mut position = cluster.start;
        while let Some(element) = Element::read(source, position, cluster.end, steps)? {
            if element.id == BLOCK_GROUP
                && let Some((number, padding)) = group_padding(source, &element, steps)?
                && let Some(track) = self.tracks.iter_mut().find(|track| track.number == number)
            {
                track.end_padding_ns = padding;
            }
            position = element.end;
        }
        Ok(())
    }
}

/// Finds the next cluster at or after `from`, in whatever lies there.
pub(super) fn next_cluster(source: &mut dyn ReadSeek, from: u64, end: u64) -> io::Result<Option<u64>> {
    const BLOCK: usize = 1 << 16;
    const HEAD: usize = 16;
    let mut position = from;
    while position < end {
        let bytes = read_at(source, position, BLOCK + HEAD)?;
        let found = (0..bytes.len().min(BLOCK)).find(|&at| is_cluster(&bytes[at..]));
        if let Some(at) = found {
            return Ok(Some(position + at as u64).filter(|&found| found < end));
        }
        position += BLOCK as u64;
    }
    Ok(None)
}

/// Whether a cluster begins here: its name, a size, and one of the elements that come first in clusters.
fn is_cluster(bytes: &[u8]) -> bool {
    const FIRST: [u8; 4] = [0xe7, 0xbf, 0xab, 0xa7]; // timestamp, check sum, previous size, position
    let Some(rest) = bytes.strip_prefix(&CLUSTER.to_be_bytes()) else { return false };
    let first = vint(rest).and_then(|(_, n_size)| rest.get(n_size));
    first.is_some_and(|id| FIRST.contains(id))
}

fn read_tracks(
    source: &mut dyn ReadSeek,
    element: &Element,
    steps: &mut usize,
) -> io::Result<Vec<MatroskaTrack>> {
    let (mut tracks, mut position) = (Vec::new(), element.start);
    while let Some(entry) = Element::read(source, position, element.end, steps)? {
        position = entry.end;
        if entry.id != TRACK_ENTRY {
            continue;
        }
        let (mut number, mut is_default, mut codec) = (0, true, String::new());
        let mut position = entry.start;
        while let Some(field) = Element::read(source, position, entry.end, steps)? {
            match field.id {
                TRACK_NUMBER => number = big_endian(&field.content(source)?),
                FLAG_DEFAULT => is_default = big_endian(&field.content(source)?) != 0,
                CODEC_ID => {
                    codec = String::from_utf8_lossy(&field.content(source)?).escape_debug().to_string();
                }
                _ => {}
            }
            position = field.end;
        }
        tracks.push(MatroskaTrack { number, is_default, codec, end_padding_ns: 0 });
    }
    Ok(tracks)
}

/// Reads a block group's track and its padding.
fn group_padding(
    source: &mut dyn ReadSeek,
    group: &Element,
    steps: &mut usize,
) -> io::Result<Option<(u64, u64)>> {
    let (mut padding, mut track) = (0, None);
    let mut position = group.start;
    while let Some(element) = Element::read(source, position, group.end, steps)? {
        match element.id {
            BLOCK => track = vint(&read_at(source, element.start, 8)?).map(|(number, _)| number),
            DISCARD_PADDING => {
                let bytes = element.content(source)?;
                let is_negative = bytes.first().is_some_and(|&byte| byte & 0x80 != 0);
                padding = if is_negative { 0 } else { big_endian(&bytes) };
            }
            _ => {}
        }
        position = element.end;
    }
    Ok(track.map(|track| (track, padding)))
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// An element's identifier and where its content is.
#[derive(Clone)]
struct Element {
    id: u32,
    start: u64,
    end: u64,
    is_open: bool, // of unknown size
    is_cut: bool,  // of more bytes than there are
}

impl Element {
    fn read(
        source: &mut dyn ReadSeek,
        position: u64,
        end: u64,
        steps: &mut usize,
    ) -> io::Result<Option<Self>> {
        *steps += 1;
        if *steps > MAX_STEPS || position >= end {
            return Ok(None);
        }
        let head = read_at(source, position, 12)?;
        let n_id = head.first().map_or(0, |byte| byte.leading_zeros() as usize + 1);
        let Some(id) = head.get(..n_id).filter(|_| n_id <= 4) else { return Ok(None) };
        let id = id.iter().fold(0, |id, &byte| id << 8 | u32::from(byte));
        let Some((size, n_size)) = vint(&head[n_id..]) else { return Ok(None) };
        let is_open = size == (1 << (7 * n_size)) - 1;
        let start = position + (n_id + n_size) as u64;
        let wanted_end = if is_open { end } else { start.saturating_add(size) };
        let is_cut = wanted_end > end;
        Ok((start <= end).then_some(Self { id, start, end: wanted_end.min(end), is_open, is_cut }))
    }

    /// Reads the beginning of the content.
    fn content(&self, source: &mut dyn ReadSeek) -> io::Result<Vec<u8>> {
        read_at(source, self.start, (self.end - self.start).min(MAX_CONTENT) as usize)
    }
}

/// Reads a number of variable length: its value and how many bytes it takes.
fn vint(bytes: &[u8]) -> Option<(u64, usize)> {
    let n_bytes = bytes.first()?.leading_zeros() as usize + 1;
    let bytes = bytes.get(..n_bytes).filter(|_| n_bytes <= 8)?;
    let value = big_endian(bytes);
    Some((value & ((1 << (7 * n_bytes)) - 1), n_bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A segment with two tracks and a cluster, of the size given or its own.
    fn file(cluster_size: Option<u8>) -> Vec<u8> {
        let element = |id: &[u8], content: &[u8]| [id, &[0x80 | content.len() as u8], content].concat();
        let group = |track: u8, padding: &[u8]| {
            element(&[0xa0], &[&element(&[0xa1], &[0x80 | track, 0, 0, 0, 0x55]), padding].concat())
        };
        let entries = [
            element(&[0xae], &[&[0xd7, 0x81, 1, 0x88, 0x81, 0, 0x86, 0x86][..], b"A_FLAC"].concat()),
            element(&[0xae], &[&[0xd7, 0x81, 2, 0x86, 0x85][..], b"A_AC4"].concat()),
        ];
        let tracks = element(&[0x16, 0x54, 0xae, 0x6b], &entries.concat());
        let blocks =
            [group(1, &[]), group(1, &[0x75, 0xa2, 0x82, 0x03, 0xe8]), group(2, &[0x75, 0xa2, 0x81, 5])];
        let mut cluster = element(&[0x1f, 0x43, 0xb6, 0x75], &blocks.concat());
        cluster[4] = cluster_size.unwrap_or(cluster[4]);
        [&[0x1a, 0x45, 0xdf, 0xa3, 0x80, 0x18, 0x53, 0x80, 0x67, 0xff][..], &tracks, &cluster].concat()
    }

    fn read(bytes: &[u8]) -> Matroska {
        Matroska::read(&mut Cursor::new(bytes.to_vec()), 0, bytes.len() as u64).unwrap()
    }

    #[test]
    fn tracks_are_described() {
        let track = |number, is_default, codec: &str, end_padding_ns| MatroskaTrack {
            number,
            is_default,
            codec: codec.to_owned(),
            end_padding_ns,
        };
        let expected = |first, second| [track(1, false, "A_FLAC", first), track(2, true, "A_AC4", second)];
        assert_eq!(read(&file(None)).tracks, expected(1000, 5));
        assert_eq!(read(&file(Some(0xff))).tracks, expected(0, 0));
        assert_eq!(read(&[0x1a, 0x45, 0xdf, 0xa3]), Matroska::default());
    }

    #[test]
    fn a_file_can_be_entered_at_its_clusters() {
        let bytes = file(None);
        let matroska = read(&bytes);
        let first = matroska.first_cluster.unwrap() as usize;
        assert!(bytes[first..].starts_with(&[0x1f, 0x43, 0xb6, 0x75]));
        assert!(
            matroska
                .preamble
                .starts_with(&[0x1a, 0x45, 0xdf, 0xa3, 0x80, 0x18, 0x53, 0x80, 0x67, 0x01, 0xff])
        );
        assert!(matroska.preamble.ends_with(b"A_AC4"));

        let cluster = [0x1f, 0x43, 0xb6, 0x75, 0x84, 0xe7, 0x82, 0, 5];
        let bytes = [&[0x1f; 70_000][..], &cluster, &[0; 10], &cluster].concat();
        let next = |from| next_cluster(&mut Cursor::new(bytes.clone()), from, bytes.len() as u64).unwrap();
        assert_eq!(next(0), Some(70_000));
        assert_eq!(next(70_001), Some(70_019));
        assert_eq!(next(70_020), None);
    }
}
