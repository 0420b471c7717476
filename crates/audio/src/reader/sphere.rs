//! NIST SPHERE files, in which corpora of speech come: a header of text, then samples.
//!
//! What comes out is the header of a WAV file for the demuxer, or of a CAF file where the highest byte comes first, and
//! the range of the samples.
//!
//! Source: `doc/` of NIST's SPHERE package 2.7.

use std::io;
use std::ops::Range;

use super::container::Container;
use super::source::{ReadSeek, read_at};

/// How a SPHERE file begins.
pub(super) const MAGIC: &[u8] = b"NIST_1A\n";

/// A header is never longer: the usual ones have 1024 bytes.
const MAX_HEADER_BYTES: u64 = 1 << 16;
/// How samples that Shorten has compressed begin, whatever the header says.
const SHORTEN: &[u8] = b"ajkg";

/// What a SPHERE file holds.
#[derive(Debug, PartialEq)]
pub(super) struct Sphere {
    coding: Coding,
    n_channels: u32,
    rate: u32,
    sample_bytes: u32,
    /// Where the samples are.
    pub(super) data: Range<u64>,
    /// Whether the header promises more samples than there are.
    pub(super) is_truncated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Coding {
    Pcm { is_little_endian: bool },
    Ulaw,
    Alaw,
}

/// Why a SPHERE file is not read.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    /// The samples are in a codec that is not decoded.
    Codec(String),
    /// The header makes no sense.
    Damaged(String),
}

impl Sphere {
    /// Reads the header between `start` and `end`.
    pub(super) fn read(source: &mut dyn ReadSeek, start: u64, end: u64) -> io::Result<Result<Self, Refusal>> {
        let Some(n_header) = header_bytes(&read_at(source, start, 16)?) else {
            return Ok(Err(Refusal::Damaged("the length of its header is no number".to_owned())));
        };
        let header = read_at(source, start, n_header as usize)?;
        let first = start.saturating_add(n_header).min(end);
        let magic = read_at(source, first, SHORTEN.len())?;
        Ok(Fields(&header).sphere(first..end, magic == SHORTEN))
    }

    /// The file's length in seconds.
    pub(super) fn duration_s(&self) -> f64 {
        let n_bytes = self.data.end - self.data.start;
        n_bytes as f64 / f64::from(self.sample_bytes * self.n_channels) / f64::from(self.rate)
    }

    /// The container whose header [`header`](Self::header) is.
    pub(super) fn container(&self) -> Container {
        match self.coding {
            Coding::Pcm { is_little_endian: false } => Container::Caf,
            _ => Container::Wave,
        }
    }

    /// A header for the demuxer, to be followed by the samples.
    pub(super) fn header(&self) -> Vec<u8> {
        let frame_bytes = self.sample_bytes * self.n_channels;
        let tag: u16 = match self.coding {
            Coding::Pcm { is_little_endian: false } => return self.caf_header(),
            Coding::Pcm { is_little_endian: true } => 1,
            Coding::Alaw => 6,
            Coding::Ulaw => 7,
        };
        let [n_channels, frame, bits] =
            [self.n_channels, frame_bytes, 8 * self.sample_bytes].map(|n| n as u16);
        let byte_rate = self.rate.saturating_mul(frame_bytes).to_le_bytes();
        let rate = self.rate.to_le_bytes();
        let [tag, n_channels, frame, bits] = [tag, n_channels, frame, bits].map(u16::to_le_bytes);
        // A demuxer reads to the end of the file where the size does not fit.
        let size = u32::try_from(self.data.end - self.data.start).unwrap_or(u32::MAX).to_le_bytes();
        let format = [&tag[..], &n_channels, &rate, &byte_rate, &frame, &bits].concat();
        [&b"RIFF\xff\xff\xff\xffWAVEfmt \x12\0\0\0"[..], &format, b"\0\0data", &size].concat()
    }

    fn caf_header(&self) -> Vec<u8> {
        let rate = f64::from(self.rate).to_be_bytes();
        let of_frames = [self.sample_bytes * self.n_channels, 1, self.n_channels, 8 * self.sample_bytes];
        let of_frames: Vec<u8> = of_frames.iter().flat_map(|number| number.to_be_bytes()).collect();
        // Four bytes stand before the samples: how often the file was edited.
        let size = (self.data.end - self.data.start + 4).to_be_bytes();
        let before = b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20";
        [&before[..], &rate, b"lpcm\0\0\0\0", &of_frames, b"data", &size, &[0; 4]].concat()
    }
}

/// The length of the header, which its second line tells.
fn header_bytes(head: &[u8]) -> Option<u64> {
    let line = head.strip_prefix(MAGIC)?.split(|&byte| byte == b'\n').next()?;
    let n_bytes: u64 = std::str::from_utf8(line).ok()?.trim().parse().ok()?;
    (head.len() as u64..=MAX_HEADER_BYTES).contains(&n_bytes).then_some(n_bytes)
}

/// The lines of a header: a name, a type and a value each.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let lines = self.0.split(|&byte| byte == b'\n').map(String::from_utf8_lossy);
        let lines = lines.take_while(|line| line.trim() != "end_head");
        lines.into_iter().find_map(|line| {
            let mut parts = line.trim().splitn(3, char::is_whitespace);
            let is_wanted =
                parts.next() == Some(name) && parts.next().is_some_and(|kind| kind.starts_with('-'));
            is_wanted.then(|| parts.next().unwrap_or_default().trim().to_owned())
        })
    }

    /// A number of at least 1 and at most `max`.
    fn number(&self, name: &str, max: u64) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if (1..=max).contains(&number) => Ok(Some(number)),
            _ => Err(Refusal::Damaged(format!("`{name}` is `{text}`, expected 1 to {max}"))),
        }
    }

    fn required(&self, name: &str, max: u64) -> Result<u32, Refusal> {
        let number = self.number(name, max)?;
        let number = number.ok_or_else(|| Refusal::Damaged(format!("its header has no `{name}`")))?;
        Ok(number as u32)
    }

    /// What the header says of the samples that are in `space`.
    fn sphere(&self, space: Range<u64>, is_shortened: bool) -> Result<Sphere, Refusal> {
        let n_channels = self.required("channel_count", 64)?;
        let rate = self.required("sample_rate", u64::from(u32::MAX))?;
        let (coding, sample_bytes) = self.coding(is_shortened)?;
        let n_left = space.end - space.start;
        let n_promised = self.number("sample_count", u64::MAX)?.map(|n_samples| {
            n_samples.saturating_mul(u64::from(n_channels)).saturating_mul(u64::from(sample_bytes))
        });
        let size = n_promised.unwrap_or(n_left);
        let data = space.start..space.start + size.min(n_left);
        Ok(Sphere { coding, n_channels, rate, sample_bytes, data, is_truncated: size > n_left })
    }

    /// How samples are written, and with how many bytes.
    fn coding(&self, is_shortened: bool) -> Result<(Coding, u32), Refusal> {
        let coding = self.get("sample_coding").unwrap_or_else(|| "pcm".to_owned());
        let refuse = |codec: &str| Err(Refusal::Codec(format!("{codec} in NIST SPHERE")));
        if is_shortened || coding.contains("shorten") {
            return refuse("Shorten (unpack it with sph2pipe)");
        }
        let sample_bytes = self.number("sample_n_bytes", 8)?;
        match (coding.as_str(), sample_bytes.unwrap_or(if coding == "pcm" { 2 } else { 1 })) {
            ("pcm", n_bytes @ 2..=4) => {
                let order = self.get("sample_byte_format").unwrap_or_else(|| "01".to_owned());
                let is_little_endian = order.starts_with('0');
                if !order.bytes().eq((0..n_bytes as u8).map(|idx| match is_little_endian {
                    true => b'0' + idx,
                    false => b'0' + n_bytes as u8 - 1 - idx,
                })) {
                    return Err(Refusal::Damaged(format!(
                        "`sample_byte_format` is `{order}`, expected 01 or 10"
                    )));
                }
                Ok((Coding::Pcm { is_little_endian }, n_bytes as u32))
            }
            ("ulaw" | "mu-law", 1) => Ok((Coding::Ulaw, 1)),
            ("alaw" | "a-law", 1) => Ok((Coding::Alaw, 1)),
            (coding, n_bytes) => refuse(&format!("`{}` of {n_bytes} bytes", coding.escape_debug())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn header(fields: &[&str]) -> Vec<u8> {
        let mut header = format!("NIST_1A\n   1024\n{}\nend_head\n", fields.join("\n")).into_bytes();
        header.resize(1024, b' ');
        header
    }

    fn read(bytes: &[u8]) -> Result<Sphere, Refusal> {
        let end = bytes.len() as u64;
        Sphere::read(&mut Cursor::new(bytes.to_vec()), 0, end).unwrap()
    }

    const MONO: [&str; 2] = ["channel_count -i 1", "sample_rate -i 16000"];

    #[test]
    fn a_header_says_how_samples_are_written() {
        let cases: &[(&[&str], Coding, u32)] = &[
            (&["sample_byte_format -s2 01"], Coding::Pcm { is_little_endian: true }, 2),
            (
                &["sample_n_bytes -i 2", "sample_byte_format -s2 10"],
                Coding::Pcm { is_little_endian: false },
                2,
            ),
            (&["sample_coding -s3 pcm"], Coding::Pcm { is_little_endian: true }, 2),
            (
                &["sample_n_bytes -i 3", "sample_byte_format -s3 210"],
                Coding::Pcm { is_little_endian: false },
                3,
            ),
            (&["sample_coding -s4 ulaw", "sample_n_bytes -i 1"], Coding::Ulaw, 1),
            (&["sample_coding -s4 alaw"], Coding::Alaw, 1),
        ];
        for &(fields, coding, sample_bytes) in cases {
            let bytes = [header(&[&MONO, fields].concat()), vec![0; 48]].concat();
            let sphere = read(&bytes).unwrap();
            assert_eq!((sphere.coding, sphere.sample_bytes, sphere.data), (coding, sample_bytes, 1024..1072));
        }
    }

    #[test]
    fn the_samples_end_where_the_header_or_the_file_says() {
        for (count, data, is_truncated) in
            [(10, 1024..1044, false), (24, 1024..1072, false), (25, 1024..1072, true)]
        {
            let count = format!("sample_count -i {count}");
            let sphere = read(&[header(&[&MONO[..], &[&count]].concat()), vec![0; 48]].concat()).unwrap();
            assert_eq!((sphere.data, sphere.is_truncated), (data, is_truncated));
        }
    }

    #[test]
    fn what_is_not_read_is_named() {
        let codec =
            |fields: &[&str], after: &[u8]| match read(&[&header(&[&MONO, fields].concat()), after].concat())
            {
                Err(Refusal::Codec(codec)) => codec,
                other => panic!("{other:?}"),
            };
        let shortened = "Shorten (unpack it with sph2pipe) in NIST SPHERE";
        assert_eq!(codec(&["sample_coding -s26 pcm,embedded-shorten-v2.00"], b""), shortened);
        assert_eq!(codec(&["sample_coding -s3 pcm"], b"ajkg\x02"), shortened);
        assert_eq!(codec(&["sample_coding -s9 something"], b""), "`something` of 1 bytes in NIST SPHERE");
        let damaged = |bytes: &[u8]| match read(bytes) {
            Err(Refusal::Damaged(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(damaged(b"NIST_1A\n   x\n"), "the length of its header is no number");
        assert_eq!(damaged(b"NIST_1A\n99999999999999\n"), "the length of its header is no number");
        assert_eq!(damaged(&header(&["sample_rate -i 16000"])), "its header has no `channel_count`");
        assert_eq!(damaged(&header(&["channel_count -i 0"])), "`channel_count` is `0`, expected 1 to 64");
        let odd = header(&[&MONO[..], &["sample_byte_format -s2 11"]].concat());
        assert_eq!(damaged(&odd), "`sample_byte_format` is `11`, expected 01 or 10");
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), is_text: bool) {
            if is_text {
                bytes.iter_mut().for_each(|byte| *byte = b" \n-i019sample_rate channel_count"[usize::from(*byte) % 31]);
            }
            let bytes = [MAGIC, b"   1024\n", &bytes].concat();
            if let Ok(sphere) = read(&bytes) {
                prop_assert!(sphere.data.end <= bytes.len() as u64 && sphere.data.start <= sphere.data.end);
            }
        }
    }
}
