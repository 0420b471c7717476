//! A small pool of threads for work that comes in many short pieces.
#![allow(unsafe_code, reason = "hands borrowed work to threads that outlive the borrow, and waits for them")]

mod job;
mod tile;

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use job::Job;
pub(crate) use tile::TileMut;

/// How long a thread without work spins before it sleeps: longer than the gaps within a decoding step.
const SPIN: Duration = Duration::from_micros(100);

/// More threads than any machine has use for, and fewer than a [`Job`] can count.
const MAX_THREADS: usize = 1024;

/// The job of whoever has the turn.
const OUTER: usize = 0;
/// Jobs within the two halves of [`Threads::beside`]. Who is free looks at them in this order.
const HERE: usize = 1;
const OTHER: usize = 2;
/// All jobs that there can be at a time.
const N_JOBS: usize = 3;

/// A pool of threads, started once.
///
/// The thread that calls [`Threads::run`] works too, so a pool of one starts no thread at all. Threads that have
/// nothing to do spin briefly, then sleep. One caller has the turn at a time: a second one waits for the first.
pub struct Threads {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    turn: Mutex<()>,
}

struct Shared {
    jobs: [Job; N_JOBS],
    stop: AtomicBool,
    /// Which workers sleep, or are about to.
    asleep: Vec<AtomicBool>,
}

/// The jobs that a thread has seen last, by number.
type Seen = [u64; N_JOBS];

/// Where a thread is, as far as pools are concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It waits for its turn if it has work.
    Outside,
    /// In a half of [`Threads::beside`]: it has the turn of that pool, for one of its jobs.
    Half { pool: *const Shared, job: usize },
    /// In a task: work that it starts there, it does alone.
    Task,
}

thread_local! {
    static PLACE: Cell<Place> = const { Cell::new(Place::Outside) };
}

/// Keeps a thread in a place until it is dropped.
struct Stay {
    before: Place,
}

impl Stay {
    fn at(place: Place) -> Self {
        Self { before: PLACE.replace(place) }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        PLACE.set(self.before);
    }
}

impl Threads {
    /// Starts `n - 1` threads; together with the caller they are `n`. Zero counts as one, more than 1024 as 1024.
    ///
    /// # Panics
    /// If the system starts no more threads.
    pub fn new(n: usize) -> Self {
        let n_workers = n.clamp(1, MAX_THREADS) - 1;
        let shared = Arc::new(Shared {
            jobs: Default::default(),
            stop: AtomicBool::new(false),
            asleep: (0..n_workers).map(|_| AtomicBool::new(false)).collect(),
        });
        let start = |idx| {
            let shared = Arc::clone(&shared);
            let name = format!("boswell-{idx}");
            thread::Builder::new()
                .name(name)
                .spawn(move || shared.work(idx))
                .expect("the system starts threads")
        };
        let workers = (0..n_workers).map(start).collect();
        Self { shared, workers, turn: Mutex::new(()) }
    }

    /// How many threads work, the caller included.
    pub fn count(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(0)` to `task(n_tasks - 1)`, each once, on whichever thread is free; returns when all are done.
    ///
    /// Called from within a task, it does the work on the calling thread.
    ///
    /// # Panics
    /// If a task panics, after the tasks that other threads have begun are done.
    pub fn run(&self, n_tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let place = PLACE.get();
        if self.workers.is_empty() || n_tasks <= 1 || place == Place::Task {
            (0..n_tasks).for_each(task);
            return;
        }
        let (job, _turn) = match place {
            Place::Half { pool, job } if pool == Arc::as_ptr(&self.shared) => (job, None),
            _ => (OUTER, Some(self.turn())),
        };
        let job = &self.shared.jobs[job];
        job.open(task, n_tasks);
        self.wake();
        let result = panic::catch_unwind(AssertUnwindSafe(|| job.take_tasks(task, n_tasks)));
        let is_fine = job.close(std::hint::spin_loop);
        if let Err(payload) = result {
            panic::resume_unwind(payload);
        }
        assert!(is_fine, "a task panicked on another thread");
    }

    /// Does `here` on the calling thread and `other` meanwhile on another, and returns what both give. Either may call
    /// [`run`](Self::run): threads that have nothing to do help both, so that neither waits for the other to begin, and
    /// whoever is done first helps the other.
    ///
    /// Without another thread, or from within a task, `other` is done first.
    ///
    /// # Panics
    /// If one of them panics, after the other is done; without another thread, at once.
    pub fn beside<A: Send, B>(&self, other: impl FnOnce() -> A + Send, here: impl FnOnce() -> B) -> (A, B) {
        if self.workers.is_empty() || PLACE.get() != Place::Outside {
            return (other(), here());
        }
        let _turn = self.turn();
        let half = |job| Stay::at(Place::Half { pool: Arc::as_ptr(&self.shared), job });
        let (other, done) = (Mutex::new(Some(other)), Mutex::new(None));
        let task = |_: usize| {
            let other = lock(&other).take().expect("a task runs once");
            let _half = half(OTHER);
            *lock(&done) = Some(other());
        };
        let job = &self.shared.jobs[OUTER];
        let number = job.open(&task, 1);
        self.wake();
        let here = panic::catch_unwind(AssertUnwindSafe(|| {
            let _half = half(HERE);
            here()
        }));
        let rest = panic::catch_unwind(AssertUnwindSafe(|| job.take_tasks(&task, 1)));
        let mut seen = Seen::default();
        seen[OUTER] = number;
        let is_fine = job.close(|| {
            if !self.shared.help(&mut seen) {
                std::hint::spin_loop();
            }
        });
        match (rest, here) {
            (Ok(()), Ok(here)) if is_fine => (lock(&done).take().expect("both are done"), here),
            (Err(payload), _) | (_, Err(payload)) => panic::resume_unwind(payload),
            _ => panic!("a task panicked on another thread"),
        }
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        lock(&self.turn)
    }

    /// Wakes the workers that sleep: a job is open.
    fn wake(&self) {
        for (worker, asleep) in self.workers.iter().zip(&self.shared.asleep) {
            if asleep.load(Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches the panics of its tasks, so it ends without one.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// The life of a worker.
    fn work(&self, worker_idx: usize) {
        let mut seen = Seen::default();
        while self.wait(worker_idx, &seen) {
            self.help(&mut seen);
        }
    }

    /// Works on an open job that was not seen before, if there is one, until nobody has to begin any more of it.
    fn help(&self, seen: &mut Seen) -> bool {
        self.jobs.iter().zip(seen).any(|(job, seen)| job.join(seen))
    }

    /// Waits for a job that was not seen before; `false` when the pool is dropped.
    fn wait(&self, worker_idx: usize, seen: &Seen) -> bool {
        let is_any = || self.jobs.iter().zip(seen).any(|(job, seen)| job.is_new(*seen));
        let mut started = Instant::now();
        loop {
            for _ in 0..64 {
                if is_any() {
                    return true;
                }
                std::hint::spin_loop();
            }
            if self.stop.load(Ordering::SeqCst) {
                return false;
            }
            if started.elapsed() > SPIN {
                // Say so before the last look: a job that is opened after that look sees it and wakes this thread.
                self.asleep[worker_idx].store(true, Ordering::SeqCst);
                while !is_any() && !self.stop.load(Ordering::SeqCst) {
                    thread::park();
                }
                self.asleep[worker_idx].store(false, Ordering::SeqCst);
                started = Instant::now();
            }
        }
    }
}

#[cfg(test)]
mod tests;
