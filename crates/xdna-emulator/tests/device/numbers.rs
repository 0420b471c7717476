//! A program in plain numbers, as the facts about the device give them: nothing here is made with [`xdna::array`] or
//! [`xdna::image`], so that no mistake of theirs cancels one of the emulator's.
//!
//! 48 words go from the host through a memory tile and a core tile's memory and back, in another order at every step.
//! To read a rule of the device otherwise is the same as to change a number of the program; each change must be noticed.

use std::sync::Arc;
use std::time::Duration;

use xdna::Words;
use xdna::cdo::{self, Command};
use xdna::context::{Context, ContextOptions, Unit};
use xdna::device::Device;
use xdna::memory::{Buffer, Heap, Program};
use xdna::packet::Layout;
use xdna::pdi;
use xdna_emulator::{Emulator, Options};

use crate::loopback::{Kernel, pattern, run};
use crate::open;

const WORDS: usize = 48;
/// Words of the input before those that the kernel takes.
const SKIPPED: usize = 4;
/// So often the tasks of the core tile are to be repeated.
const LAUNCHES: u32 = 3;

/// A write of the image: the address of the first word, and the words.
type Write = (u32, &'static [u32]);

/// The image. Addresses: column << 25, row << 20, offset.
const IMAGE: [Write; 28] = [
    // Locks: memory tile 0 (free) and 1 (full), core tile 0 (free) and 1 (full).
    (0x001C_0000, &[2]),
    (0x001C_0010, &[0]),
    (0x0021_F000, &[1]),
    (0x0021_F010, &[0]),
    // Memory tile, descriptors 0 and 1, after each other: 24 words each, to word 0x10 and 0x28 of its own memory; takes 1
    // of lock 64, its own 0, and gives 1 to lock 65.
    (0x001A_0000, &[24, 0x001A_0010, 0, 0, 0, 0, 0, 0x8141_FF40]),
    (0x001A_0020, &[24, 0x000A_0028, 0, 0, 0, 0, 0, 0x8141_FF40]),
    // Descriptor 24, again and again: 48 words in steps of 16 (3 times), 4 (4 times), 1 (2 times) and 2; waits until lock
    // 65 is exactly 2, and gives 2 to lock 64.
    (0x001A_0300, &[48, 0x018A_0010, 0x0006_000F, 0x0008_0003, 0x0004_0000, 1, 0, 0x8240_8241]),
    // Core tile, descriptor 3: 48 words to byte 0x400 in steps of 1 (6 times), 12 (4 times) and 6; every other time 128
    // words further on. Takes 1 of lock 0, gives 1 to lock 1.
    (0x0021_D060, &[0x0040_0030, 0, 0x0001_6000, 0x0080_C005, 0x207F, 0x0204_3FE0]),
    // Descriptor 5: from there in steps of 3 (16 times) and 1. Takes 1 of lock 1, gives 1 to lock 0.
    (0x0021_D0A0, &[0x0040_0030, 0, 2, 0x0002_0000, 0x207F, 0x0204_1FE1]),
    // Tasks: memory tile S2MM 0 and MM2S 1; core tile S2MM 0 and MM2S 0, three times each.
    (0x001A_0604, &[0]),
    (0x001A_063C, &[24]),
    (0x0021_DE04, &[0x0002_0003]),
    (0x0021_DE14, &[0x0002_0005]),
    // Shim: from South 3 to North 1, and from North 0 to South 2.
    (0x0003_F114, &[0x8000_0000]),
    (0x0003_F034, &[0x8000_0005]),
    (0x0003_F138, &[0x8000_0000]),
    (0x0003_F010, &[0x8000_000E]),
    // Memory tile: from South 1 to DMA 0, from DMA 1 to North 1, and from North 0 to South 0.
    (0x001B_0120, &[0x8000_0000]),
    (0x001B_0000, &[0x8000_0008]),
    (0x001B_0104, &[0x8000_0000]),
    (0x001B_0030, &[0x8000_0001]),
    (0x001B_0134, &[0x8000_0000]),
    (0x001B_001C, &[0x8000_000D]),
    // Core tile: from South 1 to DMA 0, and from DMA 0 to South 0.
    (0x0023_F118, &[0x8000_0000]),
    (0x0023_F004, &[0x8000_0006]),
    (0x0023_F104, &[0x8000_0000]),
    (0x0023_F014, &[0x8000_0001]),
    // Shim multiplexer: DMA at South 3, and at South 7, which a write with a mask takes away again.
    (0x0001_F000, &[0x0000_4400]),
];

/// The write with a mask at the image's end: address, mask, value.
const MASKED: [u32; 3] = [0x0001_F000, 0x0000_C000, 0];

/// The instruction stream, TXN 0.1.
#[rustfmt::skip] // A line is an operation; its first word's number follows.
const STREAM: [u32; 97] = [
    0x0603_0100, 0x0000_0104, 12, 388, // 0: header
    1, 0, 0x1_D020, 48, 48, 0, 0, 0x0180_0001, 0x8000_0000, 0x0200_0000, 0, 0x0200_0000, // 4: descriptor 1
    0x81, 48, 0, 0, 0, 0, 0x1_D024, 0, 0, 0, 16, 0, // 16: its address is bo0's and 16
    0, 0, 0x1_D214, 0, 1, 24, // 28: MM2S 0 starts with it
    1, 0, 0x1_D000, 48, 48, 0, 0, 0, 0x8000_0000, 0x0200_0000, 0, 0x0200_0000, // 34: descriptor 0
    0x81, 48, 0, 0, 0, 0, 0x1_D004, 0, 1, 0, 0, 0, // 46: its address is bo1's
    3, 0, 0x1_F004, 0, 0xFFFF_FF1F, 0x30, 28, // 58: demultiplexer: South 2 to the DMA
    3, 0, 0x1_F004, 0, 0xFFFF_FF3F, 0xC0, 28, // 65: but not South 3
    3, 0, 0x1_D200, 0, 0xF00, 0x1F00, 28, // 72: S2MM 0 gives its tokens to controller 15
    4, 0, 0x21_F000, 0, 1, 0x3F, 28, // 79: until the core tile's lock 0 is 1
    5, // 86: nothing
    0, 0, 0x1_D204, 0, 0x8000_0000, 24, // 87: S2MM 0 starts with descriptor 0, with a token
    0x80, 16, 0, 0x0001_0100, // 93: which is waited for
];

/// Where the words of an input come out.
fn expected(input: &[u32]) -> Vec<u32> {
    let sent = |i: usize| input[SKIPPED + 2 * (i % 24) + i / 24];
    let from_mem = |i: usize| sent(16 * (i % 3) + 4 * (i / 3 % 4) + i / 12 % 2 + 2 * (i / 24));
    let mut in_core = [0; WORDS];
    for i in 0..WORDS {
        in_core[i % 6 + 12 * (i / 6 % 4) + 6 * (i / 24)] = from_mem(i);
    }
    (0..WORDS).map(|i| in_core[3 * (i % 16) + i / 16]).collect()
}

/// The program, for changes.
struct Numbers {
    image: Vec<(u32, Vec<u32>)>,
    masked: [u32; 3],
    stream: Vec<u32>,
}

impl Numbers {
    fn new() -> Self {
        let image = IMAGE.iter().map(|(address, words)| (*address, words.to_vec())).collect();
        Self { image, masked: MASKED, stream: STREAM.to_vec() }
    }

    fn pdi(&self) -> Vec<u8> {
        let image: Vec<(u64, Vec<u8>)> =
            self.image.iter().map(|(address, words)| (u64::from(*address), bytes(words))).collect();
        let writes = image.iter().map(|(address, data)| match data[..] {
            [a, b, c, d] => Command::Write { address: *address, value: u32::from_le_bytes([a, b, c, d]) },
            _ => Command::DmaWrite { address: *address, data: Words::new(data) },
        });
        let [address, mask, value] = self.masked;
        let masked = Command::MaskWrite { address: address.into(), mask, value };
        pdi::write(1, &cdo::write(writes.chain([masked])))
    }

    /// Launches the program a few times; says what went wrong, if anything did.
    fn outcome(&self, device: &Device) -> Result<(), String> {
        let heap = Heap::new(device).map_err(|error| error.to_string())?;
        let (pdi, stream) = (self.pdi(), bytes(&self.stream));
        let units = [Unit { pdi: &pdi, functional: 0 }];
        let context = Context::new(&heap, &ContextOptions::columns(1), &units).unwrap();
        let instructions = Arc::new(Program::new(&heap, &stream).unwrap());
        let mut kernel = Kernel { context, instructions, layout: Layout::mlir_aie(2).unwrap() };
        let mut input = Buffer::new(device, (SKIPPED + WORDS) * 4).unwrap();
        let mut output = Buffer::new(device, WORDS * 4).unwrap();
        for launch in 0..LAUNCHES {
            let content = pattern((SKIPPED + WORDS) as u32, launch);
            input.write().unwrap().copy_from_slice(&content);
            output.write().unwrap().fill(0xAA);
            run(&mut kernel, &[&input, &output], Duration::from_secs(20))
                .map_err(|error| error.to_string())?;
            let words: Vec<u32> = Words::new(&content).iter().collect();
            if *output.read().unwrap() != bytes(&expected(&words))[..] {
                return Err(format!("launch {launch} gives other words"));
            }
        }
        Ok(())
    }
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

pub(crate) fn a_program_in_plain_numbers_gives_what_its_numbers_say(device: &Device) {
    Numbers::new().outcome(device).unwrap();
}

/// A number of the program.
enum Place {
    /// A word of the image, by its address.
    Image(u32),
    /// Address, mask or value of the write with a mask.
    Masked(usize),
    /// A word of the stream.
    Stream(usize),
}

use Place::{Image, Masked, Stream};

/// Rules of DMA, locks, switches, images and streams; the number that shows each, and what it would be under another.
const RULES: [(&str, Place, u32); 64] = [
    ("a length counts words: memory tile", Image(0x001A_0000), 24 / 4),
    ("a length counts words: core tile", Image(0x0021_D060), 0x0040_000C),
    ("a length counts words: shim", Stream(8), 48 / 4),
    ("a length is what it says: memory tile", Image(0x001A_0300), 49),
    ("a length is what it says: core tile", Image(0x0021_D0A0), 0x0040_0031),
    ("a length is what it says: shim", Stream(38), 49),
    ("an address counts words: memory tile", Image(0x001A_0004), 0x001A_0004),
    ("an address counts words: core tile", Image(0x0021_D060), 0x0010_0030),
    ("a memory tile's DMA sees its own memory second", Image(0x001A_0004), 0x0018_0010),
    ("a step is one more than it says: memory tile 0", Image(0x001A_0308), 0x0006_0010),
    ("a step is one more than it says: memory tile 1", Image(0x001A_030C), 0x0008_0004),
    ("a step is one more than it says: memory tile 2", Image(0x001A_0310), 0x0004_0001),
    ("a step is one more than it says: memory tile 3", Image(0x001A_0314), 2),
    ("a step is one more than it says: core tile 0", Image(0x0021_D0A8), 3),
    ("a step is one more than it says: core tile 1", Image(0x0021_D068), 0x0001_8000),
    ("a step is one more than it says: core tile 2", Image(0x0021_D06C), 0x0080_C006),
    ("a step is one more than it says: shim", Stream(11), 0x0180_0002),
    ("a wrap is what it says: memory tile 0", Image(0x001A_0308), 0x0004_000F),
    ("a wrap is what it says: memory tile 1", Image(0x001A_030C), 0x0006_0003),
    ("a wrap is what it says: memory tile 2", Image(0x001A_0310), 0x0002_0000),
    ("a wrap is what it says: core tile 0", Image(0x0021_D06C), 0x0080_A005),
    ("a wrap is what it says: core tile 1", Image(0x0021_D06C), 0x0060_C005),
    ("a wrap is what it says: shim", Stream(11), 0x0170_0001),
    ("a wrap of 0 is none", Image(0x0021_D0AC), 0x0042_0000),
    ("an iteration's step is one more than it says", Image(0x0021_D070), 0x2080),
    ("an iteration's wrap is one more than it says", Image(0x0021_D070), 0x0000_007F),
    ("an iteration begins where it says", Image(0x0021_D070), 0x0008_207F),
    ("a chain goes on if it is to", Image(0x001A_0004), 0x0012_0010),
    ("a chain goes on with the descriptor that it names", Image(0x001A_0024), 0x001A_0028),
    ("a descriptor is valid if it says so", Image(0x0021_D074), 0x0004_3FE0),
    ("a lock is acquired if it is to be", Image(0x0021_D074), 0x0204_2FE0),
    ("a lock is acquired by its number: core tile", Image(0x0021_D0B4), 0x0204_1FE2),
    ("a memory tile's DMA sees its own locks second", Image(0x001A_001C), 0x8141_FF00),
    ("a negative request takes so much as it says", Image(0x001A_001C), 0x8141_FE40),
    ("a negative request waits for at least so much", Image(0x0021_F000), 0),
    ("a positive request waits for exactly so much", Image(0x001A_031C), 0x8240_8141),
    ("a positive request takes what it waits for", Image(0x001C_0010), 2),
    ("a release adds what it says", Image(0x001A_031C), 0x8140_8241),
    ("a release may add more than one", Image(0x001A_001C), 0x8241_FF40),
    ("a release goes to the lock of its number", Image(0x0021_D074), 0x0204_1FE0),
    ("a task repeats once more than it says", Image(0x0021_DE04), 0x0001_0003),
    ("a task begins with the descriptor that it names", Image(0x0021_DE14), 0x0002_0003),
    ("a task gives a token if it is to", Stream(91), 0),
    ("a master takes the slave that it names", Image(0x0023_F004), 0x8000_0005),
    ("a master is on if it says so", Image(0x001B_0030), 1),
    ("a slave is on if it says so", Image(0x001B_0104), 0),
    ("the multiplexer lets the DMA in with 1", Image(0x0001_F000), 0x0000_4800),
    ("the multiplexer's bits of South 3 are 11 and 10", Image(0x0001_F000), 0x0000_5000),
    ("the demultiplexer's bits of South 2 are 5 and 4", Stream(62), 0xFFFF_FF2F),
    ("an image's write with a mask keeps the other bits", Masked(1), u32::MAX),
    ("an image's write with a mask changes its bits", Masked(1), 0x0000_0C00),
    ("a stream's write with a mask keeps the other bits", Stream(70), u32::MAX),
    ("a stream's write with a mask changes its bits", Stream(63), 0),
    ("a stream waits until a register is what it says", Stream(83), 2),
    ("a stream waits for the bits of its mask", Stream(83), 0x8000_0001),
    ("a patch takes the argument that it names, from 0", Stream(24), 1),
    ("a patch takes the last argument too", Stream(54), 0),
    ("a patch adds its offset in bytes", Stream(26), 4),
    ("a patch goes to word 1 of the descriptor", Stream(22), 0x1_D028),
    ("a sync waits for the direction that it names", Stream(95), 1),
    ("a sync waits for the row that it names", Stream(95), 0x0000_0100),
    ("a sync waits for the column that it names", Stream(95), 0x0001_0000),
    ("a sync waits for the channel that it names", Stream(96), 0x0101_0100),
    ("a sync waits for as many columns as it says", Stream(96), 0x0002_0100),
];

#[test]
fn every_rule_read_otherwise_is_noticed() {
    let mut unnoticed = Vec::new();
    for (rule, place, value) in RULES {
        let mut numbers = Numbers::new();
        let word = match place {
            Image(address) => {
                let block = |(start, words): &&mut (u32, Vec<u32>)| {
                    (*start..*start + words.len() as u32 * 4).contains(&address)
                };
                let (start, words) = numbers.image.iter_mut().find(block).unwrap();
                &mut words[((address - *start) / 4) as usize]
            }
            Masked(idx) => &mut numbers.masked[idx],
            Stream(idx) => &mut numbers.stream[idx],
        };
        assert_ne!(*word, value, "{rule}: nothing is changed");
        *word = value;
        if numbers.outcome(&open(&Emulator::new(Options::default()))).is_ok() {
            unnoticed.push(rule);
        }
    }
    assert_eq!(unnoticed, [""; 0]);
}
