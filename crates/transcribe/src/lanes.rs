//! The parts of a recording on their way through the decoder, several at a time.
//!
//! A lane is a part of the recording that is walked on its own. One step of the decoder moves the windows of all lanes
//! on by one token and reads each weight once for all of them; a lane whose part is done makes room for the next. A
//! recording that is transcribed in one piece is a single lane.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use boswell_model::{Row, Scratch};

use crate::align::Aligner;
use crate::decode::{Decode, Plan, step};
use crate::encoder::Encoder;
use crate::parts::{clips, parts};
use crate::windows::{FRAMES_PER_SECOND, Found, Phrases, Route, Walk, WindowRequest};
use crate::{Error, Event, Options, Transcript};

/// All lanes of a recording.
pub(crate) struct Lanes<'a> {
    source: Source<'a>,
    /// What is not begun.
    waiting: std::vec::IntoIter<Route>,
    aligner: Aligner<'a>,
    phrases: Arc<Phrases>,
    /// What is begun, and what is done but for an earlier one, in the order of the recording.
    lanes: VecDeque<Lane<'a>>,
    /// Frames of all parts, and of the lanes that are gone.
    n_frames: usize,
    n_frames_done: usize,
    scratch: Scratch,
}

/// Where the windows of all lanes come from.
struct Source<'a> {
    encoder: Encoder<'a>,
    plan: Arc<Plan>,
    options: &'a Options,
}

struct Lane<'a> {
    walk: Walk<'a>,
    /// The window being decoded; `None` when the part is done.
    window: Option<(WindowRequest, Decode)>,
    /// What was not handed out, because an earlier lane is not done.
    found: Found,
}

impl<'a> Lanes<'a> {
    /// All lanes of the recording that `encoder` has, in a language by its code.
    ///
    /// # Errors
    /// [`Error::Option`] if temperatures, clips or the batch size make no sense, [`Error::Features`] if the
    /// spectrogram cannot be read, [`Error::Model`] if the model does not know the language.
    pub(crate) fn new(
        encoder: Encoder<'a>,
        plan: Arc<Plan>,
        language: &'a str,
        options: &'a Options,
    ) -> Result<Self, Error> {
        let n_frames = encoder.spectrogram.n_frames();
        let clips = clips(&options.clip_timestamps, n_frames)?;
        let waiting = match options.batch_size {
            0 => {
                let (found, expected) = ("0".to_owned(), "1 or more".to_owned());
                return Err(Error::Option { name: "batch_size", found, expected });
            }
            1 => vec![Route { clips, whole: (0, n_frames) }],
            _ => {
                let parts = parts(encoder.spectrogram, &clips)?.into_iter();
                parts.map(|part| Route { clips: vec![part], whole: part }).collect()
            }
        };
        let all_clips = waiting.iter().flat_map(|route| &route.clips);
        Ok(Self {
            n_frames: all_clips.map(|(start, end)| end.saturating_sub(*start)).sum(),
            aligner: Aligner::new(encoder.model, language, options)?,
            phrases: Arc::new(Phrases::new(language, options)),
            source: Source { encoder, plan, options },
            waiting: waiting.into_iter(),
            lanes: VecDeque::new(),
            n_frames_done: 0,
            scratch: Scratch::default(),
        })
    }

    /// Decodes everything into `transcript`, until the end or until `on_event` asks to stop.
    ///
    /// # Errors
    /// Those of the windows' encoding and of their prompts.
    pub(crate) fn run(
        mut self,
        transcript: &mut Transcript,
        on_event: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.begin_lanes()?;
        while !self.lanes.is_empty() {
            if self.step(on_event).is_break() {
                break;
            }
            if self.accept()? {
                let flow = self.hand_out(transcript, on_event);
                if flow.is_break() {
                    break;
                }
                self.begin_lanes()?;
            }
        }
        // What is done behind a lane that is not would leave a gap in the text.
        if let Some(lane) = self.lanes.front() {
            transcript.text.push_str(&lane.walk.text());
        }
        let _ = on_event(Event::End(self.source.encoder.stages));
        Ok(())
    }

    /// Fills the batch with parts that are waiting.
    fn begin_lanes(&mut self) -> Result<(), Error> {
        let Source { encoder, options, .. } = &self.source;
        let (tokenizer, n_text_ctx) = (encoder.model.tokenizer(), encoder.model.dims().n_text_ctx);
        let (options, batch_size) = (*options, options.batch_size);
        while self.lanes.iter().filter(|lane| lane.window.is_some()).count() < batch_size {
            let Some(route) = self.waiting.next() else { break };
            let mut walk = Walk::over(tokenizer, n_text_ctx, route, self.phrases.clone(), options)?;
            if let Some(window) = self.source.next_window(&mut walk, None)? {
                self.lanes.push_back(Lane { walk, window: Some(window), found: Found::default() });
            }
        }
        Ok(())
    }

    /// Moves all windows on by one token.
    fn step(&mut self, on_event: &mut impl FnMut(Event<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        let started = Instant::now();
        let windows = self.lanes.iter_mut().filter_map(|lane| lane.window.as_mut());
        let mut decodes: Vec<&mut Decode> = windows.map(|(_, decode)| decode).collect();
        self.source.encoder.stages.n_tokens += decodes.len();
        step(self.source.encoder.model, &mut decodes, &mut self.scratch);
        self.source.encoder.stages.decode += started.elapsed();
        on_event(Event::Step)
    }

    /// Takes what windows were decoded to, and begins the next windows of their lanes. Returns whether any was.
    fn accept(&mut self) -> Result<bool, Error> {
        let mut is_any = false;
        for lane in &mut self.lanes {
            let Some((request, decode)) = lane.window.take_if(|(_, decode)| decode.is_finished()) else {
                continue;
            };
            is_any = true;
            let decoded = decode.decoded(self.source.encoder.model.tokenizer());
            tracing::debug!(
                seek_s = request.seek as f64 / FRAMES_PER_SECOND as f64,
                temperature = request.temperature,
                n_tokens = decoded.tokens.len(),
                avg_logprob = decoded.avg_logprob,
                no_speech_prob = decoded.no_speech_prob,
                compression_ratio = decoded.compression_ratio,
                "window decoded"
            );
            let mut row = decode.into_row();
            let started = Instant::now();
            let found = lane.walk.accept(&request, &decoded, |segments, last_speech_s| {
                self.aligner.add_words(&mut row, &request, segments, last_speech_s);
            });
            self.source.encoder.stages.decode += started.elapsed();
            lane.found.segments.extend(found.segments);
            lane.found.dropped.extend(found.dropped);
            lane.window = self.source.next_window(&mut lane.walk, Some((&request, row)))?;
        }
        Ok(is_any)
    }

    /// Hands out what is found, in the order of the recording.
    fn hand_out(
        &mut self,
        transcript: &mut Transcript,
        on_event: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut flow = ControlFlow::Continue(());
        while let Some(lane) = self.lanes.front_mut() {
            for dropped in lane.found.dropped.drain(..) {
                tracing::debug!(?dropped, "text is not taken");
                transcript.dropped.push(dropped);
            }
            for mut segment in lane.found.segments.drain(..) {
                segment.id = transcript.segments.len();
                if on_event(Event::Segment(&segment)).is_break() {
                    flow = ControlFlow::Break(());
                }
                transcript.segments.push(segment);
            }
            if lane.window.is_some() {
                break;
            }
            transcript.text.push_str(&lane.walk.text());
            self.n_frames_done += lane.walk.n_frames_done();
            self.lanes.pop_front();
        }
        let n_frames_begun: usize = self.lanes.iter().map(|lane| lane.walk.n_frames_done()).sum();
        let seconds = |n_frames| n_frames as f64 / FRAMES_PER_SECOND as f64;
        let (done_s, total_s) = (seconds(self.n_frames_done + n_frames_begun), seconds(self.n_frames));
        match on_event(Event::Progress { done_s, total_s }) {
            ControlFlow::Continue(()) => flow,
            stop => stop,
        }
    }
}

impl<'a> Source<'a> {
    /// The next window of a walk, encoded unless it is the last one again.
    fn next_window(
        &mut self,
        walk: &mut Walk<'a>,
        last: Option<(&WindowRequest, Row)>,
    ) -> Result<Option<(WindowRequest, Decode)>, Error> {
        let Some(request) = walk.request() else { return Ok(None) };
        // A row that is of no more use is dropped before the next window needs as much memory.
        let is_same = |last: &WindowRequest| (last.seek, last.n_frames) == (request.seek, request.n_frames);
        let row = match last.filter(|(last, _)| is_same(last)) {
            Some((_, row)) => row,
            None => self.encoder.window(&request)?,
        };
        let seed = seed(self.options, &request);
        let decode = Decode::new(self.plan.clone(), &request.prompt, request.temperature, seed, row)?;
        Ok(Some((request, decode)))
    }
}

/// Where the draws in a window start: the same whatever was decoded before it.
fn seed(options: &Options, request: &WindowRequest) -> u64 {
    let window = (request.seek as u64) << 32 | u64::from(request.temperature.to_bits());
    options.seed ^ window.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
