//! The seam between this crate and a driver: ioctls by number and struct bytes, and memory maps.
//!
//! On one side of it are the handles of this crate, on the other the kernel ([`mod@file`]) or a driver in software. Nothing
//! above the seam can tell which. User pointers do not cross it as numbers: a [`Request`] names the fields that hold
//! pointers and brings the memory that they point to, so that a driver in software needs no `unsafe`, and the kernel is
//! never handed an address that nobody vouches for.

mod errno;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod file;
mod mapping;
mod pointers;

use std::fmt::Debug;
use std::time::Duration;

use bytemuck::bytes_of_mut;

use crate::uapi::{Ioctl, Plain};

pub use errno::Errno;
pub use mapping::Mapping;
pub use pointers::{PointerRule, rules_of};

/// Memory of the caller that a field of an ioctl's argument points to.
#[derive(Debug)]
pub struct Pointer<'a> {
    /// Offset of the pointer (a `u64`) in the argument.
    pub at: usize,
    /// What it points to. The driver reads it, writes it, or both.
    pub memory: &'a mut [u8],
}

/// One ioctl.
#[derive(Debug)]
pub struct Request<'a> {
    /// The ioctl's number, in which bits 29..16 are the argument's size.
    pub number: u32,
    /// The struct, as bytes. Fields that are pointers are zero: their memory is in `pointers`.
    pub argument: &'a mut [u8],
    /// The memory that the argument's pointers point to.
    pub pointers: &'a mut [Pointer<'a>],
}

/// An open node of a driver: what a file descriptor is to the kernel.
///
/// Dropping it closes the node, and with it everything that was made through it and is not mapped.
pub trait Node: Debug + Send + Sync {
    /// Carries out an ioctl. The argument is read and written in place. An interruption by a signal is not an error:
    /// the call is made again.
    ///
    /// # Errors
    /// What the driver answers.
    fn ioctl(&self, request: Request<'_>) -> Result<(), Errno>;

    /// Maps `length` bytes of the node's memory at `offset` (a bo's `map_offset`), aligned to `align` (a power of two).
    ///
    /// # Errors
    /// What the driver answers.
    fn map(&self, offset: u64, length: usize, align: usize) -> Result<Mapping, Errno>;

    /// Makes what the CPU wrote into `bytes`, a part of a mapping, visible to the device.
    fn flush(&self, bytes: &[u8]);

    /// Makes what the device wrote visible to the CPU in `bytes`, a part of a mapping.
    fn invalidate(&self, bytes: &mut [u8]);

    /// The time of the clock by which waits end.
    fn monotonic(&self) -> Duration;
}

/// Carries out `ioctl` on `node`, with an argument whose fields are no pointers, or zero ones.
///
/// # Errors
/// What the driver answers.
pub fn call<T: Plain>(node: &dyn Node, ioctl: &Ioctl<T>, argument: &mut T) -> Result<(), Errno> {
    call_with(node, ioctl, argument, &mut [])
}

/// Carries out `ioctl` on `node`, with memory for those of the argument's fields that are pointers.
///
/// # Errors
/// What the driver answers.
pub fn call_with<'a, T: Plain>(
    node: &dyn Node,
    ioctl: &Ioctl<T>,
    argument: &'a mut T,
    pointers: &'a mut [Pointer<'a>],
) -> Result<(), Errno> {
    let result = node.ioctl(Request { number: ioctl.number, argument: bytes_of_mut(argument), pointers });
    match result {
        Ok(()) => tracing::trace!(ioctl = ioctl.name, "done"),
        Err(errno) => tracing::debug!(ioctl = ioctl.name, %errno, "refused"),
    }
    result
}
