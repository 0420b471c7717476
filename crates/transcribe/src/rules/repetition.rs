//! What was said is not said again, or not so readily.

use std::ops::Range;

use crate::{Error, Options};

/// Rules against repetition. They see the text tokens alone: timestamps come back by design, and a phrase that is
/// repeated in the next segment is repeated all the same.
///
/// Source: `RepetitionPenalty` and `NoRepeatNgram` in OpenNMT/CTranslate2 `src/decoding_utils.cc`.
#[derive(Debug)]
pub(super) struct Repetition {
    /// Logits of tokens that came are divided by it, or multiplied where they are below 0.
    penalty: f32,
    /// So many tokens in a row do not come twice; 0: they may.
    ngram: usize,
    text: Range<u32>,
}

impl Repetition {
    /// `None` if nothing is asked for.
    ///
    /// # Errors
    /// [`Error::Option`] if the penalty is no factor.
    pub(super) fn new(eot: u32, options: &Options) -> Result<Option<Self>, Error> {
        let Options { repetition_penalty: penalty, no_repeat_ngram_size: ngram, .. } = *options;
        if !(penalty.is_finite() && penalty > 0.0) {
            let (found, expected) = (penalty.to_string(), "a number above 0".to_owned());
            return Err(Error::Option { name: "repetition_penalty", found, expected });
        }
        Ok((penalty != 1.0 || ngram > 0).then_some(Self { penalty, ngram, text: 0..eot }))
    }

    /// - `logits`: `[n_vocab]`
    /// - `sampled`: the tokens after the start tokens.
    pub(super) fn apply(&self, logits: &mut [f32], sampled: &[u32]) {
        let said: Vec<u32> = sampled.iter().copied().filter(|token| self.text.contains(token)).collect();
        if self.penalty != 1.0 {
            let mut once = said.clone();
            once.sort_unstable();
            once.dedup();
            for token in once {
                let logit = &mut logits[token as usize];
                *logit = if *logit < 0.0 { *logit * self.penalty } else { *logit / self.penalty };
            }
        }
        if self.ngram > 0 && said.len() >= self.ngram {
            let latest = &said[said.len() + 1 - self.ngram..];
            for ngram in said.windows(self.ngram) {
                if let Some((next, before)) = ngram.split_last()
                    && before == latest
                {
                    logits[*next as usize] = f32::NEG_INFINITY;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EOT: u32 = 10;

    fn applied(options: &Options, sampled: &[u32]) -> Vec<f32> {
        let mut logits: Vec<f32> = (0..15).map(|i| i as f32 - 5.0).collect();
        Repetition::new(EOT, options).unwrap().unwrap().apply(&mut logits, sampled);
        logits
    }

    #[test]
    fn tokens_that_came_are_less_likely_however_often_they_came() {
        let options = Options { repetition_penalty: 2.0, ..Options::default() };
        let logits = applied(&options, &[12, 3, 7, 3, 13]);
        assert_eq!((logits[3], logits[7], logits[8]), (-4.0, 1.0, 3.0));
        assert_eq!((logits[12], logits[13]), (7.0, 8.0), "timestamps come back");
    }

    #[test]
    fn an_ngram_does_not_come_twice_even_across_timestamps() {
        let options = Options { no_repeat_ngram_size: 3, ..Options::default() };
        let forbidden = |sampled: &[u32]| -> Vec<usize> {
            let logits = applied(&options, sampled);
            (0..15).filter(|&id| logits[id] == f32::NEG_INFINITY).collect()
        };
        assert_eq!(forbidden(&[1, 2, 3, 12, 12, 1, 2]), [3]);
        assert_eq!(forbidden(&[1, 2, 3, 1, 2, 4, 1, 2]), [3, 4]);
        assert_eq!(forbidden(&[1, 2, 3, 2]), [0; 0]);
        assert_eq!(forbidden(&[1]), [0; 0]);
        let single = Options { no_repeat_ngram_size: 1, ..Options::default() };
        assert_eq!(applied(&single, &[4])[4], f32::NEG_INFINITY);
    }

    #[test]
    fn nothing_is_done_unless_it_is_asked_for() {
        assert!(Repetition::new(EOT, &Options::default()).unwrap().is_none());
        for penalty in [0.0, -1.0, f32::NAN] {
            let options = Options { repetition_penalty: penalty, ..Options::default() };
            assert!(Repetition::new(EOT, &options).unwrap_err().to_string().contains("above 0"));
        }
    }
}
