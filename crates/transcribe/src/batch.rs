//! Several recordings at once, decoded together by one thread.
//!
//! The decoder reads each weight once per step for the windows of all recordings; beside its steps one window at a time
//! is encoded, so that nobody waits long. What comes next is decided by [`Urgency`], and among equals by who has waited
//! longest: a long recording and a short one take turns.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use boswell_audio::Spectrogram;
use boswell_model::Model;
use self_cell::self_cell;

use crate::decode::{Decode, StepScratch, step};
use crate::encoder::{Encoded, Excerpt};
use crate::lanes::{Lanes, Next, are_many};
use crate::transcriber::begin;
use crate::{Error, Event, Options, Transcript};

/// So many steps are made between two windows that are encoded while something more urgent is decoded.
const STEPS_BETWEEN: usize = 8;

/// How soon somebody wants a transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// When there is time.
    Background,
    /// Somebody waits for it.
    Waiting,
    /// Somebody is speaking: it goes before everything else, and past the limit on windows.
    Live,
}

/// A recording to transcribe, and whom to tell.
pub struct Recording {
    /// Its features, with as many mel bands as the model's dimensions say.
    pub spectrogram: Spectrogram,
    /// How it is to be transcribed.
    pub options: Options,
    /// How soon.
    pub urgency: Urgency,
    /// Is told what is found, in order, and may ask to stop: after each token at the latest.
    pub on_event: Box<dyn FnMut(Event<'_>) -> ControlFlow<()> + Send>,
    /// Takes the transcript; after a stop, that of what was found so far.
    pub on_end: Box<dyn FnOnce(Result<Transcript, Error>) + Send>,
}

/// Recordings that are transcribed together with one model.
///
/// Each comes out as it would alone from [`Transcriber`](crate::Transcriber).
pub struct Batch {
    model: Arc<Model>,
    n_windows: usize,
    entries: Vec<Entry>,
    scratch: StepScratch,
    /// Counts what was encoded or came in.
    turn: u64,
    /// Steps since a window was encoded.
    n_steps: usize,
}

struct Entry {
    work: Work,
    urgency: Urgency,
    on_event: Box<dyn FnMut(Event<'_>) -> ControlFlow<()> + Send>,
    on_end: Box<dyn FnOnce(Result<Transcript, Error>) + Send>,
    /// When it came in or something of it was encoded last.
    turn: u64,
    /// Why it leaves the batch.
    end: Option<Result<(), Error>>,
}

enum Work {
    Arrived(Arc<Sources>),
    Begun(Begun),
    /// It could not be begun.
    Refused,
}

/// A window that is to be encoded.
struct Due {
    /// That of its entry, and of no other.
    turn: u64,
    urgency: Urgency,
    sources: Arc<Sources>,
    excerpt: Excerpt,
}

/// What lanes borrow from.
struct Sources {
    model: Arc<Model>,
    spectrogram: Spectrogram,
    options: Options,
}

self_cell!(
    /// The lanes of a recording, with what they borrow from.
    struct Begun {
        owner: Arc<Sources>,
        #[not_covariant]
        dependent: Lanes,
    }
);

impl Batch {
    /// A batch without recordings.
    ///
    /// - `n_windows`: how many windows are decoded together at most, 1 or more; live ones come on top.
    pub fn new(model: Arc<Model>, n_windows: usize) -> Self {
        assert!(n_windows > 0, "a batch has room for one window at least");
        Self { model, n_windows, entries: Vec::new(), scratch: StepScratch::default(), turn: 0, n_steps: 0 }
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// How many windows are decoded together at most.
    pub fn n_windows(&self) -> usize {
        self.n_windows
    }

    /// Recordings that are not done.
    pub fn n_recordings(&self) -> usize {
        self.entries.len()
    }

    /// Takes in a recording. Nothing is computed before the next [`step`](Self::step), and nobody is told.
    pub fn push(&mut self, recording: Recording) {
        let Recording { spectrogram, options, urgency, on_event, on_end } = recording;
        let sources = Sources { model: self.model.clone(), spectrogram, options };
        let work = Work::Arrived(Arc::new(sources));
        self.turn += 1;
        self.entries.push(Entry { work, urgency, on_event, on_end, turn: self.turn, end: None });
    }

    /// Encodes at most one window, and moves all that are being decoded on, by one token at least. Does nothing without
    /// recordings.
    ///
    /// What goes wrong with a recording is told to its `on_end`, and the others go on.
    ///
    /// # Panics
    /// If a spectrogram has another number of mel bands than the model.
    pub fn step(&mut self) {
        let Some(due) = self.next() else {
            self.decode();
            self.take_away();
            return;
        };
        let model = self.model.clone();
        let encoded = due.excerpt.encode_beside(&model, &due.sources.spectrogram, || {
            self.decode();
            self.take_away();
            if self.goes_on_beside(due.urgency) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        self.n_steps = 0;
        self.begin(due.turn, encoded);
        self.take_away();
    }

    /// Drops all recordings: each is told that it was stopped, with what was found of it.
    pub fn stop(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.end = Some(Ok(())));
        self.take_away();
    }

    /// Finds whom the encoder is due.
    fn next(&mut self) -> Option<Due> {
        let (n_decoding, most_urgent) = (self.n_decoding(), self.most_urgent());
        self.entries.sort_by_key(|entry| (std::cmp::Reverse(entry.urgency), entry.turn));
        for entry in &mut self.entries {
            let has_room = n_decoding < self.n_windows || entry.urgency == Urgency::Live;
            let has_turn =
                most_urgent.is_none_or(|most| entry.urgency >= most) || self.n_steps >= STEPS_BETWEEN;
            if !has_room || !has_turn {
                continue;
            }
            let next = entry.next();
            if !matches!(next, Next::Nothing) {
                self.turn += 1;
                entry.turn = self.turn;
            }
            match (next, &entry.work) {
                (Next::Nothing, _) => {}
                (Next::Encode(excerpt), Work::Begun(begun)) => {
                    let (turn, urgency, sources) = (entry.turn, entry.urgency, begun.borrow_owner().clone());
                    return Some(Due { turn, urgency, sources, excerpt });
                }
                _ => return None,
            }
        }
        None
    }

    /// Whether the decoder goes on while a window of that urgency is encoded: if there is enough for it to do, or something
    /// more urgent.
    fn goes_on_beside(&mut self, urgency: Urgency) -> bool {
        let is_last = !self.entries.iter_mut().any(Entry::has_next);
        are_many(self.n_decoding(), self.n_windows, is_last) || self.most_urgent() > Some(urgency)
    }

    fn n_decoding(&mut self) -> usize {
        self.entries.iter_mut().map(Entry::n_decoding).sum()
    }

    /// Of what is being decoded.
    fn most_urgent(&mut self) -> Option<Urgency> {
        let decoding =
            self.entries.iter_mut().filter_map(|entry| (entry.n_decoding() > 0).then_some(entry.urgency));
        decoding.max()
    }

    /// Begins to decode a window, if the recording whose turn it was is still there.
    fn begin(&mut self, turn: u64, encoded: Result<Encoded, Error>) {
        match (self.entries.iter_mut().find(|entry| entry.turn == turn), encoded) {
            (Some(entry), encoded) => entry.begin_window(encoded),
            (None, Ok(encoded)) => self.model.reclaim(encoded.row),
            (None, Err(_)) => {}
        }
    }

    fn decode(&mut self) {
        let started = Instant::now();
        let n_decodes: Vec<usize> = self.entries.iter_mut().map(Entry::n_decoding).collect();
        let n_all: usize = n_decodes.iter().sum();
        if n_all > 0 {
            let mut decodes: Vec<&mut Decode> = self.entries.iter_mut().flat_map(Entry::decodes).collect();
            step(&self.model, &mut decodes, &mut self.scratch);
            self.n_steps += 1;
        }
        let elapsed = started.elapsed();
        for (entry, n_decodes) in self.entries.iter_mut().zip(n_decodes) {
            entry.accept(n_decodes, elapsed.mul_f64(n_decodes as f64 / n_all.max(1) as f64));
        }
    }

    /// Tells those that are done.
    fn take_away(&mut self) {
        for mut entry in self.entries.extract_if(.., |entry| entry.end.is_some()) {
            let end = entry.end.take().unwrap_or(Ok(()));
            let transcript = match &mut entry.work {
                Work::Begun(begun) => begun.with_dependent_mut(|_, lanes| lanes.finish(&mut entry.on_event)),
                Work::Arrived(_) | Work::Refused => Transcript::default(),
            };
            (entry.on_end)(end.map(|()| transcript));
        }
    }
}

impl Entry {
    /// The windows that are being decoded.
    fn decodes(&mut self) -> Vec<&mut Decode> {
        match &mut self.work {
            Work::Begun(begun) if self.end.is_none() => {
                begun.with_dependent_mut(|_, lanes| lanes.decodes().collect())
            }
            _ => Vec::new(),
        }
    }

    fn n_decoding(&mut self) -> usize {
        self.decodes().len()
    }

    /// Whether the encoder could do more for this recording.
    fn has_next(&mut self) -> bool {
        match &mut self.work {
            Work::Arrived(_) => true,
            Work::Begun(begun) => self.end.is_none() && begun.with_dependent(|_, lanes| lanes.has_next()),
            Work::Refused => false,
        }
    }

    /// What comes next for this recording: at first its language, then its windows.
    fn next(&mut self) -> Next {
        if let Work::Arrived(sources) = &self.work {
            self.begin(sources.clone());
        }
        match &mut self.work {
            Work::Begun(begun) if self.end.is_none() => {
                begun.with_dependent_mut(|_, lanes| lanes.next()).unwrap_or_else(|error| {
                    self.end = Some(Err(error));
                    Next::Begun
                })
            }
            _ => Next::Nothing,
        }
    }

    fn begin(&mut self, sources: Arc<Sources>) {
        self.work = Work::Refused;
        // A recording nobody waits for any more is not worth the work.
        let mut flow = (self.on_event)(Event::Step);
        if flow.is_break() {
            self.end = Some(Ok(()));
            return;
        }
        let begun = Begun::try_new(sources, |sources| {
            let Sources { model, spectrogram, options } = sources.as_ref();
            let (lanes, after) = begin(model, spectrogram, options, &mut self.on_event)?;
            flow = after;
            Ok(lanes)
        });
        match begun {
            Ok(begun) => {
                self.work = Work::Begun(begun);
                self.end = flow.is_break().then_some(Ok(()));
            }
            Err(error) => self.end = Some(Err(error)),
        }
    }

    fn begin_window(&mut self, encoded: Result<Encoded, Error>) {
        let Self { work: Work::Begun(begun), end: end @ None, .. } = self else { return };
        let begun = encoded.and_then(|encoded| begun.with_dependent_mut(|_, lanes| lanes.begin(encoded)));
        *end = begun.err().map(Err);
    }

    /// Takes what a step has brought; `elapsed` is the recording's share of its time.
    fn accept(&mut self, n_decodes: usize, elapsed: Duration) {
        let Self { work: Work::Begun(begun), end: end @ None, on_event, .. } = self else {
            // Whoever waits for the encoder may leave too.
            if self.end.is_none() && (self.on_event)(Event::Step).is_break() {
                self.end = Some(Ok(()));
            }
            return;
        };
        if on_event(Event::Step).is_break() {
            *end = Some(Ok(()));
            return;
        }
        let flow = begun.with_dependent_mut(|_, lanes| {
            lanes.count_step(n_decodes, elapsed);
            let mut flow = ControlFlow::Continue(());
            if lanes.accept() {
                flow = lanes.hand_out(on_event);
            }
            if lanes.is_done() { ControlFlow::Break(()) } else { flow }
        });
        *end = flow.is_break().then_some(Ok(()));
    }
}

#[cfg(test)]
mod tests;
