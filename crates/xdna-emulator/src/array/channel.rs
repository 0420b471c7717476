//! DMA channels: queues of tasks, and the walk through memory of the descriptor in use.

use std::collections::VecDeque;

use xdna::array::{Descriptor, Direction, TileKind};

use super::{Refusal, Tile, refuse};

/// Tasks of a channel that are not done. Whether the one in use still has its place in the queue is not known; here it
/// has, so that what runs here does not overrun the hardware's.
const QUEUE: usize = 4;
/// Words that a sink's stream holds.
pub(super) const STREAM_WORDS: usize = 64;

/// A task: a chain of descriptors, as often as it says.
#[derive(Debug, Clone, Copy)]
struct Task {
    descriptor: u8,
    repeats_left: u8,
    token: bool,
}

/// A descriptor in use.
#[derive(Debug, Clone)]
pub(super) struct Current {
    task: Task,
    /// Its number.
    pub(super) number: u8,
    pub(super) descriptor: Descriptor,
    /// Words that are done.
    pub(super) done: u32,
    /// Whether its lock has been acquired.
    pub(super) is_acquired: bool,
    walk: Walk,
}

/// A place in a walk through up to four dimensions.
#[derive(Debug, Clone, Copy, Default)]
struct Walk {
    counts: [u32; 4],
    /// Words from the start.
    offset: u64,
}

/// A channel.
#[derive(Debug, Default)]
pub(super) struct Channel {
    pub(super) control: u32,
    queue: VecDeque<Task>,
    pub(super) current: Option<Current>,
    /// Of an S2MM channel: words that have arrived.
    pub(super) stream: VecDeque<u32>,
    /// Tokens that nobody has waited for yet.
    pub(super) tokens: u32,
}

/// In control: the channel is held in reset.
const RESET: u32 = 1 << 1;
/// In control: who gets the tokens; kept, and of no effect here.
const CONTROLLER: u32 = 0xFF << 8;

impl Channel {
    /// Writes the control register.
    pub(super) fn set_control(&mut self, value: u32) -> Result<(), String> {
        if value & !(RESET | CONTROLLER) != 0 {
            return Err(format!("{value:#x}: bits beyond reset and the token's controller are not modelled"));
        }
        if value & RESET != 0 {
            *self = Self::default();
        }
        self.control = value;
        Ok(())
    }

    /// Whether it moves, or has something to.
    pub(super) fn is_busy(&self) -> bool {
        self.current.is_some() || !self.queue.is_empty()
    }

    /// The descriptors that the tasks which are not done use.
    pub(super) fn used(&self, descriptors: &[[u32; 8]], kind: TileKind) -> Vec<u8> {
        let starts = self.queue.iter().map(|task| task.descriptor);
        let starts = starts.chain(self.current.iter().map(|current| current.number));
        starts.flat_map(|start| chain(descriptors, kind, start)).collect()
    }

    /// Whether a task that is not done uses a descriptor.
    pub(super) fn uses(&self, descriptors: &[[u32; 8]], kind: TileKind, number: u8) -> bool {
        let tasks = self.queue.iter().map(|task| (task.descriptor, true));
        let current = self.current.iter().flat_map(|current| {
            let again = current.task.repeats_left > 0;
            [(current.number, true), (current.task.descriptor, again)]
        });
        let starts: Vec<u8> =
            tasks.chain(current).filter(|(_, counts)| *counts).map(|(start, _)| start).collect();
        starts.into_iter().any(|start| chain(descriptors, kind, start).contains(&number))
    }
}

/// The descriptors that a task uses which begins with `start`.
fn chain(descriptors: &[[u32; 8]], kind: TileKind, start: u8) -> Vec<u8> {
    let mut chain = vec![start];
    while let Some(last) = chain.last().copied() {
        let words = &descriptors[usize::from(last)];
        match Descriptor::decode(kind, words).next {
            Some(next) if !chain.contains(&next) && usize::from(next) < descriptors.len() => chain.push(next),
            _ => break,
        }
    }
    chain
}

impl Tile {
    /// Puts a task into a channel's queue, as a write of its register does.
    pub(super) fn push_task(&mut self, direction: Direction, channel: u8, value: u32) -> Result<(), Refusal> {
        let name = super::Name(self.place);
        let numbers = if self.kind == TileKind::Mem { 0x3F } else { 0xF };
        let descriptor = (value & numbers) as u8;
        if value & !(numbers | 0xFF << 16 | 1 << 31) != 0 || descriptor >= self.kind.n_descriptors() {
            refuse!("{name}: task {value:#010x} of {direction} channel {channel} is not understood")
        }
        // Even channels of a memory tile reach the lower descriptors, odd ones the upper.
        if self.kind == TileKind::Mem && (descriptor >= 24) != (channel % 2 == 1) {
            refuse!("{name}: {direction} channel {channel} cannot reach buffer descriptor {descriptor}")
        }
        let idx = self.channel_idx(direction, channel);
        if self.channels[idx].control & RESET != 0 {
            refuse!("{name}: a task for {direction} channel {channel}, which is held in reset")
        }
        let task = Task { descriptor, repeats_left: (value >> 16) as u8, token: value >> 31 != 0 };
        if self.channels[idx].is_busy() {
            if self.channels[idx].queue.len() + 1 >= QUEUE {
                refuse!(
                    "{name}: the task queue of {direction} channel {channel} is full ({QUEUE} tasks); \
                     the hardware would drop the task for buffer descriptor {descriptor}"
                )
            }
            self.channels[idx].queue.push_back(task);
            return Ok(());
        }
        self.begin(idx, task, descriptor)
    }

    /// Takes a descriptor into use.
    fn begin(&mut self, channel: usize, task: Task, number: u8) -> Result<(), Refusal> {
        let name = super::Name(self.place);
        let Some(words) = self.descriptors.get(usize::from(number)) else {
            refuse!("{name}: there is no buffer descriptor {number}")
        };
        let descriptor = Descriptor::decode(self.kind, words);
        if !descriptor.is_valid {
            refuse!("{name}: buffer descriptor {number} is used but not valid")
        }
        if descriptor.length == 0 {
            refuse!("{name}: buffer descriptor {number} has length 0")
        }
        // A shim's secure bit and its attributes of caching and service are the memory system's matter.
        let mut extras = descriptor.extras;
        if self.kind == TileKind::Shim {
            extras[3] &= !(1 << 30);
            extras[5] &= !0xFFF0_0000;
        }
        if let Some(word) = extras.iter().position(|extra| *extra != 0) {
            let bits = extras[word];
            refuse!(
                "{name}: word {word} of buffer descriptor {number} has bits {bits:#010x}, which are not modelled"
            )
        }
        let walk = Walk::default();
        let (done, is_acquired) = (0, false);
        self.channels[channel].current = Some(Current { task, number, descriptor, done, is_acquired, walk });
        Ok(())
    }

    /// Ends the descriptor in use of a channel: moves its iteration on, and goes on with what follows.
    pub(super) fn finish_descriptor(&mut self, channel: usize) -> Result<(), Refusal> {
        let Some(current) = self.channels[channel].current.take() else { return Ok(()) };
        let mut moved = current.descriptor;
        moved.iteration.current = (moved.iteration.current + 1) % moved.iteration.wrap;
        let kept = current.descriptor.encode(self.kind);
        let new = moved.encode(self.kind);
        let words = &mut self.descriptors[usize::from(current.number)];
        for (word, (old, new)) in words.iter_mut().zip(kept.iter().zip(new)) {
            *word = *word & !old | new;
        }
        let mut task = current.task;
        if let Some(next) = current.descriptor.next {
            return self.begin(channel, task, next);
        }
        if task.repeats_left > 0 {
            task.repeats_left -= 1;
            return self.begin(channel, task, task.descriptor);
        }
        self.channels[channel].tokens += u32::from(task.token);
        match self.channels[channel].queue.pop_front() {
            Some(task) => self.begin(channel, task, task.descriptor),
            None => Ok(()),
        }
    }
}

impl Current {
    /// The address of the next word, in bytes.
    pub(super) fn address(&self) -> u64 {
        let iteration = self.descriptor.iteration;
        let start = u64::from(iteration.current) * u64::from(iteration.step);
        self.descriptor.address + 4 * (start + self.walk.offset)
    }

    /// Whether all words are done.
    pub(super) fn is_done(&self) -> bool {
        self.done >= self.descriptor.length
    }

    /// Goes on by one word.
    pub(super) fn advance(&mut self) {
        self.done += 1;
        let dimensions = &self.descriptor.dimensions;
        for (idx, dimension) in dimensions.iter().enumerate() {
            self.walk.counts[idx] += 1;
            if dimension.wrap == 0 || self.walk.counts[idx] < dimension.wrap || idx + 1 == dimensions.len() {
                break;
            }
            self.walk.counts[idx] = 0;
        }
        let steps = self.walk.counts.iter().zip(dimensions);
        self.walk.offset =
            steps.map(|(count, dimension)| u64::from(*count) * u64::from(dimension.step)).sum();
    }
}
