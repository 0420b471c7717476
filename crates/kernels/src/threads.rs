//! A small pool of threads for work that comes in many short pieces.
#![allow(unsafe_code, reason = "hands borrowed work to threads that outlive the borrow, and waits for them")]

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a thread without work spins before it sleeps: longer than the gaps within a decoding step.
const SPIN: Duration = Duration::from_micros(100);
/// In [`Shared::state`]: a job is open, threads may join it.
const OPEN: u64 = 1 << 63;
/// In [`Shared::state`]: the threads that joined the job stand in the low bits, its number above them.
const JOINED: u64 = 0xffff;

/// More threads than any machine has use for, and fewer than [`JOINED`] can count.
const MAX_THREADS: usize = 1024;

/// A pool of threads, started once.
///
/// The thread that calls [`Threads::run`] works too, so a pool of one starts no thread at all. Threads that have
/// nothing to do spin briefly, then sleep. One job runs at a time: a second caller waits for the first.
pub struct Threads {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    turn: Mutex<()>,
}

struct Shared {
    /// OPEN, the number of the job, the threads that joined it.
    state: AtomicU64,
    job: UnsafeCell<Job>,
    /// The next task that nobody has taken.
    next: AtomicUsize,
    /// Threads that joined the job and have left it.
    left: AtomicUsize,
    panicked: AtomicBool,
    stop: AtomicBool,
    /// Which workers sleep, or are about to.
    asleep: Vec<AtomicBool>,
}

#[derive(Clone, Copy)]
struct Job {
    task: *const (dyn Fn(usize) + Sync),
    n_tasks: usize,
}

// SAFETY: `job` is written only by the caller of `run` while the job is closed and everybody has left it, and read
// only by threads that joined the open job. The pointer in it is valid for as long as the job is open or joined.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

thread_local! {
    /// Whether this thread is inside a job: work that it starts there, it does alone.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

impl Threads {
    /// Starts `n - 1` threads; together with the caller they are `n`. Zero counts as one, more than 1024 as 1024.
    ///
    /// # Panics
    /// If the system starts no more threads.
    pub fn new(n: usize) -> Self {
        let n_workers = n.clamp(1, MAX_THREADS) - 1;
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: UnsafeCell::new(Job { task: &|_| {}, n_tasks: 0 }),
            next: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
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
        if self.workers.is_empty() || n_tasks <= 1 || INSIDE.get() {
            (0..n_tasks).for_each(task);
            return;
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.open(task, n_tasks);
        for (worker, asleep) in self.workers.iter().zip(&self.shared.asleep) {
            if asleep.load(Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
        let result = panic::catch_unwind(AssertUnwindSafe(|| self.shared.take_tasks(task, n_tasks)));
        self.shared.close();
        if let Err(payload) = result {
            panic::resume_unwind(payload);
        }
        assert!(!self.shared.panicked.load(Ordering::Relaxed), "a task panicked on another thread");
    }

    /// Cuts `items` into chunks of `len` (the last may be shorter) and calls `task(index, chunk)` for each.
    ///
    /// # Panics
    /// If `len` is zero.
    pub fn for_each_chunk<T: Send>(
        &self,
        items: &mut [T],
        len: usize,
        task: impl Fn(usize, &mut [T]) + Sync,
    ) {
        assert!(len > 0, "a chunk has at least one item");
        let n_items = items.len();
        let start = Shares(items.as_mut_ptr());
        self.run(n_items.div_ceil(len), &|idx| {
            let at = idx * len;
            let start = &start;
            // SAFETY: `at..at + len` is cut off at the end of `items`, and `run` calls each index once, so the
            // chunks do not overlap; `items` stays borrowed until `run` returns.
            let chunk = unsafe { std::slice::from_raw_parts_mut(start.0.add(at), len.min(n_items - at)) };
            task(idx, chunk);
        });
    }

    /// Cuts a matrix of `n_columns` into tiles of up to `rows` x `columns` and calls `task(rows, columns, tile)` for
    /// each.
    ///
    /// # Panics
    /// If `matrix` is not a multiple of `n_columns`, or a tile has no rows or columns.
    pub(crate) fn for_each_tile<T: Send>(
        &self,
        matrix: &mut [T],
        n_columns: usize,
        rows: usize,
        columns: usize,
        task: impl Fn(Range<usize>, Range<usize>, TileMut<'_, T>) + Sync,
    ) {
        assert!(matrix.len().is_multiple_of(n_columns) && rows > 0 && columns > 0, "no tiles of that shape");
        let n_rows = matrix.len() / n_columns;
        let (n_down, n_across) = (n_rows.div_ceil(rows), n_columns.div_ceil(columns));
        let start = Shares(matrix.as_mut_ptr());
        self.run(n_down * n_across, &|idx| {
            let (down, across) = (idx / n_across * rows, idx % n_across * columns);
            let (rows, columns) =
                (down..(down + rows).min(n_rows), across..(across + columns).min(n_columns));
            let start = &start; // all of it, because the pointer alone may not be shared
            let (matrix, stride) = (PhantomData, n_columns);
            let tile =
                TileMut { data: start.0, stride, rows: rows.clone(), columns: columns.clone(), matrix };
            task(rows, columns, tile);
        });
    }
}

/// A part of a matrix that one task may write: some rows, and of them some columns.
pub(crate) struct TileMut<'a, T = f32> {
    data: *mut T, // of the matrix
    stride: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    matrix: PhantomData<&'a mut [T]>,
}

impl<'a, T> TileMut<'a, T> {
    /// All rows and columns of a matrix of `n_columns`.
    #[inline(always)]
    pub(crate) fn whole(matrix: &'a mut [T], n_columns: usize) -> Self {
        let rows = 0..matrix.len() / n_columns;
        let data = matrix.as_mut_ptr();
        Self { data, stride: n_columns, rows, columns: 0..n_columns, matrix: PhantomData }
    }

    /// The tile's columns of one row of the matrix.
    ///
    /// # Panics
    /// If the row is not in the tile.
    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize) -> &mut [T] {
        assert!(self.rows.contains(&row), "row {row} is not in the tile");
        // SAFETY: the tile was made of a matrix that holds these rows and columns and is borrowed while the tile lives,
        // and `for_each_tile` gives no part of it to two tiles; `self` is borrowed while the row lives.
        unsafe {
            let start = self.data.add(row * self.stride + self.columns.start);
            std::slice::from_raw_parts_mut(start, self.columns.len())
        }
    }
}

/// A pointer that several threads may use, each for a share of its own.
struct Shares<T>(*mut T);
// SAFETY: the items are `Send`, and each is used by one thread only (see `for_each_chunk`).
unsafe impl<T: Send> Sync for Shares<T> {}

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
    /// Publishes a job. The caller holds the turn, and the job before is closed.
    fn open(&self, task: &(dyn Fn(usize) + Sync), n_tasks: usize) {
        // SAFETY: only the lifetime is changed; `run` does not return before `close` has seen everybody leave.
        let task: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(task) };
        // SAFETY: the job before is closed and everybody has left it, so nobody reads this.
        unsafe { *self.job.get() = Job { task, n_tasks } };
        self.next.store(0, Ordering::Relaxed);
        self.left.store(0, Ordering::Relaxed);
        self.panicked.store(false, Ordering::Relaxed);
        let number = (self.state.load(Ordering::Relaxed) & !OPEN & !JOINED) + JOINED + 1;
        self.state.store(OPEN | (number & !OPEN), Ordering::SeqCst);
    }

    /// Lets nobody else join, and waits until everybody who did has left.
    fn close(&self) {
        let joined = (self.state.fetch_and(!OPEN, Ordering::AcqRel) & JOINED) as usize;
        let mut n_spins = 0u32;
        while self.left.load(Ordering::Acquire) < joined {
            n_spins += 1;
            if n_spins.is_multiple_of(1 << 12) { thread::yield_now() } else { std::hint::spin_loop() }
        }
    }

    fn take_tasks(&self, task: &(dyn Fn(usize) + Sync), n_tasks: usize) {
        INSIDE.set(true);
        // Set back even if a task panics.
        let _guard = Leave;
        loop {
            let idx = self.next.fetch_add(1, Ordering::Relaxed);
            if idx >= n_tasks {
                return;
            }
            task(idx);
        }
    }

    /// The life of a worker.
    fn work(&self, worker_idx: usize) {
        let mut done = 0; // the number of the last job seen
        while let Some(number) = self.next_job(worker_idx, done) {
            done = number;
            let joined = self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |state| {
                (state & OPEN != 0 && state & !OPEN & !JOINED == number).then_some(state + 1)
            });
            if joined.is_err() {
                continue;
            }
            // SAFETY: this thread has joined the open job, so the caller of `run` waits for it to leave.
            let (task, n_tasks) = unsafe {
                let job = *self.job.get();
                (&*job.task, job.n_tasks)
            };
            if panic::catch_unwind(AssertUnwindSafe(|| self.take_tasks(task, n_tasks))).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.left.fetch_add(1, Ordering::Release);
        }
    }

    /// Waits for a job other than `done` and returns its number; `None` when the pool is dropped.
    fn next_job(&self, worker_idx: usize, done: u64) -> Option<u64> {
        let open_job = || {
            let state = self.state.load(Ordering::SeqCst);
            let number = state & !OPEN & !JOINED;
            (state & OPEN != 0 && number != done).then_some(number)
        };
        let mut started = Instant::now();
        loop {
            for _ in 0..64 {
                if let Some(number) = open_job() {
                    return Some(number);
                }
                std::hint::spin_loop();
            }
            if self.stop.load(Ordering::SeqCst) {
                return None;
            }
            if started.elapsed() > SPIN {
                // Say so before the last look: a job that is opened after that look sees it and wakes this thread.
                self.asleep[worker_idx].store(true, Ordering::SeqCst);
                while open_job().is_none() && !self.stop.load(Ordering::SeqCst) {
                    thread::park();
                }
                self.asleep[worker_idx].store(false, Ordering::SeqCst);
                started = Instant::now();
            }
        }
    }
}

/// Marks the thread as outside of any job when it goes.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_whatever_the_number_of_threads() {
        for n_threads in [0, 1, 2, 5] {
            let threads = Threads::new(n_threads);
            for n_tasks in [0, 1, 2, 3, 100] {
                let counts: Vec<AtomicUsize> = (0..n_tasks).map(|_| AtomicUsize::new(0)).collect();
                threads.run(n_tasks, &|i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(
                    counts.iter().all(|c| c.load(Ordering::Relaxed) == 1),
                    "{n_threads} threads, {n_tasks} tasks"
                );
            }
        }
    }

    #[test]
    fn chunks_cover_all_items() {
        let threads = Threads::new(3);
        let mut items = vec![0usize; 1001];
        threads.for_each_chunk(&mut items, 64, |idx, chunk| chunk.fill(idx + 1));
        assert!(items.iter().enumerate().all(|(i, x)| *x == i / 64 + 1));
    }

    #[test]
    fn many_short_jobs_with_pauses_all_finish() {
        let threads = Threads::new(4);
        let sum = AtomicUsize::new(0);
        for round in 0..5000 {
            threads.run(8, &|i| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
            if round % 1000 == 0 {
                thread::sleep(3 * SPIN);
            }
        }
        assert_eq!(sum.into_inner(), 5000 * 28);
    }

    #[test]
    fn callers_on_several_threads_take_turns() {
        let threads = Threads::new(3);
        let sum = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        threads.run(4, &|i| {
                            sum.fetch_add(i + 1, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 4 * 200 * 10);
    }

    #[test]
    fn work_within_a_task_is_done_on_the_same_thread() {
        let threads = Threads::new(2);
        let sum = AtomicUsize::new(0);
        threads.run(4, &|_| {
            threads.run(3, &|_| {
                sum.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.into_inner(), 12);
    }

    #[test]
    fn a_panic_in_a_task_reaches_the_caller_and_the_pool_lives_on() {
        let threads = Threads::new(2);
        for _ in 0..20 {
            let result = panic::catch_unwind(AssertUnwindSafe(|| {
                threads.run(6, &|i| assert!(i != 3, "expected in this test"));
            }));
            assert!(result.is_err());
        }
        let count = AtomicUsize::new(0);
        threads.run(6, &|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 6);
    }
}
