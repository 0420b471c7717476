//! The walk over a recording, window by window.
//!
//! [`Walk`] decides and computes nothing: it says which window to decode and how ([`Walk::request`]), takes what the
//! decode gave ([`Walk::accept`]) and hands out the segments. Whoever drives it may decode the windows of several
//! walks together.

mod slices;

use boswell_model::Tokenizer;

use crate::decode::{Decoded, encode_prompt, last};
use crate::transcript::strip;
use crate::{Error, Options, Segment};
use slices::Slices;

/// Frames of 10 ms that the encoder sees at once.
pub(crate) const WINDOW_FRAMES: usize = 3000;
/// Frames in a second.
pub(crate) const FRAMES_PER_SECOND: usize = 100;
/// A decode that ends where its window began makes no headway; so many in a row are too many.
const MAX_STALLS: usize = 5;

/// The state of a walk.
///
/// Source: `transcribe` in openai/whisper `whisper/transcribe.py`.
pub(crate) struct Walk<'a> {
    tokenizer: &'a Tokenizer,
    options: &'a Options,
    n_text_ctx: usize,
    /// First frame and end of each clip that is left.
    clips: std::vec::IntoIter<(usize, usize)>,
    /// First frame and end of the clip that the walk is in.
    clip: (usize, usize),
    /// Frames of the clips that are behind.
    n_frames_before: usize,
    /// First frame of the next window.
    seek: usize,
    n_stalls: usize,
    /// Index of the temperature to try on the window.
    attempt: usize,
    n_segments: usize,
    /// The initial prompt, then the tokens of all segments so far.
    tokens: Vec<u32>,
    n_initial_prompt: usize,
    /// Where in `tokens` begins what the model may see.
    prompt_reset_since: usize,
}

/// A window to decode.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WindowRequest {
    /// First frame.
    pub(crate) seek: usize,
    /// Frames of the recording that are in the window; the rest is to be zero.
    pub(crate) n_frames: usize,
    pub(crate) temperature: f32,
    /// The text before, as tokens.
    pub(crate) prompt: Vec<u32>,
}

impl<'a> Walk<'a> {
    /// A walk over clips of a recording: the first frame and the end of each.
    ///
    /// # Errors
    /// [`Error::Option`] if there are no temperatures or one is below 0.
    pub(crate) fn over(
        tokenizer: &'a Tokenizer,
        n_text_ctx: usize,
        clips: Vec<(usize, usize)>,
        options: &'a Options,
    ) -> Result<Self, Error> {
        let (found, expected) =
            (format!("{:?}", options.temperatures), "one number or more, 0 or above".into());
        if options.temperatures.is_empty() || !options.temperatures.iter().all(|t| t.is_finite() && *t >= 0.0)
        {
            return Err(Error::Option { name: "temperatures", found, expected });
        }
        let prompt = options.initial_prompt.as_deref();
        let tokens = prompt.map_or_else(Vec::new, |text| encode_prompt(tokenizer, text));
        Ok(Self {
            tokenizer,
            options,
            n_text_ctx,
            clips: clips.into_iter(),
            clip: (0, 0),
            n_frames_before: 0,
            seek: 0,
            n_stalls: 0,
            attempt: 0,
            n_segments: 0,
            n_initial_prompt: tokens.len(),
            prompt_reset_since: 0,
            tokens,
        })
    }

    /// The window to decode next; `None` at the end.
    pub(crate) fn request(&mut self) -> Option<WindowRequest> {
        while self.seek >= self.clip.1 {
            let next = self.clips.next()?;
            self.n_frames_before += self.clip.1.saturating_sub(self.clip.0);
            self.clip = next;
            self.seek = next.0;
        }
        Some(WindowRequest {
            seek: self.seek,
            n_frames: WINDOW_FRAMES.min(self.clip.1 - self.seek),
            temperature: self.options.temperatures[self.attempt],
            prompt: self.prompt(),
        })
    }

    /// Takes the decode of the window that was requested last.
    ///
    /// Returns the segments found: none if the window is silent, or is to be decoded again at the next temperature.
    pub(crate) fn accept(&mut self, request: &WindowRequest, decoded: &Decoded) -> Vec<Segment> {
        if self.needs_fallback(decoded) && self.attempt + 1 < self.options.temperatures.len() {
            self.attempt += 1;
            return Vec::new();
        }
        self.attempt = 0;
        if self.is_silent(decoded) {
            self.seek += request.n_frames;
            return Vec::new();
        }
        let slices = Slices::new(self.tokenizer, request, decoded);
        self.commit(request, decoded, slices)
    }

    /// How many frames of its clips the walk has behind it.
    pub(crate) fn n_frames_done(&self) -> usize {
        self.n_frames_before + self.seek.min(self.clip.1).saturating_sub(self.clip.0)
    }

    /// The text of all segments so far.
    pub(crate) fn text(&self) -> String {
        self.tokenizer.decode(&self.tokens[self.n_initial_prompt..])
    }

    /// Moves on, and makes a window's segments part of the transcript.
    fn commit(&mut self, request: &WindowRequest, decoded: &Decoded, slices: Slices) -> Vec<Segment> {
        self.n_stalls = if slices.n_frames == 0 { self.n_stalls + 1 } else { 0 };
        let gives_up = self.n_stalls > MAX_STALLS;
        self.seek += if gives_up { request.n_frames } else { slices.n_frames };

        let mut segments = slices.segments;
        for segment in &mut segments {
            if segment.start == segment.end || strip(&segment.text).is_empty() {
                segment.text.clear();
                segment.tokens.clear();
                segment.words = Some(Vec::new());
            }
            segment.id = self.n_segments;
            self.n_segments += 1;
            self.tokens.extend_from_slice(&segment.tokens);
        }
        if !self.options.condition_on_previous_text
            || decoded.temperature > self.options.prompt_reset_on_temperature
        {
            self.prompt_reset_since = self.tokens.len();
        }
        segments
    }

    /// The text before the window, as much as it may see of it.
    fn prompt(&self) -> Vec<u32> {
        if !self.options.carry_initial_prompt {
            return self.tokens[self.prompt_reset_since..].to_vec();
        }
        let n_left = (self.n_text_ctx / 2) as isize - 1 - self.n_initial_prompt as isize;
        let since = self.n_initial_prompt.max(self.prompt_reset_since);
        [&self.tokens[..self.n_initial_prompt], last(&self.tokens[since..], n_left)].concat()
    }

    /// Whether a decode is too bad to be taken, and not because nothing is said.
    fn needs_fallback(&self, decoded: &Decoded) -> bool {
        let Options { compression_ratio_threshold, logprob_threshold, no_speech_threshold, .. } =
            self.options;
        let improbable = logprob_threshold.is_some_and(|limit| decoded.avg_logprob < limit);
        let repetitive = compression_ratio_threshold.is_some_and(|limit| decoded.compression_ratio > limit);
        let speechless = no_speech_threshold.is_some_and(|limit| decoded.no_speech_prob > limit);
        (improbable || repetitive) && !(improbable && speechless)
    }

    /// Whether nothing is said in the window.
    fn is_silent(&self, decoded: &Decoded) -> bool {
        let Options { logprob_threshold, no_speech_threshold, .. } = self.options;
        let speechless = no_speech_threshold.is_some_and(|limit| decoded.no_speech_prob > limit);
        let confident = logprob_threshold.is_some_and(|limit| decoded.avg_logprob > limit);
        speechless && !confident
    }
}

#[cfg(test)]
mod tests;
