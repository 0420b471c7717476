//! xclbin: the container that NPU kernels are delivered in.
//!
//! A file is a header, a table of sections, and the sections. [`Xclbin`] reads and writes all of them as bytes; the
//! sections of NPU kernels have types of their own in [`partition`], [`topology`] and [`metadata`].
//!
//! Source: XRT `xclbin.h`, `xclbin_parser.cpp`.

pub mod metadata;
pub mod partition;
pub mod topology;

use std::fmt;

use bytemuck::{Pod, Zeroable};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::Error;
use crate::error::need;

const MAGIC: [u8; 8] = *b"xclbin2\0";
/// What a file without a signature says as its length.
const UNSIGNED: i32 = -1;
/// XRT takes no more sections.
const MAX_SECTIONS: u32 = 10_000;

/// What a section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind(pub u32);

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl Kind {
            $($(#[$doc])* pub const $name: Self = Self($value);)*
        }

        impl fmt::Display for Kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    $($value => f.write_str(stringify!($name)),)*
                    other => write!(f, "section kind {other}"),
                }
            }
        }
    };
}

kinds! {
    /// XML: the kernels and their arguments.
    EMBEDDED_METADATA = 2;
    /// Memories that arguments may lie in.
    MEM_TOPOLOGY = 6;
    /// Which argument of which kernel lies in which memory.
    CONNECTIVITY = 7;
    /// The kernels' instances.
    IP_LAYOUT = 8;
    /// JSON about the build.
    BUILD_METADATA = 14;
    /// A device image outside of a partition.
    PDI = 18;
    /// JSON about the array.
    AIE_METADATA = 25;
    /// [`Kind::MEM_TOPOLOGY`] by groups.
    ASK_GROUP_TOPOLOGY = 26;
    /// [`Kind::CONNECTIVITY`] by groups.
    ASK_GROUP_CONNECTIVITY = 27;
    /// Columns, images and kernel numbers.
    AIE_PARTITION = 32;
    /// JSON about tracing.
    AIE_TRACE_METADATA = 35;
}

/// The header as it lies in the file.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
struct Header {
    magic: [u8; 8],
    signature_length: i32,
    reserved: [u8; 28],
    key_block: [[u8; 16]; 16],
    unique_id: u64,
    length: u64,
    timestamp: u64,
    feature_rom_timestamp: u64,
    version_patch: u16,
    version_major: u8,
    version_minor: u8,
    mode: u16,
    action_mask: u16,
    interface_uuid: [u8; 16],
    platform: [u8; 64],
    uuid: [u8; 16],
    debug_bin: [u8; 16],
    n_sections: u32,
    pad: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
struct SectionHeader {
    kind: u32,
    name: [u8; 16],
    pad: u32,
    offset: u64,
    size: u64,
}

const _: () = assert!(size_of::<Header>() == 456 && size_of::<SectionHeader>() == 40);

/// A section: bytes of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section<'a> {
    /// What it holds.
    pub kind: Kind,
    /// Its name, up to 16 bytes.
    pub name: &'a str,
    /// Its content.
    pub bytes: &'a [u8],
}

/// An xclbin whose sections are known to lie in the file.
#[derive(Debug, Clone)]
pub struct Xclbin<'a> {
    header: Header,
    sections: Vec<Section<'a>>,
    sha256: [u8; 32],
}

impl<'a> Xclbin<'a> {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Format`] or [`Error::Short`] if it is no xclbin, of another length than it says, or a section lies
    /// outside of it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let head = need("the xclbin's header", bytes, 0, size_of::<Header>())?;
        let header: Header = bytemuck::pod_read_unaligned(head);
        if header.magic != MAGIC {
            let found = header.magic.escape_ascii().to_string();
            return Err(Error::format("the xclbin's magic", found, MAGIC.escape_ascii().to_string()));
        }
        if header.length != bytes.len() as u64 {
            let found = format!("{} in its header", header.length);
            return Err(Error::format("the xclbin's length", found, format!("{}, its bytes", bytes.len())));
        }
        if header.n_sections > MAX_SECTIONS {
            let expected = format!("at most {MAX_SECTIONS}");
            return Err(Error::format("the xclbin's number of sections", header.n_sections, expected));
        }
        let table_bytes = header.n_sections as usize * size_of::<SectionHeader>();
        let table = need("the xclbin's section table", bytes, size_of::<Header>(), table_bytes)?;
        let sections = table
            .as_chunks::<{ size_of::<SectionHeader>() }>()
            .0
            .iter()
            .map(|entry| section(bytes, entry))
            .collect::<Result<_, _>>()?;
        Ok(Self { header, sections, sha256: Sha256::digest(bytes).into() })
    }

    /// All sections in order.
    pub fn sections(&self) -> &[Section<'a>] {
        &self.sections
    }

    /// The first section of a kind.
    pub fn section(&self, kind: Kind) -> Option<&'a [u8]> {
        self.sections.iter().find(|section| section.kind == kind).map(|section| section.bytes)
    }

    /// The first section of a kind, which must be there.
    ///
    /// # Errors
    /// [`Error::Format`] if there is none.
    pub fn required(&self, kind: Kind) -> Result<&'a [u8], Error> {
        self.section(kind).ok_or_else(|| {
            let kinds: Vec<String> = self.sections.iter().map(|section| section.kind.to_string()).collect();
            let found =
                format!("of {}", if kinds.is_empty() { "no sections".into() } else { kinds.join(", ") });
            Error::format("the xclbin", found, format!("one with {kind}"))
        })
    }

    /// Its UUID, which its builder gave it.
    pub fn uuid(&self) -> Uuid {
        Uuid::from_bytes(self.header.uuid)
    }

    /// Major, minor and patch of the version that its builder says.
    pub fn version(&self) -> (u8, u8, u16) {
        (self.header.version_major, self.header.version_minor, self.header.version_patch)
    }

    /// When it was built, in seconds since 1970, if that is known.
    pub fn timestamp(&self) -> u64 {
        self.header.timestamp
    }

    /// The platform it names.
    pub fn platform(&self) -> String {
        String::from_utf8_lossy(until_zero(&self.header.platform)).into_owned()
    }

    /// The SHA-256 of all its bytes: what a user of it should hold it against, since nothing in it is signed.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }
}

fn section<'a>(bytes: &'a [u8], entry: &'a [u8; 40]) -> Result<Section<'a>, Error> {
    let header: SectionHeader = bytemuck::pod_read_unaligned(entry);
    let kind = Kind(header.kind);
    let place = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let content = need(&format!("the xclbin's {kind}"), bytes, place(header.offset), place(header.size))?;
    let name = until_zero(&entry[4..20]);
    let name = std::str::from_utf8(name).map_err(|_| {
        Error::format(format!("the name of the xclbin's {kind}"), name.escape_ascii(), "UTF-8")
    })?;
    Ok(Section { kind, name, bytes: content })
}

/// The bytes before the first zero.
fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Writes a file of these sections. Its UUID is made of its content, so that the same sections give the same file.
///
/// # Panics
/// If a section's name is longer than 15 bytes, or there are more sections than XRT takes.
pub fn write(sections: &[Section<'_>]) -> Vec<u8> {
    assert!(sections.len() <= MAX_SECTIONS as usize, "{} sections, at most {MAX_SECTIONS}", sections.len());
    let table_end = size_of::<Header>() + size_of::<SectionHeader>() * sections.len();
    let mut table = Vec::with_capacity(table_end - size_of::<Header>());
    let mut body = Vec::new();
    for section in sections {
        assert!(section.name.len() < 16, "section name `{}` is longer than 15 bytes", section.name);
        body.resize((table_end + body.len()).next_multiple_of(8) - table_end, 0);
        let mut header = SectionHeader {
            kind: section.kind.0,
            offset: (table_end + body.len()) as u64,
            size: section.bytes.len() as u64,
            ..SectionHeader::zeroed()
        };
        header.name[..section.name.len()].copy_from_slice(section.name.as_bytes());
        table.extend_from_slice(bytemuck::bytes_of(&header));
        body.extend_from_slice(section.bytes);
    }
    body.resize((table_end + body.len()).next_multiple_of(8) - table_end, 0);
    let digest = Sha256::new().chain_update(&table).chain_update(&body).finalize();
    let uuid = uuid::Builder::from_custom_bytes(digest[..16].try_into().expect("16 of 32 bytes"));
    let header = Header {
        magic: MAGIC,
        signature_length: UNSIGNED,
        length: (table_end + body.len()) as u64,
        version_major: 2,
        uuid: *uuid.as_uuid().as_bytes(),
        n_sections: sections.len() as u32,
        ..Header::zeroed()
    };
    [bytemuck::bytes_of(&header), &table, &body].concat()
}

#[cfg(test)]
mod tests;
