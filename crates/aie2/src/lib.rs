//! The instruction set of AMD's AIE2 cores, the compute tiles of XDNA1 NPUs (Phoenix, Hawk Point).
//!
//! A core issues one [`Bundle`] a cycle: up to seven [`Instruction`]s, one per [`Slot`], in 2 to 16 bytes.
//! [`Bundle::decode`] and [`Bundle::encode`] go between bytes and bundles, [`disassemble`] prints a program.
//! The instructions are a subset: everything that scalar integer kernels use, and a few vector instructions.
//! What is not in it does not decode.
//!
//! Source of the encodings: the public compiler, Xilinx/llvm-aie.

mod assemble;
mod bundle;
mod disassemble;
mod format;
mod instruction;
mod operand;
mod program;
mod register;
mod slot;
mod table;
mod timing;

pub use assemble::assemble;
pub use bundle::{Bundle, bundle_size};
pub use disassemble::disassemble;
pub use instruction::{Instruction, Operand};
pub use program::{Program, Segment, Symbol};
pub use register::{ControlRegister, Register};
pub use slot::Slot;
pub use table::Opcode;
pub use timing::{Access, Latencies};

/// Size of a core's program memory in bytes.
pub const PROGRAM_MEMORY_BYTES: usize = 0x4000;

/// Addresses of data memory as a core sees it: south, west, north and its own, 64 KiB each.
pub const DATA_MEMORY: std::ops::Range<u32> = 0x4_0000..0x8_0000;

/// The two memories in messages.
pub(crate) const PROGRAM_MEMORY_NAME: &str = "program memory, 16 KiB";
pub(crate) const DATA_MEMORY_NAME: &str = "data memory, 0x40000 to 0x7ffff";

/// Why bytes or a text are no program, or a bundle has no bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end within a bundle.
    #[error("bundle has {found} bytes, its first byte asks for {expected}")]
    Truncated {
        /// Bytes that are there.
        found: usize,
        /// Bytes that the first one announces.
        expected: usize,
    },
    /// No bundle format has these fixed bits.
    #[error("bundle {bytes} fits no bundle format")]
    Format {
        /// The bundle in hexadecimal, first byte first.
        bytes: String,
    },
    /// A slot holds bits that no instruction of the subset has.
    #[error("slot {slot} holds {word:#x}, which is no instruction that is known here")]
    Instruction {
        /// The slot.
        slot: Slot,
        /// Its bits.
        word: u64,
    },
    /// Two instructions want the same slot.
    #[error("`{first}` and `{second}` both need slot {slot}")]
    SlotTaken {
        /// The slot.
        slot: Slot,
        /// The instruction that has it.
        first: String,
        /// The instruction that wants it too.
        second: String,
    },
    /// No bundle format has room for these instructions together.
    #[error("no bundle format holds the slots {slots} together")]
    Slots {
        /// Names of the slots, separated by blanks.
        slots: String,
    },
    /// An operand cannot be encoded.
    #[error("operand `{operand}` of `{mnemonic}` is not {expected}")]
    Operand {
        /// The operand as it was given.
        operand: String,
        /// The instruction.
        mnemonic: String,
        /// What the instruction takes in its place.
        expected: String,
    },
    /// The file is no ELF file, or its headers point outside of it.
    #[error("not a readable 32-bit little-endian ELF file")]
    Elf(#[from] object::read::Error),
    /// The ELF file is for another machine.
    #[error("ELF file is for machine {found}, expected {expected} (AIE)")]
    Machine {
        /// The number in its header.
        found: u16,
        /// The number of AIE cores.
        expected: u16,
    },
    /// The program does not start at 0.
    #[error("program starts at {found:#x}, cores start at 0")]
    Entry {
        /// Its entry.
        found: u32,
    },
    /// Bytes lie outside of the memory that they are for.
    #[error("{bytes} bytes at {address:#x} do not fit into {memory}")]
    OutOfMemory {
        /// Where they would begin.
        address: u32,
        /// How many they are.
        bytes: usize,
        /// Where they should be.
        memory: &'static str,
    },
    /// A line of a text is wrong.
    #[error("line {line}: {cause}")]
    Line {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        cause: Box<Error>,
    },
    /// There is no such instruction.
    #[error("no instruction is called `{0}`")]
    Mnemonic(String),
    /// The instruction is not written so.
    #[error("`{found}` is not one of: {expected}")]
    Syntax {
        /// The instruction as it was written.
        found: String,
        /// How it can be written.
        expected: String,
    },
    /// There is no such directive, or it is not written so.
    #[error("`{0}` is no directive")]
    Directive(String),
    /// A number or the name of a symbol was expected.
    #[error("`{0}` is neither a number nor a symbol")]
    Expression(String),
    /// The symbol is defined nowhere.
    #[error("symbol `{0}` is not defined")]
    UnknownSymbol(String),
    /// The symbol is defined a second time.
    #[error("symbol `{0}` is defined twice")]
    DuplicateSymbol(String),
    /// The value does not fit.
    #[error("{value} does not fit into {bits} bits")]
    TooLarge {
        /// The value.
        value: i64,
        /// The room for it.
        bits: u32,
    },
    /// Something stands where it cannot.
    #[error("{0}")]
    Misplaced(&'static str),
}
