//! The figures of all recordings together, for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::score::COLLAR_S;
use crate::{Counts, ItemScore};

/// The figures of a list of recordings. Displayed as a table that fits 80 columns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How many recordings were scored.
    pub recordings: usize,
    /// Word error rate: errors per word of the reference.
    pub wer: Option<f64>,
    /// What is wrong, by words.
    pub words: Counts,
    /// Character error rate, the spaces between words included.
    pub cer: Option<f64>,
    /// What is wrong, by characters.
    pub characters: Counts,
    /// Seconds of the recordings, if they were read.
    pub audio_s: Option<f64>,
    /// Seconds that they took, if that was measured.
    pub wall_s: Option<f64>,
    /// `audio_s / wall_s`.
    pub speed: Option<f64>,
    /// How well the times of words were found, if the manifest has them.
    pub word_times: Option<WordTimes>,
    /// What was written where nobody speaks, if the manifest says where that is.
    pub hallucinations: Option<Hallucinations>,
}

/// How well the beginnings and ends of words were found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WordTimes {
    /// Half of the boundaries of words that were written right are off by at most so many seconds.
    pub median_s: f64,
    /// 95 % of them are.
    pub p95_s: f64,
    /// Boundaries that are off by at most 0.2 s, of all that were written.
    pub precision: f64,
    /// The same, of all that there are.
    pub recall: f64,
    /// Boundaries that were compared.
    pub boundaries: usize,
}

/// Words that nobody said, where nobody speaks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hallucinations {
    /// How many.
    pub words: usize,
    /// In so many seconds without speech.
    pub non_speech_s: f64,
    /// Words per hour of that.
    pub words_per_hour: f64,
}

impl Report {
    /// Adds up the figures of recordings.
    pub fn new(scores: &[ItemScore]) -> Self {
        let (mut words, mut characters) = (Counts::default(), Counts::default());
        for score in scores {
            words.add(&score.words);
            characters.add(&score.characters);
        }
        let sum = |part: fn(&ItemScore) -> Option<f64>| scores.iter().map(part).sum::<Option<f64>>();
        let (audio_s, wall_s) = (sum(|score| score.audio_s), sum(|score| score.wall_s));
        Self {
            recordings: scores.len(),
            wer: words.rate(),
            words,
            cer: characters.rate(),
            characters,
            audio_s,
            wall_s,
            speed: audio_s
                .zip(wall_s)
                .filter(|(_, wall_s)| *wall_s > 0.0)
                .map(|(audio_s, wall_s)| audio_s / wall_s),
            word_times: word_times(scores),
            hallucinations: hallucinations(scores),
        }
    }
}

fn word_times(scores: &[ItemScore]) -> Option<WordTimes> {
    let boundaries = || scores.iter().filter_map(|score| score.boundaries.as_ref());
    let mut errors: Vec<f64> = boundaries().flat_map(|found| found.errors_s.iter().copied()).collect();
    errors.sort_by(f64::total_cmp);
    let quantile =
        |share: f64| errors.get((errors.len().saturating_sub(1) as f64 * share).round() as usize).copied();
    let n_right = errors.iter().filter(|error_s| **error_s <= COLLAR_S).count();
    let share = |n: usize| n_right as f64 / n.max(1) as f64;
    Some(WordTimes {
        median_s: quantile(0.5)?,
        p95_s: quantile(0.95)?,
        precision: share(boundaries().map(|found| found.n_hypothesis).sum()),
        recall: share(boundaries().map(|found| found.n_reference).sum()),
        boundaries: errors.len(),
    })
}

fn hallucinations(scores: &[ItemScore]) -> Option<Hallucinations> {
    let made_up = || scores.iter().filter_map(|score| score.made_up);
    let words = made_up().map(|found| found.n_words).sum();
    let non_speech_s: f64 = made_up().map(|found| found.non_speech_s).sum();
    let words_per_hour = words as f64 / (non_speech_s / 3600.0);
    (non_speech_s > 0.0).then_some(Hallucinations { words, non_speech_s, words_per_hour })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, name: &str, text: String| writeln!(f, "{name:<22} {text}");
        let errors = |f: &mut fmt::Formatter<'_>, name: &str, rate: Option<f64>, counts: &Counts| {
            let rate = rate.map_or("-".to_owned(), |rate| format!("{:.2} %", rate * 100.0));
            let Counts { reference, substitutions, deletions, insertions } = counts;
            row(
                f,
                name,
                format!("{rate} of {reference}: {substitutions} sub, {deletions} del, {insertions} ins"),
            )
        };
        row(f, "recordings", self.recordings.to_string())?;
        errors(f, "word error rate", self.wer, &self.words)?;
        errors(f, "character error rate", self.cer, &self.characters)?;
        if let Some(times) = &self.word_times {
            let (median, p95) = (times.median_s * 1000.0, times.p95_s * 1000.0);
            row(f, "word times", format!("off by {median:.0} ms (median), {p95:.0} ms (95 %)"))?;
            let (precision, recall) = (times.precision * 100.0, times.recall * 100.0);
            row(
                f,
                "  within 200 ms",
                format!("{precision:.1} % of those written, {recall:.1} % of those said"),
            )?;
        }
        if let Some(found) = &self.hallucinations {
            let (per_hour, words, minutes) = (found.words_per_hour, found.words, found.non_speech_s / 60.0);
            let text = format!("{per_hour:.1} words an hour ({words} in {minutes:.1} minutes)");
            row(f, "where nobody speaks", text)?;
        }
        if let (Some(audio_s), Some(wall_s), Some(speed)) = (self.audio_s, self.wall_s, self.speed) {
            row(f, "speed", format!("{speed:.1}x real time: {audio_s:.1} s in {wall_s:.1} s"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Item, Normaliser, Outcome, Scorer, TimedWord};

    fn words(words: &[(&str, f64, f64)]) -> Option<Vec<TimedWord>> {
        let word = |&(word, start, end): &(&str, f64, f64)| TimedWord { word: word.to_owned(), start, end };
        Some(words.iter().map(word).collect())
    }

    fn report() -> Report {
        let normaliser = Normaliser::Basic { remove_diacritics: false, split_letters: false };
        let scorer = Scorer { normaliser };
        let item = Item {
            text: Some("One two three".to_owned()),
            words: words(&[("One", 1.0, 1.5), ("two", 2.0, 2.5), ("three", 3.0, 3.5)]),
            ..Item::default()
        };
        let outcome = Outcome {
            text: "one too three four".to_owned(),
            words: words(&[("one,", 1.1, 1.5), ("too", 2.0, 2.5), ("three", 3.0, 3.8), ("four", 8.0, 8.5)]),
            audio_s: Some(10.0),
            wall_s: Some(2.0),
        };
        let silence = Item { text: Some(String::new()), ..Item::default() };
        let made_up = Outcome {
            text: "Thanks.".to_owned(),
            audio_s: Some(20.0),
            wall_s: Some(1.0),
            ..Outcome::default()
        };
        Report::new(&[scorer.score(&item, &outcome).unwrap(), scorer.score(&silence, &made_up).unwrap()])
    }

    #[test]
    fn figures_are_added_up() {
        let report = report();
        let words = Counts { reference: 3, substitutions: 1, deletions: 0, insertions: 2 };
        assert_eq!((report.words, report.wer, report.speed), (words, Some(1.0), Some(10.0)));
        let times = report.word_times.clone().unwrap();
        assert_eq!((times.boundaries, times.precision, times.recall), (4, 3.0 / 8.0, 0.5));
        assert!((times.median_s - 0.1).abs() < 1e-9 && (times.p95_s - 0.3).abs() < 1e-9, "{times:?}");
        let made_up = report.hallucinations.clone().unwrap();
        assert_eq!((made_up.words, made_up.non_speech_s), (2, 28.5));
        assert!((made_up.words_per_hour - 2.0 * 3600.0 / 28.5).abs() < 1e-9);
    }

    #[test]
    fn the_table_fits_80_columns() {
        let table = report().to_string();
        assert!(table.contains("word error rate        100.00 % of 3: 1 sub, 0 del, 2 ins\n"), "{table}");
        assert!(table.contains("speed                  10.0x real time: 30.0 s in 3.0 s\n"), "{table}");
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    }

    #[test]
    fn recordings_without_text_are_not_scored() {
        let scorer = Scorer { normaliser: Normaliser::None };
        assert_eq!(scorer.score(&Item::default(), &Outcome::default()), None);
        let report = Report::new(&[]);
        assert_eq!(
            (report.wer, report.word_times.is_none(), report.hallucinations.is_none()),
            (None, true, true)
        );
    }
}
