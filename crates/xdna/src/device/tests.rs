use super::*;
use crate::context::{Context, ContextOptions, Unit};
use crate::memory::{Buffer, Heap};
use crate::seam::{Mapping, Request};
use crate::uapi::{GetBoInfo, Ioctl};

/// A driver that does what it is told to, or refuses one ioctl or all maps.
#[derive(Debug)]
struct Driver {
    name: &'static [u8],
    /// Number of the ioctl, 0 for maps; and the answer.
    refuses: (u32, Errno),
}

impl Node for Driver {
    fn ioctl(&self, request: Request<'_>) -> Result<(), Errno> {
        let Request { number, argument, pointers } = request;
        if number == self.refuses.0 {
            return Err(self.refuses.1);
        }
        if number == uapi::VERSION.number {
            let name_len = self.name.len() as u64;
            let version = Version { version_minor: 6, name_len, ..Version::default() };
            argument.copy_from_slice(bytemuck::bytes_of(&version));
            let length = self.name.len().min(pointers[0].memory.len());
            pointers[0].memory[..length].copy_from_slice(&self.name[..length]);
        }
        if number == uapi::GET_BO_INFO.number {
            let info = GetBoInfo { xdna_addr: 0x400_0000, ..GetBoInfo::default() };
            argument.copy_from_slice(bytemuck::bytes_of(&info));
        }
        Ok(())
    }

    fn map(&self, _: u64, length: usize, align: usize) -> Result<Mapping, Errno> {
        if self.refuses.0 == 0 { Err(self.refuses.1) } else { Mapping::anonymous(length, align) }
    }

    fn flush(&self, _: &[u8]) {}

    fn invalidate(&self, _: &mut [u8]) {}

    fn monotonic(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

/// The error of everything that a launch needs, on a driver that refuses something.
fn error(name: &'static [u8], number: u32, errno: Errno) -> Error {
    let all = || {
        let device = Device::new(Box::new(Driver { name, refuses: (number, errno) }))?;
        let heap = Heap::new(&device)?;
        Buffer::new(&device, 800)?;
        let units = [Unit { pdi: &[1; 100], functional: 0 }];
        Context::new(&heap, &ContextOptions::columns(1), &units).map(|_| ())
    };
    all().unwrap_err()
}

const NPU: &[u8] = DRIVER_NAME.as_bytes();

#[test]
fn the_node_of_another_driver_is_refused_by_its_name() {
    const LONG: &[u8] = &[b'x'; 200];
    for (name, shown) in [(&b"intel_vpu"[..], "`intel_vpu`"), (b"", "``"), (LONG, &"x".repeat(64))] {
        let error = error(name, u32::MAX, Errno::EIO);
        assert!(matches!(error, Error::ForeignNode { .. }) && error.to_string().contains(shown), "{error}");
    }
}

#[test]
fn refusals_say_what_the_user_can_do() {
    fn number<T>(ioctl: &Ioctl<T>) -> u32 {
        ioctl.number
    }
    let (bo, hwctx) = (number(&uapi::CREATE_BO), number(&uapi::CREATE_HWCTX));
    let cases = [
        (bo, Errno::ENOMEM, "memlock unlimited"),
        (bo, Errno::EPERM, "memlock unlimited"),
        (0, Errno::EAGAIN, "memlock unlimited"),
        (0, Errno::EINVAL, "refuses mapping a buffer"),
        (bo, Errno::ENODEV, "the NPU is gone"),
        (hwctx, Errno::ENOSPC, "other programs use it"),
        (hwctx, Errno::EINVAL, "refuses making a context"),
        (
            number(&uapi::CONFIG_HWCTX),
            Errno::EOPNOTSUPP,
            "refuses configuring the context; it may be too old",
        ),
        (number(&uapi::VERSION), Errno::EACCES, "refuses asking the driver's version"),
    ];
    for (number, errno, expected) in cases {
        let error = error(NPU, number, errno).to_string();
        assert!(error.contains(expected), "{errno}: {error}");
    }
}

#[test]
fn a_driver_that_does_not_know_arrays_after_all_is_asked_in_the_old_way() {
    let contexts = |number, errno| {
        let device = Device::new(Box::new(Driver { name: NPU, refuses: (number, errno) })).unwrap();
        device.contexts()
    };
    assert!(contexts(uapi::GET_ARRAY.number, Errno::EOPNOTSUPP).is_ok());
    assert!(contexts(uapi::GET_INFO.number, Errno::EOPNOTSUPP).is_ok(), "the new way is enough");
    assert!(contexts(uapi::GET_ARRAY.number, Errno::EINVAL).is_err());
}
