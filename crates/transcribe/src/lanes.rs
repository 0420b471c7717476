//! The parts of a recording on their way through the decoder, several at a time.
//!
//! A lane is a part of the recording that is walked on its own. One step of the decoder moves the windows of all lanes
//! on by one token and reads each weight once for all of them; a lane whose part is done makes room for the next. A
//! recording that is transcribed in one piece is a single lane.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use boswell_model::Row;

use crate::align::Aligner;
use crate::decode::{Decode, Plan};
use crate::encoder::{Encoded, Encoder, Excerpt};
use crate::windows::{FRAMES_PER_SECOND, Found, Phrases, Route, Walk, WindowRequest};
use crate::{Error, Event, Options, Transcript};

/// Whether the decoder should go on while a window is encoded, or let those that are there wait for it: a step for few
/// takes almost as long as one for many.
///
/// - `n_windows`: how many are decoded together at most.
/// - `is_last`: whether no window can be encoded after this one.
pub(crate) fn are_many(n_decoding: usize, n_windows: usize, is_last: bool) -> bool {
    n_decoding > 0 && (is_last || 2 * n_decoding >= n_windows)
}

/// All lanes of a recording, and what is found in it so far.
///
/// Whoever drives them asks what comes [next](Self::next), has it encoded and [begins](Self::begin) it, and beside that
/// moves the windows that are [being decoded](Self::decodes) on by a step, calls [`accept`](Self::accept) and
/// [`hand_out`](Self::hand_out), and moves them on again; several recordings may be driven at once.
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
    transcript: Transcript,
}

/// Where the windows of all lanes come from.
struct Source<'a> {
    encoder: Encoder<'a>,
    plan: Arc<Plan>,
    options: &'a Options,
}

struct Lane<'a> {
    walk: Walk<'a>,
    /// `None` when the part is done.
    window: Option<Window>,
    /// What was not handed out, because an earlier lane is not done.
    found: Found,
}

/// What is to be done before windows can be decoded.
pub(crate) enum Next {
    /// Nothing.
    Nothing,
    /// No more: a window did not have to be encoded and is being decoded.
    Begun,
    /// To encode this, and then to [begin](Lanes::begin) it: there is no other next before.
    Encode(Excerpt),
}

/// A lane's window on its way.
enum Window {
    /// Nothing was done for it, unless it is the last one again: that has a row.
    Asked(WindowRequest, Option<Row>),
    /// The encoder has it.
    Encoding(WindowRequest),
    Decoding(WindowRequest, Decode),
}

impl<'a> Lanes<'a> {
    /// All lanes of the recording that `encoder` has, over `routes`, in a language by its code.
    ///
    /// # Errors
    /// [`Error::Option`] if options make no sense, [`Error::Model`] if the model does not know the language.
    pub(crate) fn new(
        encoder: Encoder<'a>,
        routes: Vec<Route>,
        language: &str,
        options: &'a Options,
    ) -> Result<Self, Error> {
        let model = encoder.model;
        let all_clips = routes.iter().flat_map(|route| &route.clips);
        let plan = Arc::new(Plan::new(model.tokenizer(), model.dims(), language, options)?);
        Ok(Self {
            n_frames: all_clips.map(|(start, end)| end.saturating_sub(*start)).sum(),
            aligner: Aligner::new(model, language, options)?,
            phrases: Arc::new(Phrases::new(language, options)),
            source: Source { encoder, plan, options },
            waiting: routes.into_iter(),
            lanes: VecDeque::new(),
            n_frames_done: 0,
            transcript: Transcript { language: language.to_owned(), ..Transcript::default() },
        })
    }

    /// What the window needs that is to be decoded next; begins a part for it if there is room in the batch.
    ///
    /// # Errors
    /// Those of the window's prompt.
    pub(crate) fn next(&mut self) -> Result<Next, Error> {
        for lane in &mut self.lanes {
            if let Some(Window::Asked(request, row)) = lane.window.take_if(|window| window.is_asked()) {
                let (window, next) = self.source.begin(request, row)?;
                lane.window = Some(window);
                return Ok(next);
            }
        }
        let Source { encoder, options, .. } = &self.source;
        let (tokenizer, n_text_ctx) = (encoder.model.tokenizer(), encoder.model.dims().n_text_ctx);
        let options = *options;
        while self.has_room() {
            let Some(route) = self.waiting.next() else { break };
            let mut walk = Walk::over(tokenizer, n_text_ctx, route, self.phrases.clone(), options)?;
            if let Some(request) = walk.request() {
                let (window, next) = self.source.begin(request, None)?;
                self.lanes.push_back(Lane { walk, window: Some(window), found: Found::default() });
                return Ok(next);
            }
        }
        Ok(Next::Nothing)
    }

    /// Whether a window could be encoded, now or after the one that is.
    pub(crate) fn has_next(&self) -> bool {
        let is_asked = |lane: &Lane<'_>| lane.window.as_ref().is_some_and(Window::is_asked);
        self.lanes.iter().any(is_asked) || (!self.waiting.as_slice().is_empty() && self.has_room())
    }

    fn has_room(&self) -> bool {
        self.lanes.iter().filter(|lane| lane.window.is_some()).count() < self.source.options.batch_size
    }

    /// Begins to decode the window that was encoded.
    ///
    /// # Errors
    /// Those of its prompt.
    ///
    /// # Panics
    /// If none was to be encoded.
    pub(crate) fn begin(&mut self, encoded: Encoded) -> Result<(), Error> {
        let row = self.source.encoder.count(encoded);
        for lane in &mut self.lanes {
            if let Some(Window::Encoding(request)) = lane.window.take_if(|window| window.is_encoding()) {
                lane.window = Some(self.source.decode(request, row)?);
                return Ok(());
            }
        }
        panic!("no lane waits for the encoder");
    }

    /// The windows that are being decoded.
    pub(crate) fn decodes(&mut self) -> impl Iterator<Item = &mut Decode> {
        self.lanes.iter_mut().filter_map(|lane| match &mut lane.window {
            Some(Window::Decoding(_, decode)) => Some(decode),
            _ => None,
        })
    }

    /// Counts what a step of the decoder took of this recording's time.
    pub(crate) fn count_step(&mut self, n_tokens: usize, elapsed: Duration) {
        self.source.encoder.stages.n_tokens += n_tokens;
        self.source.encoder.stages.decode += elapsed;
    }

    /// Takes what windows were decoded to, and asks for the next windows of their lanes. Returns whether any was.
    pub(crate) fn accept(&mut self) -> bool {
        let mut is_any = false;
        for lane in &mut self.lanes {
            let Some(Window::Decoding(request, decode)) = lane.window.take_if(|window| window.is_finished())
            else {
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
            let mut row = decode.into_row(self.source.encoder.model);
            let started = Instant::now();
            let mut found = lane.walk.accept(&request, &decoded, |segments, last_speech_s| {
                self.aligner.add_words(&mut row, &request, segments, last_speech_s);
            });
            self.source.encoder.stages.decode += started.elapsed();
            let timeline = &self.source.encoder.timeline;
            found.segments.iter_mut().for_each(|segment| timeline.restore(segment));
            found.dropped.iter_mut().for_each(|dropped| timeline.restore_dropped(dropped));
            lane.found.segments.append(&mut found.segments);
            lane.found.dropped.append(&mut found.dropped);
            lane.window = match lane.walk.request() {
                Some(next) if self.source.encoder.sees_the_same(&request, &next) => {
                    Some(Window::Asked(next, Some(row)))
                }
                next => {
                    self.source.encoder.model.reclaim(row);
                    next.map(|next| Window::Asked(next, None))
                }
            };
        }
        is_any
    }

    /// Hands out what is found, in the order of the recording.
    pub(crate) fn hand_out(
        &mut self,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut flow = ControlFlow::Continue(());
        let transcript = &mut self.transcript;
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

    /// Whether everything was handed out.
    pub(crate) fn is_done(&self) -> bool {
        self.waiting.as_slice().is_empty() && self.lanes.is_empty()
    }

    /// Takes out the transcript of what was handed out, after everything was or the work was stopped. Tells the end.
    pub(crate) fn finish(&mut self, on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>) -> Transcript {
        // What is done behind a lane that is not would leave a gap in the text.
        if let Some(lane) = self.lanes.front() {
            self.transcript.text.push_str(&lane.walk.text());
        }
        let _ = on_event(Event::End(self.source.encoder.stages));
        std::mem::take(&mut self.transcript)
    }
}

impl Source<'_> {
    /// Begins to decode a window, which is to be encoded unless it comes with a row or has been.
    fn begin(&mut self, request: WindowRequest, row: Option<Row>) -> Result<(Window, Next), Error> {
        let excerpt = self.encoder.excerpt(&request);
        match row.or_else(|| self.encoder.heard(&excerpt)) {
            Some(row) => Ok((self.decode(request, row)?, Next::Begun)),
            None => Ok((Window::Encoding(request), Next::Encode(excerpt))),
        }
    }

    fn decode(&self, request: WindowRequest, row: Row) -> Result<Window, Error> {
        let seed = seed(self.options, &request);
        let decode = Decode::new(self.plan.clone(), &request.prompt, request.temperature, seed, row)?;
        Ok(Window::Decoding(request, decode))
    }
}

impl Window {
    fn is_asked(&self) -> bool {
        matches!(self, Self::Asked(..))
    }

    fn is_encoding(&self) -> bool {
        matches!(self, Self::Encoding(_))
    }

    fn is_finished(&self) -> bool {
        matches!(self, Self::Decoding(_, decode) if decode.is_finished())
    }
}

/// Where the draws in a window start: the same whatever was decoded before it.
fn seed(options: &Options, request: &WindowRequest) -> u64 {
    let window = (request.seek as u64) << 32 | u64::from(request.temperature.to_bits());
    options.seed ^ window.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
