//! Nothing that a process can say makes the emulated device panic, or hang without an end.

use std::time::Duration;

use proptest::prelude::*;

use xdna::array::{Tile, TileKind, address};
use xdna::memory::{Buffer, Heap};
use xdna::seam::{Pointer, Request};
use xdna::stream::Operation;
use xdna::uapi::IOCTLS;
use xdna_emulator::{Emulator, Options};

use crate::loopback::{Kernel, image, run, stream};
use crate::open;

/// An ioctl's place in the list, small numbers for its fields, and what it points to.
fn ioctl() -> impl Strategy<Value = (usize, Vec<u32>, usize)> {
    let small = prop_oneof![8 => 0_u32..9, 1 => any::<u32>(), 1 => Just(4096), 1 => Just(64 << 20)];
    (0..IOCTLS.len(), prop::collection::vec(small, 16), 0_usize..200)
}

/// Registers that matter, of tiles that are there and of some that are not.
fn register() -> impl Strategy<Value = u32> {
    let offset = |kind: TileKind| {
        let channels =
            [xdna::array::Direction::S2mm, xdna::array::Direction::Mm2s].map(|way| kind.channels_at(way));
        let starts =
            [kind.descriptors_at(), kind.locks_at(), channels[0], channels[1], kind.switch_at(), 0x3_2000];
        (prop::sample::select(starts.to_vec()), 0_u32..0x60).prop_map(|(start, word)| start + word * 4)
    };
    (0_u8..2, 0_u8..4).prop_flat_map(move |(col, row)| {
        offset(TileKind::of_row(row)).prop_map(move |offset| address(Tile { col, row }, offset))
    })
}

fn operation() -> impl Strategy<Value = Operation<'static>> {
    let value = prop_oneof![any::<u32>(), 0_u32..64, (0_u32..48).prop_map(|low| low | 0x8000_0000)];
    let tile = Tile::default();
    prop_oneof![
        6 => (register(), value.clone()).prop_map(move |(register, value)| {
            Operation::Write { tile, address: register.into(), value }
        }),
        2 => (register(), value).prop_map(|(register, value)| {
            Operation::MaskWrite { address: register.into(), value, mask: 0xFFFF }
        }),
        1 => (register(), 0_u64..3).prop_map(|(register, argument)| {
            Operation::DdrPatch { register: register.into(), argument, offset: 0 }
        }),
        1 => (0_u8..2, 0_u8..3, 0_u8..3, any::<bool>()).prop_map(|(col, row, channel, out)| {
            let direction = if out { xdna::array::Direction::Mm2s } else { xdna::array::Direction::S2mm };
            Operation::Sync { direction, tile: Tile { col, row }, columns: 1, rows: 1, channel }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_ioctls_make_the_driver_panic(calls in prop::collection::vec(ioctl(), 1..40)) {
        // No wait waits: what its handles point to is no handle that exists.
        let node = Emulator::new(Options::default()).open();
        for (idx, fields, length) in calls {
            let number = IOCTLS[idx].1;
            let mut argument: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
            argument.resize((number >> 16 & 0x3FFF) as usize, 0);
            let mut memory = [vec![1; length], vec![1; length], vec![1; length]];
            let mut at = [0, 8, 16].into_iter();
            let mut pointers: Vec<Pointer<'_>> = memory
                .iter_mut()
                .map(|memory| Pointer { at: at.next().unwrap(), memory })
                .collect();
            let _ = node.ioctl(Request { number, argument: &mut argument, pointers: &mut pointers });
        }
    }

    #[test]
    fn no_streams_make_the_array_panic(operations in prop::collection::vec(operation(), 0..30)) {
        let emulator = Emulator::new(Options { hang_limit: Duration::from_millis(200), ..Options::default() });
        let device = open(&emulator);
        let heap = Heap::new(&device).unwrap();
        let image = image(16, &xdna::array::Descriptor::linear(0, 16));
        let mut kernel = Kernel::new(&heap, &image, &stream(&operations));
        let buffers = [Buffer::new(&device, 64).unwrap(), Buffer::new(&device, 64).unwrap()];
        let buffers: Vec<&Buffer> = buffers.iter().collect();
        // A worker that has panicked never ends its command.
        let end = run(&mut kernel, &buffers, Duration::from_secs(20));
        let is_late = matches!(end, Err(xdna::Error::Timeout { .. }));
        prop_assert!(!is_late);
    }
}
