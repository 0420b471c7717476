//! The host's memory, as the shim's DMA reaches it: the buffers that a command names, and nothing else.

use crate::driver::Mapped;

/// The buffers of a command.
pub(crate) struct Host<'a> {
    pinned: &'a [Mapped],
    /// What is flipped in each word that the array writes: zero, but for tests of those who must notice.
    flip: u32,
}

impl<'a> Host<'a> {
    pub(crate) fn new(pinned: &'a [Mapped], is_wrong: bool) -> Self {
        Self { pinned, flip: u32::from(is_wrong) << 4 }
    }

    fn find(&self, address: u64) -> Option<(&Mapped, u64)> {
        self.pinned.iter().find_map(|mapped| mapped.offset_of(address, 4).map(|offset| (mapped, offset)))
    }

    /// The word at an address, if it lies in a buffer.
    pub(super) fn read(&self, address: u64) -> Option<u32> {
        let (mapped, offset) = self.find(address)?;
        let mut word = [0; 4];
        mapped.read(offset, &mut word);
        Some(u32::from_le_bytes(word))
    }

    /// Writes a word, if it lies in a buffer.
    pub(super) fn write(&self, address: u64, value: u32) -> Option<()> {
        let (mapped, offset) = self.find(address)?;
        mapped.write(offset, &(value ^ self.flip).to_le_bytes());
        Some(())
    }
}
