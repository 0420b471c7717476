//! The section AIE_PARTITION: columns, and the images with the numbers of the kernels that run on them.

use std::collections::HashMap;

use bytemuck::{Pod, Zeroable};
use uuid::Uuid;

use super::until_zero;
use crate::Error;
use crate::error::need;
use crate::pdi;

/// A range inside of the section.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
struct Array {
    size: u32,
    offset: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
struct Head {
    schema: [u8; 4],
    name: u32,
    operations_per_cycle: u32,
    pad: u32,
    inference_fingerprint: u64,
    pre_post_fingerprint: u64,
    column_width: u16,
    pad_columns: [u16; 3],
    start_columns: Array,
    reserved: [[u64; 3]; 3],
    images: Array,
    kernel_commit_id: u32,
    reserved_end: [u32; 13],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
struct ImageEntry {
    uuid: [u8; 16],
    image: Array,
    groups: Array,
    reserved: [[u64; 4]; 2],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
struct GroupEntry {
    name: u32,
    kind: u32,
    pdi_id: u64,
    kernel_ids: Array,
    pre_groups: Array,
    reserved: [[u64; 4]; 2],
}

const _: () = assert!(size_of::<Head>() == 184 && size_of::<ImageEntry>() == 96);
const _: () = assert!(size_of::<GroupEntry>() == 96);

/// What a group of kernels does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    /// The work itself.
    Primary,
    /// A lesser form of it.
    Lite,
    /// Before or after it.
    PrePost,
    /// Something that XRT has no name for.
    Other(u8),
}

impl GroupKind {
    fn of(code: u8) -> Self {
        match code {
            1 => Self::Primary,
            2 => Self::Lite,
            3 => Self::PrePost,
            other => Self::Other(other),
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Primary => 1,
            Self::Lite => 2,
            Self::PrePost => 3,
            Self::Other(other) => other,
        }
    }
}

/// Kernels that run on an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// What it does.
    pub kind: GroupKind,
    /// The image's number.
    pub pdi_id: u64,
    /// The numbers of the kernels, which their descriptions name.
    pub kernel_ids: Vec<u64>,
    /// Groups that must run before.
    pub pre_groups: Vec<u32>,
}

/// An image, and what runs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image<'a> {
    /// The image's UUID.
    pub uuid: Uuid,
    /// Its bytes: see [`crate::pdi`].
    pub pdi: &'a [u8],
    /// The kernels.
    pub groups: Vec<Group>,
}

/// The section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition<'a> {
    /// Its name.
    pub name: String,
    /// Arithmetic operations per cycle, for the driver's choice of a clock.
    pub operations_per_cycle: u32,
    /// Number of columns.
    pub columns: u16,
    /// Where it could begin; the driver chooses itself.
    pub start_columns: Vec<u16>,
    /// The images.
    pub images: Vec<Image<'a>>,
}

impl<'a> Partition<'a> {
    /// Reads the section.
    ///
    /// # Errors
    /// [`Error::Format`] or [`Error::Short`] if a range lies outside of it, or it holds more than its bytes could.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let head: Head = bytemuck::pod_read_unaligned(need("AIE_PARTITION", bytes, 0, size_of::<Head>())?);
        let mut left = bytes.len();
        let images = entries::<ImageEntry>("AIE_PARTITION's images", bytes, head.images, &mut left)?;
        let partition = Self {
            name: name_at("AIE_PARTITION's name", bytes, head.name, &mut left)?,
            operations_per_cycle: head.operations_per_cycle,
            columns: head.column_width,
            start_columns: entries("AIE_PARTITION's start columns", bytes, head.start_columns, &mut left)?,
            images: images.iter().map(|entry| image(bytes, entry, &mut left)).collect::<Result<_, _>>()?,
        };
        partition.check_kernels()?;
        Ok(partition)
    }

    /// A kernel's number must lead to one image.
    fn check_kernels(&self) -> Result<(), Error> {
        let mut seen = HashMap::new();
        for (idx, image) in self.images.iter().enumerate() {
            for id in image.groups.iter().flat_map(|group| &group.kernel_ids) {
                if *seen.entry(*id).or_insert(idx) != idx {
                    let found = format!("{id:#x} of two images");
                    return Err(Error::format("AIE_PARTITION's kernel number", found, "that of one"));
                }
            }
        }
        Ok(())
    }

    /// The section as bytes.
    ///
    /// # Panics
    /// If it is 4 GiB or longer.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![0; size_of::<Head>()];
        let mut head = Head {
            name: place_name(&mut out, &self.name),
            operations_per_cycle: self.operations_per_cycle,
            column_width: self.columns,
            start_columns: place(&mut out, &self.start_columns),
            ..Head::zeroed()
        };
        let entries: Vec<ImageEntry> = self.images.iter().map(|image| place_image(&mut out, image)).collect();
        head.images = place(&mut out, &entries);
        out[..size_of::<Head>()].copy_from_slice(bytemuck::bytes_of(&head));
        out.resize(out.len().next_multiple_of(8), 0);
        out
    }

    /// The image on which the kernel with this number runs.
    pub fn image_of(&self, kernel_id: u64) -> Option<&Image<'a>> {
        self.images
            .iter()
            .find(|image| image.groups.iter().any(|group| group.kernel_ids.contains(&kernel_id)))
    }
}

fn image<'a>(bytes: &'a [u8], entry: &ImageEntry, left: &mut usize) -> Result<Image<'a>, Error> {
    let pdi = need("AIE_PARTITION's image", bytes, entry.image.offset as usize, entry.image.size as usize)?;
    if pdi.len() > pdi::MAX_BYTES {
        let expected = format!("at most {} bytes", pdi::MAX_BYTES);
        return Err(Error::format("AIE_PARTITION's image", format!("{} bytes", pdi.len()), expected));
    }
    let groups = entries::<GroupEntry>("AIE_PARTITION's groups", bytes, entry.groups, left)?;
    let groups = groups
        .iter()
        .map(|group| {
            Ok(Group {
                name: name_at("the name of AIE_PARTITION's group", bytes, group.name, left)?,
                kind: GroupKind::of(group.kind as u8),
                pdi_id: group.pdi_id,
                kernel_ids: entries("AIE_PARTITION's kernel numbers", bytes, group.kernel_ids, left)?,
                pre_groups: entries("AIE_PARTITION's earlier groups", bytes, group.pre_groups, left)?,
            })
        })
        .collect::<Result<_, Error>>()?;
    Ok(Image { uuid: Uuid::from_bytes(entry.uuid), pdi, groups })
}

/// Copies the elements of a range. Ranges may overlap, so `left` counts down what all of them together may hold.
fn entries<T: Pod>(thing: &str, bytes: &[u8], range: Array, left: &mut usize) -> Result<Vec<T>, Error> {
    let length = (range.size as usize).saturating_mul(size_of::<T>());
    let found = need(thing, bytes, range.offset as usize, length)?;
    take(thing, length, left)?;
    Ok(found.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect())
}

/// Takes from what all ranges together may hold.
fn take(thing: &str, length: usize, left: &mut usize) -> Result<(), Error> {
    *left = left.checked_sub(length).ok_or_else(|| {
        Error::format(thing, "longer than all of the section together with the others", "less")
    })?;
    Ok(())
}

/// Copies a name; it counts as what a range holds.
fn name_at(thing: &str, bytes: &[u8], at: u32, left: &mut usize) -> Result<String, Error> {
    /// Far more than any tool writes; a section cannot make many long names out of one.
    const LONGEST: usize = 256;
    let rest = bytes.get(at as usize..).unwrap_or_default();
    let name = until_zero(rest);
    if name.len() == rest.len() || name.len() > LONGEST {
        return Err(Error::format(thing, "without an end", format!("at most {LONGEST} bytes and a zero")));
    }
    take(thing, name.len(), left)?;
    let text = std::str::from_utf8(name);
    text.map(str::to_owned).map_err(|_| Error::format(thing, name.escape_ascii(), "UTF-8"))
}

fn offset(out: &mut Vec<u8>) -> u32 {
    out.resize(out.len().next_multiple_of(8), 0);
    u32::try_from(out.len()).expect("a section of less than 4 GiB")
}

fn place<T: Pod>(out: &mut Vec<u8>, elements: &[T]) -> Array {
    let offset = offset(out);
    out.extend_from_slice(bytemuck::cast_slice(elements));
    Array { size: elements.len() as u32, offset }
}

fn place_name(out: &mut Vec<u8>, name: &str) -> u32 {
    let offset = offset(out);
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    offset
}

fn place_image(out: &mut Vec<u8>, image: &Image<'_>) -> ImageEntry {
    let groups: Vec<GroupEntry> = image
        .groups
        .iter()
        .map(|group| GroupEntry {
            name: place_name(out, &group.name),
            kind: group.kind.code().into(),
            pdi_id: group.pdi_id,
            kernel_ids: place(out, &group.kernel_ids),
            pre_groups: place(out, &group.pre_groups),
            reserved: Zeroable::zeroed(),
        })
        .collect();
    ImageEntry {
        uuid: image.uuid.into_bytes(),
        image: place(out, image.pdi),
        groups: place(out, &groups),
        reserved: Zeroable::zeroed(),
    }
}
