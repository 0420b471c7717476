//! x86-64 with AVX-512: vectors of 16, 32 registers.
#![allow(unsafe_code, reason = "instruction-set module")]

use std::arch::x86_64::*;
use std::mem::transmute;

use super::{Kernel, Simd, amx, tile};

/// Proof that the CPU has AVX-512 F, VL, BW, DQ and FMA, and VNNI, BF16 and AMX where the parameters say so: only the
/// `run` functions make one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512<const VNNI: bool, const BF16: bool, const AMX: bool>(());

/// Whether this CPU has all that [`run`] is compiled for.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("fma")
}

/// Whether this CPU has all that [`run_vnni`] is compiled for.
pub(super) fn is_vnni_available() -> bool {
    is_available() && is_x86_feature_detected!("avx512vnni")
}

/// Whether this CPU has all that [`run_bf16`] is compiled for.
pub(super) fn is_bf16_available() -> bool {
    is_vnni_available() && is_x86_feature_detected!("avx512bf16")
}

/// Whether `vdpbf16ps` takes less time than the two `vfmadd231ps` that it replaces: taken for granted but with Intel, whose
/// Xeons that have AMX take twice as long for it (220 against 400 GFLOP/s, see `benches/record`). Virtual machines hide AMX.
pub(super) fn is_bf16_fast() -> bool {
    let leaf = std::arch::x86_64::__cpuid(0);
    !is_intel([leaf.ebx, leaf.edx, leaf.ecx])
}

/// Whether these are the words of Intel's name.
fn is_intel(vendor: [u32; 3]) -> bool {
    vendor.map(u32::to_le_bytes).concat() == b"GenuineIntel"
}

/// Whether this CPU has all that [`run_amx`] is compiled for, and the system lets this process use AMX.
pub(super) fn is_amx_available() -> bool {
    is_bf16_available() && amx::is_available()
}

/// Runs an operation, compiled for AVX-512.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,fma")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<false, false, false>(()))
}

/// Runs an operation, compiled for AVX-512 with VNNI.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,fma,avx512vnni")]
pub(super) fn run_vnni<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<true, false, false>(()))
}

/// Runs an operation, compiled for AVX-512 with VNNI and BF16.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,fma,avx512vnni,avx512bf16")]
pub(super) fn run_bf16<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<true, true, false>(()))
}

/// Runs an operation, compiled for AVX-512 with VNNI and BF16, with AMX for its tiles.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,fma,avx512vnni,avx512bf16")]
pub(super) fn run_amx<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::<true, true, true>(()))
}

impl<const VNNI: bool, const BF16: bool, const AMX: bool> Simd for Avx512<VNNI, BF16, AMX> {
    const LANES: usize = 16;
    const TILE_ROWS: usize = if AMX { amx::ROWS } else { 12 };
    const TILE_COLUMNS: usize = 32;
    const TILE_STEPS: usize = if AMX { amx::STEPS } else { 1 };
    type F32 = __m512;
    type Words = __m512i;

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
    fn fraction(self, x: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_reduce_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(x) }
    }

    #[inline(always)]
    fn scale_exp2(self, x: __m512, exponent: __m512) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_scalef_ps(x, exponent) }
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
    fn splat_word(self, x: u32) -> __m512i {
        // SAFETY: see `splat`.
        unsafe { _mm512_set1_epi32(x.cast_signed()) }
    }

    #[inline(always)]
    fn load_words(self, x: &[u32]) -> __m512i {
        let x: &[u32; 16] = x.first_chunk().expect("a vector has 16 words");
        // SAFETY: 16 words are read from a reference to 16 words.
        unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_words(self, x: __m512i, out: &mut [u32]) {
        let out: &mut [u32; 16] = out.first_chunk_mut().expect("a vector has 16 words");
        // SAFETY: 16 words are written to a reference to 16 words.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), x) }
    }

    #[inline(always)]
    fn as_f32(self, x: __m512i) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_castsi512_ps(x) }
    }

    #[inline(always)]
    fn to_f32(self, x: __m512i) -> __m512 {
        // SAFETY: see `splat`.
        unsafe { _mm512_cvtepi32_ps(x) }
    }

    #[inline(always)]
    fn dot_bf16(self, x: __m512i, y: __m512i, sum: __m512) -> __m512 {
        // SAFETY: see `splat`; BF16 is there if the parameter says so. `__m512bh` is 32 bf16, as `__m512i` holds them.
        unsafe {
            if BF16 {
                let (x, y) = (transmute::<__m512i, __m512bh>(x), transmute::<__m512i, __m512bh>(y));
                return _mm512_dpbf16_ps(sum, x, y);
            }
            let high = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
            let first = _mm512_fmadd_ps(
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(x)),
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(y)),
                sum,
            );
            let (x, y) = (_mm512_and_si512(x, high), _mm512_and_si512(y, high));
            _mm512_fmadd_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(y), first)
        }
    }

    #[inline(always)]
    fn dot_bytes(self, x: __m512i, y: __m512i, sum: __m512i) -> __m512i {
        // SAFETY: see `splat`; VNNI is there if the parameter says so.
        unsafe {
            if VNNI {
                return _mm512_dpbusd_epi32(sum, x, y);
            }
            // Bytes 0 and 2 of each word, then bytes 1 and 3, as pairs of i16.
            let even = _mm512_madd_epi16(
                _mm512_and_si512(x, _mm512_set1_epi16(0xff)),
                _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(y)),
            );
            let odd = _mm512_madd_epi16(_mm512_srli_epi16::<8>(x), _mm512_srai_epi16::<8>(y));
            _mm512_add_epi32(sum, _mm512_add_epi32(even, odd))
        }
    }

    #[inline(always)]
    fn nibbles(self, x: __m512i) -> [__m512i; 2] {
        // SAFETY: see `splat`.
        unsafe {
            let lower = _mm512_set1_epi8(0x0f);
            [_mm512_and_si512(x, lower), _mm512_and_si512(_mm512_srli_epi32::<4>(x), lower)]
        }
    }

    #[inline(always)]
    fn join_bf16(self, x: __m512, y: __m512) -> __m512i {
        // SAFETY: see `splat`; BF16 is there if the parameter says so. `__m512bh` is 32 bf16, as `__m512i` holds them.
        unsafe {
            if BF16 {
                let order = _mm512_set_epi16(
                    31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4,
                    19, 3, 18, 2, 17, 1, 16, 0,
                );
                let joined = transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(y, x));
                return _mm512_permutexvar_epi16(order, joined);
            }
            let half = _mm512_set1_epi32(0x8000);
            let x = _mm512_add_epi32(_mm512_castps_si512(x), half);
            let y = _mm512_add_epi32(_mm512_castps_si512(y), half);
            let high = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
            _mm512_or_si512(_mm512_srli_epi32::<16>(x), _mm512_and_si512(y, high))
        }
    }

    #[inline(always)]
    fn load_f16(self, x: &[u16]) -> __m512 {
        let x: &[u16; 16] = x.first_chunk().expect("a vector has 16 numbers");
        // SAFETY: 32 bytes are read from a reference to 32 bytes.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(x.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_steps(self, x: &[i8]) -> __m512 {
        let x: &[i8; 16] = x.first_chunk().expect("a vector has 16 bytes");
        // SAFETY: 16 bytes are read from a reference to 16 bytes.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(x.as_ptr().cast()))) }
    }

    #[inline(always)]
    fn store_bf16(self, x: __m512, out: &mut [u16]) {
        let out: &mut [u16; 16] = out.first_chunk_mut().expect("a vector has 16 numbers");
        // SAFETY: see `splat`; 32 bytes are written to a reference to 32 bytes. BF16 is there if the parameter says so,
        // and `__m256bh` is 16 bf16, as `__m256i` holds them.
        unsafe {
            if BF16 {
                let halves = transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x));
                return _mm256_storeu_si256(out.as_mut_ptr().cast(), halves);
            }
            let bits = _mm512_castps_si512(x);
            let last = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(last, _mm512_set1_epi32(0x7fff)));
            let halves = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded));
            _mm256_storeu_si256(out.as_mut_ptr().cast(), halves);
        }
    }

    #[inline(always)]
    fn store_bytes(self, x: __m512, out: &mut [u8]) {
        let out: &mut [u8; 16] = out.first_chunk_mut().expect("a vector has 16 bytes");
        // SAFETY: see `splat`; 16 bytes are written to a reference to 16 bytes.
        unsafe {
            // A number just below zero must not become the greatest unsigned one.
            let words = _mm512_max_epi32(_mm512_cvtps_epi32(x), _mm512_setzero_si512());
            let bytes = _mm512_cvtusepi32_epi8(words);
            _mm_storeu_si128(out.as_mut_ptr().cast(), bytes);
        }
    }

    #[inline(always)]
    fn prefetch_line(self, address: *const u8) {
        // SAFETY: see `splat`; the instruction may be given any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }

    #[inline(always)]
    fn transpose_four(self, rows: [&[u32]; 4], out: &mut [u32], out_stride: usize) {
        let out = &mut out[..15 * out_stride + 4];
        let [a, b, c, d] = rows;
        let (a, b, c, d) = (self.load_words(a), self.load_words(b), self.load_words(c), self.load_words(d));
        // SAFETY: see `splat`; the last column ends where `out` does.
        unsafe {
            let (low, high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let (low_2, high_2) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            // Column `4 * n + i` is the quarter `n` of the vector `i`.
            let columns = [
                _mm512_unpacklo_epi64(low, low_2),
                _mm512_unpackhi_epi64(low, low_2),
                _mm512_unpacklo_epi64(high, high_2),
                _mm512_unpackhi_epi64(high, high_2),
            ];
            for (i, column) in columns.into_iter().enumerate() {
                let out = out.as_mut_ptr().add(i * out_stride);
                _mm_storeu_si128(out.cast(), _mm512_extracti32x4_epi32::<0>(column));
                _mm_storeu_si128(out.add(4 * out_stride).cast(), _mm512_extracti32x4_epi32::<1>(column));
                _mm_storeu_si128(out.add(8 * out_stride).cast(), _mm512_extracti32x4_epi32::<2>(column));
                _mm_storeu_si128(out.add(12 * out_stride).cast(), _mm512_extracti32x4_epi32::<3>(column));
            }
        }
    }

    #[inline(always)]
    fn prepare_tiles(self) {
        if AMX {
            amx::configure();
        }
    }

    tile!(2 vectors, [1 2 3 4 5 6 7 8 9 10 11 12] rows, AMX by amx);
}

#[cfg(test)]
mod tests {
    use super::is_intel;

    /// Source: Intel's and AMD's manuals, CPUID leaf 0: EBX, EDX, ECX.
    #[test]
    fn vendors_are_told_apart() {
        assert!(is_intel([0x756e_6547, 0x4965_6e69, 0x6c65_746e]));
        assert!(!is_intel([0x6874_7541, 0x6974_6e65, 0x444d_4163]));
    }
}
