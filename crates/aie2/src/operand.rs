//! Kinds of operands: which registers or numbers there are, and how they become bits.

use crate::{Operand, Register};

/// What may stand in an operand's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// `r0` to `r31`.
    R,
    /// `r0` to `r31` and `lc`, destination of `movx`.
    ROrLc,
    /// `r16` to `r19`: lane of a vector.
    Lane,
    /// Pointers.
    P,
    /// Modifiers.
    M,
    /// Offsets.
    Dj,
    /// What loads and stores of words take.
    Memory,
    /// Destinations of `mova`.
    MoveA,
    /// All scalar registers.
    Move,
    /// Halves of vectors.
    W,
    /// Vectors.
    X,
    /// Halves of accumulators.
    Bm,
    /// Destination of a move of 256 bits.
    MoveWTo,
    /// Source of a move of 256 bits.
    MoveWFrom,
    /// Destination of a move of 512 bits.
    MoveXTo,
    /// Source of a move of 512 bits.
    MoveXFrom,
    /// Signed number: bits of the field, and what its unit is worth.
    Signed(u32, i32),
    /// Number from 0: bits of the field.
    Unsigned(u32),
    /// Byte address of a bundle, 20 bits.
    Address,
}

impl Class {
    /// The class of this name in the table of instructions.
    pub(crate) fn named(name: &str) -> Option<Class> {
        Some(match name {
            "r" => Class::R,
            "rlc" => Class::ROrLc,
            "lane" => Class::Lane,
            "p" => Class::P,
            "m" => Class::M,
            "dj" => Class::Dj,
            "mem" => Class::Memory,
            "mova" => Class::MoveA,
            "mov" => Class::Move,
            "w" => Class::W,
            "x" => Class::X,
            "bm" => Class::Bm,
            "wto" => Class::MoveWTo,
            "wfrom" => Class::MoveWFrom,
            "xto" => Class::MoveXTo,
            "xfrom" => Class::MoveXFrom,
            "address" => Class::Address,
            _ => {
                let (bits, unit) = name[1..].split_once('x').unwrap_or((&name[1..], "1"));
                let (bits, unit) = (bits.parse().ok()?, unit.parse().ok()?);
                match &name[..1] {
                    "s" => Class::Signed(bits, unit),
                    "u" => Class::Unsigned(bits),
                    _ => return None,
                }
            }
        })
    }

    /// Whether numbers stand here.
    pub(crate) fn is_number(self) -> bool {
        matches!(self, Class::Signed(..) | Class::Unsigned(_) | Class::Address)
    }

    /// The operand that these bits stand for, or `None` if they stand for none.
    pub(crate) fn decode(self, code: u64) -> Option<Operand> {
        let number = |value: i32| Some(Operand::Number(value));
        match self {
            Class::Signed(bits, unit) => {
                let sign_extended = ((code << (64 - bits)) as i64) >> (64 - bits);
                number((sign_extended as i32).wrapping_mul(unit))
            }
            Class::Unsigned(_) | Class::Address => number(code as i32),
            _ => self.decode_register(code as u32).map(Operand::Register),
        }
    }

    fn decode_register(self, code: u32) -> Option<Register> {
        let i = code as u8; // Register codes have 9 bits at most, and what is cut off is looked at before.
        match self {
            Class::R => Some(Register::R(i)),
            Class::ROrLc if i & 1 == 0 => Some(Register::R(i >> 1)),
            Class::ROrLc => Some(Register::Lc),
            Class::Lane => Some(Register::R(16 + i)),
            Class::P => Some(Register::P(i)),
            Class::M => Some(Register::M(i)),
            Class::Dj => Some(Register::Dj(i)),
            Class::Memory | Class::MoveA => self.decode_loadable(i),
            Class::Move => Register::from_move_code(i),
            Class::W => {
                (i < 24).then_some(if i & 1 == 0 { Register::Wl(i >> 1) } else { Register::Wh(i >> 1) })
            }
            Class::X => (i < 12).then_some(Register::X(i)),
            Class::Bm => {
                (i < 18).then_some(if i & 1 == 0 { Register::Bml(i >> 1) } else { Register::Bmh(i >> 1) })
            }
            Class::MoveWTo => match code & 0b11 {
                0b00 => half_from_move_code(i >> 2),
                0b10 => (i & 0b1_1111 == 0b10).then_some(Register::Q(i >> 5)),
                _ => quarter(code >> 1),
            },
            Class::MoveWFrom => match code >> 6 {
                0b110 if code & 0b10_0000 == 0 => half_from_move_code(i & 0b1_1111),
                0b111 => (code & 0b1111 == 0).then_some(Register::Q((i >> 4) & 0b11)),
                _ => {
                    if code & 0b111 == 0b001 {
                        quarter(code >> 3)
                    } else {
                        None
                    }
                }
            },
            Class::MoveXTo if i & 1 == 1 => Class::Bm.decode_register(code >> 1),
            Class::MoveXTo => {
                if i & 0b11 == 0 {
                    Class::X.decode_register(code >> 2)
                } else {
                    None
                }
            }
            Class::MoveXFrom if code >> 4 == 0b1_1000 => Class::X.decode_register(code & 0b1111),
            Class::MoveXFrom => {
                if code & 0b1111 == 0 {
                    Class::Bm.decode_register(code >> 4)
                } else {
                    None
                }
            }
            Class::Signed(..) | Class::Unsigned(_) | Class::Address => None,
        }
    }

    /// Destinations of loads and of `mova` are coded like those of moves, but for pointers, `lr` and `lc`.
    ///
    /// Pointer n is n·16 + 13. The compiler's decoder also takes 89 for `p5`, which by that rule is no register, and
    /// its encoder never makes it.
    fn decode_loadable(self, code: u8) -> Option<Register> {
        match (self, code) {
            (Class::Memory, 0b0000101) => Some(Register::Lr),
            (Class::MoveA, 0b0010101) => Some(Register::Lc),
            _ if code & 0b1111 == 0b1101 => Some(Register::P(code >> 4)),
            _ if code & 1 == 0 => Register::from_move_code(code),
            _ => None,
        }
    }

    /// The bits of an operand, or `None` if the operand cannot stand here.
    pub(crate) fn encode(self, operand: Operand) -> Option<u64> {
        let value = match operand {
            Operand::Register(register) => return self.encode_register(register).map(u64::from),
            Operand::Number(value) => i64::from(value),
        };
        let in_range = |low: i64, high: i64| (low..high).contains(&value);
        match self {
            Class::Signed(bits, unit) => {
                let unit = i64::from(unit);
                let half = unit << (bits - 1);
                (in_range(-half, half) && value % unit == 0)
                    .then(|| (value / unit) as u64 & ((1 << bits) - 1))
            }
            Class::Unsigned(bits) => in_range(0, 1 << bits).then_some(value as u64),
            Class::Address => in_range(0, 1 << 20).then_some(value as u64),
            _ => None,
        }
    }

    fn encode_register(self, register: Register) -> Option<u32> {
        // Codes are few, and the smallest that stands for the register is the compiler's.
        (0..1 << self.register_bits()).find(|code| self.decode_register(*code) == Some(register))
    }

    /// Width of a register's code; 0 for numbers.
    fn register_bits(self) -> u32 {
        match self {
            Class::R | Class::W | Class::Bm => 5,
            Class::ROrLc | Class::MoveXTo => 6,
            Class::Lane => 2,
            Class::P | Class::M | Class::Dj => 3,
            Class::Memory | Class::MoveA | Class::Move | Class::MoveWTo => 7,
            Class::X => 4,
            Class::MoveWFrom | Class::MoveXFrom => 9,
            Class::Signed(..) | Class::Unsigned(_) | Class::Address => 0,
        }
    }

    /// Width of the field.
    pub(crate) fn bits(self) -> u32 {
        match self {
            Class::Signed(bits, _) | Class::Unsigned(bits) => bits,
            Class::Address => 20,
            _ => self.register_bits(),
        }
    }

    /// What may stand here, in words, for messages.
    pub(crate) fn describe(self) -> String {
        match self {
            Class::Signed(bits, 1) => format!("a signed number of {bits} bits"),
            Class::Signed(bits, unit) => format!("a multiple of {unit} in a signed field of {bits} bits"),
            Class::Unsigned(bits) => format!("a number of {bits} bits"),
            Class::Address => "an address of 20 bits".to_owned(),
            _ => {
                let first = (0..1 << self.register_bits()).find_map(|code| self.decode_register(code));
                first.map_or_else(String::new, |first| format!("a register such as {first}"))
            }
        }
    }
}

/// Halves of vectors in moves: half, lowest bit of the number, rest of the number.
fn half_from_move_code(code: u8) -> Option<Register> {
    let i = ((code & 0b111) << 1) | ((code >> 3) & 1);
    let half = if code & 0b1_0000 == 0 { Register::Wl(i) } else { Register::Wh(i) };
    (i < 12).then_some(half)
}

fn quarter(code: u32) -> Option<Register> {
    (code < 36).then_some(Register::Am(code as u8))
}

#[cfg(test)]
#[allow(clippy::unusual_byte_groupings)] // Digits are grouped by field.
mod tests {
    use super::*;

    #[test]
    fn pointer_5_has_one_code_in_loads() {
        assert_eq!(Class::Memory.decode(93), Some(Operand::Register(Register::P(5))));
        assert_eq!(Class::Memory.decode(89), None);
        assert_eq!(Class::Memory.encode(Operand::Register(Register::P(5))), Some(93));
    }

    #[test]
    fn register_codes_that_the_compiler_chooses() {
        let cases = [
            (Class::Memory, Register::Lr, 5),
            (Class::Memory, Register::R(7), 28),
            (Class::Memory, Register::Dc(7), 126),
            (Class::MoveA, Register::Lc, 21),
            (Class::ROrLc, Register::Lc, 1),
            (Class::Move, Register::Sp, 103),
            (Class::Move, Register::P(5), 83),
            (Class::Lane, Register::R(18), 2),
            (Class::W, Register::Wh(11), 23),
            (Class::Bm, Register::Bmh(2), 5),
            (Class::MoveWTo, Register::Wh(5), 0b11_010_00),
            (Class::MoveWTo, Register::Am(35), 71),
            (Class::MoveWTo, Register::Q(2), 0b10_00010),
            (Class::MoveWFrom, Register::Wl(4), 0b110_000_010),
            (Class::MoveWFrom, Register::Am(3), 25),
            (Class::MoveWFrom, Register::Q(1), 0b111_010_000),
            (Class::MoveXTo, Register::X(11), 44),
            (Class::MoveXTo, Register::Bml(8), 33),
            (Class::MoveXFrom, Register::X(3), 0b11000_0011),
            (Class::MoveXFrom, Register::Bmh(0), 16),
        ];
        for (class, register, code) in cases {
            assert_eq!(class.encode(Operand::Register(register)), Some(code), "{register} as {class:?}");
            assert_eq!(class.decode(code), Some(Operand::Register(register)), "{register} as {class:?}");
        }
    }

    #[test]
    fn numbers_are_extended_scaled_and_bounded() {
        let cases = [
            (Class::Signed(7, 1), -64, Some(64)),
            (Class::Signed(7, 1), 63, Some(63)),
            (Class::Signed(7, 1), 64, None),
            (Class::Signed(12, 32), -32, Some(0xFFF)),
            (Class::Signed(12, 32), 16, None),
            (Class::Signed(12, 4), 8188, Some(2047)),
            (Class::Signed(32, 1), i32::MIN, Some(0x8000_0000)),
            (Class::Unsigned(6), 63, Some(63)),
            (Class::Unsigned(6), -1, None),
            (Class::Address, 0xF_FFF0, Some(0xF_FFF0)),
        ];
        for (class, value, code) in cases {
            assert_eq!(class.encode(Operand::Number(value)), code, "{value} as {class:?}");
            if let Some(code) = code {
                assert_eq!(class.decode(code), Some(Operand::Number(value)), "{value} as {class:?}");
            }
        }
    }
}
