//! The DRM core's structs that the NPU's use needs (`include/uapi/drm/drm.h`).

use super::plain;

plain! {
    /// Argument of `VERSION`: which driver this is; the strings go where the pointers say.
    "drm_version" Version {
        version_major: i32,
        version_minor: i32,
        version_patchlevel: i32,
        hole: u32,
        name_len: u64,
        name: u64,
        date_len: u64,
        date: u64,
        desc_len: u64,
        desc: u64,
    }
    /// Argument of `GEM_CLOSE`: gives a bo back.
    "drm_gem_close" GemClose {
        handle: u32,
        pad: u32,
    }
    /// Argument of `PRIME_HANDLE_TO_FD` and `PRIME_FD_TO_HANDLE`.
    "drm_prime_handle" PrimeHandle {
        handle: u32,
        flags: u32,
        fd: i32,
    }
    /// Argument of `SYNCOBJ_CREATE`.
    "drm_syncobj_create" SyncobjCreate {
        handle: u32,
        flags: u32,
    }
    /// Argument of `SYNCOBJ_DESTROY`.
    "drm_syncobj_destroy" SyncobjDestroy {
        handle: u32,
        pad: u32,
    }
    /// Argument of `SYNCOBJ_HANDLE_TO_FD` and `SYNCOBJ_FD_TO_HANDLE`.
    "drm_syncobj_handle" SyncobjHandle {
        handle: u32,
        flags: u32,
        fd: i32,
        pad: u32,
        point: u64,
    }
    /// Argument of `SYNCOBJ_TIMELINE_WAIT`; the time is absolute, of CLOCK_MONOTONIC.
    "drm_syncobj_timeline_wait" SyncobjTimelineWait {
        handles: u64,
        points: u64,
        timeout_nsec: i64,
        count_handles: u32,
        flags: u32,
        first_signaled: u32,
        pad: u32,
        deadline_nsec: u64,
    }
    /// Argument of `SYNCOBJ_QUERY` and `SYNCOBJ_TIMELINE_SIGNAL`.
    "drm_syncobj_timeline_array" SyncobjTimelineArray {
        handles: u64,
        points: u64,
        count_handles: u32,
        flags: u32,
    }
}
