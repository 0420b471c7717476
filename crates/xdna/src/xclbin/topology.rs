//! The sections that say where things are: MEM_TOPOLOGY, CONNECTIVITY and IP_LAYOUT, all lists of one size of entry.

use bytemuck::{Pod, Zeroable};

use super::until_zero;
use crate::Error;
use crate::error::need;

/// A memory, as in MEM_TOPOLOGY.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Memory {
    /// What it is made of.
    pub kind: u8,
    /// Whether arguments lie in it: 0 or 1.
    pub used: u8,
    pad: [u8; 6],
    /// Its size in KiB.
    pub size_kb: u64,
    /// Its address.
    pub base: u64,
    tag: [u8; 16],
}

/// Where an argument lies, as in CONNECTIVITY.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Connection {
    /// The argument's number.
    pub argument: i32,
    /// The instance's place in IP_LAYOUT.
    pub instance: i32,
    /// The memory's place in MEM_TOPOLOGY.
    pub memory: i32,
}

/// An instance of a kernel, as in IP_LAYOUT.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Instance {
    /// What it is; 7 is a kernel that software runs.
    pub kind: u32,
    /// Subtype in bits 1:0 (1 DPU), functional in 5:4 (0 DPU, 1 pre or post), kernel number in 27:16.
    pub properties: u32,
    /// An address, which kernels of the NPU do not have.
    pub base: u64,
    name: [[u8; 16]; 4],
}

const _: () = assert!(size_of::<Memory>() == 40 && size_of::<Connection>() == 12);
const _: () = assert!(size_of::<Instance>() == 80);

impl Memory {
    /// A memory that is used.
    ///
    /// # Panics
    /// If the tag is longer than 15 bytes.
    pub fn new(tag: &str, size_kb: u64, base: u64) -> Self {
        let mut memory = Self { used: 1, size_kb, base, ..Self::zeroed() };
        assert!(tag.len() < 16, "memory tag `{tag}` is longer than 15 bytes");
        memory.tag[..tag.len()].copy_from_slice(tag.as_bytes());
        memory
    }

    /// Its name.
    pub fn tag(&self) -> String {
        String::from_utf8_lossy(until_zero(&self.tag)).into_owned()
    }
}

impl Instance {
    /// A kernel of the NPU, `kernel:instance`.
    ///
    /// # Panics
    /// If the name is longer than 63 bytes.
    pub fn dpu(name: &str, functional: u32, kernel_id: u32) -> Self {
        let mut instance = Self {
            kind: 7,
            properties: 1 | (functional & 3) << 4 | (kernel_id & 0xFFF) << 16,
            base: u64::MAX,
            name: Zeroable::zeroed(),
        };
        assert!(name.len() < 64, "instance name `{name}` is longer than 63 bytes");
        bytemuck::cast_slice_mut(&mut instance.name)[..name.len()].copy_from_slice(name.as_bytes());
        instance
    }

    /// Its name, `kernel:instance`.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(until_zero(bytemuck::cast_slice(&self.name))).into_owned()
    }
}

/// An entry of one of these sections.
pub trait Entry: Pod {
    /// What error messages call the section.
    const SECTION: &'static str;
    /// Where the entries begin, after their number.
    const START: usize;
}

impl Entry for Memory {
    const SECTION: &'static str = "MEM_TOPOLOGY";
    const START: usize = 8;
}

impl Entry for Connection {
    const SECTION: &'static str = "CONNECTIVITY";
    const START: usize = 4;
}

impl Entry for Instance {
    const SECTION: &'static str = "IP_LAYOUT";
    const START: usize = 8;
}

/// Reads a section of entries.
///
/// # Errors
/// [`Error::Format`] or [`Error::Short`] if it holds fewer than it says.
pub fn parse<T: Entry>(bytes: &[u8]) -> Result<Vec<T>, Error> {
    let head = need(T::SECTION, bytes, 0, T::START)?;
    let count = i32::from_le_bytes(head[..4].try_into().expect("four bytes"));
    let count = usize::try_from(count)
        .map_err(|_| Error::format(format!("{}'s number of entries", T::SECTION), count, "0 or more"))?;
    let entries = need(T::SECTION, bytes, T::START, count.saturating_mul(size_of::<T>()))?;
    Ok(entries.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect())
}

/// A section of these entries.
///
/// # Panics
/// If there are 2^31 or more.
pub fn to_bytes<T: Entry>(entries: &[T]) -> Vec<u8> {
    let mut out = vec![0; T::START];
    let count = i32::try_from(entries.len()).expect("fewer than 2^31 entries");
    out[..4].copy_from_slice(&count.to_le_bytes());
    out.extend_from_slice(bytemuck::cast_slice(entries));
    out
}
