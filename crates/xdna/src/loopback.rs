//! A program without cores, which shows that a device works: words go from the host through a shim into a memory tile,
//! and back.

use std::sync::Arc;
use std::time::Duration;

use crate::Error;
use crate::array::switch::Port;
use crate::array::{Descriptor, Direction, LockUse, SHIM_DEMUX, SHIM_MUX, Tile, TileKind, task};
use crate::context::{Context, ContextOptions, Launch, Unit};
use crate::device::Device;
use crate::image::Image;
use crate::memory::{Buffer, Heap, Program};
use crate::packet::Layout;
use crate::stream::{Builder, Form, Header, Operation};
use crate::words::Words;

const SHIM: Tile = Tile { col: 0, row: 0 };
const MEM: Tile = Tile { col: 0, row: 1 };
/// Where a memory tile's DMA sees the tile's own memory and locks.
const OWN_MEMORY: u64 = 0x8_0000;
const OWN_LOCKS: u8 = 64;

/// The image: a memory tile takes `words` words, and gives them back in the order that `out` walks through them.
///
/// # Panics
/// If a step of the walk is 0.
pub fn image(words: u32, out: &Descriptor) -> Image {
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
    let mut image = Image::new();
    image
        .lock(MEM, 0, 1)
        .lock(MEM, 1, 0)
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

/// The operations of a launch of a kernel with one input, bo0, and one output, bo1, as compilers write them.
#[derive(Debug, Clone)]
pub struct Transfer {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Transfer {
    /// So many words in, and so many out.
    pub fn new(input: u32, output: u32) -> Self {
        let descriptor = |words| {
            let descriptor = Descriptor { burst: 2, ..Descriptor::linear(0, words) };
            descriptor.encode(TileKind::Shim).iter().flat_map(|word| word.to_le_bytes()).collect()
        };
        Self { input: descriptor(input), output: descriptor(output) }
    }

    /// The operations.
    pub fn operations(&self) -> Vec<Operation<'_>> {
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

    /// The stream of the operations.
    pub fn stream(&self, form: Form) -> Vec<u8> {
        let mut builder = Builder::new(Header::npu1(form, 4));
        for operation in self.operations() {
            builder.push(&operation);
        }
        builder.finish()
    }
}

/// Sends words through the array and looks whether they come back.
///
/// # Errors
/// [`Error::WrongAnswer`] if they do not; what making the context or launching says.
pub fn check(device: &Device, timeout: Duration) -> Result<(), Error> {
    const WORDS: u32 = 1024;
    let heap = Heap::new(device)?;
    let pdi = image(WORDS, &Descriptor::linear(0, WORDS)).to_pdi(1);
    let units = [Unit { pdi: &pdi, functional: 0 }];
    let mut context = Context::new(&heap, &ContextOptions::columns(1), &units)?;
    let instructions = Arc::new(Program::new(&heap, &Transfer::new(WORDS, WORDS).stream(Form::V0_1))?);
    let layout = Layout::mlir_aie(2)?;
    let length = WORDS as usize * 4;
    let (mut input, mut output) = (Buffer::new(device, length)?, Buffer::new(device, length)?);
    for round in 0..2_u32 {
        let words: Vec<u8> =
            (0..WORDS).flat_map(|idx| (idx.wrapping_mul(0x9E37_79B9) ^ round).to_le_bytes()).collect();
        input.write()?.copy_from_slice(&words);
        output.write()?.fill(0xA5);
        let buffers = [&input, &output];
        let launch = Launch { unit: 0, layout: &layout, instructions: &instructions, buffers: &buffers };
        context.run(&launch, timeout)?;
        let wrong = output.read()?.iter().zip(&words).filter(|(found, sent)| found != sent).count();
        if wrong > 0 {
            return Err(Error::WrongAnswer { wrong, length });
        }
    }
    Ok(())
}
