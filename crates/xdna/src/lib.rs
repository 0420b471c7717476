//! AMD's XDNA1 NPU (npu1: Phoenix, Hawk Point) from user space, by the ioctls of the kernel's driver `amdxdna` alone.
//!
//! - [`uapi`] is the kernel's interface as bytes, [`seam`] the border to the driver: the kernel's or one in software.
//! - [`xclbin`], [`pdi`], [`cdo`] and [`stream`] read and write what the NPU runs.

pub mod cdo;
mod error;
pub mod pdi;
pub mod seam;
pub mod stream;
pub mod uapi;
mod words;
pub mod xclbin;

pub use error::Error;
pub use words::Words;
