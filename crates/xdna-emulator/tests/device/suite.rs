//! What must hold on every device.

use std::time::Duration;

use xdna::Error;
use xdna::array::{Descriptor, Dimension};
use xdna::context::{Context, ContextOptions, Launch, MAX_IN_FLIGHT, Unit};
use xdna::device::Device;
use xdna::memory::{Buffer, Heap, Program};

use crate::loopback::{self, Kernel, Transfer, pattern, run, stream};

const LONG: Duration = Duration::from_secs(20);

pub(crate) fn words_go_through_the_array_and_come_back(device: &Device) {
    let heap = Heap::new(device).unwrap();
    for words in [1, 16, 1000, 4096] {
        let mut kernel = Kernel::identity(&heap, words);
        let bytes = words as usize * 4;
        let (mut input, mut output) =
            (Buffer::new(device, bytes).unwrap(), Buffer::new(device, bytes).unwrap());
        for round in 0..3 {
            input.write().unwrap().copy_from_slice(&pattern(words, round));
            output.write().unwrap().fill(0xAA);
            run(&mut kernel, &[&input, &output], LONG).unwrap();
            assert_eq!(*output.read().unwrap(), pattern(words, round)[..], "{words} words, round {round}");
        }
    }
}

pub(crate) fn the_self_test_passes(device: &Device) {
    xdna::loopback::check(device, LONG).unwrap();
}

pub(crate) fn a_memory_tile_can_transpose(device: &Device) {
    const ROWS: u32 = 6;
    const COLUMNS: u32 = 10;
    let heap = Heap::new(device).unwrap();
    let mut out = Descriptor::linear(0, ROWS * COLUMNS);
    out.dimensions[0] = Dimension { step: COLUMNS, wrap: ROWS };
    out.dimensions[1] = Dimension { step: 1, wrap: COLUMNS };
    let transfer = Transfer::new(ROWS * COLUMNS, ROWS * COLUMNS);
    let mut kernel =
        Kernel::new(&heap, &loopback::image(ROWS * COLUMNS, &out), &stream(&transfer.operations()));
    let bytes = (ROWS * COLUMNS * 4) as usize;
    let (mut input, output) = (Buffer::new(device, bytes).unwrap(), Buffer::new(device, bytes).unwrap());
    let words: Vec<u8> = (0..ROWS * COLUMNS).flat_map(u32::to_le_bytes).collect();
    input.write().unwrap().copy_from_slice(&words);
    run(&mut kernel, &[&input, &output], LONG).unwrap();
    let expected =
        (0..COLUMNS).flat_map(|col| (0..ROWS).flat_map(move |row| (row * COLUMNS + col).to_le_bytes()));
    assert_eq!(*output.read().unwrap(), expected.collect::<Vec<_>>()[..]);
}

pub(crate) fn a_core_computes_what_its_program_says(device: &Device) {
    const BYTES: usize = 2048;
    let mut program = aie2::assemble(include_str!("../kernels/gelu.s")).unwrap();
    let table_at = program.address_of("table").unwrap();
    let table: Vec<u8> = (0..=255_u8).map(|value| value.wrapping_mul(167).wrapping_add(13)).collect();
    program.data.push(aie2::Segment { address: table_at, bytes: table.clone() });
    let words = BYTES as u32 / 4;
    let heap = Heap::new(device).unwrap();
    let transfer = Transfer::new(words, words);
    let mut kernel =
        Kernel::new(&heap, &loopback::core_image(&program, words), &stream(&transfer.operations()));
    let (mut input, mut output) = (Buffer::new(device, BYTES).unwrap(), Buffer::new(device, BYTES).unwrap());
    for round in 0..4 {
        let values = pattern(words, round);
        input.write().unwrap().copy_from_slice(&values);
        output.write().unwrap().fill(0xAA);
        run(&mut kernel, &[&input, &output], LONG).unwrap();
        // The table begins with the value of -128.
        let expected: Vec<u8> = values.iter().map(|value| table[usize::from(value ^ 0x80)]).collect();
        assert_eq!(*output.read().unwrap(), expected[..], "round {round}");
    }
}

pub(crate) fn launches_overlap_up_to_the_limit(device: &Device) {
    let heap = Heap::new(device).unwrap();
    let mut kernel = Kernel::identity(&heap, 16);
    let mut buffers: Vec<(Buffer, Buffer)> = (0..=MAX_IN_FLIGHT)
        .map(|_| (Buffer::new(device, 64).unwrap(), Buffer::new(device, 64).unwrap()))
        .collect();
    for (idx, (input, _)) in buffers.iter_mut().enumerate() {
        input.write().unwrap().copy_from_slice(&pattern(16, idx as u32));
    }
    let Kernel { context, instructions, layout } = &mut kernel;
    let mut submit = |(input, output): &(Buffer, Buffer)| {
        let launch = Launch { unit: 0, layout, instructions, buffers: &[input, output] };
        context.submit(&launch)
    };
    let tickets: Vec<_> = buffers[..MAX_IN_FLIGHT].iter().map(|pair| submit(pair).unwrap()).collect();
    assert!(matches!(submit(&buffers[MAX_IN_FLIGHT]), Err(Error::QueueFull)));
    for (ticket, (idx, (_, output))) in tickets.into_iter().zip(buffers.iter().enumerate()) {
        kernel.context.wait(ticket, LONG).unwrap();
        assert_eq!(*output.read().unwrap(), pattern(16, idx as u32)[..]);
    }
}

pub(crate) fn a_buffer_in_flight_cannot_be_touched(device: &Device) {
    let heap = Heap::new(device).unwrap();
    let mut kernel = Kernel::identity(&heap, 16);
    let (mut input, output) = (Buffer::new(device, 64).unwrap(), Buffer::new(device, 64).unwrap());
    let Kernel { context, instructions, layout } = &mut kernel;
    {
        let _writing = input.write().unwrap();
        let other = Buffer::new(device, 64).unwrap();
        let launch = Launch { unit: 0, layout, instructions, buffers: &[&other, &output] };
        let ticket = context.submit(&launch).unwrap();
        assert!(matches!(output.read(), Err(Error::InUse { .. })));
        context.wait(ticket, LONG).unwrap();
        assert!(output.read().is_ok());
    }
    let reading = input.read().unwrap();
    let launch = Launch { unit: 0, layout, instructions, buffers: &[&input, &output] };
    assert!(matches!(context.submit(&launch), Err(Error::InUse { .. })));
    drop(reading);
    context.run(&launch, LONG).unwrap();
}

pub(crate) fn the_device_describes_itself(device: &Device) {
    let array = device.array().unwrap();
    assert_eq!((array.columns, array.rows), (5, 6));
    assert_eq!((array.core.rows, array.mem.rows, array.shim.rows), ((4, 2), (1, 1), (1, 0)));
    assert!(device.firmware_version().unwrap().0[0] >= 1);
    assert!(device.clocks().unwrap().array_mhz > 0);
    assert!(device.sensors().unwrap().len() < 16);
    device.power_mode().unwrap();
    let heap = Heap::new(device).unwrap();
    let before = device.contexts().unwrap().len();
    let kernel = Kernel::identity(&heap, 16);
    assert_eq!(device.contexts().unwrap().len(), before + 1);
    drop(kernel);
}

pub(crate) fn programs_share_the_heap(device: &Device) {
    let heap = Heap::new(device).unwrap();
    let programs: Vec<Program> =
        (1..20).map(|idx| Program::new(&heap, &vec![idx as u8; idx * 5000]).unwrap()).collect();
    assert_eq!(
        programs.iter().map(Program::len).sum::<usize>(),
        (1..20).map(|idx| idx * 5000).sum::<usize>()
    );
    drop(programs);
    let large = Program::new(&heap, &vec![1; 40 << 20]).unwrap();
    assert!(Program::new(&heap, &vec![1; 40 << 20]).is_err(), "more than the heap");
    drop(large);
    assert!(Program::new(&heap, &vec![1; 40 << 20]).is_ok());
}

pub(crate) fn several_contexts_take_turns(device: &Device) {
    let heap = Heap::new(device).unwrap();
    let mut kernels = [16, 32].map(|words| (words, Kernel::identity(&heap, words)));
    for round in 0..4 {
        for (words, kernel) in &mut kernels {
            let bytes = *words as usize * 4;
            let (mut input, output) =
                (Buffer::new(device, bytes).unwrap(), Buffer::new(device, bytes).unwrap());
            input.write().unwrap().copy_from_slice(&pattern(*words, round));
            run(kernel, &[&input, &output], LONG).unwrap();
            assert_eq!(*output.read().unwrap(), pattern(*words, round)[..]);
        }
    }
    let units: [Unit<'_>; 0] = [];
    assert!(matches!(Context::new(&heap, &ContextOptions::columns(1), &units), Err(Error::Launch { .. })));
}
