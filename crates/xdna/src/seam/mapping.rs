//! Memory that a process shares with a driver.

use memmap2::MmapMut;

use super::Errno;

/// Memory that is mapped into the process, and unmapped when it is dropped.
pub struct Mapping {
    memory: Memory,
    /// Where the usable part begins in an anonymous map that is longer, for the sake of its alignment.
    start: usize,
    length: usize,
    /// Dropped with the map: how a driver in software learns of it.
    owner: Option<Box<dyn Send + Sync>>,
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mapping({:#x}, {} bytes)", self.address(), self.length)
    }
}

enum Memory {
    Anonymous(MmapMut),
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    Device(super::file::Mapped),
}

impl Mapping {
    /// Zeroed memory of the process's own: what a driver in software maps.
    ///
    /// # Errors
    /// [`Errno::ENOMEM`] if there is not so much.
    ///
    /// # Panics
    /// If `align` is not a power of two.
    pub fn anonymous(length: usize, align: usize) -> Result<Self, Errno> {
        assert!(align.is_power_of_two(), "alignment is {align}, expected a power of two");
        let total = length.checked_add(align).ok_or(Errno::ENOMEM)?;
        let memory = MmapMut::map_anon(total).map_err(|_| Errno::ENOMEM)?;
        let start = memory.as_ptr().align_offset(align);
        Ok(Self { memory: Memory::Anonymous(memory), start, length, owner: None })
    }

    /// The same map, which drops `owner` when it is dropped.
    #[must_use]
    pub fn with_owner(mut self, owner: Box<dyn Send + Sync>) -> Self {
        self.owner = Some(owner);
        self
    }

    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub(super) fn device(memory: super::file::Mapped) -> Self {
        let length = memory.bytes().len();
        Self { memory: Memory::Device(memory), start: 0, length, owner: None }
    }

    /// Where it lies in the process.
    pub fn address(&self) -> u64 {
        self.bytes().as_ptr() as u64
    }

    /// Its content, as the CPU sees it.
    pub fn bytes(&self) -> &[u8] {
        let all = match &self.memory {
            Memory::Anonymous(memory) => &memory[..],
            #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
            Memory::Device(memory) => memory.bytes(),
        };
        &all[self.start..self.start + self.length]
    }

    /// Its content, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let all = match &mut self.memory {
            Memory::Anonymous(memory) => &mut memory[..],
            #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
            Memory::Device(memory) => memory.bytes_mut(),
        };
        &mut all[self.start..self.start + self.length]
    }
}
