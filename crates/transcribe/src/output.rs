//! Transcripts as files: the formats of openai/whisper byte for byte, and lyrics.

mod json;
mod subtitles;

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use crate::error::UnknownFormat;
use crate::transcript::strip;
use crate::{Segment, Transcript};

/// A format to write a transcript in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The text, one line per segment.
    Txt,
    /// SubRip subtitles.
    Srt,
    /// WebVTT subtitles.
    Vtt,
    /// Start, end (milliseconds) and text, with tabs between.
    Tsv,
    /// Everything that is known.
    Json,
    /// Lyrics with times.
    Lrc,
}

/// How subtitles are laid out. All but the last four need words with times in the transcript to have an effect.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct WriteOptions {
    /// Most characters in a line; lines are broken between words.
    pub max_line_width: Option<usize>,
    /// Most lines in a subtitle. With `max_line_width`, subtitles no longer follow the segments.
    pub max_line_count: Option<usize>,
    /// Most words in a subtitle.
    pub max_words_per_line: Option<usize>,
    /// Write every subtitle once per word, with that word underlined.
    pub highlight_words: bool,
    /// A subtitle with more characters a second stays longer, as long as nothing else is to be shown.
    pub max_chars_per_second: Option<f64>,
    /// Least seconds that a subtitle stays, as long as nothing else is to be shown.
    pub min_duration_s: Option<f64>,
    /// Least seconds between two subtitles: the first ends earlier, if that leaves it half of its time. Without effect
    /// on subtitles that highlight words.
    pub min_gap_s: Option<f64>,
    /// Write the hours of times in WebVTT even where they are 0, as OpenAI's API does.
    pub always_hours: bool,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 6] = [Self::Txt, Self::Srt, Self::Vtt, Self::Tsv, Self::Json, Self::Lrc];

    /// The format's name, which is also the extension of its files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Txt => "txt",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Tsv => "tsv",
            Self::Json => "json",
            Self::Lrc => "lrc",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let format = Self::ALL.into_iter().find(|format| format.name() == name);
        format.ok_or_else(|| UnknownFormat { found: name.to_owned() })
    }
}

/// Writes a transcript.
///
/// `options` are for [`Format::Srt`] and [`Format::Vtt`]; the other formats have no layout.
///
/// # Errors
/// Those of `out`.
///
/// Source: the writers in openai/whisper `whisper/utils.py`; lyrics as whisper.cpp has them.
pub fn write(
    transcript: &Transcript,
    format: Format,
    options: &WriteOptions,
    out: &mut impl Write,
) -> io::Result<()> {
    match format {
        Format::Txt => {
            transcript.segments.iter().try_for_each(|segment| writeln!(out, "{}", strip(&segment.text)))
        }
        Format::Srt => subtitles::write_srt(&transcript.segments, options, out),
        Format::Vtt => subtitles::write_vtt(&transcript.segments, options, out),
        Format::Tsv => write_tsv(&transcript.segments, out),
        Format::Json => json::write(transcript, out),
        Format::Lrc => write_lrc(&transcript.segments, out),
    }
}

/// Writes the line that openai/whisper shows on the console for a segment: `[00:00.000 --> 00:02.000]  Text.`
///
/// Nothing is written for a segment without text.
///
/// # Errors
/// Those of `out`.
pub fn write_console_line(segment: &Segment, out: &mut impl Write) -> io::Result<()> {
    if segment.text.is_empty() {
        return Ok(());
    }
    let (start, end) = (Timestamp::console(segment.start), Timestamp::console(segment.end));
    writeln!(out, "[{start} --> {end}] {}", segment.text)
}

fn write_tsv(segments: &[Segment], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "start\tend\ttext")?;
    segments.iter().try_for_each(|segment| {
        let (start, end) = (milliseconds(segment.start), milliseconds(segment.end));
        writeln!(out, "{start}\t{end}\t{}", strip(&segment.text).replace('\t', " "))
    })
}

fn write_lrc(segments: &[Segment], out: &mut impl Write) -> io::Result<()> {
    segments.iter().filter(|segment| !strip(&segment.text).is_empty()).try_for_each(|segment| {
        let centiseconds = (segment.start.max(0.0) * 100.0).round_ties_even() as u64;
        let (minutes, rest) = (centiseconds / 6000, centiseconds % 6000);
        writeln!(out, "[{minutes:02}:{:02}.{:02}]{}", rest / 100, rest % 100, strip(&segment.text))
    })
}

/// Whole milliseconds, halves to the even one as Python rounds them.
fn milliseconds(time_s: f64) -> u64 {
    (time_s.max(0.0) * 1000.0).round_ties_even() as u64
}

/// A time as `HH:MM:SS.mmm`, whose hours may be left out when they are 0.
///
/// Source: `format_timestamp` in openai/whisper `whisper/utils.py`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Timestamp {
    milliseconds: u64,
    always_hours: bool,
    decimal_marker: char,
}

impl Timestamp {
    fn console(time_s: f64) -> Self {
        Self { milliseconds: milliseconds(time_s), always_hours: false, decimal_marker: '.' }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, milliseconds) = (self.milliseconds / 1000, self.milliseconds % 1000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        if self.always_hours || hours > 0 {
            write!(f, "{hours:02}:")?;
        }
        write!(f, "{minutes:02}:{seconds:02}{}{milliseconds:03}", self.decimal_marker)
    }
}

#[cfg(test)]
mod tests;
