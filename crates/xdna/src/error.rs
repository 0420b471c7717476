//! What can go wrong with the NPU, its driver, and the files that are made for it.

use std::path::PathBuf;
use std::time::Duration;

use crate::packet::{Health, State};
use crate::seam::Errno;

/// What can go wrong with the NPU, its driver, and the files that are made for it.
///
/// Every message names the thing, what was found and what was expected; what concerns the machine says what its user
/// can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or a part of it is not what it should be.
    #[error("{thing} is {found}, expected {expected}")]
    Format {
        /// The container and the field.
        thing: String,
        /// What is there.
        found: String,
        /// What could have been there.
        expected: String,
    },
    /// A file ends before a part that it announces.
    #[error("{thing} needs {needed} bytes from byte {start} on, but only {available} are there")]
    Short {
        /// The container and the part.
        thing: String,
        /// Where the part begins.
        start: u64,
        /// Its length.
        needed: u64,
        /// The length of what it must lie in.
        available: u64,
    },
    /// There is no NPU that this crate could drive.
    #[error(
        "no NPU: {found}. It needs a Ryzen 7040 or 8040 processor, Linux 6.14 or later with the driver amdxdna, and the \
         firmware amdnpu/1502_00; `boswell npu doctor` looks for what is missing"
    )]
    NoDevice {
        /// What there is instead.
        found: String,
    },
    /// The device's node is there, but not for this user.
    #[error(
        "no permission to use the NPU at `{}`: become a member of the group that owns it, most often \
         with `sudo usermod -aG render $USER`, and log in again", path.display()
    )]
    Permission {
        /// The node.
        path: PathBuf,
    },
    /// The device's node cannot be opened for another reason.
    #[error(
        "the driver does not open the NPU at `{}`; if the firmware amdnpu/1502_00/npu.sbin is missing or does not fit, \
         `sudo dmesg | grep amdxdna` says so", path.display()
    )]
    Open {
        /// The node.
        path: PathBuf,
        /// What the driver says.
        source: Errno,
    },
    /// A node belongs to another driver.
    #[error("the device node's driver is {found}, expected `amdxdna_accel_driver`")]
    ForeignNode {
        /// What it is.
        found: String,
    },
    /// The driver refuses a request.
    #[error("the NPU's driver refuses {what}{}", advice(*source))]
    Driver {
        /// The request.
        what: &'static str,
        /// Its answer.
        source: Errno,
    },
    /// The driver may not lock so much memory for this user.
    #[error(
        "{bytes} bytes cannot be locked in memory for the NPU: raise the limit with a line \
         `* - memlock unlimited` in /etc/security/limits.d/npu.conf, and log in again"
    )]
    Memlock {
        /// How much was to be locked.
        bytes: usize,
        /// What the driver says.
        source: Errno,
    },
    /// No more contexts fit on the device.
    #[error("the NPU has no room for another context: other programs use it")]
    NoRoom {
        /// What the driver says.
        source: Errno,
    },
    /// A buffer is used while a command that names it is in flight, or by a command while it is in use.
    #[error("a buffer of the NPU is {found}")]
    InUse {
        /// By whom.
        found: &'static str,
    },
    /// As many commands are in flight as a context takes.
    #[error("{} commands are in flight already: wait for one first", crate::context::MAX_IN_FLIGHT)]
    QueueFull,
    /// A launch does not fit what a context or a packet takes.
    #[error("{thing} is {found}, expected {expected}")]
    Launch {
        /// What of it.
        thing: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// The device did not finish a command in time. It must be opened anew.
    #[error("the NPU did not finish within {after:?}: it hangs, or was given too much")]
    Timeout {
        /// How long it was given.
        after: Duration,
    },
    /// The firmware says that a command failed.
    #[error("the NPU's firmware failed to carry out a command")]
    Failed,
    /// The driver gave a command up: the packet was malformed, or its context was torn down, or it hung.
    #[error("the NPU's driver gave a command up (state {state}){}", health.map_or(String::new(), |health| format!(": {health}")))]
    GivenUp {
        /// The command's state.
        state: State,
        /// What the firmware says of the hang, if the driver passes it on.
        health: Option<Health>,
    },
    /// A launch whose answer is known gave another.
    #[error("the NPU's answer to a known question has {wrong} of {length} bytes wrong: do not use it")]
    WrongAnswer {
        /// Bytes that are wrong.
        wrong: usize,
        /// Bytes of the answer.
        length: usize,
    },
    /// The device is gone.
    #[error("the NPU is gone: {what} found no device")]
    Lost {
        /// What was tried.
        what: &'static str,
    },
    /// The device failed a short time ago and is not opened again yet.
    #[error("the NPU failed {failures} times and rests for another {rest:?}")]
    Resting {
        /// How often in a row.
        failures: u32,
        /// How long it is left alone.
        rest: Duration,
    },
    /// The description of the kernels in an xclbin is not XML.
    #[error("the xclbin's kernel description is not the XML that it should be")]
    Xml(#[from] roxmltree::Error),
}

impl Error {
    /// An answer of the driver, by what it means to the user.
    pub(crate) fn driver(what: &'static str, source: Errno) -> Self {
        match source {
            Errno::ENODEV => Self::Lost { what },
            source => Self::Driver { what, source },
        }
    }

    /// Whether the device is of no use any more until it is opened anew.
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::Timeout { .. } | Self::GivenUp { .. } | Self::WrongAnswer { .. } | Self::Lost { .. }
        )
    }

    pub(crate) fn format(
        thing: impl Into<String>,
        found: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Format { thing: thing.into(), found: found.to_string(), expected: expected.into() }
    }

    pub(crate) fn short(thing: impl Into<String>, start: usize, needed: usize, available: usize) -> Self {
        Self::Short {
            thing: thing.into(),
            start: start as u64,
            needed: needed as u64,
            available: available as u64,
        }
    }
}

/// `len` bytes of `bytes` from `start` on.
///
/// # Errors
/// [`Error::Short`], about `thing`, if there are fewer.
pub(crate) fn need<'a>(thing: &str, bytes: &'a [u8], start: usize, len: usize) -> Result<&'a [u8], Error> {
    crate::words::part(bytes, start, len).ok_or_else(|| Error::short(thing, start, len, bytes.len()))
}

/// What can be done about an answer of the driver, behind it.
fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::EOPNOTSUPP | Errno::ENOTTY => "; it may be too old: update the kernel",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_driver_says_what_it_means() {
        let text = |errno| Error::driver("asking the clocks", errno).to_string();
        assert_eq!(text(Errno::ENODEV), "the NPU is gone: asking the clocks found no device");
        assert_eq!(text(Errno::EINVAL), "the NPU's driver refuses asking the clocks");
        assert!(text(Errno::EOPNOTSUPP).ends_with("; it may be too old: update the kernel"));
    }
}
