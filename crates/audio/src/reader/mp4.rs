//! The edit lists of MP4 files, which say what part of a track is to be heard.
//!
//! Encoders of AAC and Opus put some milliseconds of priming before the sound and some of padding after it;
//! the edit list names the part between. The demuxer plays the whole track.

use std::io;

use super::source::{ReadSeek, read_at};

/// What this module knows of a track.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Mp4Track {
    /// The track's number.
    pub(super) id: u32,
    /// What the sample description calls the codec, for messages.
    pub(super) codec: Option<[u8; 4]>,
    /// The part to be heard.
    pub(super) edit: Option<Edit>,
}

/// The part of a track that is to be heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Edit {
    /// Where it begins on the track's time line.
    pub(super) start_s: f64,
    /// How long it is; `None` if to the end.
    pub(super) duration_s: Option<f64>,
}

/// Reads the tracks' edit lists between `start` and `end`; what is damaged is left out.
pub(super) fn tracks(source: &mut dyn ReadSeek, start: u64, end: u64) -> io::Result<Vec<Mp4Track>> {
    let mut tracks = Vec::new();
    let mut steps = 0;
    let Some(movie) = find(source, start, end, b"moov", &mut steps)? else { return Ok(tracks) };
    let header = content(source, movie, b"mvhd", &mut steps)?;
    let movie_scale = header.as_deref().and_then(timescale);
    let mut position = movie.0;
    while let Some((kind, start, end, next)) = read_box(source, position, movie.1, &mut steps)? {
        if &kind == b"trak"
            && let Some(track) = read_track(source, (start, end), movie_scale, &mut steps)?
        {
            tracks.push(track);
        }
        position = next;
    }
    Ok(tracks)
}

/// Boxes that are looked at, at most.
const MAX_STEPS: usize = 100_000;

/// Bytes that are read of a small box, at most: enough for any edit list that is heeded.
const MAX_CONTENT: u64 = 1024;

type Range = (u64, u64);

fn read_track(
    source: &mut dyn ReadSeek,
    track: Range,
    movie_scale: Option<f64>,
    steps: &mut usize,
) -> io::Result<Option<Mp4Track>> {
    let Some(header) = content(source, track, b"tkhd", steps)? else { return Ok(None) };
    let Some(media) = find(source, track.0, track.1, b"mdia", steps)? else { return Ok(None) };
    let media_scale = content(source, media, b"mdhd", steps)?.as_deref().and_then(timescale);
    let is_long = header.first() == Some(&1);
    let Some(id) = u32_at(&header, if is_long { 20 } else { 12 }) else { return Ok(None) };

    let mut edit = None;
    if let Some(edits) = find(source, track.0, track.1, b"edts", steps)?
        && let Some(list) = content(source, edits, b"elst", steps)?
        && let (Some(movie_scale), Some(media_scale)) = (movie_scale, media_scale)
    {
        edit = parse_edits(&list, movie_scale, media_scale);
    }
    let mut codec = None;
    if let Some(info) = find(source, media.0, media.1, b"minf", steps)?
        && let Some(table) = find(source, info.0, info.1, b"stbl", steps)?
        && let Some(description) = content(source, table, b"stsd", steps)?
    {
        codec = description.get(12..16).and_then(|name| name.try_into().ok());
    }
    Ok(Some(Mp4Track { id, codec, edit }))
}

/// Takes the part to be heard from an edit list; `None` if it is the whole track or cannot be put as one part.
fn parse_edits(list: &[u8], movie_scale: f64, media_scale: f64) -> Option<Edit> {
    let is_long = *list.first()? == 1;
    let n_entries = u32_at(list, 4)?;
    let mut parts = Vec::new();
    for entry in list[8..].chunks_exact(if is_long { 20 } else { 12 }).take(n_entries as usize) {
        let (duration, media_time) = if is_long {
            (u64_at(entry, 0)?, u64_at(entry, 8)? as i64)
        } else {
            (u64::from(u32_at(entry, 0)?), i64::from(u32_at(entry, 4)? as i32))
        };
        // A negative time stands for a pause before the sound, which players leave out as well.
        if media_time >= 0 {
            let duration_s = (duration > 0).then(|| duration as f64 / movie_scale);
            parts.push(Edit { start_s: media_time as f64 / media_scale, duration_s });
        }
    }
    match parts[..] {
        [] => None,
        [part] => Some(part),
        // A track that was cut and rearranged: its parts are played in the order of the track, all of them.
        [first, ..] => Some(Edit { duration_s: None, ..first }),
    }
}

/// Units per second, from a movie's or a media's header.
fn timescale(header: &[u8]) -> Option<f64> {
    let scale = u32_at(header, if header.first() == Some(&1) { 20 } else { 12 })?;
    (scale > 0).then_some(f64::from(scale))
}

/// Reads the beginning of the first box of a kind.
fn content(
    source: &mut dyn ReadSeek,
    within: Range,
    kind: &[u8; 4],
    steps: &mut usize,
) -> io::Result<Option<Vec<u8>>> {
    let Some((start, end)) = find(source, within.0, within.1, kind, steps)? else { return Ok(None) };
    read_at(source, start, (end - start).min(MAX_CONTENT) as usize).map(Some)
}

/// Finds the content of the first box of a kind.
fn find(
    source: &mut dyn ReadSeek,
    start: u64,
    end: u64,
    kind: &[u8; 4],
    steps: &mut usize,
) -> io::Result<Option<Range>> {
    let mut position = start;
    while let Some((found, start, end, next)) = read_box(source, position, end, steps)? {
        if &found == kind {
            return Ok(Some((start, end)));
        }
        position = next;
    }
    Ok(None)
}

/// Reads a box's header: its kind, where its content begins and ends, where the next box begins.
#[expect(clippy::type_complexity, reason = "read by the two functions above only")]
fn read_box(
    source: &mut dyn ReadSeek,
    position: u64,
    end: u64,
    steps: &mut usize,
) -> io::Result<Option<([u8; 4], u64, u64, u64)>> {
    *steps += 1;
    if *steps > MAX_STEPS || position.saturating_add(8) > end {
        return Ok(None);
    }
    let header = read_at(source, position, 16)?;
    let (Some(size), Some(kind)) = (u32_at(&header, 0), header.get(4..8)) else { return Ok(None) };
    let kind = [kind[0], kind[1], kind[2], kind[3]];
    let (n_header, size) = match size {
        0 => (8, end - position),
        1 => (16, u64_at(&header, 8).unwrap_or(0)),
        size => (8, u64::from(size)),
    };
    let next = position.saturating_add(size).min(end);
    let start = position + n_header;
    Ok((size >= n_header && start <= next).then_some((kind, start, next, next)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u32_at(bytes, at)?) << 32 | u64::from(u32_at(bytes, at + 4)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_list_names_the_part_to_be_heard() {
        let entry = |duration: u32, time: i32| {
            [&duration.to_be_bytes()[..], &time.to_be_bytes(), &[0, 1, 0, 0]].concat()
        };
        let list = |entries: &[Vec<u8>]| {
            [&[0; 4][..], &(entries.len() as u32).to_be_bytes(), &entries.concat()].concat()
        };
        let part = |start_s, duration_s| Some(Edit { start_s, duration_s });
        let cases: &[(Vec<Vec<u8>>, Option<Edit>)] = &[
            (vec![], None),
            (vec![entry(3200, 441)], part(0.01, Some(3.2))),
            (vec![entry(0, 441)], part(0.01, None)),
            (vec![entry(100, -1), entry(3200, 441)], part(0.01, Some(3.2))),
            (vec![entry(100, 441), entry(100, 44100)], part(0.01, None)),
        ];
        for (entries, edit) in cases {
            assert_eq!(parse_edits(&list(entries), 1000.0, 44_100.0), *edit, "{entries:?}");
        }
        assert_eq!(parse_edits(&[], 1000.0, 44_100.0), None);
        assert_eq!(parse_edits(&[0; 9], 1000.0, 44_100.0), None);
    }
}
