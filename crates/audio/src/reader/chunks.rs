//! The chunks of WAV and AIFF files as they are found in the world.
//!
//! Sizes of 0 or 0xFFFFFFFF from programs that wrote to a pipe or died, sizes past the file's end, RF64 and
//! BW64 (sizes in a `ds64` chunk), Wave64 (GUIDs and 64-bit sizes), chunks of all kinds before and after
//! the samples. What comes out is a plain header for the demuxer and the range of the samples.

use std::io;
use std::ops::Range;

use super::container::Container;
use super::source::{ReadSeek, read_at};

/// What a WAV or AIFF file holds.
#[derive(Debug, PartialEq)]
pub(super) struct Chunks {
    container: Container,
    form: [u8; 4],
    /// The content of the format chunk.
    pub(super) format: Vec<u8>,
    /// Where the samples are.
    pub(super) data: Range<u64>,
    /// Whether the header promises more samples than there are.
    pub(super) is_truncated: bool,
}

impl Chunks {
    /// Reads the chunks between `start` and `end`.
    ///
    /// The inner error says what is missing.
    pub(super) fn read(
        source: &mut dyn ReadSeek,
        container: Container,
        start: u64,
        end: u64,
    ) -> io::Result<Result<Self, String>> {
        let layout = Layout::of(container);
        let (mut format, mut data_size_64) = (None, None);
        let form = read_at(source, start + 8, 4)?.try_into().unwrap_or_default();
        let mut position = start + layout.form_bytes;
        for _ in 0..MAX_CHUNKS {
            let Some(chunk) = layout.read_chunk(source, position, end)? else { break };
            match &chunk.id {
                b"ds64" => data_size_64 = u64_at(&read_at(source, chunk.start + 8, 8)?, 0),
                b"fmt " | b"COMM" => {
                    let n_bytes = chunk.size.min(MAX_FORMAT_BYTES) as usize;
                    format = Some(read_at(source, chunk.start, n_bytes)?);
                }
                b"data" | b"SSND" => {
                    let Some(format) = format else {
                        return Ok(Err("samples before the format chunk".to_owned()));
                    };
                    let size = data_size_64.filter(|_| chunk.size == UNKNOWN_SIZE).unwrap_or(chunk.size);
                    return layout.data(source, chunk.start, size, end).map(|(data, is_truncated)| {
                        Ok(Self { container, form, format, data, is_truncated })
                    });
                }
                _ => {}
            }
            position = layout.next(&chunk);
        }
        let missing = if format.is_some() { "no data chunk" } else { "no format chunk" };
        Ok(Err(missing.to_owned()))
    }

    /// The code of the samples' format; of WAVE_FORMAT_EXTENSIBLE the one behind it.
    pub(super) fn format_tag(&self) -> Option<u16> {
        let tag = |at: usize| self.format.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        match tag(0)? {
            0xfffe => tag(24),
            tag => Some(tag),
        }
    }

    /// Seconds that the samples take at the header's byte rate, which is exact for PCM.
    pub(super) fn duration_s(&self) -> Option<f64> {
        let byte_rate = self.format.get(8..12).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))?;
        (byte_rate > 0).then(|| (self.data.end - self.data.start) as f64 / f64::from(byte_rate))
    }

    /// A header that any demuxer understands, to be followed by the samples.
    pub(super) fn plain_header(&self) -> Vec<u8> {
        // A demuxer reads to the end of the file where the size does not fit.
        let n_data = self.data.end - self.data.start;
        let size = u32::try_from(n_data).unwrap_or(u32::MAX);
        let format_size = self.format.len() as u32;
        let padding: &[u8] = if self.format.len() % 2 == 1 { &[0] } else { &[] };
        if self.container == Container::Aiff {
            let (size, format_size) = (size.to_be_bytes(), format_size.to_be_bytes());
            let n_rest = 4 + 8 + self.format.len() + padding.len() + 8;
            let total = u32::try_from(n_data + n_rest as u64).unwrap_or(u32::MAX).to_be_bytes();
            let head = [&b"FORM"[..], &total, &self.form, b"COMM", &format_size, &self.format, padding];
            return [head.concat(), [&b"SSND"[..], &size].concat()].concat();
        }
        // The demuxer wants to know the length of the extension of G.711, which many files leave out: 0.
        let is_short = matches!(self.format_tag(), Some(6 | 7)) && self.format.len() == 16;
        let (extension, format_size): (&[u8], u32) =
            if is_short { (&[0; 2], 18) } else { (padding, format_size) };
        let (size, format_size) = (size.to_le_bytes(), format_size.to_le_bytes());
        let riff = b"RIFF\xff\xff\xff\xffWAVE";
        [riff, b"fmt ".as_slice(), &format_size, &self.format, extension, b"data", &size].concat()
    }
}

const MAX_CHUNKS: usize = 10_000;
const MAX_FORMAT_BYTES: u64 = 4096;
const UNKNOWN_SIZE: u64 = u32::MAX as u64;

/// How RIFF, Wave64 and AIFF differ.
struct Layout {
    is_big_endian: bool,
    form_bytes: u64,
    id_bytes: u64,
    size_bytes: u64,
    size_counts_header: bool,
    alignment: u64,
}

/// A chunk's name (of a GUID the first four bytes) and its content's place.
struct Chunk {
    id: [u8; 4],
    start: u64,
    size: u64,
}

impl Layout {
    fn of(container: Container) -> Self {
        let riff = Self {
            is_big_endian: false,
            form_bytes: 12,
            id_bytes: 4,
            size_bytes: 4,
            size_counts_header: false,
            alignment: 2,
        };
        match container {
            Container::Aiff => Self { is_big_endian: true, ..riff },
            Container::Wave64 => Self {
                form_bytes: 40,
                id_bytes: 16,
                size_bytes: 8,
                size_counts_header: true,
                alignment: 8,
                ..riff
            },
            _ => riff,
        }
    }

    fn read_chunk(&self, source: &mut dyn ReadSeek, position: u64, end: u64) -> io::Result<Option<Chunk>> {
        let n_header = self.id_bytes + self.size_bytes;
        if position >= end || end - position < n_header {
            return Ok(None);
        }
        let mut header = read_at(source, position, n_header as usize)?;
        if self.is_big_endian {
            header[self.id_bytes as usize..].reverse();
        }
        header.resize(self.id_bytes as usize + 8, 0);
        let counted = if self.size_counts_header { n_header } else { 0 };
        let size = u64_at(&header, self.id_bytes as usize).unwrap_or(0).saturating_sub(counted);
        let id = [header[0], header[1], header[2], header[3]];
        Ok(Some(Chunk { id, start: position + n_header, size }))
    }

    fn next(&self, chunk: &Chunk) -> u64 {
        let end = chunk.start.saturating_add(chunk.size);
        end.checked_next_multiple_of(self.alignment).unwrap_or(u64::MAX)
    }

    /// Decides where the samples end, and whether some are missing.
    fn data(
        &self,
        source: &mut dyn ReadSeek,
        start: u64,
        size: u64,
        end: u64,
    ) -> io::Result<(Range<u64>, bool)> {
        let n_left = end.saturating_sub(start);
        let is_open = size == UNKNOWN_SIZE || (size == 0 && !self.chunks_reach_end(source, start, end)?);
        let size = if is_open { n_left } else { size };
        Ok((start..start + size.min(n_left), size > n_left))
    }

    /// Whether well-formed chunks fill the file from here: then a size of 0 means no samples.
    fn chunks_reach_end(&self, source: &mut dyn ReadSeek, start: u64, end: u64) -> io::Result<bool> {
        let mut position = start;
        for _ in 0..MAX_CHUNKS {
            let Some(chunk) = self.read_chunk(source, position, end)? else { break };
            let is_name = chunk.id.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b' ');
            if !is_name {
                return Ok(false);
            }
            position = self.next(&chunk);
        }
        // A last padding byte may be missing.
        Ok(position == end || position == end + 1)
    }
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    Some(bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

/// Names formats of WAV files that are not decoded.
pub(super) fn format_name(tag: u16) -> String {
    let name = match tag {
        0x0010 => "OKI ADPCM",
        0x0031 => "GSM 6.10",
        0x0040 | 0x0045 | 0x0064 => "G.726",
        0x0065 => "G.722",
        0x0042 => "G.723.1",
        0x0083 => "G.729",
        0x00ff | 0x1601 | 0x1602 => "AAC",
        0x0022 => "TrueSpeech",
        0x0130 => "ACELP.net",
        0x0160..=0x0163 => "Windows Media",
        0x2000 | 0x0092 => "AC-3",
        0x2001 => "DTS",
        0x674f..=0x6771 => "Vorbis",
        0xa109 => "Speex",
        0xf1ac => "FLAC",
        _ => return format!("unknown (format {tag:#06x})"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const FORMAT: &[u8] = b"\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0";

    fn chunk(id: &[u8], size: u32, content: &[u8]) -> Vec<u8> {
        [id, &size.to_le_bytes(), content].concat()
    }

    fn read(bytes: Vec<u8>) -> Result<Chunks, String> {
        let end = bytes.len() as u64;
        Chunks::read(&mut Cursor::new(bytes), Container::Wave, 0, end).unwrap()
    }

    fn wave(form: &[u8], chunks: &[Vec<u8>]) -> Vec<u8> {
        [form, b"\xff\xff\xff\xffWAVE", &chunks.concat()].concat()
    }

    #[test]
    fn the_samples_end_where_the_sizes_or_the_file_say() {
        let format = chunk(b"fmt ", 16, FORMAT);
        let list = chunk(b"LIST", 6, b"INFOab");
        type Case = (&'static str, Vec<Vec<u8>>, Range<u64>, bool);
        let cases: &[Case] = &[
            ("plain", vec![format.clone(), chunk(b"data", 4, b"abcd"), list.clone()], 44..48, false),
            ("streamed", vec![format.clone(), chunk(b"data", u32::MAX, b"abcdef")], 44..50, false),
            ("died", vec![format.clone(), chunk(b"data", 0, b"\x01\x02\x03\x04")], 44..48, false),
            ("empty", vec![format.clone(), chunk(b"data", 0, b"")], 44..44, false),
            ("empty with a list", vec![format.clone(), chunk(b"data", 0, b""), list.clone()], 44..44, false),
            ("cut", vec![format.clone(), chunk(b"data", 100, b"abcd")], 44..48, true),
            (
                "odd chunk first",
                vec![chunk(b"junk", 3, b"abc\0"), format, chunk(b"data", 2, b"ab")],
                56..58,
                false,
            ),
        ];
        for (name, chunks, data, is_truncated) in cases {
            let wave = read(wave(b"RIFF", chunks)).unwrap();
            assert_eq!((&wave.data, wave.is_truncated), (data, *is_truncated), "{name}");
            assert_eq!(wave.format_tag(), Some(1), "{name}");
        }
    }

    #[test]
    fn a_size_of_64_bits_is_taken_from_its_chunk() {
        let ds64 = chunk(b"ds64", 28, &[[0; 8], 4u64.to_le_bytes(), [0; 8]].concat()).to_vec();
        let ds64 = [ds64, vec![0; 4]].concat();
        let chunks = [ds64, chunk(b"fmt ", 16, FORMAT), chunk(b"data", u32::MAX, b"abcdLISTxx")];
        assert_eq!(read(wave(b"RF64", &chunks)).unwrap().data, 80..84);
    }

    #[test]
    fn aiff_has_the_same_chunks_the_other_way_round() {
        let chunk = |id: &[u8], size: u32, content: &[u8]| [id, &size.to_be_bytes(), content].concat();
        let comm = chunk(b"COMM", 3, b"abc\0");
        let bytes = [&b"FORM\0\0\0\0AIFC"[..], &comm, &chunk(b"SSND", 100, b"\0\0\0\0\0\0\0\0ab")].concat();
        let end = bytes.len() as u64;
        let found = Chunks::read(&mut Cursor::new(bytes), Container::Aiff, 0, end).unwrap().unwrap();
        assert_eq!((found.data.clone(), found.is_truncated), (32..42, true));
        let header = [&b"FORM\0\0\0\x22AIFC"[..], &comm, b"SSND\0\0\0\x0a"].concat();
        assert_eq!(found.plain_header(), header);
    }

    #[test]
    fn g711_without_the_length_of_its_extension_gets_one() {
        let short = [b"\x07\0", &FORMAT[2..]].concat();
        let header = |format: &[u8]| {
            let chunks = [chunk(b"fmt ", format.len() as u32, format), chunk(b"data", 2, b"ab")];
            read(wave(b"RIFF", &chunks)).unwrap().plain_header()
        };
        assert_eq!(header(&short), header(&[&short[..], &[0; 2]].concat()));
        assert_eq!(header(FORMAT).len(), 44);
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(read(wave(b"RIFF", &[])).unwrap_err(), "no format chunk");
        assert_eq!(read(wave(b"RIFF", &[chunk(b"fmt ", 16, FORMAT)])).unwrap_err(), "no data chunk");
        let early = chunk(b"data", 2, b"ab");
        assert_eq!(read(wave(b"RIFF", &[early])).unwrap_err(), "samples before the format chunk");
    }
}
