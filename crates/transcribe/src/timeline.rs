//! The time that windows are cut from: the recording's own, or that of its speech alone.

#![allow(clippy::single_range_in_vec_init, reason = "one range of frames is what is meant")]

use std::ops::Range;

use crate::windows::FRAMES_PER_SECOND;
use crate::{Dropped, Segment};

/// Pieces of a recording, one after the other, as if nothing were between them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Timeline {
    /// Not empty pieces, in order. `None`: the recording as it is.
    pieces: Option<Vec<Piece>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Piece {
    /// Its first frame on the time line.
    at: usize,
    /// Its frames in the recording.
    frames: Range<usize>,
}

impl Piece {
    fn end(&self) -> usize {
        self.at + self.frames.len()
    }
}

impl Timeline {
    /// The recording as it is.
    pub(crate) fn of_recording() -> Self {
        Self { pieces: None }
    }

    /// The time of the pieces alone.
    pub(crate) fn of_pieces(pieces: &[(usize, usize)]) -> Self {
        let mut at = 0;
        let piece = |&(start, end): &(usize, usize)| {
            let piece = Piece { at, frames: start..end };
            at = piece.end();
            piece
        };
        Self { pieces: Some(pieces.iter().filter(|(start, end)| start < end).map(piece).collect()) }
    }

    /// The frames of the recording that `n_frames` from `start` on stand for.
    pub(crate) fn frames(&self, start: usize, n_frames: usize) -> Vec<Range<usize>> {
        let end = start + n_frames;
        let Some(pieces) = &self.pieces else { return vec![start..end] };
        let first = pieces.partition_point(|piece| piece.end() <= start);
        let pieces = pieces[first..].iter().take_while(|piece| piece.at < end);
        let within = |piece: &Piece| {
            let offset = piece.frames.start;
            offset + start.saturating_sub(piece.at)..offset + (end.min(piece.end()) - piece.at)
        };
        pieces.map(within).collect()
    }

    /// Gives a segment the times of the recording. A word is in one piece, that of its middle.
    ///
    /// Source: `restore_speech_timestamps` in SYSTRAN/faster-whisper `faster_whisper/transcribe.py`.
    pub(crate) fn restore(&self, segment: &mut Segment) {
        let Some(pieces) = &self.pieces else { return };
        segment.seek = self.frames(segment.seek, 1).first().map_or(segment.seek, |frames| frames.start);
        segment.start = restored(piece_at(pieces, segment.start, false), segment.start);
        segment.end = restored(piece_at(pieces, segment.end, true), segment.end);
        let Some(words) = &mut segment.words else { return };
        for word in words.iter_mut() {
            let piece = piece_at(pieces, f64::midpoint(word.start, word.end), false);
            word.start = restored(piece, word.start);
            word.end = restored(piece, word.end);
        }
        if let (Some(first), Some(last)) = (words.first(), words.last()) {
            (segment.start, segment.end) = (first.start, last.end);
        }
    }

    /// Gives text that was not taken the times of the recording.
    pub(crate) fn restore_dropped(&self, dropped: &mut Dropped) {
        let Some(pieces) = &self.pieces else { return };
        dropped.start = restored(piece_at(pieces, dropped.start, false), dropped.start);
        dropped.end = restored(piece_at(pieces, dropped.end, true), dropped.end);
    }
}

/// The piece that a time is in; where one ends and the next begins, the earlier one for the end of something.
fn piece_at(pieces: &[Piece], time_s: f64, is_end: bool) -> Option<&Piece> {
    let is_before = |piece: &Piece| {
        let end_s = seconds(piece.end());
        if is_end { end_s < time_s } else { end_s <= time_s }
    };
    pieces.get(pieces.partition_point(is_before)).or(pieces.last())
}

/// A time within a piece as one of the recording, to the millisecond.
fn restored(piece: Option<&Piece>, time_s: f64) -> f64 {
    let Some(Piece { at, frames }) = piece else { return time_s };
    let moved_s = time_s - seconds(*at) + seconds(frames.start);
    let rounded_s = (moved_s * 1000.0).round() / 1000.0;
    rounded_s.clamp(seconds(frames.start), seconds(frames.end))
}

fn seconds(n_frames: usize) -> f64 {
    n_frames as f64 / FRAMES_PER_SECOND as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Word;

    /// 1 s from 2 s on, half a second from 10 s on, 10 s from a minute on.
    fn timeline() -> Timeline {
        Timeline::of_pieces(&[(200, 300), (500, 500), (1000, 1050), (6000, 7000)])
    }

    fn word(start: f64, end: f64) -> Word {
        Word { word: " one".to_owned(), start, end, probability: 0.9 }
    }

    #[test]
    fn frames_are_those_of_the_pieces() {
        let timeline = timeline();
        assert_eq!(timeline.frames(0, 100), [200..300]);
        assert_eq!(timeline.frames(40, 100), [240..300, 1000..1040]);
        assert_eq!(timeline.frames(100, 3000), [1000..1050, 6000..7000]);
        assert!(timeline.frames(1150, 3000).is_empty());
        assert_eq!(Timeline::of_recording().frames(7, 3), [7..10]);
        assert!(Timeline::of_pieces(&[]).frames(0, 3000).is_empty());
    }

    #[test]
    fn segments_get_the_times_of_the_recording() {
        let cases = [
            ((0.0, 1.0), (2.0, 3.0)),
            ((0.2, 1.0), (2.2, 3.0)),
            ((1.0, 1.5), (10.0, 10.5)),
            ((0.5, 3.5), (2.5, 62.0)),
            ((2.0, 40.0), (60.5, 70.0)),
        ];
        for ((start, end), expected) in cases {
            let mut segment = Segment { start, end, ..Segment::default() };
            timeline().restore(&mut segment);
            assert_eq!((segment.start, segment.end), expected);
        }
        let mut segment = Segment { start: 0.5, end: 40.0, ..Segment::default() };
        Timeline::of_recording().restore(&mut segment);
        assert_eq!((segment.start, segment.end), (0.5, 40.0));
    }

    #[test]
    fn words_stay_in_the_piece_of_their_middle() {
        let words = vec![word(0.12, 0.5), word(0.8, 1.1), word(0.96, 1.3), word(1.5, 1.72)];
        let mut segment =
            Segment { start: 0.0, end: 9.0, seek: 120, words: Some(words), ..Segment::default() };
        timeline().restore(&mut segment);
        let times: Vec<(f64, f64)> =
            segment.words.iter().flatten().map(|word| (word.start, word.end)).collect();
        assert_eq!(times, [(2.12, 2.5), (2.8, 3.0), (10.0, 10.3), (60.0, 60.22)]);
        assert_eq!((segment.start, segment.end, segment.seek), (2.12, 60.22, 1020));
    }
}
