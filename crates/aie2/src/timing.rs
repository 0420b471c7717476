//! When instructions read and write their registers.
//!
//! The pipeline is exposed: nothing waits for a result, and who reads a register too early reads what was in it
//! before. A cycle is an issued bundle.

use crate::instruction::{Direction, Token};
use crate::{Instruction, Opcode, Operand, Register};

/// After how many bundles things happen, counted from the bundle that issues the instruction.
///
/// A result with latency n is visible to the n-th following bundle. The default is the hardware's; tests change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latencies {
    /// Results of scalar arithmetic but `mul`, of moves and of pointer steps.
    pub result: u32,
    /// Result of `mul`.
    pub multiply: u32,
    /// Results of loads.
    pub load: u32,
    /// `lr`, written by `jl`.
    pub link: u32,
    /// When `st.s8` and `st.s16` read what they store; until then other memory operations must keep away.
    pub part_word_data: u32,
    /// Bundles that are executed after a jump before its target.
    pub delay_slots: u32,
    /// Results of moves and conversions of vectors.
    pub vector_move: u32,
    /// Results of floating-point vector arithmetic.
    pub vector_float: u32,
    /// When vector arithmetic reads the accumulator it adds to.
    pub accumulator: u32,
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies {
            result: 1,
            multiply: 2,
            load: 7,
            link: 4,
            part_word_data: 6,
            delay_slots: 5,
            vector_move: 2,
            vector_float: 6,
            accumulator: 2,
        }
    }
}

/// A register that an instruction reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The register.
    pub register: Register,
    /// The bundle, counted from the instruction's own, that reads it or first sees what was written.
    pub cycle: u32,
}

impl Instruction {
    /// The registers that the instruction reads.
    pub fn reads(&self, latencies: &Latencies) -> Vec<Access> {
        let explicit = self.registers(|direction| direction != Direction::Out);
        let literal = |token: &Token| match token {
            Token::Text(text) => text.parse().ok(),
            Token::Field(_) => None,
        };
        let implied = self.definition().tokens.iter().filter_map(literal);
        let remainder = (self.opcode() == Opcode::Divs).then_some(Register::R(31));
        let cycle = |(i, register)| {
            let cycle = match self.opcode() {
                opcode if opcode.is_part_word_store() && i == 0 => latencies.part_word_data,
                Opcode::VMacF if i == 0 => latencies.accumulator,
                _ => 0,
            };
            Access { register, cycle }
        };
        explicit.chain(implied).chain(remainder).enumerate().map(cycle).collect()
    }

    /// The registers that the instruction writes.
    pub fn writes(&self, latencies: &Latencies) -> Vec<Access> {
        let cycle = self.opcode().result_latency(latencies);
        let implied = match self.opcode() {
            Opcode::Divs => Some(Register::R(31)),
            Opcode::Jl => Some(Register::Lr),
            Opcode::PaddBSp => Some(Register::Sp),
            _ => None,
        };
        let explicit = self.registers(|direction| direction != Direction::In);
        explicit.chain(implied).map(|register| Access { register, cycle }).collect()
    }

    fn registers(&self, wanted: impl Fn(Direction) -> bool) -> impl Iterator<Item = Register> {
        let fields = self.definition().fields.iter().zip(self.operands());
        fields.filter_map(move |(field, operand)| match operand {
            Operand::Register(register) if wanted(field.direction) => Some(*register),
            _ => None,
        })
    }
}

impl Opcode {
    /// After how many bundles the instruction's result is visible.
    pub fn result_latency(self, latencies: &Latencies) -> u32 {
        use Opcode::*;
        match self {
            Mul => latencies.multiply,
            Jl => latencies.link,
            VldB => latencies.load,
            VBcst16 | VExtractS16 | VInsert32 | VMovW | VMovX | VConvBf16 => latencies.vector_move,
            VClr | VMacF => latencies.vector_float,
            _ if self.is_load() => latencies.load,
            _ => latencies.result,
        }
    }

    /// Whether the instruction loads from memory.
    pub fn is_load(self) -> bool {
        use Opcode::*;
        matches!(self, LdaS16 | LdaS16Imm | LdaS8 | LdaS8Imm | LdaU16 | LdaU8 | Lda | LdaImm | LdaSp | VldB)
    }

    /// Whether the instruction stores a part of a word, and so reads what it stores late.
    pub fn is_part_word_store(self) -> bool {
        use Opcode::*;
        matches!(self, StS16 | StS16Imm | StS8 | StS8Imm)
    }

    /// Whether the instruction loads or stores.
    pub fn is_memory_access(self) -> bool {
        use Opcode::*;
        self.is_load() || self.is_part_word_store() || matches!(self, StSp | St | StImm | VStConvBf16)
    }

    /// Whether the instruction may go elsewhere, after its delay slots.
    pub fn is_jump(self) -> bool {
        use Opcode::*;
        matches!(self, J | Jl | Jz | Jnz | Ret)
    }
}

#[cfg(test)]
#[allow(clippy::unusual_byte_groupings)] // Digits are grouped by field.
mod tests {
    use super::*;
    use crate::Slot;

    /// Registers with their cycles, as text.
    fn listed(accesses: Vec<Access>) -> String {
        let one = |access: Access| format!("{}@{}", access.register, access.cycle);
        accesses.into_iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn registers_are_read_and_written_when_the_facts_say() {
        let cases = [
            (Slot::Alu, 0b00010_00001_00011_00001, "r2@0 r3@0", "r1@1"),
            (Slot::Alu, 0b00010_00001_00011_11111, "r2@0 r3@0", "r1@2"),
            (Slot::Alu, 0b00010_00001_00011_10100, "r2@0 r3@0 r31@0", "r1@1 r31@1"),
            (Slot::Alu, 0b00001_00000_00010_01100, "r1@0 r2@0 r27@0", "r0@1"),
            (Slot::Alu, 0b110000, "lr@0", ""),
            (Slot::Lda, 0b111111111111_1_0000101_1, "sp@0", "lr@7"),
            (Slot::Lda, 0b001_010_1000100_00011_000, "r3@6 p1@0 dj2@0", ""),
            (Slot::Lda, 0b000_0000000100_11_00_1110, "p0@0", "p0@1"),
            (Slot::Ldb, 0b000000000_11_010_00, "sp@0", "sp@1"),
            (Slot::Lng, 0b00000_00000001100100000_00000000000000100, "", "lr@4"),
            (Slot::St, 0b001_010_1000010_0001100_0, "r3@0 p1@0 dj2@0", ""),
            (Slot::Mv, 0b0001_100_00010_0011_110001, "x3@0 r2@0 r29@0", "x1@2"),
            (Slot::Vec, 0b00011_00001_0010_0100_00010_001, "bmh0@2 x2@0 x4@0 r3@0", "bml1@6"),
        ];
        let latencies = Latencies::default();
        for (slot, word, reads, writes) in cases {
            let instruction = Instruction::decode(slot, word).unwrap();
            assert_eq!(listed(instruction.reads(&latencies)), reads, "{instruction}");
            assert_eq!(listed(instruction.writes(&latencies)), writes, "{instruction}");
        }
    }
}
