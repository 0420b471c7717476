//! Single instructions: bits, operands, text.

use std::fmt;
use std::sync::LazyLock;

use crate::operand::Class;
use crate::table::{ROWS, Row};
use crate::{Error, Opcode, Register, Slot};

/// An operand of an [`Instruction`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A register.
    Register(Register),
    /// A number as it is written: addresses, distances and steps in bytes.
    Number(i32),
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Register(register) => register.fmt(f),
            Operand::Number(value) => write!(f, "#{value}"),
        }
    }
}

/// What an instruction does to an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
    InOut,
}

/// An operand's place in an instruction.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) class: Class,
    pub(crate) direction: Direction,
    /// The bits of the instruction that hold it, its highest first.
    positions: Vec<u32>,
}

/// A piece of how an instruction is written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Text(&'static str),
    /// Number of the field.
    Field(usize),
}

/// A row of the table, taken apart.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) opcode: Opcode,
    pub(crate) slot: Slot,
    pub(crate) mnemonic: &'static str,
    mask: u64,
    value: u64,
    pub(crate) fields: Vec<Field>,
    /// What follows the mnemonic.
    pub(crate) tokens: Vec<Token>,
}

impl Definition {
    fn parse(row: &Row) -> Definition {
        let bit = |c: char| {
            let positions = row.pattern.char_indices().filter(move |(_, other)| *other == c);
            positions.map(|(i, _)| (row.pattern.len() - 1 - i) as u32)
        };
        let (mnemonic, rest) = row.syntax.split_once(' ').unwrap_or((row.syntax, ""));
        let (mut fields, mut tokens) = (Vec::new(), Vec::new());
        for piece in pieces(rest) {
            let mut letters = piece.chars();
            let (Some(letter), Some(sign)) = (letters.next(), letters.next()) else {
                tokens.push(Token::Text(piece));
                continue;
            };
            let direction = match sign {
                ':' => Direction::In,
                '=' => Direction::Out,
                '+' => Direction::InOut,
                _ => {
                    tokens.push(Token::Text(piece));
                    continue;
                }
            };
            let class = Class::named(letters.as_str()).expect("the table names classes that exist");
            let positions: Vec<u32> = bit(letter).collect();
            assert_eq!(positions.len() as u32, class.bits(), "`{}`: field of {class:?}", row.syntax);
            tokens.push(Token::Field(fields.len()));
            fields.push(Field { class, direction, positions });
        }
        let ones: u64 = bit('1').map(|position| 1 << position).sum();
        let zeros: u64 = bit('0').map(|position| 1 << position).sum();
        Definition {
            opcode: row.opcode,
            slot: row.slot,
            mnemonic,
            mask: ones | zeros,
            value: ones,
            fields,
            tokens,
        }
    }

    /// How the instruction is written, with kinds of operands in their places, for messages.
    pub(crate) fn describe(&self) -> String {
        let token = |token: &Token| match token {
            Token::Text(text) => (*text).to_owned(),
            Token::Field(i) => format!("({})", self.fields[*i].class.describe()),
        };
        let tokens: Vec<String> = self.tokens.iter().map(token).collect();
        format!("{} {}", self.mnemonic, tokens.join(" "))
    }

    fn decode(&self, word: u64) -> Option<Instruction> {
        if word & self.mask != self.value {
            return None;
        }
        let decode = |field: &Field| {
            let code =
                field.positions.iter().fold(0, |code, position| (code << 1) | ((word >> position) & 1));
            field.class.decode(code)
        };
        let operands = self.fields.iter().map(decode).collect::<Option<Vec<Operand>>>()?;
        Some(Instruction { opcode: self.opcode, operands })
    }
}

/// Cuts how an instruction is written at blanks and punctuation.
fn pieces(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split_inclusive([' ', ',', '[', ']'])
        .flat_map(|piece| {
            let word = piece.trim_end_matches([',', '[', ']']);
            [word, &piece[word.len()..]]
        })
        .map(str::trim)
        .filter(|piece| !piece.is_empty())
}

/// All instructions, in the order of [`Opcode`].
pub(crate) fn definitions() -> &'static [Definition] {
    static PARSED: LazyLock<Vec<Definition>> = LazyLock::new(|| ROWS.iter().map(Definition::parse).collect());
    &PARSED
}

/// An instruction of one slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Instruction {
    opcode: Opcode,
    operands: Vec<Operand>,
}

impl Instruction {
    /// Makes an instruction; `operands` in the order in which they are written.
    ///
    /// # Errors
    /// [`Error::Operand`] if an operand cannot stand in its place.
    ///
    /// # Panics
    /// If the number of operands is not the instruction's.
    pub fn new(opcode: Opcode, operands: Vec<Operand>) -> Result<Instruction, Error> {
        let definition = &definitions()[opcode as usize];
        let count = definition.fields.len();
        assert_eq!(operands.len(), count, "{opcode:?} has {count} operands");
        for (field, operand) in definition.fields.iter().zip(&operands) {
            if field.class.encode(*operand).is_none() {
                return Err(Error::Operand {
                    operand: operand.to_string(),
                    mnemonic: definition.mnemonic.to_owned(),
                    expected: field.class.describe(),
                });
            }
        }
        Ok(Instruction { opcode, operands })
    }

    /// Reads the bits of a slot.
    ///
    /// # Errors
    /// [`Error::Instruction`] if no instruction of the subset has these bits.
    pub fn decode(slot: Slot, word: u64) -> Result<Instruction, Error> {
        let mut candidates = definitions().iter().filter(|definition| definition.slot == slot);
        candidates.find_map(|definition| definition.decode(word)).ok_or(Error::Instruction { slot, word })
    }

    /// The bits of the slot. Bits that may be anything are 0.
    pub fn encode(&self) -> u64 {
        let definition = self.definition();
        let mut word = definition.value;
        for (field, operand) in definition.fields.iter().zip(&self.operands) {
            let code = field.class.encode(*operand).expect("only operands that encode get in");
            for (i, position) in field.positions.iter().rev().enumerate() {
                word |= ((code >> i) & 1) << position;
            }
        }
        word
    }

    /// Which instruction it is.
    pub fn opcode(&self) -> Opcode {
        self.opcode
    }

    /// The operands, in the order in which they are written.
    pub fn operands(&self) -> &[Operand] {
        &self.operands
    }

    /// The slot it goes into.
    pub fn slot(&self) -> Slot {
        self.definition().slot
    }

    /// The name it is written with.
    pub fn mnemonic(&self) -> &'static str {
        self.definition().mnemonic
    }

    pub(crate) fn definition(&self) -> &'static Definition {
        &definitions()[self.opcode as usize]
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let definition = self.definition();
        f.write_str(definition.mnemonic)?;
        let mut space = " ";
        for token in &definition.tokens {
            match token {
                Token::Text("]") => f.write_str("]")?,
                Token::Text(",") => f.write_str(",")?,
                Token::Text(text) => write!(f, "{space}{text}")?,
                Token::Field(i) => match self.operands[*i] {
                    Operand::Number(value) if definition.fields[*i].class == Class::Address => {
                        write!(f, "{space}#{value:#x}")?;
                    }
                    operand => write!(f, "{space}{operand}")?,
                },
            }
            space = if *token == Token::Text("[") { "" } else { " " };
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unusual_byte_groupings)] // Digits are grouped by field.
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_as_wide_as_its_slot_and_covered_by_operands() {
        for (i, (row, definition)) in ROWS.iter().zip(definitions()).enumerate() {
            assert_eq!(row.opcode as usize, i);
            assert_eq!(row.pattern.len() as u32, row.slot.bits(), "{}", row.syntax);
            let letters = row.pattern.chars().filter(char::is_ascii_lowercase).count();
            let covered: usize = definition.fields.iter().map(|field| field.positions.len()).sum();
            assert_eq!(letters, covered, "{}", row.syntax);
        }
    }

    #[test]
    fn no_bits_stand_for_two_instructions() {
        for slot in [Slot::Lda, Slot::Ldb, Slot::St, Slot::Alu, Slot::Mv] {
            let candidates: Vec<_> =
                definitions().iter().filter(|definition| definition.slot == slot).collect();
            for word in 0..1_u64 << slot.bits() {
                let fitting = candidates.iter().filter(|c| word & c.mask == c.value);
                let found = fitting.filter_map(|c| c.decode(word)).count();
                assert!(found <= 1, "slot {slot}, {word:#x}");
            }
        }
    }

    #[test]
    fn what_decodes_encodes_to_what_decodes_the_same() {
        for slot in [Slot::Lda, Slot::Ldb, Slot::St, Slot::Alu, Slot::Mv] {
            for word in (0..1_u64 << slot.bits()).step_by(7) {
                if let Ok(instruction) = Instruction::decode(slot, word) {
                    assert_eq!(Instruction::decode(slot, instruction.encode()), Ok(instruction));
                }
            }
        }
    }

    #[test]
    fn instructions_are_written_as_the_compiler_writes_them() {
        let cases = [
            (Slot::Alu, 0b00010_00001_00011_00001, "add r1, r2, r3"),
            (Slot::Alu, 0b00010_00001_1111111_110, "add r1, r2, #-1"),
            (Slot::Alu, 0b110000_0001_00001_00100, "acq #48, r1"),
            (Slot::Alu, 0b00001_00000_00010_01100, "sel.eqz r0, r1, r2, r27"),
            (Slot::Alu, 0b110000, "ret lr"),
            (Slot::Lda, 0b111111111111_1_0000101_1, "lda lr, [sp, #-4]"),
            (Slot::Lda, 0b001_010_1000100_00011_000, "st.s8 r3, [p1, dj2]"),
            (Slot::Lda, 0b000_0000000100_11_00_1110, "padda [p0], #16"),
            (Slot::Ldb, 0b000000000_11_010_00, "paddb [sp], #64"),
            (Slot::Ldb, 0b010_011_01011_000_01, "paddb [p2], m3"),
            (Slot::Lng, 0b00000_00000000001100100000_00000000000000100, "jl #0x320"),
            (Slot::Lng, 0b00000000000001110000_1100111_000000000000_001, "movxm sp, #458752"),
            (Slot::Mv, 0b1010111_00011_1111_11_11_11, "add.nc lc, r3, #-1"),
            (Slot::Mv, 0b0000011_0011100_10110010, "mov p0, r7"),
            (Slot::Mv, 0b000101_0_110000011_110110, "vmov bml1, x3"),
            (Slot::Vec, 0b00011_00001_0010_0100_00010_001, "vmac.f bml1, bmh0, x2, x4, r3"),
        ];
        for (slot, word, text) in cases {
            let instruction = Instruction::decode(slot, word).unwrap();
            assert_eq!(instruction.to_string(), text);
            assert_eq!(instruction.encode(), word, "{text}");
        }
    }
}
