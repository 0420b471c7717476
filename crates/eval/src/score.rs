//! One recording's transcript, held against what was said.

use serde::Serialize;

use crate::{Edit, Item, Normaliser, TimedWord, align};

/// A word at most so far from a word of the reference is not made up, in seconds; boundaries so near are right.
pub(crate) const COLLAR_S: f64 = 0.2;

/// What was written right and wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Words, or characters, of the reference.
    pub reference: usize,
    /// Written as others.
    pub substitutions: usize,
    /// Not written.
    pub deletions: usize,
    /// Written without being said.
    pub insertions: usize,
}

impl Counts {
    pub(crate) fn of(n_reference: usize, edits: &[Edit]) -> Self {
        let mut counts = Self { reference: n_reference, ..Self::default() };
        for edit in edits {
            match edit {
                Edit::Equal(..) => {}
                Edit::Substitution(..) => counts.substitutions += 1,
                Edit::Deletion(_) => counts.deletions += 1,
                Edit::Insertion(_) => counts.insertions += 1,
            }
        }
        counts
    }

    /// All that is wrong.
    pub fn errors(&self) -> usize {
        self.substitutions + self.deletions + self.insertions
    }

    /// Errors per word or character of the reference; `None` if it has none.
    pub fn rate(&self) -> Option<f64> {
        (self.reference > 0).then(|| self.errors() as f64 / self.reference as f64)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.reference += other.reference;
        self.substitutions += other.substitutions;
        self.deletions += other.deletions;
        self.insertions += other.insertions;
    }
}

/// What came of a recording.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// The text that was written.
    pub text: String,
    /// Its words with their times, if they are known.
    pub words: Option<Vec<TimedWord>>,
    /// Length of the recording in seconds, if it is known.
    pub audio_s: Option<f64>,
    /// How long it took, in seconds, if it was measured.
    pub wall_s: Option<f64>,
}

/// The figures of one recording.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ItemScore {
    /// What the manifest calls the recording.
    pub id: String,
    /// The reference, normalised.
    pub reference: String,
    /// What was written, normalised.
    pub hypothesis: String,
    /// By words.
    pub words: Counts,
    /// By characters, the spaces between words included.
    pub characters: Counts,
    /// Length in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_s: Option<f64>,
    /// How long it took, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_s: Option<f64>,
    /// When words begin and end.
    #[serde(skip)]
    pub(crate) boundaries: Option<Boundaries>,
    /// What was written where nobody speaks.
    #[serde(skip)]
    pub(crate) made_up: Option<MadeUp>,
}

/// How well the beginnings and ends of words were found.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Boundaries {
    /// For each beginning and end of a word that was written right: how far it is off, in seconds.
    pub(crate) errors_s: Vec<f64>,
    pub(crate) n_reference: usize,
    pub(crate) n_hypothesis: usize,
}

/// Words where nobody speaks.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct MadeUp {
    pub(crate) n_words: usize,
    pub(crate) non_speech_s: f64,
}

/// Scores recordings.
#[derive(Debug, Clone, Copy)]
pub struct Scorer {
    /// What is done to both texts first.
    pub normaliser: Normaliser,
}

impl Scorer {
    /// Holds what was written against what was said. `None` if the manifest does not say that.
    pub fn score(&self, item: &Item, outcome: &Outcome) -> Option<ItemScore> {
        let reference = self.normalised(item.text.as_deref()?);
        let hypothesis = self.normalised(&outcome.text);
        let words = counts(reference.split(' '), hypothesis.split(' '));
        let characters = {
            let (reference, hypothesis): (Vec<char>, Vec<char>) =
                (reference.chars().collect(), hypothesis.chars().collect());
            Counts::of(reference.len(), &align(&reference, &hypothesis))
        };
        let times = item.words.as_deref().zip(outcome.words.as_deref());
        Some(ItemScore {
            id: item.id.clone(),
            words,
            characters,
            audio_s: outcome.audio_s,
            wall_s: outcome.wall_s,
            boundaries: times.map(|(reference, found)| self.boundaries(reference, found)),
            made_up: made_up(item, outcome, &hypothesis),
            reference,
            hypothesis,
        })
    }

    /// A text as it is compared: words with single spaces between them.
    fn normalised(&self, text: &str) -> String {
        self.normaliser.normalise(text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn boundaries(&self, reference: &[TimedWord], hypothesis: &[TimedWord]) -> Boundaries {
        let texts = |words: &[TimedWord]| -> Vec<String> {
            words.iter().map(|word| self.normalised(&word.word)).collect()
        };
        let edits = align(&texts(reference), &texts(hypothesis));
        let errors = edits.iter().filter_map(|edit| match edit {
            Edit::Equal(i, j) => {
                let (said, found) = (&reference[*i], &hypothesis[*j]);
                Some([(said.start - found.start).abs(), (said.end - found.end).abs()])
            }
            _ => None,
        });
        Boundaries {
            errors_s: errors.flatten().collect(),
            n_reference: 2 * reference.len(),
            n_hypothesis: 2 * hypothesis.len(),
        }
    }
}

fn counts<'a>(reference: impl Iterator<Item = &'a str>, hypothesis: impl Iterator<Item = &'a str>) -> Counts {
    let reference: Vec<&str> = reference.filter(|word| !word.is_empty()).collect();
    let hypothesis: Vec<&str> = hypothesis.filter(|word| !word.is_empty()).collect();
    Counts::of(reference.len(), &align(&reference, &hypothesis))
}

/// The words that were written where nobody speaks: in the whole recording if nothing is said in it, or between words
/// whose times are known.
fn made_up(item: &Item, outcome: &Outcome, hypothesis: &str) -> Option<MadeUp> {
    let audio_s = outcome.audio_s?;
    if item.text.as_deref().is_some_and(|text| text.trim().is_empty()) {
        return Some(MadeUp { n_words: hypothesis.split_whitespace().count(), non_speech_s: audio_s });
    }
    let (said, found) = (item.words.as_deref()?, outcome.words.as_deref()?);
    let is_near = |word: &TimedWord| {
        said.iter().any(|said| word.start < said.end + COLLAR_S && said.start - COLLAR_S < word.end)
    };
    let n_words = found.iter().filter(|word| !is_near(word)).count();
    let mut spans: Vec<(f64, f64)> = said.iter().map(|word| (word.start, word.end)).collect();
    spans.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (mut speech_s, mut behind_s) = (0.0_f64, 0.0_f64);
    for (start, end) in spans {
        speech_s += (end - behind_s.max(start)).max(0.0);
        behind_s = behind_s.max(end);
    }
    Some(MadeUp { n_words, non_speech_s: (audio_s - speech_s).max(0.0) })
}
