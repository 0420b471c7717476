//! A window's tokens, cut into segments at its timestamps.

use std::ops::Range;

use boswell_model::Tokenizer;

use super::{WindowRequest, seconds};
use crate::decode::Decoded;
use crate::{Segment, TokenLogprob};

/// Frames of one step of a timestamp token: 20 ms.
const FRAMES_PER_TIMESTAMP: usize = 2;
/// Seconds of one step of a timestamp token.
const TIMESTAMP_S: f64 = 0.02;

/// The segments of a window, and how far the walk moves on.
#[derive(Debug, PartialEq)]
pub(super) struct Slices {
    /// Their ids are still to be given.
    pub(super) segments: Vec<Segment>,
    /// From the window's start to the next window's.
    pub(super) n_frames: usize,
    /// Whether nothing is said after the last timestamp.
    pub(super) is_closed: bool,
}

impl Slices {
    /// Cuts the tokens between each two timestamps that stand side by side. What follows the last such pair is cut
    /// off speech, and is left to the next window, but where it ends in a timestamp: then nothing follows it.
    ///
    /// - `with_logprobs`: whether segments have [logprobs](Segment::logprobs).
    pub(super) fn new(
        tokenizer: &Tokenizer,
        request: &WindowRequest,
        decoded: &Decoded,
        with_logprobs: bool,
    ) -> Self {
        let window = Window { tokenizer, request, decoded, with_logprobs };
        let tokens = decoded.tokens.as_slice();
        let is_timestamp: Vec<bool> = tokens.iter().map(|&token| window.position(token).is_some()).collect();
        let single_timestamp_ending = is_timestamp.ends_with(&[false, true]);
        let mut ends: Vec<usize> =
            (1..tokens.len()).filter(|&i| is_timestamp[i - 1] && is_timestamp[i]).collect();
        let Some(&last_pair) = ends.last() else {
            return Self {
                segments: vec![window.whole()],
                n_frames: request.n_frames,
                is_closed: single_timestamp_ending,
            };
        };
        let mut n_frames = request.n_frames;
        if single_timestamp_ending {
            ends.push(tokens.len());
        } else {
            n_frames = window.position(tokens[last_pair - 1]).unwrap_or(0) * FRAMES_PER_TIMESTAMP;
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let segments = starts.zip(&ends).map(|(start, &end)| window.slice(start..end)).collect();
        Self { segments, n_frames, is_closed: single_timestamp_ending }
    }
}

/// A decoded window.
struct Window<'a> {
    tokenizer: &'a Tokenizer,
    request: &'a WindowRequest,
    decoded: &'a Decoded,
    with_logprobs: bool,
}

impl Window<'_> {
    /// Steps from the window's start, if `token` is a timestamp.
    fn position(&self, token: u32) -> Option<usize> {
        token.checked_sub(self.tokenizer.special().timestamp_begin).map(|position| position as usize)
    }

    /// The tokens between two pairs of timestamps. A decode without timestamp rules may begin without a timestamp:
    /// then it begins with the window.
    fn slice(&self, places: Range<usize>) -> Segment {
        let tokens = &self.decoded.tokens[places.clone()];
        let time = |token: Option<&u32>| {
            let position = token.and_then(|&token| self.position(token)).unwrap_or(0);
            self.start_s() + position as f64 * TIMESTAMP_S
        };
        self.segment(time(tokens.first()), time(tokens.last()), places)
    }

    /// All tokens: to the last timestamp if there is one, else to the end of the window.
    fn whole(&self) -> Segment {
        let tokens = &self.decoded.tokens;
        let last =
            tokens.iter().rev().find_map(|&token| self.position(token)).filter(|&position| position > 0);
        let window_s = seconds(self.request.n_frames);
        let duration_s = last.map_or(window_s, |position| position as f64 * TIMESTAMP_S);
        self.segment(self.start_s(), self.start_s() + duration_s, 0..tokens.len())
    }

    fn start_s(&self) -> f64 {
        seconds(self.request.seek)
    }

    fn segment(&self, start: f64, end: f64, places: Range<usize>) -> Segment {
        let eot = self.tokenizer.special().eot;
        let (tokens, logprobs) = (&self.decoded.tokens[places.clone()], &self.decoded.logprobs[places]);
        let text_logprobs = tokens.iter().zip(logprobs).filter(|(token, _)| **token < eot);
        let text_logprobs = text_logprobs.map(|(&token, &logprob)| TokenLogprob {
            bytes: self.tokenizer.token_bytes(token).to_vec(),
            logprob,
        });
        let text: Vec<u32> = tokens.iter().copied().filter(|&token| token < eot).collect();
        Segment {
            id: 0,
            seek: self.request.seek,
            start,
            end,
            text: self.tokenizer.decode(&text),
            tokens: tokens.to_vec(),
            temperature: self.decoded.temperature,
            avg_logprob: self.decoded.avg_logprob,
            compression_ratio: self.decoded.compression_ratio,
            no_speech_prob: self.decoded.no_speech_prob,
            words: None,
            logprobs: self.with_logprobs.then(|| text_logprobs.collect()),
        }
    }
}
