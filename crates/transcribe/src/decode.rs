//! Decoding: from the audio features of windows to their tokens.
//!
//! A [`Plan`] says how the windows of a recording are decoded. A [`Hypothesis`] is one sequence of tokens on its
//! way; it takes logits and gives the next token. A [`DecodeRow`] is a hypothesis with its kv-cache, and [`step`]
//! moves any number of rows on by one token, reading each weight once.

mod sample;

use std::sync::Arc;

use boswell_model::{Dims, Model, Row, Scratch, Step, Tokenizer};

use crate::compression::compression_ratio;
use crate::rules::Rules;
use crate::transcript::strip;
use crate::{Error, Options};

/// How the windows of a recording are decoded.
#[derive(Debug)]
pub(crate) struct Plan {
    rules: Rules,
    /// Start of transcript, language, task, and no timestamps if so.
    sot_sequence: Vec<u32>,
    /// Follows the start sequence.
    prefix: Vec<u32>,
    sot_prev: u32,
    eot: u32,
    no_speech: u32,
    n_vocab: usize,
    n_text_ctx: usize,
    /// Most tokens to sample.
    sample_len: usize,
}

/// One sequence of tokens on its way.
#[derive(Debug)]
pub(crate) struct Hypothesis {
    plan: Arc<Plan>,
    /// The start tokens and, from `sample_begin` on, what was sampled.
    tokens: Vec<u32>,
    sample_begin: usize,
    temperature: f32,
    rng: fastrand::Rng,
    sum_logprob: f32,
    no_speech_prob: Option<f32>,
    finished: bool,
}

/// A hypothesis and what the model keeps for it.
pub(crate) struct DecodeRow {
    hypothesis: Hypothesis,
    row: Row,
    logits: Vec<f32>, // [k, n_vocab]: k from the start of transcript on at first, then 1
}

/// What a window was decoded to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decoded {
    /// The sampled tokens, without the end.
    pub(crate) tokens: Vec<u32>,
    pub(crate) temperature: f32,
    /// The logprobs of `tokens` and of the end, divided by their number.
    pub(crate) avg_logprob: f64,
    pub(crate) no_speech_prob: f64,
    pub(crate) compression_ratio: f64,
}

impl Plan {
    /// The plan for a model with `dims`, for speech in `language`, a code that `tokenizer` knows.
    ///
    /// # Errors
    /// [`Error::Option`] if a token to suppress is not in the vocabulary, [`Error::Model`] if the language is not.
    pub(crate) fn new(
        tokenizer: &Tokenizer,
        dims: &Dims,
        language: &str,
        options: &Options,
    ) -> Result<Self, Error> {
        let special = tokenizer.special();
        let mut sot_sequence = tokenizer.sot_sequence(Some(language), options.task)?;
        if options.without_timestamps {
            sot_sequence.push(special.no_timestamps);
        }
        let half_ctx = dims.n_text_ctx / 2;
        let sample_len =
            options.max_new_tokens.filter(|&n| n > 0).unwrap_or(half_ctx).min(dims.n_text_ctx + 1);
        let prefix = options.prefix.as_deref().filter(|text| !text.is_empty());
        let prefix = prefix.map_or_else(Vec::new, |text| encode_prompt(tokenizer, text));
        Ok(Self {
            rules: Rules::new(tokenizer, dims.n_vocab, options)?,
            sot_sequence,
            prefix: last(&prefix, half_ctx as isize - sample_len as isize).to_vec(),
            sot_prev: special.sot_prev,
            eot: special.eot,
            no_speech: special.no_speech,
            n_vocab: dims.n_vocab,
            n_text_ctx: dims.n_text_ctx,
            sample_len,
        })
    }

    /// The tokens that a decode starts from: the end of `prompt`, the start sequence, the prefix.
    ///
    /// # Errors
    /// [`Error::Context`] if they are more than the model's context holds.
    ///
    /// Source: `DecodingTask._get_initial_tokens` in openai/whisper `whisper/decoding.py`.
    pub(crate) fn initial_tokens(&self, prompt: &[u32]) -> Result<Vec<u32>, Error> {
        let mut tokens = Vec::with_capacity(self.n_text_ctx + 1);
        if !prompt.is_empty() {
            tokens.push(self.sot_prev);
            tokens.extend_from_slice(last(prompt, (self.n_text_ctx / 2) as isize - 1));
        }
        tokens.extend_from_slice(&self.sot_sequence);
        tokens.extend_from_slice(&self.prefix);
        if tokens.len() > self.n_text_ctx {
            return Err(Error::Context { found: tokens.len(), limit: self.n_text_ctx });
        }
        Ok(tokens)
    }
}

impl Hypothesis {
    /// A hypothesis of which nothing is sampled yet.
    ///
    /// - `seed`: where the draws at temperatures above 0 start.
    ///
    /// # Errors
    /// [`Error::Context`] as [`Plan::initial_tokens`].
    pub(crate) fn new(plan: Arc<Plan>, prompt: &[u32], temperature: f32, seed: u64) -> Result<Self, Error> {
        let tokens = plan.initial_tokens(prompt)?;
        let sample_begin = tokens.len();
        let rng = fastrand::Rng::with_seed(seed);
        Ok(Self {
            plan,
            tokens,
            sample_begin,
            temperature,
            rng,
            sum_logprob: 0.0,
            no_speech_prob: None,
            finished: false,
        })
    }

    /// The number of positions from the start of transcript to the last start token: of the first their logits say
    /// whether there is speech, of the last what comes next.
    fn n_first_logits(&self) -> usize {
        self.plan.sot_sequence.len() + self.plan.prefix.len()
    }

    /// Takes the logits after the last tokens and appends the next token, or finishes.
    ///
    /// - `logits`: `[k, n_vocab]`: at first the rows from the start of transcript on, then the last row. Overwritten.
    fn feed(&mut self, logits: &mut [f32]) {
        let plan = &self.plan;
        if self.no_speech_prob.is_none() {
            let at_sot = &logits[..plan.n_vocab];
            let logprob = at_sot[plan.no_speech as usize] - boswell_kernels::log_sum_exp(at_sot);
            self.no_speech_prob = Some(logprob.exp());
        }
        let last_row = logits.len() - plan.n_vocab;
        let logits = &mut logits[last_row..];
        let allowed = plan.rules.apply(logits, &self.tokens[self.sample_begin..]);
        let Some((token, logprob)) = sample::choose(logits, &allowed, self.temperature, &mut self.rng) else {
            self.finished = true;
            return;
        };
        self.sum_logprob += logprob;
        if token == plan.eot as usize {
            self.finished = true;
            return;
        }
        self.tokens.push(token as u32);
        let n_sampled = self.tokens.len() - self.sample_begin;
        self.finished = n_sampled >= plan.sample_len || self.tokens.len() > plan.n_text_ctx;
    }
}

impl DecodeRow {
    /// A hypothesis about the window whose cross-attention `row` holds.
    pub(crate) fn new(hypothesis: Hypothesis, row: Row) -> Self {
        let logits = vec![0.0; hypothesis.n_first_logits() * hypothesis.plan.n_vocab];
        Self { hypothesis, row, logits }
    }

    /// Whether the end of the text, or of the room for it, was reached.
    pub(crate) fn is_finished(&self) -> bool {
        self.hypothesis.finished
    }

    /// What has been decoded.
    pub(crate) fn decoded(&self, tokenizer: &Tokenizer) -> Decoded {
        let Hypothesis { tokens, sample_begin, temperature, sum_logprob, no_speech_prob, .. } =
            &self.hypothesis;
        let tokens = tokens[*sample_begin..].to_vec();
        Decoded {
            temperature: *temperature,
            avg_logprob: f64::from(*sum_logprob) / (tokens.len() + 1) as f64,
            no_speech_prob: no_speech_prob.map_or(0.0, f64::from),
            compression_ratio: compression_ratio(strip(&tokenizer.decode(&tokens))),
            tokens,
        }
    }

    /// The row over the window, for another hypothesis: without tokens.
    pub(crate) fn into_row(mut self) -> Row {
        self.row.truncate(0);
        self.row
    }
}

/// Moves all rows that are not finished on by one token.
pub(crate) fn step(model: &Model, rows: &mut [&mut DecodeRow], scratch: &mut Scratch) {
    let mut steps: Vec<Step<'_>> = Vec::with_capacity(rows.len());
    for DecodeRow { hypothesis, row, logits } in rows.iter_mut().filter(|row| !row.is_finished()) {
        let tokens = &hypothesis.tokens[row.n_tokens()..];
        steps.push(Step { row, tokens, logits });
    }
    model.decode(&mut steps, scratch);
    for DecodeRow { hypothesis, logits, .. } in rows.iter_mut().filter(|row| !row.is_finished()) {
        hypothesis.feed(logits);
        logits.truncate(hypothesis.plan.n_vocab);
    }
}

/// The tokens of a text that is put before what the model writes.
pub(crate) fn encode_prompt(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(&format!(" {}", strip(text)))
}

/// `tokens[-n:]` as Python reads it: the last `n`; all for 0; all but the first `-n` for less.
pub(crate) fn last(tokens: &[u32], n: isize) -> &[u32] {
    let skipped =
        if n > 0 { tokens.len().saturating_sub(n as usize) } else { n.unsigned_abs().min(tokens.len()) };
    &tokens[skipped..]
}

#[cfg(test)]
mod tests;
