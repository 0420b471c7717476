//! The pool, by what it does with many short jobs.

use std::sync::atomic::AtomicUsize;

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

#[test]
fn two_things_are_done_beside_each_other_and_both_use_the_pool() {
    for n_threads in [1, 2, 3, 6] {
        let threads = Threads::new(n_threads);
        for round in 0..300 {
            let sum = |n_jobs: usize| {
                let sum = AtomicUsize::new(0);
                for _ in 0..n_jobs {
                    threads.run(8, &|i| {
                        sum.fetch_add(i, Ordering::Relaxed);
                    });
                }
                sum.into_inner()
            };
            let (n_other, n_here) = (round % 7, round % 5);
            let sums = threads.beside(|| sum(n_other), || sum(n_here));
            assert_eq!(sums, (28 * n_other, 28 * n_here), "{n_threads} threads");
        }
    }
}

#[test]
fn who_is_done_first_helps_the_other() {
    let threads = Threads::new(2);
    let on_both = || {
        let ids = Mutex::new(std::collections::HashSet::new());
        // Until two threads have come, or for long.
        let started = Instant::now();
        while lock(&ids).len() < 2 && started.elapsed() < Duration::from_secs(10) {
            threads.run(2, &|_| {
                lock(&ids).insert(thread::current().id());
                thread::sleep(Duration::from_millis(1));
            });
        }
        lock(&ids).len()
    };
    assert_eq!(threads.beside(on_both, || 0), (2, 0));
    assert_eq!(threads.beside(|| 0, on_both), (0, 2));
}

#[test]
fn two_things_beside_each_other_run_at_the_same_time() {
    let threads = Threads::new(2);
    let barrier = std::sync::Barrier::new(2);
    let is_leader = || barrier.wait().is_leader();
    let (one, other) = threads.beside(is_leader, is_leader);
    assert_ne!(one, other, "both have waited for the other");
}

#[test]
fn a_panic_in_either_half_reaches_the_caller_after_the_other_half_is_done() {
    let threads = Threads::new(2);
    for fails_here in [false, true] {
        let n_done = AtomicUsize::new(0);
        let half = |fails: bool| {
            assert!(!fails, "expected in this test");
            threads.run(10, &|_| {
                n_done.fetch_add(1, Ordering::Relaxed);
            });
        };
        let result = panic::catch_unwind(AssertUnwindSafe(|| {
            threads.beside(|| half(!fails_here), || half(fails_here))
        }));
        assert!(result.is_err());
        assert_eq!(n_done.into_inner(), 10);
    }
    assert_eq!(threads.beside(|| 1, || 2), (1, 2));
}
