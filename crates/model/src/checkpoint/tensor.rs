//! One tensor of a checkpoint, as it is stored.

use std::borrow::Cow;
use std::fmt;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::Error;

/// How the values of a tensor are stored. The `Q` types are ggml's: blocks of 32 values with a common scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an [`F32`](Self::F32).
    Bf16,
    /// 4 bits and a scale: `d * (q - 8)`, 18 bytes a block.
    Q4_0,
    /// 4 bits, a scale and a minimum: `d * q + m`, 20 bytes a block.
    Q4_1,
    /// 5 bits and a scale: `d * (q - 16)`, 22 bytes a block.
    Q5_0,
    /// 5 bits, a scale and a minimum: `d * q + m`, 24 bytes a block.
    Q5_1,
    /// 8 bits and a scale: `d * q`, 34 bytes a block.
    Q8_0,
}

impl Dtype {
    /// How many values are stored together: 32 for the block formats, else 1.
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => BLOCK,
        }
    }

    /// How many bytes a block takes.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 2 + 16,
            Self::Q4_1 => 4 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q5_1 => 4 + 4 + 16,
            Self::Q8_0 => 2 + 32,
        }
    }

    /// The bytes of a tensor of this shape; `None` if its rows do not end with a block, or if there are too many.
    pub(super) fn byte_len(self, shape: &[usize]) -> Option<usize> {
        if !shape.last().copied().unwrap_or(1).is_multiple_of(self.block_len()) {
            return None;
        }
        let n_values = shape.iter().try_fold(1_usize, |n, size| n.checked_mul(*size))?;
        (n_values / self.block_len()).checked_mul(self.block_bytes())
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q4_0 => "q4_0",
            Self::Q4_1 => "q4_1",
            Self::Q5_0 => "q5_0",
            Self::Q5_1 => "q5_1",
            Self::Q8_0 => "q8_0",
        })
    }
}

/// One tensor of a checkpoint, as it is stored: no value is converted until it is asked for.
#[derive(Clone, Debug)]
pub struct Tensor<'a> {
    name: String,
    shape: Vec<usize>,
    dtype: Dtype,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Tensor<'a> {
    /// # Panics
    /// If there are not as many bytes as the shape needs.
    pub(super) fn new(name: String, shape: Vec<usize>, dtype: Dtype, bytes: Cow<'a, [u8]>) -> Self {
        assert_eq!(
            dtype.byte_len(&shape),
            Some(bytes.len()),
            "tensor `{name}` {shape:?}: wrong number of bytes"
        );
        Self { name, shape, dtype, bytes }
    }

    /// The name by which the file knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shape, row-major: `[out, in]` for matrices, `[out, in, 3]` for convolutions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How the values are stored.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The stored bytes, little-endian, rows one after the other. They are aligned to nothing.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of values.
    #[expect(clippy::len_without_is_empty, reason = "no tensor of a network is empty")]
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.block_bytes() * self.dtype.block_len()
    }

    /// All values as f32, row-major.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if a value is infinite or not a number.
    pub fn to_f32(&self) -> Result<Vec<f32>, Error> {
        let mut values = vec![0.0; self.len()];
        self.read_f32(&mut values)?;
        Ok(values)
    }

    /// Writes all values as f32 into `out`, row-major.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if a value is infinite or not a number.
    ///
    /// # Panics
    /// If `out` has another length than the tensor.
    pub fn read_f32(&self, out: &mut [f32]) -> Result<(), Error> {
        assert_eq!(out.len(), self.len(), "tensor `{}`: the output has another length", self.name);
        // A chunk is checked while it is still in the first-level cache.
        let chunk_bytes = CHUNK / self.dtype.block_len() * self.dtype.block_bytes();
        for (chunk_idx, (bytes, out)) in self.bytes.chunks(chunk_bytes).zip(out.chunks_mut(CHUNK)).enumerate()
        {
            convert(self.dtype, bytes, out);
            if !all_finite(out) {
                let place = out.iter().position(|value| !value.is_finite()).unwrap_or_default();
                let index = chunk_idx * CHUNK + place;
                return Err(Error::NotFinite { name: self.name.clone(), index, found: out[place] });
            }
        }
        Ok(())
    }
}

/// Values in a block of ggml's formats.
const BLOCK: usize = 32;

/// Values that are converted at once: a multiple of [`BLOCK`].
const CHUNK: usize = 2048;

/// Whether no exponent is all ones. A maximum over integers, so that it is vectorised.
fn all_finite(values: &[f32]) -> bool {
    let largest = values.iter().fold(0, |max, value| (value.to_bits() & 0x7fff_ffff).max(max));
    largest < f32::INFINITY.to_bits()
}

/// Converts at most [`CHUNK`] values.
fn convert(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        Dtype::F32 => {
            for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                *out = f32::from_le_bytes(*bytes);
            }
        }
        Dtype::F16 => {
            let mut aligned = [f16::ZERO; CHUNK];
            for (value, bytes) in aligned.iter_mut().zip(bytes.as_chunks().0) {
                *value = f16::from_le_bytes(*bytes);
            }
            aligned[..out.len()].convert_to_f32_slice(out);
        }
        Dtype::Bf16 => {
            for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                *out = bf16::from_le_bytes(*bytes).to_f32();
            }
        }
        Dtype::Q4_0 => convert_blocks::<18>(bytes, out, |block, out| {
            let (scale, nibbles) = (half_at(block, 0), &block[2..]);
            write_nibbles(nibbles, out, |q, _| scale * (f32::from(q) - 8.0));
        }),
        Dtype::Q4_1 => convert_blocks::<20>(bytes, out, |block, out| {
            let (scale, min, nibbles) = (half_at(block, 0), half_at(block, 2), &block[4..]);
            write_nibbles(nibbles, out, |q, _| scale * f32::from(q) + min);
        }),
        Dtype::Q5_0 => convert_blocks::<22>(bytes, out, |block, out| {
            let (scale, high, nibbles) = (half_at(block, 0), word_at(block, 2), &block[6..]);
            write_nibbles(nibbles, out, |q, i| scale * (f32::from(q | fifth_bit(high, i)) - 16.0));
        }),
        Dtype::Q5_1 => convert_blocks::<24>(bytes, out, |block, out| {
            let (scale, min) = (half_at(block, 0), half_at(block, 2));
            let (high, nibbles) = (word_at(block, 4), &block[8..]);
            write_nibbles(nibbles, out, |q, i| scale * f32::from(q | fifth_bit(high, i)) + min);
        }),
        Dtype::Q8_0 => convert_blocks::<34>(bytes, out, |block, out| {
            let scale = half_at(block, 0);
            for (out, q) in out.iter_mut().zip(&block[2..]) {
                *out = scale * f32::from(q.cast_signed());
            }
        }),
    }
}

/// Source: `dequantize_row_*` in ggml `src/ggml-quants.c`.
fn convert_blocks<const BYTES: usize>(
    bytes: &[u8],
    out: &mut [f32],
    block: impl Fn(&[u8; BYTES], &mut [f32; BLOCK]),
) {
    for (bytes, out) in bytes.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
        block(bytes, out);
    }
}

/// Low nibbles are the first half of a block, high nibbles the second; `value` gets the nibble and its place.
fn write_nibbles(nibbles: &[u8], out: &mut [f32; BLOCK], value: impl Fn(u8, usize) -> f32) {
    for (i, byte) in nibbles.iter().enumerate() {
        out[i] = value(byte & 0x0f, i);
        out[i + BLOCK / 2] = value(byte >> 4, i + BLOCK / 2);
    }
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn word_at(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// The fifth bit of value `i`, where a nibble has room for it.
fn fifth_bit(high: u32, i: usize) -> u8 {
    ((high >> i) as u8 & 1) << 4
}

#[cfg(test)]
mod tests;
