//! Small programs, bundle by bundle.

use aie2::{Bundle, Instruction, Operand};

use super::*;

/// The bytes of bundles of one instruction each.
fn program(instructions: &[(Opcode, &[Operand])]) -> Vec<u8> {
    let bundle = |(opcode, operands): &(Opcode, &[Operand])| {
        Bundle::new(vec![Instruction::new(*opcode, operands.to_vec()).unwrap()]).unwrap().encode()
    };
    instructions.iter().flat_map(bundle).collect()
}

#[test]
fn a_program_runs_until_it_is_done() {
    let r = |i| Operand::Register(Register::R(i));
    let text = program(&[
        (Opcode::MovX, &[r(1), Operand::Number(6)]),
        (Opcode::Mul, &[r(2), r(1), r(1)]),
        (Opcode::Mov, &[r(3), r(2)]),
        (Opcode::Mov, &[r(4), r(2)]),
        (Opcode::Done, &[]),
    ]);
    let mut module = MemoryModule::new();
    let mut core = Core::new(&text);
    assert_eq!(core.run(&mut Windows::own(&mut module), 3), Ok(Stop::Budget));
    assert_eq!(core.run(&mut Windows::own(&mut module), 100), Ok(Stop::Done));
    assert_eq!([3, 4].map(|i| core.register(Register::R(i))), [Some(0), Some(36)]);
    assert_eq!(core.cycles(), 5);
}
