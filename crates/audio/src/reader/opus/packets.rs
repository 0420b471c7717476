//! How Opus packets are put together: their length, and several streams in one packet.

/// Samples at 48 kHz that a packet gives at most: 120 ms.
pub(super) const MAX_SAMPLES: usize = 5760;

/// Reads from a packet's first bytes how many samples at 48 kHz it gives (RFC 6716, 3.1).
pub(super) fn n_samples(packet: &[u8]) -> Option<u64> {
    let toc = *packet.first()?;
    let frame = match toc >> 3 {
        config @ 0..12 => [480, 960, 1920, 2880][usize::from(config % 4)],
        config @ 12..16 => [480, 960][usize::from(config % 2)],
        config => [120, 240, 480, 960][usize::from(config % 4)],
    };
    let n_frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1)? & 0x3f),
    };
    Some(frame * n_frames).filter(|&n_samples| n_samples <= MAX_SAMPLES as u64)
}

/// Takes the first stream's packet off a packet of several streams, and gives the rest.
///
/// All but the last stream's packets say where they end (RFC 6716, appendix B): they hold one more length
/// than plain packets. `plain` becomes the plain packet, without that length.
///
/// Returns `None` if the packet is malformed.
pub(super) fn split_first<'a>(packet: &'a [u8], plain: &mut Vec<u8>) -> Option<&'a [u8]> {
    let toc = *packet.first()?;
    // Bytes before the additional length, frames that it stands for, other bytes that follow it.
    let (before, n_equal, n_others) = match toc & 3 {
        0 => (1, 1, 0),
        1 => (1, 2, 0),
        2 => {
            let (first, n_first) = length(packet.get(1..)?)?;
            (1 + n_first, 1, first)
        }
        _ => read_many(packet)?,
    };
    let (own, n_own) = length(packet.get(before..)?)?;
    let start = before + n_own;
    let end = start.checked_add(own.checked_mul(n_equal)?)?.checked_add(n_others)?;
    plain.clear();
    plain.extend_from_slice(&packet[..before]);
    plain.extend_from_slice(packet.get(start..end)?);
    packet.get(end..)
}

/// Reads the header of a packet of any number of frames, up to the last length.
fn read_many(packet: &[u8]) -> Option<(usize, usize, usize)> {
    let header = *packet.get(1)?;
    let n_frames = usize::from(header & 0x3f);
    let (mut position, mut n_padding) = (2, 0);
    if header & 0x40 != 0 {
        loop {
            let byte = usize::from(*packet.get(position)?);
            position += 1;
            n_padding += byte.min(254);
            if byte < 255 {
                break;
            }
        }
    }
    if header & 0x80 == 0 {
        return Some((position, n_frames, n_padding));
    }
    let mut n_others = n_padding;
    for _ in 1..n_frames {
        let (frame, n_frame) = length(packet.get(position..)?)?;
        position += n_frame;
        n_others += frame;
    }
    Some((position, 1, n_others))
}

/// Reads a frame's length and how many bytes it takes (RFC 6716, 3.2.1).
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes {
        [first, ..] if first < 252 => Some((usize::from(first), 1)),
        [first, second, ..] => Some((usize::from(second) * 4 + usize::from(first), 2)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_tells_its_length() {
        let cases: &[(&[u8], Option<u64>)] = &[
            (&[], None),
            (&[0x08], Some(960)),        // SILK, 20 ms
            (&[0x78], Some(960)),        // hybrid, 20 ms
            (&[0x80], Some(120)),        // CELT, 2.5 ms
            (&[0xf9], Some(1920)),       // two frames of 20 ms
            (&[0xfb, 0x03], Some(2880)), // three of them
            (&[0xfb], None),
            (&[0xfb, 0x3f], None), // more than 120 ms
        ];
        for &(packet, expected) in cases {
            assert_eq!(n_samples(packet), expected, "{packet:x?}");
        }
    }

    #[test]
    fn streams_are_taken_off_one_by_one() {
        let cases: &[(&[u8], &[u8], &[u8])] = &[
            (&[0x78, 2, 11, 12, 99], &[0x78, 11, 12], &[99]),
            (&[0x79, 1, 11, 12, 99], &[0x79, 11, 12], &[99]),
            (&[0x7a, 1, 2, 11, 21, 22, 99], &[0x7a, 1, 11, 21, 22], &[99]),
            (&[0x7b, 0x03, 1, 11, 21, 31, 99], &[0x7b, 0x03, 11, 21, 31], &[99]),
            (&[0x7b, 0x42, 2, 1, 11, 21, 0, 0, 99], &[0x7b, 0x42, 2, 11, 21, 0, 0], &[99]),
            (&[0x7b, 0x82, 1, 2, 11, 21, 22, 99], &[0x7b, 0x82, 1, 11, 21, 22], &[99]),
            (&[0x78, 0], &[0x78], &[]),
        ];
        let mut plain = Vec::new();
        for &(packet, expected, rest) in cases {
            assert_eq!(split_first(packet, &mut plain), Some(rest), "{packet:x?}");
            assert_eq!(plain, expected, "{packet:x?}");
        }
        for packet in
            [&[][..], &[0x78], &[0x78, 3, 1], &[0x7b], &[0x7b, 0x40], &[0x7b, 0x83, 1], &[0x78, 253]]
        {
            assert_eq!(split_first(packet, &mut plain), None, "{packet:x?}");
        }
    }
}
