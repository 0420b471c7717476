//! AMD's XDNA1 NPU (npu1: Phoenix, Hawk Point) in software, up to the kernel's driver.
//!
//! [`Emulator::open`] gives a node that takes the same ioctls as `/dev/accel/accelN`, with the same structs as bytes, the
//! same rules and the same errors. Behind it are the firmware's part (images, instruction streams), the array (DMA,
//! locks, streams) and the cores ([`core`]).
//!
//! Functional, deterministic, and silent about nothing: what is not modelled is an error that names it
//! ([`Emulator::take_reports`]). A command runs by itself, sees of the host's memory what the process has flushed, and
//! shows what the process invalidates. Time is counted in bundles issued; stalls, bank conflicts and transfer times are
//! not modelled.
//!
//! These are errors, since public sources do not say enough of them, or no program for npu1 needs them:
//!
//! | where | what |
//! |---|---|
//! | cores | `vmac.f` (order of sums, rounding), conversions to bf16 of denormals and NaNs or rounded otherwise than to even; control and status registers but `crRnd`; `s`, `q`, `dp` and `core_id`; streams and cascade |
//! | streams | data that is packet-switched, or arrives at a core, a FIFO, or for control packets |
//! | DMA | packets, padding, compression, suppressed ends; anything of a channel's control but reset and its tokens' receiver |
//! | images | waits, which loaders do not take |
//! | instruction streams | those of 2023; PREEMPT and LOADPDI, and whatever [`xdna::stream`] does not read |
//! | packets | all but START_CU of a kernel with opcode 3: chains too |

mod array;
pub mod core;
mod driver;
mod fault;
mod firmware;
mod options;

use std::sync::Arc;

use xdna::seam::Node;

pub use driver::Audit;
pub use fault::{Fault, FaultKind};
pub use firmware::CoreReport;
pub use options::{Addressing, Options};

/// A machine with an emulated NPU. Copies are the same machine.
#[derive(Debug, Clone)]
pub struct Emulator {
    machine: Arc<driver::Machine>,
}

impl Emulator {
    /// A machine with an NPU.
    pub fn new(options: Options) -> Self {
        Self { machine: Arc::new(driver::Machine::new(options)) }
    }

    /// Opens the NPU, as opening its node in `/dev/accel` would.
    pub fn open(&self) -> Box<dyn Node> {
        Box::new(driver::Client::new(self.machine.clone()))
    }

    /// Makes something go wrong in a launch to come.
    pub fn inject(&self, fault: Fault) {
        self.machine.inject(fault);
    }

    /// What the array has said of launches that failed since the last call: unknown registers, deadlocks with the lock
    /// table, and so on.
    pub fn take_reports(&self) -> Vec<String> {
        self.machine.take_reports()
    }

    /// The cores that have run, as the last launch left them.
    pub fn cores(&self) -> Vec<CoreReport> {
        self.machine.cores()
    }

    /// What processes hold of the machine now, and what they did that a driver must not allow.
    pub fn audit(&self) -> Audit {
        self.machine.audit()
    }
}
