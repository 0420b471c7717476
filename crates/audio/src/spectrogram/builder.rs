//! A spectrogram in the making.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use super::values::Sink;
use super::{Spectrogram, SpectrogramOptions};
use crate::Error;
use crate::mel::{FrameAnalysis, Framer, Frames};

/// More threads than this have to wait for samples.
const MOST_THREADS: usize = 8;
/// Stretches that a thread has before it, or behind it and not taken.
const STRETCHES_EACH: usize = 2;

/// Takes a recording's samples in any pieces, and keeps the frames.
pub(super) struct Builder {
    n_mels: usize,
    framer: Framer,
    crew: Crew,
    sink: Sink,
}

/// Who computes frames.
enum Crew {
    /// The caller's thread.
    Alone(Box<FrameAnalysis>),
    /// Threads that get stretches by turns, so that their frames can be taken in order.
    Threads { helpers: Vec<Helper>, n_given: usize, n_taken: usize },
}

struct Helper {
    stretches: SyncSender<Vec<f32>>,
    frames: Receiver<Frames>,
}

impl Builder {
    /// Computes on the thread that pushes.
    pub(super) fn new(n_mels: usize, options: &SpectrogramOptions) -> Self {
        let crew = Crew::Alone(Box::new(FrameAnalysis::new(n_mels)));
        Self { n_mels, framer: Framer::default(), crew, sink: Sink::new(n_mels, options.memory_bytes) }
    }

    /// Computes on as many threads as the options say.
    pub(super) fn with_threads<'scope>(
        n_mels: usize,
        options: &SpectrogramOptions,
        scope: &'scope Scope<'scope, '_>,
    ) -> Self {
        if options.threads <= 1 {
            return Self::new(n_mels, options);
        }
        let helpers = (0..options.threads.min(MOST_THREADS)).map(|_| Helper::start(n_mels, scope)).collect();
        let crew = Crew::Threads { helpers, n_given: 0, n_taken: 0 };
        Self { n_mels, framer: Framer::default(), crew, sink: Sink::new(n_mels, options.memory_bytes) }
    }

    /// Samples so far.
    pub(super) fn n_samples(&self) -> u64 {
        self.framer.n_samples()
    }

    pub(super) fn push(&mut self, samples: &[f32]) -> Result<(), Error> {
        self.framer.push(samples);
        self.analyse()
    }

    /// - `speech`: the probabilities, if anybody listened.
    pub(super) fn finish(mut self, speech: Option<Vec<f32>>) -> Result<Spectrogram, Error> {
        let n_samples = self.n_samples();
        // The frames of nothing but zeros after these are never the maximum.
        self.framer.end();
        self.analyse()?;
        while let Some(frames) = self.crew.take() {
            self.sink.push(frames)?;
        }
        let (maximum, values) = self.sink.finish()?;
        Ok(Spectrogram { n_mels: self.n_mels, n_samples, maximum, speech, values })
    }

    /// Has the frames computed whose samples are there, and keeps what is computed.
    fn analyse(&mut self) -> Result<(), Error> {
        while let Some(stretch) = self.framer.next_stretch() {
            if let Some(frames) = self.crew.give(stretch) {
                self.sink.push(frames)?;
            }
        }
        Ok(())
    }
}

impl Crew {
    /// Gives a stretch to who is next, and takes the frames of an earlier one if there is no room for more.
    fn give(&mut self, stretch: Vec<f32>) -> Option<Frames> {
        let taken = match self {
            Self::Alone(analysis) => return Some(analysis.frames(&stretch)),
            Self::Threads { helpers, n_given, n_taken } => {
                (*n_given - *n_taken == helpers.len() * STRETCHES_EACH).then(|| self.take()).flatten()
            }
        };
        if let Self::Threads { helpers, n_given, .. } = self {
            let helper = &helpers[*n_given % helpers.len()];
            helper.stretches.send(stretch).expect("a helper works until its builder is gone");
            *n_given += 1;
        }
        taken
    }

    /// The frames of the earliest stretch that were not taken, as soon as they are computed; `None` if all were.
    fn take(&mut self) -> Option<Frames> {
        let Self::Threads { helpers, n_given, n_taken } = self else { return None };
        if n_taken == n_given {
            return None;
        }
        let frames = helpers[*n_taken % helpers.len()].frames.recv();
        *n_taken += 1;
        Some(frames.expect("a helper works until its builder is gone"))
    }
}

impl Helper {
    fn start<'scope>(n_mels: usize, scope: &'scope Scope<'scope, '_>) -> Self {
        let (stretches, given) = sync_channel::<Vec<f32>>(STRETCHES_EACH);
        let (done, frames) = sync_channel(STRETCHES_EACH);
        scope.spawn(move || {
            let mut analysis = FrameAnalysis::new(n_mels);
            for stretch in given {
                if done.send(analysis.frames(&stretch)).is_err() {
                    return;
                }
            }
        });
        Self { stretches, frames }
    }
}
