//! What the driver says of itself and of the device.

use std::mem::offset_of;

use bytemuck::bytes_of;
use xdna::device::DriverVersion;
use xdna::seam::Errno;
use xdna::uapi::{
    self, GetArray, GetInfo, GetPowerMode, HwctxEntry, QueryAieMetadata, QueryAieTileMetadata,
    QueryAieVersion, QueryClock, QueryClockMetadata, QueryFirmwareVersion, QueryHwctx, QuerySensor, Version,
};

use super::{Call, Shared};

const NAME: &[u8] = b"amdxdna_accel_driver";
const DESCRIPTION: &[u8] = b"AMD XDNA DRM implementation, emulated";
/// Columns and rows of npu1.
const SHAPE: (u16, u16) = (5, 6);
/// Bytes of an entry of GET_ARRAY in mainline kernels.
const ENTRY_BYTES: usize = 144;

pub(super) fn version(shared: &Shared, call: &mut Call<'_, '_>) -> Result<(), Errno> {
    let mut argument: Version = call.get();
    let version = shared.machine.options.driver_version;
    (argument.version_major, argument.version_minor) = (version.major, version.minor);
    argument.name_len = text(call, offset_of!(Version, name), argument.name_len, NAME)?;
    argument.date_len = text(call, offset_of!(Version, date), argument.date_len, b"")?;
    argument.desc_len = text(call, offset_of!(Version, desc), argument.desc_len, DESCRIPTION)?;
    call.put(&argument);
    Ok(())
}

/// Writes as much of a text as there is room for; returns how long it is.
fn text(call: &mut Call<'_, '_>, at: usize, room: u64, text: &[u8]) -> Result<u64, Errno> {
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(text.len());
    call.memory(at, room)?.copy_from_slice(&text[..room]);
    Ok(text.len() as u64)
}

pub(super) fn get_info(shared: &Shared, call: &mut Call<'_, '_>) -> Result<(), Errno> {
    let mut argument: GetInfo = call.get();
    let answer = answer(shared, argument.param)?;
    // Lists are cut to what there is room for; structs must fit.
    let is_list =
        matches!(argument.param, uapi::DRM_AMDXDNA_QUERY_SENSORS | uapi::DRM_AMDXDNA_QUERY_HW_CONTEXTS);
    let room = argument.buffer_size as usize;
    if room < answer.len() && !is_list {
        return Err(Errno::EINVAL);
    }
    let written = room.min(answer.len());
    call.memory(offset_of!(GetInfo, buffer), written)?.copy_from_slice(&answer[..written]);
    argument.buffer_size = answer.len() as u32;
    call.put(&argument);
    Ok(())
}

fn answer(shared: &Shared, param: u32) -> Result<Vec<u8>, Errno> {
    let tile = |rows: (u16, u16), channels: u16, locks: u16| QueryAieTileMetadata {
        row_count: rows.0,
        row_start: rows.1,
        dma_channel_count: channels,
        lock_count: locks,
        ..QueryAieTileMetadata::default()
    };
    Ok(match param {
        uapi::DRM_AMDXDNA_QUERY_AIE_METADATA => bytes_of(&QueryAieMetadata {
            col_size: 0x200_0000,
            cols: SHAPE.0,
            rows: SHAPE.1,
            version: QueryAieVersion { major: 2, minor: 0 },
            core: tile((4, 2), 2, 16),
            mem: tile((1, 1), 6, 64),
            shim: tile((1, 0), 2, 16),
        })
        .to_vec(),
        uapi::DRM_AMDXDNA_QUERY_AIE_VERSION => bytes_of(&QueryAieVersion { major: 2, minor: 0 }).to_vec(),
        uapi::DRM_AMDXDNA_QUERY_CLOCK_METADATA => {
            let clock = |text: &[u8], freq_mhz| {
                let mut clock = QueryClock { freq_mhz, ..QueryClock::default() };
                clock.name[..text.len()].copy_from_slice(text);
                clock
            };
            let (mp_npu_clock, h_clock) = (clock(b"MP-NPU Clock", 600), clock(b"H Clock", 1024));
            bytes_of(&QueryClockMetadata { mp_npu_clock, h_clock }).to_vec()
        }
        uapi::DRM_AMDXDNA_QUERY_FIRMWARE_VERSION => {
            bytes_of(&QueryFirmwareVersion { major: 1, minor: 5, patch: 5, build: 391 }).to_vec()
        }
        uapi::DRM_AMDXDNA_GET_POWER_MODE => bytes_of(&GetPowerMode::default()).to_vec(),
        uapi::DRM_AMDXDNA_QUERY_SENSORS => {
            let mut sensor = QuerySensor { input: 1500, unitm: -3, ..QuerySensor::default() };
            sensor.label[..11].copy_from_slice(b"Total Power");
            sensor.units[..1].copy_from_slice(b"W");
            bytes_of(&sensor).to_vec()
        }
        uapi::DRM_AMDXDNA_QUERY_HW_CONTEXTS => contexts(shared)
            .iter()
            .flat_map(|entry| {
                let &HwctxEntry { context_id, start_col, num_col, pid, .. } = entry;
                let (command_submissions, command_completions) =
                    (entry.command_submissions, entry.command_completions);
                let context = QueryHwctx {
                    context_id,
                    start_col,
                    num_col,
                    pid,
                    command_submissions,
                    command_completions,
                    ..QueryHwctx::default()
                };
                bytes_of(&context).to_vec()
            })
            .collect(),
        _ => return Err(Errno::EOPNOTSUPP),
    })
}

fn contexts(shared: &Shared) -> Vec<HwctxEntry> {
    let state = shared.state();
    let mut entries: Vec<HwctxEntry> = state
        .contexts
        .iter()
        .map(|(handle, context)| {
            let timeline = state.syncobjs.get(&context.syncobj);
            HwctxEntry {
                context_id: *handle,
                hwctx_id: *handle,
                start_col: 1,
                num_col: context.columns,
                pid: std::process::id().into(),
                command_submissions: timeline.map_or(0, |timeline| timeline.submitted),
                command_completions: timeline.map_or(0, |timeline| timeline.signalled),
                ..HwctxEntry::default()
            }
        })
        .collect();
    entries.sort_by_key(|entry| entry.context_id);
    entries
}

pub(super) fn get_array(shared: &Shared, call: &mut Call<'_, '_>) -> Result<(), Errno> {
    let mut argument: GetArray = call.get();
    if shared.machine.options.driver_version < DriverVersion::WITH_ARRAYS {
        return Err(Errno::ENOTTY);
    }
    if argument.pad != 0 || argument.element_size == 0 {
        return Err(Errno::EINVAL);
    }
    if argument.param != uapi::DRM_AMDXDNA_HW_CONTEXT_ALL {
        return Err(Errno::EOPNOTSUPP);
    }
    let element = (argument.element_size as usize).min(ENTRY_BYTES);
    let found = contexts(shared);
    let written = found.len().min(argument.num_element as usize);
    let memory = call.memory(offset_of!(GetArray, buffer), written * element)?;
    for (entry, place) in found.iter().zip(memory.chunks_exact_mut(element)) {
        place.copy_from_slice(&bytes_of(entry)[..element]);
    }
    (argument.element_size, argument.num_element) = (element as u32, written as u32);
    call.put(&argument);
    Ok(())
}
