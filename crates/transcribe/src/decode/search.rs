//! The search for a window's tokens: which sequences go on, and with which token.

use std::sync::Arc;

use super::Plan;
use super::sample::{self, Choice};
use crate::rules::Refine;
use crate::{Error, Options};

/// How many sequences are tried, and how they are told apart in the end.
///
/// Source: `GreedyDecoder`, `BeamSearchDecoder`, `MaximumLikelihoodRanker` in openai/whisper `whisper/decoding.py`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Width {
    /// Sequences that are followed at temperature 0.
    beam_size: usize,
    /// Sequences at their end with which a search in beams ends.
    n_enough: usize,
    /// Sequences that are drawn above temperature 0.
    best_of: usize,
    length_penalty: Option<f64>,
}

impl Width {
    /// # Errors
    /// [`Error::Option`] if a number is out of its range.
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        let Options { beam_size, best_of, patience, length_penalty, .. } = *options;
        let refuse = |name, found: String, expected: &str| Error::Option {
            name,
            found,
            expected: expected.to_owned(),
        };
        for (name, n) in [("beam_size", beam_size), ("best_of", best_of)] {
            if !(1..=MAX_SEQUENCES).contains(&n) {
                return Err(refuse(name, n.to_string(), "1 to 100"));
            }
        }
        let n_enough = (beam_size as f64 * patience).round_ties_even();
        if !(1.0..=MAX_SEQUENCES as f64).contains(&n_enough) {
            return Err(refuse(
                "patience",
                patience.to_string(),
                "1 to 100 sequences, beam_size times patience",
            ));
        }
        if let Some(alpha) = length_penalty.filter(|alpha| !(0.0..=1.0).contains(alpha)) {
            return Err(refuse("length_penalty", alpha.to_string(), "0 to 1"));
        }
        Ok(Self { beam_size, n_enough: n_enough as usize, best_of, length_penalty })
    }

    /// How good a sequence of `len` tokens is.
    fn score(&self, sum_logprob: f32, len: usize) -> f64 {
        let penalty = match self.length_penalty {
            // openai/whisper divides by zero where nothing is said.
            None => len.max(1) as f64,
            Some(alpha) => ((5 + len) as f64 / 6.0).powf(alpha),
        };
        f64::from(sum_logprob) / penalty
    }
}

/// More sequences than anybody needs, so that a wrong number does not take all memory.
const MAX_SEQUENCES: usize = 100;

/// A window's search.
#[derive(Debug)]
pub(super) struct Search {
    plan: Arc<Plan>,
    sample_begin: usize,
    temperature: f32,
    rng: fastrand::Rng,
    no_speech_prob: Option<f32>,
    /// What is on its way. At first one sequence, the start tokens, stands for all.
    live: Vec<Sequence>,
    /// What is at its end.
    ended: Vec<Sequence>,
    is_finished: bool,
    /// For each of `live`, which of the sequences before the last step it goes on from.
    sources: Vec<usize>,
    choices: Vec<(usize, Choice)>,
}

#[derive(Debug, Clone)]
struct Sequence {
    /// The start tokens and what was sampled, without the end.
    tokens: Vec<u32>,
    /// Those of the sampled tokens.
    logprobs: Vec<f32>,
    /// The end's logprob counts too.
    sum_logprob: f32,
}

impl Sequence {
    fn with(&self, choice: Choice) -> Self {
        let mut tokens = Vec::with_capacity(self.tokens.capacity());
        tokens.extend_from_slice(&self.tokens);
        tokens.push(choice.token as u32);
        let logprobs = [&self.logprobs[..], &[choice.logprob]].concat();
        Self { tokens, logprobs, sum_logprob: self.sum_logprob + choice.logprob }
    }

    /// The same at its end.
    fn ended(&self, end: Choice) -> Self {
        Self { sum_logprob: self.sum_logprob + end.logprob, ..self.clone() }
    }
}

impl Search {
    /// A search in which nothing is sampled yet.
    ///
    /// # Errors
    /// [`Error::Context`] as [`Plan::initial_tokens`].
    pub(super) fn new(plan: Arc<Plan>, prompt: &[u32], temperature: f32, seed: u64) -> Result<Self, Error> {
        let tokens = plan.initial_tokens(prompt)?;
        Ok(Self {
            sample_begin: tokens.len(),
            plan,
            temperature,
            rng: fastrand::Rng::with_seed(seed),
            no_speech_prob: None,
            live: vec![Sequence { tokens, logprobs: Vec::new(), sum_logprob: 0.0 }],
            ended: Vec::new(),
            is_finished: false,
            sources: vec![0],
            choices: Vec::new(),
        })
    }

    pub(super) fn temperature(&self) -> f32 {
        self.temperature
    }

    /// Known after the first step.
    pub(super) fn no_speech_prob(&self) -> Option<f32> {
        self.no_speech_prob
    }

    pub(super) fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// The number of positions whose logits the next step is to bring. At first those from the start of transcript to
    /// the last start token: of the first they say whether there is speech, of the last what comes next.
    pub(super) fn n_logits(&self) -> usize {
        if self.no_speech_prob.is_some() { 1 } else { self.plan.sot_sequence.len() + self.plan.prefix.len() }
    }

    /// The tokens of the sequences that are on their way.
    pub(super) fn sequences(&self) -> impl Iterator<Item = &[u32]> {
        self.live.iter().map(|sequence| sequence.tokens.as_slice())
    }

    /// For each sequence, the place of the one before the last step that it goes on from.
    pub(super) fn sources(&self) -> &[usize] {
        &self.sources
    }

    /// The best sequence's sampled tokens, without the end, their logprobs, and the sum of these and the end's.
    pub(super) fn best(&self) -> (&[u32], &[f32], f32) {
        let sampled = |sequence: &Sequence| sequence.tokens.len() - self.sample_begin;
        let score = |sequence: &Sequence| self.plan.width.score(sequence.sum_logprob, sampled(sequence));
        let candidates = if self.ended.is_empty() { &self.live } else { &self.ended };
        // Of equals the first.
        let best = candidates.iter().rev().max_by(|a, b| score(a).total_cmp(&score(b)));
        best.map_or((&[], &[], 0.0), |best| {
            (&best.tokens[self.sample_begin..], best.logprobs.as_slice(), best.sum_logprob)
        })
    }

    /// Whether the next step may bring rough logits: of one sequence's, only the greatest is asked for.
    pub(super) fn takes_rough(&self) -> bool {
        let Width { beam_size, n_enough, .. } = self.plan.width;
        let is_greedy = self.temperature == 0.0 && beam_size == 1 && n_enough == 1;
        is_greedy && self.no_speech_prob.is_some() && !self.plan.rules.look_closely()
    }

    /// Takes the logits after the last tokens of all sequences, and moves on by one token.
    ///
    /// - `logits`: for each sequence `[k, n_vocab]`: at first the rows from the start of transcript on, then the last
    ///   row. Overwritten.
    /// - `refine`: makes the greatest of them what it is, if they are rough.
    pub(super) fn feed<'a>(&mut self, logits: impl Iterator<Item = &'a mut [f32]>, refine: &mut Refine<'_>) {
        let is_first = self.no_speech_prob.is_none();
        self.sources.clear();
        self.choices.clear();
        for (idx, logits) in logits.enumerate() {
            let plan = &self.plan;
            if self.no_speech_prob.is_none() {
                let at_sot = &logits[..plan.n_vocab];
                let logprob = at_sot[plan.no_speech as usize] - boswell_kernels::log_sum_exp(at_sot);
                self.no_speech_prob = Some(logprob.exp());
            }
            let last_row = logits.len() - plan.n_vocab;
            let logits = &mut logits[last_row..];
            let allowed = plan.rules.apply(logits, &self.live[idx].tokens[self.sample_begin..], refine);
            let choices = &mut self.choices;
            let mut add = |choice| choices.push((idx, choice));
            if self.temperature > 0.0 {
                let n_draws = if is_first { plan.width.best_of } else { 1 };
                let draws = (0..n_draws)
                    .filter_map(|_| sample::draw(logits, &allowed, self.temperature, &mut self.rng));
                draws.for_each(add);
            } else if plan.width.beam_size == 1 && plan.width.n_enough == 1 {
                sample::likeliest(logits, &allowed).into_iter().for_each(&mut add);
            } else {
                sample::best(logits, &allowed, plan.width.beam_size + 1, add);
            }
        }
        let is_single = self.live.len() == 1 && self.choices.len() == 1;
        if is_single || self.temperature > 0.0 {
            self.follow_all();
        } else {
            self.follow_best();
        }
        let len = self.live.first().map_or(0, |sequence| sequence.tokens.len());
        let is_full = len - self.sample_begin.min(len) >= self.plan.sample_len || len > self.plan.n_text_ctx;
        if is_full || self.live.is_empty() {
            self.is_finished = true;
        }
        if self.is_finished {
            self.end();
        }
    }

    /// Every choice is followed: the greedy one, or the draws.
    fn follow_all(&mut self) {
        if let ([sequence], [(_, choice)]) = (self.live.as_mut_slice(), self.choices.as_slice()) {
            // The common case copies nothing.
            sequence.sum_logprob += choice.logprob;
            if choice.token == self.plan.eot as usize {
                self.ended.append(&mut self.live);
            } else {
                sequence.tokens.push(choice.token as u32);
                sequence.logprobs.push(choice.logprob);
                self.sources.push(0);
            }
            return;
        }
        let before = std::mem::take(&mut self.live);
        // What a model cannot go on with ends as it is.
        let has_choice = |idx: usize| self.choices.iter().any(|(source, _)| *source == idx);
        self.ended
            .extend(before.iter().enumerate().filter(|(idx, _)| !has_choice(*idx)).map(|(_, it)| it.clone()));
        for &(source, choice) in &self.choices {
            if choice.token == self.plan.eot as usize {
                self.ended.push(before[source].ended(choice));
            } else {
                self.live.push(before[source].with(choice));
                self.sources.push(source);
            }
        }
    }

    /// The best choices of all sequences are followed, as many as there are beams. Of what ends on the way there, as
    /// much is kept as is enough.
    fn follow_best(&mut self) {
        let Width { beam_size, n_enough, .. } = self.plan.width;
        let before = std::mem::take(&mut self.live);
        let sum = |(source, choice): &(usize, Choice)| before[*source].sum_logprob + choice.logprob;
        self.choices.sort_by(|a, b| sum(b).total_cmp(&sum(a)));
        for &(source, choice) in &self.choices {
            if choice.token == self.plan.eot as usize {
                if self.ended.len() < n_enough {
                    self.ended.push(before[source].ended(choice));
                }
                continue;
            }
            self.live.push(before[source].with(choice));
            self.sources.push(source);
            if self.live.len() == beam_size {
                break;
            }
        }
        self.is_finished = self.ended.len() >= n_enough;
        if self.live.is_empty() {
            self.live = before;
            self.sources.extend(0..self.live.len());
            self.is_finished = true;
        }
    }

    /// What is cut off counts too: all draws, and beams where too few are at their end.
    fn end(&mut self) {
        let wanted = if self.temperature > 0.0 { usize::MAX } else { self.plan.width.beam_size };
        let mut live: Vec<&Sequence> = self.live.iter().collect();
        live.sort_by(|a, b| b.sum_logprob.total_cmp(&a.sum_logprob));
        let missing = wanted.saturating_sub(self.ended.len());
        self.ended.extend(live.into_iter().take(missing).cloned());
    }
}
