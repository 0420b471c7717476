//! The walk over a recording, window by window.
//!
//! [`Walk`] decides and computes nothing: it says which window to decode and how ([`Walk::request`]), takes what the
//! decode gave ([`Walk::accept`]) and hands out the segments. Whoever drives it may decode the windows of several
//! walks together. What it does not take, since most likely nobody said it, it hands out too.

mod loops;
mod phrases;
mod silence;
mod slices;

use std::sync::Arc;

use boswell_model::Tokenizer;

use crate::decode::{Decoded, encode_prompt, last};
use crate::transcript::strip;
use crate::{DropReason, Dropped, Error, Options, Segment};
pub(crate) use phrases::Phrases;
use silence::{Skip, Surroundings};
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
    phrases: Arc<Phrases>,
    n_text_ctx: usize,
    /// Where the recording, or the part of it that is walked on its own, ends.
    end: usize,
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
    /// The best decode of the window that failed, and whether its text repeats itself.
    best_failed: Option<(bool, Decoded)>,
    n_segments: usize,
    /// The initial prompt, then the tokens of all segments so far.
    tokens: Vec<u32>,
    n_initial_prompt: usize,
    /// Where in `tokens` begins what the model may see.
    prompt_reset_since: usize,
    /// When the last word ended, in seconds.
    last_speech_s: f64,
}

/// What is walked over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// First frame and end of each clip.
    pub(crate) clips: Vec<(usize, usize)>,
    /// First frame and end of what the clips are cut out of.
    pub(crate) whole: (usize, usize),
}

/// A window to decode.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WindowRequest {
    /// First frame.
    pub(crate) seek: usize,
    /// Frames of the recording that are in the window; the rest is to be zero.
    pub(crate) n_frames: usize,
    /// Whether a decode of the window has failed.
    pub(crate) is_again: bool,
    pub(crate) temperature: f32,
    /// The text before, as tokens.
    pub(crate) prompt: Vec<u32>,
}

/// What came of a window.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) segments: Vec<Segment>,
    /// What was not taken.
    pub(crate) dropped: Vec<Dropped>,
}

impl<'a> Walk<'a> {
    /// A walk over clips of a recording.
    ///
    /// # Errors
    /// [`Error::Option`] if there are no temperatures or one is below 0.
    pub(crate) fn over(
        tokenizer: &'a Tokenizer,
        n_text_ctx: usize,
        route: Route,
        phrases: Arc<Phrases>,
        options: &'a Options,
    ) -> Result<Self, Error> {
        let (found, expected) =
            (format!("{:?}", options.temperatures), "one number or more, 0 or above".into());
        if options.temperatures.is_empty() || !options.temperatures.iter().all(|t| t.is_finite() && *t >= 0.0)
        {
            return Err(Error::Option { name: "temperatures", found, expected });
        }
        if let Some(bad) =
            options.hallucination_silence_threshold.filter(|limit| limit.is_nan() || *limit < 0.0)
        {
            let (found, expected) = (format!("{bad}"), "seconds, 0 or above".into());
            return Err(Error::Option { name: "hallucination_silence_threshold", found, expected });
        }
        let prompt = options.initial_prompt.as_deref();
        let tokens = prompt.map_or_else(Vec::new, |text| encode_prompt(tokenizer, text));
        Ok(Self {
            tokenizer,
            options,
            phrases,
            n_text_ctx,
            end: route.whole.1,
            last_speech_s: seconds(route.whole.0),
            clips: route.clips.into_iter(),
            clip: (0, 0),
            n_frames_before: 0,
            seek: 0,
            n_stalls: 0,
            attempt: 0,
            best_failed: None,
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
            is_again: self.attempt > 0,
            temperature: self.options.temperatures[self.attempt],
            prompt: self.prompt(),
        })
    }

    /// Takes the decode of the window that was requested last.
    ///
    /// - `add_words`: gives segments their words, told when the last word before ended; called only if words are
    ///   asked for.
    ///
    /// Returns the segments found: none if the window is silent, or is to be decoded again at the next temperature.
    pub(crate) fn accept(
        &mut self,
        request: &WindowRequest,
        decoded: &Decoded,
        add_words: impl FnOnce(&mut [Segment], f64),
    ) -> Found {
        let has_failed = self.needs_fallback(decoded);
        if has_failed && self.options.keep_best_failed {
            self.compare_failed(decoded);
        }
        if has_failed && self.attempt + 1 < self.options.temperatures.len() {
            self.attempt += 1;
            return Found::default();
        }
        self.attempt = 0;
        let last_temperature = decoded.temperature;
        let best_failed = self.best_failed.take().filter(|_| has_failed);
        let decoded = best_failed.as_ref().map_or(decoded, |(_, best)| best);
        let mut slices = Slices::new(self.tokenizer, request, decoded, self.options.token_logprobs);
        let reason = match self.is_silent(decoded) {
            true => Some(DropReason::NoSpeech),
            false => (has_failed && self.options.drop_failed).then_some(DropReason::Failed),
        };
        if let Some(reason) = reason {
            self.seek += request.n_frames;
            let dropped = drop_segments(&slices.segments, reason).collect();
            return Found { segments: Vec::new(), dropped };
        }
        let mut dropped = self.drop_loops(&mut slices.segments);
        let mut next = request.seek + slices.n_frames;
        if self.options.word_timestamps {
            if !slices.segments.is_empty() {
                add_words(&mut slices.segments, self.last_speech_s);
            }
            next = self.next_by_words(request, &slices, next);
            if let Some(skip) = self.silence(request, &slices.segments) {
                next = skip.next_s.map_or(self.end, to_frame);
                dropped.extend(drop_segments(&slices.segments[skip.made_up], DropReason::Silence));
                slices.segments.truncate(skip.first_dropped);
                if skip.is_leading {
                    self.go_on(request, next);
                    return Found { segments: Vec::new(), dropped };
                }
            }
            self.last_speech_s = end_of_words(&slices.segments).unwrap_or(self.last_speech_s);
        }
        dropped.extend(self.drop_phrases(&mut slices.segments));
        self.go_on(request, next);
        Found { segments: self.commit(last_temperature, slices.segments), dropped }
    }

    /// How many frames of its clips the walk has behind it.
    pub(crate) fn n_frames_done(&self) -> usize {
        self.n_frames_before + self.seek.min(self.clip.1).saturating_sub(self.clip.0)
    }

    /// The text of all segments so far.
    pub(crate) fn text(&self) -> String {
        self.tokenizer.decode(&self.tokens[self.n_initial_prompt..])
    }

    /// Moves on to the window that begins at `next`.
    fn go_on(&mut self, request: &WindowRequest, next: usize) {
        self.n_stalls = if next <= request.seek { self.n_stalls + 1 } else { 0 };
        let gives_up = self.n_stalls > MAX_STALLS;
        self.seek = if gives_up { request.seek + request.n_frames } else { next };
    }

    /// Keeps a decode that failed, if it is better than those that did before it.
    fn compare_failed(&mut self, decoded: &Decoded) {
        let is_repetitive = self.is_repetitive(decoded);
        let is_better = self.best_failed.as_ref().is_none_or(|(was_repetitive, best)| {
            (!is_repetitive, decoded.avg_logprob) > (!was_repetitive, best.avg_logprob)
        });
        if is_better {
            self.best_failed = Some((is_repetitive, decoded.clone()));
        }
    }

    /// Makes a window's segments part of the transcript.
    ///
    /// - `last_temperature`: of the window's last decode.
    fn commit(&mut self, last_temperature: f32, mut segments: Vec<Segment>) -> Vec<Segment> {
        for segment in &mut segments {
            if segment.start == segment.end || strip(&segment.text).is_empty() {
                segment.text.clear();
                segment.tokens.clear();
                segment.words = Some(Vec::new());
                segment.logprobs.iter_mut().for_each(Vec::clear);
            }
            segment.id = self.n_segments;
            self.n_segments += 1;
            self.tokens.extend_from_slice(&segment.tokens);
        }
        let is_doubtful = last_temperature > self.options.prompt_reset_on_temperature;
        if !self.options.condition_on_previous_text || is_doubtful {
            self.prompt_reset_since = self.tokens.len();
        }
        segments
    }

    /// Where the next window begins when it is known when words end: behind the last word, if speech may follow it.
    fn next_by_words(&self, request: &WindowRequest, slices: &Slices, next: usize) -> usize {
        let last_word_s = end_of_words(&slices.segments).filter(|end_s| *end_s > seconds(request.seek));
        let Some(last_word_s) = last_word_s.filter(|_| !slices.is_closed) else { return next };
        let left_s = seconds(request.seek + WINDOW_FRAMES) - last_word_s;
        match self.options.hallucination_silence_threshold {
            Some(threshold_s) if left_s <= threshold_s => request.seek + request.n_frames,
            _ => to_frame(last_word_s),
        }
    }

    /// Whether segments are made up, if that is asked for.
    fn silence(&self, request: &WindowRequest, segments: &[Segment]) -> Option<Skip> {
        let around = Surroundings {
            start_s: seconds(request.seek),
            window_end_s: seconds(request.seek + WINDOW_FRAMES),
            sound_end_s: seconds(request.seek + request.n_frames),
            recording_end_s: seconds(self.end),
            last_speech_s: self.last_speech_s,
            threshold_s: self.options.hallucination_silence_threshold?,
        };
        silence::find(segments, &around)
    }

    /// Leaves of what runs in circles the first time, if that is asked for.
    fn drop_loops(&self, segments: &mut Vec<Segment>) -> Vec<Dropped> {
        if !self.looks_for_loops() {
            return Vec::new();
        }
        let cut = loops::cut(segments, self.tokenizer);
        let dropped = cut.into_iter().map(|(idx, text)| Dropped {
            start: segments[idx].start,
            end: segments[idx].end,
            text,
            reason: DropReason::Loop,
        });
        let dropped: Vec<Dropped> = dropped.collect();
        if !dropped.is_empty() {
            segments.retain(|segment| !strip(&segment.text).is_empty());
        }
        dropped
    }

    /// Drops segments that say nothing but a phrase that is not wanted.
    fn drop_phrases(&self, segments: &mut Vec<Segment>) -> Vec<Dropped> {
        let is_phrase = |segment: &mut Segment| self.phrases.are_all_of(&segment.text);
        let phrases: Vec<Segment> = segments.extract_if(.., is_phrase).collect();
        drop_segments(&phrases, DropReason::Phrase).collect()
    }

    fn looks_for_loops(&self) -> bool {
        self.options.drop_loops && self.options.compression_ratio_threshold.is_some()
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
        let Options { logprob_threshold, no_speech_threshold, .. } = self.options;
        let improbable = logprob_threshold.is_some_and(|limit| decoded.avg_logprob < limit);
        let speechless = no_speech_threshold.is_some_and(|limit| decoded.no_speech_prob > limit);
        (improbable || self.is_repetitive(decoded)) && !(improbable && speechless)
    }

    /// Whether a text repeats itself.
    fn is_repetitive(&self, decoded: &Decoded) -> bool {
        let limit = self.options.compression_ratio_threshold;
        limit.is_some_and(|limit| decoded.compression_ratio > limit)
            || self.looks_for_loops() && loops::is_any(&decoded.tokens, self.tokenizer.special().eot)
    }

    /// Whether nothing is said in the window.
    fn is_silent(&self, decoded: &Decoded) -> bool {
        let Options { logprob_threshold, no_speech_threshold, .. } = self.options;
        let speechless = no_speech_threshold.is_some_and(|limit| decoded.no_speech_prob > limit);
        let confident = logprob_threshold.is_some_and(|limit| decoded.avg_logprob > limit);
        speechless && !confident
    }
}

fn seconds(n_frames: usize) -> f64 {
    n_frames as f64 / FRAMES_PER_SECOND as f64
}

fn to_frame(time_s: f64) -> usize {
    (time_s * FRAMES_PER_SECOND as f64).round_ties_even() as usize
}

/// When the last word ends; without words, when the last segment does.
///
/// Source: `get_end` in openai/whisper `whisper/utils.py`.
fn end_of_words(segments: &[Segment]) -> Option<f64> {
    let last_word = segments.iter().rev().find_map(|segment| segment.words.as_ref()?.last());
    last_word.map(|word| word.end).or(segments.last().map(|segment| segment.end))
}

fn drop_segments(segments: &[Segment], reason: DropReason) -> impl Iterator<Item = Dropped> {
    let texts = segments.iter().filter(|segment| !strip(&segment.text).is_empty());
    texts.map(move |Segment { start, end, text, .. }| Dropped {
        start: *start,
        end: *end,
        text: text.clone(),
        reason,
    })
}

#[cfg(test)]
mod tests;
