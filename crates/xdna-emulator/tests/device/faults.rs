//! Every fault ends in an error in time, everything is given back in order, and the next try works.

use std::time::{Duration, Instant};

use xdna::Error;
use xdna::device::Device;
use xdna::memory::{Buffer, Heap};
use xdna::packet::State;
use xdna::session::{BackOff, Session};
use xdna_emulator::{Emulator, Fault, FaultKind, Options};

use crate::loopback::{Kernel, pattern, run};
use crate::{assert_nothing_is_left, open};

const WORDS: u32 = 16;

/// A device with a kernel and its buffers. Fields are dropped in the worst order: what the device uses first.
struct Bench {
    input: Buffer,
    output: Buffer,
    heap: Heap,
    kernel: Kernel,
}

impl Bench {
    fn open(emulator: &Emulator) -> Result<Self, Error> {
        let device: Device = Device::new(emulator.open())?;
        let heap = Heap::new(&device)?;
        let kernel = Kernel::identity(&heap, WORDS);
        let (input, output) = (Buffer::new(&device, 64)?, Buffer::new(&device, 64)?);
        Ok(Self { input, output, heap, kernel })
    }

    fn run(&mut self, seed: u32, timeout: Duration) -> Result<bool, Error> {
        let Self { input, output, kernel, .. } = self;
        input.write()?.copy_from_slice(&pattern(WORDS, seed));
        output.write()?.fill(0xAA);
        run(kernel, &[input, output], timeout)?;
        Ok(*output.read()? == pattern(WORDS, seed)[..])
    }
}

fn machine() -> Emulator {
    Emulator::new(Options { drain_limit: Duration::from_millis(50), ..Options::default() })
}

#[test]
fn every_fault_ends_in_time_and_the_next_try_works() {
    const TIMEOUT: Duration = Duration::from_millis(400);
    let cases = [
        FaultKind::Hang,
        FaultKind::Abort,
        FaultKind::GiveUp,
        FaultKind::Gone,
        FaultKind::Slow(Duration::from_secs(30)),
    ];
    for kind in cases {
        let emulator = machine();
        let back_off = BackOff { first: Duration::from_millis(1), most: Duration::from_millis(1) };
        let opener = emulator.clone();
        let mut session = Session::new(back_off, move || Bench::open(&opener));
        assert!(session.with(|bench| bench.run(1, Duration::from_secs(20))).unwrap());
        emulator.inject(Fault::next(kind));
        let start = Instant::now();
        let error = session.with(|bench| bench.run(2, TIMEOUT)).unwrap_err();
        assert!(start.elapsed() < TIMEOUT + Duration::from_secs(2), "{kind:?}: {:?}", start.elapsed());
        assert!(error.is_fatal(), "{kind:?}: {error}");
        match kind {
            FaultKind::Hang | FaultKind::Slow(_) => {
                assert!(matches!(error, Error::Timeout { .. }), "{error}");
            }
            FaultKind::Abort => {
                assert!(matches!(error, Error::GivenUp { state: State::Abort, health: None }), "{error}");
            }
            FaultKind::GiveUp => {
                assert!(
                    matches!(error, Error::GivenUp { state: State::Timeout, health: Some(_) }),
                    "{error}"
                );
            }
            _ => assert!(matches!(error, Error::Lost { .. }), "{error}"),
        }
        let until = Instant::now() + Duration::from_secs(20);
        let again = loop {
            match session.with(|bench| bench.run(3, Duration::from_secs(20))) {
                Err(Error::Resting { .. }) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                other => break other,
            }
        };
        assert!(again.unwrap(), "{kind:?}");
        drop(session);
        assert_nothing_is_left(&emulator);
    }
}

#[test]
fn a_failed_launch_leaves_the_device_usable() {
    let emulator = machine();
    let mut bench = Bench::open(&emulator).unwrap();
    emulator.inject(Fault::next(FaultKind::Fail));
    let error = bench.run(1, Duration::from_secs(20)).unwrap_err();
    assert!(matches!(error, Error::Failed) && !error.is_fatal());
    assert!(bench.run(2, Duration::from_secs(20)).unwrap());
    let _ = &bench.heap;
}

#[test]
fn a_wrong_result_looks_like_a_right_one_and_a_slow_launch_is_right() {
    let emulator = machine();
    let mut bench = Bench::open(&emulator).unwrap();
    emulator.inject(Fault { kind: FaultKind::WrongResult, after: 1 });
    assert!(bench.run(1, Duration::from_secs(20)).unwrap());
    assert!(!bench.run(2, Duration::from_secs(20)).unwrap());
    emulator.inject(Fault::next(FaultKind::Slow(Duration::from_millis(100))));
    let start = Instant::now();
    assert!(bench.run(3, Duration::from_secs(20)).unwrap());
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[test]
fn the_self_test_finds_a_device_that_computes_wrong() {
    let emulator = machine();
    emulator.inject(Fault { kind: FaultKind::WrongResult, after: 1 });
    let error = xdna::loopback::check(&open(&emulator), Duration::from_secs(20)).unwrap_err();
    assert!(matches!(error, Error::WrongAnswer { wrong: 1024, length: 4096 }), "{error}");
}

#[test]
fn what_a_hanging_command_uses_outlives_its_context() {
    let emulator = machine();
    let bench = Bench::open(&emulator).unwrap();
    emulator.inject(Fault::next(FaultKind::Hang));
    let Bench { input, output, heap, mut kernel } = bench;
    let error = run(&mut kernel, &[&input, &output], Duration::from_millis(50)).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }));
    assert!(matches!(output.read(), Err(Error::InUse { .. })), "the device may still write");
    assert!(matches!(run(&mut kernel, &[&input], Duration::from_millis(50)), Err(Error::Lost { .. })));
    // The buffers go first, as far as their owner is concerned.
    drop((input, output, heap));
    assert_eq!(emulator.audit().unmapped_in_flight, 0);
    drop(kernel);
    assert_nothing_is_left(&emulator);
}

#[test]
fn a_buffer_is_the_process_s_again_when_the_context_is_gone() {
    let emulator = machine();
    let Bench { input, output, mut kernel, .. } = Bench::open(&emulator).unwrap();
    emulator.inject(Fault::next(FaultKind::Hang));
    run(&mut kernel, &[&input, &output], Duration::from_millis(50)).unwrap_err();
    drop(kernel);
    assert!(output.read().is_ok());
}

#[test]
fn the_driver_gives_a_hanging_command_up_by_itself() {
    let emulator = Emulator::new(Options { hang_limit: Duration::from_millis(50), ..Options::default() });
    let mut bench = Bench::open(&emulator).unwrap();
    emulator.inject(Fault::next(FaultKind::Hang));
    let error = bench.run(1, Duration::from_secs(20)).unwrap_err();
    assert!(matches!(error, Error::GivenUp { state: State::Timeout, .. }), "{error}");
}

#[test]
fn many_launches_leak_nothing() {
    let launches = 100_000;
    let emulator = machine();
    let mut bench = Bench::open(&emulator).unwrap();
    let before = emulator.audit();
    for idx in 0..launches {
        let Bench { input, output, kernel, .. } = &mut bench;
        run(kernel, &[input, output], Duration::from_secs(60))
            .unwrap_or_else(|error| panic!("{idx}: {error}"));
    }
    let after = emulator.audit();
    assert_eq!(after, xdna_emulator::Audit { launches: before.launches + launches, ..before });
    drop(bench);
    assert_nothing_is_left(&emulator);
    drop(open(&emulator));
}
