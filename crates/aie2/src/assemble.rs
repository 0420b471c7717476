//! Programs from text.

mod layout;
mod parse;
mod schedule;

#[cfg(test)]
mod tests;

use crate::{Error, Program};

/// Why a text is no program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {cause}")]
pub struct AssembleError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub cause: AssembleCause,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssembleCause {
    /// There is no such instruction.
    #[error("no instruction is called `{0}`")]
    Mnemonic(String),
    /// The instruction is not written so.
    #[error("`{found}` is not one of: {expected}")]
    Operands {
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
    /// Bytes lie outside of the memory that they are for.
    #[error("{bytes} bytes at {address:#x} are outside of {memory}")]
    OutOfMemory {
        /// Where they would begin.
        address: u32,
        /// How many they are.
        bytes: usize,
        /// Where they should be.
        memory: &'static str,
    },
    /// Bundles stand in a data section, or data beside auto-padded bundles.
    #[error("{0}")]
    Misplaced(&'static str),
    /// The bundle cannot be encoded.
    #[error(transparent)]
    Encode(#[from] Error),
}

/// Assembles a program.
///
/// A line is a bundle: instructions separated by `;`, as [`disassemble`](crate::disassemble) prints them. Before it may
/// stand labels (`name:`), behind it a comment (`// …`; `/* … */` anywhere in a line). Numbers are written `#1`,
/// `#-0x20`, `#name`, `#name+4`.
///
/// | directive | meaning |
/// |---|---|
/// | `.text`, `.data ADDRESS` | what follows is bundles, or data from an address as the core sees it (at first: bundles) |
/// | `.equ NAME, NUMBER` | a name for a number |
/// | `.byte`, `.half`, `.word` | numbers of 1, 2, 4 bytes, separated by commas; `.byte` among manual bundles too |
/// | `.zero N` | N zeros |
/// | `.align N` | zeros, or nops, up to a multiple of N (a power of two, 16 at most among bundles) |
/// | `.manual`, `.auto` | bundles are taken as they stand, or padded (at first: padded) |
///
/// Padding makes bundles mean what they would mean without a pipeline: each bundle sees what all earlier ones have
/// computed. Nops are put in until results are there, until data of part-word stores are read and memory is free
/// again, and into delay slots, and before `done`; labels and return addresses are aligned to 16 bytes. The last bundle of a hardware
/// loop (the label in `movxm le, #label`) is filled up to 16 bytes.
///
/// # Errors
/// [`AssembleError`].
pub fn assemble(source: &str) -> Result<Program, AssembleError> {
    layout::layout(&parse::parse(source)?)
}
