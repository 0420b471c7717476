//! AMD's XDNA1 NPU (npu1: Phoenix, Hawk Point) from user space, by the ioctls of the kernel's driver `amdxdna` alone.
//!
//! - [`uapi`] is the kernel's interface as bytes, [`seam`] the border to the driver: the kernel's or one in software.
//! - [`device`], [`memory`] and [`context`] are owned handles above it; [`session`] opens a device that failed anew.
//! - [`xclbin`], [`pdi`], [`cdo`] and [`stream`] read and write what the NPU runs, [`mod@array`] knows its addresses.
//! - [`image`] builds images; [`loopback`] is one that shows whether a device works.
//!
//! A launch, from a file to a result:
//!
//! ```no_run
//! use std::{sync::Arc, time::Duration};
//! use xdna::context::{Context, ContextOptions, Launch, Unit};
//! use xdna::memory::{Buffer, Heap, Program};
//! use xdna::packet::Layout;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (pdi, stream) = (std::fs::read("kernel.pdi")?, std::fs::read("insts.bin")?);
//! let device = xdna::device::open_first(std::path::Path::new("/"))?;
//! let heap = Heap::new(&device)?;
//! let units = [Unit { pdi: &pdi, functional: 0 }];
//! let mut context = Context::new(&heap, &ContextOptions::columns(1), &units)?;
//! let instructions = Arc::new(Program::new(&heap, &stream)?);
//! let (mut input, output) = (Buffer::new(&device, 800)?, Buffer::new(&device, 80)?);
//! input.write()?.fill(1);
//! let (layout, buffers) = (Layout::mlir_aie(2)?, [&input, &output]);
//! let launch = Launch { unit: 0, layout: &layout, instructions: &instructions, buffers: &buffers };
//! context.run(&launch, Duration::from_secs(5))?;
//! println!("{:?}", &output.read()?[..]);
//! # Ok(())
//! # }
//! ```

pub mod array;
pub mod cdo;
pub mod context;
pub mod device;
mod error;
pub mod image;
pub mod loopback;
pub mod memory;
pub mod packet;
pub mod pdi;
pub mod seam;
pub mod session;
pub mod stream;
pub mod uapi;
mod words;
pub mod xclbin;

pub use error::Error;
pub use words::Words;
