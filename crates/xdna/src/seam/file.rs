//! The real driver: a file descriptor of `/dev/accel/accelN`. The one place of this crate with `unsafe`.
#![expect(unsafe_code, reason = "system calls and cache flushes, each with its proof")]

use std::ffi::c_void;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::ptr::NonNull;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{IoctlOutput, Opcode};
use rustix::mm::{MapFlags, ProtFlags};
use rustix::time::ClockId;

use super::{Errno, Mapping, Node, Request, rules_of};

/// Bytes of a cache line of every x86-64 CPU that has this NPU beside it.
const CACHE_LINE: usize = 64;

/// An open node of the kernel's driver.
#[derive(Debug)]
pub struct File(OwnedFd);

impl File {
    /// Opens a node for reading and writing.
    ///
    /// # Errors
    /// What the kernel says: ENOENT without the driver, EACCES without the permission.
    pub fn open(path: &Path) -> Result<Self, Errno> {
        rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map(Self).map_err(errno)
    }
}

fn errno(error: rustix::io::Errno) -> Errno {
    Errno(error.raw_os_error())
}

impl Node for File {
    fn ioctl(&self, request: Request<'_>) -> Result<(), Errno> {
        let call = Call::checked(request)?;
        loop {
            // SAFETY: `Call::checked` has proven that the argument is as long as the number says, and that each of its
            // pointers is null or points to memory that the request borrows for as long as this call, and that is at
            // least as long as the kernel takes it to be. No other ioctls are let through.
            match unsafe { rustix::ioctl::ioctl(&self.0, Retry(&call)) } {
                Err(rustix::io::Errno::INTR) => {}
                other => return other.map_err(errno),
            }
        }
    }

    fn map(&self, offset: u64, length: usize, align: usize) -> Result<Mapping, Errno> {
        Mapped::new(&self.0, offset, length, align).map(Mapping::device).map_err(errno)
    }

    fn flush(&self, bytes: &[u8]) {
        flush_lines(bytes);
    }

    fn invalidate(&self, bytes: &mut [u8]) {
        flush_lines(bytes);
    }

    fn monotonic(&self) -> Duration {
        let now = rustix::time::clock_gettime(ClockId::Monotonic);
        Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
    }
}

/// An ioctl whose pointers are proven.
struct Call {
    number: u32,
    argument: NonNull<u8>,
}

impl Call {
    /// Checks a request against the rules of its ioctl and fills in its pointers.
    fn checked(request: Request<'_>) -> Result<Self, Errno> {
        let Request { number, argument, pointers } = request;
        let rules = rules_of(number).ok_or(Errno::ENOTTY)?;
        if (number >> 16 & 0x3FFF) as usize != argument.len()
            || !rules.iter().all(|rule| rule.holds(argument))
        {
            return Err(Errno::EINVAL);
        }
        let needs: Vec<(usize, usize)> = rules.iter().filter_map(|rule| rule.need(argument)).collect();
        if pointers.iter().any(|pointer| needs.iter().all(|(at, _)| *at != pointer.at)) {
            return Err(Errno::EINVAL);
        }
        for (at, bytes) in needs {
            let memory =
                pointers.iter_mut().find(|pointer| pointer.at == at).map(|pointer| &mut *pointer.memory);
            let address = match memory {
                Some(memory) if memory.len() >= bytes => memory.as_mut_ptr() as u64,
                None if bytes == 0 => 0,
                _ => return Err(Errno::EFAULT),
            };
            argument[at..at + 8].copy_from_slice(&address.to_le_bytes());
        }
        Ok(Self { number, argument: NonNull::from(argument).cast() })
    }
}

/// One attempt at a [`Call`].
struct Retry<'a>(&'a Call);

// SAFETY: the opcode and the pointer belong together, as `Call::checked` has proven. The struct may be written, as
// `IS_MUTATING` says.
unsafe impl rustix::ioctl::Ioctl for Retry<'_> {
    type Output = ();

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.0.number
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.0.argument.as_ptr().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// A shared map of a bo's memory, in the middle of a reservation that aligns it.
#[derive(Debug)]
pub(super) struct Mapped {
    reserved: NonNull<c_void>,
    reserved_bytes: usize,
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: it owns its memory, and the kernel lets every thread of the process use and unmap it.
unsafe impl Send for Mapped {}
// SAFETY: through a shared reference it is only read.
unsafe impl Sync for Mapped {}

impl Mapped {
    fn new(fd: &OwnedFd, offset: u64, length: usize, align: usize) -> rustix::io::Result<Self> {
        let reserved_bytes = length.checked_add(align).ok_or(rustix::io::Errno::NOMEM)?;
        // SAFETY: without MAP_FIXED the kernel chooses addresses that nobody uses.
        let reserved = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                reserved_bytes,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        let reserved = NonNull::new(reserved).ok_or(rustix::io::Errno::NOMEM)?;
        let skip = reserved.cast::<u8>().as_ptr().align_offset(align);
        // SAFETY: `skip` is below `align`, and the reservation is `length + align` long.
        let start = unsafe { reserved.cast::<u8>().add(skip) };
        // From here on the reservation is freed on every way out.
        let mapped = Self { reserved, reserved_bytes, start, length };
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::LOCKED | MapFlags::FIXED;
        // SAFETY: MAP_FIXED replaces `length` bytes from `start`, which lie inside of our own reservation.
        unsafe { rustix::mm::mmap(start.as_ptr().cast(), length, protection, flags, fd, offset) }?;
        Ok(mapped)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: `start` is mapped for reading and writing for `length` bytes as long as `self` lives. The handles
        // above lend no buffer out while a command that names it is in flight, so that the device does not write here.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; and `&mut self` is the only way to this memory in the process.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the reservation is ours, and no slice of it outlives `self`.
        if let Err(error) = unsafe { rustix::mm::munmap(self.reserved.as_ptr(), self.reserved_bytes) } {
            tracing::warn!(%error, "memory of the NPU cannot be unmapped");
        }
    }
}

/// Writes the cache lines of `bytes` back to memory and drops them, so that the next reader of either side sees the
/// other's writes. The NPU does not look into the CPU's caches.
fn flush_lines(bytes: &[u8]) {
    use std::arch::x86_64::{_mm_clflush, _mm_mfence};

    let first = bytes.as_ptr() as usize / CACHE_LINE * CACHE_LINE;
    let end = bytes.as_ptr() as usize + bytes.len();
    for line in (first..end).step_by(CACHE_LINE) {
        // SAFETY: clflush changes no memory and is in every x86-64 CPU; each line holds a byte of `bytes`, so that it
        // is mapped.
        unsafe { _mm_clflush(line as *const u8) };
    }
    // SAFETY: mfence is in every x86-64 CPU.
    unsafe { _mm_mfence() };
}

#[cfg(test)]
mod tests;
