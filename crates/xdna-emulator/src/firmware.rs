//! The firmware: takes a command's packet apart, configures the array with the image, and carries out the instruction
//! stream.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use xdna::packet::MAX_PAYLOAD_WORDS;
use xdna::pdi::Pdi;
use xdna::stream::{Form, Operation, Stream, Tile};

use crate::array::{Array, End, Host, Refusal};
use crate::driver::Mapped;
use crate::options::Options;

/// What a kernel's first argument says: run a transaction stream.
const RUN_STREAM: u64 = 3;
/// What streams for npu1 say.
const GENERATION: u8 = 3;

/// A command.
pub(crate) struct Start<'a> {
    pub(crate) packet: &'a [u8],
    /// The memory that it may use.
    pub(crate) pinned: &'a [Mapped],
    /// Set when it is to stop.
    pub(crate) cancelled: &'a AtomicBool,
    /// Whether results are to be wrong.
    pub(crate) is_wrong: bool,
}

/// How a command ended, with what there is to say about it.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    /// The packet is not one.
    Malformed(String),
    /// The image or the stream cannot be carried out.
    Failed(String),
    /// Nothing moves any more: the operation of the stream, and a report.
    Stuck(usize, String),
    Cancelled,
}

/// A core that has run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreReport {
    /// Its column, from the context's first.
    pub col: u8,
    /// Its row in the array.
    pub row: u8,
    /// Bundles that it has issued since the context was configured.
    pub cycles: u64,
    /// The highest value that its stack pointer had.
    pub stack_high: u32,
}

/// The firmware's view of a context.
#[derive(Debug)]
pub(crate) struct Firmware {
    columns: u8,
    /// By compute unit: `None` where the process has given the image back.
    images: Vec<Option<Vec<u8>>>,
    /// The unit that the array is configured for.
    configured: Option<usize>,
    array: Array,
    cycle_limit: u64,
    is_guarded: bool,
    time_limit: Duration,
}

impl Firmware {
    pub(crate) fn new(columns: u32, images: Vec<Option<Vec<u8>>>, options: &Options) -> Self {
        let columns = columns as u8;
        let &Options { cycle_limit, guard: is_guarded, hang_limit: time_limit, .. } = options;
        let array = Array::new(columns, cycle_limit);
        Self { columns, images, configured: None, array, cycle_limit, is_guarded, time_limit }
    }

    /// The cores that have run.
    pub(crate) fn cores(&self) -> Vec<CoreReport> {
        self.array.cores()
    }
}

impl Firmware {
    /// Carries out a command.
    pub(crate) fn run(&mut self, start: &Start<'_>) -> Outcome {
        let Launch { unit, instructions, n_words, arguments } = match Launch::of(start.packet) {
            Ok(launch) => launch,
            Err(report) => return Outcome::Malformed(report),
        };
        if unit >= self.images.len() {
            let count = self.images.len();
            return Outcome::Malformed(format!("the packet is for unit {unit}; the context has {count}"));
        }
        let outcome = fetch(start.pinned, instructions, n_words)
            .and_then(|stream| self.carry_out(start, unit, &stream, &arguments));
        outcome.unwrap_or_else(Outcome::Failed)
    }
}

impl Firmware {
    /// Configures the array if another unit ran before, and carries out the stream.
    fn carry_out(
        &mut self,
        start: &Start<'_>,
        unit: usize,
        stream: &[u8],
        arguments: &[u64],
    ) -> Result<Outcome, String> {
        let stream = Stream::parse(stream).map_err(|error| error.to_string())?;
        if stream.header().form == Form::Early {
            return Err(format!(
                "the stream is of the form {}; it is not known which firmware takes it, and it is not modelled",
                Form::Early
            ));
        }
        if stream.header().generation != GENERATION {
            return Err(format!(
                "the stream is for generation {}; npu1 is {GENERATION}",
                stream.header().generation
            ));
        }
        let host = Host::new(start.pinned, start.is_wrong);
        if self.configured != Some(unit) {
            self.configure(unit)?;
        }
        let deadline = Instant::now() + self.time_limit;
        for (idx, operation) in stream.operations().enumerate() {
            let end = self.step(&operation, arguments, &host, start, deadline);
            match end.map_err(|refusal| format!("stream operation {idx}, `{operation}`: {refusal}"))? {
                End::Reached => {}
                End::Cancelled => return Ok(Outcome::Cancelled),
                stuck @ (End::Deadlock | End::Late) => {
                    let how = if matches!(stuck, End::Deadlock) {
                        "nothing moves any more"
                    } else {
                        "it takes too long"
                    };
                    let state = self.array.report();
                    let report = format!("stream operation {idx}, `{operation}`: {how}\n{state}");
                    return Ok(Outcome::Stuck(idx, report));
                }
            }
        }
        Ok(Outcome::Done)
    }

    fn configure(&mut self, unit: usize) -> Result<(), String> {
        let image = self.images[unit].as_ref().ok_or("the image was given back")?;
        let pdi = Pdi::parse(image).map_err(|error| error.to_string())?;
        self.array = Array::new(self.columns, self.cycle_limit);
        self.array.load(&pdi.cdo()).map_err(|refusal| format!("the image of unit {unit}: {refusal}"))?;
        if self.is_guarded {
            self.array.guard();
        }
        self.array.launch();
        self.configured = Some(unit);
        Ok(())
    }

    /// Carries out an operation.
    fn step(
        &mut self,
        operation: &Operation<'_>,
        arguments: &[u64],
        host: &Host<'_>,
        start: &Start<'_>,
        deadline: Instant,
    ) -> Result<End, Refusal> {
        let array = &mut self.array;
        match *operation {
            Operation::Write { address, value, .. } => array.write(address, value)?,
            Operation::BlockWrite { address, data, .. } => array.block_write(address.into(), data)?,
            Operation::MaskWrite { address, value, mask } => array.mask_write(address, mask, value)?,
            Operation::MaskPoll { address, value, mask, .. } => {
                return array
                    .run_until(host, start.cancelled, deadline, |array| array.poll(address, mask, value));
            }
            Operation::Noop => {}
            Operation::DdrPatch { register, argument, offset } => {
                let buffer = usize::try_from(argument).ok().and_then(|idx| arguments.get(idx));
                let Some(buffer) = buffer else {
                    let count = arguments.len();
                    return Err(Refusal(format!(
                        "the packet has {count} buffer arguments, and no bo{argument}"
                    )));
                };
                let address = buffer.wrapping_add(offset);
                array.write(register, address as u32)?;
                array.mask_write(register + 4, 0xFFFF, (address >> 32) as u32)?;
            }
            Operation::Sync { direction, tile, columns, rows, channel } => {
                let cols = (0..columns).map(|idx| tile.col.saturating_add(idx));
                let places: Vec<Tile> = cols
                    .flat_map(|col| (0..rows).map(move |idx| Tile { col, row: tile.row.saturating_add(idx) }))
                    .collect();
                return array.run_until(host, start.cancelled, deadline, |array| {
                    array.take_tokens(direction, channel, &places)
                });
            }
            Operation::Preempt { .. } | Operation::LoadPdi { .. } | Operation::ShimDescriptor { .. } => {
                return Err(Refusal("npu1's firmware is not known to accept it; it is not modelled".into()));
            }
        }
        Ok(End::Reached)
    }
}

/// What a START_CU packet asks for.
struct Launch {
    unit: usize,
    instructions: u64,
    n_words: u32,
    /// The buffers' addresses, bo0 first.
    arguments: Vec<u64>,
}

impl Launch {
    fn of(packet: &[u8]) -> Result<Self, String> {
        let word =
            |idx: usize| u32::from_le_bytes(packet[idx * 4..idx * 4 + 4].try_into().expect("four bytes"));
        let long = |idx: usize| u64::from(word(idx)) | u64::from(word(idx + 1)) << 32;
        let header = word(0);
        let (count, opcode, kind) = ((header >> 12 & 0x7FF) as usize, header >> 23 & 0x1F, header >> 28);
        if (opcode, kind) != (0, 3) {
            let name = match opcode {
                18 => " (START_DPU)",
                19 => " (CMD_CHAIN)",
                20 => " (START_NPU)",
                21 => " (START_NPU_PREEMPT)",
                22 => " (START_NPU_PREEMPT_ELF)",
                _ => "",
            };
            return Err(format!(
                "the packet has opcode {opcode}{name} and type {kind}; START_CU, 0 and 3, is modelled"
            ));
        }
        // The mask of compute units counts, and five words are the least that a kernel has.
        let payload = count.saturating_sub(1);
        if !(5..=MAX_PAYLOAD_WORDS).contains(&payload) {
            return Err(format!(
                "the packet has {payload} words of payload; 5 to {MAX_PAYLOAD_WORDS} are taken"
            ));
        }
        let mask = word(1);
        if mask.count_ones() != 1 {
            return Err(format!("the packet's mask of compute units is {mask:#x}; one bit is taken"));
        }
        if long(2) != RUN_STREAM {
            return Err(format!(
                "the kernel's opcode is {}; {RUN_STREAM}, a transaction stream, is known",
                long(2)
            ));
        }
        let arguments = (7..1 + count).step_by(2).filter(|idx| idx + 1 < 1 + count).map(long).collect();
        Ok(Self { unit: mask.trailing_zeros() as usize, instructions: long(4), n_words: word(6), arguments })
    }
}

/// Reads the instruction stream.
fn fetch(pinned: &[Mapped], address: u64, n_words: u32) -> Result<Vec<u8>, String> {
    let length = u64::from(n_words) * 4;
    let place = pinned.iter().find_map(|mapped| Some((mapped, mapped.offset_of(address, length)?)));
    let (mapped, offset) = place.ok_or_else(|| {
        format!("the instruction stream, {length} bytes at {address:#x}, lies in no buffer of the command")
    })?;
    let mut stream = vec![0; length as usize];
    mapped.read(offset, &mut stream);
    Ok(stream)
}
