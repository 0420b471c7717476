//! A compute core: an interpreter of [`aie2`] programs.
//!
//! The pipeline is exposed, so delayed write-back is part of what programs mean: a result becomes visible some bundles
//! after it was computed ([`Latencies`]), stores of parts of words read their data late, and a jump is followed by its
//! delay slots. A cycle is an issued bundle. What a program may not rely on is a [`Fault`].
//!
//! ```
//! use xdna_emulator::core::{Core, MemoryModule, Stop, Windows};
//!
//! let program = aie2::assemble("movxm p0, #0x70000 \n mova r1, #42 \n st r1, [p0, #8] \n done").expect("it is right");
//! let mut tile = MemoryModule::new();
//! let mut core = Core::new(&program.text);
//! assert_eq!(core.run(&mut Windows::own(&mut tile), 1000), Ok(Stop::Done));
//! assert_eq!((tile.data[8], core.cycles()), (42, 4));
//! ```

mod decoded;
mod execute;
mod fault;
mod guard;
mod locks;
mod memory;
mod vector;

#[cfg(test)]
mod tests;

pub use fault::{Cause, Fault};
pub use guard::{Access, Guard, Region};
pub use locks::{LockOverflow, Locks};
pub use memory::{DATA_MEMORY_BYTES, MemoryModule, Side, Windows};

use aie2::{Latencies, Opcode, PROGRAM_MEMORY_BYTES, Register};
use decoded::{Op, Program, Step};
use vector::{Half, Vectors};

/// Numbers of registers in the register file, as [`Register::move_code`] gives them.
const R27: u8 = 27 << 2;
const R29: u8 = 29 << 2;
const R31: u8 = 31 << 2;
const LS: u8 = 7;
const LR: u8 = 39;
const RND: u8 = 49;
const LE: u8 = 71;
const LC: u8 = 87;
const SP: u8 = 103;

/// A cycle that does not come.
const NEVER: u64 = u64::MAX;

/// An address that no bundle has.
const NO_BUNDLE: u32 = 0xF_FFFF;

/// Latencies must be below this.
const HORIZON: usize = 16;

/// Bundles that must lie between the set-up of a hardware loop and its last bundle.
const LOOP_SET_UP: u64 = 7;

/// Why a core stopped running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It executed `done`.
    Done,
    /// It waits for a lock, and will try again when it is run again.
    Blocked {
        /// The lock as the core numbers it: 0–15 south, 16–31 west, 32–47 north, 48–63 its own tile.
        lock: u8,
        /// −n: until it is at least n; n: until it is n.
        request: i32,
    },
    /// It issued as many bundles as it was given.
    Budget,
}

/// A store that reaches memory after the bundle that issued it.
struct LateStore {
    due: u64,
    address: u32,
    value: LateValue,
}

enum LateValue {
    /// The lowest byte of a register, which is read when the store is due.
    Byte { register: u8 },
    /// The lowest two bytes.
    TwoBytes { register: u8 },
    /// 256 bits.
    Half(Half),
}

/// Writes of registers that are on their way, by the cycle that first sees them, modulo [`HORIZON`].
struct Pending {
    writes: [[(u8, u32); 16]; HORIZON],
    counts: [u8; HORIZON],
}

/// A core.
pub struct Core {
    latencies: Latencies,
    program: Program,
    registers: [u32; 128],
    vectors: Vectors,
    pc: u32,
    cycle: u64,
    pending: Pending,
    /// Writes that the next bundle sees.
    written: [(u8, u32); 8],
    written_count: usize,
    late: Vec<LateStore>,
    /// Cycle and address of the last store of part of a word.
    part_word_store: Option<(u64, u32)>,
    /// The last of the delay slots, and where it goes on then.
    jump_at: u64,
    jump_target: u32,
    loop_set_up: Option<u64>,
    done: bool,
    stack_high: u32,
    guard: Option<Guard>,
}

impl Core {
    /// A core that runs `text`, at most [`PROGRAM_MEMORY_BYTES`], from address 0.
    ///
    /// # Panics
    /// If `text` is longer, as in [`Core::with_latencies`].
    pub fn new(text: &[u8]) -> Core {
        Core::with_latencies(text, Latencies::default())
    }

    /// The same with another pipeline, for tests that must see the difference.
    ///
    /// # Panics
    /// If a latency of a result is 0 or more than 15.
    pub fn with_latencies(text: &[u8], latencies: Latencies) -> Core {
        assert!(text.len() <= PROGRAM_MEMORY_BYTES, "program has {} bytes", text.len());
        let Latencies { result, multiply, load, link, vector_move, vector_float, .. } = latencies;
        for latency in [result, multiply, load, link, vector_move, vector_float] {
            assert!((1..HORIZON as u32).contains(&latency), "latency {latency}");
        }
        let mut registers = [0; 128];
        registers[usize::from(LE)] = NO_BUNDLE; // Until a program sets it, no loop ends anywhere.
        Core {
            latencies,
            program: Program::new(text, latencies),
            registers,
            vectors: Vectors::new(),
            pc: 0,
            cycle: 0,
            pending: Pending { writes: [[(0, 0); 16]; HORIZON], counts: [0; HORIZON] },
            written: [(0, 0); 8],
            written_count: 0,
            late: Vec::new(),
            part_word_store: None,
            jump_at: NEVER,
            jump_target: 0,
            loop_set_up: None,
            done: false,
            stack_high: 0,
            guard: None,
        }
    }

    /// Traps stores outside of what the guard allows.
    pub fn set_guard(&mut self, guard: Guard) {
        self.guard = Some(guard);
    }

    /// Address of the next bundle.
    pub fn pc(&self) -> u32 {
        self.pc
    }

    /// Bundles issued so far.
    pub fn cycles(&self) -> u64 {
        self.cycle
    }

    /// The highest address that the stack pointer had. The stack grows upward.
    pub fn stack_high(&self) -> u32 {
        self.stack_high
    }

    /// A scalar register as the next bundle would read it; `None` for vector registers.
    pub fn register(&self, register: Register) -> Option<u32> {
        register.move_code().map(|code| self.scalar(code))
    }

    /// Runs until the core has to wait or is done, at most `budget` bundles.
    ///
    /// # Errors
    /// [`Fault`]. The bundle that it names may be half done.
    pub fn run(&mut self, windows: &mut Windows<'_>, budget: u64) -> Result<Stop, Fault> {
        let end = self.cycle.saturating_add(budget);
        while self.cycle < end {
            match self.issue(windows) {
                Ok(None) => {}
                Ok(Some(stop)) => return Ok(stop),
                Err(cause) => return Err(Fault { pc: self.pc, cycle: self.cycle, cause }),
            }
        }
        Ok(Stop::Budget)
    }

    /// Issues a bundle, if the core need not wait.
    #[inline(always)]
    fn issue(&mut self, windows: &mut Windows<'_>) -> Result<Option<Stop>, Cause> {
        if self.done {
            return Ok(Some(Stop::Done));
        }
        self.commit();
        if !self.late.is_empty() {
            self.store_late(windows)?;
        }
        let step = self.program.step(self.pc)?;
        if step.acquires
            && let Some(stop) = self.acquire(&step, windows)?
        {
            return Ok(Some(stop));
        }
        let ops = step.first as usize..step.first as usize + usize::from(step.count);
        for i in ops {
            let op = self.program.ops[i];
            self.execute(op, &step, windows)?;
        }
        self.finish(&step)?;
        if self.done {
            self.drain(windows)?;
        }
        Ok(None)
    }

    /// Lets what was issued before `done` come to its end.
    fn drain(&mut self, windows: &mut Windows<'_>) -> Result<(), Cause> {
        let cycle = self.cycle;
        for _ in 0..HORIZON {
            self.commit();
            self.store_late(windows)?;
            self.cycle += 1;
        }
        self.cycle = cycle;
        Ok(())
    }

    /// Makes visible what is due now.
    #[inline(always)]
    fn commit(&mut self) {
        let slot = self.cycle as usize % HORIZON;
        let count = usize::from(self.pending.counts[slot]);
        if count > 0 {
            for (register, value) in &self.pending.writes[slot][..count] {
                self.registers[usize::from(*register & 127)] = *value;
            }
            self.pending.counts[slot] = 0;
        }
        if self.vectors.is_busy() {
            self.vectors.commit(self.cycle);
        }
    }

    /// Lets stores reach memory that are due now, before what the bundle does.
    fn store_late(&mut self, windows: &mut Windows<'_>) -> Result<(), Cause> {
        while let Some(i) = self.late.iter().position(|store| store.due <= self.cycle) {
            let LateStore { address, value, .. } = self.late.remove(i);
            match value {
                LateValue::Byte { register } => windows.store(address, [self.scalar(register) as u8])?,
                LateValue::TwoBytes { register } => {
                    windows.store(address, (self.scalar(register) as u16).to_le_bytes())?;
                }
                LateValue::Half(half) => {
                    let mut bytes = [0; 32];
                    for (bytes, word) in bytes.chunks_exact_mut(4).zip(half) {
                        bytes.copy_from_slice(&word.to_le_bytes());
                    }
                    windows.store(address, bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Acquires the lock of an `acq` in the bundle, before anything else of it happens.
    fn acquire(&mut self, step: &Step, windows: &mut Windows<'_>) -> Result<Option<Stop>, Cause> {
        let ops = &self.program.ops[step.first as usize..][..usize::from(step.count)];
        for op in ops.iter().filter(|op| op.opcode == Opcode::Acq) {
            let (lock, request) = (op.number as u8, self.scalar(op.x) as i32);
            let (locks, id) = windows.locks(lock)?;
            if !locks.acquire(id, request) {
                return Ok(Some(Stop::Blocked { lock, request }));
            }
        }
        Ok(None)
    }

    /// Writes what the next bundle sees, and finds the next bundle.
    #[inline(always)]
    fn finish(&mut self, step: &Step) -> Result<(), Cause> {
        for (register, value) in &self.written[..self.written_count.min(8)] {
            self.registers[usize::from(*register & 127)] = *value;
        }
        self.written_count = 0;
        if step.moves_stack {
            self.stack_high = self.stack_high.max(self.scalar(SP));
        }
        if step.sets_loop {
            self.loop_set_up = Some(self.cycle);
        }
        let mut next = step.next;
        if self.pc == self.scalar(LE) && self.scalar(LC) > 0 {
            next = self.loop_end(step)?;
        }
        if self.cycle == self.jump_at {
            next = self.jump_target;
            self.jump_at = NEVER;
        }
        self.pc = next;
        self.cycle += 1;
        Ok(())
    }

    /// Goes back to the first bundle of the hardware loop, or leaves it.
    fn loop_end(&mut self, step: &Step) -> Result<u32, Cause> {
        let reason = |reason: String| Err(Cause::Loop { reason });
        if self.jump_at != NEVER {
            return reason("is in a delay slot".to_owned());
        }
        if step.next - self.pc != 16 || !self.pc.is_multiple_of(16) {
            return reason(format!(
                "has {} bytes at {:#06x}, 16 at a multiple of 16 are needed",
                step.next - self.pc,
                self.pc
            ));
        }
        let distance = self.loop_set_up.map_or(NEVER, |cycle| self.cycle - cycle);
        if distance < LOOP_SET_UP {
            return reason(format!(
                "comes {distance} bundles after the loop is set up, {LOOP_SET_UP} are needed"
            ));
        }
        let start = self.scalar(LS);
        execute::check_target(start)?;
        let count = &mut self.registers[usize::from(LC)];
        *count -= 1;
        Ok(if *count > 0 { start } else { step.next })
    }

    #[inline(always)]
    fn scalar(&self, index: u8) -> u32 {
        self.registers[usize::from(index & 127)]
    }

    /// Writes a register, visible after `latency` bundles.
    #[inline(always)]
    fn put(&mut self, register: u8, latency: u8, value: u32) {
        if latency == 1 {
            self.written[self.written_count % 8] = (register, value);
            self.written_count += 1;
            return;
        }
        let slot = (self.cycle as usize + usize::from(latency)) % HORIZON;
        let count = &mut self.pending.counts[slot];
        self.pending.writes[slot][usize::from(*count) % 16] = (register, value);
        *count += 1;
    }

    /// Looks at a memory access, `later` bundles from now: a store of part of a word must not be under way.
    #[inline(always)]
    fn check_part_word_store(&self, later: u64) -> Result<(), Cause> {
        let needed = u64::from(self.latencies.part_word_data) + 1;
        match self.part_word_store {
            Some((cycle, store)) if self.cycle + later < cycle + needed => {
                Err(Cause::PartWordStore { distance: self.cycle - cycle, store, needed })
            }
            _ => Ok(()),
        }
    }

    /// Looks at a store: the guard must allow it.
    #[inline(always)]
    fn guard(&self, address: u32, size: u32) -> Result<(), Cause> {
        self.guard.as_ref().map_or(Ok(()), |guard| guard.check(address, size))
    }

    /// The error for a use of an instruction that is not modelled.
    #[cold]
    fn unmodelled(&self, op: Op, reason: &str) -> Cause {
        Cause::Unmodelled { instruction: self.program.written(self.pc, op.opcode), reason: reason.to_owned() }
    }
}
