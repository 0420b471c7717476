//! Errors that are about how the program was called.

use std::fmt;

/// What is wrong with the command line, beyond what its definition can say. The program ends with exit code 2.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Returns a [`UsageError`] with a formatted message.
macro_rules! usage {
    ($($message:tt)*) => {
        return Err($crate::usage::UsageError(format!($($message)*)).into())
    };
}
pub(crate) use usage;
