//! The places of a bundle.

use std::fmt;

/// A place of a bundle: one functional unit of the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// First load unit; stores of parts of words too.
    Lda,
    /// Second load unit.
    Ldb,
    /// Store unit.
    St,
    /// Scalar arithmetic, locks, return.
    Alu,
    /// Moves.
    Mv,
    /// Jumps and wide constants, in place of [`Slot::Alu`] and [`Slot::Mv`].
    Lng,
    /// Vector arithmetic.
    Vec,
    /// The one bit of a bundle that does nothing.
    Nop,
}

impl Slot {
    /// All slots, in the order in which a bundle is printed.
    pub const ALL: [Slot; 8] =
        [Slot::Lda, Slot::Ldb, Slot::St, Slot::Alu, Slot::Mv, Slot::Lng, Slot::Vec, Slot::Nop];

    /// Width of the slot in bits.
    pub fn bits(self) -> u32 {
        match self {
            Slot::Lda | Slot::St => 21,
            Slot::Ldb => 16,
            Slot::Alu => 20,
            Slot::Mv => 22,
            Slot::Lng => 42,
            Slot::Vec => 26,
            Slot::Nop => 1,
        }
    }

    /// The letter that stands for the slot in the table of bundle formats.
    pub(crate) fn letter(self) -> char {
        match self {
            Slot::Lda => 'a',
            Slot::Ldb => 'b',
            Slot::St => 's',
            Slot::Alu => 'x',
            Slot::Mv => 'm',
            Slot::Lng => 'l',
            Slot::Vec => 'v',
            Slot::Nop => 'n',
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Slot::Lda => "lda",
            Slot::Ldb => "ldb",
            Slot::St => "st",
            Slot::Alu => "alu",
            Slot::Mv => "mv",
            Slot::Lng => "lng",
            Slot::Vec => "vec",
            Slot::Nop => "nop",
        })
    }
}
