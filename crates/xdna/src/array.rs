//! The array's address map, as programs for it need it: kinds of tiles, registers, buffer descriptors.
//!
//! Source: aie-rt `xaiemlgbl_params.h`, `xaie_dma_aieml.c`.

mod descriptor;
pub mod switch;

pub use crate::stream::{Direction, Tile};
pub use descriptor::{Descriptor, Dimension, Extras, Iteration, LockUse};

/// What a tile is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TileKind {
    /// At the edge: DMA to the host's memory. Row 0.
    Shim,
    /// 512 KiB of memory. Row 1.
    Mem,
    /// A core with 64 KiB of memory. Rows 2 and up.
    Core,
}

/// Rows of npu1.
pub const ROWS: u8 = 6;

impl TileKind {
    /// That of the tiles of a row of npu1.
    pub fn of_row(row: u8) -> Self {
        match row {
            0 => Self::Shim,
            1 => Self::Mem,
            _ => Self::Core,
        }
    }

    /// DMA channels each way.
    pub fn n_channels(self) -> u8 {
        if self == Self::Mem { 6 } else { 2 }
    }

    /// Buffer descriptors.
    pub fn n_descriptors(self) -> u8 {
        if self == Self::Mem { 48 } else { 16 }
    }

    /// Locks.
    pub fn n_locks(self) -> u8 {
        if self == Self::Mem { 64 } else { 16 }
    }

    /// Words of a buffer descriptor.
    pub fn descriptor_words(self) -> usize {
        if self == Self::Core { 6 } else { 8 }
    }

    /// Where the descriptors begin, 0x20 apart.
    pub fn descriptors_at(self) -> u32 {
        if self == Self::Mem { 0xA_0000 } else { 0x1_D000 }
    }

    /// Where the locks' values begin, 0x10 apart.
    pub fn locks_at(self) -> u32 {
        match self {
            Self::Shim => 0x1_4000,
            Self::Mem => 0xC_0000,
            Self::Core => 0x1_F000,
        }
    }

    /// Where the control registers of the channels of a direction begin, 8 apart; the queue is 4 behind each.
    pub fn channels_at(self, direction: Direction) -> u32 {
        let (s2mm, mm2s) = match self {
            Self::Shim => (0x1_D200, 0x1_D210),
            Self::Mem => (0xA_0600, 0xA_0630),
            Self::Core => (0x1_DE00, 0x1_DE10),
        };
        if direction == Direction::S2mm { s2mm } else { mm2s }
    }

    /// Where the stream switch's masters begin, 4 apart; slaves are 0x100 behind them, packet slots 0x200.
    pub fn switch_at(self) -> u32 {
        if self == Self::Mem { 0xB_0000 } else { 0x3_F000 }
    }
}

/// Where a core tile's program memory lies.
pub const PROGRAM_AT: u32 = 0x2_0000;
/// A core's control register: bit 0 enable, bit 1 reset.
pub const CORE_CONTROL: u32 = 0x3_2000;
/// A core's status register: bit 0 enable, bit 1 reset, bit 20 done.
pub const CORE_STATUS: u32 = 0x3_2004;
/// The shim's multiplexer, from its DMA into the stream switch.
pub const SHIM_MUX: u32 = 0x1_F000;
/// The shim's demultiplexer, from the stream switch to its DMA.
pub const SHIM_DEMUX: u32 = 0x1_F004;

/// A register's or a memory's address in the partition.
pub fn address(tile: Tile, offset: u32) -> u32 {
    u32::from(tile.col) << 25 | u32::from(tile.row) << 20 | offset & 0xF_FFFF
}

/// The tile and the offset in it of an address.
pub fn locate(address: u32) -> (Tile, u32) {
    (Tile { col: (address >> 25) as u8, row: (address >> 20 & 0x1F) as u8 }, address & 0xF_FFFF)
}

/// The word that starts a task: a descriptor, how often beyond once, and whether its end gives a token.
pub fn task(descriptor: u8, repeat: u8, token: bool) -> u32 {
    u32::from(descriptor) | u32::from(repeat) << 16 | u32::from(token) << 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_lies_where_the_facts_say() {
        // Descriptors and locks: where, how many; S2MM and MM2S channels: where, how many each way; switch.
        let cases = [
            (TileKind::Shim, (0x1_D000, 16), (0x1_4000, 16), (0x1_D200, 0x1_D210, 2), 0x3_F000),
            (TileKind::Mem, (0xA_0000, 48), (0xC_0000, 64), (0xA_0600, 0xA_0630, 6), 0xB_0000),
            (TileKind::Core, (0x1_D000, 16), (0x1_F000, 16), (0x1_DE00, 0x1_DE10, 2), 0x3_F000),
        ];
        for (row, (kind, descriptors, locks, channels, switch)) in (0..).zip(cases) {
            assert_eq!(TileKind::of_row(row), kind);
            assert_eq!((kind.descriptors_at(), kind.n_descriptors()), descriptors, "{kind:?}");
            assert_eq!((kind.locks_at(), kind.n_locks()), locks, "{kind:?}");
            let [s2mm, mm2s] =
                [Direction::S2mm, Direction::Mm2s].map(|direction| kind.channels_at(direction));
            assert_eq!((s2mm, mm2s, kind.n_channels()), channels, "{kind:?}");
            assert_eq!(kind.switch_at(), switch, "{kind:?}");
        }
        assert_eq!((3..ROWS).map(TileKind::of_row).collect::<Vec<_>>(), [TileKind::Core; 3]);
        let registers = [PROGRAM_AT, CORE_CONTROL, CORE_STATUS, SHIM_MUX, SHIM_DEMUX];
        assert_eq!(registers, [0x2_0000, 0x3_2000, 0x3_2004, 0x1_F000, 0x1_F004]);
    }

    #[test]
    fn addresses_and_tasks_are_made_of_their_parts() {
        let tile = Tile { col: 3, row: 5 };
        assert_eq!(address(tile, 0x1_D000), 0x0651_D000);
        assert_eq!(locate(0x0651_D000), (tile, 0x1_D000));
        assert_eq!(task(11, 4, true), 0x8004_000B);
    }
}
