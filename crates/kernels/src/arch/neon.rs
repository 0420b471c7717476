//! 64-bit Arm: vectors of 4, 32 registers.
#![allow(unsafe_code, reason = "instruction-set module")]

mod tile;

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use super::{Kernel, Operands, Product, Simd, tile_of};
use tile::{Sdot, whole_tile};

/// Proof that the CPU has NEON, and dot products of bytes where the parameter says so: only the `run` functions make one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neon<const DOTPROD: bool>(());

/// Whether this CPU has all that [`run_dotprod`] is compiled for.
pub(super) fn is_dotprod_available() -> bool {
    is_aarch64_feature_detected!("dotprod")
}

/// Runs an operation, compiled for NEON.
#[target_feature(enable = "neon")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Neon::<false>(()))
}

/// Runs an operation, compiled for NEON with dot products of bytes.
#[target_feature(enable = "neon,dotprod")]
pub(super) fn run_dotprod<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Neon::<true>(()))
}

impl<const DOTPROD: bool> Simd for Neon<DOTPROD> {
    const LANES: usize = 4;
    const TILE_ROWS: usize = 8;
    const TILE_COLUMNS: usize = 8;
    const LEAST_BYTE: f32 = if DOTPROD { -128.0 } else { 0.0 };
    type F32 = float32x4_t;
    type Words = uint32x4_t;

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
    fn splat_word(self, x: u32) -> uint32x4_t {
        // SAFETY: see `splat`.
        unsafe { vdupq_n_u32(x) }
    }

    #[inline(always)]
    fn load_words(self, x: &[u32]) -> uint32x4_t {
        let x: &[u32; 4] = x.first_chunk().expect("a vector has 4 words");
        // SAFETY: 4 words are read from a reference to 4 words.
        unsafe { vld1q_u32(x.as_ptr()) }
    }

    #[inline(always)]
    fn store_words(self, x: uint32x4_t, out: &mut [u32]) {
        let out: &mut [u32; 4] = out.first_chunk_mut().expect("a vector has 4 words");
        // SAFETY: 4 words are written to a reference to 4 words.
        unsafe { vst1q_u32(out.as_mut_ptr(), x) }
    }

    #[inline(always)]
    fn as_f32(self, x: uint32x4_t) -> float32x4_t {
        // SAFETY: see `splat`.
        unsafe { vreinterpretq_f32_u32(x) }
    }

    #[inline(always)]
    fn to_f32(self, x: uint32x4_t) -> float32x4_t {
        // SAFETY: see `splat`.
        unsafe { vcvtq_f32_s32(vreinterpretq_s32_u32(x)) }
    }

    #[inline(always)]
    fn dot_bf16(self, x: uint32x4_t, y: uint32x4_t, sum: float32x4_t) -> float32x4_t {
        // SAFETY: see `splat`.
        unsafe {
            let high = vdupq_n_u32(0xffff_0000);
            let (x0, y0) = (vshlq_n_u32::<16>(x), vshlq_n_u32::<16>(y));
            let sum = vfmaq_f32(sum, vreinterpretq_f32_u32(x0), vreinterpretq_f32_u32(y0));
            let (x1, y1) = (vandq_u32(x, high), vandq_u32(y, high));
            vfmaq_f32(sum, vreinterpretq_f32_u32(x1), vreinterpretq_f32_u32(y1))
        }
    }

    #[inline(always)]
    fn dot_bytes(self, x: uint32x4_t, y: uint32x4_t, sum: uint32x4_t) -> uint32x4_t {
        if let Some(simd) = self.with_dotprod() {
            return Sdot(simd).dot(x, y, sum);
        }
        // SAFETY: see `splat`.
        unsafe {
            let (x, y) = (vreinterpretq_u8_u32(x), vreinterpretq_s8_u32(y));
            // Bytes as i16, products as i32: two words in each half.
            let [x0, x1] = [vmovl_u8(vget_low_u8(x)), vmovl_u8(vget_high_u8(x))];
            let (x0, x1) = (vreinterpretq_s16_u16(x0), vreinterpretq_s16_u16(x1));
            let (y0, y1) = (vmovl_s8(vget_low_s8(y)), vmovl_s8(vget_high_s8(y)));
            let words0 = vpaddq_s32(
                vmull_s16(vget_low_s16(x0), vget_low_s16(y0)),
                vmull_s16(vget_high_s16(x0), vget_high_s16(y0)),
            );
            let words1 = vpaddq_s32(
                vmull_s16(vget_low_s16(x1), vget_low_s16(y1)),
                vmull_s16(vget_high_s16(x1), vget_high_s16(y1)),
            );
            vaddq_u32(sum, vreinterpretq_u32_s32(vpaddq_s32(words0, words1)))
        }
    }

    #[inline(always)]
    fn nibbles(self, x: uint32x4_t) -> [uint32x4_t; 2] {
        // SAFETY: see `splat`.
        unsafe {
            let lower = vdupq_n_u32(0x0f0f_0f0f);
            [vandq_u32(x, lower), vandq_u32(vshrq_n_u32::<4>(x), lower)]
        }
    }

    #[inline(always)]
    fn join_bf16(self, x: float32x4_t, y: float32x4_t) -> uint32x4_t {
        // SAFETY: see `splat`.
        unsafe {
            let half = vdupq_n_u32(0x8000);
            let x = vaddq_u32(vreinterpretq_u32_f32(x), half);
            let y = vaddq_u32(vreinterpretq_u32_f32(y), half);
            vorrq_u32(vshrq_n_u32::<16>(x), vandq_u32(y, vdupq_n_u32(0xffff_0000)))
        }
    }

    #[inline(always)]
    fn load_f16(self, x: &[u16]) -> float32x4_t {
        let x: &[u16; 4] = x.first_chunk().expect("a vector has 4 numbers");
        // SAFETY: see `splat`; 8 bytes are read from a reference to 8 bytes.
        unsafe { vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x.as_ptr()))) }
    }

    #[inline(always)]
    fn load_steps(self, x: &[i8]) -> float32x4_t {
        let x: &[i8; 4] = x.first_chunk().expect("a vector has 4 bytes");
        // SAFETY: see `splat`.
        unsafe {
            let bytes = vcreate_s8(u32::from_ne_bytes(x.map(i8::cast_unsigned)).into());
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))))
        }
    }

    #[inline(always)]
    fn store_bf16(self, x: float32x4_t, out: &mut [u16]) {
        let out: &mut [u16; 4] = out.first_chunk_mut().expect("a vector has 4 numbers");
        // SAFETY: see `splat`; 8 bytes are written to a reference to 8 bytes.
        unsafe {
            let bits = vreinterpretq_u32_f32(x);
            let last = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
            let rounded = vaddq_u32(bits, vaddq_u32(last, vdupq_n_u32(0x7fff)));
            vst1_u16(out.as_mut_ptr(), vshrn_n_u32::<16>(rounded));
        }
    }

    #[inline(always)]
    fn store_bytes(self, x: float32x4_t, out: &mut [u8]) {
        let out: &mut [u8; 4] = out.first_chunk_mut().expect("a vector has 4 bytes");
        // SAFETY: see `splat`; 4 bytes are written to a reference to 4 bytes.
        unsafe {
            let bytes = if DOTPROD {
                let halves = vqmovn_s32(vcvtnq_s32_f32(x));
                vreinterpret_u32_s8(vqmovn_s16(vcombine_s16(halves, halves)))
            } else {
                let halves = vqmovn_u32(vcvtnq_u32_f32(x));
                vreinterpret_u32_u8(vqmovn_u16(vcombine_u16(halves, halves)))
            };
            *out = vget_lane_u32::<0>(bytes).to_ne_bytes();
        }
    }

    #[inline(always)]
    fn transpose_four(self, rows: [&[u32]; 4], out: &mut [u32], out_stride: usize) {
        let [a, b, c, d] = rows.map(
            #[inline(always)]
            |row| self.load_words(row),
        );
        // SAFETY: see `splat`.
        let columns = unsafe {
            let (even, odd) = (vtrn1q_u32(a, b), vtrn2q_u32(a, b));
            let (even_2, odd_2) = (vtrn1q_u32(c, d), vtrn2q_u32(c, d));
            let [even, odd, even_2, odd_2] = [even, odd, even_2, odd_2].map(|x| vreinterpretq_u64_u32(x));
            let pairs = [
                vtrn1q_u64(even, even_2),
                vtrn1q_u64(odd, odd_2),
                vtrn2q_u64(even, even_2),
                vtrn2q_u64(odd, odd_2),
            ];
            pairs.map(|x| vreinterpretq_u32_u64(x))
        };
        for (idx, column) in columns.into_iter().enumerate() {
            self.store_words(column, &mut out[idx * out_stride..]);
        }
    }

    #[inline(always)]
    fn tile<P: Product>(self, operands: Operands<'_>, out: &mut [u32], accumulate: bool) {
        if operands.rows == Self::TILE_ROWS {
            match (P::PER_WORD, self.with_dotprod()) {
                (1, _) => return whole_tile(self, self, operands, out, accumulate),
                (4, Some(dotprod)) => return whole_tile(self, Sdot(dotprod), operands, out, accumulate),
                _ => {}
            }
        }
        self.tile_by_word::<P>(operands, out, accumulate);
    }
}

impl<const DOTPROD: bool> Neon<DOTPROD> {
    /// This CPU with its dot products of bytes, if that is what this proves.
    #[inline(always)]
    fn with_dotprod(self) -> Option<Neon<true>> {
        DOTPROD.then_some(Neon(()))
    }

    /// A tile with vectors that are filled with each word of the left factor.
    #[inline(always)]
    fn tile_by_word<P: Product>(self, operands: Operands<'_>, out: &mut [u32], accumulate: bool) {
        match operands.rows {
            1 => tile_of::<Self, P, 1, 2>(self, operands, out, accumulate),
            2 => tile_of::<Self, P, 2, 2>(self, operands, out, accumulate),
            3 => tile_of::<Self, P, 3, 2>(self, operands, out, accumulate),
            4 => tile_of::<Self, P, 4, 2>(self, operands, out, accumulate),
            5 => tile_of::<Self, P, 5, 2>(self, operands, out, accumulate),
            6 => tile_of::<Self, P, 6, 2>(self, operands, out, accumulate),
            7 => tile_of::<Self, P, 7, 2>(self, operands, out, accumulate),
            8 => tile_of::<Self, P, 8, 2>(self, operands, out, accumulate),
            rows => panic!("a tile cannot have {rows} rows"),
        }
    }
}
