//! The array: tiles with memory, locks, DMA, stream switches and cores, as much as a context has of it.

mod channel;
mod host;
mod program;
mod registers;
mod report;
mod run;
mod switch;

use std::fmt;

use xdna::Words;
use xdna::array::{Descriptor, Direction, ROWS, Tile as Place, TileKind, locate};
use xdna::cdo::{Cdo, Command};

use crate::core::{Access, DATA_MEMORY_BYTES, Locks, MemoryModule, Region};
use channel::Channel;
pub(crate) use host::Host;
use program::Compute;
pub(crate) use run::End;
use switch::Switch;

/// Bytes of a memory tile.
const MEM_TILE_BYTES: usize = 512 << 10;

/// Why the array cannot do what it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns a [`Refusal`] with a formatted message.
macro_rules! refuse {
    ($($message:tt)*) => { return Err(crate::array::Refusal(format!($($message)*))) };
}
use refuse;

/// A tile's name in messages.
struct Name(Place);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match TileKind::of_row(self.0.row) {
            TileKind::Shim => "shim",
            TileKind::Mem => "memory tile",
            TileKind::Core => "core tile",
        };
        write!(f, "{kind} ({},{})", self.0.col, self.0.row)
    }
}

/// What a tile has beside DMA and switch.
enum Body {
    Shim { locks: Locks<16>, mux: u32, demux: u32 },
    Mem { data: Box<[u8]>, locks: Locks<64> },
    Core { module: MemoryModule, compute: Compute },
}

/// A tile.
struct Tile {
    place: Place,
    kind: TileKind,
    body: Body,
    /// Words of the buffer descriptors.
    descriptors: Vec<[u32; 8]>,
    /// S2MM channels, then MM2S.
    channels: Vec<Channel>,
    switch: Switch,
}

impl Tile {
    fn new(place: Place) -> Self {
        let kind = TileKind::of_row(place.row);
        let body = match kind {
            TileKind::Shim => Body::Shim { locks: Locks::default(), mux: 0, demux: 0 },
            TileKind::Mem => {
                Body::Mem { data: vec![0; MEM_TILE_BYTES].into_boxed_slice(), locks: Locks::default() }
            }
            TileKind::Core => Body::Core { module: MemoryModule::new(), compute: Compute::default() },
        };
        Self {
            place,
            kind,
            body,
            descriptors: vec![[0; 8]; kind.n_descriptors().into()],
            channels: (0..kind.n_channels() * 2).map(|_| Channel::default()).collect(),
            switch: Switch::new(kind),
        }
    }

    /// A channel's place in `channels`.
    fn channel_idx(&self, direction: Direction, channel: u8) -> usize {
        usize::from(channel) + if direction == Direction::Mm2s { self.kind.n_channels().into() } else { 0 }
    }
}

/// The tiles of a context's columns.
pub(crate) struct Array {
    columns: u8,
    /// Column by column, each from the shim up.
    tiles: Vec<Tile>,
    cycle_limit: u64,
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Array").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl Array {
    pub(crate) fn new(columns: u8, cycle_limit: u64) -> Self {
        let places = (0..columns).flat_map(|col| (0..ROWS).map(move |row| Place { col, row }));
        Self { columns, tiles: places.map(Tile::new).collect(), cycle_limit }
    }

    fn index(&self, place: Place) -> Option<usize> {
        let is_there = place.col < self.columns && place.row < ROWS;
        is_there.then(|| usize::from(place.col) * usize::from(ROWS) + usize::from(place.row))
    }

    fn tile(&mut self, place: Place, address: u64) -> Result<&mut Tile, Refusal> {
        match self.index(place) {
            Some(idx) => Ok(&mut self.tiles[idx]),
            None => {
                let Place { col, row } = place;
                let columns = self.columns;
                refuse!(
                    "address {address:#x} is of tile ({col},{row}); the context has {columns} columns of {ROWS}"
                )
            }
        }
    }

    /// Configures the array as an image says.
    pub(crate) fn load(&mut self, cdo: &Cdo<'_>) -> Result<(), Refusal> {
        for command in cdo.commands() {
            match command {
                Command::Write { address, value } => self.write(address, value)?,
                Command::MaskWrite { address, mask, value } => self.mask_write(address, mask, value)?,
                Command::DmaWrite { address, data } => self.block_write(address, data)?,
                Command::MaskPoll { address, .. } => {
                    refuse!("the image waits for {address:#x}; loaders take no waits")
                }
                Command::Nop { .. } | Command::End => {}
            }
        }
        Ok(())
    }

    /// Writes a register, or a word of memory.
    pub(crate) fn write(&mut self, address: u64, value: u32) -> Result<(), Refusal> {
        let (place, offset) = narrow(address)?;
        registers::write(self.tile(place, address)?, offset, value)
    }

    /// Replaces the bits of `mask`.
    pub(crate) fn mask_write(&mut self, address: u64, mask: u32, value: u32) -> Result<(), Refusal> {
        let (place, offset) = narrow(address)?;
        let tile = self.tile(place, address)?;
        // Compilers write with an empty mask, which changes nothing, wherever it goes.
        if mask == 0 {
            return Ok(());
        }
        let old = if mask == u32::MAX { 0 } else { registers::read(tile, offset)? };
        registers::write(tile, offset, old & !mask | value & mask)
    }

    /// Writes consecutive registers, or memory.
    pub(crate) fn block_write(&mut self, address: u64, data: Words<'_>) -> Result<(), Refusal> {
        let (place, offset) = narrow(address)?;
        let tile = self.tile(place, address)?;
        for (idx, word) in (0..).zip(data.iter()) {
            registers::write(tile, offset + idx * 4, word)?;
        }
        if let Body::Core { compute, .. } = &mut tile.body
            && (offset as usize) < DATA_MEMORY_BYTES
        {
            compute.note_segment(offset, data.bytes().len() as u32);
        }
        Ok(())
    }

    /// Guards the cores: what the DMA brings them is for reading, what it takes from them for writing.
    pub(crate) fn guard(&mut self) {
        for tile in &mut self.tiles {
            let mut buffers = Vec::new();
            for (idx, channel) in tile.channels.iter().enumerate() {
                let is_output = idx >= usize::from(tile.kind.n_channels());
                for number in channel.used(&tile.descriptors, tile.kind) {
                    let descriptor = Descriptor::decode(tile.kind, &tile.descriptors[usize::from(number)]);
                    buffers.push(Region {
                        name: format!("the buffer of descriptor {number}"),
                        start: program::DATA + descriptor.address as u32,
                        bytes: descriptor.length * 4,
                        access: if is_output { Access::ReadWrite } else { Access::Read },
                    });
                }
            }
            if let Body::Core { compute, .. } = &mut tile.body {
                compute.set_guard(buffers);
            }
        }
    }

    /// Whether the bits of `mask` in a register are `value`.
    pub(crate) fn poll(&mut self, address: u64, mask: u32, value: u32) -> Result<bool, Refusal> {
        let (place, offset) = narrow(address)?;
        Ok(registers::read(self.tile(place, address)?, offset)? & mask == value)
    }
}

fn narrow(address: u64) -> Result<(Place, u32), Refusal> {
    match u32::try_from(address) {
        Ok(address) if address % 4 == 0 => Ok(locate(address)),
        _ => refuse!("address {address:#x} is not a word's in the array"),
    }
}
