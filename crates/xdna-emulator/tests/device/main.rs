//! The device from ioctls to the array, through `xdna`'s handles: on the emulator, and the same suite on silicon with
//! `cargo test -p xdna-emulator --test device -- --ignored silicon`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod hostile;
mod loopback;
mod numbers;
mod reference;
mod refusals;
mod rules;
mod suite;

use std::path::Path;

use xdna::device::{self, Device};
use xdna_emulator::{Addressing, Emulator, Options};

/// A suite's test on the emulator, in both ways of addressing, and on silicon.
macro_rules! on_every_device {
    ($($module:ident::$name:ident)*) => {
        mod emulated {
            $(#[test] fn $name() {
                for addressing in [super::Addressing::Process, super::Addressing::Given] {
                    let emulator = super::Emulator::new(super::Options { addressing, ..Default::default() });
                    super::$module::$name(&super::open(&emulator));
                    assert_eq!(emulator.take_reports(), [""; 0]);
                    super::assert_nothing_is_left(&emulator);
                }
            })*
        }

        mod silicon {
            $(#[test] #[ignore = "needs an NPU"] fn $name() {
                super::$module::$name(&super::device::open_first(super::Path::new("/")).unwrap());
            })*
        }
    };
}

on_every_device! {
    suite::words_go_through_the_array_and_come_back
    suite::the_self_test_passes
    suite::a_memory_tile_can_transpose
    suite::a_core_computes_what_its_program_says
    suite::launches_overlap_up_to_the_limit
    suite::a_buffer_in_flight_cannot_be_touched
    suite::the_device_describes_itself
    suite::programs_share_the_heap
    suite::several_contexts_take_turns
    numbers::a_program_in_plain_numbers_gives_what_its_numbers_say
}

fn open(emulator: &Emulator) -> Device {
    Device::new(emulator.open()).unwrap()
}

#[track_caller]
fn assert_nothing_is_left(emulator: &Emulator) {
    let audit = emulator.audit();
    let expected = xdna_emulator::Audit { launches: audit.launches, ..Default::default() };
    assert_eq!(audit, expected);
}
