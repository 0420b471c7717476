//! A program without cores: host → shim → memory tile → shim → host.

use std::sync::Arc;

use aie2::Program;
use xdna::array::switch::{Port, master_idx, slave_idx};
use xdna::array::{
    CORE_CONTROL, Descriptor, Direction, LockUse, PROGRAM_AT, SHIM_DEMUX, SHIM_MUX, Tile, TileKind, address,
    task,
};
use xdna::cdo::{self, Command};
use xdna::context::{Context, ContextOptions, Launch, Unit};
use xdna::memory::{self, Buffer, Heap};
use xdna::packet::Layout;
use xdna::stream::{Builder, Form, Header, Operation};
use xdna::{Words, pdi};

pub(crate) const SHIM: Tile = Tile { col: 0, row: 0 };
pub(crate) const MEM: Tile = Tile { col: 0, row: 1 };

/// Where a memory tile's DMA sees the tile's own memory and locks.
const OWN_MEMORY: u64 = 0x8_0000;
const OWN_LOCKS: u8 = 64;
/// Where a core sees its tile's memory.
const CORE_DATA: u32 = 0x7_0000;
/// A port that is switched on.
const ENABLE: u32 = 1 << 31;

/// The writes that configure the array: they own their data.
#[derive(Default, Clone)]
pub(crate) struct Image(Vec<(u32, Vec<u32>)>);

impl Image {
    pub(crate) fn write(&mut self, tile: Tile, offset: u32, value: u32) -> &mut Self {
        self.block(tile, offset, &[value])
    }

    pub(crate) fn block(&mut self, tile: Tile, offset: u32, words: &[u32]) -> &mut Self {
        self.0.push((address(tile, offset), words.to_vec()));
        self
    }

    pub(crate) fn descriptor(&mut self, tile: Tile, number: u32, descriptor: &Descriptor) -> &mut Self {
        let kind = TileKind::of_row(tile.row);
        self.block(tile, kind.descriptors_at() + 0x20 * number, &descriptor.encode(kind))
    }

    /// Sends what comes in at `slave` out at `master`.
    pub(crate) fn route(&mut self, tile: Tile, slave: Port, master: Port) -> &mut Self {
        let kind = TileKind::of_row(tile.row);
        let slave = slave_idx(kind, slave).unwrap() as u32;
        let master = master_idx(kind, master).unwrap() as u32;
        self.write(tile, kind.switch_at() + 0x100 + slave * 4, ENABLE).write(
            tile,
            kind.switch_at() + master * 4,
            ENABLE | slave,
        )
    }

    /// Starts a task of a channel.
    pub(crate) fn start(&mut self, tile: Tile, direction: Direction, channel: u32, task: u32) -> &mut Self {
        let kind = TileKind::of_row(tile.row);
        self.write(tile, kind.channels_at(direction) + channel * 8 + 4, task)
    }

    pub(crate) fn pdi(&self) -> Vec<u8> {
        let bytes: Vec<Vec<u8>> = self
            .0
            .iter()
            .map(|(_, words)| words.iter().flat_map(|word| word.to_le_bytes()).collect())
            .collect();
        let commands = self.0.iter().zip(&bytes).map(|((address, words), bytes)| match words[..] {
            [value] => Command::Write { address: u64::from(*address), value },
            _ => Command::DmaWrite { address: u64::from(*address), data: Words::new(bytes) },
        });
        pdi::write(1, &cdo::write(commands))
    }
}

/// The image: a memory tile takes `words` words and gives them back as `out` says.
pub(crate) fn image(words: u32, out: &Descriptor) -> Image {
    let lock = |id: u8, value| Some(LockUse { id: OWN_LOCKS + id, value });
    let fill = Descriptor {
        acquire: lock(0, -1),
        release: lock(1, 1),
        next: Some(0),
        ..Descriptor::linear(OWN_MEMORY, words)
    };
    let drain = Descriptor {
        acquire: lock(1, -1),
        release: lock(0, 1),
        next: Some(1),
        address: OWN_MEMORY,
        is_valid: true,
        ..*out
    };
    let mut image = Image::default();
    image
        .write(MEM, TileKind::Mem.locks_at(), 1)
        .descriptor(MEM, 0, &fill)
        .descriptor(MEM, 1, &drain)
        .start(MEM, Direction::S2mm, 0, task(0, 0, false))
        .start(MEM, Direction::Mm2s, 0, task(1, 0, false))
        .route(SHIM, Port::South(3), Port::North(1))
        .route(MEM, Port::South(1), Port::Dma(0))
        .route(MEM, Port::Dma(0), Port::South(0))
        .route(SHIM, Port::North(0), Port::South(2))
        .write(SHIM, SHIM_MUX, 1 << 10)
        .write(SHIM, SHIM_DEMUX, 1 << 4);
    image
}

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
    let mut image = Image::default();
    let words_of = |bytes: &[u8]| -> Vec<u32> {
        let padded = bytes.chunks(4).map(|chunk| {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            u32::from_le_bytes(word)
        });
        padded.collect()
    };
    image.block(CORE, PROGRAM_AT, &words_of(&program.text));
    for segment in &program.data {
        image.block(CORE, segment.address - CORE_DATA, &words_of(&segment.bytes));
    }
    image
        .write(CORE, TileKind::Core.locks_at(), 1)
        .write(CORE, TileKind::Core.locks_at() + 0x20, 1)
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

/// The operations of one launch: `words` words in from bo0, and out to bo1.
pub(crate) struct Transfer {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Transfer {
    pub(crate) fn new(words: u32) -> Self {
        Self::between(words, words)
    }

    /// So many words in, and so many out.
    pub(crate) fn between(input: u32, output: u32) -> Self {
        let descriptor = |words| {
            let descriptor = Descriptor { burst: 2, ..Descriptor::linear(0, words) };
            descriptor.encode(TileKind::Shim).iter().flat_map(|word| word.to_le_bytes()).collect()
        };
        Self { input: descriptor(input), output: descriptor(output) }
    }

    pub(crate) fn operations(&self) -> Vec<Operation<'_>> {
        let tile = Tile::default();
        let patch = |register, argument| Operation::DdrPatch { register, argument, offset: 0 };
        vec![
            Operation::BlockWrite { tile, address: 0x1_D020, data: Words::new(&self.input) },
            patch(0x1_D024, 0),
            Operation::Write { tile, address: 0x1_D214, value: task(1, 0, false) },
            Operation::BlockWrite { tile, address: 0x1_D000, data: Words::new(&self.output) },
            patch(0x1_D004, 1),
            Operation::MaskWrite { address: 0x1_D200, value: 0xF00, mask: 0x1F00 },
            Operation::Write { tile, address: 0x1_D204, value: task(0, 0, true) },
            Operation::Sync { direction: Direction::S2mm, tile, columns: 1, rows: 1, channel: 0 },
        ]
    }
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
        let pdi = image.pdi();
        let units = [Unit { pdi: &pdi, functional: 0 }];
        let context = Context::new(heap, &ContextOptions::columns(1), &units).unwrap();
        let instructions = Arc::new(memory::Program::new(heap, stream).unwrap());
        Self { context, instructions, layout: Layout::mlir_aie(5).unwrap() }
    }

    /// A kernel that gives back what it gets.
    pub(crate) fn identity(heap: &Heap, words: u32) -> Self {
        let transfer = Transfer::new(words);
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
