//! How long a bundle must wait for the ones before it.

use std::collections::BTreeMap;

use crate::{Access, Bundle, Error, Instruction, Latencies, Opcode, Register};

/// Bundles that must lie between the set-up of a hardware loop and its last bundle.
const LOOP_SET_UP: u64 = 7;

/// What is on its way in straight code.
#[derive(Default)]
pub(super) struct Scheduler {
    latencies: Latencies,
    /// The next bundle.
    now: u64,
    /// From when on results are visible, by part of the register file.
    ready: BTreeMap<u16, u64>,
    /// When registers are still read by an instruction that was issued.
    read: BTreeMap<u16, u64>,
    /// From when on memory may be used.
    memory: u64,
    /// When the last register of the hardware loop was written.
    loop_set_up: Option<u64>,
}

impl Scheduler {
    pub(super) fn delay_slots(&self) -> u64 {
        u64::from(self.latencies.delay_slots)
    }

    /// Bundles until nothing is on its way.
    pub(super) fn unsettled(&self) -> u64 {
        let read = self.read.values().map(|cycle| cycle + 1);
        let latest = self.ready.values().copied().chain(read).chain([self.memory]).max();
        latest.map_or(0, |latest| latest.saturating_sub(self.now))
    }

    /// Bundles to wait before a hardware loop begins, however short it is.
    pub(super) fn loop_gap(&self) -> u64 {
        self.loop_set_up.map_or(0, |cycle| (cycle + LOOP_SET_UP).saturating_sub(self.now))
    }

    /// Lets bundles go by that do nothing.
    pub(super) fn advance(&mut self, bundles: u64) {
        self.now += bundles;
        let now = self.now;
        self.ready.retain(|_, cycle| *cycle > now);
        self.read.retain(|_, cycle| *cycle >= now);
    }

    /// Bundles to wait before a bundle that sees everything as it should be.
    pub(super) fn wait(&self, bundle: &[Instruction], at_loop_end: bool) -> Result<u64, Error> {
        let mut at = self.now;
        for instruction in bundle {
            for (part, cycle) in parts(instruction.reads(&self.latencies)) {
                at = at.max(self.ready.get(&part).map_or(0, |ready| ready.saturating_sub(cycle)));
            }
            for (part, cycle) in parts(instruction.writes(&self.latencies)) {
                let before = self.ready.get(&part).into_iter().chain(self.read.get(&part)).max();
                at = at.max(before.map_or(0, |before| (before + 1).saturating_sub(cycle)));
            }
            if instruction.opcode().is_memory_access() {
                at = at.max(self.memory);
            }
        }
        let longest = bundle.iter().map(|instruction| self.duration(instruction)).max().unwrap_or(0);
        if bundle.iter().any(|instruction| instruction.opcode().is_jump()) {
            // Whatever is on its way must have arrived at the target.
            let target = self.delay_slots() + 1;
            if longest > target {
                return Err(Error::Misplaced(
                    "a bundle with a jump has a result that comes after its target",
                ));
            }
            at = at.max((self.now + self.unsettled()).saturating_sub(target));
        }
        if bundle.iter().any(|instruction| instruction.opcode() == Opcode::Done) {
            at = at.max(self.now + self.unsettled());
        }
        if at_loop_end && longest > 1 {
            return Err(Error::Misplaced("the last bundle of a loop has a result that comes too late"));
        }
        Ok(at - self.now)
    }

    /// Bundles until everything that an instruction does is done.
    fn duration(&self, instruction: &Instruction) -> u64 {
        let writes = instruction.writes(&self.latencies).into_iter().map(|access| u64::from(access.cycle));
        let reads = instruction.reads(&self.latencies).into_iter().map(|access| u64::from(access.cycle) + 1);
        writes.chain(reads).max().unwrap_or(0)
    }

    /// Issues a bundle.
    pub(super) fn issue(&mut self, bundle: &[Instruction]) {
        for instruction in bundle {
            for (part, cycle) in parts(instruction.reads(&self.latencies)) {
                if cycle > 0 {
                    self.read.insert(part, self.now + cycle);
                }
            }
            for access in instruction.writes(&self.latencies) {
                if matches!(access.register, Register::Lc | Register::Ls | Register::Le) {
                    self.loop_set_up = Some(self.now);
                }
                for (part, cycle) in parts(vec![access]) {
                    self.ready.insert(part, self.now + cycle);
                }
            }
            if instruction.opcode().is_part_word_store() {
                self.memory = self.now + u64::from(self.latencies.part_word_data) + 1;
            }
        }
        self.advance(1);
    }
}

/// The parts of the register file that are accessed, with when.
fn parts(accesses: Vec<Access>) -> impl Iterator<Item = (u16, u64)> {
    accesses
        .into_iter()
        .flat_map(|access| access.register.parts().map(move |part| (part, u64::from(access.cycle))))
}

/// Nops: so many bundles (one at least, if there are bytes), with so many bytes modulo 16.
pub(super) fn nops(bundles: u64, bytes: usize) -> Vec<u8> {
    use Opcode::*;
    let by_size: [&[Opcode]; 8] = [
        &[Nop],
        &[NopX],
        &[NopXm],
        &[NopX, NopM],
        &[NopX, NopM, NopV],
        &[NopA, NopX, NopM, NopV],
        &[NopA, NopB, NopX, NopM, NopV],
        &[NopA, NopB, NopS, NopX, NopM, NopV],
    ];
    // All nops are small but the first.
    let first = (bytes + 16 * bundles as usize - 2 * bundles as usize) % 16 / 2;
    let mut text = Vec::new();
    for i in 0..bundles {
        let opcodes = by_size[if i == 0 { first } else { 0 }];
        let nop = |opcode: &Opcode| Instruction::new(*opcode, Vec::new()).expect("nops have no operands");
        let bundle = Bundle::new(opcodes.iter().map(nop).collect()).expect("these slots have a format");
        text.extend(bundle.encode());
    }
    text
}
