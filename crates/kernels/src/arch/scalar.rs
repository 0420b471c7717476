//! Plain Rust: runs everywhere, and is what the other instruction sets are tested against.

use super::{Simd, tile};

/// Vectors of four numbers, without any instruction set of its own.
#[derive(Clone, Copy, Debug)]
pub struct Scalar;

const LANES: usize = 4;

#[inline(always)]
fn zip(x: [f32; LANES], y: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    std::array::from_fn(|i| f(x[i], y[i]))
}

impl Simd for Scalar {
    const LANES: usize = LANES;
    const TILE_ROWS: usize = 4;
    const TILE_COLUMNS: usize = 8;
    type F32 = [f32; LANES];
    type Words = [u32; LANES];

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> Self::F32 {
        *x.first_chunk().expect("a vector has four numbers")
    }

    #[inline(always)]
    fn store(self, x: Self::F32, out: &mut [f32]) {
        *out.first_chunk_mut().expect("a vector has four numbers") = x;
    }

    #[inline(always)]
    fn add(self, x: Self::F32, y: Self::F32) -> Self::F32 {
        zip(x, y, |x, y| x + y)
    }

    #[inline(always)]
    fn sub(self, x: Self::F32, y: Self::F32) -> Self::F32 {
        zip(x, y, |x, y| x - y)
    }

    #[inline(always)]
    fn mul(self, x: Self::F32, y: Self::F32) -> Self::F32 {
        zip(x, y, |x, y| x * y)
    }

    #[inline(always)]
    fn div(self, x: Self::F32, y: Self::F32) -> Self::F32 {
        zip(x, y, |x, y| x / y)
    }

    #[inline(always)]
    fn mul_add(self, x: Self::F32, y: Self::F32, z: Self::F32) -> Self::F32 {
        std::array::from_fn(|i| x[i] * y[i] + z[i])
    }

    #[inline(always)]
    fn max(self, x: Self::F32, y: Self::F32) -> Self::F32 {
        zip(x, y, |x, y| if x > y { x } else { y })
    }

    #[inline(always)]
    fn min(self, x: Self::F32, y: Self::F32) -> Self::F32 {
        zip(x, y, |x, y| if x < y { x } else { y })
    }

    #[inline(always)]
    fn round(self, x: Self::F32) -> Self::F32 {
        x.map(f32::round_ties_even)
    }

    #[inline(always)]
    fn exp2_integer(self, x: Self::F32) -> Self::F32 {
        x.map(|x| f32::from_bits(((x as i32 + 127) as u32) << 23))
    }

    #[inline(always)]
    fn sum(self, x: Self::F32) -> f32 {
        (x[0] + x[2]) + (x[1] + x[3])
    }

    #[inline(always)]
    fn max_lane(self, x: Self::F32) -> f32 {
        x.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    fn splat_word(self, x: u32) -> Self::Words {
        [x; LANES]
    }

    #[inline(always)]
    fn load_words(self, x: &[u32]) -> Self::Words {
        *x.first_chunk().expect("a vector has four words")
    }

    #[inline(always)]
    fn store_words(self, x: Self::Words, out: &mut [u32]) {
        *out.first_chunk_mut().expect("a vector has four words") = x;
    }

    #[inline(always)]
    fn as_f32(self, x: Self::Words) -> Self::F32 {
        x.map(f32::from_bits)
    }

    #[inline(always)]
    fn to_f32(self, x: Self::Words) -> Self::F32 {
        x.map(|x| x.cast_signed() as f32)
    }

    #[inline(always)]
    fn dot_bf16(self, x: Self::Words, y: Self::Words, sum: Self::F32) -> Self::F32 {
        let high = |x: u32| f32::from_bits(x & 0xffff_0000);
        std::array::from_fn(|i| sum[i] + high(x[i] << 16) * high(y[i] << 16) + high(x[i]) * high(y[i]))
    }

    #[inline(always)]
    fn dot_bytes(self, x: Self::Words, y: Self::Words, sum: Self::Words) -> Self::Words {
        std::array::from_fn(|i| {
            let products = x[i].to_le_bytes().into_iter().zip(y[i].to_le_bytes());
            let dot: i32 = products.map(|(x, y)| i32::from(x) * i32::from(y.cast_signed())).sum();
            sum[i].wrapping_add(dot.cast_unsigned())
        })
    }

    #[inline(always)]
    fn nibbles(self, x: Self::Words) -> [Self::Words; 2] {
        [x.map(|x| x & 0x0f0f_0f0f), x.map(|x| x >> 4 & 0x0f0f_0f0f)]
    }

    #[inline(always)]
    fn join_bf16(self, x: Self::F32, y: Self::F32) -> Self::Words {
        let rounded = |x: f32| x.to_bits().wrapping_add(0x8000) >> 16;
        std::array::from_fn(|i| rounded(x[i]) | rounded(y[i]) << 16)
    }

    #[inline(always)]
    fn load_f16(self, x: &[u16]) -> Self::F32 {
        let x: &[u16; LANES] = x.first_chunk().expect("a vector has four numbers");
        x.map(|x| half::f16::from_bits(x).to_f32())
    }

    #[inline(always)]
    fn load_steps(self, x: &[i8]) -> Self::F32 {
        let x: &[i8; LANES] = x.first_chunk().expect("a vector has four bytes");
        x.map(f32::from)
    }

    #[inline(always)]
    fn store_bf16(self, x: Self::F32, out: &mut [u16]) {
        let out: &mut [u16; LANES] = out.first_chunk_mut().expect("a vector has four numbers");
        *out = x.map(|x| half::bf16::from_f32(x).to_bits());
    }

    #[inline(always)]
    fn store_bytes(self, x: Self::F32, out: &mut [u8]) {
        let out: &mut [u8; LANES] = out.first_chunk_mut().expect("a vector has four bytes");
        *out = x.map(|x| x.round_ties_even() as u8);
    }

    tile!(2 vectors, [1 2 3 4] rows);
}
