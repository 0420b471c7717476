//! Word times, from where the decoder looks in the audio while it writes.
//!
//! The decoder is fed a window's text once more, without timestamps or with them, as the model wants it; some heads of
//! its cross-attention follow the audio. Their scores are normalised and smoothed into a [`Matrix`], and the best way
//! through it that never goes back, [`warp`], says when each token is spoken. [`words`] makes timed words of that.

mod matrix;
mod warp;
mod words;

use boswell_kernels::{exp_sum, max};
use boswell_model::{Model, Row, Scratch, Step, Watch};

use crate::windows::WindowRequest;
use crate::{Options, Segment};
use matrix::Matrix;
use words::Timing;

/// Tokens that are fed at once: their logits are all kept.
const CHUNK: usize = 32;
/// Audio features in a second.
const FEATURES_PER_SECOND: f64 = 50.0;

/// Finds the times of words.
pub(crate) struct Aligner<'a> {
    model: &'a Model,
    options: &'a Options,
    language: String,
    /// Start of transcript, language, task, and no timestamps if so.
    start: Vec<u32>,
    scratch: Scratch,
    scores: Vec<f32>, // [n_tokens, n_heads, n_ctx]
    logits: Vec<f32>, // [CHUNK, n_vocab]
}

impl<'a> Aligner<'a> {
    /// An aligner for text in `language`, a code that the model knows.
    ///
    /// # Errors
    /// [`boswell_model::Error::Language`] if it does not.
    pub(crate) fn new(
        model: &'a Model,
        language: &str,
        options: &'a Options,
    ) -> Result<Self, boswell_model::Error> {
        let tokenizer = model.tokenizer();
        let mut start = tokenizer.sot_sequence(Some(language), options.task)?;
        if !model.generation().align_with_timestamps {
            start.push(tokenizer.special().no_timestamps);
        }
        let (scratch, scores, logits) = Default::default();
        Ok(Self { model, options, language: language.to_owned(), start, scratch, scores, logits })
    }

    /// Gives the segments of a window their words, and fits the times of both to each other.
    ///
    /// - `row`: over the window, without tokens; it has none afterwards.
    /// - `last_speech_s`: when the last word before the window ended.
    ///
    /// Source: `add_word_timestamps` in openai/whisper `whisper/timing.py`.
    pub(crate) fn add_words(
        &mut self,
        row: &mut Row,
        request: &WindowRequest,
        segments: &mut [Segment],
        last_speech_s: f64,
    ) {
        let eot = self.model.tokenizer().special().eot;
        let with_timestamps = self.model.generation().align_with_timestamps;
        let tokens = segments.iter().flat_map(|segment| &segment.tokens).copied();
        let said: Vec<u32> = tokens.filter(|&token| token < eot || with_timestamps).collect();
        let timings = self.align(row, request.n_frames, &said);
        words::add(segments, timings, eot, last_speech_s, self.options);
    }

    /// The words of a window, timed from the window's start.
    ///
    /// - `said`: the text tokens, and timestamps among them if the model wants to see them.
    ///
    /// Source: `find_alignment` in openai/whisper `whisper/timing.py`.
    fn align(&mut self, row: &mut Row, n_frames: usize, said: &[u32]) -> Vec<Timing> {
        let eot = self.model.tokenizer().special().eot;
        let text: Vec<u32> = said.iter().copied().filter(|&token| token < eot).collect();
        if text.is_empty() {
            return Vec::new();
        }
        // What does not fit beside the start and the end is said when the rest is over.
        let room = self.model.dims().n_text_ctx - self.start.len() - 1;
        let aligned = &said[..said.len().min(room)];
        let Fed { matrix, mut probabilities } = self.feed(row, n_frames, aligned);
        let mut times: Vec<f64> = if matrix.n_columns == 1 {
            // There is no choice, and in openai/whisper no number either: it comes out before the window.
            vec![-1.0 / FEATURES_PER_SECOND; aligned.len() + 1]
        } else {
            let path = warp::path(&matrix.negated());
            path.first_columns().map(|idx| idx as f64 / FEATURES_PER_SECOND).collect()
        };
        times.resize(said.len() + 1, times.last().copied().unwrap_or(0.0));
        probabilities.resize(text.len(), 0.0);
        if self.model.generation().align_with_timestamps {
            anchor(said, self.model.tokenizer().special().timestamp_begin, &mut times);
        }
        let spans = said.iter().zip(times.windows(2)).filter(|(token, _)| **token < eot);
        let spans: Vec<(f64, f64)> = spans.map(|(_, times)| (times[0], times[1])).collect();
        self.words_of(&text, &spans, &probabilities)
    }

    /// Feeds what was said, and keeps what heads look at and how probable each text token is.
    fn feed(&mut self, row: &mut Row, n_frames: usize, said: &[u32]) -> Fed {
        let (dims, eot) = (self.model.dims(), self.model.tokenizer().special().eot as usize);
        let heads = self.model.generation().alignment_heads.as_slice();
        let n_ctx = (n_frames / 2).clamp(1, dims.n_audio_ctx);
        let tokens = [&self.start, said, &[eot as u32]].concat();
        let Self { scores, logits, scratch, .. } = self;
        scores.resize(tokens.len() * heads.len() * n_ctx, 0.0);
        logits.resize(CHUNK * dims.n_vocab, 0.0);
        let mut probabilities = Vec::with_capacity(said.len());
        let mut next = tokens.iter().enumerate().skip(1);
        for (tokens, scores) in tokens.chunks(CHUNK).zip(scores.chunks_mut(CHUNK * heads.len() * n_ctx)) {
            let logits = &mut logits[..tokens.len() * dims.n_vocab];
            let step = Step { row: &mut *row, tokens, n_logits: tokens.len() };
            self.model.decode_watched(&mut [step], Watch { heads, n_ctx, scores }, logits, scratch);
            for (logits, (position, &next)) in logits.chunks(dims.n_vocab).zip(&mut next) {
                if (next as usize) < eot && position >= self.start.len() {
                    probabilities.push(probability(&logits[..eot], next as usize));
                }
            }
        }
        row.truncate(0);
        let matrix = Matrix::of_attention(scores, heads.len(), n_ctx);
        // Each row says when the token after it is spoken: the last start token's row is the first of the text.
        Fed { matrix: matrix.rows(self.start.len() - 1..tokens.len() - 1), probabilities }
    }

    /// Text tokens as words.
    ///
    /// - `spans`: `[n_tokens]`: when each token is spoken.
    /// - `probabilities`: `[n_tokens]`
    fn words_of(&self, text: &[u32], spans: &[(f64, f64)], probabilities: &[f64]) -> Vec<Timing> {
        let tokenizer = self.model.tokenizer();
        // With the end behind it the last word is split off as any other.
        let with_end = [text, &[tokenizer.special().eot]].concat();
        let mut words = tokenizer.split_to_word_tokens(&with_end, Some(&self.language));
        words.pop();
        let mut at = 0;
        let timed = words.into_iter().map(|word| {
            let tokens = at..at + word.tokens.len();
            at = tokens.end;
            let sum: f64 = probabilities[tokens.clone()].iter().sum();
            Timing {
                start: spans[tokens.start].0,
                end: spans[tokens.end - 1].1,
                probability: sum / tokens.len() as f64,
                n_tokens: tokens.len(),
                word: word.text,
            }
        });
        timed.collect()
    }
}

/// What comes of feeding a text.
struct Fed {
    matrix: Matrix,          // [n_said + 1, n_ctx]
    probabilities: Vec<f64>, // [n_text_tokens]
}

/// Lets text begin and end with the timestamps beside it, and keeps what is between two within them.
///
/// - `begin`: the first timestamp.
/// - `times`: `[n_said + 1]`: when each token begins, and the last one ends.
fn anchor(said: &[u32], begin: u32, times: &mut [f64]) {
    let stamp = |token: u32| token.checked_sub(begin).map(|idx| f64::from(idx) / FEATURES_PER_SECOND);
    let mut earliest = 0.0;
    for (idx, &token) in said.iter().enumerate() {
        if let Some(time) = stamp(token) {
            // It takes no time: what is before it ends there, what is after it begins.
            times[idx] = time;
            times[idx + 1] = time;
            earliest = time;
        } else {
            let next = said[idx..].iter().find_map(|&token| stamp(token));
            times[idx + 1] = times[idx + 1].clamp(earliest, next.unwrap_or(f64::MAX).max(earliest));
        }
    }
}

/// The probability of a token among text tokens.
fn probability(logits: &[f32], token: usize) -> f64 {
    let greatest = max(logits);
    f64::from((logits[token] - greatest).exp() / exp_sum(logits, greatest))
}

#[cfg(test)]
mod tests;
