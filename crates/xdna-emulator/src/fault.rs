//! What can be made to go wrong.

use std::time::Duration;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The command never ends; the driver gives it up after its hang limit.
    Hang,
    /// The driver aborts the command.
    Abort,
    /// The driver gives the command up at once, with a health record.
    GiveUp,
    /// The firmware fails the command.
    Fail,
    /// The device is gone: from here on, everything answers ENODEV until it is opened anew.
    Gone,
    /// One bit of each word that the array writes into the host's memory is wrong.
    WrongResult,
    /// The command takes so long, and is right.
    Slow(Duration),
}

/// Something that goes wrong once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// How many launches go well before.
    pub after: u32,
}

impl Fault {
    /// In the next launch.
    pub fn next(kind: FaultKind) -> Self {
        Self { kind, after: 0 }
    }
}
