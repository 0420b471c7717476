//! The driver's rules, by its ioctls alone: what they refuse, and with which number.

use std::time::{Duration, Instant};

use xdna::device::{Device, DriverVersion};
use xdna::seam::{self, Errno, Node, Pointer, Request};
use xdna::uapi::{
    self, ConfigHwctx, CreateBo, CreateHwctx, CuConfig, ExecCmd, GemClose, GetBoInfo, GetInfo, QosInfo,
    SyncobjTimelineWait, WaitCmd,
};
use xdna_emulator::{Addressing, Emulator, Options};

const HEAP: u64 = 64 << 20;

fn node() -> Box<dyn Node> {
    Emulator::new(Options::default()).open()
}

fn create_bo(node: &dyn Node, kind: u32, size: u64) -> Result<u32, Errno> {
    let mut argument = CreateBo { r#type: kind, size, ..CreateBo::default() };
    seam::call(node, &uapi::CREATE_BO, &mut argument)?;
    Ok(argument.handle)
}

fn bo_info(node: &dyn Node, handle: u32) -> Result<GetBoInfo, Errno> {
    let mut argument = GetBoInfo { handle, ..GetBoInfo::default() };
    seam::call(node, &uapi::GET_BO_INFO, &mut argument)?;
    Ok(argument)
}

fn create_context(node: &dyn Node, num_tiles: u32) -> Result<CreateHwctx, Errno> {
    let mut argument = CreateHwctx { num_tiles, ..CreateHwctx::default() };
    let mut qos = [0; size_of::<QosInfo>()];
    let pointers = &mut [Pointer { at: 16, memory: &mut qos }];
    seam::call_with(node, &uapi::CREATE_HWCTX, &mut argument, pointers)?;
    Ok(argument)
}

fn configure(node: &dyn Node, handle: u32, num_cus: u16, cu_bo: u32) -> Result<(), Errno> {
    let mut memory = vec![0; 8];
    memory[..2].copy_from_slice(&num_cus.to_le_bytes());
    let config = CuConfig { cu_bo, ..CuConfig::default() };
    for _ in 0..num_cus {
        memory.extend_from_slice(bytemuck::bytes_of(&config));
    }
    let param_val_size = memory.len() as u32;
    let mut argument = ConfigHwctx { handle, param_val_size, ..ConfigHwctx::default() };
    let pointers = &mut [Pointer { at: 8, memory: &mut memory }];
    seam::call_with(node, &uapi::CONFIG_HWCTX, &mut argument, pointers)
}

fn execute(node: &dyn Node, argument: ExecCmd) -> Result<u64, Errno> {
    let mut argument = argument;
    seam::call(node, &uapi::EXEC_CMD, &mut argument)?;
    Ok(argument.seq)
}

/// A node with a mapped heap, whose map is to be kept.
fn with_heap() -> (Box<dyn Node>, seam::Mapping) {
    let node = node();
    let heap = create_bo(&*node, uapi::AMDXDNA_BO_DEV_HEAP, HEAP).unwrap();
    let info = bo_info(&*node, heap).unwrap();
    let mapping = node.map(info.map_offset, HEAP as usize, HEAP as usize).unwrap();
    assert_eq!(mapping.address() % HEAP, 0);
    (node, mapping)
}

#[test]
fn the_heap_comes_first_and_there_is_one() {
    let node = node();
    assert_eq!(create_bo(&*node, uapi::AMDXDNA_BO_DEV, 4096), Err(Errno::EAGAIN));
    assert_eq!(create_context(&*node, 4).unwrap_err(), Errno::ENOENT);
    assert_eq!(create_bo(&*node, uapi::AMDXDNA_BO_DEV_HEAP, HEAP / 2), Err(Errno::EINVAL));
    let heap = create_bo(&*node, uapi::AMDXDNA_BO_DEV_HEAP, HEAP).unwrap();
    assert_eq!(create_bo(&*node, uapi::AMDXDNA_BO_DEV_HEAP, HEAP), Err(Errno::EBUSY));
    assert_eq!(create_bo(&*node, uapi::AMDXDNA_BO_DEV, 4096), Err(Errno::EAGAIN), "not mapped");
    assert_eq!(create_context(&*node, 4).unwrap_err(), Errno::EAGAIN);
    let info = bo_info(&*node, heap).unwrap();
    assert_eq!(info.xdna_addr, 0x400_0000);
    let mapping = node.map(info.map_offset, HEAP as usize, HEAP as usize).unwrap();
    let programs = [1, 40_000, 1].map(|size| create_bo(&*node, uapi::AMDXDNA_BO_DEV, size).unwrap());
    let addresses = programs.map(|handle| bo_info(&*node, handle).unwrap().xdna_addr);
    assert_eq!(addresses, [0x400_0000, 0x400_8000, 0x401_8000]);
    let info = bo_info(&*node, programs[0]).unwrap();
    assert_eq!((info.map_offset, info.vaddr), (u64::MAX, u64::MAX), "programs are not mapped by themselves");
    assert_eq!(create_bo(&*node, uapi::AMDXDNA_BO_DEV, HEAP), Err(Errno::ENOSPC));
    drop(mapping);
}

#[test]
fn a_buffer_s_address_is_the_process_s_or_the_driver_s() {
    for (addressing, is_known_before) in [(Addressing::Process, false), (Addressing::Given, true)] {
        let node = Emulator::new(Options { addressing, ..Options::default() }).open();
        let handle = create_bo(&*node, uapi::AMDXDNA_BO_SHARE, 5000).unwrap();
        let info = bo_info(&*node, handle).unwrap();
        assert_eq!(info.xdna_addr != uapi::AMDXDNA_INVALID_ADDR, is_known_before);
        assert_eq!(node.map(info.map_offset, 8193, 4096).unwrap_err(), Errno::EINVAL);
        let mapping = node.map(info.map_offset, 8192, 4096).unwrap();
        let found = bo_info(&*node, handle).unwrap().xdna_addr;
        assert_eq!(found == mapping.address(), !is_known_before);
    }
}

#[test]
fn reserved_fields_handles_and_kinds_are_checked() {
    let (node, _heap) = with_heap();
    let node = &*node;
    for argument in [
        CreateBo { flags: 1, size: 1, r#type: 1, ..CreateBo::default() },
        CreateBo { vaddr: 1, size: 1, r#type: 1, ..CreateBo::default() },
        CreateBo { size: 0, r#type: 1, ..CreateBo::default() },
        CreateBo { size: 1, r#type: 9, ..CreateBo::default() },
    ] {
        let mut argument = argument;
        assert_eq!(seam::call(node, &uapi::CREATE_BO, &mut argument), Err(Errno::EINVAL));
    }
    assert_eq!(bo_info(node, 99).unwrap_err(), Errno::ENOENT);
    assert_eq!(seam::call(node, &uapi::GEM_CLOSE, &mut GemClose { handle: 99, pad: 0 }), Err(Errno::EINVAL));
    assert_eq!(seam::call(node, &uapi::WAIT_CMD, &mut WaitCmd::default()), Err(Errno::EOPNOTSUPP));
    assert_eq!(seam::call(node, &uapi::SET_STATE, &mut uapi::SetState::default()), Err(Errno::EACCES));
    let short = Request { number: uapi::GEM_CLOSE.number, argument: &mut [0; 4], pointers: &mut [] };
    assert_eq!(node.ioctl(short), Err(Errno::EINVAL));
    let unknown = Request { number: 0xC008_64FF, argument: &mut [0; 8], pointers: &mut [] };
    assert_eq!(node.ioctl(unknown), Err(Errno::ENOTTY));
    let mut info = GetInfo { param: uapi::DRM_AMDXDNA_QUERY_TELEMETRY, ..GetInfo::default() };
    assert_eq!(seam::call(node, &uapi::GET_INFO, &mut info), Err(Errno::EOPNOTSUPP));
}

#[test]
fn contexts_are_configured_once_with_programs() {
    let (node, _heap) = with_heap();
    let node = &*node;
    assert_eq!(create_context(node, 0).unwrap_err(), Errno::EINVAL);
    assert_eq!(create_context(node, 24).unwrap_err(), Errno::EINVAL, "six columns");
    let context = create_context(node, 4).unwrap();
    let program = create_bo(node, uapi::AMDXDNA_BO_DEV, 4096).unwrap();
    let share = create_bo(node, uapi::AMDXDNA_BO_SHARE, 4096).unwrap();
    assert_eq!(configure(node, 99, 1, program), Err(Errno::EINVAL));
    assert_eq!(configure(node, context.handle, 0, program), Err(Errno::EINVAL));
    assert_eq!(configure(node, context.handle, 33, program), Err(Errno::EINVAL));
    assert_eq!(configure(node, context.handle, 600, program), Err(Errno::E2BIG));
    assert_eq!(configure(node, context.handle, 1, share), Err(Errno::EINVAL));
    assert_eq!(configure(node, context.handle, 1, 99), Err(Errno::ENOENT));
    let command = create_bo(node, uapi::AMDXDNA_BO_CMD, 4096).unwrap();
    let plain =
        ExecCmd { hwctx: context.handle, cmd_handles: command.into(), cmd_count: 1, ..ExecCmd::default() };
    assert_eq!(execute(node, plain), Err(Errno::EINVAL), "not configured");
    assert_eq!(configure(node, context.handle, 1, program), Ok(()));
    assert_eq!(configure(node, context.handle, 1, program), Err(Errno::EINVAL), "twice");
    for (argument, errno) in [
        (ExecCmd { r#type: 1, ..plain }, Errno::EINVAL),
        (ExecCmd { cmd_count: 2, ..plain }, Errno::EINVAL),
        (ExecCmd { ext: 1, ..plain }, Errno::EINVAL),
        (ExecCmd { hwctx: 99, ..plain }, Errno::EINVAL),
        (ExecCmd { cmd_handles: 99, ..plain }, Errno::ENOENT),
        (ExecCmd { cmd_handles: share.into(), ..plain }, Errno::EINVAL),
    ] {
        assert_eq!(execute(node, argument), Err(errno));
    }
    for _ in 0..5 {
        create_context(node, 4).unwrap();
    }
    assert_eq!(create_context(node, 4).unwrap_err(), Errno::ENOSPC, "the seventh");
}

#[test]
fn a_wait_ends_at_its_time() {
    let (node, _heap) = with_heap();
    let context = create_context(&*node, 4).unwrap();
    let wait = |flags: u32, point: u64, time: Duration| {
        let mut argument = SyncobjTimelineWait {
            timeout_nsec: time.as_nanos() as i64,
            count_handles: 1,
            flags,
            ..SyncobjTimelineWait::default()
        };
        let (mut handles, mut points) = (context.syncobj_handle.to_le_bytes(), point.to_le_bytes());
        let pointers = &mut [Pointer { at: 0, memory: &mut handles }, Pointer { at: 8, memory: &mut points }];
        seam::call_with(&*node, &uapi::SYNCOBJ_TIMELINE_WAIT, &mut argument, pointers)
    };
    let for_submit = uapi::DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT;
    assert_eq!(wait(for_submit, 0, Duration::ZERO), Ok(()), "point 0 is always reached");
    assert_eq!(wait(0, 1, Duration::ZERO), Err(Errno::EINVAL), "nothing was submitted");
    let start = Instant::now();
    let end = node.monotonic() + Duration::from_millis(50);
    assert_eq!(wait(for_submit, 1, end), Err(Errno::ETIME));
    assert!(start.elapsed() >= Duration::from_millis(50));
}

#[test]
fn old_drivers_know_less_and_the_handles_make_do() {
    for (minor, n_contexts) in [(0, 0), (1, 0), (6, 0)] {
        let driver_version = DriverVersion { major: 0, minor };
        let emulator = Emulator::new(Options { driver_version, ..Options::default() });
        let device = Device::new(emulator.open()).unwrap();
        assert_eq!(device.driver_version(), driver_version);
        assert_eq!(device.contexts().unwrap().len(), n_contexts);
    }
}

#[test]
fn the_device_sees_what_is_flushed_and_the_process_what_it_invalidates() {
    let node = node();
    let handle = create_bo(&*node, uapi::AMDXDNA_BO_SHARE, 4096).unwrap();
    let offset = bo_info(&*node, handle).unwrap().map_offset;
    let (mut one, mut other) = (node.map(offset, 4096, 4096).unwrap(), node.map(offset, 4096, 4096).unwrap());
    one.bytes_mut()[..4].fill(7);
    node.invalidate(other.bytes_mut());
    assert_eq!(other.bytes()[..4], [0; 4], "not flushed yet");
    node.flush(&one.bytes()[..2]);
    assert_eq!(other.bytes()[..4], [0; 4], "not invalidated yet");
    node.invalidate(&mut other.bytes_mut()[1..4]);
    assert_eq!(other.bytes()[..4], [0, 7, 0, 0]);
}
