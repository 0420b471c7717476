//! Plain Rust: runs everywhere, and is what the other instruction sets are tested against.

use super::{Simd, tile_rows};

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
    fn tile(self, rows: usize, a: &[f32], a_stride: usize, b: &[f32], out: &mut [f32], accumulate: bool) {
        tile_rows!(self, rows, 2, [1 2 3 4], a, a_stride, b, out, accumulate);
    }
}
