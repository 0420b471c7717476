//! PyTorch's zip archives.
use super::Contents;
use crate::Error;
pub(super) fn read(_file: &[u8], label: &str) -> Result<Contents, Error> {
    Err(Error::field(label, "format", "PyTorch", "not yet"))
}
