//! Timeline syncobjs: counters that commands push forward.

use std::time::Duration;

use xdna::seam::Errno;
use xdna::uapi::{self, SyncobjCreate, SyncobjDestroy, SyncobjTimelineArray, SyncobjTimelineWait};

use super::{Call, Shared, State};

/// A counter: what was submitted, and what is done.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    pub(super) submitted: u64,
    pub(super) signalled: u64,
}

pub(super) fn create(shared: &Shared, call: &mut Call<'_, '_>) -> Result<(), Errno> {
    let mut argument: SyncobjCreate = call.get();
    let mut state = shared.state();
    argument.handle = new(shared, &mut state);
    call.put(&argument);
    Ok(())
}

/// A new timeline's handle.
pub(super) fn new(shared: &Shared, state: &mut State) -> u32 {
    let handle = state.new_handle();
    state.syncobjs.insert(handle, Timeline::default());
    shared.machine.count(|audit| audit.syncobjs += 1);
    handle
}

pub(super) fn destroy(shared: &Shared, call: &mut Call<'_, '_>) -> Result<(), Errno> {
    let argument: SyncobjDestroy = call.get();
    let mut state = shared.state();
    state.syncobjs.remove(&argument.handle).ok_or(Errno::EINVAL)?;
    shared.machine.count(|audit| audit.syncobjs -= 1);
    shared.changed.notify_all();
    Ok(())
}

pub(super) fn query(shared: &Shared, call: &mut Call<'_, '_>) -> Result<(), Errno> {
    let argument: SyncobjTimelineArray = call.get();
    let count = argument.count_handles as usize;
    let handles: Vec<u32> = read(call, std::mem::offset_of!(SyncobjTimelineArray, handles), count)?;
    let state = shared.state();
    for (idx, handle) in handles.iter().enumerate() {
        let timeline = state.syncobjs.get(handle).ok_or(Errno::ENOENT)?;
        let points = call.memory(std::mem::offset_of!(SyncobjTimelineArray, points), count * 8)?;
        points[idx * 8..idx * 8 + 8].copy_from_slice(&timeline.signalled.to_le_bytes());
    }
    Ok(())
}

fn read<T: bytemuck::Pod>(call: &mut Call<'_, '_>, at: usize, count: usize) -> Result<Vec<T>, Errno> {
    let bytes = call.memory(at, count.checked_mul(size_of::<T>()).ok_or(Errno::EINVAL)?)?;
    Ok(bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect())
}

pub(super) fn wait(shared: &Shared, call: &mut Call<'_, '_>) -> Result<(), Errno> {
    let mut argument: SyncobjTimelineWait = call.get();
    let count = argument.count_handles as usize;
    let known = uapi::DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL | uapi::DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT;
    if argument.flags & !known != 0 || argument.pad != 0 || count == 0 {
        return Err(Errno::EINVAL);
    }
    let handles: Vec<u32> = read(call, std::mem::offset_of!(SyncobjTimelineWait, handles), count)?;
    let points: Vec<u64> = read(call, std::mem::offset_of!(SyncobjTimelineWait, points), count)?;
    let is_all = argument.flags & uapi::DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL != 0;
    let for_submit = argument.flags & uapi::DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT != 0;
    let deadline = Duration::from_nanos(u64::try_from(argument.timeout_nsec).unwrap_or(0));
    let mut state = shared.state();
    let mut is_late = false;
    loop {
        if shared.is_gone() {
            return Err(Errno::ENODEV);
        }
        let mut done = Vec::with_capacity(count);
        for (handle, point) in handles.iter().zip(&points) {
            let timeline = state.syncobjs.get(handle).ok_or(Errno::ENOENT)?;
            if timeline.submitted < *point && !for_submit {
                return Err(Errno::EINVAL);
            }
            done.push(timeline.signalled >= *point);
        }
        let first = done.iter().position(|done| *done);
        if let Some(first) = first
            && (!is_all || done.iter().all(|done| *done))
        {
            argument.first_signaled = first as u32;
            call.put(&argument);
            return Ok(());
        }
        if is_late || shared.machine.now() >= deadline {
            return Err(Errno::ETIME);
        }
        (state, is_late) = shared.wait(state, deadline);
    }
}
