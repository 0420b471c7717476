//! Which token may come next.

mod repetition;

use std::ops::Range;

use boswell_kernels::{log_sum_exp, max};
use boswell_model::Tokenizer;
use regex::Regex;

use crate::{Error, Options};
use repetition::Repetition;

/// Digits, and the signs that are mostly spoken with them.
///
/// Source: `find_numeral_symbol_tokens` in m-bain/whisperX `whisperx/asr.py`.
const NUMERALS: &str = "[0-9%$£]";

/// The rules of one decode: what is never written, what may not come first, and how timestamps are placed.
///
/// Source: `SuppressBlank`, `SuppressTokens`, `ApplyTimestampRules` in openai/whisper `whisper/decoding.py`.
#[derive(Debug)]
pub(crate) struct Rules {
    n_vocab: usize,
    /// Suppressed at the first position.
    blank: Vec<u32>,
    /// Suppressed everywhere.
    suppressed: Vec<u32>,
    repetition: Option<Repetition>,
    timestamps: Option<TimestampRules>,
}

#[derive(Debug)]
struct TimestampRules {
    eot: usize,
    no_timestamps: usize,
    begin: usize,
    /// The latest timestamp that may come first.
    last_initial: usize,
}

/// Makes the greatest of some logits what it is, where the model left them in the rough: see
/// [`Model::refine`](boswell_model::Model::refine).
pub(crate) type Refine<'a> = dyn FnMut(Range<usize>, &mut [f32]) + 'a;

/// The ids that may come next, but for those whose logit is −∞.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// Text and special tokens, or all tokens where timestamps have no rules.
    pub(crate) text: Range<usize>,
    pub(crate) timestamps: Range<usize>,
}

impl Allowed {
    /// All of them, in order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = usize> + Clone {
        self.text.clone().chain(self.timestamps.clone())
    }
}

impl Rules {
    /// The rules that `options` ask for, in a vocabulary of `n_vocab` tokens.
    ///
    /// # Errors
    /// [`Error::Option`] if a token to suppress is not in the vocabulary, `suppress_regex` is no regular expression, or
    /// `repetition_penalty` no factor.
    pub(crate) fn new(tokenizer: &Tokenizer, n_vocab: usize, options: &Options) -> Result<Self, Error> {
        let special = tokenizer.special();
        let blank = if options.suppress_blank { tokenizer.blank_tokens() } else { Vec::new() };
        let timestamps = (!options.without_timestamps).then(|| TimestampRules {
            eot: special.eot as usize,
            no_timestamps: special.no_timestamps as usize,
            begin: special.timestamp_begin as usize,
            last_initial: last_initial(special.timestamp_begin as usize, options.max_initial_timestamp),
        });
        let suppressed = suppressed(tokenizer, n_vocab, options)?;
        let repetition = Repetition::new(special.eot, options)?;
        Ok(Self { n_vocab, blank, suppressed, repetition, timestamps })
    }

    /// Sets the logits of suppressed tokens to −∞, lowers those of repeated ones, and returns the ranges of the others.
    ///
    /// - `logits`: `[n_vocab]`, as the model gave them. Outside the ranges they are left as they are.
    /// - `sampled`: the tokens after the start tokens.
    /// - `refine`: makes the greatest logit of text what it is, if it is rough.
    pub(crate) fn apply(&self, logits: &mut [f32], sampled: &[u32], refine: &mut Refine<'_>) -> Allowed {
        assert_eq!(logits.len(), self.n_vocab, "logits are not one row of the vocabulary");
        if let Some(repetition) = &self.repetition {
            repetition.apply(logits, sampled);
        }
        let blank = if sampled.is_empty() { self.blank.as_slice() } else { &[] };
        for &id in blank.iter().chain(&self.suppressed) {
            logits[id as usize] = f32::NEG_INFINITY;
        }
        match &self.timestamps {
            Some(rules) => rules.apply(logits, sampled, refine),
            None => {
                refine(0..self.n_vocab, logits);
                Allowed { text: 0..self.n_vocab, timestamps: self.n_vocab..self.n_vocab }
            }
        }
    }

    /// Whether they look at single logits of text, and so cannot do with rough ones.
    pub(crate) fn look_closely(&self) -> bool {
        self.repetition.is_some()
    }
}

impl TimestampRules {
    fn apply(&self, logits: &mut [f32], sampled: &[u32], refine: &mut Refine<'_>) -> Allowed {
        logits[self.no_timestamps] = f32::NEG_INFINITY;
        let mut allowed = self.allowed(logits.len(), sampled);
        refine(allowed.text.clone(), logits);
        // Timestamps are many and share their probability: together they count as one token.
        if log_sum_exp(&logits[allowed.timestamps.clone()]) > max(&logits[allowed.text.clone()]) {
            allowed.text = self.begin..self.begin;
        }
        allowed
    }

    /// What the order of tokens allows: timestamps come in pairs but for the first and the last, and never go back.
    fn allowed(&self, n_vocab: usize, sampled: &[u32]) -> Allowed {
        let is_timestamp = |id: &u32| *id as usize >= self.begin;
        let Some((last, before)) = sampled.split_last() else {
            let end = n_vocab.min(self.last_initial.saturating_add(1));
            return Allowed { text: self.begin..self.begin, timestamps: self.begin..end };
        };
        let closes_segment = is_timestamp(last) && !before.last().is_none_or(is_timestamp);
        if is_timestamp(last) && !closes_segment {
            return Allowed { text: 0..self.begin, timestamps: n_vocab..n_vocab };
        }
        // A segment may open where the last one closed, but none has length zero: the decode must get on.
        let latest = sampled.iter().rev().find(|id| is_timestamp(id)).map(|&id| id as usize);
        let first = latest.map_or(self.begin, |latest| if closes_segment { latest } else { latest + 1 });
        let first_text = if closes_segment { self.eot } else { 0 };
        Allowed { text: first_text..self.begin, timestamps: first.min(n_vocab)..n_vocab }
    }
}

/// The timestamp of `max_initial_timestamp` seconds; one timestamp is 0.02 s.
fn last_initial(begin: usize, max_initial_timestamp: Option<f64>) -> usize {
    match max_initial_timestamp {
        Some(limit_s) if limit_s != 0.0 => begin.saturating_add((limit_s / 0.02).round_ties_even() as usize),
        _ => usize::MAX,
    }
}

/// The tokens that are suppressed everywhere, in order.
fn suppressed(tokenizer: &Tokenizer, n_vocab: usize, options: &Options) -> Result<Vec<u32>, Error> {
    let asked = &options.suppress_tokens;
    if let Some(id) = asked.ids.iter().find(|&&id| id as usize >= n_vocab) {
        let (found, expected) = (id.to_string(), format!("ids below {n_vocab}"));
        return Err(Error::Option { name: "suppress_tokens", found, expected });
    }
    let mut ids = asked.ids.clone();
    if asked.non_speech {
        ids.extend(tokenizer.non_speech_tokens());
    }
    if asked.non_speech || !asked.ids.is_empty() {
        // These stand only at the start; the probability of no speech is read there.
        let special = tokenizer.special();
        ids.extend([special.sot, special.transcribe, special.translate]);
        ids.extend([special.sot_prev, special.sot_lm, special.no_speech]);
    }
    if options.suppress_numerals {
        ids.extend(matching(tokenizer, &Regex::new(NUMERALS).expect("the pattern is valid")));
    }
    if let Some(pattern) = options.suppress_regex.as_deref().filter(|pattern| !pattern.is_empty()) {
        let regex = Regex::new(pattern).map_err(|error| Error::Option {
            name: "suppress_regex",
            found: format!("`{pattern}`"),
            expected: format!("a regular expression: {error}"),
        })?;
        ids.extend(matching(tokenizer, &regex));
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// The text tokens in whose text, without the space before it, something matches.
fn matching(tokenizer: &Tokenizer, regex: &Regex) -> impl Iterator<Item = u32> {
    (0..tokenizer.special().eot).filter(|&token| {
        let text = String::from_utf8_lossy(tokenizer.token_bytes(token));
        regex.is_match(text.strip_prefix(' ').unwrap_or(&text))
    })
}

#[cfg(test)]
mod tests;
