//! Why a core cannot go on.

use super::LockOverflow;

/// A core met something that is wrong or not modelled. Nothing of the bundle at `pc` has been written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("core at pc {pc:#06x} after {cycle} bundles: {cause}")]
pub struct Fault {
    /// Address of the bundle.
    pub pc: u32,
    /// Bundles that the core had issued before.
    pub cycle: u64,
    /// What is wrong.
    pub cause: Cause,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The bundle does not decode.
    #[error(transparent)]
    Decode(#[from] aie2::Error),
    /// The core runs out of its program memory.
    #[error("program memory ends at {end:#06x}")]
    EndOfProgram {
        /// First address after the program.
        end: u32,
    },
    /// An instruction, or this use of it, is not modelled.
    #[error("`{instruction}` is not modelled: {reason}")]
    Unmodelled {
        /// The instruction.
        instruction: String,
        /// What about it.
        reason: String,
    },
    /// The address is not of data memory.
    #[error("address {address:#07x} is not in data memory, which is 0x40000 to 0x7ffff")]
    NoMemory {
        /// The address.
        address: u32,
    },
    /// The address belongs to a neighbour that is not there.
    #[error("address {address:#07x} is in the memory of a neighbour that does not exist")]
    NoNeighbour {
        /// The address.
        address: u32,
    },
    /// The address is not a multiple of the size.
    #[error("address {address:#07x} is not a multiple of {size}")]
    Unaligned {
        /// The address.
        address: u32,
        /// Bytes of the access.
        size: usize,
    },
    /// A store outside of what the core may write.
    #[error("store of {size} bytes to {address:#07x}, which belongs to {owner}")]
    Guarded {
        /// The address.
        address: u32,
        /// Bytes of the store.
        size: u32,
        /// Name of the region.
        owner: String,
    },
    /// The lock belongs to a neighbour that is not there.
    #[error("lock {id} belongs to a neighbour that does not exist")]
    NoLock {
        /// The lock, as the core numbers it.
        id: u8,
    },
    /// A lock was released too often.
    #[error(transparent)]
    Lock(#[from] LockOverflow),
    /// Memory is used while a store of part of a word is under way.
    #[error(
        "memory access {distance} bundles after the part-word store at pc {store:#06x}, {needed} are needed"
    )]
    PartWordStore {
        /// Bundles since the store.
        distance: u64,
        /// Address of the store's bundle.
        store: u32,
        /// Bundles that are needed.
        needed: u64,
    },
    /// A jump in a delay slot of another.
    #[error("jump in a delay slot of the jump to {target:#06x}")]
    JumpInDelaySlot {
        /// Where the first jump goes.
        target: u32,
    },
    /// The loop's last bundle comes in a jump's delay slot, or too soon after the loop was set up.
    #[error("last bundle of a hardware loop {reason}")]
    Loop {
        /// What is wrong about it.
        reason: String,
    },
}
