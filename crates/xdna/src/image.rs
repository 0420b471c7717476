//! Building images: the writes that configure the array, tile by tile.

use crate::array::switch::{Port, master_idx, slave_idx};
use crate::array::{Descriptor, Direction, Tile, TileKind, address};
use crate::cdo::{self, Command};
use crate::pdi;
use crate::words::Words;

/// A stream switch's port that is on.
const ENABLE: u32 = 1 << 31;

/// An image in the making: writes, in order.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// Address and words of each.
    writes: Vec<(u32, Vec<u8>)>,
}

impl Image {
    /// An image without writes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a register.
    pub fn write(&mut self, tile: Tile, offset: u32, value: u32) -> &mut Self {
        self.block(tile, offset, &[value])
    }

    /// Writes consecutive registers, or memory.
    pub fn block(&mut self, tile: Tile, offset: u32, words: &[u32]) -> &mut Self {
        let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.writes.push((address(tile, offset), bytes));
        self
    }

    /// Writes bytes to memory; up to three zeros fill the last word.
    pub fn memory(&mut self, tile: Tile, offset: u32, bytes: &[u8]) -> &mut Self {
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        self.writes.push((address(tile, offset), bytes));
        self
    }

    /// Writes a buffer descriptor.
    pub fn descriptor(&mut self, tile: Tile, number: u8, descriptor: &Descriptor) -> &mut Self {
        let kind = TileKind::of_row(tile.row);
        self.block(tile, kind.descriptors_at() + 0x20 * u32::from(number), &descriptor.encode(kind))
    }

    /// Gives a lock its first value.
    pub fn lock(&mut self, tile: Tile, id: u8, value: u32) -> &mut Self {
        self.write(tile, TileKind::of_row(tile.row).locks_at() + 0x10 * u32::from(id), value)
    }

    /// Sends what comes in at port `slave` out at port `master`, by a circuit.
    ///
    /// # Panics
    /// If the tile does not have these ports.
    pub fn route(&mut self, tile: Tile, slave: Port, master: Port) -> &mut Self {
        let kind = TileKind::of_row(tile.row);
        let missing = || panic!("a {kind:?} tile has no circuit from {slave:?} to {master:?}");
        let slave_idx = slave_idx(kind, slave).unwrap_or_else(missing) as u32;
        let master_idx = master_idx(kind, master).unwrap_or_else(missing) as u32;
        self.write(tile, kind.switch_at() + 0x100 + slave_idx * 4, ENABLE);
        self.write(tile, kind.switch_at() + master_idx * 4, ENABLE | slave_idx)
    }

    /// Starts a task (see [`crate::array::task`]) of a DMA channel.
    pub fn start(&mut self, tile: Tile, direction: Direction, channel: u8, task: u32) -> &mut Self {
        let kind = TileKind::of_row(tile.row);
        self.write(tile, kind.channels_at(direction) + u32::from(channel) * 8 + 4, task)
    }

    /// The image as a PDI.
    pub fn to_pdi(&self, id: u32) -> Vec<u8> {
        let commands = self.writes.iter().map(|(address, bytes)| {
            let (address, data) = (u64::from(*address), Words::new(bytes));
            match data.get(0) {
                Some(value) if data.len() == 1 => Command::Write { address, value },
                _ => Command::DmaWrite { address, data },
            }
        });
        pdi::write(id, &cdo::write(commands))
    }
}
