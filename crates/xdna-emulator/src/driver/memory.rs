//! Bos and their maps.
//!
//! What a process has mapped is a copy of the bo's memory, as if all of it lay in the CPU's caches: the device sees
//! what the process flushes, and the process sees what it invalidates.

use std::sync::{Arc, Mutex};

use xdna::seam::{Errno, Mapping};
use xdna::uapi::{self, CreateBo, GemClose, GetBoInfo, SyncBo};

use super::{Call, Shared, State, locked};
use crate::options::Addressing;

/// Bytes of the heap, and what its size must be a multiple of.
const HEAP_BYTES: u64 = 64 << 20;
/// Where the heap lies for the device.
pub(super) const HEAP_BASE: u64 = 0x400_0000;
/// What a program in the heap is aligned to.
const HEAP_ALIGN: u64 = 32 << 10;
const PAGE: u64 = 4096;
/// The largest buffer that the machine has memory for.
const LARGEST: u64 = 1 << 30;
/// Where addresses begin that the driver gives.
const GIVEN_BASE: u64 = 0x1_0000_0000;

/// Memory as the device sees it.
pub(crate) type Memory = Arc<Mutex<Vec<u8>>>;

#[derive(Debug)]
pub(super) struct Bo {
    pub(super) kind: u32,
    pub(super) size: u64,
    /// The whole heap's for programs.
    pub(super) memory: Memory,
    /// Where it begins in `memory`.
    pub(super) start: u64,
    /// For the device.
    pub(super) address: Option<u64>,
    /// What maps it now.
    maps: usize,
}

/// A part of a bo that a process has mapped.
#[derive(Debug)]
pub(super) struct Map {
    handle: u32,
    /// Where it begins in the bo's memory.
    offset: u64,
    length: u64,
    memory: Memory,
}

pub(super) fn create(shared: &Arc<Shared>, call: &mut Call<'_, '_>) -> Result<(), Errno> {
    let mut argument: CreateBo = call.get();
    if argument.flags != 0 || argument.vaddr != 0 || argument.size == 0 {
        return Err(Errno::EINVAL);
    }
    let mut state = shared.state();
    let size = argument.size.checked_next_multiple_of(PAGE).ok_or(Errno::EINVAL)?;
    let bo = match argument.r#type {
        uapi::AMDXDNA_BO_DEV_HEAP => heap(&state, size)?,
        uapi::AMDXDNA_BO_DEV => program(&state, size)?,
        uapi::AMDXDNA_BO_SHARE | uapi::AMDXDNA_BO_CMD => {
            let address = (shared.machine.options.addressing == Addressing::Given).then(|| {
                let address = GIVEN_BASE.max(state.last_address);
                state.last_address = address + size;
                address
            });
            Bo { kind: argument.r#type, size, memory: zeros(size)?, start: 0, address, maps: 0 }
        }
        _ => return Err(Errno::EINVAL),
    };
    argument.handle = state.new_handle();
    if bo.kind == uapi::AMDXDNA_BO_DEV_HEAP {
        state.heap = Some(argument.handle);
    }
    state.bos.insert(argument.handle, bo);
    shared.machine.count(|audit| audit.bos += 1);
    call.put(&argument);
    Ok(())
}

/// Memory that costs nothing before it is touched.
fn zeros(size: u64) -> Result<Memory, Errno> {
    if size > LARGEST { Err(Errno::ENOMEM) } else { Ok(Arc::new(Mutex::new(vec![0; size as usize]))) }
}

fn heap(state: &State, size: u64) -> Result<Bo, Errno> {
    if state.heap.is_some() {
        return Err(Errno::EBUSY);
    }
    if size != HEAP_BYTES {
        return Err(Errno::EINVAL);
    }
    let memory = zeros(HEAP_BYTES)?;
    Ok(Bo { kind: uapi::AMDXDNA_BO_DEV_HEAP, size, memory, start: 0, address: Some(HEAP_BASE), maps: 0 })
}

/// Whether the heap is there, and the device can reach it.
pub(super) fn mapped_heap(state: &State) -> Result<&Bo, Errno> {
    let heap = state.heap.and_then(|handle| state.bos.get(&handle)).ok_or(Errno::ENOENT)?;
    if heap.maps == 0 { Err(Errno::EAGAIN) } else { Ok(heap) }
}

/// Room in the heap: the first that is wide enough.
fn program(state: &State, size: u64) -> Result<Bo, Errno> {
    let memory = mapped_heap(state).map_err(|_| Errno::EAGAIN)?.memory.clone();
    let programs = state.bos.values().filter(|bo| bo.kind == uapi::AMDXDNA_BO_DEV);
    let mut taken: Vec<(u64, u64)> = programs.map(|bo| (bo.start, bo.start + bo.size)).collect();
    taken.sort_unstable();
    let mut start = 0;
    for (from, to) in taken {
        if start + size <= from {
            break;
        }
        start = to.next_multiple_of(HEAP_ALIGN);
    }
    if start + size > HEAP_BYTES {
        return Err(Errno::ENOSPC);
    }
    Ok(Bo { kind: uapi::AMDXDNA_BO_DEV, size, memory, start, address: Some(HEAP_BASE + start), maps: 0 })
}

pub(super) fn info(shared: &Shared, call: &mut Call<'_, '_>) -> Result<(), Errno> {
    let mut argument: GetBoInfo = call.get();
    if argument.ext != 0 || argument.ext_flags != 0 || argument.pad != 0 {
        return Err(Errno::EINVAL);
    }
    let state = shared.state();
    let bo = state.bos.get(&argument.handle).ok_or(Errno::ENOENT)?;
    let is_program = bo.kind == uapi::AMDXDNA_BO_DEV;
    argument.map_offset = if is_program { u64::MAX } else { offset_of(argument.handle) };
    argument.vaddr = u64::MAX;
    argument.xdna_addr = bo.address.unwrap_or(uapi::AMDXDNA_INVALID_ADDR);
    call.put(&argument);
    Ok(())
}

/// The offset by which a bo is mapped.
fn offset_of(handle: u32) -> u64 {
    u64::from(handle) << 32
}

pub(super) fn sync(shared: &Shared, call: &mut Call<'_, '_>) -> Result<(), Errno> {
    let argument: SyncBo = call.get();
    let state = shared.state();
    let bo = state.bos.get(&argument.handle).ok_or(Errno::ENOENT)?;
    let end = argument.offset.checked_add(argument.size).ok_or(Errno::EINVAL)?;
    // Caches are the process's matter here; the driver only checks.
    if argument.direction > 1 || end > bo.size { Err(Errno::EINVAL) } else { Ok(()) }
}

pub(super) fn close(shared: &Shared, call: &mut Call<'_, '_>) -> Result<(), Errno> {
    let argument: GemClose = call.get();
    let mut state = shared.state();
    state.bos.remove(&argument.handle).ok_or(Errno::EINVAL)?;
    if state.heap == Some(argument.handle) {
        state.heap = None;
    }
    shared.machine.count(|audit| audit.bos -= 1);
    Ok(())
}

pub(super) fn map(shared: &Arc<Shared>, offset: u64, length: usize, align: usize) -> Result<Mapping, Errno> {
    let (handle, inner) = ((offset >> 32) as u32, offset & 0xFFFF_FFFF);
    let mut guard = shared.state();
    let state = &mut *guard;
    let bo = state.bos.get_mut(&handle).ok_or(Errno::EINVAL)?;
    let length = length as u64;
    let is_inside = inner.checked_add(length).is_some_and(|end| end <= bo.size);
    if bo.kind == uapi::AMDXDNA_BO_DEV || length == 0 || inner % PAGE != 0 || !is_inside {
        return Err(Errno::EINVAL);
    }
    let mapping = Mapping::anonymous(length as usize, align)?;
    let address = mapping.address();
    let map = Map { handle, offset: inner, length, memory: bo.memory.clone() };
    bo.maps += 1;
    bo.address.get_or_insert(address);
    state.maps.insert(address, map);
    shared.machine.count(|audit| audit.maps += 1);
    Ok(mapping.with_owner(Box::new(Unmap { shared: shared.clone(), address })))
}

/// What happens when a process takes a map away.
struct Unmap {
    shared: Arc<Shared>,
    address: u64,
}

impl Drop for Unmap {
    fn drop(&mut self) {
        let mut guard = self.shared.state();
        let state = &mut *guard;
        let Some(map) = state.maps.remove(&self.address) else { return };
        if let Some(bo) = state.bos.get_mut(&map.handle) {
            bo.maps -= 1;
        }
        let in_flight = state.contexts.values().any(|context| context.uses(&map.memory));
        self.shared.machine.count(|audit| {
            audit.maps -= 1;
            audit.unmapped_in_flight += usize::from(in_flight);
        });
    }
}

/// The memory behind bytes of a map, and where they begin in it.
fn behind(shared: &Shared, bytes: &[u8]) -> Option<(Memory, usize)> {
    let state = shared.state();
    let address = bytes.as_ptr() as u64;
    let (start, map) = state.maps.range(..=address).next_back()?;
    (address - start + bytes.len() as u64 <= map.length).then_some(())?;
    Some((map.memory.clone(), (map.offset + address - start) as usize))
}

pub(super) fn flush(shared: &Shared, bytes: &[u8]) {
    if let Some((memory, start)) = behind(shared, bytes) {
        locked(&memory)[start..start + bytes.len()].copy_from_slice(bytes);
    }
}

pub(super) fn invalidate(shared: &Shared, bytes: &mut [u8]) {
    if let Some((memory, start)) = behind(shared, bytes) {
        bytes.copy_from_slice(&locked(&memory)[start..start + bytes.len()]);
    }
}
