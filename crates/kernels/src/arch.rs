//! Instruction sets: what one vector register can do, and the choice of the best at run time.

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

use std::fmt;
use std::sync::OnceLock;

pub use scalar::Scalar;

/// One instruction set's vectors of `f32`.
///
/// A value of an implementing type proves that the CPU has the instructions: only [`dispatch`] makes one.
pub trait Simd: Copy {
    /// The number of `f32` in a vector.
    const LANES: usize;
    /// Rows of a register tile of a matrix product, see [`Simd::tile`].
    const TILE_ROWS: usize;
    /// Columns of a register tile: the width of a panel of packed weights. A multiple of [`Simd::LANES`].
    const TILE_COLUMNS: usize;
    /// A vector of [`Simd::LANES`] numbers.
    type F32: Copy;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::F32;
    /// The first [`Simd::LANES`] numbers of `x`. Panics if there are fewer.
    fn load(self, x: &[f32]) -> Self::F32;
    /// Writes a vector to the start of `out`. Panics if it does not fit.
    fn store(self, x: Self::F32, out: &mut [f32]);
    /// `x + y`
    fn add(self, x: Self::F32, y: Self::F32) -> Self::F32;
    /// `x - y`
    fn sub(self, x: Self::F32, y: Self::F32) -> Self::F32;
    /// `x * y`
    fn mul(self, x: Self::F32, y: Self::F32) -> Self::F32;
    /// `x / y`
    fn div(self, x: Self::F32, y: Self::F32) -> Self::F32;
    /// `x * y + z`, rounded once where the instruction set can.
    fn mul_add(self, x: Self::F32, y: Self::F32, z: Self::F32) -> Self::F32;
    /// The greater of each pair of lanes; neither is NaN.
    fn max(self, x: Self::F32, y: Self::F32) -> Self::F32;
    /// The lesser of each pair of lanes; neither is NaN.
    fn min(self, x: Self::F32, y: Self::F32) -> Self::F32;
    /// Each lane rounded to the nearest integer, ties to even.
    fn round(self, x: Self::F32) -> Self::F32;
    /// `2^x` for lanes that hold integers in -126..=127.
    fn exp2_integer(self, x: Self::F32) -> Self::F32;
    /// The sum of all lanes.
    fn sum(self, x: Self::F32) -> f32;
    /// The greatest lane.
    fn max_lane(self, x: Self::F32) -> f32;

    /// One register tile of a matrix product: `out[i][j] (+)= sum over k of a[k * a_stride + i] * b[k][j]`.
    ///
    /// - `rows`: rows of the tile, 1 to [`Simd::TILE_ROWS`].
    /// - `a`: `[n_k, a_stride]`, of which the first `rows` columns are read.
    /// - `b`: `[n_k, TILE_COLUMNS]`.
    /// - `out`: `[rows, TILE_COLUMNS]`, overwritten, or added to if `accumulate`.
    fn tile(self, rows: usize, a: &[f32], a_stride: usize, b: &[f32], out: &mut [f32], accumulate: bool);
}

/// An operation, written over any instruction set.
pub trait Kernel {
    /// What the operation returns.
    type Output;

    /// Does the work.
    ///
    /// Whatever it calls that computes with `simd` is `#[inline(always)]`, closures too: only what is inlined is
    /// compiled for the instruction set.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// The instruction sets that kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionSet {
    /// Plain Rust, on any CPU.
    Scalar,
    /// x86-64 with AVX2 and FMA (from 2013 on).
    Avx2,
    /// x86-64 with AVX-512 F, VL, BW and DQ.
    Avx512,
    /// 64-bit Arm.
    Neon,
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "AVX2",
            Self::Avx512 => "AVX-512",
            Self::Neon => "NEON",
        })
    }
}

impl InstructionSet {
    /// The best instruction set of this CPU.
    ///
    /// The environment variable `BOSWELL_INSTRUCTION_SET` (`scalar`, `avx2`, `avx512`, `neon`) asks for a lesser
    /// one, for tests and measurements; one that the CPU does not have is passed over.
    pub fn detect() -> Self {
        static BEST: OnceLock<InstructionSet> = OnceLock::new();
        *BEST.get_or_init(|| {
            let available = Self::available();
            let wanted = std::env::var("BOSWELL_INSTRUCTION_SET").unwrap_or_default().to_lowercase();
            let named = |set: &&Self| set.to_string().to_lowercase().replace('-', "") == wanted;
            let best = available.iter().rev().find(named).or(available.last());
            *best.expect("scalar is always available")
        })
    }

    /// Columns of a register tile, see [`Simd::TILE_COLUMNS`].
    pub(crate) fn tile_columns(self) -> usize {
        self.tile().1
    }

    /// Rows of a register tile, see [`Simd::TILE_ROWS`].
    pub(crate) fn tile_rows(self) -> usize {
        self.tile().0
    }

    fn tile(self) -> (usize, usize) {
        struct Tile;
        impl Kernel for Tile {
            type Output = (usize, usize);
            fn run<S: Simd>(self, _: S) -> (usize, usize) {
                (S::TILE_ROWS, S::TILE_COLUMNS)
            }
        }
        run_on(self, Tile)
    }

    /// All instruction sets that this CPU has, the best last.
    pub fn available() -> Vec<Self> {
        let mut sets = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            if avx2::is_available() {
                sets.push(Self::Avx2);
            }
            if avx512::is_available() {
                sets.push(Self::Avx512);
            }
        }
        #[cfg(target_arch = "aarch64")]
        sets.push(Self::Neon);
        sets
    }
}

/// Runs an operation on the best instruction set of this CPU.
#[inline]
pub fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    run_on(InstructionSet::detect(), kernel)
}

/// Runs an operation on an instruction set of choice.
///
/// # Panics
/// If this CPU does not have it.
#[allow(unsafe_code, reason = "enters code that is compiled for an instruction set")]
#[inline]
pub fn run_on<K: Kernel>(set: InstructionSet, kernel: K) -> K::Output {
    match set {
        InstructionSet::Scalar => kernel.run(Scalar),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => {
            assert!(avx2::is_available(), "the CPU has no AVX2");
            // SAFETY: the CPU has AVX2 and FMA, as just asserted.
            unsafe { avx2::run(kernel) }
        }
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => {
            assert!(avx512::is_available(), "the CPU has no AVX-512");
            // SAFETY: the CPU has the parts of AVX-512 that `run` is compiled for, as just asserted.
            unsafe { avx512::run(kernel) }
        }
        #[cfg(target_arch = "aarch64")]
        InstructionSet::Neon => {
            // SAFETY: every 64-bit Arm CPU that Rust's std runs on has NEON.
            unsafe { neon::run(kernel) }
        }
        #[allow(unreachable_patterns, reason = "sets of other architectures")]
        other => panic!("{other} is not an instruction set of this CPU"),
    }
}

/// The body of [`Simd::tile`] for a fixed number of rows and of vectors in a row, so that it stays in registers.
#[inline(always)]
fn tile_of<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    a: &[f32],
    a_stride: usize,
    b: &[f32],
    out: &mut [f32],
    accumulate: bool,
) {
    let columns = VECTORS * S::LANES;
    let mut sums = [[simd.splat(0.0); VECTORS]; ROWS];
    if accumulate {
        for (sums, out) in sums.iter_mut().zip(out.chunks_exact(columns)) {
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = simd.load(&out[v * S::LANES..]);
            }
        }
    }
    for (a, b) in a.chunks(a_stride).zip(b.chunks_exact(columns)) {
        let a: &[f32; ROWS] = a.first_chunk().expect("a row of `a` is at least as long as the tile has rows");
        let mut vectors = [simd.splat(0.0); VECTORS];
        for (v, vector) in vectors.iter_mut().enumerate() {
            *vector = simd.load(&b[v * S::LANES..]);
        }
        for (sums, a) in sums.iter_mut().zip(a) {
            let a = simd.splat(*a);
            for (sum, b) in sums.iter_mut().zip(vectors) {
                *sum = simd.mul_add(a, b, *sum);
            }
        }
    }
    for (sums, out) in sums.iter().zip(out.chunks_exact_mut(columns)) {
        for (v, sum) in sums.iter().enumerate() {
            simd.store(*sum, &mut out[v * S::LANES..]);
        }
    }
}

/// Calls [`tile_of`] with the number of rows as a constant.
macro_rules! tile_rows {
    ($simd:expr, $rows:expr, $vectors:literal, [$($n:literal)*], $a:expr, $a_stride:expr, $b:expr, $out:expr, $acc:expr) => {
        match $rows {
            $($n => $crate::arch::tile_of::<Self, $n, $vectors>($simd, $a, $a_stride, $b, $out, $acc),)*
            rows => panic!("a tile has 1 to {} rows, not {rows}", Self::TILE_ROWS),
        }
    };
}
use tile_rows;

#[cfg(test)]
mod tests;
