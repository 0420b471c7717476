//! Finding NPUs by what the kernel shows in sysfs.

use std::fs;
use std::path::{Path, PathBuf};

use super::Device;
use crate::Error;

/// AMD's number on the PCI bus.
pub const VENDOR_AMD: u16 = 0x1022;
/// The number of npu1 (Phoenix, Hawk Point) on the PCI bus.
pub const NPU1_DEVICE: u16 = 0x1502;

/// An NPU that the kernel's driver has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its place on the PCI bus, such as `0000:c6:00.1`.
    pub bdf: String,
    /// Its numbers on the PCI bus: vendor, device, revision.
    pub ids: (u16, u16, u8),
    /// What the driver calls it, such as `RyzenAI-npu1`.
    pub name: Option<String>,
    /// Its device node, if it has one.
    pub node: Option<PathBuf>,
}

impl Found {
    /// Whether it is an npu1, the one that this crate drives.
    pub fn is_npu1(&self) -> bool {
        self.ids == (VENDOR_AMD, NPU1_DEVICE, 0)
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`Error::NoDevice`] if it is no npu1 or has no node; [`Error::Permission`], [`Error::Open`] or
    /// [`Error::ForeignNode`] if the node cannot be opened.
    pub fn open(&self) -> Result<Device, Error> {
        let Self { bdf, ids: (vendor, device, revision), .. } = self;
        if !self.is_npu1() {
            let found = format!("{bdf} is {vendor:04x}:{device:04x} revision {revision}, not an npu1");
            return Err(Error::NoDevice { found });
        }
        let node = self.node.as_ref().ok_or_else(|| Error::NoDevice {
            found: format!("{bdf} has no node in /dev/accel: `dmesg | grep amdxdna` says why"),
        })?;
        open_node(node)
    }
}

/// Opens a node of `/dev/accel`.
///
/// # Errors
/// [`Error::NoDevice`], [`Error::Permission`], [`Error::Open`] or [`Error::ForeignNode`].
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub fn open_node(path: &Path) -> Result<Device, Error> {
    use crate::seam::{Errno, file::File};

    let file = File::open(path).map_err(|errno| match errno {
        Errno::ENOENT | Errno::ENXIO => {
            Error::NoDevice { found: format!("there is no `{}`", path.display()) }
        }
        Errno::EACCES | Errno::EPERM => Error::Permission { path: path.to_owned() },
        source => Error::Open { path: path.to_owned(), source },
    })?;
    Device::new(Box::new(file))
}

/// Opens a node: only Linux on x86-64 has any.
///
/// # Errors
/// [`Error::NoDevice`], always.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub fn open_node(_: &Path) -> Result<Device, Error> {
    Err(Error::NoDevice { found: "this program was not built for Linux on x86-64".into() })
}

/// Opens the first npu1 of the machine.
///
/// - `root`: `/`, or where a copy of a machine's `/sys` and `/dev` is.
///
/// # Errors
/// [`Error::NoDevice`] if there is none; those of [`Found::open`].
pub fn open_first(root: &Path) -> Result<Device, Error> {
    let found = find(root);
    let npu = found.iter().find(|found| found.is_npu1()).or_else(|| found.first());
    npu.ok_or_else(|| Error::NoDevice { found: "the driver amdxdna has found none".into() })?.open()
}

/// Finds all NPUs that the driver `amdxdna` has taken, by their places on the PCI bus.
///
/// - `root`: `/`, or where a copy of a machine's `/sys` and `/dev` is.
///
/// What cannot be read is left out.
pub fn find(root: &Path) -> Vec<Found> {
    let driver = root.join("sys/bus/pci/drivers/amdxdna");
    let entries = fs::read_dir(driver).into_iter().flatten().flatten();
    let mut found: Vec<Found> = entries.filter_map(|entry| describe(&entry.path(), root)).collect();
    found.sort_by(|one, other| one.bdf.cmp(&other.bdf));
    found
}

/// What a folder of sysfs says of its device: `None` if it is no device's.
fn describe(folder: &Path, root: &Path) -> Option<Found> {
    let text = |name: &str| fs::read_to_string(folder.join(name)).ok().map(|text| text.trim().to_owned());
    let number = |name: &str| u16::from_str_radix(text(name)?.trim_start_matches("0x"), 16).ok();
    let revision = u8::try_from(number("revision")?).ok()?;
    let ids = (number("vendor")?, number("device")?, revision);
    let mut nodes: Vec<String> = fs::read_dir(folder.join("accel"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("accel"))
        .collect();
    nodes.sort();
    Some(Found {
        bdf: folder.file_name()?.to_string_lossy().into_owned(),
        ids,
        name: text("vbnv"),
        node: nodes.first().map(|name| root.join("dev/accel").join(name)),
    })
}

#[cfg(test)]
mod tests;
