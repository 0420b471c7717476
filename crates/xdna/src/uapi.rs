//! The kernel's interface as plain bytes: ioctl numbers, structs, constants, as `amdxdna_accel.h` and `drm.h` have them.
//!
//! Fields are named as in the headers, which document them. Sizes, offsets and numbers are tested against what a C
//! compiler says.
#![allow(missing_docs, reason = "the kernel's headers document fields and constants of these names")]

mod amdxdna;
mod drm;
mod query;

use std::marker::PhantomData;

use bytemuck::Pod;

pub use amdxdna::*;
pub use drm::*;
pub use query::*;

/// A struct of the kernel's interface.
pub trait Plain: Pod {
    /// Its name in C.
    const C_NAME: &'static str;
    /// Name in C, offset and size of each field.
    const FIELDS: &'static [(&'static str, usize, usize)];
}

/// Defines structs without padding from their names in C and their fields in order.
macro_rules! plain {
    ($($(#[$doc:meta])* $c_name:literal $name:ident { $($field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name {
            $(pub $field: $type,)*
        }

        impl Default for $name {
            /// All zeros, which is what reserved fields must be.
            fn default() -> Self {
                bytemuck::Zeroable::zeroed()
            }
        }

        impl super::Plain for $name {
            const C_NAME: &'static str = $c_name;
            const FIELDS: &'static [(&'static str, usize, usize)] = &[
                $((stringify!($field), std::mem::offset_of!($name, $field), size_of::<$type>()),)*
            ];
        }

    )*};
}
use plain;

/// An ioctl: its number, and the struct that it takes.
#[derive(Debug)]
pub struct Ioctl<T> {
    /// The number, in which bits 29..16 are the struct's size.
    pub number: u32,
    /// The name in the header, without `DRM_IOCTL_` and `AMDXDNA_`.
    pub name: &'static str,
    argument: PhantomData<fn(T)>,
}

impl<T: Plain> Ioctl<T> {
    const fn new(number: u32, name: &'static str) -> Self {
        assert!((number >> 16 & 0x3FFF) as usize == size_of::<T>(), "number and struct disagree on the size");
        Self { number, name, argument: PhantomData }
    }
}

macro_rules! ioctls {
    ($($name:ident: $type:ty = $number:literal;)*) => {
        $(pub const $name: Ioctl<$type> = Ioctl::new($number, stringify!($name));)*

        /// Name, number and the argument's name in C of every ioctl.
        pub const IOCTLS: &[(&str, u32, &str)] = &[
            $((stringify!($name), $number, <$type as Plain>::C_NAME),)*
        ];
    };
}

ioctls! {
    CREATE_HWCTX: CreateHwctx = 0xC038_6440;
    DESTROY_HWCTX: DestroyHwctx = 0xC008_6441;
    CONFIG_HWCTX: ConfigHwctx = 0xC018_6442;
    CREATE_BO: CreateBo = 0xC020_6443;
    GET_BO_INFO: GetBoInfo = 0xC030_6444;
    SYNC_BO: SyncBo = 0xC018_6445;
    EXEC_CMD: ExecCmd = 0xC038_6446;
    GET_INFO: GetInfo = 0xC010_6447;
    SET_STATE: SetState = 0xC010_6448;
    WAIT_CMD: WaitCmd = 0x4010_6449;
    GET_ARRAY: GetArray = 0xC018_644A;
    VERSION: Version = 0xC040_6400;
    GEM_CLOSE: GemClose = 0x4008_6409;
    PRIME_HANDLE_TO_FD: PrimeHandle = 0xC00C_642D;
    PRIME_FD_TO_HANDLE: PrimeHandle = 0xC00C_642E;
    SYNCOBJ_CREATE: SyncobjCreate = 0xC008_64BF;
    SYNCOBJ_DESTROY: SyncobjDestroy = 0xC008_64C0;
    SYNCOBJ_HANDLE_TO_FD: SyncobjHandle = 0xC018_64C1;
    SYNCOBJ_FD_TO_HANDLE: SyncobjHandle = 0xC018_64C2;
    SYNCOBJ_TIMELINE_WAIT: SyncobjTimelineWait = 0xC030_64CA;
    SYNCOBJ_QUERY: SyncobjTimelineArray = 0xC018_64CB;
    SYNCOBJ_TIMELINE_SIGNAL: SyncobjTimelineArray = 0xC018_64CD;
}

macro_rules! constants {
    ($($(#[$doc:meta])* $type:ty { $($name:ident = $value:expr,)* })*) => {
        $($(pub const $name: $type = $value;)*)*

        /// Name and value of every constant.
        pub const CONSTANTS: &[(&str, i128)] = &[$($((stringify!($name), $value as i128),)*)*];
    };
}

constants! {
    u32 {
        AMDXDNA_BO_INVALID = 0,
        AMDXDNA_BO_SHARE = 1,
        AMDXDNA_BO_DEV_HEAP = 2,
        AMDXDNA_BO_DEV = 3,
        AMDXDNA_BO_CMD = 4,
        AMDXDNA_CMD_SUBMIT_EXEC_BUF = 0,
        AMDXDNA_CMD_SUBMIT_DEPENDENCY = 1,
        AMDXDNA_CMD_SUBMIT_SIGNAL = 2,
        DRM_AMDXDNA_HWCTX_CONFIG_CU = 0,
        DRM_AMDXDNA_HWCTX_ASSIGN_DBG_BUF = 1,
        DRM_AMDXDNA_HWCTX_REMOVE_DBG_BUF = 2,
        DRM_AMDXDNA_QUERY_AIE_STATUS = 0,
        DRM_AMDXDNA_QUERY_AIE_METADATA = 1,
        DRM_AMDXDNA_QUERY_AIE_VERSION = 2,
        DRM_AMDXDNA_QUERY_CLOCK_METADATA = 3,
        DRM_AMDXDNA_QUERY_SENSORS = 4,
        DRM_AMDXDNA_QUERY_HW_CONTEXTS = 5,
        DRM_AMDXDNA_QUERY_FIRMWARE_VERSION = 8,
        DRM_AMDXDNA_GET_POWER_MODE = 9,
        DRM_AMDXDNA_QUERY_TELEMETRY = 10,
        DRM_AMDXDNA_GET_FORCE_PREEMPT_STATE = 11,
        DRM_AMDXDNA_QUERY_RESOURCE_INFO = 12,
        DRM_AMDXDNA_GET_FRAME_BOUNDARY_PREEMPT_STATE = 13,
        DRM_AMDXDNA_QUERY_CERT_FIRMWARE_VERSION = 14,
        DRM_AMDXDNA_GET_AUTO_COREDUMP = 15,
        DRM_AMDXDNA_SET_POWER_MODE = 0,
        DRM_AMDXDNA_HW_CONTEXT_ALL = 0,
        DRM_AMDXDNA_HW_CONTEXT_BY_ID = 1,
        DRM_AMDXDNA_HW_LAST_ASYNC_ERR = 2,
        DRM_AMDXDNA_BO_USAGE = 6,
        AMDXDNA_SENSOR_TYPE_POWER = 0,
        AMDXDNA_SENSOR_TYPE_COLUMN_UTILIZATION = 1,
        AMDXDNA_SENSOR_TYPE_TEMPERATURE = 2,
        AMDXDNA_QOS_REALTIME_PRIORITY = 0x100,
        AMDXDNA_QOS_HIGH_PRIORITY = 0x180,
        AMDXDNA_QOS_NORMAL_PRIORITY = 0x200,
        AMDXDNA_QOS_LOW_PRIORITY = 0x280,
        AMDXDNA_INVALID_CTX_HANDLE = 0,
        AMDXDNA_INVALID_BO_HANDLE = 0,
        DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL = 1,
        DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT = 2,
    }
    u8 {
        POWER_MODE_DEFAULT = 0,
        POWER_MODE_LOW = 1,
        POWER_MODE_MEDIUM = 2,
        POWER_MODE_HIGH = 3,
        POWER_MODE_TURBO = 4,
    }
    u64 {
        AMDXDNA_INVALID_ADDR = u64::MAX,
        AMDXDNA_INVALID_CMD_HANDLE = u64::MAX,
    }
}

#[cfg(test)]
mod tests;
