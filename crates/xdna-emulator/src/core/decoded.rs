//! Program memory, decoded once into what the interpreter runs on.

use aie2::{Bundle, ControlRegister, Instruction, Latencies, Opcode, Operand, Register, bundle_size};

use super::Cause;

/// An instruction, ready to be executed.
///
/// `x`, `y` and `z` are its registers in the order in which they are written: numbers of the scalar register file
/// ([`Register::move_code`]) or of the vector register file ([`Register::vector_parts`]).
#[derive(Debug, Clone, Copy)]
pub(super) struct Op {
    pub(super) opcode: Opcode,
    pub(super) latency: u8,
    pub(super) x: u8,
    pub(super) y: u8,
    pub(super) z: u8,
    /// The bits that register `x` has.
    pub(super) mask: u32,
    pub(super) number: i32,
}

/// A bundle, ready to be executed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Its instructions in [`Program::ops`], without nops.
    pub(super) first: u32,
    pub(super) count: u8,
    /// Whether it holds `acq`.
    pub(super) acquires: bool,
    /// Whether it writes `sp`.
    pub(super) moves_stack: bool,
    /// Whether it writes `lc`, `ls` or `le`.
    pub(super) sets_loop: bool,
    /// Address of the bundle behind it.
    pub(super) next: u32,
    /// The return address of a `jl` in it: the bundle behind its delay slots.
    pub(super) link: u32,
}

/// Marks a bundle that was not reached yet.
const NOT_DECODED: u8 = u8::MAX;

/// A core's program.
pub(super) struct Program {
    text: Vec<u8>,
    latencies: Latencies,
    /// By half of the address.
    steps: Vec<Step>,
    pub(super) ops: Vec<Op>,
}

impl Program {
    pub(super) fn new(text: &[u8], latencies: Latencies) -> Program {
        let empty = Step {
            first: 0,
            count: NOT_DECODED,
            acquires: false,
            moves_stack: false,
            sets_loop: false,
            next: 0,
            link: 0,
        };
        Program {
            text: text.to_vec(),
            latencies,
            steps: vec![empty; text.len().div_ceil(2)],
            ops: Vec::new(),
        }
    }

    /// The bundle at an address. Bundles are decoded when they are reached: between them may lie anything.
    #[inline(always)]
    pub(super) fn step(&mut self, pc: u32) -> Result<Step, Cause> {
        match self.steps.get(pc as usize / 2) {
            Some(step) if step.count != NOT_DECODED => Ok(*step),
            _ => self.decode(pc),
        }
    }

    #[cold]
    fn decode(&mut self, pc: u32) -> Result<Step, Cause> {
        let end = self.text.len() as u32;
        let rest = self.text.get(pc as usize..).filter(|rest| !rest.is_empty());
        let rest = rest.ok_or(Cause::EndOfProgram { end })?;
        let (bundle, size) = Bundle::decode(rest)?;
        let first = self.ops.len() as u32;
        let jumps = bundle.instructions().iter().any(|instruction| instruction.opcode() == Opcode::Jl);
        let link = if jumps { self.after_delay_slots(pc)? } else { 0 };
        for instruction in bundle.instructions() {
            if !instruction.opcode().is_nop() {
                self.ops.push(op(instruction, &self.latencies)?);
            }
        }
        let ops = &self.ops[first as usize..];
        let writes = |registers: &[Register]| {
            let writes =
                |i: &Instruction| i.writes(&self.latencies).iter().any(|w| registers.contains(&w.register));
            bundle.instructions().iter().any(writes)
        };
        let step = Step {
            first,
            count: ops.len() as u8,
            acquires: ops.iter().any(|op| op.opcode == Opcode::Acq),
            moves_stack: writes(&[Register::Sp]),
            sets_loop: writes(&[Register::Lc, Register::Ls, Register::Le]),
            next: pc + size as u32,
            link,
        };
        self.steps[pc as usize / 2] = step;
        Ok(step)
    }

    /// How the instruction of the bundle at `pc` with this opcode is written.
    pub(super) fn written(&self, pc: u32, opcode: Opcode) -> String {
        let bundle = self.text.get(pc as usize..).and_then(|rest| Bundle::decode(rest).ok());
        let instructions = bundle.iter().flat_map(|(bundle, _)| bundle.instructions());
        let found = instructions.into_iter().find(|instruction| instruction.opcode() == opcode);
        found.map_or_else(|| format!("{opcode:?}"), ToString::to_string)
    }

    /// Address of the first bundle that is not in the delay slots of the one at `pc`.
    fn after_delay_slots(&self, mut pc: u32) -> Result<u32, Cause> {
        for _ in 0..=self.latencies.delay_slots {
            let first = self.text.get(pc as usize);
            let first = first.ok_or(Cause::EndOfProgram { end: self.text.len() as u32 })?;
            pc += bundle_size(*first) as u32;
        }
        Ok(pc)
    }
}

/// Makes an instruction ready to be executed.
fn op(instruction: &Instruction, latencies: &Latencies) -> Result<Op, Cause> {
    let opcode = instruction.opcode();
    let unmodelled = |reason: &str| {
        Err(Cause::Unmodelled { instruction: instruction.to_string(), reason: reason.to_owned() })
    };
    if opcode == Opcode::VMacF {
        return unmodelled("how it sums and rounds is not publicly known");
    }
    let (mut registers, mut count, mut mask, mut number) = ([0; 3], 0, u32::MAX, 0);
    for operand in instruction.operands() {
        match operand {
            Operand::Number(value) => number = *value,
            Operand::Register(register) => {
                let Some(index) = register_index(*register) else {
                    return unmodelled(&format!("register {register}"));
                };
                registers[count] = index;
                if count == 0 && register.bits() == 20 {
                    mask = 0xF_FFFF;
                }
                count += 1;
            }
        }
    }
    let [x, y, z] = registers;
    Ok(Op { opcode, latency: opcode.result_latency(latencies) as u8, x, y, z, mask, number })
}

/// A register's number in its register file, or `None` if the register is not modelled.
fn register_index(register: Register) -> Option<u8> {
    match register {
        Register::Control(control) if control != ControlRegister::Rnd => None,
        Register::S(_) | Register::Dp | Register::CoreId | Register::Q(_) => None,
        _ => register.move_code().or_else(|| register.vector_parts().map(|parts| parts.start)),
    }
}
