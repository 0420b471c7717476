//! The registers of a core.

use std::fmt;
use std::str::FromStr;

/// A control or status register, by the name that the compiler gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // The names say as much as is publicly known.
pub enum ControlRegister {
    VaddSign,
    Carry,
    F2fMask,
    ComprUf,
    F2iMask,
    F2fFlags,
    FpMask,
    F2iFlags,
    McdEn,
    FpFlags,
    PackSign,
    Ms0,
    Rnd,
    SrsOf,
    ScdEn,
    Ss0,
    SrsSign,
    SparseOf,
    Sat,
    UpsOf,
    UpsSign,
    UnpackSign,
}

use ControlRegister as C;

/// Names of the control and status registers, with the code of each in a register move.
const CONTROL: [(ControlRegister, &str, u8); 22] = [
    (C::VaddSign, "crVaddSign", 1),
    (C::Carry, "srCarry", 5),
    (C::F2fMask, "crF2FMask", 9),
    (C::ComprUf, "srCompr_uf", 13),
    (C::F2iMask, "crF2IMask", 17),
    (C::F2fFlags, "srF2FFlags", 21),
    (C::FpMask, "crFPMask", 25),
    (C::F2iFlags, "srF2IFlags", 29),
    (C::McdEn, "crMCDEn", 33),
    (C::FpFlags, "srFPFlags", 37),
    (C::PackSign, "crPackSign", 41),
    (C::Ms0, "srMS0", 45),
    (C::Rnd, "crRnd", 49),
    (C::SrsOf, "srSRS_of", 53),
    (C::ScdEn, "crSCDEn", 57),
    (C::Ss0, "srSS0", 61),
    (C::SrsSign, "crSRSSign", 65),
    (C::SparseOf, "srSparse_of", 69),
    (C::Sat, "crSat", 73),
    (C::UpsOf, "srUPS_of", 77),
    (C::UpsSign, "crUPSSign", 81),
    (C::UnpackSign, "crUnpackSign", 89),
];

/// The registers that there is one of, with name and code in a register move.
const SINGLE: [(Register, &str, u8); 7] = [
    (Register::Ls, "ls", 7),
    (Register::Dp, "dp", 23),
    (Register::Lr, "lr", 39),
    (Register::CoreId, "core_id", 55),
    (Register::Le, "le", 71),
    (Register::Lc, "lc", 87),
    (Register::Sp, "sp", 103),
];

/// A register. `r` and `lc` have 32 bits, other scalar registers 20.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Register {
    /// General, `r0` to `r31`.
    R(u8),
    /// Pointer, `p0` to `p7`.
    P(u8),
    /// Modifier (step of a pointer), `m0` to `m7`.
    M(u8),
    /// Size of a dimension, `dn0` to `dn7`.
    Dn(u8),
    /// Offset or step of a dimension, `dj0` to `dj7`.
    Dj(u8),
    /// Counter of a dimension, `dc0` to `dc7`.
    Dc(u8),
    /// Shift of a vector conversion, `s0` to `s3`.
    S(u8),
    /// Return address.
    Lr,
    /// Count of the hardware loop.
    Lc,
    /// Address of the hardware loop's first bundle.
    Ls,
    /// Address of the hardware loop's last bundle.
    Le,
    /// Stack pointer; the stack grows upward.
    Sp,
    /// Pointer of compressed loads.
    Dp,
    /// Column and row of the core.
    CoreId,
    /// Control or status.
    Control(ControlRegister),
    /// Lower half of a vector register, 256 bits, `wl0` to `wl11`.
    Wl(u8),
    /// Upper half of a vector register, 256 bits, `wh0` to `wh11`.
    Wh(u8),
    /// Vector, 512 bits, `x0` to `x11`.
    X(u8),
    /// Lower half of an accumulator, 512 bits, `bml0` to `bml8`.
    Bml(u8),
    /// Upper half of an accumulator, 512 bits, `bmh0` to `bmh8`.
    Bmh(u8),
    /// Quarter of an accumulator, 256 bits: accumulator number × 4 + quarter, `amll0`, `amlh0`, `amhl0`, `amhh0`, ….
    Am(u8),
    /// Mask of a sparse vector, 128 bits, `q0` to `q3`.
    Q(u8),
}

/// The numbered registers: name in front of the number, how many, and how to make one.
type Family = (&'static str, u8, fn(u8) -> Register);
const FAMILIES: [Family; 13] = [
    ("r", 32, Register::R),
    ("p", 8, Register::P),
    ("m", 8, Register::M),
    ("dn", 8, Register::Dn),
    ("dj", 8, Register::Dj),
    ("dc", 8, Register::Dc),
    ("s", 4, Register::S),
    ("wl", 12, Register::Wl),
    ("wh", 12, Register::Wh),
    ("x", 12, Register::X),
    ("bml", 9, Register::Bml),
    ("bmh", 9, Register::Bmh),
    ("q", 4, Register::Q),
];

/// Names of the quarters of an accumulator, from the lowest.
const QUARTERS: [&str; 4] = ["amll", "amlh", "amhl", "amhh"];

impl Register {
    /// The code (7 bits) of a scalar register in a register move, which tells all scalar registers apart; `None` for
    /// vector registers.
    ///
    /// Source: `getmMvSclSrcOpValue` in Xilinx/llvm-aie `llvm/lib/Target/AIE`.
    pub fn move_code(self) -> Option<u8> {
        Some(match self {
            Register::R(i) => i << 2,
            Register::M(i) => (i << 2) | 0b10,
            Register::Dn(i) => ((i | 0b0_1000) << 2) | 0b10,
            Register::Dj(i) => ((i | 0b1_0000) << 2) | 0b10,
            Register::Dc(i) => ((i | 0b1_1000) << 2) | 0b10,
            Register::P(i) => (i << 4) | 0b0011,
            Register::S(i) => (i << 5) | 0b0_1011,
            Register::Control(control) => CONTROL.iter().find(|(c, ..)| *c == control)?.2,
            single => SINGLE.iter().find(|(register, ..)| *register == single)?.2,
        })
    }

    /// The scalar register with this code in a register move, the opposite of [`Register::move_code`].
    pub fn from_move_code(code: u8) -> Option<Register> {
        if code >= 128 {
            return None;
        }
        let group = (code >> 2) & 0b111;
        match code & 0b11 {
            0b00 => return Some(Register::R(code >> 2)),
            0b10 => {
                let kinds = [Register::M, Register::Dn, Register::Dj, Register::Dc];
                return Some(kinds[usize::from(code >> 5)](group));
            }
            _ => {}
        }
        if code & 0b1111 == 0b0011 {
            return Some(Register::P(code >> 4));
        }
        if code & 0b1_1111 == 0b0_1011 {
            return Some(Register::S(code >> 5));
        }
        let control =
            CONTROL.iter().find(|(.., c)| *c == code).map(|(control, ..)| Register::Control(*control));
        control.or_else(|| SINGLE.iter().find(|(.., c)| *c == code).map(|(register, ..)| *register))
    }

    /// Where a vector register lies in the vector register file, in pieces of 256 bits: first the vectors, lower half
    /// before upper half, then the accumulators, quarter by quarter. `None` for all others.
    pub fn vector_parts(self) -> Option<std::ops::Range<u8>> {
        let (start, length) = match self {
            Register::Wl(i) => (2 * i, 1),
            Register::Wh(i) => (2 * i + 1, 1),
            Register::X(i) => (2 * i, 2),
            Register::Bml(i) => (24 + 4 * i, 2),
            Register::Bmh(i) => (24 + 4 * i + 2, 2),
            Register::Am(i) => (24 + i, 1),
            _ => return None,
        };
        Some(start..start + length)
    }

    /// The parts of the register file that the register is made of. Registers that share one depend on each other.
    pub(crate) fn parts(self) -> std::ops::Range<u16> {
        let parts = |start: u16, parts: std::ops::Range<u8>| {
            start + u16::from(parts.start)..start + u16::from(parts.end)
        };
        match (self.move_code(), self.vector_parts(), self) {
            (Some(code), ..) => parts(0, code..code + 1),
            (_, Some(halves), _) => parts(128, halves),
            (.., Register::Q(i)) => parts(192, i..i + 1),
            _ => 0..0,
        }
    }

    /// Width in bits.
    pub fn bits(self) -> u32 {
        match self {
            Register::R(_) | Register::Lc | Register::Control(_) | Register::S(_) | Register::CoreId => 32,
            Register::Wl(_) | Register::Wh(_) | Register::Am(_) => 256,
            Register::X(_) | Register::Bml(_) | Register::Bmh(_) => 512,
            Register::Q(_) => 128,
            _ => 20,
        }
    }
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (family, i) = match *self {
            Register::R(i) => ("r", i),
            Register::P(i) => ("p", i),
            Register::M(i) => ("m", i),
            Register::Dn(i) => ("dn", i),
            Register::Dj(i) => ("dj", i),
            Register::Dc(i) => ("dc", i),
            Register::S(i) => ("s", i),
            Register::Wl(i) => ("wl", i),
            Register::Wh(i) => ("wh", i),
            Register::X(i) => ("x", i),
            Register::Bml(i) => ("bml", i),
            Register::Bmh(i) => ("bmh", i),
            Register::Q(i) => ("q", i),
            Register::Am(i) => (QUARTERS[usize::from(i % 4)], i / 4),
            Register::Control(control) => {
                return f.write_str(CONTROL[control as usize].1);
            }
            single => {
                let name = SINGLE.iter().find(|(register, ..)| *register == single).map(|(_, name, _)| *name);
                return f.write_str(name.unwrap_or_default());
            }
        };
        write!(f, "{family}{i}")
    }
}

impl FromStr for Register {
    type Err = ();

    /// Reads a register's name, in lower case but for the control registers.
    fn from_str(text: &str) -> Result<Register, ()> {
        if let Some((register, ..)) = SINGLE.iter().find(|(_, name, _)| *name == text) {
            return Ok(*register);
        }
        if let Some((control, ..)) = CONTROL.iter().find(|(_, name, _)| *name == text) {
            return Ok(Register::Control(*control));
        }
        let name = text.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = &text[name.len()..];
        let i: u8 = digits.parse().map_err(|_| ())?;
        if digits.len() > 1 && digits.starts_with('0') {
            return Err(());
        }
        if let Some(quarter) = QUARTERS.iter().position(|quarter| *quarter == name) {
            return if i < 9 { Ok(Register::Am(i * 4 + quarter as u8)) } else { Err(()) };
        }
        let family = FAMILIES.iter().find(|(family, count, _)| *family == name && i < *count);
        family.map(|(.., make)| make(i)).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_registers_stand_in_the_order_of_their_numbers() {
        for (i, (control, ..)) in CONTROL.iter().enumerate() {
            assert_eq!(*control as usize, i);
        }
    }

    #[test]
    fn names_and_move_codes_lead_back_to_the_register() {
        let scalar = (0..=255u8).filter_map(Register::from_move_code);
        let vector = FAMILIES.iter().flat_map(|(_, count, make)| (0..*count).map(make));
        let mut seen = 0;
        for register in scalar.chain(vector).chain((0..36).map(Register::Am)) {
            assert_eq!(register.to_string().parse(), Ok(register), "{register}");
            if let Some(code) = register.move_code() {
                assert_eq!(Register::from_move_code(code), Some(register), "{register}");
            }
            seen += 1;
        }
        // r, m/dn/dj/dc, p, s, one-of-a-kind and control; then all families; then accumulator quarters.
        assert_eq!(seen, (32 + 32 + 8 + 4 + 7 + 22) + (32 + 8 + 4 * 8 + 4 + 3 * 12 + 2 * 9 + 4) + 36);
    }
}
