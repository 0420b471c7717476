//! What the emulator does not model, and what would go wrong on silicon, is refused by name.

use std::time::Duration;

use xdna::array::switch::Port;
use xdna::array::{Descriptor, Direction, SHIM_MUX, Tile, TileKind, task};
use xdna::memory::{Buffer, Heap};
use xdna::stream::{Builder, Form, Header, Operation};
use xdna::{Error, Words};
use xdna_emulator::{Emulator, Options};

use crate::loopback::{Kernel, MEM, SHIM, Transfer, core_image, image, run, stream};
use crate::open;
use xdna::image::Image;

const WORDS: u32 = 16;
const TIMEOUT: Duration = Duration::from_secs(20);

/// Runs a program on a fresh machine with `n_buffers` buffers; returns the error and the emulator's report.
fn refusal(image: &Image, operations: &[Operation<'_>], n_buffers: usize) -> (Error, String) {
    let emulator = Emulator::new(Default::default());
    let device = open(&emulator);
    let heap = Heap::new(&device).unwrap();
    let mut kernel = Kernel::new(&heap, image, &stream(operations));
    let buffers: Vec<Buffer> = (0..n_buffers).map(|_| Buffer::new(&device, 64).unwrap()).collect();
    let buffers: Vec<&Buffer> = buffers.iter().collect();
    let error = run(&mut kernel, &buffers, TIMEOUT).unwrap_err();
    (error, emulator.take_reports().concat())
}

fn good() -> Image {
    image(WORDS, &Descriptor::linear(0, WORDS))
}

#[track_caller]
fn assert_refused(image: &Image, operations: &[Operation<'_>], expected: &[&str]) {
    let (error, report) = refusal(image, operations, 2);
    assert!(matches!(error, Error::Failed), "{error}: {report}");
    for part in expected {
        assert!(report.contains(part), "`{part}` is not in: {report}");
    }
}

#[test]
fn an_unknown_register_is_named() {
    let transfer = Transfer::new(WORDS, WORDS);
    for (tile, offset, expected) in [
        (SHIM, 0x3_4000, "shim (0,0): register 0x34000 is not modelled"),
        (MEM, 0x9_4000, "memory tile (0,1): register 0x94000 is not modelled"),
        (Tile { col: 0, row: 2 }, 0x3_4008, "core tile (0,2): register 0x34008 is not modelled"),
        (Tile { col: 3, row: 0 }, 0x1_F000, "tile (3,0); the context has 1 columns"),
    ] {
        let mut image = good();
        image.write(tile, offset, 1);
        assert_refused(&image, &transfer.operations(), &["the image of unit 0", expected]);
        let mut operations = transfer.operations();
        let address = xdna::array::address(tile, offset).into();
        operations.insert(0, Operation::Write { tile: Tile::default(), address, value: 1 });
        assert_refused(&good(), &operations, &["stream operation 0", expected]);
    }
}

#[test]
fn an_operation_that_npu1_is_not_known_to_take_is_named() {
    let mut operations = vec![Operation::Preempt { level: 1 }];
    assert_refused(&good(), &operations, &["stream operation 0, `preempt    level 1`"]);
    operations[0] = Operation::LoadPdi { id: 1, size: 2, address: 3 };
    assert_refused(&good(), &operations, &["loadpdi"]);
}

#[test]
fn a_sync_of_what_is_not_there_is_named() {
    let transfer = Transfer::new(WORDS, WORDS);
    for (tile, columns, channel, expected) in [
        (SHIM, 0, 0, "names no tiles"),
        (SHIM, 2, 0, "tile (1,0), which the context does not have"),
        (SHIM, 1, 2, "S2MM channel 2 of the shim (0,0)"),
        (MEM, 1, 6, "S2MM channel 6 of the memory tile (0,1)"),
    ] {
        let mut operations = transfer.operations();
        operations[7] = Operation::Sync { direction: Direction::S2mm, tile, columns, rows: 1, channel };
        assert_refused(&good(), &operations, &["stream operation 7", expected]);
    }
}

#[test]
fn a_stream_of_2023_is_named() {
    let emulator = Emulator::new(Options::default());
    let device = open(&emulator);
    let heap = Heap::new(&device).unwrap();
    let mut builder = Builder::new(Header::npu1(Form::Early, 0));
    builder.push(&Operation::Write { tile: SHIM, address: 0x1_D214, value: 1 });
    let mut kernel = Kernel::new(&heap, &good(), &builder.finish());
    assert!(matches!(run(&mut kernel, &[], TIMEOUT), Err(Error::Failed)));
    let report = emulator.take_reports().concat();
    assert!(report.contains("before TXN (2023)") && report.contains("not modelled"), "{report}");
}

#[test]
fn a_fifth_task_that_is_not_done_is_an_overrun() {
    let transfer = Transfer::new(WORDS, WORDS);
    let start = Operation::Write { tile: Tile::default(), address: 0x1_D214, value: task(1, 0, false) };
    let mut operations = transfer.operations()[..2].to_vec();
    operations.extend([start; 4]);
    let (error, _) = refusal(&good(), &[&operations[..], &transfer.operations()[7..]].concat(), 2);
    assert!(matches!(error, Error::GivenUp { .. }), "four fit: {error}");
    operations.push(start);
    assert_refused(&good(), &operations, &["task queue of MM2S channel 0 is full (4 tasks)"]);
}

#[test]
fn a_descriptor_in_use_cannot_be_written() {
    let transfer = Transfer::new(WORDS, WORDS);
    let mut operations = transfer.operations()[..3].to_vec();
    operations.push(operations[0]);
    assert_refused(
        &good(),
        &operations,
        &["stream operation 3", "buffer descriptor 1 is written while a task"],
    );
}

#[test]
fn memory_that_the_command_does_not_name_is_out_of_reach() {
    let transfer = Transfer::new(WORDS, WORDS);
    // Without the patch the descriptor's address is what the compiler left there.
    let mut operations = transfer.operations();
    operations.remove(1);
    assert_refused(&good(), &operations, &["shim (0,0): DMA reads from 0x0, which is in no buffer"]);
    let (error, report) = refusal(&good(), &transfer.operations(), 1);
    assert!(matches!(error, Error::Failed), "{error}");
    assert!(report.contains("DMA writes to 0x0, which is in no buffer"), "{report}");
    let longer = Transfer::new(WORDS + 2000, WORDS + 2000);
    let longer_image = image(WORDS + 2000, &Descriptor::linear(0, WORDS + 2000));
    assert_refused(&longer_image, &longer.operations(), &["is in no buffer of the command"]);
}

#[test]
fn a_patch_of_an_argument_that_is_not_there_is_named() {
    let transfer = Transfer::new(WORDS, WORDS);
    let mut operations = transfer.operations();
    operations[1] = Operation::DdrPatch { register: 0x1_D024, argument: 9, offset: 0 };
    assert_refused(&good(), &operations, &["5 buffer arguments, and no bo9"]);
}

#[test]
fn a_deadlock_is_told_with_the_lock_table() {
    let transfer = Transfer::new(WORDS, WORDS);
    let stuck = |image: &Image, operations: &[Operation<'_>]| {
        let (error, report) = refusal(image, operations, 2);
        let Error::GivenUp { health: Some(health), .. } = &error else { panic!("{error}: {report}") };
        assert_eq!(health.operation_idx, 7, "the one that waits");
        assert!(report.contains("nothing moves any more"), "{report}");
        report
    };
    // Nobody has freed the memory tile's buffer.
    let mut image = good();
    image.lock(MEM, 0, 0).lock(MEM, 7, 5);
    let report = stuck(&image, &transfer.operations());
    for line in [
        "memory tile (0,1): S2MM channel 0, buffer descriptor 0, 0 of 16 words: waits for lock 64 (request -1)",
        "shim (0,0): S2MM channel 0, buffer descriptor 0, 0 of 16 words: waits for words of its stream",
        "memory tile (0,1): locks 7=5",
    ] {
        assert!(report.contains(line), "`{line}` is not in: {report}");
    }
    // The multiplexer does not let the shim's DMA into the switch.
    let mut image = good();
    image.write(SHIM, SHIM_MUX, 0);
    assert!(stuck(&image, &transfer.operations()).contains("or has no route"));
    // Nobody gives the token that the stream waits for.
    let mut operations = transfer.operations();
    operations[6] = Operation::Write { tile: Tile::default(), address: 0x1_D204, value: task(0, 0, false) };
    stuck(&good(), &operations);
}

#[test]
fn what_a_descriptor_says_beyond_the_model_is_named() {
    let transfer = Transfer::new(WORDS, WORDS);
    let packet = Descriptor::linear(0, WORDS).encode(TileKind::Shim);
    let words: Vec<u8> = packet
        .iter()
        .enumerate()
        .flat_map(|(idx, word)| (word | if idx == 2 { 1 << 30 } else { 0 }).to_le_bytes())
        .collect();
    let mut operations = transfer.operations();
    operations[0] =
        Operation::BlockWrite { tile: Tile::default(), address: 0x1_D020, data: Words::new(&words) };
    assert_refused(&good(), &operations, &["word 2 of buffer descriptor 1 has bits 0x40000000"]);
    let mut image = good();
    image.start(MEM, Direction::Mm2s, 2, task(5, 0, false));
    assert_refused(&image, &transfer.operations(), &["buffer descriptor 5 is used but not valid"]);
    let mut image = good();
    image.start(MEM, Direction::Mm2s, 1, task(5, 0, false));
    assert_refused(&image, &transfer.operations(), &["MM2S channel 1 cannot reach buffer descriptor 5"]);
    let mut image = good();
    image.route(MEM, Port::South(1), Port::Control);
    assert_refused(&image, &transfer.operations(), &["data arrives at port Control"]);
}

#[test]
fn a_store_outside_of_stack_and_outputs_is_trapped() {
    const BYTES: usize = 2048;
    let launch = |source: &str| {
        let program = aie2::assemble(source).unwrap();
        let emulator = Emulator::new(Options { guard: true, ..Options::default() });
        let device = open(&emulator);
        let heap = Heap::new(&device).unwrap();
        let transfer = Transfer::new(BYTES as u32 / 4, BYTES as u32 / 4);
        let image = core_image(&program, BYTES as u32 / 4);
        let mut kernel = Kernel::new(&heap, &image, &stream(&transfer.operations()));
        let buffers = [Buffer::new(&device, BYTES).unwrap(), Buffer::new(&device, BYTES).unwrap()];
        let end = run(&mut kernel, &[&buffers[0], &buffers[1]], TIMEOUT);
        (end, emulator.take_reports().concat())
    };
    let source = include_str!("../kernels/gelu.s");
    let (end, report) = launch(source);
    assert!(end.is_ok(), "{report}");
    for (victim, owner) in [("#table", "a table of the image"), ("#input", "the buffer of descriptor 0")] {
        let (end, report) = launch(&source.replace("movxm p1, #output", &format!("movxm p1, {victim}")));
        assert!(matches!(end, Err(Error::Failed)));
        assert!(report.contains("core tile (0,2): core at pc") && report.contains(owner), "{report}");
    }
}
