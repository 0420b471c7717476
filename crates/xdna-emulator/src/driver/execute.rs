//! The thread that carries out a node's commands, one after another.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use xdna::packet::State as CommandState;

use super::memory::Memory;
use super::{Shared, locked};
use crate::fault::FaultKind;
use crate::firmware::{Firmware, Outcome, Start};

/// What words of the payload become in a command that failed.
const POISON: u8 = 0xFF;

/// A bo that a command names.
#[derive(Debug, Clone)]
pub(crate) struct Mapped {
    /// Where the device finds it: nowhere, if it was never mapped and the driver gives no addresses.
    pub(crate) address: Option<u64>,
    /// Its memory.
    pub(crate) memory: Memory,
    /// Where it begins in the memory.
    pub(crate) start: u64,
    /// Its bytes.
    pub(crate) length: u64,
}

impl Mapped {
    /// Where `length` bytes at an address of the device's lie in it, if they do.
    pub(crate) fn offset_of(&self, address: u64, length: u64) -> Option<u64> {
        let offset = address.checked_sub(self.address?)?;
        (offset.checked_add(length)? <= self.length).then_some(offset)
    }

    /// Reads what [`Self::offset_of`] has found.
    pub(crate) fn read(&self, offset: u64, bytes: &mut [u8]) {
        let start = (self.start + offset) as usize;
        bytes.copy_from_slice(&locked(&self.memory)[start..start + bytes.len()]);
    }

    /// Writes what [`Self::offset_of`] has found.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) {
        let start = (self.start + offset) as usize;
        locked(&self.memory)[start..start + bytes.len()].copy_from_slice(bytes);
    }
}

/// A command in the queue.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) context: u32,
    pub(super) command: Memory,
    pub(super) pinned: Vec<Mapped>,
    pub(super) point: u64,
}

/// How a command ended.
struct End {
    state: CommandState,
    /// The operation of its stream that hung, for the health record.
    operation: u32,
}

impl From<CommandState> for End {
    fn from(state: CommandState) -> Self {
        Self { state, operation: 0 }
    }
}

/// Carries out commands until the node is closed.
pub(super) fn work(shared: &Arc<Shared>) {
    // The array of each context, as its last command left it.
    let mut arrays: HashMap<u32, Firmware> = HashMap::new();
    loop {
        let mut state = shared.state();
        let job = loop {
            if let Some(job) = state.jobs.pop_front() {
                break job;
            }
            if state.is_closing {
                return;
            }
            state = shared.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        };
        arrays.retain(|handle, _| state.contexts.contains_key(handle));
        let Some(context) = state.contexts.get(&job.context) else { continue };
        let (columns, cancelled) = (context.columns, context.cancelled.clone());
        // Images are looked up now, as old drivers do: whoever gave their handles back has lost them.
        let images = context.units.iter().map(|handle| {
            let bo = state.bos.get(handle)?;
            let memory = locked(&bo.memory);
            Some(memory[bo.start as usize..(bo.start + bo.size) as usize].to_vec())
        });
        let images: Vec<Option<Vec<u8>>> =
            if arrays.contains_key(&job.context) { vec![] } else { images.collect() };
        drop(state);
        let firmware = arrays
            .entry(job.context)
            .or_insert_with(|| Firmware::new(columns, images, &shared.machine.options));
        let end = carry_out(shared, firmware, &job, &cancelled);
        *locked(&shared.machine.cores) = firmware.cores();
        if end.state != CommandState::Completed {
            // The driver makes the context anew.
            arrays.remove(&job.context);
        }
        finish(shared, &job, &end);
    }
}

/// Carries out a command, with the fault that it has.
fn carry_out(shared: &Shared, firmware: &mut Firmware, job: &Job, cancelled: &AtomicBool) -> End {
    let fault = shared.machine.next_fault();
    match fault {
        Some(FaultKind::Hang) => return hang(shared, cancelled).into(),
        Some(FaultKind::Abort) => return CommandState::Abort.into(),
        Some(FaultKind::GiveUp) => return CommandState::Timeout.into(),
        Some(FaultKind::Fail) => return CommandState::Error.into(),
        Some(FaultKind::Gone) => {
            shared.is_gone.store(true, Ordering::Release);
            return CommandState::Abort.into();
        }
        Some(FaultKind::Slow(time)) => {
            let deadline = shared.machine.now() + time;
            if !sleep(shared, cancelled, deadline) {
                return CommandState::Abort.into();
            }
        }
        Some(FaultKind::WrongResult) | None => {}
    }
    let packet = locked(&job.command).clone();
    let is_wrong = fault == Some(FaultKind::WrongResult);
    let state = match firmware.run(&Start { packet: &packet, pinned: &job.pinned, cancelled, is_wrong }) {
        Outcome::Done => CommandState::Completed,
        Outcome::Malformed(report) => {
            shared.machine.report(report);
            CommandState::Abort
        }
        Outcome::Failed(report) => {
            shared.machine.report(report);
            CommandState::Error
        }
        Outcome::Stuck(operation, report) => {
            shared.machine.report(report);
            return End { state: CommandState::Timeout, operation: operation as u32 };
        }
        Outcome::Cancelled => CommandState::Abort,
    };
    state.into()
}

/// Hangs until the driver gives the command up, or its context is taken away.
fn hang(shared: &Shared, cancelled: &AtomicBool) -> CommandState {
    let deadline = shared.machine.now() + shared.machine.options.hang_limit;
    if sleep(shared, cancelled, deadline) { CommandState::Timeout } else { CommandState::Abort }
}

/// Sleeps until `deadline`; `false` if the context was cancelled before.
fn sleep(shared: &Shared, cancelled: &AtomicBool, deadline: std::time::Duration) -> bool {
    let mut state = shared.state();
    loop {
        if cancelled.load(Ordering::Acquire) || state.is_closing {
            return false;
        }
        let (after, is_late) = shared.wait(state, deadline);
        if is_late {
            return true;
        }
        state = after;
    }
}

/// Writes a command's state and signals its fence, in this order.
fn finish(shared: &Shared, job: &Job, end: &End) {
    let mut state = shared.state();
    {
        let mut command = locked(&job.command);
        let header = u32::from_le_bytes(command[..4].try_into().expect("a bo has a page"));
        if matches!(end.state, CommandState::Error | CommandState::Timeout) {
            let words = (header >> 12 & 0x7FF) as usize;
            let payload_end = command.len().min(4 + words * 4);
            command[4..payload_end].fill(POISON);
        }
        if end.state == CommandState::Timeout {
            // Version, generation, operation, firmware's place, error, exception, its place, module.
            let record = [1_u32, 0, end.operation, 0, 0, 0, 0, 0];
            command[4..36].copy_from_slice(bytemuck::cast_slice(&record));
        }
        command[..4].copy_from_slice(&(header & !0xF | end.state.code()).to_le_bytes());
    }
    if let Some(context) = state.contexts.get_mut(&job.context) {
        context.in_flight.remove(0);
        let syncobj = context.syncobj;
        if let Some(timeline) = state.syncobjs.get_mut(&syncobj) {
            timeline.signalled = job.point;
        }
    }
    drop(state);
    shared.changed.notify_all();
}
