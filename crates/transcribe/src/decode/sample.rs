//! The choice of the next token.

use boswell_kernels::{exp_sum, max};

use crate::rules::Allowed;

/// The next token and its logprob among the allowed ones; `None` if the logits allow none.
///
/// - `logits`: `[n_vocab]`; −∞ is never chosen.
/// - `temperature`: at 0 the likeliest token is taken, the first of equals; above it a token is drawn.
pub(super) fn choose(
    logits: &[f32],
    allowed: &Allowed,
    temperature: f32,
    rng: &mut fastrand::Rng,
) -> Option<(usize, f32)> {
    let parts = [allowed.text.clone(), allowed.timestamps.clone()];
    let greatest = parts.iter().map(|ids| max(&logits[ids.clone()])).fold(f32::NEG_INFINITY, f32::max);
    if !greatest.is_finite() {
        return None;
    }
    let mut ids = parts.iter().flat_map(Clone::clone);
    let token = if temperature == 0.0 {
        ids.find(|&id| logits[id] == greatest)?
    } else {
        draw(ids, |id| f64::from(((logits[id] - greatest) / temperature).exp()), rng)?
    };
    let sum: f32 = parts.iter().map(|ids| exp_sum(&logits[ids.clone()], greatest)).sum();
    Some((token, logits[token] - greatest - sum.ln()))
}

/// One of `ids`, each with a probability in proportion to its weight; `None` if all weights are 0.
fn draw(
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
        let (token, logprob) = choose(&logits, &ALL, 0.0, &mut rng()).unwrap();
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
            let (token, logprob) = choose(&logits, &ALL, 0.5, &mut rng).unwrap();
            counts[token] += 1;
            let (_, greedy) = choose(&logits, &ALL, 0.0, &mut rng).unwrap();
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
    fn nothing_is_chosen_where_nothing_is_allowed() {
        for logits in [[f32::NEG_INFINITY; 6], [f32::NAN; 6]] {
            assert_eq!(choose(&logits, &ALL, 0.0, &mut rng()), None);
            assert_eq!(choose(&logits, &ALL, 1.0, &mut rng()), None);
        }
    }
}
