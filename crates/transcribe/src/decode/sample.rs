//! The choice of the next token.

use boswell_kernels::{exp_sum, max};

use crate::rules::Allowed;

/// A token that may come next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Choice {
    pub(super) token: usize,
    /// Among the allowed ones.
    pub(super) logprob: f32,
}

/// The likeliest token, the first of equals; `None` if the logits allow none.
///
/// - `logits`: `[n_vocab]`; −∞ is never chosen.
pub(super) fn likeliest(logits: &[f32], allowed: &Allowed) -> Option<Choice> {
    let odds = Odds::of(logits, allowed)?;
    let token = allowed.ids().find(|&id| logits[id] == odds.greatest)?;
    Some(odds.choice(token))
}

/// A token drawn with its probability at a temperature above 0; its logprob is that at temperature 1. `None` if the
/// logits allow none.
pub(super) fn draw(
    logits: &[f32],
    allowed: &Allowed,
    temperature: f32,
    rng: &mut fastrand::Rng,
) -> Option<Choice> {
    let odds = Odds::of(logits, allowed)?;
    let weight = |id: usize| f64::from(((logits[id] - odds.greatest) / temperature).exp());
    Some(odds.choice(weighted(allowed.ids(), weight, rng)?))
}

/// Hands out the `n` likeliest tokens, the best first; fewer if the logits allow fewer.
pub(super) fn best(logits: &[f32], allowed: &Allowed, n: usize, add: impl FnMut(Choice)) {
    let Some(odds) = Odds::of(logits, allowed) else { return };
    let mut found: Vec<usize> = Vec::with_capacity(n + 1);
    let mut least = f32::NEG_INFINITY;
    for id in allowed.ids().filter(|&id| logits[id].is_finite()) {
        if found.len() < n || logits[id] > least {
            let at = found.partition_point(|&other| logits[other] >= logits[id]);
            found.insert(at, id);
            found.truncate(n);
            least = logits[found[found.len() - 1]];
        }
    }
    found.into_iter().map(|token| odds.choice(token)).for_each(add);
}

/// What turns logits into logprobs.
struct Odds<'a> {
    logits: &'a [f32],
    greatest: f32,
    /// Of the exponentials of all allowed logits, less the greatest, their logarithm.
    log_sum: f32,
}

impl<'a> Odds<'a> {
    /// `None` if no token is allowed.
    fn of(logits: &'a [f32], allowed: &Allowed) -> Option<Self> {
        let parts = [allowed.text.clone(), allowed.timestamps.clone()];
        let greatest = parts.iter().map(|ids| max(&logits[ids.clone()])).fold(f32::NEG_INFINITY, f32::max);
        if !greatest.is_finite() {
            return None;
        }
        let sum: f32 = parts.iter().map(|ids| exp_sum(&logits[ids.clone()], greatest)).sum();
        Some(Self { logits, greatest, log_sum: sum.ln() })
    }

    fn choice(&self, token: usize) -> Choice {
        Choice { token, logprob: self.logits[token] - self.greatest - self.log_sum }
    }
}

/// One of `ids`, each with a probability in proportion to its weight; `None` if all weights are 0.
fn weighted(
    ids: impl Iterator<Item = usize> + Clone,
    weight: impl Fn(usize) -> f64,
    rng: &mut fastrand::Rng,
) -> Option<usize> {
    let total: f64 = ids.clone().map(&weight).sum();
    let mut left = rng.f64() * total;
    let mut chosen = None;
    for id in ids {
        let weight = weight(id);
        if weight > 0.0 {
            chosen = Some(id);
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Allowed = Allowed { text: 0..3, timestamps: 4..6 };

    fn rng() -> fastrand::Rng {
        fastrand::Rng::with_seed(7)
    }

    #[test]
    fn the_likeliest_allowed_token_is_taken_with_its_logprob() {
        let logits = [1.0, f32::NEG_INFINITY, 2.0, 9.0, 0.5, 2.0];
        let Choice { token, logprob } = likeliest(&logits, &ALL).unwrap();
        let sum: f32 = [1.0f32, 2.0, 0.5, 2.0].iter().map(|x| x.exp()).sum();
        assert_eq!(token, 2, "the first of equals");
        assert!((logprob - (2.0 - sum.ln())).abs() < 1e-6);
    }

    #[test]
    fn draws_follow_the_softmax_at_the_temperature() {
        let logits = [0.0, f32::NEG_INFINITY, 1.0, 9.0, -1.0, 0.5];
        let mut rng = rng();
        let mut counts = [0usize; 6];
        let n = 40_000;
        for _ in 0..n {
            let Choice { token, logprob } = draw(&logits, &ALL, 0.5, &mut rng).unwrap();
            counts[token] += 1;
            let greedy = likeliest(&logits, &ALL).unwrap().logprob;
            assert!(
                (logprob - (greedy + logits[token] - 1.0)).abs() < 1e-5,
                "logprobs are those at temperature 1"
            );
        }
        let weights = logits.map(|x: f32| (x / 0.5).exp());
        let total: f32 = [0, 2, 4, 5].iter().map(|&id: &usize| weights[id]).sum();
        for id in [0, 2, 4, 5] {
            let (found, expected) = (counts[id] as f32 / n as f32, weights[id] / total);
            assert!((found - expected).abs() < 0.01, "token {id}: {found}, expected {expected}");
        }
        assert_eq!((counts[1], counts[3]), (0, 0));
    }

    #[test]
    fn the_best_are_those_that_sorting_finds() {
        let mut rng = rng();
        for n in 1..8 {
            let logits: Vec<f32> = (0..50).map(|_| rng.u8(..20).into()).collect();
            let allowed = Allowed { text: 3..20, timestamps: 30..45 };
            let mut ids: Vec<usize> = allowed.ids().collect();
            ids.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
            let mut found = Vec::new();
            best(&logits, &allowed, n, |choice| found.push(choice));
            assert_eq!(found.iter().map(|choice| choice.token).collect::<Vec<_>>(), ids[..n]);
            assert_eq!(found[0], likeliest(&logits, &allowed).unwrap());
        }
        let mut found = Vec::new();
        best(&[1.0, f32::NEG_INFINITY, 2.0, 9.0, f32::NAN, 0.0], &ALL, 9, |choice| found.push(choice.token));
        assert_eq!(found, [2, 0, 5], "as many as there are");
    }

    #[test]
    fn nothing_is_chosen_where_nothing_is_allowed() {
        for logits in [[f32::NEG_INFINITY; 6], [f32::NAN; 6]] {
            assert_eq!(likeliest(&logits, &ALL), None);
            assert_eq!(draw(&logits, &ALL, 1.0, &mut rng()), None);
            best(&logits, &ALL, 3, |choice| panic!("{choice:?} is not allowed"));
        }
    }
}
