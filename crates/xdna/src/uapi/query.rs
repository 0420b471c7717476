//! What GET_INFO, GET_ARRAY and SET_STATE of amdxdna carry (`include/uapi/drm/amdxdna_accel.h`).

use super::plain;

plain! {
    /// Answer of `QUERY_AIE_STATUS`.
    "amdxdna_drm_query_aie_status" QueryAieStatus {
        buffer: u64,
        buffer_size: u32,
        cols_filled: u32,
    }
    /// Answer of `QUERY_AIE_VERSION`.
    "amdxdna_drm_query_aie_version" QueryAieVersion {
        major: u32,
        minor: u32,
    }
    /// What one kind of tile has.
    "amdxdna_drm_query_aie_tile_metadata" QueryAieTileMetadata {
        row_count: u16,
        row_start: u16,
        dma_channel_count: u16,
        lock_count: u16,
        event_reg_count: u16,
        pad: [u16; 3],
    }
    /// Answer of `QUERY_AIE_METADATA`: the array's shape.
    "amdxdna_drm_query_aie_metadata" QueryAieMetadata {
        col_size: u32,
        cols: u16,
        rows: u16,
        version: QueryAieVersion,
        core: QueryAieTileMetadata,
        mem: QueryAieTileMetadata,
        shim: QueryAieTileMetadata,
    }
    /// A clock: its name, and MHz.
    "amdxdna_drm_query_clock" QueryClock {
        name: [u8; 16],
        freq_mhz: u32,
        pad: u32,
    }
    /// Answer of `QUERY_CLOCK_METADATA`.
    "amdxdna_drm_query_clock_metadata" QueryClockMetadata {
        mp_npu_clock: QueryClock,
        h_clock: QueryClock,
    }
    /// A sensor of the answer of `QUERY_SENSORS`; a value is `input` times ten to the `unitm`.
    "amdxdna_drm_query_sensor" QuerySensor {
        label: [u8; 64],
        input: u32,
        max: u32,
        average: u32,
        highest: u32,
        status: [u8; 64],
        units: [u8; 16],
        unitm: i8,
        r#type: u8,
        pad: [u8; 6],
    }
    /// A context of the answer of `QUERY_HW_CONTEXTS`.
    "amdxdna_drm_query_hwctx" QueryHwctx {
        context_id: u32,
        start_col: u32,
        num_col: u32,
        pad: u32,
        pid: i64,
        command_submissions: u64,
        command_completions: u64,
        migrations: u64,
        preemptions: u64,
        errors: u64,
    }
    /// Answer of `GET_POWER_MODE`.
    "amdxdna_drm_get_power_mode" GetPowerMode {
        power_mode: u8,
        pad: [u8; 7],
    }
    /// Answer of `QUERY_FIRMWARE_VERSION`.
    "amdxdna_drm_query_firmware_version" QueryFirmwareVersion {
        major: u32,
        minor: u32,
        patch: u32,
        build: u32,
    }
    /// Answer of `QUERY_RESOURCE_INFO`.
    "amdxdna_drm_get_resource_info" GetResourceInfo {
        npu_clk_max: u64,
        npu_tops_max: u64,
        npu_task_max: u64,
        npu_tops_curr: u64,
        npu_task_curr: u64,
    }
    /// A switch of the driver.
    "amdxdna_drm_attribute_state" AttributeState {
        state: u8,
        pad: [u8; 7],
    }
    /// Head of the answer of `QUERY_TELEMETRY`; a map of `map_num_elements` words follows.
    "amdxdna_drm_query_telemetry_header" QueryTelemetryHeader {
        major: u32,
        minor: u32,
        r#type: u32,
        map_num_elements: u32,
    }
    /// A context of the answer of `GET_ARRAY`; mainline kernels fill the first 144 bytes.
    "amdxdna_drm_hwctx_entry" HwctxEntry {
        context_id: u32,
        start_col: u32,
        num_col: u32,
        hwctx_id: u32,
        pid: i64,
        command_submissions: u64,
        command_completions: u64,
        migrations: u64,
        preemptions: u64,
        errors: u64,
        priority: u64,
        heap_usage: u64,
        suspensions: u64,
        state: u32,
        pasid: u32,
        gops: u32,
        fps: u32,
        dma_bandwidth: u32,
        latency: u32,
        frame_exec_time: u32,
        txn_op_idx: u32,
        ctx_pc: u32,
        fatal_error_type: u32,
        fatal_error_exception_type: u32,
        fatal_error_exception_pc: u32,
        fatal_error_app_module: u32,
        pad: u32,
        name: [u8; 16],
    }
    /// The last error that the array reported outside of a command.
    "amdxdna_async_error" AsyncError {
        err_code: u64,
        ts_us: u64,
        ex_err_code: u64,
    }
    /// Memory that a process holds.
    "amdxdna_drm_bo_usage" BoUsage {
        pid: i64,
        total_usage: u64,
        internal_usage: u64,
        heap_usage: u64,
    }
    /// Which context to dump.
    "amdxdna_drm_aie_coredump" AieCoredump {
        pid: u64,
        context_id: u32,
        pad: u32,
    }
    /// Which registers or memory of a tile to read or write.
    "amdxdna_drm_aie_tile_access" AieTileAccess {
        pid: u64,
        context_id: u32,
        col: u32,
        row: u32,
        addr: u32,
        size: u32,
        r#type: u8,
        pad: [u8; 3],
    }
    /// Where the firmware's log or trace has got to.
    "amdxdna_dpt_metadata" DptMetadata {
        offset: u64,
        size: u32,
        watch: u8,
        pad: [u8; 3],
    }
    /// Switches the firmware's log or trace.
    "amdxdna_drm_set_dpt_state" SetDptState {
        action: u32,
        config: u32,
        pad: u64,
    }
    /// State of the firmware's log or trace.
    "amdxdna_drm_get_dpt_state" GetDptState {
        version: u32,
        status: u32,
        config: u32,
        pad: u32,
    }
    /// Value of `SET_POWER_MODE`.
    "amdxdna_drm_set_power_mode" SetPowerMode {
        power_mode: u8,
        pad: [u8; 7],
    }
}
