//! Programs from text.

mod layout;
mod parse;
mod schedule;

#[cfg(test)]
mod tests;

use crate::{Error, Program};

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
/// ```
/// let program = aie2::assemble("lda r1, [p0, #4] \n add r1, r1, #1")?;
/// // A load takes seven bundles: six nops stand between the two.
/// assert_eq!(program.text.len(), 4 + 6 * 2 + 4);
/// # Ok::<(), aie2::Error>(())
/// ```
///
/// # Errors
/// [`Error::Line`].
pub fn assemble(source: &str) -> Result<Program, Error> {
    layout::layout(&parse::parse(source)?)
}
