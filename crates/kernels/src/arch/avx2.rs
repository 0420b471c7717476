//! x86-64 with AVX2 and FMA: vectors of 8, 16 registers.
#![allow(unsafe_code, reason = "instruction-set module")]

use std::arch::x86_64::*;

use super::{Kernel, Simd, tile_rows};

/// Proof that the CPU has AVX2 and FMA: only [`run`] makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

/// Whether this CPU has all that [`run`] is compiled for.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Runs an operation, compiled for AVX2.
#[target_feature(enable = "avx2,fma")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    const TILE_ROWS: usize = 6;
    const TILE_COLUMNS: usize = 16;
    type F32 = __m256;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: `self` proves that the CPU has the instruction; so in all functions below.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    fn load(self, x: &[f32]) -> __m256 {
        let x: &[f32; 8] = x.first_chunk().expect("a vector has 8 numbers");
        // SAFETY: 8 numbers are read from a reference to 8 numbers.
        unsafe { _mm256_loadu_ps(x.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, x: __m256, out: &mut [f32]) {
        let out: &mut [f32; 8] = out.first_chunk_mut().expect("a vector has 8 numbers");
        // SAFETY: 8 numbers are written to a reference to 8 numbers.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), x) }
    }

    #[inline(always)]
    fn add(self, x: __m256, y: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_add_ps(x, y) }
    }

    #[inline(always)]
    fn sub(self, x: __m256, y: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_sub_ps(x, y) }
    }

    #[inline(always)]
    fn mul(self, x: __m256, y: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_mul_ps(x, y) }
    }

    #[inline(always)]
    fn div(self, x: __m256, y: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_div_ps(x, y) }
    }

    #[inline(always)]
    fn mul_add(self, x: __m256, y: __m256, z: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_fmadd_ps(x, y, z) }
    }

    #[inline(always)]
    fn max(self, x: __m256, y: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_max_ps(x, y) }
    }

    #[inline(always)]
    fn min(self, x: __m256, y: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_min_ps(x, y) }
    }

    #[inline(always)]
    fn round(self, x: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x) }
    }

    #[inline(always)]
    fn exp2_integer(self, x: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        }
    }

    #[inline(always)]
    fn sum(self, x: __m256) -> f32 {
        // SAFETY: see `splat`.
        unsafe {
            let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
        }
    }

    #[inline(always)]
    fn max_lane(self, x: __m256) -> f32 {
        // SAFETY: see `splat`.
        unsafe {
            let x = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_max_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)))
        }
    }

    #[inline(always)]
    fn tile(self, rows: usize, a: &[f32], a_stride: usize, b: &[f32], out: &mut [f32], accumulate: bool) {
        tile_rows!(self, rows, 2, [1 2 3 4 5 6], a, a_stride, b, out, accumulate);
    }
}
