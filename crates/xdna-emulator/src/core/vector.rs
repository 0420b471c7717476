//! The vector registers, and what is publicly known of the instructions on them.

use aie2::Opcode;

use super::decoded::Op;
use super::{Cause, Core, LateStore, LateValue, R29, RND, Windows};

/// 256 bits, as words, lowest first.
pub(super) type Half = [u32; 8];

/// Bundles after which `vst.conv` reaches memory, later than other stores.
const CONVERTED_STORE: u64 = 2;

/// The value of `crRnd` with which halves are rounded to even.
const ROUND_TO_EVEN: u32 = 12;

/// The vector registers, and what is on its way to them.
pub(super) struct Vectors {
    /// By [`Register::vector_parts`](aie2::Register::vector_parts).
    halves: [Half; 60],
    pending: Vec<PendingHalf>,
}

struct PendingHalf {
    due: u64,
    index: u8,
    value: Half,
    /// Whether some instructions see the value one bundle before it is due, by a bypass.
    bypass: bool,
}

impl Vectors {
    pub(super) fn new() -> Vectors {
        Vectors { halves: [[0; 8]; 60], pending: Vec::new() }
    }

    /// Whether anything is on its way.
    #[inline(always)]
    pub(super) fn is_busy(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Makes visible what is due.
    pub(super) fn commit(&mut self, now: u64) {
        for pending in &self.pending {
            if pending.due <= now {
                self.halves[usize::from(pending.index)] = pending.value;
            }
        }
        self.pending.retain(|pending| pending.due > now);
    }

    pub(super) fn half(&self, index: u8) -> Half {
        self.halves[usize::from(index)]
    }
}

impl Core {
    /// Executes a vector instruction.
    pub(super) fn execute_vector(&mut self, op: Op, windows: &Windows<'_>) -> Result<(), Cause> {
        let Op { x, y, z, .. } = op;
        match op.opcode {
            Opcode::VldB => {
                let address = self.address_xyz(y, z);
                self.check_part_word_store(0)?;
                let bytes: [u8; 32] = windows.load(address)?;
                let word = |i: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| bytes[4 * i + byte]));
                self.write_half(op, x, [0, 1, 2, 3, 4, 5, 6, 7].map(word), false);
            }
            Opcode::VBcst16 => {
                let lane = self.scalar(y) & 0xFFFF;
                let value = [lane | (lane << 16); 8];
                self.write_half(op, x, value, true);
                self.write_half(op, x + 1, value, true);
            }
            Opcode::VExtractS16 => {
                let lane = self.lane(op, self.scalar(z), 32)?;
                let half = self.read_half(op, y + lane / 16)?;
                let word = half[usize::from(lane % 16 / 2)];
                let value = (word >> (16 * (lane % 2))) as u16 as i16;
                self.put(op.x, op.latency, value as u32 & op.mask);
            }
            Opcode::VInsert32 => {
                let lane = self.lane(op, self.scalar(R29), 16)?;
                let mut halves = [self.read_half(op, y)?, self.read_half(op, y + 1)?];
                halves[usize::from(lane / 8)][usize::from(lane % 8)] = self.scalar(z);
                self.write_half(op, x, halves[0], true);
                self.write_half(op, x + 1, halves[1], true);
            }
            Opcode::VMovW => {
                let half = self.read_half(op, y)?;
                self.write_half(op, x, half, true);
            }
            Opcode::VMovX => {
                for i in 0..2 {
                    let half = self.read_half(op, y + i)?;
                    self.write_half(op, x + i, half, true);
                }
            }
            Opcode::VClr => {
                self.write_half(op, x, [0; 8], false);
                self.write_half(op, x + 1, [0; 8], false);
            }
            Opcode::VConvBf16 => {
                let half = self.to_bf16(op, y)?;
                self.write_half(op, x, half, false);
            }
            Opcode::VStConvBf16 => {
                let address = self.address_xyz(y, z);
                self.check_part_word_store(CONVERTED_STORE)?;
                self.guard(address, 32)?;
                windows.check::<32>(address)?;
                let value = LateValue::Half(self.to_bf16(op, x)?);
                self.late.push(LateStore { due: self.cycle + CONVERTED_STORE, address, value });
            }
            _ => return Err(self.unmodelled(op, "opcode")),
        }
        Ok(())
    }

    /// A lane's number, if the vector has so many.
    fn lane(&self, op: Op, lane: u32, lanes: u32) -> Result<u8, Cause> {
        if lane >= lanes {
            return Err(self.unmodelled(op, &format!("lane {lane} of {lanes}")));
        }
        Ok(lane as u8)
    }

    /// Reads 256 bits. Some instructions see some results a bundle early, and which do is not modelled.
    fn read_half(&self, op: Op, index: u8) -> Result<Half, Cause> {
        let early = |p: &PendingHalf| p.bypass && p.index == index && p.due == self.cycle + 1;
        if self.vectors.pending.iter().any(early) {
            return Err(self.unmodelled(op, "it reads a vector that the bundle before it has moved"));
        }
        Ok(self.vectors.half(index))
    }

    fn write_half(&mut self, op: Op, index: u8, value: Half, bypass: bool) {
        let due = self.cycle + u64::from(op.latency);
        self.vectors.pending.push(PendingHalf { due, index, value, bypass });
    }

    /// Rounds 16 numbers of 32 bits in half an accumulator to bf16.
    fn to_bf16(&self, op: Op, index: u8) -> Result<Half, Cause> {
        let floats = [self.read_half(op, index)?, self.read_half(op, index + 1)?].concat();
        let mut half = [0; 8];
        for (i, bits) in floats.into_iter().enumerate() {
            let exact = bits.trailing_zeros() >= 16;
            let (exponent, fraction) = ((bits >> 23) & 0xFF, bits & 0x7F_FFFF);
            if fraction != 0 && (exponent == 0 || exponent == 0xFF) {
                return Err(self.unmodelled(op, &format!("denormal or not a number ({bits:#010x})")));
            }
            if !exact && self.scalar(RND) != ROUND_TO_EVEN {
                return Err(self.unmodelled(op, &format!("rounding mode {}", self.scalar(RND))));
            }
            let rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
            half[i / 2] |= rounded << (16 * (i % 2));
        }
        Ok(half)
    }
}
