//! Small programs on a core.

mod instructions;
mod pipeline;
mod vectors;

use aie2::{Bundle, Instruction, Slot, assemble};
use proptest::prelude::*;

use super::*;

/// A tile with its neighbours, whose memory holds 77 at the beginning and the bytes 1, 2, 3, … from 0x100 on.
struct Machine {
    core: Core,
    /// South, west, north, own.
    modules: [MemoryModule; 4],
}

impl Machine {
    fn new(source: &str) -> Machine {
        Machine::with_latencies(source, Latencies::default())
    }

    fn with_latencies(source: &str, latencies: Latencies) -> Machine {
        let program = assemble(source).unwrap_or_else(|error| panic!("{error} of:\n{source}"));
        let mut modules = [(); 4].map(|()| MemoryModule::new());
        modules[3].data[0] = 77;
        for (i, byte) in modules[3].data[0x100..0x200].iter_mut().enumerate() {
            *byte = (i + 1) as u8;
        }
        Machine { core: Core::with_latencies(&program.text, latencies), modules }
    }

    fn run(&mut self) -> Result<Stop, Fault> {
        let [south, west, north, own] = &mut self.modules;
        let windows = Windows::own(own).with(Side::South, south).with(Side::West, west);
        self.core.run(&mut windows.with(Side::North, north), 10_000)
    }

    fn r(&self, i: u8) -> u32 {
        self.core.register(Register::R(i)).unwrap()
    }

    fn word(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.modules[3].data[offset..offset + 4].try_into().unwrap())
    }
}

/// Runs a program until it is done.
fn done(source: &str) -> Machine {
    let mut machine = Machine::new(source);
    let stop = machine.run();
    assert_eq!(stop, Ok(Stop::Done), "{source}");
    machine
}

/// Runs a program until it fails, and says why.
fn failure(source: &str) -> String {
    let mut machine = Machine::new(source);
    let fault = machine.run().expect_err(source);
    fault.cause.to_string()
}

#[test]
fn memory_is_that_of_the_tile_and_of_three_neighbours() {
    let machine = done(
        "
        mova r1, #1
        mova r2, #2
        mova r3, #3
        movxm p0, #0x40004
        movxm p1, #0x50008
        movxm p2, #0x6000C
        st r1, [p0, #0]
        st.s16 r2, [p1, #2]
        st.s8 r3, [p2, #-1]
        movxm p3, #0x70000
        lda r4, [p3, #0]
        done
        ",
    );
    let [south, west, north, _] = &machine.modules;
    assert_eq!(south.data[4..8], [1, 0, 0, 0]);
    assert_eq!(west.data[8..12], [0, 0, 2, 0]);
    assert_eq!(north.data[8..12], [0, 0, 0, 3]);
    assert_eq!(machine.core.stack_high(), 0);
}

#[test]
fn wrong_addresses_are_errors() {
    let access = |address: u32, access: &str| failure(&format!("movxm p0, #{address}\n{access}\ndone"));
    let cases = [
        (0x3_FFFC, "lda r1, [p0, #0]", "address 0x3fffc is not in data memory, which is 0x40000 to 0x7ffff"),
        (0x7_FFFC, "lda r1, [p0, #4]", "address 0x80000 is not in data memory, which is 0x40000 to 0x7ffff"),
        (0x7_0002, "st r1, [p0, #0]", "address 0x70002 is not a multiple of 4"),
        (0x7_0001, "st.s16 r1, [p0, #0]", "address 0x70001 is not a multiple of 2"),
        (0x7_0010, "vldb wl0, [p0, dj0]", "address 0x70010 is not a multiple of 32"),
    ];
    for (address, instruction, message) in cases {
        assert_eq!(access(address, instruction), message);
    }
    let program = assemble("movxm p0, #0x40000\n lda r1, [p0, #0]\n acq #20, r1").unwrap();
    let mut own = MemoryModule::new();
    let fault = Core::new(&program.text).run(&mut Windows::own(&mut own), 10).unwrap_err();
    let message = "core at pc 0x0006 after 1 bundles: address 0x40000 is in the memory of a neighbour that does not exist";
    assert_eq!(fault.to_string(), message);
}

#[test]
fn a_guard_lets_through_what_is_declared() {
    let mut machine = Machine::new(
        "
        movxm sp, #0x70400
        st r1, [sp, #0]
        paddb [sp], #32
        movxm p0, #0x70010
        st.s8 r1, [p0, #3]
        st r1, [p0, #4]
        done
        ",
    );
    let region = |name: &str, start, bytes, access| Region { name: name.to_owned(), start, bytes, access };
    machine.core.set_guard(Guard::new(vec![
        region("the stack", 0x7_0400, 0x20, Access::ReadWrite),
        region("scratch", 0x7_0000, 0x20, Access::ReadWrite),
        region("a table in it", 0x7_0014, 4, Access::Read),
    ]));
    let fault = machine.run().unwrap_err();
    assert_eq!(fault.cause.to_string(), "store of 4 bytes to 0x70014, which belongs to a table in it");
    assert_eq!(machine.core.stack_high(), 0x7_0420);

    let mut machine = Machine::new("movxm p0, #0x60000\n st.s8 r1, [p0, #0]\n done");
    machine.core.set_guard(Guard::new(vec![]));
    let fault = machine.run().unwrap_err();
    assert_eq!(fault.cause.to_string(), "store of 1 bytes to 0x60000, which belongs to nobody");
}

#[test]
fn locks_belong_to_four_tiles_and_a_blocked_core_waits() {
    let mut machine = Machine::new(
        "
        mova r1, #-2
        mova r2, #1
        mova r3, #0
        acq #50, r1
        rel #3, r2
        rel #16, r2
        rel #47, r2
        acq #51, r3
        done
        ",
    );
    machine.modules[3].locks.set(2, 1).unwrap();
    for _ in 0..3 {
        assert_eq!(machine.run(), Ok(Stop::Blocked { lock: 50, request: -2 }));
        assert_eq!(machine.core.cycles(), 3);
    }
    machine.modules[3].locks.release(2, 2).unwrap();
    assert_eq!(machine.run(), Ok(Stop::Done));
    assert_eq!(machine.core.cycles(), 9);
    let [south, west, north, own] = &machine.modules;
    assert_eq!(
        [south.locks.value(3), west.locks.value(0), north.locks.value(15), own.locks.value(2)],
        [1; 4]
    );
    // It stays done.
    assert_eq!(machine.run(), Ok(Stop::Done));
    assert_eq!(machine.core.cycles(), 9);
    assert_eq!(failure("mova r1, #-1\n rel #48, r1"), "lock 0 would become -1, locks hold 0 to 63");
}

#[test]
fn what_is_not_modelled_is_named() {
    let cases = [
        ("vmac.f bml0, bml0, x0, x1, r0", "how it sums and rounds is not publicly known"),
        ("mov r0, srCarry", "register srCarry"),
        ("mov crSat, r1", "register crSat"),
        ("mov r0, core_id", "register core_id"),
        ("mov s0, r1", "register s0"),
        ("vmov q0, wl1", "register q0"),
    ];
    for (instruction, reason) in cases {
        assert_eq!(failure(instruction), format!("`{instruction}` is not modelled: {reason}"));
    }
    let unknown = failure(".manual\n.byte 0x19, 0, 0, 0xf8");
    assert_eq!(unknown, "bundle 190000f8 fits no bundle format");
    assert_eq!(failure("nop"), "program memory ends at 0x0002");
    assert_eq!(failure("j #0x4000"), "program memory ends at 0x0010");
    assert_eq!(failure(".manual\nj #1\nnop\nnop\nnop\nnop\nnop"), "address 0x00001 is not a multiple of 2");
}

/// Bundles of the largest format with random slots, where they decode.
fn random_program(seeds: &[u64]) -> Vec<u8> {
    let slot = |seed: &u64| {
        let slot = [Slot::Lda, Slot::Ldb, Slot::St, Slot::Alu, Slot::Mv][(seed % 5) as usize];
        let instruction = Instruction::decode(slot, (seed >> 8) & ((1 << slot.bits()) - 1)).ok()?;
        Some(Bundle::new(vec![instruction]).ok()?.encode())
    };
    seeds.iter().filter_map(slot).flatten().collect()
}

proptest! {
    #[test]
    fn no_program_makes_a_core_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        seeds in proptest::collection::vec(any::<u64>(), 0..400),
    ) {
        let mut own = MemoryModule::new();
        for text in [bytes, random_program(&seeds)] {
            let _ = Core::new(&text).run(&mut Windows::own(&mut own), 1000);
        }
    }
}
