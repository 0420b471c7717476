//! PDI: the image that a context's compute unit is configured with. An envelope of headers around a [`Cdo`].
//!
//! Source: XRT `aie-pdi-transform` (`load_pdi.h`): the loader takes what lies at [`CDO_OFFSET`], whatever the headers
//! say of places; so does this module.

use bytemuck::{Pod, Zeroable};

use crate::Error;
use crate::cdo::{Cdo, HEADER_WORDS};
use crate::error::need;
use crate::words::{self, Words};

/// Where the CDO lies in a PDI.
pub const CDO_OFFSET: usize = 0x150;
/// The device that mlir-aie's tools name in a PDI.
pub const IDCODE: u32 = 0x14CA_8093;
/// Largest image that XRT takes.
pub const MAX_BYTES: usize = 32 * 1024 * 64 * 64;

const TABLE_OFFSET: usize = 0x10;
const IMAGE_OFFSET: usize = 0x90;
const PARTITION_OFFSET: usize = 0xD0;
/// The version that bootgen writes.
const TABLE_VERSION: u32 = 0x0003_0000;
/// Four words that tell a configuration port how wide it is; the NPU's loader skips them.
const SMAP: [u32; 4] = [0xDD00_0000, 0x4433_2211, 0x8877_6655, 0xCCBB_AA99];
/// A transformed PDI: commands and data apart.
const TRANSFORMED: u32 = 1;
const TRANSFORM_MARK: u32 = 0x8866;

/// The image header table.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
struct Table {
    version: u32,
    images: u32,
    image_address: u32,
    partitions: u32,
    partition_address: u32,
    boot_device: u32,
    idcode: u32,
    attributes: u32,
    pdi_id: u32,
    reserved: [u32; 3],
    header_length: u32,
    security: [u32; 9],
    more: [u32; 9],
    checksum: u32,
}

/// The partition header.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
struct Partition {
    encrypted_words: u32,
    words: u32,
    total_words: u32,
    next: u32,
    execution_address: [u32; 2],
    load_address: [u32; 2],
    data_word_offset: u32,
    attributes: u32,
    sections: u32,
    checksum_offset: u32,
    id: u32,
    security: [u32; 9],
    reserved: [u32; 6],
    transform: u32,
    command_bytes: u32,
    transform_mark: u32,
    checksum: u32,
}

const _: () = assert!(size_of::<Table>() == 128 && size_of::<Partition>() == 128);

/// A PDI whose headers and CDO are known to be well formed.
#[derive(Debug, Clone, Copy)]
pub struct Pdi<'a> {
    table: Table,
    cdo: Cdo<'a>,
    checksums_hold: bool,
}

impl<'a> Pdi<'a> {
    /// Reads a PDI. Checksums of headers are not held against it, since the device's loader does not check them either;
    /// see [`Self::checksums_hold`].
    ///
    /// # Errors
    /// [`Error::Format`] or [`Error::Short`] if headers or CDO are not as they should be.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_BYTES {
            let found = format!("{} bytes long", bytes.len());
            return Err(Error::format("the PDI", found, format!("at most {MAX_BYTES}")));
        }
        let table: Table = read("the PDI's image header table", bytes, TABLE_OFFSET)?;
        let partition: Partition = read("the PDI's partition header", bytes, PARTITION_OFFSET)?;
        if (table.images, table.partitions) != (1, 1) {
            let found = format!("of {} images and {} partitions", table.images, table.partitions);
            return Err(Error::format("the PDI", found, "one image with one partition"));
        }
        let image = need("the PDI's image header", bytes, IMAGE_OFFSET, 64)?;
        let body = &bytes[CDO_OFFSET.min(bytes.len())..];
        let cdo = match partition.transformed() {
            Some(command_bytes) => Cdo::parse_transformed(body, command_bytes)?,
            None => Cdo::parse(body)?,
        };
        let sums = [bytemuck::bytes_of(&table), image, bytemuck::bytes_of(&partition)];
        let holds = |header: &&[u8]| {
            let (words, sum) = header.split_at(header.len() - 4);
            words::u32_at(sum, 0) == Some(words::checksum(Words::new(words)))
        };
        Ok(Self { table, cdo, checksums_hold: sums.iter().all(holds) })
    }

    /// The commands.
    pub fn cdo(&self) -> Cdo<'a> {
        self.cdo
    }

    /// The device it was made for; mlir-aie's tools write [`IDCODE`].
    pub fn idcode(&self) -> u32 {
        self.table.idcode
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.table.pdi_id
    }

    /// Whether the checksums of its three headers are right.
    pub fn checksums_hold(&self) -> bool {
        self.checksums_hold
    }
}

impl Partition {
    /// The length of the command zone, if the image is a transformed one.
    fn transformed(&self) -> Option<usize> {
        let kind = self.transform;
        let mark = TRANSFORM_MARK
            | ((kind & 0xFF) << 8 | kind >> 8)
            | ((self.command_bytes & 0xFFFF) << 16 | self.command_bytes >> 16);
        (kind == TRANSFORMED && self.transform_mark == mark).then_some(self.command_bytes as usize)
    }
}

fn read<T: Pod>(thing: &str, bytes: &[u8], at: usize) -> Result<T, Error> {
    need(thing, bytes, at, size_of::<T>()).map(bytemuck::pod_read_unaligned)
}

/// Puts a CDO (of [`crate::cdo::write`]) into an envelope.
///
/// # Panics
/// If `cdo` is shorter than its header, or longer than an image may be.
pub fn write(id: u32, cdo: &[u8]) -> Vec<u8> {
    assert!(cdo.len() >= HEADER_WORDS * 4, "the CDO has {} bytes, fewer than its header", cdo.len());
    assert!(cdo.len() <= MAX_BYTES - CDO_OFFSET, "the CDO has {} bytes, more than an image", cdo.len());
    let cdo_words = cdo.len().div_ceil(4) as u32;
    let mut table = Table {
        version: TABLE_VERSION,
        images: 1,
        image_address: (IMAGE_OFFSET / 4) as u32,
        partitions: 1,
        partition_address: (PARTITION_OFFSET / 4) as u32,
        idcode: IDCODE,
        pdi_id: id,
        header_length: ((CDO_OFFSET - TABLE_OFFSET) / 4) as u32,
        ..Table::zeroed()
    };
    let mut partition = Partition {
        encrypted_words: cdo_words,
        words: cdo_words,
        total_words: cdo_words,
        data_word_offset: (CDO_OFFSET / 4) as u32,
        sections: 1,
        id,
        ..Partition::zeroed()
    };
    let mut image = [0_u32; 16];
    (image[0], image[1], image[8]) = ((PARTITION_OFFSET / 4) as u32, 1, id);
    table.checksum = checksum_of(bytemuck::bytes_of(&table));
    partition.checksum = checksum_of(bytemuck::bytes_of(&partition));
    image[15] = checksum_of(bytemuck::cast_slice(&image));
    let mut out = Vec::with_capacity(CDO_OFFSET + cdo.len() + 3);
    words::push(&mut out, &SMAP);
    out.extend_from_slice(bytemuck::bytes_of(&table));
    out.extend_from_slice(bytemuck::cast_slice(&image));
    out.extend_from_slice(bytemuck::bytes_of(&partition));
    out.extend_from_slice(cdo);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// The checksum of a header whose last word is to hold it.
fn checksum_of(header: &[u8]) -> u32 {
    words::checksum(Words::new(&header[..header.len() - 4]))
}

#[cfg(test)]
mod tests;
