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

pub use assemble::{AssembleCause, AssembleError, assemble};
pub use bundle::{Bundle, bundle_size};
pub use disassemble::disassemble;
pub use instruction::{Instruction, Operand};
pub use program::{ElfError, Program, Segment, Symbol};
pub use register::{ControlRegister, Register};
pub use slot::Slot;
pub use table::Opcode;
pub use timing::{Access, Latencies};

/// Why bytes are no bundle, or a bundle has no bytes.
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
}
