//! Contexts, and commands given to them.

use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use xdna::seam::Errno;
use xdna::uapi::{
    self, ConfigHwctx, CreateHwctx, CuConfig, DestroyHwctx, ExecCmd, HwctxParamConfigCu, QosInfo,
};

use super::execute::{Job, Mapped};
use super::memory::{Memory, mapped_heap};
use super::{Call, MAX_CONTEXTS, Shared, State, syncobj};

/// Compute units that a context takes.
const MAX_UNITS: usize = 32;
/// Bytes of the parameter that says which.
const MAX_PARAMETER: u32 = 4096;
/// Columns that contexts can have, and rows of cores by which tiles become columns.
const COLUMNS: u32 = 5;
const CORE_ROWS: u32 = 4;
/// Commands of a context that may be in flight.
const MAX_IN_FLIGHT: usize = 4;
/// Buffers that a command may name.
const MAX_ARGUMENTS: u32 = 4095;

#[derive(Debug)]
pub(super) struct Context {
    pub(super) columns: u32,
    pub(super) syncobj: u32,
    /// Handles of the images; drivers look them up when the array is configured.
    pub(super) units: Vec<u32>,
    /// Memory of the commands in flight.
    pub(super) in_flight: Vec<Vec<Memory>>,
    /// Told to the one that is carried out: stop.
    pub(super) cancelled: Arc<AtomicBool>,
}

impl Context {
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Whether a command in flight uses this memory.
    pub(super) fn uses(&self, memory: &Memory) -> bool {
        self.in_flight.iter().flatten().any(|used| Arc::ptr_eq(used, memory))
    }
}

pub(super) fn create(shared: &Shared, call: &mut Call<'_, '_>) -> Result<(), Errno> {
    let mut argument: CreateHwctx = call.get();
    let columns = argument.num_tiles / CORE_ROWS;
    if argument.ext != 0 || argument.ext_flags != 0 || !(1..=COLUMNS).contains(&columns) {
        return Err(Errno::EINVAL);
    }
    call.memory(offset_of!(CreateHwctx, qos_p), size_of::<QosInfo>())?;
    let mut state = shared.state();
    mapped_heap(&state)?;
    if shared.machine.audit().contexts >= MAX_CONTEXTS {
        return Err(Errno::ENOSPC);
    }
    let syncobj = syncobj::new(shared, &mut state);
    argument.handle = state.new_handle();
    (argument.syncobj_handle, argument.umq_doorbell) = (syncobj, u32::MAX);
    let (units, in_flight, cancelled) = (Vec::new(), Vec::new(), Arc::default());
    state.contexts.insert(argument.handle, Context { columns, syncobj, units, in_flight, cancelled });
    shared.machine.count(|audit| audit.contexts += 1);
    call.put(&argument);
    Ok(())
}

pub(super) fn configure(shared: &Shared, call: &mut Call<'_, '_>) -> Result<(), Errno> {
    let argument: ConfigHwctx = call.get();
    if argument.pad != 0 || argument.param_type != uapi::DRM_AMDXDNA_HWCTX_CONFIG_CU {
        return Err(Errno::EINVAL);
    }
    if argument.param_val_size > MAX_PARAMETER {
        return Err(Errno::E2BIG);
    }
    let parameter = call.memory(offset_of!(ConfigHwctx, param_val), argument.param_val_size as usize)?;
    let (head, configs) = parameter.split_at_checked(size_of::<HwctxParamConfigCu>()).ok_or(Errno::EINVAL)?;
    let head: HwctxParamConfigCu = bytemuck::pod_read_unaligned(head);
    let count = usize::from(head.num_cus);
    if head.pad != [0; 3] || count == 0 || count > MAX_UNITS || configs.len() < count * size_of::<CuConfig>()
    {
        return Err(Errno::EINVAL);
    }
    let configs: Vec<CuConfig> =
        configs.chunks_exact(size_of::<CuConfig>()).take(count).map(bytemuck::pod_read_unaligned).collect();
    let mut guard = shared.state();
    let state = &mut *guard;
    let context = state.contexts.get_mut(&argument.handle).ok_or(Errno::EINVAL)?;
    if !context.units.is_empty() {
        return Err(Errno::EINVAL);
    }
    for config in &configs {
        let bo = state.bos.get(&config.cu_bo).ok_or(Errno::ENOENT)?;
        if bo.kind != uapi::AMDXDNA_BO_DEV || config.pad != [0; 3] {
            return Err(Errno::EINVAL);
        }
    }
    context.units = configs.iter().map(|config| config.cu_bo).collect();
    Ok(())
}

/// Takes a context away: waits for its commands for a while, then cancels them.
pub(super) fn destroy(shared: &Shared, call: &mut Call<'_, '_>) -> Result<(), Errno> {
    let argument: DestroyHwctx = call.get();
    if argument.pad != 0 {
        return Err(Errno::EINVAL);
    }
    let deadline = shared.machine.now() + shared.machine.options.drain_limit;
    let mut state = shared.state();
    let mut is_late = false;
    loop {
        let context = state.contexts.get(&argument.handle).ok_or(Errno::EINVAL)?;
        if context.in_flight.is_empty() {
            break;
        }
        if is_late {
            context.cancel();
            shared.changed.notify_all();
        }
        let next = if is_late { shared.machine.now() + Duration::from_millis(1) } else { deadline };
        let (after, was_late) = shared.wait(state, next);
        (state, is_late) = (after, is_late || was_late);
    }
    state.contexts.remove(&argument.handle);
    shared.machine.count(|audit| audit.contexts -= 1);
    Ok(())
}

pub(super) fn execute(shared: &Shared, call: &mut Call<'_, '_>) -> Result<(), Errno> {
    let mut argument: ExecCmd = call.get();
    let is_plain = argument.ext == 0 && argument.ext_flags == 0;
    let kind = uapi::AMDXDNA_CMD_SUBMIT_EXEC_BUF;
    if !is_plain || argument.r#type != kind || argument.cmd_count != 1 || argument.arg_count > MAX_ARGUMENTS {
        return Err(Errno::EINVAL);
    }
    let handles = call.memory(offset_of!(ExecCmd, args), argument.arg_count as usize * 4)?;
    let handles: Vec<u32> = handles.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
    let mut state = shared.state();
    while state.contexts.get(&argument.hwctx).ok_or(Errno::EINVAL)?.in_flight.len() >= MAX_IN_FLIGHT {
        (state, _) = shared.wait(state, Duration::MAX);
    }
    argument.seq = submit(&mut state, &argument, &handles)?;
    drop(state);
    shared.changed.notify_all();
    call.put(&argument);
    Ok(())
}

/// Puts a command into the queue; returns its point on the context's timeline.
fn submit(state: &mut State, argument: &ExecCmd, handles: &[u32]) -> Result<u64, Errno> {
    let context = state.contexts.get_mut(&argument.hwctx).ok_or(Errno::EINVAL)?;
    if context.units.is_empty() {
        return Err(Errno::EINVAL);
    }
    let handle = u32::try_from(argument.cmd_handles).map_err(|_| Errno::ENOENT)?;
    let command = state.bos.get(&handle).ok_or(Errno::ENOENT)?;
    if command.kind != uapi::AMDXDNA_BO_CMD {
        return Err(Errno::EINVAL);
    }
    let mapped = |handle: &u32| {
        let bo = state.bos.get(handle).ok_or(Errno::ENOENT)?;
        let (memory, start, length) = (bo.memory.clone(), bo.start, bo.size);
        Ok(Mapped { address: bo.address, memory, start, length })
    };
    let pinned: Vec<Mapped> = handles.iter().map(mapped).collect::<Result<_, Errno>>()?;
    let used = pinned.iter().map(|mapped| mapped.memory.clone()).chain([command.memory.clone()]);
    context.in_flight.push(used.collect());
    let timeline = state.syncobjs.entry(context.syncobj).or_default();
    timeline.submitted += 1;
    let job =
        Job { context: argument.hwctx, command: command.memory.clone(), pinned, point: timeline.submitted };
    state.jobs.push_back(job);
    Ok(timeline.submitted)
}
