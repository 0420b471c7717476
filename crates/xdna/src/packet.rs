//! Command packets: what a command bo holds.
//!
//! Source: XRT `ert.h`; the payload of START_CU is the kernel's register map.

use std::fmt;

use crate::Error;
use crate::words::{push, u32_at};
use crate::xclbin::metadata::{Kernel, Qualifier};

/// Words of payload that every driver takes in a single submission.
pub const MAX_PAYLOAD_WORDS: usize = 19;
/// Bytes of a command bo.
pub(crate) const PACKET_BYTES: usize = 4096;

const STATE_NEW: u32 = 1;
const OPCODE_START_CU: u32 = 0;
const TYPE_CU: u32 = 3;
/// The kernel argument that says: run a transaction stream.
const RUN_STREAM: u64 = 3;

/// A command's state, bits 3:0 of the packet's first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Written by the user.
    New,
    /// Taken by the driver.
    Queued,
    /// On the device.
    Running,
    /// Done.
    Completed,
    /// The firmware failed.
    Error,
    /// Malformed, or its context was torn down.
    Abort,
    /// Given to the firmware.
    Submitted,
    /// It hung.
    Timeout,
    /// The firmware does not answer.
    NoResponse,
    /// None of these.
    Unknown(u8),
}

impl State {
    /// The state that a packet's first word holds.
    pub fn of(header: u32) -> Self {
        match (header & 0xF) as u8 {
            1 => Self::New,
            2 => Self::Queued,
            3 => Self::Running,
            4 => Self::Completed,
            5 => Self::Error,
            6 => Self::Abort,
            7 => Self::Submitted,
            8 => Self::Timeout,
            9 => Self::NoResponse,
            other => Self::Unknown(other),
        }
    }

    /// Its number.
    pub fn code(self) -> u32 {
        match self {
            Self::New => 1,
            Self::Queued => 2,
            Self::Running => 3,
            Self::Completed => 4,
            Self::Error => 5,
            Self::Abort => 6,
            Self::Submitted => 7,
            Self::Timeout => 8,
            Self::NoResponse => 9,
            Self::Unknown(other) => other.into(),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(other) => write!(f, "unknown, {other}"),
            known => write!(f, "{}", format!("{known:?}").to_uppercase()),
        }
    }
}

/// What newer drivers write into a packet that hung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// How far the instruction stream had got.
    pub operation_idx: u32,
    /// Where the firmware's program was.
    pub context_pc: u32,
    /// The kind of error, 0 if there was none.
    pub fatal_error: u32,
    /// The kind of exception, and where.
    pub exception: (u32, u32),
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation_idx, context_pc, fatal_error, exception: (kind, pc) } = self;
        write!(f, "stream operation {operation_idx}")?;
        if *context_pc != 0 {
            write!(f, ", firmware at {context_pc:#x}")?;
        }
        if *fatal_error != 0 {
            write!(f, ", error {fatal_error:#x}")?;
        }
        if *kind != 0 {
            write!(f, ", exception {kind:#x} at {pc:#x}")?;
        }
        Ok(())
    }
}

impl Health {
    /// The record in a packet's payload, if the driver has written one.
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        /// The record's version, which tells it from words of 0xFF.
        const VERSION: u32 = 1;
        let word = |idx: usize| u32_at(packet, 4 + idx * 4);
        (word(0)? == VERSION && word(1)? == 0).then_some(())?;
        Some(Self {
            operation_idx: word(2)?,
            context_pc: word(3)?,
            fatal_error: word(4)?,
            exception: (word(5)?, word(6)?),
        })
    }
}

/// Where a kernel's arguments lie in the payload of its packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    opcode: usize,
    instructions: usize,
    n_words: usize,
    buffers: Vec<usize>,
}

impl Layout {
    /// That of kernels of mlir-aie with so many buffers.
    ///
    /// # Errors
    /// [`Error::Launch`] if the buffers do not fit a payload.
    pub fn mlir_aie(n_buffers: usize) -> Result<Self, Error> {
        const FIRST: usize = 0x14;
        const MOST: usize = (MAX_PAYLOAD_WORDS * 4 - FIRST) / 8;
        if n_buffers > MOST {
            return Err(Error::Launch {
                thing: "the number of the kernel's buffers",
                found: n_buffers.to_string(),
                expected: format!("at most {MOST}, as a packet has room for"),
            });
        }
        let buffers = (0..n_buffers).map(|idx| FIRST + 8 * idx).collect();
        Ok(Self { opcode: 0, instructions: 8, n_words: 0x10, buffers })
    }

    /// What an xclbin says of a kernel: an opcode, an instruction buffer, its length, and buffers, in this order.
    ///
    /// # Errors
    /// [`Error::Launch`] if the arguments are others, or do not fit a payload.
    pub fn of(kernel: &Kernel) -> Result<Self, Error> {
        let shape: Vec<(bool, u32)> = kernel
            .arguments
            .iter()
            .map(|argument| (argument.qualifier == Qualifier::Global, argument.size))
            .collect();
        let is_ours = matches!(&shape[..], [(false, 8), (true, 8), (false, 4), rest @ ..]
            if rest.iter().all(|argument| *argument == (true, 8)));
        if !is_ours {
            let names: Vec<&str> = kernel.arguments.iter().map(|argument| argument.name.as_str()).collect();
            return Err(Error::Launch {
                thing: "the kernel's list of arguments",
                found: format!("({})", names.join(", ")),
                expected: "(opcode, instructions, number of words, buffers…)".into(),
            });
        }
        let offset = |idx: usize| kernel.arguments[idx].offset as usize;
        let buffers = (3..shape.len()).map(offset).collect();
        Self { opcode: offset(0), instructions: offset(1), n_words: offset(2), buffers }.checked()
    }

    fn checked(self) -> Result<Self, Error> {
        let mut fields = vec![(self.opcode, 8), (self.instructions, 8), (self.n_words, 4)];
        fields.extend(self.buffers.iter().map(|offset| (*offset, 8)));
        fields.sort_unstable();
        let overlap = fields.windows(2).any(|pair| pair[0].0.saturating_add(pair[0].1) > pair[1].0);
        let end = fields.last().map_or(0, |(offset, size)| offset.saturating_add(*size));
        if overlap
            || end > MAX_PAYLOAD_WORDS * 4
            || !fields.iter().all(|(offset, _)| offset.is_multiple_of(4))
        {
            let found =
                format!("{end} bytes long{}", if overlap { ", with arguments that overlap" } else { "" });
            let expected = format!("whole words, at most {}", MAX_PAYLOAD_WORDS * 4);
            return Err(Error::Launch { thing: "the kernel's payload", found, expected });
        }
        Ok(self)
    }

    /// How many buffers the kernel takes at most.
    pub fn n_buffers(&self) -> usize {
        self.buffers.len()
    }

    /// The payload of a launch: `n_words` words of instructions at an address, and the buffers' addresses.
    ///
    /// # Errors
    /// [`Error::Launch`] if there are more buffers than the kernel takes.
    pub(crate) fn payload(&self, instructions: u64, n_words: u32, buffers: &[u64]) -> Result<Vec<u8>, Error> {
        if buffers.len() > self.buffers.len() {
            return Err(Error::Launch {
                thing: "the launch's number of buffers",
                found: buffers.len().to_string(),
                expected: format!("at most {}, as the kernel has", self.buffers.len()),
            });
        }
        let last = self.buffers.iter().copied().map(|offset| offset + 8).max().unwrap_or(0);
        let mut payload = vec![0; last.max(self.opcode + 8).max(self.instructions + 8).max(self.n_words + 4)];
        let mut put =
            |offset: usize, bytes: &[u8]| payload[offset..offset + bytes.len()].copy_from_slice(bytes);
        put(self.opcode, &RUN_STREAM.to_le_bytes());
        put(self.instructions, &instructions.to_le_bytes());
        put(self.n_words, &n_words.to_le_bytes());
        for (offset, address) in self.buffers.iter().zip(buffers) {
            put(*offset, &address.to_le_bytes());
        }
        Ok(payload)
    }
}

/// A START_CU packet for compute unit `unit`.
pub(crate) fn start_cu(unit: u32, payload: &[u8]) -> Vec<u8> {
    let count = 1 + payload.len().div_ceil(4) as u32;
    let mut packet = Vec::with_capacity(8 + payload.len());
    push(&mut packet, &[STATE_NEW | count << 12 | OPCODE_START_CU << 23 | TYPE_CU << 28, 1 << unit]);
    packet.extend_from_slice(payload);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xclbin::metadata::Argument;

    fn kernel(arguments: &[(Qualifier, u32, u32)]) -> Kernel {
        let arguments = arguments.iter().enumerate().map(|(idx, &(qualifier, offset, size))| Argument {
            name: format!("arg{idx}"),
            id: idx as u32,
            qualifier,
            offset,
            size,
            c_type: String::new(),
        });
        let arguments = arguments.collect();
        Kernel { name: "k".into(), kernel_id: 1, functional: 0, arguments, instances: vec!["i".into()] }
    }

    const OURS: [(Qualifier, u32, u32); 5] = [
        (Qualifier::Scalar, 0, 8),
        (Qualifier::Global, 8, 8),
        (Qualifier::Scalar, 16, 4),
        (Qualifier::Global, 20, 8),
        (Qualifier::Global, 28, 8),
    ];

    #[test]
    fn a_packet_of_mlir_aie_has_fifteen_words_of_payload() {
        let layout = Layout::mlir_aie(5).unwrap();
        let payload = layout.payload(0x400_8000, 75, &[0x1000, 0x2000]).unwrap();
        let packet = start_cu(1, &payload);
        let words: Vec<u32> = (0..17).map(|idx| u32_at(&packet, idx * 4).unwrap()).collect();
        assert_eq!(packet.len(), 17 * 4);
        assert_eq!(words[..10], [0x3001_0001, 2, 3, 0, 0x400_8000, 0, 75, 0x1000, 0, 0x2000]);
        assert!(words[11..].iter().all(|word| *word == 0));
        assert!(layout.payload(0, 0, &[0; 6]).is_err());
        assert!(Layout::mlir_aie(7).is_ok());
        let error = Layout::mlir_aie(8).unwrap_err().to_string();
        assert_eq!(
            error,
            "the number of the kernel's buffers is 8, expected at most 7, as a packet has room for"
        );
    }

    #[test]
    fn the_description_of_a_kernel_is_taken_if_it_is_of_this_shape() {
        assert_eq!(Layout::of(&kernel(&OURS)).unwrap(), Layout::mlir_aie(2).unwrap());
        assert!(Layout::of(&kernel(&OURS[..2])).unwrap_err().to_string().contains("(arg0, arg1)"));
        let mut overlapping = OURS;
        overlapping[4].1 = 24;
        assert!(Layout::of(&kernel(&overlapping)).unwrap_err().to_string().contains("overlap"));
        let mut far = OURS;
        far[4].1 = 72;
        assert!(Layout::of(&kernel(&far)).unwrap_err().to_string().contains("80 bytes long"));
    }

    #[test]
    fn a_hang_is_told_as_far_as_the_driver_knows_it() {
        let mut packet = vec![0; 36];
        assert_eq!(Health::of(&packet), None);
        packet[4] = 1;
        packet[12] = 7;
        assert_eq!(Health::of(&packet).unwrap().to_string(), "stream operation 7");
        for (idx, byte) in [(16, 0x10), (20, 2), (24, 3), (28, 4)] {
            packet[idx] = byte;
        }
        let text = Health::of(&packet).unwrap().to_string();
        assert_eq!(text, "stream operation 7, firmware at 0x10, error 0x2, exception 0x3 at 0x4");
    }

    #[test]
    fn states_have_their_numbers() {
        for code in 0..16 {
            assert_eq!(State::of(0x3001_0000 | code).code(), code);
        }
        assert_eq!(State::of(8).to_string(), "TIMEOUT");
    }
}
