use super::*;
use crate::seam::{Pointer, call, call_with};
use crate::uapi::{self, GemClose, GetInfo, Version};

fn null() -> File {
    File::open(Path::new("/dev/null")).unwrap()
}

#[test]
fn a_node_that_is_missing_or_forbidden_says_so() {
    assert_eq!(File::open(Path::new("/dev/accel/accel99")).unwrap_err(), Errno::ENOENT);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(File::open(folder.path()).unwrap_err(), Errno(21));
}

#[test]
fn another_driver_s_node_refuses_the_ioctl() {
    assert_eq!(call(&null(), &uapi::GEM_CLOSE, &mut GemClose::default()), Err(Errno::ENOTTY));
    let mut name = [0; 8];
    let mut version = Version { name_len: 8, ..Version::default() };
    let pointers = &mut [Pointer { at: 24, memory: &mut name }];
    assert_eq!(call_with(&null(), &uapi::VERSION, &mut version, pointers), Err(Errno::ENOTTY));
}

#[test]
fn no_ioctl_reaches_the_kernel_with_a_pointer_that_nobody_vouches_for() {
    let ask = |buffer_size: u32, memory: &mut [u8], at: usize| {
        let mut argument = GetInfo { param: 2, buffer_size, buffer: 0 };
        call_with(&null(), &uapi::GET_INFO, &mut argument, &mut [Pointer { at, memory }])
    };
    assert_eq!(ask(8, &mut [0; 8], 8), Err(Errno::ENOTTY), "this one goes through");
    assert_eq!(ask(16, &mut [0; 8], 8), Err(Errno::EFAULT), "less memory than the kernel writes");
    assert_eq!(ask(0, &mut [0; 8], 0), Err(Errno::EINVAL), "not a pointer's place");
    // The caller's own number in a pointer's place is overwritten.
    let mut argument = GetInfo { param: 2, buffer_size: 0, buffer: 0xDEAD_0000 };
    assert_eq!(call(&null(), &uapi::GET_INFO, &mut argument), Err(Errno::ENOTTY));
    assert_eq!(argument.buffer, 0);
    // A payload that holds pointers itself, an ioctl that this crate does not make, a struct of another size.
    let mut argument = GetInfo::default();
    assert_eq!(call(&null(), &uapi::GET_INFO, &mut argument), Err(Errno::EINVAL));
    assert_eq!(call(&null(), &uapi::SET_STATE, &mut uapi::SetState::default()), Err(Errno::ENOTTY));
    let short = Request { number: uapi::GEM_CLOSE.number, argument: &mut [0; 4], pointers: &mut [] };
    assert_eq!(null().ioctl(short), Err(Errno::EINVAL));
}

#[test]
fn a_map_is_aligned_and_shared_with_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 16).unwrap();
    let node = File::open(file.path()).unwrap();
    let mut mapping = node.map(4096, 8192, 1 << 20).unwrap();
    assert_eq!(mapping.address() % (1 << 20), 0);
    mapping.bytes_mut()[..4].copy_from_slice(b"here");
    node.flush(&mapping.bytes()[..4]);
    node.invalidate(&mut mapping.bytes_mut()[4095..4097]);
    drop(mapping);
    assert_eq!(std::fs::read(file.path()).unwrap()[4096..4100], *b"here");
    assert!(node.map(1, 4096, 4096).is_err(), "an offset inside of a page");
}
