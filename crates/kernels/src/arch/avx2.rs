//! x86-64 with AVX2 and FMA: vectors of 8, 16 registers.
#![allow(unsafe_code, reason = "instruction-set module")]

use std::arch::x86_64::*;

use super::{Kernel, Simd, tile};

/// Proof that the CPU has AVX2, FMA and F16C, and AVX-VNNI where the parameter says so: only the `run` functions make
/// one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2<const VNNI: bool>(());

/// Whether this CPU has all that [`run`] is compiled for.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
}

/// Whether this CPU has all that [`run_vnni`] is compiled for.
pub(super) fn is_vnni_available() -> bool {
    is_available() && is_x86_feature_detected!("avxvnni")
}

/// Runs an operation, compiled for AVX2.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2::<false>(()))
}

/// Runs an operation, compiled for AVX2 with AVX-VNNI.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
pub(super) fn run_vnni<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2::<true>(()))
}

impl<const VNNI: bool> Simd for Avx2<VNNI> {
    const LANES: usize = 8;
    const TILE_ROWS: usize = 6;
    const TILE_COLUMNS: usize = 16;
    type F32 = __m256;
    type Words = __m256i;

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
    fn splat_word(self, x: u32) -> __m256i {
        // SAFETY: see `splat`.
        unsafe { _mm256_set1_epi32(x.cast_signed()) }
    }

    #[inline(always)]
    fn load_words(self, x: &[u32]) -> __m256i {
        let x: &[u32; 8] = x.first_chunk().expect("a vector has 8 words");
        // SAFETY: 8 words are read from a reference to 8 words.
        unsafe { _mm256_loadu_si256(x.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_words(self, x: __m256i, out: &mut [u32]) {
        let out: &mut [u32; 8] = out.first_chunk_mut().expect("a vector has 8 words");
        // SAFETY: 8 words are written to a reference to 8 words.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), x) }
    }

    #[inline(always)]
    fn as_f32(self, x: __m256i) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_castsi256_ps(x) }
    }

    #[inline(always)]
    fn to_f32(self, x: __m256i) -> __m256 {
        // SAFETY: see `splat`.
        unsafe { _mm256_cvtepi32_ps(x) }
    }

    #[inline(always)]
    fn dot_bf16(self, x: __m256i, y: __m256i, sum: __m256) -> __m256 {
        // SAFETY: see `splat`.
        unsafe {
            let high = _mm256_set1_epi32(0xffff_0000_u32.cast_signed());
            let first = _mm256_fmadd_ps(
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(x)),
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(y)),
                sum,
            );
            let (x, y) = (_mm256_and_si256(x, high), _mm256_and_si256(y, high));
            _mm256_fmadd_ps(_mm256_castsi256_ps(x), _mm256_castsi256_ps(y), first)
        }
    }

    #[inline(always)]
    fn dot_bytes(self, x: __m256i, y: __m256i, sum: __m256i) -> __m256i {
        // SAFETY: see `splat`; AVX-VNNI is there if the parameter says so.
        unsafe {
            if VNNI {
                return _mm256_dpbusd_avx_epi32(sum, x, y);
            }
            // Bytes 0 and 2 of each word, then bytes 1 and 3, as pairs of i16.
            let even = _mm256_madd_epi16(
                _mm256_and_si256(x, _mm256_set1_epi16(0xff)),
                _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(y)),
            );
            let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(x), _mm256_srai_epi16::<8>(y));
            _mm256_add_epi32(sum, _mm256_add_epi32(even, odd))
        }
    }

    #[inline(always)]
    fn nibbles(self, x: __m256i) -> [__m256i; 2] {
        // SAFETY: see `splat`.
        unsafe {
            let lower = _mm256_set1_epi8(0x0f);
            [_mm256_and_si256(x, lower), _mm256_and_si256(_mm256_srli_epi32::<4>(x), lower)]
        }
    }

    #[inline(always)]
    fn join_bf16(self, x: __m256, y: __m256) -> __m256i {
        // SAFETY: see `splat`.
        unsafe {
            let half = _mm256_set1_epi32(0x8000);
            let x = _mm256_add_epi32(_mm256_castps_si256(x), half);
            let y = _mm256_add_epi32(_mm256_castps_si256(y), half);
            let high = _mm256_set1_epi32(0xffff_0000_u32.cast_signed());
            _mm256_or_si256(_mm256_srli_epi32::<16>(x), _mm256_and_si256(y, high))
        }
    }

    #[inline(always)]
    fn load_f16(self, x: &[u16]) -> __m256 {
        let x: &[u16; 8] = x.first_chunk().expect("a vector has 8 numbers");
        // SAFETY: 16 bytes are read from a reference to 16 bytes.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(x.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_steps(self, x: &[i8]) -> __m256 {
        let x: &[i8; 8] = x.first_chunk().expect("a vector has 8 bytes");
        // SAFETY: 8 bytes are read from a reference to 8 bytes.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(x.as_ptr().cast()))) }
    }

    #[inline(always)]
    fn store_bf16(self, x: __m256, out: &mut [u16]) {
        let out: &mut [u16; 8] = out.first_chunk_mut().expect("a vector has 8 numbers");
        // SAFETY: see `splat`; 16 bytes are written to a reference to 16 bytes.
        unsafe {
            let bits = _mm256_castps_si256(x);
            let last = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(last, _mm256_set1_epi32(0x7fff)));
            let words = _mm256_srli_epi32::<16>(rounded);
            let halves =
                _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(out.as_mut_ptr().cast(), halves);
        }
    }

    #[inline(always)]
    fn store_bytes(self, x: __m256, out: &mut [u8]) {
        let out: &mut [u8; 8] = out.first_chunk_mut().expect("a vector has 8 bytes");
        // SAFETY: see `splat`; 8 bytes are written to a reference to 8 bytes.
        unsafe {
            let words = _mm256_cvtps_epi32(x);
            let halves =
                _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storel_epi64(out.as_mut_ptr().cast(), _mm_packus_epi16(halves, halves));
        }
    }

    #[inline(always)]
    fn prefetch_line(self, address: *const u8) {
        // SAFETY: see `splat`; the instruction may be given any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }

    tile!(2 vectors, [1 2 3 4 5 6] rows);
}
