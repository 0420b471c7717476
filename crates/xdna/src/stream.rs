//! NPU instruction streams ("transactions", `insts.bin`): what the firmware does for one launch.
//!
//! Two forms exist, 0.1 and 1.0; their operations are the same. Addresses are those of registers in the partition:
//! `col << 25 | row << 20 | offset`, column 0 being the partition's first.
//!
//! Source: mlir-aie `AIETargetNPU.cpp`, aie-rt `xaiegbl.h`.

mod decode;
mod encode;

use std::fmt;

use crate::Error;
use crate::error::need;
use crate::words::{self, Words};

pub use encode::Builder;

const HEADER_BYTES: usize = 16;
/// What a stream of 2023, before transactions, begins with.
const PROLOGUE: u32 = 0x11;

/// How the operations are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Version 0.1: operations with 64-bit addresses and their own sizes.
    V0_1,
    /// Version 1.0: the short form of newer compilers.
    V1_0,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V0_1 => "TXN 0.1",
            Self::V1_0 => "TXN 1.0",
        })
    }
}

/// What the stream was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// How its operations are encoded.
    pub form: Form,
    /// Rows of the array, 6 in all NPUs so far.
    pub rows: u8,
    /// 3: npu1; 4: npu2.
    pub generation: u8,
    /// Rows of memory tiles.
    pub mem_tile_rows: u8,
    /// Columns of the partition.
    pub columns: u8,
}

impl Header {
    /// That of npu1 with so many columns.
    pub fn npu1(form: Form, columns: u8) -> Self {
        Self { form, rows: 6, generation: 3, mem_tile_rows: 1, columns }
    }
}

/// Which way a DMA channel carries data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// From a stream into memory.
    S2mm,
    /// From memory into a stream.
    Mm2s,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S2mm => "S2MM",
            Self::Mm2s => "MM2S",
        })
    }
}

/// A tile's place as some operations name it beside the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tile {
    /// The column, from 0.
    pub col: u8,
    /// The row: 0 shim, 1 memory tile, 2 and up cores.
    pub row: u8,
}

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    /// Writes a register.
    Write {
        /// What form 0.1 says beside the address; compilers leave it zero.
        tile: Tile,
        /// The register.
        address: u64,
        /// Its new value.
        value: u32,
    },
    /// Writes consecutive registers.
    BlockWrite {
        /// What form 0.1 says beside the address; compilers leave it zero.
        tile: Tile,
        /// The first register.
        address: u32,
        /// Their new values.
        data: Words<'a>,
    },
    /// Replaces the bits of `mask` in a register.
    MaskWrite {
        /// The register.
        address: u64,
        /// The new bits.
        value: u32,
        /// Which bits.
        mask: u32,
    },
    /// Waits until the bits of `mask` in a register are `value`.
    MaskPoll {
        /// The register.
        address: u64,
        /// What the bits must be.
        value: u32,
        /// Which bits.
        mask: u32,
        /// The variant that waits without yielding.
        is_busy: bool,
    },
    /// Nothing.
    Noop,
    /// A place where the firmware may give the array to another context.
    Preempt {
        /// How much of the array's state is saved.
        level: u8,
    },
    /// Loads another image.
    LoadPdi {
        /// The image's number.
        id: u16,
        /// Its bytes.
        size: u32,
        /// Where it is.
        address: u64,
    },
    /// Waits for the task-complete tokens of channels.
    Sync {
        /// Of channels of this direction.
        direction: Direction,
        /// Of the tiles from here on.
        tile: Tile,
        /// So many columns of tiles.
        columns: u8,
        /// So many rows of tiles.
        rows: u8,
        /// The channel's number.
        channel: u8,
    },
    /// Puts the address of a buffer argument into the words 1 and 2 of a shim's buffer descriptor.
    DdrPatch {
        /// Address of the descriptor's word 1.
        register: u64,
        /// Which argument; 0 is bo0.
        argument: u64,
        /// Bytes to add.
        offset: u64,
    },
}

mod op {
    pub(super) const WRITE: u8 = 0;
    pub(super) const BLOCK_WRITE: u8 = 1;
    pub(super) const MASK_WRITE: u8 = 3;
    pub(super) const MASK_POLL: u8 = 4;
    pub(super) const NOOP: u8 = 5;
    pub(super) const PREEMPT: u8 = 6;
    pub(super) const MASK_POLL_BUSY: u8 = 7;
    pub(super) const LOAD_PDI: u8 = 8;
    pub(super) const SYNC: u8 = 128;
    pub(super) const DDR_PATCH: u8 = 129;
}

/// What operations are called that exist, but that npu1's compilers do not emit and this crate does not know.
fn foreign_name(op: u8) -> &'static str {
    match op {
        2 => "BLOCKSET",
        9 => "LOAD_PM_START",
        10 => "CREATE_SCRATCHPAD",
        11 => "UPDATE_STATE_TABLE",
        12 => "UPDATE_REG",
        13 => "UPDATE_SCRATCH",
        14 => "CONFIG_SHIMDMA_BD",
        15 => "CONFIG_SHIMDMA_DMABUF_BD",
        130 => "READ_REGS",
        131 => "RECORD_TIMER",
        132 => "MERGE_SYNC",
        _ => "an operation that nobody has described",
    }
}

/// A stream whose operations are known to be well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream<'a> {
    header: Header,
    n_operations: usize,
    body: Words<'a>,
}

impl<'a> Stream<'a> {
    /// Reads a stream.
    ///
    /// # Errors
    /// [`Error::Format`] or [`Error::Short`] if the header is of another form, counts or sizes are wrong, or an
    /// operation is unknown.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let head = need("the instruction stream's header", bytes, 0, HEADER_BYTES)?;
        let word = |idx: usize| words::u32_at(head, idx * 4).expect("the header is that long");
        if word(0) == PROLOGUE {
            let found = "of the form of 2023, before transactions";
            return Err(Error::format("the instruction stream", found, "TXN 0.1 or 1.0: compile it anew"));
        }
        let [major, minor, generation, rows] = word(0).to_le_bytes();
        let form = match (major, minor) {
            (0, 1) => Form::V0_1,
            (1, 0) => Form::V1_0,
            _ => {
                let found = format!("{major}.{minor}");
                return Err(Error::format("the instruction stream's version", found, "0.1 or 1.0"));
            }
        };
        let length = word(3) as usize;
        if length != bytes.len() || !length.is_multiple_of(4) {
            let found = format!("{length} bytes in its header, {} in all", bytes.len());
            return Err(Error::format("the instruction stream's length", found, "the same, whole words"));
        }
        let [columns, mem_tile_rows, ..] = word(1).to_le_bytes();
        let header = Header { form, rows, generation, mem_tile_rows, columns };
        let stream =
            Self { header, n_operations: word(2) as usize, body: Words::new(&bytes[HEADER_BYTES..]) };
        let mut count = 0;
        for operation in stream.steps() {
            operation?;
            count += 1;
        }
        if count != stream.n_operations {
            let found = format!("{} operations in its header", stream.n_operations);
            return Err(Error::format("the instruction stream", found, format!("{count}, as it has")));
        }
        Ok(stream)
    }

    /// What it was made for.
    pub fn header(&self) -> Header {
        self.header
    }

    /// The number of operations.
    pub fn len(&self) -> usize {
        self.n_operations
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.n_operations == 0
    }

    /// The operations in order.
    pub fn operations(&self) -> impl Iterator<Item = Operation<'a>> + use<'a> {
        self.steps().filter_map(Result::ok)
    }

    fn steps(&self) -> decode::Steps<'a> {
        decode::Steps::new(self.header.form, self.body)
    }
}

impl fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Write { address, value, .. } => write!(f, "write      {address:#010x} = {value:#010x}"),
            Self::BlockWrite { address, data, .. } => write!(f, "blockwrite {address:#010x} = {data}"),
            Self::MaskWrite { address, value, mask } => {
                write!(f, "maskwrite  {address:#010x} = {value:#010x} in {mask:#010x}")
            }
            Self::MaskPoll { address, value, mask, is_busy } => {
                let name = if is_busy { "busypoll" } else { "maskpoll" };
                write!(f, "{name}   {address:#010x} until {value:#010x} in {mask:#010x}")
            }
            Self::Noop => f.write_str("noop"),
            Self::Preempt { level } => write!(f, "preempt    level {level}"),
            Self::LoadPdi { id, size, address } => {
                write!(f, "loadpdi    {id}: {size} bytes at {address:#x}")
            }
            Self::Sync { direction, tile: Tile { col, row }, columns, rows, channel } => {
                let last = (u16::from(col) + u16::from(columns), u16::from(row) + u16::from(rows));
                write!(f, "sync       {direction} channel {channel} of columns {col}..{}", last.0)?;
                write!(f, ", rows {row}..{}", last.1)
            }
            Self::DdrPatch { register, argument, offset } => {
                write!(f, "patch      {register:#010x} = bo{argument} + {offset:#x}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
