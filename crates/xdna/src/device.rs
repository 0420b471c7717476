//! The device: finding it, opening it, and what it says of itself.

mod find;
mod query;

use std::fmt;
use std::sync::Arc;

use crate::Error;
use crate::seam::{self, Errno, Node, Pointer};
use crate::uapi::{self, GemClose, Version};

pub use find::{Found, NPU1_DEVICE, VENDOR_AMD, find, open_first, open_node};
pub use query::{ArrayShape, Clocks, ContextUse, FirmwareVersion, PowerMode, Sensor, TileShape};

/// The name by which the kernel's driver makes itself known.
const DRIVER_NAME: &str = "amdxdna_accel_driver";

/// The version of the kernel's driver, which says what it can do better than the version of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DriverVersion {
    /// 0 in all drivers so far.
    pub major: i32,
    /// 0 in Linux 6.14; grows with every addition.
    pub minor: i32,
}

impl DriverVersion {
    /// The first one with GET_ARRAY.
    pub const WITH_ARRAYS: Self = Self { major: 0, minor: 1 };
}

impl fmt::Display for DriverVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// An open NPU. Copies share it; it is closed when the last of them and of all that was made from it is gone.
#[derive(Debug, Clone)]
pub struct Device {
    client: Arc<Client>,
}

/// What all handles share: the open node.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) node: Box<dyn Node>,
    pub(crate) version: DriverVersion,
}

impl Device {
    /// Takes an open node, after it has said that it is the NPU's.
    ///
    /// # Errors
    /// [`Error::ForeignNode`] if it belongs to another driver.
    pub fn new(node: Box<dyn Node>) -> Result<Self, Error> {
        let mut name = [0; 64];
        let mut version = Version { name_len: name.len() as u64, ..Version::default() };
        let pointers = &mut [Pointer { at: std::mem::offset_of!(Version, name), memory: &mut name }];
        match seam::call_with(&*node, &uapi::VERSION, &mut version, pointers) {
            Ok(()) => {}
            Err(Errno::ENOTTY) => return Err(Error::ForeignNode { found: "not one of the DRM".into() }),
            Err(source) => return Err(Error::driver("asking the driver's version", source)),
        }
        let length = usize::try_from(version.name_len).unwrap_or(usize::MAX).min(name.len());
        let name = String::from_utf8_lossy(&name[..length]).into_owned();
        if name != DRIVER_NAME {
            return Err(Error::ForeignNode { found: format!("`{name}`") });
        }
        let version = DriverVersion { major: version.version_major, minor: version.version_minor };
        tracing::debug!(%version, "the NPU's driver");
        Ok(Self { client: Arc::new(Client { node, version }) })
    }

    /// The driver's version.
    pub fn driver_version(&self) -> DriverVersion {
        self.client.version
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }
}

impl Client {
    /// Gives a bo back.
    pub(crate) fn close_bo(&self, handle: u32) {
        let mut close = GemClose { handle, pad: 0 };
        if let Err(errno) = seam::call(&*self.node, &uapi::GEM_CLOSE, &mut close) {
            tracing::debug!(handle, %errno, "a bo could not be given back");
        }
    }
}

#[cfg(test)]
mod tests;
