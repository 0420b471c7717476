//! Bare streams of MPEG audio or ADTS frames: found by frames that follow one another.
//!
//! A frame begins with eleven set bits, which any data holds somewhere. Only headers of one kind that
//! stand exactly a frame's length apart are taken for a stream.

use std::io;

use super::container::Container;
use super::source::{ReadSeek, read_at};

/// How far into a file the first frame may lie.
const SEARCH_BYTES: usize = 1 << 20;

/// Frames that must follow one another.
const N_FRAMES: usize = 4;

/// Finds the first frame of a stream between `start` and `end`.
pub(super) fn find(source: &mut dyn ReadSeek, start: u64, end: u64) -> io::Result<Option<(Container, u64)>> {
    let n_bytes = (end - start).min(SEARCH_BYTES as u64) as usize;
    let bytes = read_at(source, start, n_bytes)?;
    let reaches_end = n_bytes as u64 == end - start;
    let found = (0..bytes.len()).find_map(|first| {
        let container = Header::read(&bytes[first..])?.container();
        is_stream(&bytes, first, reaches_end).then_some((container, start + first as u64))
    });
    Ok(found)
}

/// Whether frames follow one another from `first` on: enough of them, or all to the file's end.
fn is_stream(bytes: &[u8], first: usize, reaches_end: bool) -> bool {
    let Some(header) = Header::read(&bytes[first..]) else { return false };
    let mut position = first + header.frame_bytes;
    for n_frames in 1..N_FRAMES {
        let rest = bytes.get(position..).unwrap_or_default();
        match Header::read(rest) {
            Some(next) if next.kind == header.kind => position += next.frame_bytes,
            // A short stream must fill the file from its beginning; its last frame may be cut off.
            _ => {
                let is_whole = position == bytes.len() || (n_frames > 1 && rest.len() < MIN_HEADER_BYTES);
                return first == 0 && reaches_end && is_whole;
            }
        }
    }
    true
}

/// What tells one frame from another kind's, and how long it is.
struct Header {
    kind: u32,
    frame_bytes: usize,
}

const MIN_HEADER_BYTES: usize = 6;

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let &[0xff, b1, b2, b3, b4, b5] = bytes.get(..MIN_HEADER_BYTES)? else { return None };
        match b1 & 0xf6 {
            0xf0 => Self::adts(b1, b2, b3, b4, b5),
            _ if b1 & 0xe0 == 0xe0 => Self::mpeg(b1, b2),
            _ => None,
        }
    }

    fn container(&self) -> Container {
        if self.kind & 0x06_0000 == 0 { Container::Adts } else { Container::Mpeg }
    }

    fn adts(b1: u8, b2: u8, b3: u8, b4: u8, b5: u8) -> Option<Self> {
        let rate_idx = b2 >> 2 & 0x0f;
        let frame_bytes = usize::from(b3 & 3) << 11 | usize::from(b4) << 3 | usize::from(b5 >> 5);
        // The kind is version, layer (0), profile, rate and channels.
        let kind = u32::from(b1 & 0xfe) << 16 | u32::from(b2 & 0xfd) << 8 | u32::from(b3 & 0xc0);
        (rate_idx < 13 && frame_bytes > 7).then_some(Self { kind, frame_bytes })
    }

    fn mpeg(b1: u8, b2: u8) -> Option<Self> {
        const KBITS: [[usize; 16]; 5] = [
            [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 0],
            [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0],
            [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0],
            [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256, 0],
            [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0],
        ];
        let (version, layer) = (b1 >> 3 & 3, 4 - (b1 >> 1 & 3));
        let (rate_idx, padding) = (usize::from(b2 >> 2 & 3), usize::from(b2 >> 1 & 1));
        let is_mpeg1 = version == 3;
        if version == 1 || layer == 4 || rate_idx == 3 {
            return None;
        }
        let shift = [2, 0, 1, 0][usize::from(version)]; // MPEG 2.5, -, 2, 1
        let rate = [44_100, 48_000, 32_000][rate_idx] >> shift;
        let table = match (is_mpeg1, layer) {
            (true, layer) => usize::from(layer) - 1,
            (false, 1) => 3,
            (false, _) => 4,
        };
        let bits = KBITS[table][usize::from(b2 >> 4)] * 1000;
        let frame_bytes = match layer {
            1 => (12 * bits / rate + padding) * 4,
            3 if !is_mpeg1 => 72 * bits / rate + padding,
            _ => 144 * bits / rate + padding,
        };
        // The kind is version, layer and rate; bit rate and channel mode may change.
        let kind = u32::from(b1 & 0xfe) << 16 | u32::from(b2 & 0x0c) << 8;
        (bits > 0).then_some(Self { kind, frame_bytes })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn find_in(bytes: &[u8]) -> Option<(Container, u64)> {
        find(&mut Cursor::new(bytes.to_vec()), 0, bytes.len() as u64).unwrap()
    }

    /// A frame of MPEG 1 layer 3 at 44.1 kHz and 128 kbit/s: 417 bytes.
    fn mp3_frame() -> Vec<u8> {
        let mut frame = vec![0x55; 417];
        frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x64]);
        frame
    }

    #[test]
    fn frames_that_follow_one_another_are_a_stream() {
        assert_eq!(find_in(&mp3_frame().repeat(4)), Some((Container::Mpeg, 0)));
        assert_eq!(find_in(&mp3_frame().repeat(2)), Some((Container::Mpeg, 0)));
        let with_junk = [b"junk\xff\xfb\x90\x64".repeat(50), mp3_frame().repeat(5)].concat();
        assert_eq!(find_in(&with_junk), Some((Container::Mpeg, 400)));
        let mut adts = vec![0xff, 0xf1, 0x50, 0x40, 0x01, 0x9f, 0xfc, 0, 0, 0, 0, 0];
        assert_eq!(find_in(&adts.repeat(4)), Some((Container::Adts, 0)));
        adts[5] ^= 0x20;
        assert_eq!(find_in(&adts.repeat(4)), None);
    }

    #[test]
    fn a_sync_word_alone_is_none() {
        assert_eq!(find_in(&mp3_frame()[..100]), None);
        assert_eq!(find_in(&[mp3_frame(), vec![0; 2000]].concat()), None);
        assert_eq!(find_in(b"\xff\xfb\x90"), None);
        assert_eq!(find_in(b""), None);
    }
}
