//! From probabilities to spans of speech.

use std::ops::Range;

use super::VAD_CHUNK;
use crate::SAMPLE_RATE;

/// When a chunk is speech, and which spans are joined, dropped, widened or cut. The default is faster-whisper's.
///
/// Source: `VadOptions` in SYSTRAN/faster-whisper `faster_whisper/vad.py`.
#[derive(Debug, Clone, PartialEq)]
pub struct VadOptions {
    /// Speech begins where its probability is at least this.
    pub threshold: f64,
    /// Speech ends where its probability is below this; `None`: 0.15 below `threshold`, and at least 0.01.
    pub neg_threshold: Option<f64>,
    /// Speech that is not longer than this is dropped.
    pub min_speech_duration_ms: u32,
    /// Longer speech is cut, at a pause of at least 98 ms if it has one; `None`: it is not.
    pub max_speech_duration_s: Option<f64>,
    /// Speech ends only where silence of this length follows.
    pub min_silence_duration_ms: u32,
    /// So much before and after speech belongs to its span; half of a pause that is too short for it.
    pub speech_pad_ms: u32,
}

impl Default for VadOptions {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            neg_threshold: None,
            min_speech_duration_ms: 0,
            max_speech_duration_s: None,
            min_silence_duration_ms: 2000,
            speech_pad_ms: 400,
        }
    }
}

/// A pause at which speech that is too long is cut is longer than this.
const CUT_AT_MS: u64 = 98;

/// Finds the spans of speech in a recording, in samples, in order; they do not overlap.
///
/// - `probabilities`: those of [`VoiceActivity`](crate::VoiceActivity), one per [`VAD_CHUNK`] samples.
/// - `n_samples`: length of the recording.
///
/// Source: `get_speech_timestamps` in SYSTRAN/faster-whisper `faster_whisper/vad.py`.
pub fn speech_spans(probabilities: &[f32], n_samples: u64, options: &VadOptions) -> Vec<Range<u64>> {
    let mut finder = Finder::new(options);
    // A recording that fills its last chunk is followed by one without speech.
    let n_chunks = (n_samples / VAD_CHUNK as u64 + 1) as usize;
    let probabilities = probabilities.iter().copied().chain(std::iter::repeat(0.0));
    for (idx, probability) in probabilities.take(n_chunks).enumerate() {
        finder.push(idx as u64 * VAD_CHUNK as u64, probability);
    }
    let mut spans = finder.finish(n_samples);
    widen(&mut spans, samples(options.speech_pad_ms.into()), n_samples);
    spans
}

fn samples(milliseconds: u64) -> u64 {
    milliseconds * SAMPLE_RATE as u64 / 1000
}

/// Spans in the making. Positions are the first samples of chunks.
struct Finder {
    threshold: f32,
    neg_threshold: f32,
    min_speech: u64,
    min_silence: u64,
    max_speech: f64,
    spans: Vec<Range<u64>>,
    /// Where the speech began that has not ended.
    start: Option<u64>,
    /// Where the silence after it began, which may be too short to end it.
    silence: Option<u64>,
    /// The last pause that is long enough to cut at, and where speech goes on after it.
    pause: Option<(u64, Option<u64>)>,
}

impl Finder {
    fn new(options: &VadOptions) -> Self {
        let neg_threshold = options.neg_threshold.unwrap_or((options.threshold - 0.15).max(0.01));
        let max_speech = options.max_speech_duration_s.map_or(f64::INFINITY, |limit_s| {
            let pad = samples(options.speech_pad_ms.into());
            SAMPLE_RATE as f64 * limit_s - (VAD_CHUNK as u64 + 2 * pad) as f64
        });
        Self {
            threshold: options.threshold as f32,
            neg_threshold: neg_threshold as f32,
            min_speech: samples(options.min_speech_duration_ms.into()),
            min_silence: samples(options.min_silence_duration_ms.into()),
            max_speech,
            spans: Vec::new(),
            start: None,
            silence: None,
            pause: None,
        }
    }

    /// Takes the probability of the chunk at `position`.
    fn push(&mut self, position: u64, probability: f32) {
        let is_speech = probability >= self.threshold;
        if is_speech
            && self.silence.take().is_some()
            && let Some((_, resumed @ None)) = &mut self.pause
        {
            *resumed = Some(position);
        }
        let Some(start) = self.start else {
            self.start = is_speech.then_some(position);
            return;
        };
        if (position - start) as f64 > self.max_speech && self.cut(start, position) {
            return;
        }
        if probability < self.neg_threshold && self.start.is_some() {
            let silence = *self.silence.get_or_insert(position);
            if position - silence > samples(CUT_AT_MS) {
                self.pause = Some((silence, None));
            }
            if position - silence >= self.min_silence {
                self.end(silence);
            }
        }
    }

    /// Cuts speech that is too long. Returns whether the chunk at `position` is done with.
    fn cut(&mut self, start: u64, position: u64) -> bool {
        let pause = self.pause.take();
        self.silence = None;
        self.spans.push(start..pause.map_or(position, |(silence, _)| silence));
        self.start = pause.and_then(|(_, resumed)| resumed);
        pause.is_none()
    }

    fn end(&mut self, silence: u64) {
        let start = self.start.take();
        (self.silence, self.pause) = (None, None);
        self.spans
            .extend(start.map(|start| start..silence).filter(|span| span.end - span.start > self.min_speech));
    }

    fn finish(mut self, n_samples: u64) -> Vec<Range<u64>> {
        if self.start.is_some_and(|start| n_samples > start) {
            self.end(n_samples);
        }
        self.spans
    }
}

/// Adds `pad` samples on both sides of each span; where two are closer than that, each gets half of what is between.
fn widen(spans: &mut [Range<u64>], pad: u64, n_samples: u64) {
    if let Some(first) = spans.first_mut() {
        first.start = first.start.saturating_sub(pad);
    }
    for idx in 0..spans.len().saturating_sub(1) {
        let gap = spans[idx + 1].start - spans[idx].end;
        let pad = if gap < 2 * pad { gap / 2 } else { pad };
        spans[idx].end += pad;
        spans[idx + 1].start -= pad;
    }
    if let Some(last) = spans.last_mut() {
        last.end = n_samples.min(last.end + pad);
    }
}
