//! Which container a recording is in, told by its content.

use std::io;

use super::source::{ReadSeek, read_at};
use super::{sphere, sync};

/// The containers and bare streams that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Wave,
    Wave64,
    Aiff,
    Caf,
    Sphere,
    Flac,
    Ogg,
    Matroska,
    Mp4,
    /// MPEG audio frames, layer 1, 2 or 3, one after another.
    Mpeg,
    /// AAC frames with ADTS headers, one after another.
    Adts,
}

impl Container {
    /// What messages call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Wave => "WAV",
            Self::Wave64 => "Wave64",
            Self::Aiff => "AIFF",
            Self::Caf => "CAF",
            Self::Sphere => "NIST SPHERE",
            Self::Flac => "FLAC",
            Self::Ogg => "Ogg",
            Self::Matroska => "Matroska or WebM",
            Self::Mp4 => "MP4",
            Self::Mpeg => "MPEG audio",
            Self::Adts => "ADTS",
        }
    }
}

/// A container and the bytes that it takes.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    pub(super) container: Container,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Recognises the container of a source of `len` bytes by its content, after ID3v2 tags; or says what
/// else the content looks like.
pub(super) fn recognise(source: &mut dyn ReadSeek, len: u64) -> io::Result<Result<Found, String>> {
    let start = skip_id3v2(source, len)?;
    let head = read_at(source, start, 64)?;
    if let Some(container) = by_magic(&head) {
        return Ok(Ok(Found { container, start, end: len }));
    }
    if let Some(other) = other_format(&head) {
        return Ok(Err(other.to_owned()));
    }
    let end = before_trailing_tags(source, start, len)?;
    match sync::find(source, start, end)? {
        Some((container, start)) => Ok(Ok(Found { container, start, end })),
        None => Ok(Err(describe(&head))),
    }
}

fn by_magic(head: &[u8]) -> Option<Container> {
    const WAVE64: &[u8] = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00";
    let form = head.get(8..12);
    match head {
        [b'R', b'I', b'F', b'F', ..] | [b'R', b'F', b'6', b'4', ..] | [b'B', b'W', b'6', b'4', ..]
            if form == Some(b"WAVE") =>
        {
            Some(Container::Wave)
        }
        [b'F', b'O', b'R', b'M', ..] if form == Some(b"AIFF") || form == Some(b"AIFC") => {
            Some(Container::Aiff)
        }
        [b'c', b'a', b'f', b'f', ..] => Some(Container::Caf),
        [b'f', b'L', b'a', b'C', ..] => Some(Container::Flac),
        [b'O', b'g', b'g', b'S', ..] => Some(Container::Ogg),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Some(Container::Matroska),
        _ if head.starts_with(sphere::MAGIC) => Some(Container::Sphere),
        _ if head.starts_with(WAVE64) => Some(Container::Wave64),
        _ => match head.get(4..8)? {
            b"ftyp" | b"moov" | b"mdat" | b"styp" | b"wide" | b"skip" | b"free" => Some(Container::Mp4),
            _ => None,
        },
    }
}

/// Names formats that people take for recordings that can be read, and some that they mistake for one.
fn other_format(head: &[u8]) -> Option<&'static str> {
    const PREFIXES: &[(&[u8], &str)] = &[
        (b"#!AMR", "AMR audio"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media (WMA, WMV) file"),
        (b"FLV\x01", "a Flash video"),
        (b".RMF", "a RealMedia file"),
        (b"MAC ", "Monkey's Audio"),
        (b"wvpk", "WavPack audio"),
        (b"MPCK", "Musepack audio"),
        (b"MP+", "Musepack audio"),
        (b"TTA1", "True Audio"),
        (b"DSD ", "DSD audio"),
        (b"FRM8", "DSD audio"),
        (b"MThd", "a MIDI file"),
        (b".snd", "a Sun (AU) file"),
        (b"\x0b\x77", "AC-3 audio"),
        (b"\x7f\xfe\x80\x01", "DTS audio"),
        (b"\x00\x00\x01\xba", "an MPEG program stream"),
        (b"%PDF", "a PDF document"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"Rar!", "a RAR archive"),
        (b"7z\xbc\xaf", "a 7z archive"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"\x89PNG", "a PNG picture"),
        (b"\xff\xd8\xff", "a JPEG picture"),
        (b"GIF8", "a GIF picture"),
        (b"\x7fELF", "a program"),
        (b"<!DOCTYPE html", "a web page"),
        (b"<html", "a web page"),
    ];
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"AVI ") {
        return Some("an AVI video");
    }
    PREFIXES.iter().find(|(prefix, _)| head.starts_with(prefix)).map(|&(_, name)| name)
}

/// Says what unknown content begins with.
fn describe(head: &[u8]) -> String {
    let head = &head[..head.len().min(24)];
    let is_text = head.iter().all(|&byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    if is_text {
        let text: String = head.iter().map(|&byte| if byte < b' ' { ' ' } else { byte as char }).collect();
        return format!("text that begins with `{}`", text.trim());
    }
    let bytes: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("bytes that begin with {}", bytes.join(" "))
}

/// Finds where the ID3v2 tags at a file's beginning end.
fn skip_id3v2(source: &mut dyn ReadSeek, len: u64) -> io::Result<u64> {
    let mut position = 0;
    loop {
        let tag = read_at(source, position, 10)?;
        let &[b'I', b'D', b'3', major, _, flags, s0, s1, s2, s3] = tag.as_slice() else {
            return Ok(position);
        };
        if major == 0xff || (s0 | s1 | s2 | s3) & 0x80 != 0 {
            return Ok(position);
        }
        let size = [s0, s1, s2, s3].iter().fold(0, |size, &byte| size << 7 | u64::from(byte));
        let footer = if flags & 0x10 != 0 { 10 } else { 0 };
        let next = position + 10 + size + footer;
        if next > len {
            return Ok(position);
        }
        position = next;
    }
}

/// Finds where the ID3v1 and APE tags at a file's end begin.
fn before_trailing_tags(source: &mut dyn ReadSeek, start: u64, len: u64) -> io::Result<u64> {
    let mut end = len;
    if end - start >= 128 && read_at(source, end - 128, 3)? == b"TAG" {
        end -= 128;
    }
    if end - start >= 32 {
        let footer = read_at(source, end - 32, 32)?;
        if footer.starts_with(b"APETAGEX") {
            let size = u32::from_le_bytes([footer[12], footer[13], footer[14], footer[15]]);
            let has_header = footer[23] & 0x80 != 0;
            let size = u64::from(size) + if has_header { 32 } else { 0 };
            end = end.checked_sub(size).filter(|&end| end >= start).unwrap_or(end);
        }
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn found(bytes: &[u8]) -> Result<Found, String> {
        recognise(&mut Cursor::new(bytes.to_vec()), bytes.len() as u64).unwrap()
    }

    #[test]
    fn containers_are_told_by_their_first_bytes() {
        let cases: &[(&[u8], Container)] = &[
            (b"RIFF\x00\x00\x00\x00WAVEfmt ", Container::Wave),
            (b"RF64\xff\xff\xff\xffWAVEds64", Container::Wave),
            (b"FORM\x00\x00\x00\x00AIFCFVER", Container::Aiff),
            (b"caff\x00\x01\x00\x00", Container::Caf),
            (b"NIST_1A\n   1024\n", Container::Sphere),
            (b"fLaC\x00\x00\x00\x22", Container::Flac),
            (b"OggS\x00\x02", Container::Ogg),
            (b"\x1a\x45\xdf\xa3\x01", Container::Matroska),
            (b"\x00\x00\x00\x1cftypM4A ", Container::Mp4),
        ];
        for &(bytes, container) in cases {
            assert_eq!(found(bytes), Ok(Found { container, start: 0, end: bytes.len() as u64 }), "{bytes:?}");
        }
    }

    #[test]
    fn a_tag_before_the_container_is_skipped() {
        let bytes =
            [b"ID3\x04\x00\x00\x00\x00\x01\x02".as_slice(), &[0; 130], b"fLaC\x00\x00\x00\x22"].concat();
        assert_eq!(
            found(&bytes),
            Ok(Found { container: Container::Flac, start: 140, end: bytes.len() as u64 })
        );
    }

    #[test]
    fn other_content_is_described() {
        let cases: &[(&[u8], &str)] = &[
            (b"%PDF-1.7", "a PDF document"),
            (b"RIFF\x00\x00\x00\x00AVI LIST", "an AVI video"),
            (b"this is not\na wave file", "text that begins with `this is not a wave file`"),
            (b"\x00\x01\xfe", "bytes that begin with 00 01 fe"),
        ];
        for &(bytes, description) in cases {
            assert_eq!(found(bytes), Err(description.to_owned()));
        }
    }
}
