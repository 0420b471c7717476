//! Text that is most likely made up: words of odd length or little probability, with silence around them.

use std::ops::Range;

use crate::{Segment, Word};

/// Marks that are no words.
const PUNCTUATION: &str = "\"'“¿([{-\"'.。,，!！?？:：”)]}、";
/// So many words at the start of a segment tell whether it is made up.
const N_TELLING: usize = 8;
/// What begins or ends so near a window's border has silence there.
const NEAR_BORDER_S: f64 = 2.0;

/// A window in time: seconds from the start of the recording.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings {
    pub(super) start_s: f64,
    /// Where a whole window would end.
    pub(super) window_end_s: f64,
    /// Where the sound in the window ends.
    pub(super) sound_end_s: f64,
    /// Where the recording ends.
    pub(super) recording_end_s: f64,
    /// Where the last word before the window ended.
    pub(super) last_speech_s: f64,
    /// Silence is what is longer.
    pub(super) threshold_s: f64,
}

/// What is to be dropped of a window.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Skip {
    /// These are made up.
    pub(super) made_up: Range<usize>,
    /// Segments from here on are not taken.
    pub(super) first_dropped: usize,
    /// Where to decode next, in seconds; `None`: there is nothing left.
    pub(super) next_s: Option<f64>,
    /// Whether the silence is before all segments: then the window says nothing about the speech before it.
    pub(super) is_leading: bool,
}

/// Finds segments that are made up: first one that a silence leads to, else one with silence or further such segments
/// on both sides.
///
/// Source: `hallucination_silence_threshold` in openai/whisper `whisper/transcribe.py`.
pub(super) fn find(segments: &[Segment], around: &Surroundings) -> Option<Skip> {
    let Surroundings { start_s, window_end_s, sound_end_s, recording_end_s, last_speech_s, threshold_s } =
        *around;
    if let Some(first) = next_with_words(segments, 0)
        && is_odd(&segments[first])
    {
        let gap_s = segments[first].start - start_s;
        if gap_s > threshold_s {
            return Some(Skip {
                made_up: first..first + 1,
                first_dropped: 0,
                next_s: Some(start_s + gap_s),
                is_leading: true,
            });
        }
    }
    let mut last_end_s = last_speech_s;
    for (idx, segment) in segments.iter().enumerate() {
        if words(segment).is_empty() {
            continue;
        }
        if is_odd(segment) {
            let next = next_with_words(segments, idx + 1);
            let next_start_s = next.map_or(sound_end_s, |next| words(&segments[next])[0].start);
            let silence_before = segment.start - last_end_s > threshold_s
                || segment.start < threshold_s
                || segment.start - start_s < NEAR_BORDER_S;
            let silence_after = next_start_s - segment.end > threshold_s
                || next.is_some_and(|next| is_odd(&segments[next]))
                || window_end_s - segment.end < NEAR_BORDER_S;
            if silence_before && silence_after {
                let is_over = recording_end_s - segment.end < threshold_s;
                return Some(Skip {
                    made_up: idx..if is_over { segments.len() } else { idx + 1 },
                    first_dropped: idx,
                    next_s: (!is_over).then(|| segment.start.max(start_s + 1.0)),
                    is_leading: false,
                });
            }
        }
        last_end_s = segment.end;
    }
    None
}

fn words(segment: &Segment) -> &[Word] {
    segment.words.as_deref().unwrap_or(&[])
}

fn next_with_words(segments: &[Segment], from: usize) -> Option<usize> {
    (from..segments.len()).find(|&idx| !words(&segments[idx]).is_empty())
}

/// Whether a segment's first words are odd as a whole.
fn is_odd(segment: &Segment) -> bool {
    let telling = words(segment).iter().filter(|word| !PUNCTUATION.contains(&word.word)).take(N_TELLING);
    let scores: Vec<f64> = telling.map(oddness).collect();
    let score: f64 = scores.iter().sum();
    !words(segment).is_empty() && (score >= 3.0 || score + 0.01 >= scores.len() as f64)
}

/// How odd a word is: improbable, very short or very long.
fn oddness(word: &Word) -> f64 {
    let duration_s = word.end - word.start;
    let improbable = if word.probability < 0.15 { 1.0 } else { 0.0 };
    let short = if duration_s < 0.133 { (0.133 - duration_s) * 15.0 } else { 0.0 };
    let long = if duration_s > 2.0 { duration_s - 2.0 } else { 0.0 };
    improbable + short + long
}
