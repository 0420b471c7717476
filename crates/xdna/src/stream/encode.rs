//! Operations into words.

use super::{Direction, Form, HEADER_BYTES, Header, Operation, PROLOGUE, Tile, early, op};
use crate::words::push;

/// Builds a stream, operation by operation.
#[derive(Debug, Clone)]
pub struct Builder {
    header: Header,
    n_operations: u32,
    /// Of all operations.
    body: Vec<u8>,
}

impl Builder {
    /// An empty stream.
    pub fn new(header: Header) -> Self {
        Self { header, n_operations: 0, body: Vec::new() }
    }

    /// Appends an operation.
    ///
    /// # Panics
    /// If the stream's form does not have the operation; in forms with fewer bits, if an address, argument or offset
    /// needs more; if data has 2^30 words or more.
    pub fn push(&mut self, operation: &Operation<'_>) -> &mut Self {
        self.n_operations += 1;
        match self.header.form {
            Form::Early => early(operation, &mut self.body),
            Form::V0_1 => long(operation, &mut self.body),
            Form::V1_0 => short(operation, &mut self.body),
        }
        self
    }

    /// The stream's bytes.
    ///
    /// # Panics
    /// If they are 4 GiB or more.
    pub fn finish(self) -> Vec<u8> {
        let Header { form, rows, generation, mem_tile_rows, columns } = self.header;
        let mut out = Vec::new();
        let [major, minor] = match form {
            Form::Early => {
                push(&mut out, &PROLOGUE);
                return [out, self.body].concat();
            }
            Form::V0_1 => [0, 1],
            Form::V1_0 => [1, 0],
        };
        out.extend([major, minor, generation, rows, columns, mem_tile_rows, 0, 0]);
        let length = HEADER_BYTES + self.body.len();
        push(&mut out, &[self.n_operations, u32::try_from(length).expect("a stream of less than 4 GiB")]);
        [out, self.body].concat()
    }
}

fn split(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

fn size_of_block(head: u32, data_bytes: usize) -> u32 {
    u32::try_from(data_bytes).ok().and_then(|bytes| bytes.checked_add(head)).expect("less than 4 GiB of data")
}

/// Appends an operation in the early form.
fn early(operation: &Operation<'_>, out: &mut Vec<u8>) {
    let head = |code, col, row, low| u32::from_le_bytes([low, row, col, code]);
    match *operation {
        Operation::Write { tile: Tile { col, row }, address, value } => {
            let address = u32::try_from(address).expect("the early form has 32 bits for an address");
            push(out, &[head(early::WRITE, col, row, 0), address, value]);
        }
        Operation::Sync { direction, tile: Tile { col, row }, columns, rows, channel } => {
            let direction = u8::from(direction == Direction::Mm2s);
            let extent = u32::from_le_bytes([0, rows, columns, channel]);
            push(out, &[head(early::SYNC, col, row, direction), extent]);
        }
        Operation::ShimDescriptor { col, columns, argument, number, increment, length, offset, rest } => {
            assert!(argument < 16 && number < 16, "argument {argument} or descriptor {number} is above 15");
            let head = head(early::SHIM_DESCRIPTOR, col, columns, argument << 4 | number);
            push(out, &[head, increment, length, offset]);
            push(out, &rest);
        }
        _ => panic!("streams before transactions have no `{operation}`"),
    }
}

/// Appends an operation in form 0.1.
fn long(operation: &Operation<'_>, out: &mut Vec<u8>) {
    match *operation {
        Operation::Write { tile: Tile { col, row }, address, value } => {
            let [low, high] = split(address);
            push(out, &[u32::from_le_bytes([op::WRITE, col, row, 0]), 0, low, high, value, 24]);
        }
        Operation::BlockWrite { tile: Tile { col, row }, address, data } => {
            let place = u32::from_le_bytes([col, row, 0, 0]);
            push(out, &[op::BLOCK_WRITE.into(), place, address, size_of_block(16, data.bytes().len())]);
            out.extend_from_slice(data.bytes());
        }
        Operation::MaskWrite { address, value, mask } => {
            let [low, high] = split(address);
            push(out, &[op::MASK_WRITE.into(), 0, low, high, value, mask, 28]);
        }
        Operation::MaskPoll { address, value, mask, is_busy } => {
            let [low, high] = split(address);
            push(out, &[poll(is_busy), 0, low, high, value, mask, 28]);
        }
        Operation::DdrPatch { register, argument, offset } => {
            let ([reg_low, reg_high], [arg_low, arg_high]) = (split(register), split(argument));
            let [low, high] = split(offset);
            push(out, &[op::DDR_PATCH.into(), 48, 0, 0, 0, 0]);
            push(out, &[reg_low, reg_high, arg_low, arg_high, low, high]);
        }
        _ => common(operation, out),
    }
}

/// Appends an operation in form 1.0.
fn short(operation: &Operation<'_>, out: &mut Vec<u8>) {
    let narrow = |value: u64| u32::try_from(value).expect("form 1.0 has 32 bits for it");
    match *operation {
        Operation::Write { address, value, .. } => push(out, &[op::WRITE.into(), narrow(address), value]),
        Operation::BlockWrite { address, data, .. } => {
            push(out, &[op::BLOCK_WRITE.into(), address, size_of_block(12, data.bytes().len())]);
            out.extend_from_slice(data.bytes());
        }
        Operation::MaskWrite { address, value, mask } => {
            push(out, &[op::MASK_WRITE.into(), narrow(address), value, mask]);
        }
        Operation::MaskPoll { address, value, mask, is_busy } => {
            push(out, &[poll(is_busy), narrow(address), value, mask]);
        }
        Operation::DdrPatch { register, argument, offset } => {
            push(out, &[op::DDR_PATCH.into(), 24, narrow(register), narrow(argument), narrow(offset), 0]);
        }
        _ => common(operation, out),
    }
}

fn poll(is_busy: bool) -> u32 {
    if is_busy { op::MASK_POLL_BUSY.into() } else { op::MASK_POLL.into() }
}

/// Appends an operation that is the same in both forms.
fn common(operation: &Operation<'_>, out: &mut Vec<u8>) {
    match *operation {
        Operation::Noop => push(out, &[op::NOOP.into()]),
        Operation::Preempt { level } => push(out, &[u32::from_le_bytes([op::PREEMPT, level, 0, 0])]),
        Operation::LoadPdi { id, size, address } => {
            let [low, high] = split(address);
            push(out, &[u32::from(op::LOAD_PDI) | u32::from(id) << 16, size, low, high]);
        }
        Operation::Sync { direction, tile: Tile { col, row }, columns, rows, channel } => {
            let direction = u8::from(direction == Direction::Mm2s);
            let place = u32::from_le_bytes([direction, row, col, 0]);
            push(out, &[op::SYNC.into(), 16, place, u32::from_le_bytes([0, rows, columns, channel])]);
        }
        _ => panic!("transactions have no `{operation}`"),
    }
}
