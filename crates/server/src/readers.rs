//! Threads that turn recordings into features: always the same few.
//!
//! The system's allocator keeps what a thread has freed for that thread. On threads that come and go with the requests,
//! as tokio's are, what recordings need would be kept many times over.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use boswell_transcribe::Urgency;
use tokio::sync::oneshot;

/// What is read for nobody who waits is read by one thread, and what is spoken just now by these.
const N_LISTENERS: usize = 2;

/// All threads that read: a long recording that is a job keeps nobody waiting, and nothing keeps a speaker waiting.
pub(crate) struct AllReaders {
    live: Readers,
    waiting: Readers,
    background: Readers,
}

impl AllReaders {
    /// - `n`: recordings that clients wait for and that are read at once.
    ///
    /// # Errors
    /// If the system does not give the threads.
    pub(crate) fn start(n: usize) -> io::Result<Self> {
        let (live, waiting) = (Readers::start(N_LISTENERS)?, Readers::start(n)?);
        Ok(Self { live, waiting, background: Readers::start(1)? })
    }

    /// Those for recordings of such an urgency.
    pub(crate) fn of(&self, urgency: Urgency) -> &Readers {
        match urgency {
            Urgency::Live => &self.live,
            Urgency::Waiting => &self.waiting,
            Urgency::Background => &self.background,
        }
    }
}

type Work = Box<dyn FnOnce() + Send>;

/// Some threads, which end when nobody has this object any more.
pub(crate) struct Readers {
    work: Sender<Work>,
}

impl Readers {
    /// Starts `n` threads.
    ///
    /// # Errors
    /// If the system does not give them.
    pub(crate) fn start(n: usize) -> io::Result<Self> {
        let (work, arriving) = channel();
        let arriving = Arc::new(Mutex::new(arriving));
        for idx in 0..n {
            let arriving = arriving.clone();
            thread::Builder::new().name(format!("reader {idx}")).spawn(move || run(&arriving))?;
        }
        Ok(Self { work })
    }

    /// Does some work on the thread that is free first; `None` if it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, done) = oneshot::channel();
        // Nobody may wait for it any more.
        let work = Box::new(move || drop(tell.send(work())));
        self.work.send(work).ok()?;
        done.await.ok()
    }
}

fn run(arriving: &Mutex<Receiver<Work>>) {
    loop {
        // The lock is held while nothing arrives, and by one thread at a time; the others wait for it.
        let next = arriving.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            tracing::error!("reading a recording panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_by_the_same_threads_whatever_becomes_of_it() {
        let readers = Readers::start(2).unwrap();
        let mut threads = std::collections::BTreeSet::new();
        for idx in 0..20 {
            let done = readers.run(move || {
                assert_ne!(idx % 3, 1, "a panic is not the end of its thread");
                (idx, thread::current().name().map(str::to_owned))
            });
            match done.await {
                Some((found, name)) => {
                    assert_eq!(found, idx);
                    threads.insert(name);
                }
                None => assert_eq!(idx % 3, 1),
            }
        }
        assert!((1..=2).contains(&threads.len()), "{threads:?}");
    }
}
