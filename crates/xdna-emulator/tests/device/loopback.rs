//! Programs for the tests, and contexts that run them.

use std::sync::Arc;

use aie2::Program;
use xdna::array::switch::Port;
use xdna::array::{
    CORE_CONTROL, Descriptor, Direction, LockUse, PROGRAM_AT, SHIM_DEMUX, SHIM_MUX, Tile, task,
};
use xdna::context::{Context, ContextOptions, Launch, Unit};
use xdna::image::Image;
pub(crate) use xdna::loopback::{Transfer, image};
use xdna::memory::{self, Buffer, Heap};
use xdna::packet::Layout;
use xdna::stream::{Builder, Form, Header, Operation};

pub(crate) const SHIM: Tile = Tile { col: 0, row: 0 };
pub(crate) const MEM: Tile = Tile { col: 0, row: 1 };

/// Where a core sees its tile's memory.
const CORE_DATA: u32 = 0x7_0000;
/// The tile with a core that [`core_image`] uses.
const CORE: Tile = Tile { col: 0, row: 2 };

/// The image: a core runs `program`, which waits for `input` full (lock 1) and `output` free (2), and says `input` free
/// (0) and `output` full (3). Words reach it through the memory tile's switch.
pub(crate) fn core_image(program: &Program, words: u32) -> Image {
    let buffer = |name: &str| u64::from(program.address_of(name).unwrap() - CORE_DATA);
    let descriptor = |name: &str, taken: u8, given: u8, number: u8| Descriptor {
        acquire: Some(LockUse { id: taken, value: -1 }),
        release: Some(LockUse { id: given, value: 1 }),
        next: Some(number),
        ..Descriptor::linear(buffer(name), words)
    };
    let mut image = Image::new();
    image.memory(CORE, PROGRAM_AT, &program.text);
    for segment in &program.data {
        image.memory(CORE, segment.address - CORE_DATA, &segment.bytes);
    }
    image
        .lock(CORE, 0, 1)
        .lock(CORE, 2, 1)
        .descriptor(CORE, 0, &descriptor("input", 0, 1, 0))
        .descriptor(CORE, 1, &descriptor("output", 3, 2, 1))
        .start(CORE, Direction::S2mm, 0, task(0, 0, false))
        .start(CORE, Direction::Mm2s, 0, task(1, 0, false))
        .route(SHIM, Port::South(3), Port::North(1))
        .route(MEM, Port::South(1), Port::North(1))
        .route(CORE, Port::South(1), Port::Dma(0))
        .route(CORE, Port::Dma(0), Port::South(0))
        .route(MEM, Port::North(0), Port::South(0))
        .route(SHIM, Port::North(0), Port::South(2))
        .write(SHIM, SHIM_MUX, 1 << 10)
        .write(SHIM, SHIM_DEMUX, 1 << 4)
        .write(CORE, CORE_CONTROL, 1);
    image
}

/// A stream of these operations.
pub(crate) fn stream(operations: &[Operation<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Header::npu1(Form::V0_1, 4));
    for operation in operations {
        builder.push(operation);
    }
    builder.finish()
}

/// A context with a program and its instructions.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) context: Context,
    pub(crate) instructions: Arc<memory::Program>,
    pub(crate) layout: Layout,
}

impl Kernel {
    pub(crate) fn new(heap: &Heap, image: &Image, stream: &[u8]) -> Self {
        let pdi = image.to_pdi(1);
        let units = [Unit { pdi: &pdi, functional: 0 }];
        let context = Context::new(heap, &ContextOptions::columns(1), &units).unwrap();
        let instructions = Arc::new(memory::Program::new(heap, stream).unwrap());
        Self { context, instructions, layout: Layout::mlir_aie(5).unwrap() }
    }

    /// A kernel that gives back what it gets.
    pub(crate) fn identity(heap: &Heap, words: u32) -> Self {
        let transfer = Transfer::new(words, words);
        let image = image(words, &Descriptor::linear(0, words));
        Self::new(heap, &image, &stream(&transfer.operations()))
    }
}

/// Runs a launch of `kernel` with these buffers.
pub(crate) fn run(
    kernel: &mut Kernel,
    buffers: &[&Buffer],
    timeout: std::time::Duration,
) -> Result<(), xdna::Error> {
    let Kernel { context, instructions, layout } = kernel;
    context.run(&Launch { unit: 0, layout, instructions, buffers }, timeout)
}

/// Words that tell places apart.
pub(crate) fn pattern(words: u32, seed: u32) -> Vec<u8> {
    (0..words).flat_map(|idx| (idx.wrapping_mul(0x9E37_79B9) ^ seed).to_le_bytes()).collect()
}
