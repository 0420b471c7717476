//! What a core sees of the array: the memory modules of its own tile and of three neighbours.

use super::{Cause, Locks};

/// Size of a tile's data memory in bytes.
pub const DATA_MEMORY_BYTES: usize = 0x1_0000;

/// Data memory and locks of a tile, which its core, its DMA and three neighbouring cores share.
pub struct MemoryModule {
    /// Data memory; at 0x70000 for the tile's own core.
    pub data: Box<[u8; DATA_MEMORY_BYTES]>,
    /// The tile's locks.
    pub locks: Locks,
}

impl MemoryModule {
    /// Memory full of zeros, locks at 0.
    pub fn new() -> MemoryModule {
        MemoryModule { data: Box::new([0; DATA_MEMORY_BYTES]), locks: Locks::default() }
    }
}

impl Default for MemoryModule {
    fn default() -> MemoryModule {
        MemoryModule::new()
    }
}

/// Whose memory module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Addresses from 0x40000, locks 0 to 15.
    South,
    /// Addresses from 0x50000, locks 16 to 31.
    West,
    /// Addresses from 0x60000, locks 32 to 47.
    North,
    /// The core's own tile: addresses from 0x70000, locks 48 to 63.
    Own,
}

/// The memory modules that a core can reach while it runs.
pub struct Windows<'a> {
    modules: [Option<&'a mut MemoryModule>; 4],
}

impl<'a> Windows<'a> {
    /// A core that reaches its own memory only.
    pub fn own(module: &'a mut MemoryModule) -> Windows<'a> {
        Windows { modules: [None, None, None, Some(module)] }
    }

    /// The same with the memory module of a neighbour, or of the own tile, put in its place.
    #[must_use]
    pub fn with(mut self, side: Side, module: &'a mut MemoryModule) -> Windows<'a> {
        self.modules[side as usize] = Some(module);
        self
    }

    /// Reads `N` bytes at an address that is a multiple of `N`.
    pub(super) fn load<const N: usize>(&self, address: u32) -> Result<[u8; N], Cause> {
        let (module, offset) = locate(address, N)?;
        let Some(module) = &self.modules[module] else { return Err(Cause::NoNeighbour { address }) };
        let mut bytes = [0; N];
        bytes.copy_from_slice(&module.data[offset..offset + N]);
        Ok(bytes)
    }

    /// Writes `N` bytes at an address that is a multiple of `N`.
    pub(super) fn store<const N: usize>(&mut self, address: u32, bytes: [u8; N]) -> Result<(), Cause> {
        let (module, offset) = locate(address, N)?;
        let Some(module) = &mut self.modules[module] else { return Err(Cause::NoNeighbour { address }) };
        module.data[offset..offset + N].copy_from_slice(&bytes);
        Ok(())
    }

    /// Whether `N` bytes at an address can be written.
    pub(super) fn check<const N: usize>(&self, address: u32) -> Result<(), Cause> {
        self.load::<N>(address).map(|_| ())
    }

    /// The locks that a core-relative lock number belongs to, and the number there.
    pub(super) fn locks(&mut self, id: u8) -> Result<(&mut Locks, u8), Cause> {
        let module = self.modules[usize::from(id >> 4) & 3].as_mut().ok_or(Cause::NoLock { id })?;
        Ok((&mut module.locks, id & 15))
    }
}

/// The module and the offset in it of an access of `size` bytes.
fn locate(address: u32, size: usize) -> Result<(usize, usize), Cause> {
    if !aie2::DATA_MEMORY.contains(&address) {
        return Err(Cause::NoMemory { address });
    }
    let offset = address as usize % DATA_MEMORY_BYTES;
    if !offset.is_multiple_of(size) {
        return Err(Cause::Unaligned { address, size });
    }
    Ok(((address as usize / DATA_MEMORY_BYTES) & 3, offset))
}
