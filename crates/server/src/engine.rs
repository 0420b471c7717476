//! One thread for each model that is loaded: it alone computes, and decodes the recordings of all clients together.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime};

use boswell_model::Model;
use boswell_transcribe::{Batch, Recording};

/// A model with its thread, which ends when nobody has the engine any more.
pub(crate) struct Engine {
    pub(crate) name: String,
    pub(crate) model: Arc<Model>,
    /// What its weights take in memory, about.
    pub(crate) n_bytes: u64,
    pub(crate) loaded_at: SystemTime,
    /// How many windows are decoded together.
    batch_size: usize,
    recordings: Mutex<Sender<Recording>>,
    /// Recordings that were submitted and are not done.
    n_recordings: Arc<AtomicUsize>,
    last_use: Mutex<Instant>,
}

impl Engine {
    /// Starts the thread.
    ///
    /// - `n_bytes`: what the model's weights take in memory, about.
    /// - `batch_size`: how many windows are decoded together.
    ///
    /// # Errors
    /// If the system does not give a thread.
    pub(crate) fn start(
        name: &str,
        model: Arc<Model>,
        n_bytes: u64,
        batch_size: usize,
    ) -> std::io::Result<Self> {
        let (recordings, arriving) = channel();
        let n_recordings = Arc::new(AtomicUsize::new(0));
        let (batch, counter) = (Batch::new(model.clone(), batch_size), n_recordings.clone());
        thread::Builder::new()
            .name(format!("engine {name}"))
            .spawn(move || run(batch, &arriving, &counter))?;
        Ok(Self {
            name: name.to_owned(),
            model,
            n_bytes,
            loaded_at: SystemTime::now(),
            batch_size,
            recordings: Mutex::new(recordings),
            n_recordings,
            last_use: Mutex::new(Instant::now()),
        })
    }

    /// Hands over a recording. If the engine is broken, the recording is dropped, and with it whom to tell.
    pub(crate) fn submit(&self, recording: Recording) {
        *self.last_use.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.n_recordings.fetch_add(1, Ordering::Relaxed);
        let recordings = self.recordings.lock().unwrap_or_else(PoisonError::into_inner);
        if recordings.send(recording).is_err() {
            tracing::error!(model = self.name, "the engine has ended");
        }
    }

    /// Recordings in work or waiting for it.
    pub(crate) fn n_recordings(&self) -> usize {
        self.n_recordings.load(Ordering::Relaxed)
    }

    /// Whether some recordings wait for others.
    pub(crate) fn is_crowded(&self) -> bool {
        self.n_recordings() > self.batch_size
    }

    /// When a recording came in last.
    pub(crate) fn last_use(&self) -> Instant {
        *self.last_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Computes until nobody can send recordings any more.
fn run(mut batch: Batch, arriving: &Receiver<Recording>, n_recordings: &AtomicUsize) {
    loop {
        if batch.n_recordings() == 0 {
            let Ok(recording) = arriving.recv() else { return };
            batch.push(recording);
        }
        while let Ok(recording) = arriving.try_recv() {
            batch.push(recording);
        }
        let n_before = batch.n_recordings();
        if catch_unwind(AssertUnwindSafe(|| batch.step())).is_err() {
            // Nobody knows which recording it was: all are given up, and those that come get a fresh start.
            tracing::error!("the engine panicked: {n_before} recordings are lost");
            batch = Batch::new(batch.model().clone(), batch.n_windows());
        }
        n_recordings.fetch_sub(n_before - batch.n_recordings(), Ordering::Relaxed);
    }
}
