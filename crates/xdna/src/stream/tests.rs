use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;

/// The stream of a kernel with one input and one output of so many words each.
fn one_in_one_out(form: Form, in_words: u32, out_words: u32) -> Vec<u8> {
    let bd = |length: u32| {
        let mut bytes = Vec::new();
        words::push(&mut bytes, &[length, 0, 0, 0, 0x8000_0000, 0x0200_0000, 0, 0x0200_0000]);
        bytes
    };
    let (input, output) = (bd(in_words), bd(out_words));
    let tile = Tile::default();
    let mut builder = Builder::new(Header::npu1(form, 4));
    builder
        .push(&Operation::BlockWrite { tile, address: 0x1_D020, data: Words::new(&input) })
        .push(&Operation::DdrPatch { register: 0x1_D024, argument: 0, offset: 0 })
        .push(&Operation::Write { tile, address: 0x1_D214, value: 1 })
        .push(&Operation::BlockWrite { tile, address: 0x1_D000, data: Words::new(&output) })
        .push(&Operation::DdrPatch { register: 0x1_D004, argument: 1, offset: 0 })
        .push(&Operation::MaskWrite { address: 0x1_D200, value: 0xF00, mask: 0x1F00 })
        .push(&Operation::Write { tile, address: 0x1_D204, value: 0x8000_0000 })
        .push(&Operation::Sync { direction: Direction::S2mm, tile, columns: 1, rows: 1, channel: 0 });
    builder.finish()
}

#[test]
fn streams_of_known_kernels_are_built_bit_for_bit() {
    let known = [
        (16, 16, "a5c67a63b1ebb1a4209f7059f05a36da0790de5cbd65ccc3d1b0d94088ad5155"),
        (200, 20, "5ffe91a930c7660586724f170d4f368b833704636776eded1ea58fa8dd3d35dd"),
        (128, 128, "7198210ee894409582a1f395e046b478ca47ea12021f51c2d914d05aad063ae1"),
        (512, 512, "aa42b9b8516d0d741c5b3b28c7112187b58d21d85cbafe487507dfe4f7ff1d91"),
        (3072, 1024, "d2a0dfe6fc3a289e830dfb896ad1fb8e763909dbc92662313cb0651c03582b38"),
    ];
    for (in_words, out_words, digest) in known {
        let bytes = one_in_one_out(Form::V0_1, in_words, out_words);
        assert_eq!(bytes.len(), 300);
        let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, digest, "{in_words} words in, {out_words} out");
    }
}

#[test]
fn both_forms_say_the_same() {
    let (long, short) = (one_in_one_out(Form::V0_1, 7, 9), one_in_one_out(Form::V1_0, 7, 9));
    let (long, short) = (Stream::parse(&long).unwrap(), Stream::parse(&short).unwrap());
    assert_eq!((long.len(), short.len()), (8, 8));
    assert!(long.operations().eq(short.operations()));
    assert_eq!(short.header(), Header::npu1(Form::V1_0, 4));
}

#[test]
fn operations_read_as_people_need_them() {
    let bytes = one_in_one_out(Form::V0_1, 7, 9);
    let text: Vec<String> =
        Stream::parse(&bytes).unwrap().operations().map(|operation| operation.to_string()).collect();
    assert!(text[0].starts_with("blockwrite 0x0001d020 = 0x00000007 0x00000000"));
    assert_eq!(text[1], "patch      0x0001d024 = bo0 + 0x0");
    assert_eq!(text[5], "maskwrite  0x0001d200 = 0x00000f00 in 0x00001f00");
    assert_eq!(text[7], "sync       S2MM channel 0 of columns 0..1, rows 0..1");
}

#[test]
fn what_is_wrong_is_named() {
    let good = one_in_one_out(Form::V0_1, 16, 16);
    let broken = |word: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[word * 4..word * 4 + 4].copy_from_slice(&value.to_le_bytes());
        Stream::parse(&bytes).unwrap_err().to_string()
    };
    assert!(broken(0, 0x0603_0201).contains("version is 1.2, expected 0.1 or 1.0"));
    assert!(broken(0, 0x11).contains("word 1 of the instruction stream's prologue is 0x00000104"));
    assert!(broken(2, 7).contains("7 operations in its header, expected 8"));
    assert!(broken(3, 296).contains("296 bytes in its header, 300 in all"));
    assert!(broken(4, 130).contains("130 (READ_REGS)"), "{}", broken(4, 130));
    assert!(broken(7, 47).contains("block size"));
    assert!(broken(7, 4000).contains("but only"));
    assert!(broken(33, 20).contains("operation size near word"));
    assert!(broken(73, 2).contains("direction"));
}

/// A form's stream of some operations, without its header, as words.
fn body(form: Form, operations: &[Operation<'_>]) -> Vec<u32> {
    let mut builder = Builder::new(Header::npu1(form, 4));
    for operation in operations {
        builder.push(operation);
    }
    let bytes = builder.finish();
    assert!(Stream::parse(&bytes).unwrap().operations().eq(operations.iter().copied()));
    let header_words = if form == Form::Early { 17 } else { 4 };
    Words::new(&bytes[header_words * 4..]).iter().collect()
}

const PLACE: Tile = Tile { col: 3, row: 2 };
const WRITE: Operation<'_> = Operation::Write { tile: PLACE, address: 0x1_D214, value: 0x8000_0001 };
const SYNC: Operation<'_> =
    Operation::Sync { direction: Direction::Mm2s, tile: PLACE, columns: 5, rows: 6, channel: 1 };

#[test]
fn transactions_lie_in_their_words_as_compilers_put_them() {
    let data = [9, 0, 0, 0, 8, 0, 0, 0];
    let mask = |is_busy: Option<bool>| {
        let (address, value, mask) = (0x1_D200, 0xF00, 0x1F00);
        match is_busy {
            None => Operation::MaskWrite { address, value, mask },
            Some(is_busy) => Operation::MaskPoll { address, value, mask, is_busy },
        }
    };
    let block = |tile| Operation::BlockWrite { tile, address: 0x1_D020, data: Words::new(&data) };
    let cases: [(Operation<'_>, &[u32], &[u32]); 10] = [
        (WRITE, &[0x0002_0300, 0, 0x1_D214, 0, 0x8000_0001, 24], &[0, 0x1_D214, 0x8000_0001]),
        (block(PLACE), &[1, 0x0203, 0x1_D020, 24, 9, 8], &[1, 0x1_D020, 20, 9, 8]),
        (mask(None), &[3, 0, 0x1_D200, 0, 0xF00, 0x1F00, 28], &[3, 0x1_D200, 0xF00, 0x1F00]),
        (mask(Some(false)), &[4, 0, 0x1_D200, 0, 0xF00, 0x1F00, 28], &[4, 0x1_D200, 0xF00, 0x1F00]),
        (Operation::Noop, &[5], &[5]),
        (Operation::Preempt { level: 2 }, &[0x0206], &[0x0206]),
        (mask(Some(true)), &[7, 0, 0x1_D200, 0, 0xF00, 0x1F00, 28], &[7, 0x1_D200, 0xF00, 0x1F00]),
        (
            Operation::LoadPdi { id: 5, size: 6, address: 0x8_0000_0007 },
            &[0x0005_0008, 6, 7, 8],
            &[0x0005_0008, 6, 7, 8],
        ),
        (SYNC, &[128, 16, 0x0003_0201, 0x0105_0600], &[128, 16, 0x0003_0201, 0x0105_0600]),
        (
            Operation::DdrPatch { register: 0x1_D024, argument: 2, offset: 64 },
            &[129, 48, 0, 0, 0, 0, 0x1_D024, 0, 2, 0, 64, 0],
            &[129, 24, 0x1_D024, 2, 64, 0],
        ),
    ];
    for (operation, long, short) in cases {
        assert_eq!(body(Form::V0_1, &[operation]), long);
        // Form 1.0 has no room for a tile beside the address.
        let operation = match operation {
            Operation::Write { address, value, .. } => {
                Operation::Write { tile: Tile::default(), address, value }
            }
            Operation::BlockWrite { .. } => block(Tile::default()),
            other => other,
        };
        assert_eq!(body(Form::V1_0, &[operation]), short);
    }
}

#[test]
fn an_operation_with_a_mask_may_be_padded() {
    let mut bytes = Vec::new();
    words::push(&mut bytes, &[0x0603_0100, 0x104, 2, 16 + 32 + 4]);
    words::push(&mut bytes, &[3, 0, 0x1_D200, 0, 0xF00, 0x1F00, 32, 0xDEAD, 5]);
    let mask_write = Operation::MaskWrite { address: 0x1_D200, value: 0xF00, mask: 0x1F00 };
    assert!(Stream::parse(&bytes).unwrap().operations().eq([mask_write, Operation::Noop]));
    bytes[40] = 30;
    assert!(Stream::parse(&bytes).unwrap_err().to_string().contains("is 30 bytes, expected 28 bytes"));
}

#[test]
fn streams_of_2023_are_read_and_written_too() {
    let descriptor = Operation::ShimDescriptor {
        col: 1,
        columns: 4,
        argument: 2,
        number: 7,
        increment: 0x100,
        length: 512,
        offset: 0x40,
        rest: [0, 1, 0x8000_0000, 3, 4, 0x0200_0000],
    };
    let words = body(Form::Early, &[descriptor, WRITE, SYNC]);
    let expected: [u32; 15] = [
        0x0601_0427,
        0x100,
        512,
        0x40,
        0,
        1,
        0x8000_0000,
        3,
        4,
        0x0200_0000, // descriptor
        0x0203_0200,
        0x1_D214,
        0x8000_0001, // write
        0x0303_0201,
        0x0105_0600, // sync
    ];
    assert_eq!(words, expected);
    assert_eq!(
        descriptor.to_string(),
        "shimbd     7 of columns 1..5: 512 words at bo2 + 0x40, increment 0x100, rest 0x00000000 0x00000001 \
         0x80000000 0x00000003 0x00000004 0x02000000"
    );
    assert_eq!(WRITE.to_string(), "write      0x0001d214 = 0x80000001 in tile (3,2)");
    let broken = |words: &[u32]| {
        let mut bytes = Builder::new(Header::npu1(Form::Early, 0)).finish();
        words::push(&mut bytes, words);
        Stream::parse(&bytes).unwrap_err().to_string()
    };
    assert!(broken(&[0x0400_0000]).contains("opcode near word 4 is 4, expected 2, 3 or 6"));
    assert!(broken(&[0x0600_0000, 1]).contains("but only 8 are there"));
    assert!(broken(&[0x0300_0002, 0]).contains("direction"));
}

#[test]
#[should_panic(expected = "no `noop`")]
fn a_stream_of_2023_has_three_operations() {
    Builder::new(Header::npu1(Form::Early, 0)).push(&Operation::Noop);
}

fn operation() -> impl Strategy<Value = Operation<'static>> {
    let address = || any::<u32>().prop_map(u64::from);
    prop_oneof![
        (address(), any::<u32>()).prop_map(|(address, value)| Operation::Write {
            tile: Tile::default(),
            address,
            value
        }),
        (any::<u32>(), 0_usize..16).prop_map(|(address, len)| {
            let data = Words::new(&[0xA5; 64][..len * 4]);
            Operation::BlockWrite { tile: Tile::default(), address, data }
        }),
        (address(), any::<u32>(), any::<u32>()).prop_map(|(address, value, mask)| Operation::MaskWrite {
            address,
            value,
            mask
        }),
        (address(), any::<u32>(), any::<u32>(), any::<bool>()).prop_map(|(address, value, mask, is_busy)| {
            Operation::MaskPoll { address, value, mask, is_busy }
        }),
        Just(Operation::Noop),
        any::<u8>().prop_map(|level| Operation::Preempt { level }),
        any::<(u16, u32, u64)>().prop_map(|(id, size, address)| Operation::LoadPdi { id, size, address }),
        any::<(bool, u8, u8, u8, u8, u8)>().prop_map(|(out, col, row, columns, rows, channel)| {
            let direction = if out { Direction::Mm2s } else { Direction::S2mm };
            Operation::Sync { direction, tile: Tile { col, row }, columns, rows, channel }
        }),
        (address(), address(), address()).prop_map(|(register, argument, offset)| Operation::DdrPatch {
            register,
            argument,
            offset
        }),
    ]
}

proptest! {
    #[test]
    fn every_operation_makes_a_round_trip_in_both_forms(operations in prop::collection::vec(operation(), 0..20)) {
        for form in [Form::V0_1, Form::V1_0] {
            let mut builder = Builder::new(Header::npu1(form, 4));
            for operation in &operations {
                builder.push(operation);
            }
            let bytes = builder.finish();
            let stream = Stream::parse(&bytes).unwrap();
            prop_assert!(stream.operations().eq(operations.iter().copied()));
            let mut again = Builder::new(stream.header());
            stream.operations().for_each(|operation| { again.push(&operation); });
            prop_assert_eq!(again.finish(), bytes);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(first in 0..3_usize, words in prop::collection::vec(any::<u32>(), 0..40),
                              ops in prop::collection::vec(0_u32..16, 0..40)) {
        let form = [Form::V0_1, Form::V1_0, Form::Early][first];
        let mut bytes = Builder::new(Header::npu1(form, 4)).finish();
        if form != Form::Early {
            bytes[8..12].copy_from_slice(&1_u32.to_le_bytes());
            bytes[12..16].copy_from_slice(&(16 + 4 * words.len() as u32).to_le_bytes());
        }
        // Small numbers are opcodes more often than others.
        let small = ops.iter().chain(std::iter::repeat(&0)).map(|op| if form == Form::Early { op << 24 } else { *op });
        let words = words.iter().zip(small).map(|(word, op)| if word % 2 == 0 { op } else { *word });
        words::push(&mut bytes, &words.collect::<Vec<_>>());
        let _ = Stream::parse(&bytes);
    }
}
