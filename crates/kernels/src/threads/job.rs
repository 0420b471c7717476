//! A job: tasks that several threads share.

use std::cell::UnsafeCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use super::{Place, Stay};

/// In [`Job::state`]: the job is open, threads may join it.
const OPEN: u64 = 1 << 63;
/// In [`Job::state`]: the threads that joined the job stand in the low bits, its number above them.
const JOINED: u64 = 0xffff;

/// Room for one job at a time: it is opened, worked on and closed, then comes the next.
pub(super) struct Job {
    /// OPEN, the number of the job, the threads that joined it.
    state: AtomicU64,
    tasks: UnsafeCell<Tasks>,
    /// The next task that nobody has taken.
    next: AtomicUsize,
    /// Threads that joined the job and have left it.
    left: AtomicUsize,
    panicked: AtomicBool,
}

#[derive(Clone, Copy)]
struct Tasks {
    task: *const (dyn Fn(usize) + Sync),
    n_tasks: usize,
}

// SAFETY: `tasks` is written only by `open`, while the job is closed and everybody has left it, and read only by threads
// that joined the open job. The pointer in it is valid for as long as the job is open or joined.
unsafe impl Send for Job {}
// SAFETY: as above.
unsafe impl Sync for Job {}

impl Default for Job {
    /// Closed; its number is 0.
    fn default() -> Self {
        Self {
            state: AtomicU64::new(0),
            tasks: UnsafeCell::new(Tasks { task: &|_| {}, n_tasks: 0 }),
            next: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
        }
    }
}

impl Job {
    /// Opens the job for others and returns its number. The caller is the only one who may, the job before is closed, and
    /// it calls [`close`](Self::close) before `task` goes.
    pub(super) fn open(&self, task: &(dyn Fn(usize) + Sync), n_tasks: usize) -> u64 {
        // SAFETY: only the lifetime is changed; the caller calls `close`, which does not return before everybody has left.
        let task: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(task) };
        // SAFETY: the job before is closed and everybody has left it, so nobody reads this.
        unsafe { *self.tasks.get() = Tasks { task, n_tasks } };
        self.next.store(0, Ordering::Relaxed);
        self.left.store(0, Ordering::Relaxed);
        self.panicked.store(false, Ordering::Relaxed);
        let number = number(self.state.load(Ordering::Relaxed)).wrapping_add(JOINED + 1) & !OPEN;
        self.state.store(OPEN | number, Ordering::SeqCst);
        number
    }

    /// Lets nobody else join, and waits until everybody who did has left: `pause` is called again and again meanwhile.
    /// Returns whether no task panicked on another thread.
    pub(super) fn close(&self, mut pause: impl FnMut()) -> bool {
        let joined = (self.state.fetch_and(!OPEN, Ordering::AcqRel) & JOINED) as usize;
        let mut n_pauses = 0u32;
        while self.left.load(Ordering::Acquire) < joined {
            n_pauses += 1;
            if n_pauses.is_multiple_of(1 << 12) { thread::yield_now() } else { pause() }
        }
        !self.panicked.load(Ordering::Relaxed)
    }

    /// Does tasks of the open job until all are taken.
    pub(super) fn take_tasks(&self, task: &(dyn Fn(usize) + Sync), n_tasks: usize) {
        let _task = Stay::at(Place::Task);
        loop {
            let idx = self.next.fetch_add(1, Ordering::Relaxed);
            if idx >= n_tasks {
                return;
            }
            task(idx);
        }
    }

    /// Whether the job is open and another than number `seen`.
    pub(super) fn is_new(&self, seen: u64) -> bool {
        let state = self.state.load(Ordering::SeqCst);
        state & OPEN != 0 && number(state) != seen
    }

    /// Works on the job, if it is open and another than number `seen`, until all tasks are taken; it is the one that was
    /// seen then.
    pub(super) fn join(&self, seen: &mut u64) -> bool {
        let joined = self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |state| {
            (state & OPEN != 0 && number(state) != *seen).then_some(state + 1)
        });
        let Ok(state) = joined else { return false };
        *seen = number(state);
        // SAFETY: this thread has joined the open job, so whoever opened it waits for it to leave.
        let (task, n_tasks) = unsafe {
            let tasks = *self.tasks.get();
            (&*tasks.task, tasks.n_tasks)
        };
        if panic::catch_unwind(AssertUnwindSafe(|| self.take_tasks(task, n_tasks))).is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
        self.left.fetch_add(1, Ordering::Release);
        true
    }
}

fn number(state: u64) -> u64 {
    state & !OPEN & !JOINED
}
