//! Where a core may store.

use aie2::DATA_MEMORY;

use super::Cause;

/// What a core may do with a region of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It may load only: inputs, tables.
    Read,
    /// It may store too: stack, outputs, scratch.
    ReadWrite,
}

/// A part of memory with a purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// What it is, for messages.
    pub name: String,
    /// First byte, in the core's addresses (0x40000 to 0x7FFFF).
    pub start: u32,
    /// Length in bytes.
    pub bytes: u32,
    /// What the core may do with it.
    pub access: Access,
}

impl Region {
    fn contains(&self, address: u32) -> bool {
        (self.start..self.start.saturating_add(self.bytes)).contains(&address)
    }
}

/// Traps stores of a core outside of what is declared to be its own.
///
/// The reason for it: stacks of compiled kernels were found to be larger than the room that their linker scripts leave
/// for them, and to overwrite buffers and tables. Such a kernel's results depend on when the DMA runs.
#[derive(Debug, Clone)]
pub struct Guard {
    regions: Vec<Region>,
    /// A bit for each byte of the four memory windows.
    writable: Vec<u64>,
}

impl Guard {
    /// A guard that lets through stores to regions with [`Access::ReadWrite`]. Where regions overlap, the last counts.
    pub fn new(regions: Vec<Region>) -> Guard {
        let mut writable = vec![0; DATA_MEMORY.len() / 64];
        for region in &regions {
            let start = region.start.clamp(DATA_MEMORY.start, DATA_MEMORY.end);
            let end = region.start.saturating_add(region.bytes).clamp(start, DATA_MEMORY.end);
            for byte in start - DATA_MEMORY.start..end - DATA_MEMORY.start {
                let (word, bit) = (byte as usize / 64, 1_u64 << (byte % 64));
                match region.access {
                    Access::Read => writable[word] &= !bit,
                    Access::ReadWrite => writable[word] |= bit,
                }
            }
        }
        Guard { regions, writable }
    }

    /// Looks at a store of `size` bytes, at most 32, at a multiple of `size`.
    pub(super) fn check(&self, address: u32, size: u32) -> Result<(), Cause> {
        let byte = address.wrapping_sub(DATA_MEMORY.start);
        let wanted = ((1_u64 << size) - 1) << (byte % 64);
        let allowed = self.writable.get(byte as usize / 64).copied().unwrap_or(0);
        if allowed & wanted == wanted {
            return Ok(());
        }
        let owner = self.regions.iter().rev().find(|region| region.contains(address));
        let owner = owner.map_or("nobody", |region| &region.name).to_owned();
        Err(Cause::Guarded { address, size, owner })
    }
}
