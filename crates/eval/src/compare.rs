//! Which of two is better, and whether that is chance.

use std::fmt;

use serde::Serialize;

use crate::{Counts, ItemScore};

/// How many times recordings are drawn.
const N_DRAWS: usize = 10_000;

/// The word error rates of two programs, models or settings on the same recordings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Recordings that both have.
    pub recordings: usize,
    /// Word error rate of the first.
    pub wer_a: f64,
    /// Word error rate of the second.
    pub wer_b: f64,
    /// `wer_b - wer_a`: below 0, the second is better.
    pub difference: f64,
    /// The difference is in here with a probability of 95 %.
    pub interval: (f64, f64),
    /// The share of draws in which the second is better.
    pub b_is_better: f64,
}

/// Compares two on the recordings that both have, by a paired bootstrap: recordings are drawn with replacement, the same
/// for both, again and again. `None` if they share none with words in it.
///
/// Source: M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", 2004.
pub fn compare(a: &[ItemScore], b: &[ItemScore]) -> Option<Comparison> {
    let find = |id: &str| b.iter().find(|score| score.id == id);
    let pairs: Vec<(Counts, Counts)> =
        a.iter().filter_map(|score| Some((score.words, find(&score.id)?.words))).collect();
    let (wer_a, wer_b) = rates(pairs.iter())?;
    let mut rng = fastrand::Rng::with_seed(0);
    let mut draw = || {
        let drawn: Vec<&(Counts, Counts)> =
            (0..pairs.len()).map(|_| &pairs[rng.usize(..pairs.len())]).collect();
        rates(drawn.into_iter()).map(|(wer_a, wer_b)| wer_b - wer_a)
    };
    let mut differences: Vec<f64> = (0..N_DRAWS).filter_map(|_| draw()).collect();
    differences.sort_by(f64::total_cmp);
    let quantile = |share: f64| differences[((differences.len() - 1) as f64 * share).round() as usize];
    let n_better = differences.partition_point(|difference| *difference < 0.0);
    Some(Comparison {
        recordings: pairs.len(),
        wer_a,
        wer_b,
        difference: wer_b - wer_a,
        interval: (quantile(0.025), quantile(0.975)),
        b_is_better: n_better as f64 / differences.len() as f64,
    })
}

/// The word error rates of both.
fn rates<'a>(pairs: impl Iterator<Item = &'a (Counts, Counts)>) -> Option<(f64, f64)> {
    let (mut sum_a, mut sum_b) = (Counts::default(), Counts::default());
    for (a, b) in pairs {
        sum_a.add(a);
        sum_b.add(b);
    }
    Some((sum_a.rate()?, sum_b.rate()?))
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| share * 100.0;
        writeln!(f, "{:<22} {}", "recordings", self.recordings)?;
        writeln!(
            f,
            "{:<22} A {:.2} %, B {:.2} %",
            "word error rate",
            percent(self.wer_a),
            percent(self.wer_b)
        )?;
        let (low, high) = (percent(self.interval.0), percent(self.interval.1));
        let difference = percent(self.difference);
        writeln!(f, "{:<22} {difference:+.2} points, 95 % within {low:+.2} to {high:+.2}", "B less A")?;
        writeln!(f, "{:<22} in {:.1} % of draws", "B is better", percent(self.b_is_better))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Item, Normaliser, Outcome, Scorer};

    fn scores(n_wrong: impl Fn(usize) -> usize) -> Vec<ItemScore> {
        let scorer = Scorer { normaliser: Normaliser::None };
        let score = |idx: usize| {
            let text = ["a"; 10].join(" ");
            let item = Item { id: idx.to_string(), text: Some(text), ..Item::default() };
            let text = [vec!["b"; n_wrong(idx)], vec!["a"; 10 - n_wrong(idx)]].concat().join(" ");
            scorer.score(&item, &Outcome { text, ..Outcome::default() }).unwrap()
        };
        (0..50).map(score).collect()
    }

    #[test]
    fn what_is_better_everywhere_is_better() {
        let comparison = compare(&scores(|idx| 1 + idx % 2), &scores(|idx| idx % 2)).unwrap();
        assert_eq!((comparison.recordings, comparison.b_is_better), (50, 1.0));
        assert!((comparison.difference + 0.1).abs() < 1e-9);
        let (low, high) = comparison.interval;
        assert!(low <= comparison.difference + 1e-9 && comparison.difference <= high + 1e-9 && high < 0.0);
    }

    #[test]
    fn what_is_as_good_is_within_the_interval() {
        let comparison = compare(&scores(|idx| idx % 3), &scores(|idx| (idx + 1) % 3)).unwrap();
        assert!(comparison.interval.0 < 0.0 && 0.0 < comparison.interval.1, "{comparison:?}");
        assert!(comparison.to_string().lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn nothing_in_common_is_no_comparison() {
        assert_eq!(compare(&scores(|_| 1), &[]), None);
    }
}
