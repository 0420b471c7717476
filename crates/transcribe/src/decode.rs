//! Decoding: from the audio features of windows to their tokens.
//!
//! A [`Plan`] says how the windows of a recording are decoded. A [`Search`] is one window's: it takes the logits of its
//! sequences and says how they go on, greedily, in beams, or by draws. A [`Decode`] is a search with the kv-caches of
//! its sequences, and [`step`] moves any number of them on by one token, reading each weight once.

mod sample;
mod search;

use std::ops::Range;
use std::sync::Arc;

use boswell_model::{Dims, Model, Row, Scratch, Step, Tokenizer};

use crate::compression::compression_ratio;
use crate::rules::Rules;
use crate::transcript::strip;
use crate::{Error, Options};
use search::{Search, Width};

/// How the windows of a recording are decoded.
#[derive(Debug)]
pub(crate) struct Plan {
    rules: Rules,
    width: Width,
    /// Start of transcript, language, task, and no timestamps if so.
    sot_sequence: Vec<u32>,
    /// Follows the start sequence.
    prefix: Vec<u32>,
    /// Precedes the text before.
    hotwords: Vec<u32>,
    sot_prev: u32,
    eot: u32,
    no_speech: u32,
    n_vocab: usize,
    n_text_ctx: usize,
    /// Most tokens to sample.
    sample_len: usize,
}

/// A window on its way, and what the model keeps for it.
pub(crate) struct Decode {
    search: Search,
    rows: Vec<DecodeRow>, // one for each sequence that is not at its end
    /// Rows whose sequences ended or were given up.
    spare: Vec<DecodeRow>,
}

/// What the model keeps for one sequence.
struct DecodeRow {
    row: Row,
    /// What the row was fed.
    fed: Vec<u32>,
}

/// What [`step`] computes with; grows to the largest step and is used again.
#[derive(Default)]
pub(crate) struct StepScratch {
    model: Scratch,
    /// Of each sequence `[k, n_vocab]`: k from the start of transcript on at first, then 1.
    logits: Vec<f32>,
}

/// What a window was decoded to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decoded {
    /// The sampled tokens, without the end.
    pub(crate) tokens: Vec<u32>,
    /// Those of `tokens`, one for each.
    pub(crate) logprobs: Vec<f32>,
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
    /// [`Error::Option`] if a token to suppress is not in the vocabulary or another option has no sense,
    /// [`Error::Model`] if the language is not in the vocabulary.
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
        let encoded = |text: &Option<String>| {
            let text = text.as_deref().filter(|text| !strip(text).is_empty());
            text.map_or_else(Vec::new, |text| encode_prompt(tokenizer, text))
        };
        let (prefix, mut hotwords) = (encoded(&options.prefix), encoded(&options.hotwords));
        hotwords.truncate(half_ctx - 1);
        Ok(Self {
            rules: Rules::new(tokenizer, dims.n_vocab, options)?,
            width: Width::new(options)?,
            sot_sequence,
            prefix: last(&prefix, half_ctx as isize - sample_len as isize).to_vec(),
            hotwords,
            sot_prev: special.sot_prev,
            eot: special.eot,
            no_speech: special.no_speech,
            n_vocab: dims.n_vocab,
            n_text_ctx: dims.n_text_ctx,
            sample_len,
        })
    }

    /// The tokens that a decode starts from: hotwords and the end of `prompt`, the start sequence, the prefix.
    ///
    /// # Errors
    /// [`Error::Context`] if they are more than the model's context holds.
    ///
    /// Source: `DecodingTask._get_initial_tokens` in openai/whisper `whisper/decoding.py`.
    pub(crate) fn initial_tokens(&self, prompt: &[u32]) -> Result<Vec<u32>, Error> {
        let mut tokens = Vec::with_capacity(self.n_text_ctx + 1);
        if !prompt.is_empty() || !self.hotwords.is_empty() {
            tokens.push(self.sot_prev);
            tokens.extend_from_slice(&self.hotwords);
            let room = self.n_text_ctx / 2 - 1 - self.hotwords.len();
            tokens.extend_from_slice(&prompt[prompt.len().saturating_sub(room)..]);
        }
        tokens.extend_from_slice(&self.sot_sequence);
        tokens.extend_from_slice(&self.prefix);
        if tokens.len() > self.n_text_ctx {
            return Err(Error::Context { found: tokens.len(), limit: self.n_text_ctx });
        }
        Ok(tokens)
    }
}

impl Decode {
    /// A decode of the window whose cross-attention `row` holds, of which nothing is sampled yet.
    ///
    /// - `seed`: where the draws at temperatures above 0 start.
    ///
    /// # Errors
    /// [`Error::Context`] as [`Plan::initial_tokens`].
    pub(crate) fn new(
        plan: Arc<Plan>,
        prompt: &[u32],
        temperature: f32,
        seed: u64,
        row: Row,
    ) -> Result<Self, Error> {
        let search = Search::new(plan, prompt, temperature, seed)?;
        let rows = vec![DecodeRow { row, fed: Vec::new() }];
        Ok(Self { search, rows, spare: Vec::new() })
    }

    /// Whether the end of the text, or of the room for it, was reached.
    pub(crate) fn is_finished(&self) -> bool {
        self.search.is_finished()
    }

    /// What has been decoded.
    pub(crate) fn decoded(&self, tokenizer: &Tokenizer) -> Decoded {
        let (tokens, logprobs, sum_logprob) = self.search.best();
        Decoded {
            temperature: self.search.temperature(),
            avg_logprob: f64::from(sum_logprob) / (tokens.len() + 1) as f64,
            no_speech_prob: self.search.no_speech_prob().map_or(0.0, f64::from),
            compression_ratio: compression_ratio(strip(&tokenizer.decode(tokens))),
            tokens: tokens.to_vec(),
            logprobs: logprobs.to_vec(),
        }
    }

    /// A row over the window, for another decode: without tokens. The memory of the others goes to the model.
    pub(crate) fn into_row(self, model: &Model) -> Row {
        let mut rows = self.rows.into_iter().chain(self.spare).map(|row| row.row);
        let mut row = rows.next().expect("a decode never loses its last row");
        rows.for_each(|row| model.reclaim(row));
        row.truncate(0);
        row
    }

    /// Takes the logits of all rows, and puts the rows where their sequences went.
    fn feed(&mut self, model: &Model, logits: &mut [f32], scratch: &Scratch) {
        let n_logits = self.search.n_logits() * model.dims().n_vocab;
        let refine = &mut |among: Range<usize>, logits: &mut [f32]| model.refine(scratch, among, logits);
        self.search.feed(logits.chunks_exact_mut(n_logits), refine);
        let sources = self.search.sources();
        if sources.iter().copied().eq(0..self.rows.len()) {
            return;
        }
        // The first of those that go on from a sequence keeps its row; the others copy what differs into rows that
        // nobody goes on from.
        let mut old: Vec<Option<DecodeRow>> = self.rows.drain(..).map(Some).collect();
        let mut new: Vec<Option<DecodeRow>> = sources.iter().map(|&source| old[source].take()).collect();
        self.spare.extend(old.into_iter().flatten());
        for idx in 0..new.len() {
            if new[idx].is_none() {
                let same = sources.iter().position(|source| *source == sources[idx]);
                let origin = same.and_then(|first| new[first].as_ref()).expect("the first heir has the row");
                let copy = match self.spare.pop() {
                    Some(mut spare) => {
                        spare.follow(origin);
                        spare
                    }
                    None => DecodeRow { row: model.fork(&origin.row), fed: origin.fed.clone() },
                };
                new[idx] = Some(copy);
            }
        }
        self.rows.extend(new.into_iter().flatten());
    }
}

impl DecodeRow {
    fn follow(&mut self, other: &Self) {
        let n_same = self.fed.iter().zip(&other.fed).take_while(|(x, y)| x == y).count();
        self.row.follow(&other.row, n_same);
        self.fed.truncate(n_same);
        self.fed.extend_from_slice(&other.fed[n_same..]);
    }
}

/// Moves all windows that are not finished on by one token.
pub(crate) fn step(model: &Model, decodes: &mut [&mut Decode], scratch: &mut StepScratch) {
    let n_vocab = model.dims().n_vocab;
    let n_logits = |decode: &Decode| decode.rows.len() * decode.search.n_logits() * n_vocab;
    let n_all = decodes.iter().filter(|decode| !decode.is_finished()).map(|decode| n_logits(decode)).sum();
    if scratch.logits.len() < n_all {
        scratch.logits.resize(n_all, 0.0);
    }
    let logits = &mut scratch.logits[..n_all];
    let mut steps: Vec<Step<'_>> = Vec::with_capacity(decodes.len());
    let mut take_rough = true;
    for decode in decodes.iter_mut().filter(|decode| !decode.is_finished()) {
        let n_logits = decode.search.n_logits();
        take_rough &= decode.search.takes_rough();
        for (DecodeRow { row, fed }, tokens) in decode.rows.iter_mut().zip(decode.search.sequences()) {
            let tokens = &tokens[fed.len()..];
            fed.extend_from_slice(tokens);
            steps.push(Step { row, tokens, n_logits });
        }
    }
    match steps.as_mut_slice() {
        [step] if take_rough => model.decode_roughly(step, logits, &mut scratch.model),
        steps => model.decode(steps, logits, &mut scratch.model),
    }
    let mut rest = logits;
    for decode in decodes.iter_mut().filter(|decode| !decode.is_finished()) {
        let logits = rest.split_off_mut(..n_logits(decode)).expect("there is room for the logits of all");
        decode.feed(model, logits, &scratch.model);
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
