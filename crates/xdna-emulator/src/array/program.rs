//! A core tile's program memory and core.

use aie2::PROGRAM_MEMORY_BYTES;

use crate::core::{Access, Core, Guard, Region, Stop};

/// Where a core sees its own memory.
pub(super) const DATA: u32 = 0x7_0000;
const ENABLE: u32 = 1;
const RESET: u32 = 2;
/// In the status: the core has executed `done`.
const DONE: u32 = 1 << 20;

/// Program memory, and the core that runs it once it is enabled.
pub(super) struct Compute {
    memory: Box<[u8]>,
    /// The bytes that were written: from 0 to here.
    end: usize,
    control: u32,
    /// There from the first step after it was enabled on.
    core: Option<Box<Core>>,
    last: Option<Stop>,
    /// Start and length of what the image has put into data memory.
    segments: Vec<(u32, u32)>,
    guard: Option<Guard>,
}

impl Default for Compute {
    fn default() -> Self {
        let memory = vec![0; PROGRAM_MEMORY_BYTES].into_boxed_slice();
        Self { memory, end: 0, control: RESET, core: None, last: None, segments: Vec::new(), guard: None }
    }
}

impl Compute {
    /// Writes a word of program memory. A core that runs starts again with what is there then.
    pub(super) fn write(&mut self, at: usize, value: u32) {
        self.memory[at..at + 4].copy_from_slice(&value.to_le_bytes());
        self.end = self.end.max(at + 4);
        self.core = None;
    }

    /// Writes the control register.
    pub(super) fn control(&mut self, value: u32) {
        self.control = value;
        if value & RESET != 0 {
            self.core = None;
            self.last = None;
        }
    }

    pub(super) fn control_word(&self) -> u32 {
        self.control
    }

    pub(super) fn status(&self) -> u32 {
        self.control | if self.last == Some(Stop::Done) { DONE } else { 0 }
    }

    /// What the firmware does when a context starts: newer tools leave the reset to it.
    pub(super) fn launch(&mut self) {
        self.control &= !RESET;
    }

    /// The core, if it may run and there is a program.
    pub(super) fn running(&mut self) -> Option<&mut Core> {
        if self.control != ENABLE || self.last == Some(Stop::Done) || self.end == 0 {
            return None;
        }
        let Self { core, memory, end, guard, .. } = self;
        Some(core.get_or_insert_with(|| {
            let mut core = Core::new(&memory[..*end]);
            if let Some(guard) = guard {
                core.set_guard(guard.clone());
            }
            Box::new(core)
        }))
    }

    /// Notes what the image has put into data memory.
    pub(super) fn note_segment(&mut self, start: u32, bytes: u32) {
        self.segments.push((start, bytes));
    }

    /// Lets the core store into `buffers` that are for writing, and into its stack, which ends where the first buffer
    /// or table begins; not into tables and buffers that are for reading.
    pub(super) fn set_guard(&mut self, buffers: Vec<Region>) {
        let region = |name: &str, start, bytes, access| Region { name: name.into(), start, bytes, access };
        let tables = self
            .segments
            .iter()
            .map(|(start, bytes)| region("a table of the image", DATA + start, *bytes, Access::Read));
        let mut regions: Vec<Region> = tables.chain(buffers).collect();
        let end = regions.iter().map(|region| region.start).min().unwrap_or(DATA);
        regions.insert(0, region("the stack", DATA, end - DATA, Access::ReadWrite));
        self.guard = Some(Guard::new(regions));
    }

    /// The core, if it has been started, and why it last stopped.
    pub(super) fn started(&self) -> Option<(&Core, Option<Stop>)> {
        self.core.as_deref().map(|core| (core, self.last))
    }

    /// Keeps why the core has stopped.
    pub(super) fn stopped(&mut self, stop: Stop) {
        self.last = Some(stop);
    }
}
