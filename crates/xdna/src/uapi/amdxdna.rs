//! The arguments of amdxdna's ioctls (`include/uapi/drm/amdxdna_accel.h`).

use super::plain;

plain! {
    /// What a context asks of the device: operations, frames and bytes a second, latency.
    "amdxdna_qos_info" QosInfo {
        gops: u32,
        fps: u32,
        dma_bandwidth: u32,
        latency: u32,
        frame_exec_time: u32,
        priority: u32,
    }
    /// Argument of `CREATE_HWCTX`: a hardware context, with its timeline syncobj.
    "amdxdna_drm_create_hwctx" CreateHwctx {
        ext: u64,
        ext_flags: u64,
        qos_p: u64,
        umq_bo: u32,
        log_buf_bo: u32,
        max_opc: u32,
        num_tiles: u32,
        mem_size: u32,
        umq_doorbell: u32,
        handle: u32,
        syncobj_handle: u32,
    }
    /// Argument of `DESTROY_HWCTX`.
    "amdxdna_drm_destroy_hwctx" DestroyHwctx {
        handle: u32,
        pad: u32,
    }
    /// One compute unit of [`HwctxParamConfigCu`]: the bo of its PDI, and its function.
    "amdxdna_cu_config" CuConfig {
        cu_bo: u32,
        cu_func: u8,
        pad: [u8; 3],
    }
    /// Head of the parameter of `CONFIG_CU`; `num_cus` [`CuConfig`]s follow.
    "amdxdna_hwctx_param_config_cu" HwctxParamConfigCu {
        num_cus: u16,
        pad: [u16; 3],
    }
    /// Size of one microcontroller's part of a firmware buffer.
    "amdxdna_uc_info_entry" UcInfoEntry {
        index: u32,
        size: u32,
    }
    /// Head of a firmware buffer's description; `num_ucs` [`UcInfoEntry`]s follow.
    "amdxdna_fw_buffer_metadata" FwBufferMetadata {
        buf_type: u8,
        num_ucs: u8,
        pad: [u8; 2],
        bo_handle: u32,
        command_id: u64,
    }
    /// Argument of `CONFIG_HWCTX`: a parameter by type, value or pointer, and size.
    "amdxdna_drm_config_hwctx" ConfigHwctx {
        handle: u32,
        param_type: u32,
        param_val: u64,
        param_val_size: u32,
        pad: u32,
    }
    /// A range of user memory in a [`VaTbl`].
    "amdxdna_drm_va_entry" VaEntry {
        vaddr: u64,
        len: u64,
    }
    /// Head of a table of user memory; `num_entries` [`VaEntry`]s follow, or none and a dma-buf.
    "amdxdna_drm_va_tbl" VaTbl {
        dmabuf_fd: i32,
        num_entries: u32,
    }
    /// Argument of `CREATE_BO`.
    "amdxdna_drm_create_bo" CreateBo {
        flags: u64,
        vaddr: u64,
        size: u64,
        r#type: u32,
        handle: u32,
    }
    /// Argument of `GET_BO_INFO`: where a bo is for mmap, for the CPU and for the NPU.
    "amdxdna_drm_get_bo_info" GetBoInfo {
        ext: u64,
        ext_flags: u64,
        handle: u32,
        pad: u32,
        map_offset: u64,
        vaddr: u64,
        xdna_addr: u64,
    }
    /// Argument of `SYNC_BO`: direction 0 is to the device.
    "amdxdna_drm_sync_bo" SyncBo {
        handle: u32,
        direction: u32,
        offset: u64,
        size: u64,
    }
    /// Argument of `EXEC_CMD`: submits a command bo and gives its point on the timeline.
    "amdxdna_drm_exec_cmd" ExecCmd {
        ext: u64,
        ext_flags: u64,
        hwctx: u32,
        r#type: u32,
        cmd_handles: u64,
        args: u64,
        cmd_count: u32,
        arg_count: u32,
        seq: u64,
    }
    /// Argument of `WAIT_CMD`, which npu1 does not have.
    "amdxdna_drm_wait_cmd" WaitCmd {
        hwctx: u32,
        timeout: u32,
        seq: u64,
    }
    /// Argument of `GET_INFO`.
    "amdxdna_drm_get_info" GetInfo {
        param: u32,
        buffer_size: u32,
        buffer: u64,
    }
    /// Argument of `GET_ARRAY`.
    "amdxdna_drm_get_array" GetArray {
        param: u32,
        element_size: u32,
        num_element: u32,
        pad: u32,
        buffer: u64,
    }
    /// Argument of `SET_STATE`.
    "amdxdna_drm_set_state" SetState {
        param: u32,
        buffer_size: u32,
        buffer: u64,
    }
}
