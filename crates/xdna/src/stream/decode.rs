//! Operations out of words.

use super::{Direction, Form, Operation, Tile, early, foreign_name, op};
use crate::Error;
use crate::words::Words;

/// Bytes of an operation with a mask in streams that aie-rt writes; mlir-aie leaves the word of padding out.
const PADDED_MASKED: u32 = 32;

/// Reads one operation after another, up to the first error.
pub(super) struct Steps<'a> {
    form: Form,
    words: Words<'a>,
    at: usize,
}

impl<'a> Steps<'a> {
    pub(super) fn new(form: Form, words: Words<'a>) -> Self {
        Self { form, words, at: 0 }
    }
}

impl<'a> Iterator for Steps<'a> {
    type Item = Result<Operation<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.words.get(self.at)?;
        let operation = match self.form {
            Form::Early => self.early(first),
            Form::V0_1 => self.long(first),
            Form::V1_0 => self.short(first),
        };
        if operation.is_err() {
            self.at = self.words.len();
        }
        Some(operation)
    }
}

impl<'a> Steps<'a> {
    /// An operation of the early form.
    fn early(&mut self, first: u32) -> Result<Operation<'a>, Error> {
        let [low, row, col, code] = first.to_le_bytes();
        let tile = Tile { col, row };
        Ok(match code {
            early::WRITE => {
                let [_, address, value] = self.take()?;
                Operation::Write { tile, address: address.into(), value }
            }
            early::SYNC => {
                let [_, extent] = self.take()?;
                self.sync(low, tile, extent)?
            }
            early::SHIM_DESCRIPTOR => {
                let [_, increment, length, offset, rest @ ..] = self.take::<10>()?;
                let (argument, number) = (low >> 4, low & 0xF);
                Operation::ShimDescriptor {
                    col,
                    columns: row,
                    argument,
                    number,
                    increment,
                    length,
                    offset,
                    rest,
                }
            }
            _ => return Err(self.wrong("opcode", code, "2, 3 or 6")),
        })
    }

    /// An operation of form 0.1.
    fn long(&mut self, first: u32) -> Result<Operation<'a>, Error> {
        let [code, col, row, _] = first.to_le_bytes();
        let wide = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        Ok(match code {
            op::WRITE => {
                let [_, _, low, high, value, size] = self.take()?;
                self.check_size(size, 24)?;
                Operation::Write { tile: Tile { col, row }, address: wide(low, high), value }
            }
            op::BLOCK_WRITE => {
                let [_, place, address, size] = self.take()?;
                let [col, row, ..] = place.to_le_bytes();
                Operation::BlockWrite { tile: Tile { col, row }, address, data: self.take_data(size, 16)? }
            }
            op::MASK_WRITE | op::MASK_POLL | op::MASK_POLL_BUSY => {
                let [_, _, low, high, value, mask, size] = self.take()?;
                if size == PADDED_MASKED {
                    let [_] = self.take()?;
                } else {
                    self.check_size(size, 28)?;
                }
                masked(code, wide(low, high), value, mask)
            }
            op::DDR_PATCH => {
                let [_, size, _, _, _, _, reg_low, reg_high, arg_low, arg_high, low, high] = self.take()?;
                self.check_size(size, 48)?;
                let (register, argument) = (wide(reg_low, reg_high), wide(arg_low, arg_high));
                Operation::DdrPatch { register, argument, offset: wide(low, high) }
            }
            _ => return self.common(first),
        })
    }

    /// An operation of form 1.0.
    fn short(&mut self, first: u32) -> Result<Operation<'a>, Error> {
        let code = first.to_le_bytes()[0];
        Ok(match code {
            op::WRITE => {
                let [_, address, value] = self.take()?;
                Operation::Write { tile: Tile::default(), address: address.into(), value }
            }
            op::BLOCK_WRITE => {
                let [_, address, size] = self.take()?;
                Operation::BlockWrite { tile: Tile::default(), address, data: self.take_data(size, 12)? }
            }
            op::MASK_WRITE | op::MASK_POLL | op::MASK_POLL_BUSY => {
                let [_, address, value, mask] = self.take()?;
                masked(code, address.into(), value, mask)
            }
            op::DDR_PATCH => {
                let [_, size, register, argument, offset, _] = self.take()?;
                self.check_size(size, 24)?;
                let (register, argument) = (register.into(), argument.into());
                Operation::DdrPatch { register, argument, offset: offset.into() }
            }
            _ => return self.common(first),
        })
    }

    /// An operation that is the same in both forms.
    fn common(&mut self, first: u32) -> Result<Operation<'a>, Error> {
        let [code, second, ..] = first.to_le_bytes();
        Ok(match code {
            op::NOOP => {
                let [_] = self.take()?;
                Operation::Noop
            }
            op::PREEMPT => {
                let [_] = self.take()?;
                Operation::Preempt { level: second }
            }
            op::LOAD_PDI => {
                let [_, size, low, high] = self.take()?;
                let address = u64::from(high) << 32 | u64::from(low);
                Operation::LoadPdi { id: (first >> 16) as u16, size, address }
            }
            op::SYNC => {
                let [_, size, place, extent] = self.take()?;
                self.check_size(size, 16)?;
                let [direction, row, col, _] = place.to_le_bytes();
                self.sync(direction, Tile { col, row }, extent)?
            }
            _ => {
                let found = format!("{code} ({})", foreign_name(code));
                return Err(self.wrong("opcode", found, "0, 1, 3 to 8, 128 or 129"));
            }
        })
    }

    fn sync(&self, direction: u8, tile: Tile, extent: u32) -> Result<Operation<'a>, Error> {
        let [_, rows, columns, channel] = extent.to_le_bytes();
        let direction = match direction {
            0 => Direction::S2mm,
            1 => Direction::Mm2s,
            _ => return Err(self.wrong("direction", direction, "0 or 1")),
        };
        Ok(Operation::Sync { direction, tile, columns, rows, channel })
    }

    fn wrong(&self, what: &str, found: impl ToString, expected: &str) -> Error {
        Error::format(format!("the instruction stream's {what} near word {}", self.at + 4), found, expected)
    }

    fn check_size(&self, found: u32, expected: u32) -> Result<(), Error> {
        if found == expected {
            return Ok(());
        }
        Err(self.wrong("operation size", format!("{found} bytes"), &format!("{expected} bytes")))
    }

    fn take<const N: usize>(&mut self) -> Result<[u32; N], Error> {
        let words = self.take_words(N)?;
        Ok(std::array::from_fn(|idx| words.get(idx).expect("so many were taken")))
    }

    /// The data of a block write of `size` bytes, `head` of which have been taken.
    fn take_data(&mut self, size: u32, head: u32) -> Result<Words<'a>, Error> {
        match size.checked_sub(head) {
            Some(bytes) if bytes % 4 == 0 => self.take_words(bytes as usize / 4),
            _ => {
                let expected = format!("{head} bytes and whole words of data");
                Err(self.wrong("block size", format!("{size} bytes"), &expected))
            }
        }
    }

    fn take_words(&mut self, len: usize) -> Result<Words<'a>, Error> {
        let words = self.words.part(self.at, len).ok_or_else(|| {
            let start = self.at * 4;
            Error::short("the instruction stream's operation", start, len * 4, self.words.bytes().len())
        })?;
        self.at += len;
        Ok(words)
    }
}

fn masked(code: u8, address: u64, value: u32, mask: u32) -> Operation<'static> {
    match code {
        op::MASK_WRITE => Operation::MaskWrite { address, value, mask },
        _ => Operation::MaskPoll { address, value, mask, is_busy: code == op::MASK_POLL_BUSY },
    }
}
