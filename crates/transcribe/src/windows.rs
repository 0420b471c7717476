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
    /// Frames of the recording.
    n_frames: usize,
    /// First frame and end of each part that is left, the current one first.
    clips: std::vec::IntoIter<(usize, usize)>,
    clip_end: usize,
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
    /// A walk over a recording of `n_frames` frames.
    ///
    /// # Errors
    /// [`Error::Option`] if there are no temperatures or one is below 0, or if a clip's time is below 0.
    pub(crate) fn new(
        tokenizer: &'a Tokenizer,
        n_text_ctx: usize,
        n_frames: usize,
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
            n_frames,
            clips: clips(&options.clip_timestamps, n_frames)?.into_iter(),
            clip_end: 0,
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
        while self.seek >= self.clip_end {
            (self.seek, self.clip_end) = self.clips.next()?;
        }
        Some(WindowRequest {
            seek: self.seek,
            n_frames: WINDOW_FRAMES.min(self.clip_end - self.seek),
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

    /// The frame that the walk has come to.
    pub(crate) fn position(&self) -> usize {
        self.seek.min(self.n_frames)
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
        if !self.options.condition_on_previous_text || decoded.temperature > 0.5 {
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

/// The parts to transcribe, in frames, within the recording.
fn clips(timestamps: &[f64], n_frames: usize) -> Result<Vec<(usize, usize)>, Error> {
    if let Some(bad) = timestamps.iter().find(|time_s| !(time_s.is_finite() && **time_s >= 0.0)) {
        let (found, expected) = (format!("{bad}"), "seconds, 0 or above".into());
        return Err(Error::Option { name: "clip_timestamps", found, expected });
    }
    let to_frame = |time_s: &f64| (time_s * FRAMES_PER_SECOND as f64).round_ties_even() as usize;
    let mut points: Vec<usize> = timestamps.iter().map(to_frame).collect();
    if points.is_empty() {
        points.push(0);
    }
    if points.len() % 2 == 1 {
        points.push(n_frames);
    }
    // Past the end there is nothing to decode, and a window there would not move the walk on.
    Ok(points.chunks_exact(2).map(|pair| (pair[0], pair[1].min(n_frames))).collect())
}

#[cfg(test)]
mod tests;
