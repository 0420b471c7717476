//! 64-bit Arm: vectors of 4, 32 registers.
#![allow(unsafe_code, reason = "instruction-set module")]

use std::arch::aarch64::*;

use super::{Kernel, Simd, tile_rows};

/// Proof that the CPU has NEON: only [`run`] makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neon(());

/// Runs an operation, compiled for NEON.
#[target_feature(enable = "neon")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Neon(()))
}

impl Simd for Neon {
    const LANES: usize = 4;
    const TILE_ROWS: usize = 8;
    const TILE_COLUMNS: usize = 8;
    type F32 = float32x4_t;

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        // SAFETY: `self` proves that the CPU has the instruction; so in all functions below.
        unsafe { vdupq_n_f32(x) }
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> float32x4_t {
        let x: &[f32; 4] = x.first_chunk().expect("a vector has 4 numbers");
        // SAFETY: 4 numbers are read from a reference to 4 numbers.
        unsafe { vld1q_f32(x.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, x: float32x4_t, out: &mut [f32]) {
        let out: &mut [f32; 4] = out.first_chunk_mut().expect("a vector has 4 numbers");
        // SAFETY: 4 numbers are written to a reference to 4 numbers.
        unsafe { vst1q_f32(out.as_mut_ptr(), x) }
    }

    #[inline(always)]
    fn add(self, x: float32x4_t, y: float32x4_t) -> float32x4_t {
        // SAFETY: see `splat`.
        unsafe { vaddq_f32(x, y) }
    }

    #[inline(always)]
    fn sub(self, x: float32x4_t, y: float32x4_t) -> float32x4_t {
        // SAFETY: see `splat`.
        unsafe { vsubq_f32(x, y) }
    }

    #[inline(always)]
    fn mul(self, x: float32x4_t, y: float32x4_t) -> float32x4_t {
        // SAFETY: see `splat`.
        unsafe { vmulq_f32(x, y) }
    }

    #[inline(always)]
    fn div(self, x: float32x4_t, y: float32x4_t) -> float32x4_t {
        // SAFETY: see `splat`.
        unsafe { vdivq_f32(x, y) }
    }

    #[inline(always)]
    fn mul_add(self, x: float32x4_t, y: float32x4_t, z: float32x4_t) -> float32x4_t {
        // SAFETY: see `splat`.
        unsafe { vfmaq_f32(z, x, y) }
    }

    #[inline(always)]
    fn max(self, x: float32x4_t, y: float32x4_t) -> float32x4_t {
        // SAFETY: see `splat`.
        unsafe { vmaxq_f32(x, y) }
    }

    #[inline(always)]
    fn min(self, x: float32x4_t, y: float32x4_t) -> float32x4_t {
        // SAFETY: see `splat`.
        unsafe { vminq_f32(x, y) }
    }

    #[inline(always)]
    fn round(self, x: float32x4_t) -> float32x4_t {
        // SAFETY: see `splat`.
        unsafe { vrndnq_f32(x) }
    }

    #[inline(always)]
    fn exp2_integer(self, x: float32x4_t) -> float32x4_t {
        // SAFETY: see `splat`.
        unsafe {
            let exponent = vaddq_s32(vcvtnq_s32_f32(x), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent))
        }
    }

    #[inline(always)]
    fn sum(self, x: float32x4_t) -> f32 {
        // SAFETY: see `splat`.
        unsafe { vaddvq_f32(x) }
    }

    #[inline(always)]
    fn max_lane(self, x: float32x4_t) -> f32 {
        // SAFETY: see `splat`.
        unsafe { vmaxvq_f32(x) }
    }

    #[inline(always)]
    fn tile(self, rows: usize, a: &[f32], a_stride: usize, b: &[f32], out: &mut [f32], accumulate: bool) {
        tile_rows!(self, rows, 2, [1 2 3 4 5 6 7 8], a, a_stride, b, out, accumulate);
    }
}
