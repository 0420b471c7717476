//! Instruction sets: what one vector register can do, and the choice of the best at run time.

mod scalar;

#[cfg(target_arch = "x86_64")]
mod amx;
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
    /// A tile's products are added up over a multiple of so many words, which stand side by side in the left factor;
    /// what is packed ends in words of zero.
    const TILE_STEPS: usize = 1;
    /// The least byte that [`Simd::dot_bytes`] takes on the left: 0, or -128 where those have a sign.
    const LEAST_BYTE: f32 = 0.0;
    /// A vector of [`Simd::LANES`] numbers.
    type F32: Copy;
    /// A vector of [`Simd::LANES`] words of 32 bits: `i32`, pairs of bf16 or quads of bytes.
    type Words: Copy;

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
    /// `x` minus the greatest integer that is not above it; an integer may give 1.
    #[inline(always)]
    fn fraction(self, x: Self::F32) -> Self::F32 {
        self.sub(x, self.round(self.sub(x, self.splat(0.5))))
    }
    /// `x * 2^n`, with the integer `n` that [`Simd::fraction`] takes from `exponent`; that of numbers below -125 may
    /// be as if they were -125.
    #[inline(always)]
    fn scale_exp2(self, x: Self::F32, exponent: Self::F32) -> Self::F32 {
        let exponent = self.max(exponent, self.splat(-125.0));
        self.mul(x, self.exp2_integer(self.round(self.sub(exponent, self.splat(0.5)))))
    }
    /// The sum of all lanes.
    fn sum(self, x: Self::F32) -> f32;
    /// The greatest lane.
    fn max_lane(self, x: Self::F32) -> f32;

    /// All lanes `x`.
    fn splat_word(self, x: u32) -> Self::Words;
    /// The first [`Simd::LANES`] words of `x`. Panics if there are fewer.
    fn load_words(self, x: &[u32]) -> Self::Words;
    /// Writes a vector to the start of `out`. Panics if it does not fit.
    fn store_words(self, x: Self::Words, out: &mut [u32]);
    /// The same bits as numbers.
    fn as_f32(self, x: Self::Words) -> Self::F32;
    /// Each `i32` as a number.
    fn to_f32(self, x: Self::Words) -> Self::F32;
    /// `sum + x[0] * y[0] + x[1] * y[1]` for the pairs of bf16 in each word.
    fn dot_bf16(self, x: Self::Words, y: Self::Words, sum: Self::F32) -> Self::F32;
    /// `sum + x[0] * y[0] + … + x[3] * y[3]` for the four bytes in each word: signed in `y`, and in `x` as
    /// [`Simd::LEAST_BYTE`] says.
    fn dot_bytes(self, x: Self::Words, y: Self::Words, sum: Self::Words) -> Self::Words;
    /// The lower and the upper four bits of each byte, as bytes of 0 to 15.
    fn nibbles(self, x: Self::Words) -> [Self::Words; 2];
    /// Pairs of bf16, rounded to nearest: the first of each from `x`, the second from `y`. No lane is NaN.
    fn join_bf16(self, x: Self::F32, y: Self::F32) -> Self::Words;
    /// The first [`Simd::LANES`] half-precision numbers of `x`. Panics if there are fewer.
    fn load_f16(self, x: &[u16]) -> Self::F32;
    /// The first [`Simd::LANES`] signed bytes of `x`, as numbers. Panics if there are fewer.
    fn load_steps(self, x: &[i8]) -> Self::F32;
    /// Writes a vector as bf16, rounded to nearest, ties to even. Panics if it does not fit. No lane is NaN.
    fn store_bf16(self, x: Self::F32, out: &mut [u16]);
    /// Writes lanes as bytes, rounded to nearest, ties to even, and bounded to the 256 from [`Simd::LEAST_BYTE`] on. Panics
    /// if they do not fit.
    fn store_bytes(self, x: Self::F32, out: &mut [u8]);

    /// Writes four rows as columns: `out[column * out_stride + row] = rows[row][column]` for the first
    /// [`Simd::LANES`] columns. Panics if they are not there.
    #[inline(always)]
    fn transpose_four(self, rows: [&[u32]; 4], out: &mut [u32], out_stride: usize) {
        for column in 0..Self::LANES {
            for (row, out) in rows.iter().zip(&mut out[column * out_stride..][..4]) {
                *out = row[column];
            }
        }
    }

    /// Asks for the cache lines that stand `ahead` bytes after those of `x`, which starts with one: a hint, for memory that
    /// may not be there. Does nothing where [`Simd::prefetch_line`] does nothing.
    #[inline(always)]
    fn prefetch<T>(self, x: &[T], ahead: usize) {
        const LINE: usize = 64;
        for at in (0..size_of_val(x)).step_by(LINE) {
            self.prefetch_line(x.as_ptr().cast::<u8>().wrapping_add(ahead + at));
        }
    }

    /// Asks for one cache line; does nothing where the instruction set has no such hint. Nothing is read: any address will
    /// do.
    #[inline(always)]
    fn prefetch_line(self, _address: *const u8) {}

    /// Makes the registers of [`Simd::tile`] ready: comes before the first tile of a kernel.
    #[inline(always)]
    fn prepare_tiles(self) {}

    /// One register tile of a matrix product: `out[i][j] (+)= sum over k of a[i][k] * b[k][j]`, where a product of two
    /// words is what [`Product`] says.
    ///
    /// - `out`: `[rows, TILE_COLUMNS]`, overwritten, or added to if `accumulate`. What stands behind may be overwritten.
    fn tile<P: Product>(self, operands: Operands<'_>, out: &mut [u32], accumulate: bool);
}

/// What a byte is that [`Simd::dot_bytes`] takes on the left.
#[inline(always)]
pub(crate) fn left_byte<S: Simd>(byte: u8) -> i32 {
    if S::LEAST_BYTE < 0.0 { byte.cast_signed().into() } else { byte.into() }
}

/// What a register tile is the product of, see [`Simd::tile`].
#[derive(Clone, Copy)]
pub struct Operands<'a> {
    /// Rows of the tile, 1 to [`Simd::TILE_ROWS`].
    pub rows: usize,
    /// `[n_k / TILE_STEPS, a_stride / TILE_STEPS, TILE_STEPS]`, pieces of rows, of which the first `rows` are read; if
    /// pieces are longer than a word, there is room for [`Simd::TILE_ROWS`].
    pub a: &'a [u32],
    /// From one step's pieces to the next one's, in words.
    pub a_stride: usize,
    /// `[n_k, TILE_COLUMNS]`, `n_k` a multiple of [`Simd::TILE_STEPS`].
    pub b: &'a [u32],
    /// Whether `b` was not read shortly before, and so comes from memory: a hint, of which AMX takes no notice.
    pub b_is_far: bool,
}

/// What a word of 32 bits holds in a matrix product, and how two of them are multiplied and added up.
pub trait Product {
    /// The sums, one a lane.
    type Sum<S: Simd>: Copy;
    /// Numbers in a word.
    const PER_WORD: usize;

    /// No sum yet.
    fn zero<S: Simd>(simd: S) -> Self::Sum<S>;
    /// Adds the products of one word of `a` with the words of `b`.
    fn add<S: Simd>(simd: S, a: u32, b: S::Words, sum: Self::Sum<S>) -> Self::Sum<S>;
    /// Reads sums that [`Product::store`] wrote.
    fn load<S: Simd>(simd: S, x: &[u32]) -> Self::Sum<S>;
    /// Writes sums, as words.
    fn store<S: Simd>(simd: S, sum: Self::Sum<S>, out: &mut [u32]);
}

/// One f32 in a word; sums are f32.
pub enum F32 {}
/// Two bf16 in a word; sums are f32.
pub enum Bf16 {}
/// Four bytes in a word, see [`Simd::dot_bytes`]; sums are i32.
pub enum Bytes {}

/// The parts of [`Product`] that all products with sums in f32 share.
macro_rules! sums_in_f32 {
    () => {
        type Sum<S: Simd> = S::F32;

        #[inline(always)]
        fn zero<S: Simd>(simd: S) -> S::F32 {
            simd.splat(0.0)
        }

        #[inline(always)]
        fn load<S: Simd>(simd: S, x: &[u32]) -> S::F32 {
            simd.load(bytemuck::cast_slice(x))
        }

        #[inline(always)]
        fn store<S: Simd>(simd: S, sum: S::F32, out: &mut [u32]) {
            simd.store(sum, bytemuck::cast_slice_mut(out));
        }
    };
}

impl Product for F32 {
    sums_in_f32!();
    const PER_WORD: usize = 1;

    #[inline(always)]
    fn add<S: Simd>(simd: S, a: u32, b: S::Words, sum: S::F32) -> S::F32 {
        simd.mul_add(simd.splat(f32::from_bits(a)), simd.as_f32(b), sum)
    }
}

impl Product for Bf16 {
    sums_in_f32!();
    const PER_WORD: usize = 2;

    #[inline(always)]
    fn add<S: Simd>(simd: S, a: u32, b: S::Words, sum: S::F32) -> S::F32 {
        simd.dot_bf16(simd.splat_word(a), b, sum)
    }
}

impl Product for Bytes {
    type Sum<S: Simd> = S::Words;
    const PER_WORD: usize = 4;

    #[inline(always)]
    fn zero<S: Simd>(simd: S) -> S::Words {
        simd.splat_word(0)
    }

    #[inline(always)]
    fn add<S: Simd>(simd: S, a: u32, b: S::Words, sum: S::Words) -> S::Words {
        simd.dot_bytes(simd.splat_word(a), b, sum)
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, x: &[u32]) -> S::Words {
        simd.load_words(x)
    }

    #[inline(always)]
    fn store<S: Simd>(simd: S, sum: S::Words, out: &mut [u32]) {
        simd.store_words(sum, out);
    }
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
    /// x86-64 with AVX2, FMA and F16C (from 2013 on).
    Avx2,
    /// AVX2 with VNNI, but no AVX-512 (from Alder Lake on).
    AvxVnni,
    /// x86-64 with AVX-512 F, VL, BW and DQ (from Skylake-X on).
    Avx512,
    /// AVX-512 with VNNI (from Ice Lake on).
    Avx512Vnni,
    /// AVX-512 with VNNI and BF16 (from Zen 4 and Sapphire Rapids on).
    Avx512Bf16,
    /// All that, and AMX for products of bf16 and of bytes (from Sapphire Rapids on, under Linux).
    Avx512Amx,
    /// 64-bit Arm.
    Neon,
    /// NEON with products of bytes (most of Armv8.2 on: Apple's M1, Raspberry Pi 5, Graviton 2).
    NeonDotprod,
}

/// The shape of an instruction set's register tile: what the constants of [`Simd`] say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Words of the inner dimension, of which there are always a multiple.
    pub(crate) steps: usize,
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "AVX2",
            Self::AvxVnni => "AVX-VNNI",
            Self::Avx512 => "AVX-512",
            Self::Avx512Vnni => "AVX-512 VNNI",
            Self::Avx512Bf16 => "AVX-512 BF16",
            Self::Avx512Amx => "AVX-512 AMX",
            Self::Neon => "NEON",
            Self::NeonDotprod => "NEON dotprod",
        })
    }
}

impl InstructionSet {
    /// The best instruction set of this CPU.
    ///
    /// The environment variable `BOSWELL_INSTRUCTION_SET` (`scalar`, `avx2`, `avxvnni`, `avx512`,
    /// `avx512vnni`, `avx512bf16`, `avx512amx`, `neon`, `neondotprod`) asks for a lesser one, for tests and measurements;
    /// one that the CPU does not have is passed over.
    pub fn detect() -> Self {
        static BEST: OnceLock<InstructionSet> = OnceLock::new();
        *BEST.get_or_init(|| {
            let available = Self::available();
            let wanted = std::env::var("BOSWELL_INSTRUCTION_SET").unwrap_or_default().to_lowercase();
            let named = |set: &&Self| set.to_string().to_lowercase().replace(['-', ' '], "") == wanted;
            let best = available.iter().rev().find(named).or(available.last());
            *best.expect("scalar is always available")
        })
    }

    /// The set to multiply with in numbers of which a word holds `per_word`: AMX has no products of f32.
    pub(crate) fn for_words_of(self, per_word: usize) -> Self {
        if self == Self::Avx512Amx && per_word == 1 { Self::Avx512Bf16 } else { self }
    }

    /// Whether products of bf16 take less time than those of f32. Where each pair must first be taken apart they take more.
    pub(crate) fn prefers_bf16(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => avx512::is_bf16_fast(),
            Self::Avx512Amx => true,
            _ => false,
        }
    }

    /// The shape of a register tile.
    pub(crate) fn tile(self) -> Tile {
        struct OfTile;
        impl Kernel for OfTile {
            type Output = Tile;
            fn run<S: Simd>(self, _: S) -> Tile {
                Tile { rows: S::TILE_ROWS, columns: S::TILE_COLUMNS, steps: S::TILE_STEPS }
            }
        }
        run_on(self, OfTile)
    }

    /// All instruction sets that this CPU has, the best last.
    pub fn available() -> Vec<Self> {
        let mut sets = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            let x86 = [
                (Self::Avx2, avx2::is_available()),
                (Self::AvxVnni, avx2::is_vnni_available()),
                (Self::Avx512, avx512::is_available()),
                (Self::Avx512Vnni, avx512::is_vnni_available()),
                (Self::Avx512Bf16, avx512::is_bf16_available()),
                (Self::Avx512Amx, avx512::is_amx_available()),
            ];
            sets.extend(x86.iter().filter(|(_, is_available)| *is_available).map(|(set, _)| *set));
        }
        #[cfg(target_arch = "aarch64")]
        {
            sets.push(Self::Neon);
            sets.extend(neon::is_dotprod_available().then_some(Self::NeonDotprod));
        }
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
            assert!(avx2::is_available(), "the CPU has no {set}");
            // SAFETY: the CPU has all that `run` is compiled for, as just asserted.
            unsafe { avx2::run(kernel) }
        }
        #[cfg(target_arch = "x86_64")]
        InstructionSet::AvxVnni => {
            assert!(avx2::is_vnni_available(), "the CPU has no {set}");
            // SAFETY: the CPU has all that `run_vnni` is compiled for, as just asserted.
            unsafe { avx2::run_vnni(kernel) }
        }
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => {
            assert!(avx512::is_available(), "the CPU has no {set}");
            // SAFETY: the CPU has all that `run` is compiled for, as just asserted.
            unsafe { avx512::run(kernel) }
        }
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512Vnni => {
            assert!(avx512::is_vnni_available(), "the CPU has no {set}");
            // SAFETY: the CPU has all that `run_vnni` is compiled for, as just asserted.
            unsafe { avx512::run_vnni(kernel) }
        }
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512Bf16 => {
            assert!(avx512::is_bf16_available(), "the CPU has no {set}");
            // SAFETY: the CPU has all that `run_bf16` is compiled for, as just asserted.
            unsafe { avx512::run_bf16(kernel) }
        }
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512Amx => {
            assert!(avx512::is_amx_available(), "the CPU has no {set}");
            // SAFETY: the CPU has all that `run_amx` is compiled for, and AMX, as just asserted.
            unsafe { avx512::run_amx(kernel) }
        }
        #[cfg(target_arch = "aarch64")]
        InstructionSet::Neon => {
            // SAFETY: every 64-bit Arm CPU that Rust's std runs on has NEON.
            unsafe { neon::run(kernel) }
        }
        #[cfg(target_arch = "aarch64")]
        InstructionSet::NeonDotprod => {
            assert!(neon::is_dotprod_available(), "the CPU has no {set}");
            // SAFETY: the CPU has all that `run_dotprod` is compiled for, as just asserted.
            unsafe { neon::run_dotprod(kernel) }
        }
        #[allow(unreachable_patterns, reason = "sets of other architectures")]
        other => panic!("{other} is not an instruction set of this CPU"),
    }
}

/// Steps of a tile that its right factor is asked for ahead if that comes from memory, as all weights of the decoder do, or
/// from a second-level cache, as panels of f32 do: what a CPU fetches from there by itself comes too late.
const STEPS_AHEAD: usize = 32;

/// The body of [`Simd::tile`] for a fixed number of rows and of vectors in a row, so that it stays in registers.
#[inline(always)]
fn tile_of<S: Simd, P: Product, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    Operands { a, a_stride, b, b_is_far, .. }: Operands<'_>,
    out: &mut [u32],
    accumulate: bool,
) {
    let columns = VECTORS * S::LANES;
    // The flag takes a register, which a whole tile of bf16 does not have to spare on AVX2.
    let asks_ahead = P::PER_WORD == 1 || ROWS < S::TILE_ROWS || (b_is_far && P::PER_WORD == 4);
    let mut sums = [[P::zero(simd); VECTORS]; ROWS];
    if accumulate {
        for (row, sums) in sums.iter_mut().enumerate() {
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = P::load(simd, &out[row * columns + v * S::LANES..]);
            }
        }
    }
    for (a, b) in a.chunks(a_stride).zip(b.chunks_exact(columns)) {
        let a: &[u32; ROWS] = a.first_chunk().expect("a row of `a` is at least as long as the tile has rows");
        let mut vectors = [simd.splat_word(0); VECTORS];
        for (v, vector) in vectors.iter_mut().enumerate() {
            *vector = simd.load_words(&b[v * S::LANES..]);
        }
        if asks_ahead {
            simd.prefetch(b, STEPS_AHEAD * size_of_val(b));
        }
        for (sums, a) in sums.iter_mut().zip(a) {
            for (sum, b) in sums.iter_mut().zip(vectors) {
                *sum = P::add(simd, *a, b, *sum);
            }
        }
    }
    // The bound of this loop is a constant: else the sums would be written to memory at every step of the one above.
    for (row, sums) in sums.iter().enumerate() {
        for (v, sum) in sums.iter().enumerate() {
            P::store(simd, *sum, &mut out[row * columns + v * S::LANES..]);
        }
    }
}

/// The body of [`Simd::tile`] for one row in pieces of [`Simd::TILE_STEPS`] words, without AMX.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn row_of_pieces<S: Simd, P: Product, const VECTORS: usize>(
    simd: S,
    Operands { a, a_stride, b, .. }: Operands<'_>,
    out: &mut [u32],
    accumulate: bool,
) {
    let columns = VECTORS * S::LANES;
    let mut sums = [P::zero(simd); VECTORS];
    if accumulate {
        for (v, sum) in sums.iter_mut().enumerate() {
            *sum = P::load(simd, &out[v * S::LANES..]);
        }
    }
    for (a, b) in a.chunks(a_stride).zip(b.chunks_exact(S::TILE_STEPS * columns)) {
        for (a, b) in a[..S::TILE_STEPS].iter().zip(b.chunks_exact(columns)) {
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = P::add(simd, *a, simd.load_words(&b[v * S::LANES..]), *sum);
            }
        }
    }
    for (v, sum) in sums.into_iter().enumerate() {
        P::store(simd, sum, &mut out[v * S::LANES..]);
    }
}

/// Implements [`Simd::tile`] by [`tile_of`] with the number of rows as a constant; by AMX where that is there.
macro_rules! tile {
    ($vectors:literal vectors, [$($n:literal)*] rows $(, $is_amx:ident by $amx:ident)?) => {
        #[inline(always)]
        fn tile<P: $crate::arch::Product>(
            self,
            operands: $crate::arch::Operands<'_>,
            out: &mut [u32],
            accumulate: bool,
        ) {
            $(if $is_amx {
                // A row of bytes takes as long as the panel takes to be read.
                return match operands.rows {
                    1 if P::PER_WORD == 4 => {
                        $crate::arch::row_of_pieces::<Self, P, $vectors>(self, operands, out, accumulate)
                    }
                    _ => $amx::tile::<P>(operands, out, accumulate),
                };
            })?
            match operands.rows {
                $($n => $crate::arch::tile_of::<Self, P, $n, $vectors>(self, operands, out, accumulate),)*
                rows => panic!("a tile cannot have {rows} rows"),
            }
        }
    };
}
use tile;

#[cfg(test)]
mod tests;
