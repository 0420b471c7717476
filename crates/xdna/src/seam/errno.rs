//! Error numbers, as drivers give them.

use std::fmt;

/// An error number of Linux, positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident = $value:literal, $meaning:literal;)*) => {
        impl Errno {
            $(#[doc = $meaning] pub const $name: Self = Self($value);)*

            /// Name and meaning, if this crate knows it.
            fn known(self) -> Option<(&'static str, &'static str)> {
                match self.0 {
                    $($value => Some((stringify!($name), $meaning)),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EPERM = 1, "operation not permitted";
    ENOENT = 2, "no such thing";
    EINTR = 4, "interrupted by a signal";
    EIO = 5, "input or output error";
    ENXIO = 6, "no such device or address";
    E2BIG = 7, "argument too large";
    EAGAIN = 11, "not yet possible";
    ENOMEM = 12, "out of memory";
    EACCES = 13, "permission denied";
    EFAULT = 14, "bad address";
    EBUSY = 16, "busy";
    ENODEV = 19, "no such device";
    EINVAL = 22, "invalid argument";
    ENOTTY = 25, "not an ioctl of this device";
    ENOSPC = 28, "no space left";
    ETIME = 62, "time is up";
    EOPNOTSUPP = 95, "operation not supported";
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some((name, meaning)) => write!(f, "{meaning} ({name})"),
            None => write!(f, "{}", std::io::Error::from_raw_os_error(self.0)),
        }
    }
}

impl std::error::Error for Errno {}
