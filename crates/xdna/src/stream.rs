//! NPU instruction streams ("transactions", `insts.bin`): what the firmware does for one launch.
//!
//! Transactions exist in two forms, 0.1 and 1.0, whose operations are the same. Addresses are those of registers in the
//! partition: `col << 25 | row << 20 | offset`, column 0 being the partition's first. Before them, in 2023, there was a
//! form with three operations, which is read and written here too.
//!
//! Source: mlir-aie `AIETargetNPU.cpp`, and `AIETargetIPU.cpp` of 2023; aie-rt `xaiegbl.h`.

mod decode;
mod encode;

use std::fmt;

use crate::Error;
use crate::error::need;
use crate::words::{self, Words};

pub use encode::Builder;

const HEADER_BYTES: usize = 16;
/// What a stream of 2023 begins with.
const PROLOGUE: [u32; 17] = [
    0x0000_0011,
    0x0100_0405,
    0x0100_0100,
    0x0B59_0100,
    0x0000_55FF,
    0x0000_0001,
    0x0000_0010,
    0x314E_5A5F,
    0x635F_5F31,
    0x676E_696C,
    0x3935_4E5F,
    0x6E69_3131,
    0x5F72_7473,
    0x6472_6F77,
    0x0000_4573,
    0x07BD_9630,
    0x0000_55FF,
];

/// How the operations are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// That of 2023, before transactions: a fixed prologue, and three operations.
    Early,
    /// Version 0.1: operations with 64-bit addresses and their own sizes.
    V0_1,
    /// Version 1.0: the short form of newer compilers.
    V1_0,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Early => "before TXN (2023)",
            Self::V0_1 => "TXN 0.1",
            Self::V1_0 => "TXN 1.0",
        })
    }
}

/// What the stream was made for. Streams of [`Form::Early`] do not say it: they were made for npu1, and their number of
/// columns is 0 here.
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
        /// What form 0.1 says beside the address; compilers leave it zero. In the early form the address is one of this
        /// tile's.
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
    /// Writes a buffer descriptor of shims, with the address of a buffer argument. Of the early form alone, and the only
    /// operation of it that the others do not have.
    ShimDescriptor {
        /// Column of the first shim.
        col: u8,
        /// So many columns.
        columns: u8,
        /// Which argument, 0 to 15.
        argument: u8,
        /// The descriptor's number, 0 to 15.
        number: u8,
        /// What is added to the address.
        increment: u32,
        /// Words to move.
        length: u32,
        /// Bytes from the argument's address.
        offset: u32,
        /// The descriptor's words from word 2 on.
        rest: [u32; 6],
    },
}

/// Codes of operations in transactions.
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

/// Codes of operations in the early form.
mod early {
    pub(super) const WRITE: u8 = 2;
    pub(super) const SYNC: u8 = 3;
    pub(super) const SHIM_DESCRIPTOR: u8 = 6;
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

/// What errors call it.
const THING: &str = "the instruction stream";

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
    /// [`Error::Format`] or [`Error::Short`] if the header is of no known form, counts or sizes are wrong, or an
    /// operation is unknown.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let (header, n_operations, body) = match words::u32_at(bytes, 0) {
            Some(word) if word == PROLOGUE[0] => (Header::npu1(Form::Early, 0), None, after_prologue(bytes)?),
            _ => transaction(bytes)?,
        };
        let mut stream = Self { header, n_operations: 0, body: Words::new(body) };
        for operation in stream.steps() {
            operation?;
            stream.n_operations += 1;
        }
        match n_operations {
            Some(announced) if announced != stream.n_operations => {
                let found = format!("{announced} operations in its header");
                Err(Error::format(THING, found, format!("{}, as it has", stream.n_operations)))
            }
            _ => Ok(stream),
        }
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

/// The operations of a stream of the early form, as bytes.
fn after_prologue(bytes: &[u8]) -> Result<&[u8], Error> {
    let prologue = Words::new(need("the instruction stream's prologue", bytes, 0, PROLOGUE.len() * 4)?);
    if let Some(idx) = prologue.iter().zip(PROLOGUE).position(|(found, expected)| found != expected) {
        let found = format!("{:#010x}", prologue.get(idx).expect("it was found there"));
        let thing = format!("word {idx} of the instruction stream's prologue");
        return Err(Error::format(
            thing,
            found,
            format!("{:#010x}, as in all streams of 2023", PROLOGUE[idx]),
        ));
    }
    if !bytes.len().is_multiple_of(4) {
        return Err(Error::format(THING, format!("{} bytes long", bytes.len()), "whole words"));
    }
    Ok(&bytes[PROLOGUE.len() * 4..])
}

/// Header, number of operations, and the operations' bytes of a transaction.
fn transaction(bytes: &[u8]) -> Result<(Header, Option<usize>, &[u8]), Error> {
    let (head, body) = need("the instruction stream's header", bytes, 0, HEADER_BYTES)
        .map(|head| (Words::new(head), &bytes[HEADER_BYTES..]))?;
    let word = |idx: usize| head.get(idx).expect("the header is that long");
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
    Ok((header, Some(word(2) as usize), body))
}

impl fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Write { tile, address, value } => {
                write!(f, "write      {address:#010x} = {value:#010x}{}", Beside(tile))
            }
            Self::BlockWrite { tile, address, data } => {
                write!(f, "blockwrite {address:#010x} = {data}{}", Beside(tile))
            }
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
            Self::ShimDescriptor { col, columns, argument, number, increment, length, offset, rest } => {
                let end = u16::from(col) + u16::from(columns);
                write!(f, "shimbd     {number} of columns {col}..{end}: {length} words ")?;
                write!(f, "at bo{argument} + {offset:#x}, increment {increment:#x}, rest")?;
                rest.iter().try_for_each(|word| write!(f, " {word:#010x}"))
            }
        }
    }
}

/// A tile that an operation names beside the address, where it names one.
struct Beside(Tile);

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Tile { col: 0, row: 0 } => Ok(()),
            Tile { col, row } => write!(f, " in tile ({col},{row})"),
        }
    }
}

#[cfg(test)]
mod tests;
