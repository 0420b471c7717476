//! The scalar instructions.

use aie2::Opcode;

use super::decoded::{Op, Step};
use super::{Cause, Core, LR, LateStore, LateValue, NEVER, R27, R31, SP, Windows};

/// Pointers, and addresses that are made of them, have 20 bits.
const ADDRESS: u32 = 0xF_FFFF;

impl Core {
    /// Executes an instruction. What it writes to registers becomes visible later.
    #[inline(always)]
    pub(super) fn execute(&mut self, op: Op, step: &Step, windows: &mut Windows<'_>) -> Result<(), Cause> {
        use Opcode::*;
        let (y, z) = (self.scalar(op.y), self.scalar(op.z));
        let number = op.number as u32;
        let value = match op.opcode {
            Add => y.wrapping_add(z),
            AddImm | AddNc => y.wrapping_add(number),
            Sub => y.wrapping_sub(z),
            And => y & z,
            Or => y | z,
            Xor => y ^ z,
            Mul => y.wrapping_mul(z),
            Abs => (y as i32).unsigned_abs(),
            Clz => y.leading_zeros(),
            Lshl => shift(y, z, |y, right| y.checked_shr(right).unwrap_or(0)),
            Ashl => shift(y, z, |y, right| ((y as i32) >> right.min(31)) as u32),
            Eq => u32::from(y == z),
            Ne => u32::from(y != z),
            Ge => u32::from(y as i32 >= z as i32),
            Geu => u32::from(y >= z),
            Lt => u32::from((y as i32) < z as i32),
            Ltu => u32::from(y < z),
            Eqz => u32::from(y == 0),
            Nez => u32::from(y != 0),
            ExtendS8 => y as i8 as u32,
            ExtendS16 => y as i16 as u32,
            ExtendU8 => y & 0xFF,
            ExtendU16 => y & 0xFFFF,
            SelEqz => {
                if self.scalar(R27) == 0 {
                    y
                } else {
                    z
                }
            }
            SelNez => {
                if self.scalar(R27) == 0 {
                    z
                } else {
                    y
                }
            }
            Mov => y,
            MovX | MovA | MovXm | MovImm => number,
            Divs => {
                let (remainder, quotient) = divide_step(y, self.scalar(R31), z);
                self.put(R31, op.latency, quotient);
                remainder
            }
            PaddA | PaddBImm | PaddSImm => self.scalar(op.x).wrapping_add(number),
            PaddB | PaddS => self.scalar(op.x).wrapping_add(y),
            LdaS8 | LdaS8Imm | LdaU8 | LdaS16 | LdaS16Imm | LdaU16 | Lda | LdaImm | LdaSp => {
                self.load(op, windows)?
            }
            _ => return self.execute_other(op, step, windows),
        };
        self.put(op.x, op.latency, value & op.mask);
        Ok(())
    }

    /// Executes what does not end in a write to its first register.
    fn execute_other(&mut self, op: Op, step: &Step, windows: &mut Windows<'_>) -> Result<(), Cause> {
        use Opcode::*;
        let x = self.scalar(op.x);
        let target = op.number as u32;
        match op.opcode {
            PaddBSp => self.put(SP, op.latency, self.scalar(SP).wrapping_add(target) & ADDRESS),
            St | StImm | StSp => {
                let address = self.address(op);
                self.check_part_word_store(0)?;
                self.guard(address, 4)?;
                windows.store(address, x.to_le_bytes())?;
            }
            StS8 | StS8Imm | StS16 | StS16Imm => {
                self.check_part_word_store(0)?;
                let due = self.cycle + u64::from(self.latencies.part_word_data);
                let (address, register) = (self.address(op), op.x);
                let value = if matches!(op.opcode, StS8 | StS8Imm) {
                    self.guard(address, 1)?;
                    windows.check::<1>(address)?;
                    LateValue::Byte { register }
                } else {
                    self.guard(address, 2)?;
                    windows.check::<2>(address)?;
                    LateValue::TwoBytes { register }
                };
                self.late.push(LateStore { due, address, value });
                self.part_word_store = Some((self.cycle, self.pc));
            }
            J => self.jump(target)?,
            Jz if x == 0 => self.jump(target)?,
            Jnz if x != 0 => self.jump(target)?,
            Jl => {
                self.put(LR, op.latency, step.link);
                self.jump(target)?;
            }
            Ret => self.jump(self.scalar(LR))?,
            Rel => {
                let (locks, id) = windows.locks(op.number as u8)?;
                locks.release(id, x as i32)?;
            }
            Done => self.done = true,
            // `acq` was done before the bundle was begun, `event` is for tracing.
            Jz | Jnz | Acq | Event => {}
            _ => return self.execute_vector(op, windows),
        }
        Ok(())
    }

    fn load(&self, op: Op, windows: &Windows<'_>) -> Result<u32, Cause> {
        use Opcode::*;
        let address = self.address(op);
        self.check_part_word_store(0)?;
        Ok(match op.opcode {
            LdaS8 | LdaS8Imm => i8::from_le_bytes(windows.load(address)?) as u32,
            LdaU8 => u32::from(u8::from_le_bytes(windows.load(address)?)),
            LdaS16 | LdaS16Imm => i16::from_le_bytes(windows.load(address)?) as u32,
            LdaU16 => u32::from(u16::from_le_bytes(windows.load(address)?)),
            _ => u32::from_le_bytes(windows.load(address)?),
        })
    }

    /// The address of a load or store: its second register, or `sp`, and its third register or number.
    fn address(&self, op: Op) -> u32 {
        use Opcode::*;
        match op.opcode {
            LdaSp | StSp => self.scalar(SP).wrapping_add(op.number as u32) & ADDRESS,
            LdaImm | LdaS8Imm | LdaS16Imm | StImm | StS8Imm | StS16Imm => {
                self.scalar(op.y).wrapping_add(op.number as u32) & ADDRESS
            }
            _ => self.address_xyz(op.y, op.z),
        }
    }

    /// The sum of a pointer and an offset.
    pub(super) fn address_xyz(&self, pointer: u8, offset: u8) -> u32 {
        self.scalar(pointer).wrapping_add(self.scalar(offset)) & ADDRESS
    }

    fn jump(&mut self, target: u32) -> Result<(), Cause> {
        if self.jump_at != NEVER {
            return Err(Cause::JumpInDelaySlot { target: self.jump_target });
        }
        check_target(target)?;
        self.jump_at = self.cycle + u64::from(self.latencies.delay_slots);
        self.jump_target = target;
        Ok(())
    }
}

/// Bundles lie at even addresses.
pub(super) fn check_target(target: u32) -> Result<(), Cause> {
    if target.is_multiple_of(2) { Ok(()) } else { Err(Cause::Unaligned { address: target, size: 2 }) }
}

/// Shifts left by a signed amount; to the right by its opposite if it is negative.
#[inline(always)]
fn shift(value: u32, amount: u32, right: impl Fn(u32, u32) -> u32) -> u32 {
    let amount = amount as i32;
    if amount >= 0 {
        value.checked_shl(amount as u32).unwrap_or(0)
    } else {
        right(value, amount.unsigned_abs())
    }
}

/// One step of a restoring division. Returns the remainder and the quotient, which takes the dividend's place.
fn divide_step(remainder: u32, quotient: u32, divisor: u32) -> (u32, u32) {
    let (remainder, quotient) = ((remainder << 1) | (quotient >> 31), quotient << 1);
    if remainder >= divisor { (remainder - divisor, quotient | 1) } else { (remainder, quotient) }
}
