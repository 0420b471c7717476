//! From timed pieces of text to the words of segments.

use crate::transcript::strip;
use crate::{Options, Segment, Word};

/// Marks that end a sentence.
const SENTENCE_ENDS: &str = ".。!！?？";
/// No word takes longer to say, as far as the clamps here are concerned, than twice this.
const LONGEST_MEDIAN_S: f64 = 0.7;

/// A word or a mark, timed from the window's start.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Timing {
    pub(super) word: String,
    /// Of the text; none where the word was merged into another.
    pub(super) n_tokens: usize,
    pub(super) start: f64,
    pub(super) end: f64,
    pub(super) probability: f64,
}

/// Gives the segments of one window their words, and fits the times of both to each other.
///
/// - `timings`: of all text of the segments, in order.
/// - `eot`: all smaller tokens are text.
/// - `last_speech_s`: when the last word before the window ended.
///
/// Source: `add_word_timestamps` in openai/whisper `whisper/timing.py`.
pub(super) fn add(
    segments: &mut [Segment],
    mut timings: Vec<Timing>,
    eot: u32,
    mut last_speech_s: f64,
    options: &Options,
) {
    let clamp = Clamp::new(&timings);
    clamp.shorten_at_sentence_ends(&mut timings);
    merge_punctuation(&mut timings, &options.prepend_punctuations, &options.append_punctuations);
    let mut timings = timings.into_iter();
    for segment in segments {
        let offset_s = segment.seek as f64 / 100.0;
        let n_tokens = segment.tokens.iter().filter(|&&token| token < eot).count();
        let (mut words, mut n_taken) = (Vec::new(), 0);
        while n_taken < n_tokens {
            let Some(timing) = timings.next() else { break };
            n_taken += timing.n_tokens;
            if !timing.word.is_empty() {
                words.push(Word {
                    start: hundredths(offset_s + timing.start).max(0.0),
                    end: hundredths(offset_s + timing.end).max(0.0),
                    word: timing.word,
                    probability: timing.probability,
                });
            }
        }
        clamp.fit(segment, &mut words, last_speech_s);
        if !words.is_empty() {
            last_speech_s = segment.end;
        }
        segment.words = Some(words);
    }
}

/// A time to 10 ms, as numpy rounds.
fn hundredths(time_s: f64) -> f64 {
    (time_s * 100.0).round_ties_even() / 100.0
}

/// How long words of a window are, and may be.
struct Clamp {
    median_s: f64,
    longest_s: f64,
    is_any: bool,
}

impl Clamp {
    fn new(timings: &[Timing]) -> Self {
        let mut durations: Vec<f64> = timings.iter().map(|timing| timing.end - timing.start).collect();
        durations.retain(|duration| *duration != 0.0);
        durations.sort_by(f64::total_cmp);
        let middle = durations.len() / 2;
        let median_s = match durations.as_slice() {
            [] => 0.0,
            durations if durations.len() % 2 == 1 => durations[middle],
            durations => f64::midpoint(durations[middle - 1], durations[middle]),
        };
        let median_s = median_s.min(LONGEST_MEDIAN_S);
        Self { median_s, longest_s: median_s * 2.0, is_any: !durations.is_empty() }
    }

    /// The pause after a sentence is neither its mark's nor the next word's.
    fn shorten_at_sentence_ends(&self, timings: &mut [Timing]) {
        for i in 1..timings.len() {
            let is_long = timings[i].end - timings[i].start > self.longest_s;
            if !(self.is_any && is_long) {
                continue;
            }
            if SENTENCE_ENDS.contains(&timings[i].word) {
                timings[i].end = timings[i].start + self.longest_s;
            } else if SENTENCE_ENDS.contains(&timings[i - 1].word) {
                timings[i].start = timings[i].end - self.longest_s;
            }
        }
    }

    /// Shortens the first words after a pause, and makes segment and words begin and end together: at the segment's
    /// time where the word is too long, else at the word's.
    fn fit(&self, segment: &mut Segment, words: &mut [Word], last_speech_s: f64) {
        let Self { median_s, longest_s, .. } = *self;
        let Some(first) = words.first() else { return };
        let second = words.get(1);
        let after_pause = first.end - last_speech_s > median_s * 4.0;
        let first_is_long = first.end - first.start > longest_s;
        let two_are_long = second.is_some_and(|second| second.end - first.start > longest_s * 2.0);
        if after_pause && (first_is_long || two_are_long) {
            if let [first, second, ..] = words
                && second.end - second.start > longest_s
            {
                let boundary = (second.end / 2.0).max(second.end - longest_s);
                first.end = boundary;
                second.start = boundary;
            }
            words[0].start = (words[0].end - longest_s).max(0.0);
        }

        let first = &mut words[0];
        if segment.start < first.end && segment.start - 0.5 > first.start {
            first.start = (first.end - median_s).min(segment.start).max(0.0);
        } else {
            segment.start = first.start;
        }
        let last = words.last_mut().expect("there is a first word");
        if segment.end > last.start && segment.end + 0.5 < last.end {
            last.end = (last.start + median_s).max(segment.end);
        } else {
            segment.end = last.end;
        }
    }
}

/// Joins marks that open something to the word after them, and others to the word before them. What is joined is left
/// behind without text and tokens.
///
/// Source: `merge_punctuations` in openai/whisper `whisper/timing.py`.
fn merge_punctuation(timings: &mut [Timing], prepended: &str, appended: &str) {
    let mut following = timings.len().saturating_sub(1);
    for i in (0..following).rev() {
        if timings[i].word.starts_with(' ') && prepended.contains(strip(&timings[i].word)) {
            let (word, n_tokens) = take(&mut timings[i]);
            let following = &mut timings[following];
            following.word.insert_str(0, &word);
            following.n_tokens += n_tokens;
        } else {
            following = i;
        }
    }
    let mut previous = 0;
    for i in 1..timings.len() {
        if !timings[previous].word.ends_with(' ') && appended.contains(&timings[i].word) {
            let (word, n_tokens) = take(&mut timings[i]);
            let previous = &mut timings[previous];
            previous.word.push_str(&word);
            previous.n_tokens += n_tokens;
        } else {
            previous = i;
        }
    }
}

fn take(timing: &mut Timing) -> (String, usize) {
    (std::mem::take(&mut timing.word), std::mem::take(&mut timing.n_tokens))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::golden;

    fn number(value: &Value) -> f64 {
        value.as_f64().unwrap()
    }

    fn timing(word: &str, n_tokens: usize, start: f64, end: f64) -> Timing {
        Timing { word: word.to_owned(), n_tokens, start, end, probability: 0.75 }
    }

    #[test]
    #[ignore = "needs ../shared"]
    fn marks_are_merged_as_the_reference_merges_them() {
        let file = golden::json("rules/words.json");
        let marks = |name: &str| file[name].as_str().unwrap().to_owned();
        let (prepended, appended) = (marks("prepend_punctuations"), marks("append_punctuations"));
        let options = Options::default();
        assert_eq!([&prepended, &appended], [&options.prepend_punctuations, &options.append_punctuations]);
        for case in file["merge_punctuations"].as_array().unwrap() {
            let words = case["words"].as_array().unwrap();
            let mut timings: Vec<Timing> =
                words.iter().map(|word| timing(word.as_str().unwrap(), 1, 0.0, 0.0)).collect();
            merge_punctuation(&mut timings, &prepended, &appended);
            let found: Vec<(&str, usize)> =
                timings.iter().map(|timing| (timing.word.as_str(), timing.n_tokens)).collect();
            let merged = case["merged"].as_array().unwrap().iter();
            let expected: Vec<(&str, usize)> = merged
                .map(|merged| (merged["word"].as_str().unwrap(), merged["tokens"].as_array().unwrap().len()))
                .collect();
            assert_eq!(found, expected, "{words:?}");
        }
    }

    #[test]
    #[ignore = "needs ../shared"]
    fn words_in_segments_are_those_of_the_reference() {
        let file = golden::json("rules/words.json");
        let near = |x: f64, y: f64| (x - y).abs() < 1e-6;
        for case in file["segments"].as_array().unwrap() {
            let name = &case["name"];
            let given = case["segments"].as_array().unwrap().iter();
            let mut segments: Vec<Segment> = given
                .map(|given| Segment {
                    seek: given["seek"].as_u64().unwrap() as usize,
                    start: number(&given["start"]),
                    end: number(&given["end"]),
                    tokens: golden::ids(&given["tokens"]),
                    ..Segment::default()
                })
                .collect();
            let alignment = case["alignment"].as_array().unwrap().iter();
            let timings = alignment.map(|given| {
                let n_tokens = given["tokens"].as_array().unwrap().len();
                timing(
                    given["word"].as_str().unwrap(),
                    n_tokens,
                    number(&given["start"]),
                    number(&given["end"]),
                )
            });
            let last_speech_s = number(&case["last_speech_timestamp"]);
            add(&mut segments, timings.collect(), 50257, last_speech_s, &Options::default());
            for (found, expected) in segments.iter().zip(case["result"].as_array().unwrap()) {
                let words = found.words.as_ref().unwrap();
                let expected_words = expected["words"].as_array().unwrap();
                assert_eq!(words.len(), expected_words.len(), "{name}");
                for (found, expected) in words.iter().zip(expected_words) {
                    assert_eq!(found.word, expected["word"].as_str().unwrap(), "{name}");
                    let times = [(found.start, "start"), (found.end, "end")];
                    assert!(
                        times.iter().all(|(time, which)| near(*time, number(&expected[which]))),
                        "{name}: {found:?}"
                    );
                }
                let times = [(found.start, "start"), (found.end, "end")];
                assert!(
                    times.iter().all(|(time, which)| near(*time, number(&expected[which]))),
                    "{name}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn every_token_is_in_a_word_and_every_word_has_its_times() {
        let mut segments = vec![
            Segment { start: 0.0, end: 1.0, tokens: vec![60000, 1, 2, 60010], ..Segment::default() },
            Segment { start: 1.0, end: 2.0, tokens: vec![60010, 60020], ..Segment::default() },
            Segment { start: 2.0, end: 3.0, tokens: vec![3], ..Segment::default() },
        ];
        let timings = vec![timing(" a", 1, 0.1, 0.3), timing(".", 1, 0.3, 0.3), timing(" b", 1, 2.0, 2.4)];
        add(&mut segments, timings, 50257, 0.0, &Options::default());
        let words: Vec<usize> =
            segments.iter().map(|segment| segment.words.as_ref().unwrap().len()).collect();
        assert_eq!(words, [1, 0, 1]);
        assert_eq!((segments[0].start, segments[0].end), (0.1, 0.3));
        assert_eq!((segments[1].start, segments[1].end), (1.0, 2.0), "what has no words stays");
    }
}
