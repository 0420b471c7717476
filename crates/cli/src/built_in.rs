//! The model inside the program.

use anyhow::{Result, bail};
use boswell_model::Checkpoint;

/// Unpacks the built-in model.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn checkpoint() -> Result<Checkpoint> {
    bail!("this build has no built-in model yet: name one with --model")
}

/// The bytes that it takes in the program.
pub(crate) fn bytes() -> u64 {
    0
}
