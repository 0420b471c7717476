//! A whole register tile, multiplied by lane.

use std::arch::aarch64::*;
use std::arch::asm;

use super::Neon;
use crate::arch::{Operands, Simd};

/// Products of all lanes with one lane: to fill a vector with each word of the left factor instead takes half as many
/// instructions again of the units that multiply.
pub(super) trait ByLane: Copy {
    /// `sum + a[LANE] * b`
    fn add<const LANE: i32>(self, a: uint32x4_t, b: uint32x4_t, sum: uint32x4_t) -> uint32x4_t;
}

/// Products of f32.
impl<const DOTPROD: bool> ByLane for Neon<DOTPROD> {
    #[inline(always)]
    fn add<const LANE: i32>(self, a: uint32x4_t, b: uint32x4_t, sum: uint32x4_t) -> uint32x4_t {
        // SAFETY: `self` proves that the CPU has the instruction.
        unsafe {
            let [a, b, sum] = [a, b, sum].map(|x| vreinterpretq_f32_u32(x));
            vreinterpretq_u32_f32(vfmaq_laneq_f32::<LANE>(sum, b, a))
        }
    }
}

/// Products of four signed bytes in each lane.
#[derive(Clone, Copy)]
pub(super) struct Sdot(pub(super) Neon<true>);

/// Adds the products of the bytes in each lane of `x` and in `y`, of which the template says what is taken. The intrinsic is
/// not stable in Rust 1.95. The directive is for where this is not inlined.
macro_rules! sdot {
    ($x:ident, $y:ident $y_template:literal, $sum:ident $(, lane = const $lane:ident)?) => {
        asm!(
            ".arch_extension dotprod",
            concat!("sdot {sum:v}.4s, {x:v}.16b, ", $y_template),
            sum = inout(vreg) $sum,
            x = in(vreg) $x,
            y = in(vreg) $y,
            $(lane = const $lane,)?
            options(pure, nomem, nostack, preserves_flags)
        )
    };
}

impl Sdot {
    /// `sum + x * y`
    #[inline(always)]
    pub(super) fn dot(self, x: uint32x4_t, y: uint32x4_t, mut sum: uint32x4_t) -> uint32x4_t {
        // SAFETY: `self` proves that the CPU has the instruction; it reads and writes registers alone.
        unsafe { sdot!(x, y "{y:v}.16b", sum) };
        sum
    }
}

impl ByLane for Sdot {
    #[inline(always)]
    fn add<const LANE: i32>(self, a: uint32x4_t, b: uint32x4_t, mut sum: uint32x4_t) -> uint32x4_t {
        // SAFETY: see `Sdot::dot`.
        unsafe { sdot!(b, a "{y:v}.4b[{lane}]", sum, lane = const LANE) };
        sum
    }
}

/// The body of [`Simd::tile`] for a whole tile, multiplied by lane.
#[inline(always)]
pub(super) fn whole_tile<S: Simd<Words = uint32x4_t>>(
    simd: S,
    by_lane: impl ByLane,
    Operands { a, a_stride, b, .. }: Operands<'_>,
    out: &mut [u32],
    accumulate: bool,
) {
    let mut sums = [[simd.splat_word(0); 2]; 8];
    if accumulate {
        for (row, sums) in sums.iter_mut().enumerate() {
            *sums = pair(simd, &out[8 * row..]);
        }
    }
    for (a, b) in a.chunks(a_stride).zip(b.chunks_exact(8)) {
        let (a, b) = (pair(simd, a), pair(simd, b));
        for (a, sums) in a.into_iter().zip(sums.chunks_exact_mut(4)) {
            add_row::<0>(by_lane, a, b, &mut sums[0]);
            add_row::<1>(by_lane, a, b, &mut sums[1]);
            add_row::<2>(by_lane, a, b, &mut sums[2]);
            add_row::<3>(by_lane, a, b, &mut sums[3]);
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        simd.store_words(sums[0], &mut out[8 * row..]);
        simd.store_words(sums[1], &mut out[8 * row + 4..]);
    }
}

/// Adds the products of one lane with a row of the right factor.
#[inline(always)]
fn add_row<const LANE: i32>(
    by_lane: impl ByLane,
    a: uint32x4_t,
    b: [uint32x4_t; 2],
    sums: &mut [uint32x4_t; 2],
) {
    *sums = [by_lane.add::<LANE>(a, b[0], sums[0]), by_lane.add::<LANE>(a, b[1], sums[1])];
}

/// The first two vectors of `x`. Panics if there are fewer.
#[inline(always)]
fn pair<S: Simd>(simd: S, x: &[u32]) -> [S::Words; 2] {
    let x: &[u32; 8] = x.first_chunk().expect("there are two vectors");
    [simd.load_words(&x[..4]), simd.load_words(&x[4..])]
}
