//! Subtitles: cues with their times, and the files that hold them.

use std::io::{self, Write};

use super::{Timestamp, WriteOptions, milliseconds};
use crate::transcript::{is_space, strip};
use crate::{Segment, Word};

/// A word that starts this long after the one before starts a new subtitle, where these do not follow the segments.
const LONG_PAUSE_S: f64 = 3.0;
/// What no limit on characters or words is.
const NO_LIMIT: usize = 1000;

pub(super) fn write_srt(
    segments: &[Segment],
    options: &WriteOptions,
    out: &mut impl Write,
) -> io::Result<()> {
    for (cue, number) in shaped_cues(segments, options).iter().zip(1..) {
        writeln!(out, "{number}")?;
        write_cue(cue, true, ',', out)?;
    }
    Ok(())
}

pub(super) fn write_vtt(
    segments: &[Segment],
    options: &WriteOptions,
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(out, "WEBVTT\n")?;
    shaped_cues(segments, options).iter().try_for_each(|cue| write_cue(cue, options.always_hours, '.', out))
}

fn write_cue(cue: &Cue, always_hours: bool, decimal_marker: char, out: &mut impl Write) -> io::Result<()> {
    let time = |milliseconds| Timestamp { milliseconds, always_hours, decimal_marker };
    writeln!(out, "{} --> {}\n{}\n", time(cue.start_ms), time(cue.end_ms), cue.text)
}

/// A text that is shown from one time to another.
struct Cue {
    start_ms: u64,
    end_ms: u64,
    text: String,
}

/// The cues of a transcript, which can be read in their time and do not touch each other, as far as that is asked for.
fn shaped_cues(segments: &[Segment], options: &WriteOptions) -> Vec<Cue> {
    let mut cues = cues(segments, options);
    if options.highlight_words && segments.iter().all(|segment| segment.words.is_some()) {
        return cues; // each goes on where the last one ends
    }
    let gap_ms = options.min_gap_s.map_or(0, milliseconds);
    for idx in 0..cues.len() {
        let next_ms = cues.get(idx + 1).map(|next| next.start_ms);
        let cue = &mut cues[idx];
        let reading_s = options.max_chars_per_second.map_or(0.0, |limit| n_chars(&cue.text) as f64 / limit);
        let needed_ms = milliseconds(reading_s.max(options.min_duration_s.unwrap_or(0.0)));
        let latest_ms = next_ms.map_or(u64::MAX, |next| next.saturating_sub(gap_ms));
        cue.end_ms = cue.end_ms.max((cue.start_ms + needed_ms).min(latest_ms));
        if let Some(next_ms) = next_ms.filter(|_| gap_ms > 0) {
            let half_ms = cue.start_ms.midpoint(cue.end_ms);
            cue.end_ms = cue.end_ms.min(next_ms.saturating_sub(gap_ms).max(half_ms));
        }
    }
    cues
}

/// The cues of a transcript: one per segment, or laid out by words where there are words.
///
/// Source: `SubtitlesWriter.iterate_result` in openai/whisper `whisper/utils.py`.
fn cues(segments: &[Segment], options: &WriteOptions) -> Vec<Cue> {
    let cue =
        |start: f64, end: f64, text| Cue { start_ms: milliseconds(start), end_ms: milliseconds(end), text };
    let Some(words) = segments.iter().map(|segment| segment.words.as_deref()).collect::<Option<Vec<_>>>()
    else {
        let text = |segment: &Segment| strip(&segment.text).replace("-->", "->");
        return segments.iter().map(|segment| cue(segment.start, segment.end, text(segment))).collect();
    };
    let mut cues = Vec::new();
    for subtitle in subtitles(&words, options) {
        if options.highlight_words {
            highlight(&subtitle, &mut cues);
        } else if let (Some(first), Some(last)) = (subtitle.first(), subtitle.last()) {
            let text = subtitle.iter().map(|word| word.text.as_str()).collect();
            cues.push(cue(first.start, last.end, text));
        }
    }
    cues
}

/// A word in its place in a subtitle.
struct Placed {
    /// With a line break in front if it starts a line that is not the first.
    text: String,
    start: f64,
    end: f64,
}

/// Lays words out in lines and subtitles.
///
/// - `segments`: the words of each segment.
fn subtitles(segments: &[&[Word]], options: &WriteOptions) -> Vec<Vec<Placed>> {
    let limit = |limit: Option<usize>| limit.filter(|&limit| limit > 0).unwrap_or(NO_LIMIT);
    let keep_segments = options.max_line_count.is_none() || options.max_line_width.is_none();
    let max_line_width = limit(options.max_line_width);
    let mut done = Vec::new();
    let mut subtitle: Vec<Placed> = Vec::new();
    let (mut line_len, mut n_lines) = (0, 1);
    let mut last_start = segments.iter().copied().flatten().next().map_or(0.0, |word| word.start);
    for words in segments.iter().flat_map(|words| words.chunks(limit(options.max_words_per_line))) {
        for (i, word) in words.iter().enumerate() {
            let long_pause = !keep_segments && word.start - last_start > LONG_PAUSE_S;
            let has_room = line_len + n_chars(&word.word) <= max_line_width;
            let segment_break = i == 0 && !subtitle.is_empty() && keep_segments;
            let mut text = word.word.clone();
            if line_len > 0 && has_room && !long_pause && !segment_break {
                line_len += n_chars(&text);
            } else {
                text = strip(&text).to_owned();
                let is_full = options.max_line_count.is_some_and(|limit| long_pause || n_lines >= limit);
                let breaks_line = line_len > 0;
                line_len = n_chars(&text);
                if !subtitle.is_empty() && is_full || segment_break {
                    done.push(std::mem::take(&mut subtitle));
                    n_lines = 1;
                } else if breaks_line {
                    n_lines += 1;
                    text.insert(0, '\n');
                }
            }
            last_start = word.start;
            subtitle.push(Placed { text, start: word.start, end: word.end });
        }
    }
    if !subtitle.is_empty() {
        done.push(subtitle);
    }
    done
}

/// Adds the cues of a subtitle that shows which word is spoken.
fn highlight(subtitle: &[Placed], cues: &mut Vec<Cue>) {
    let text_with = |underlined: Option<usize>| -> String {
        let words = subtitle.iter().enumerate();
        words
            .map(|(i, word)| if underlined == Some(i) { underline(&word.text) } else { word.text.clone() })
            .collect()
    };
    let mut last_ms = subtitle.first().map_or(0, |word| milliseconds(word.start));
    for (i, word) in subtitle.iter().enumerate() {
        let (start_ms, end_ms) = (milliseconds(word.start), milliseconds(word.end));
        if last_ms != start_ms {
            cues.push(Cue { start_ms: last_ms, end_ms: start_ms, text: text_with(None) });
        }
        cues.push(Cue { start_ms, end_ms, text: text_with(Some(i)) });
        last_ms = end_ms;
    }
}

/// The word in `<u>` tags, with the space before it outside. As openai/whisper's pattern has it, a line break at the
/// word's end stays outside too, and a word with a line break inside is left as it is.
fn underline(word: &str) -> String {
    let text = word.trim_start_matches(is_space);
    let space = &word[..word.len() - text.len()];
    let (text, line_break) = text.strip_suffix('\n').map_or((text, ""), |text| (text, "\n"));
    if text.contains('\n') { word.to_owned() } else { format!("{space}<u>{text}</u>{line_break}") }
}

/// Length as Python counts it.
fn n_chars(text: &str) -> usize {
    text.chars().count()
}
