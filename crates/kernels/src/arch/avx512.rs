//! x86-64 with AVX-512: vectors of 16, 32 registers.
#![allow(unsafe_code, reason = "instruction-set module")]

use std::arch::x86_64::*;

use super::{Kernel, Simd, tile_rows};

/// Proof that the CPU has AVX-512 F, VL, BW, DQ and FMA: only [`run`] makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

/// Whether this CPU has all that [`run`] is compiled for.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("fma")
}

/// Runs an operation, compiled for AVX-512.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,fma")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

impl Simd for Avx512 {
    const LANES: usize = 16;
    const TILE_ROWS: usize = 12;
    const TILE_COLUMNS: usize = 32;
    type F32 = __m512;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: `self` proves that the CPU has the instruction; so in all functions below.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> __m512 {
        let x: &[f32; 16] = x.first_chunk().expect("a vector has 16 numbers");
        // SAFETY: 16 numbers are read from a reference to 16 numbers.
        unsafe { _mm512_loadu_ps(x.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, x: __m512, out: &mut [f32]) {
        let out: &mut [f32; 16] = out.first_chunk_mut().expect("a vector has 16 numbers");
        // SAFETY: 16 numbers are written to a reference to 16 numbers.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), x) }
    }

    #[inline(always)]
    fn add(self, x: __m512, y: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_add_ps(x, y) }
    }

    #[inline(always)]
    fn sub(self, x: __m512, y: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_sub_ps(x, y) }
    }

    #[inline(always)]
    fn mul(self, x: __m512, y: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_mul_ps(x, y) }
    }

    #[inline(always)]
    fn div(self, x: __m512, y: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_div_ps(x, y) }
    }

    #[inline(always)]
    fn mul_add(self, x: __m512, y: __m512, z: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_fmadd_ps(x, y, z) }
    }

    #[inline(always)]
    fn max(self, x: __m512, y: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_max_ps(x, y) }
    }

    #[inline(always)]
    fn min(self, x: __m512, y: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_min_ps(x, y) }
    }

    #[inline(always)]
    fn round(self, x: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x) }
    }

    #[inline(always)]
    fn exp2_integer(self, x: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        }
    }

    #[inline(always)]
    fn sum(self, x: __m512) -> f32 {
        // SAFETY: see `splat`.
        unsafe { _mm512_reduce_add_ps(x) }
    }

    #[inline(always)]
    fn max_lane(self, x: __m512) -> f32 {
        // SAFETY: see `splat`.
        unsafe { _mm512_reduce_max_ps(x) }
    }

    #[inline(always)]
    fn tile(self, rows: usize, a: &[f32], a_stride: usize, b: &[f32], out: &mut [f32], accumulate: bool) {
        tile_rows!(self, rows, 2, [1 2 3 4 5 6 7 8 9 10 11 12], a, a_stride, b, out, accumulate);
    }
}
