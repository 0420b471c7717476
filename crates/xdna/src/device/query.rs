//! What a device says of itself.

use std::fmt;
use std::mem::offset_of;

use bytemuck::{Pod, bytes_of_mut};

use super::{Client, Device, DriverVersion};
use crate::Error;
use crate::seam::{self, Errno, Pointer};
use crate::uapi::{
    self, GetArray, GetInfo, GetPowerMode, HwctxEntry, QueryAieMetadata, QueryAieTileMetadata,
    QueryClockMetadata, QueryFirmwareVersion, QueryHwctx, QuerySensor,
};

/// The version of the firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirmwareVersion(pub [u32; 4]);

impl fmt::Display for FirmwareVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch, build] = self.0;
        write!(f, "{major}.{minor}.{patch}.{build}")
    }
}

/// What a tile of one kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileShape {
    /// Rows of such tiles, and the first of them.
    pub rows: (u16, u16),
    /// DMA channels each way.
    pub dma_channels: u16,
    /// Locks.
    pub locks: u16,
}

/// The array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArrayShape {
    /// Columns.
    pub columns: u16,
    /// Rows of all kinds.
    pub rows: u16,
    /// Rows with cores.
    pub core: TileShape,
    /// Rows with memory tiles.
    pub mem: TileShape,
    /// The row at the edge, with the DMA to the host's memory.
    pub shim: TileShape,
}

/// How fast the device runs at most, in MHz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// The firmware's processor.
    pub controller_mhz: u32,
    /// The array.
    pub array_mhz: u32,
}

/// How eager the device is, which only an administrator can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerMode {
    /// As the driver decides.
    Default,
    /// Slow.
    Low,
    /// In between.
    Medium,
    /// Fast.
    High,
    /// As fast as it can.
    Turbo,
    /// A mode that was not known when this was written.
    Other(u8),
}

/// A measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensor {
    /// What is measured.
    pub label: String,
    /// The value.
    pub value: f64,
    /// Its unit.
    pub unit: String,
}

/// What a context of some process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextUse {
    /// The process.
    pub pid: i64,
    /// The first column, and how many.
    pub columns: (u32, u32),
    /// Commands submitted, completed, and failed.
    pub commands: (u64, u64, u64),
}

impl Device {
    /// The firmware's version.
    ///
    /// # Errors
    /// [`Error::Driver`] if the driver does not say.
    pub fn firmware_version(&self) -> Result<FirmwareVersion, Error> {
        let found: QueryFirmwareVersion =
            info(self.client(), uapi::DRM_AMDXDNA_QUERY_FIRMWARE_VERSION, "asking the firmware's version")?;
        Ok(FirmwareVersion([found.major, found.minor, found.patch, found.build]))
    }

    /// The array's shape.
    ///
    /// # Errors
    /// [`Error::Driver`] if the driver does not say.
    pub fn array(&self) -> Result<ArrayShape, Error> {
        let found: QueryAieMetadata =
            info(self.client(), uapi::DRM_AMDXDNA_QUERY_AIE_METADATA, "asking the array's shape")?;
        let tile = |tile: QueryAieTileMetadata| TileShape {
            rows: (tile.row_count, tile.row_start),
            dma_channels: tile.dma_channel_count,
            locks: tile.lock_count,
        };
        let (core, mem, shim) = (tile(found.core), tile(found.mem), tile(found.shim));
        Ok(ArrayShape { columns: found.cols, rows: found.rows, core, mem, shim })
    }

    /// The clocks.
    ///
    /// # Errors
    /// [`Error::Driver`] if the driver does not say.
    pub fn clocks(&self) -> Result<Clocks, Error> {
        let found: QueryClockMetadata =
            info(self.client(), uapi::DRM_AMDXDNA_QUERY_CLOCK_METADATA, "asking the clocks")?;
        Ok(Clocks { controller_mhz: found.mp_npu_clock.freq_mhz, array_mhz: found.h_clock.freq_mhz })
    }

    /// The power mode: `None` if the driver does not know it.
    ///
    /// # Errors
    /// [`Error::Driver`] if the driver refuses otherwise.
    pub fn power_mode(&self) -> Result<Option<PowerMode>, Error> {
        let found: Option<GetPowerMode> =
            optional(info(self.client(), uapi::DRM_AMDXDNA_GET_POWER_MODE, "asking the power mode"))?;
        Ok(found.map(|found| match found.power_mode {
            uapi::POWER_MODE_DEFAULT => PowerMode::Default,
            uapi::POWER_MODE_LOW => PowerMode::Low,
            uapi::POWER_MODE_MEDIUM => PowerMode::Medium,
            uapi::POWER_MODE_HIGH => PowerMode::High,
            uapi::POWER_MODE_TURBO => PowerMode::Turbo,
            other => PowerMode::Other(other),
        }))
    }

    /// What the device measures: nothing if the driver cannot say. Old drivers know the power alone.
    ///
    /// # Errors
    /// [`Error::Driver`] if the driver refuses otherwise.
    pub fn sensors(&self) -> Result<Vec<Sensor>, Error> {
        let found = list(self.client(), uapi::DRM_AMDXDNA_QUERY_SENSORS, "asking the sensors");
        let found: Vec<QuerySensor> = optional(found)?.unwrap_or_default();
        let text = |bytes: &[u8]| {
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        };
        let sensor = |found: &QuerySensor| Sensor {
            label: text(&found.label),
            value: f64::from(found.input) * 10_f64.powi(found.unitm.into()),
            unit: text(&found.units),
        };
        Ok(found.iter().map(sensor).collect())
    }

    /// The contexts that there are: those of other users only for an administrator.
    ///
    /// # Errors
    /// [`Error::Driver`] if the driver refuses.
    pub fn contexts(&self) -> Result<Vec<ContextUse>, Error> {
        const WHAT: &str = "asking the contexts";
        let has_arrays = self.driver_version() >= DriverVersion::WITH_ARRAYS;
        let found: Option<Vec<HwctxEntry>> = if has_arrays {
            optional(array(self.client(), uapi::DRM_AMDXDNA_HW_CONTEXT_ALL, WHAT))?
        } else {
            None
        };
        if let Some(found) = found {
            let entry = |found: &HwctxEntry| ContextUse {
                pid: found.pid,
                columns: (found.start_col, found.num_col),
                commands: (found.command_submissions, found.command_completions, found.errors),
            };
            return Ok(found.iter().map(entry).collect());
        }
        let found: Vec<QueryHwctx> = list(self.client(), uapi::DRM_AMDXDNA_QUERY_HW_CONTEXTS, WHAT)?;
        let entry = |found: &QueryHwctx| ContextUse {
            pid: found.pid,
            columns: (found.start_col, found.num_col),
            commands: (found.command_submissions, found.command_completions, found.errors),
        };
        Ok(found.iter().map(entry).collect())
    }
}

/// `None` for what this driver does not support.
fn optional<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Error::Driver { source: Errno::EOPNOTSUPP, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Asks for a parameter that is one struct.
fn info<T: Pod>(client: &Client, param: u32, what: &'static str) -> Result<T, Error> {
    let mut found = T::zeroed();
    ask(client, param, bytes_of_mut(&mut found), what)?;
    Ok(found)
}

/// Asks for a parameter that is any number of structs.
fn list<T: Pod>(client: &Client, param: u32, what: &'static str) -> Result<Vec<T>, Error> {
    /// npu1 has six contexts at most, and fewer sensors.
    const MOST: usize = 16;
    let mut found = vec![T::zeroed(); MOST];
    let bytes = ask(client, param, bytemuck::cast_slice_mut(&mut found), what)?;
    found.truncate(bytes / size_of::<T>());
    Ok(found)
}

/// Asks for a parameter; returns how many bytes the driver says there are.
fn ask(client: &Client, param: u32, memory: &mut [u8], what: &'static str) -> Result<usize, Error> {
    let buffer_size = u32::try_from(memory.len()).expect("a few structs");
    let mut argument = GetInfo { param, buffer_size, buffer: 0 };
    let pointers = &mut [Pointer { at: offset_of!(GetInfo, buffer), memory }];
    seam::call_with(&*client.node, &uapi::GET_INFO, &mut argument, pointers)
        .map_err(|errno| Error::driver(what, errno))?;
    Ok(argument.buffer_size.min(buffer_size) as usize)
}

/// Asks for an array. Elements that the driver makes shorter are filled up with zeros.
fn array<T: Pod>(client: &Client, param: u32, what: &'static str) -> Result<Vec<T>, Error> {
    const MOST: usize = 32;
    let mut memory = vec![0; MOST * size_of::<T>()];
    let element_size = size_of::<T>() as u32;
    let mut argument = GetArray { param, element_size, num_element: MOST as u32, ..GetArray::default() };
    let pointers = &mut [Pointer { at: offset_of!(GetArray, buffer), memory: &mut memory }];
    seam::call_with(&*client.node, &uapi::GET_ARRAY, &mut argument, pointers)
        .map_err(|errno| Error::driver(what, errno))?;
    let element = (argument.element_size as usize).clamp(1, size_of::<T>());
    let elements = memory.chunks(element).take((argument.num_element as usize).min(MOST));
    let read = elements.map(|bytes| {
        let mut found = T::zeroed();
        bytes_of_mut(&mut found)[..bytes.len()].copy_from_slice(bytes);
        found
    });
    Ok(read.collect())
}
