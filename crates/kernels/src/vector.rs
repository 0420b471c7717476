//! Operations on single vectors: norms, activations, softmax.

use crate::arch::{Kernel, Simd, dispatch};

/// More lanes than any instruction set has.
pub(crate) const MAX_LANES: usize = 16;

/// The inner product of two vectors.
///
/// # Panics
/// If they differ in length.
pub fn dot(x: &[f32], y: &[f32]) -> f32 {
    dispatch(Dot { x, y })
}

/// `out[i] += x[i]`
///
/// # Panics
/// If they differ in length.
pub fn add(out: &mut [f32], x: &[f32]) {
    dispatch(Add { out, x });
}

/// The greatest element; minus infinity if there is none.
pub fn max(x: &[f32]) -> f32 {
    dispatch(Max { x })
}

/// The greatest magnitude; 0 if there is none.
pub(crate) fn abs_max(x: &[f32]) -> f32 {
    dispatch(AbsMax { x })
}

/// `out[i] = x[i] * inverses[i]`, rounded to signed bytes, which it must fit into. Returns the sum of the bytes.
///
/// # Panics
/// If the lengths differ.
pub(crate) fn to_steps(x: &[f32], inverses: &[f32], out: &mut [i8]) -> i32 {
    dispatch(ToSteps { x, inverses, out })
}

/// The sum of `exp(x[i] - offset)`.
pub fn exp_sum(x: &[f32], offset: f32) -> f32 {
    dispatch(ExpSum { x, offset })
}

/// `ln(sum of exp(x[i]))`, without overflow; minus infinity if all are.
pub fn log_sum_exp(x: &[f32]) -> f32 {
    let max = max(x);
    if max == f32::NEG_INFINITY { max } else { max + exp_sum(x, max).ln() }
}

/// Softmax in place: `x[i] = exp(x[i]) / sum of exp(x)`. At least one element is finite.
pub fn softmax(x: &mut [f32]) {
    dispatch(Softmax { x });
}

/// GELU in its exact form, in place: `x * (1 + erf(x / sqrt 2)) / 2`. Absolute error below 5e-7.
pub fn gelu(x: &mut [f32]) {
    dispatch(Gelu { x });
}

/// Layer normalisation of one row: `(x - mean) / sqrt(variance + 1e-5) * weight + bias`.
///
/// # Panics
/// If the lengths differ.
pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    dispatch(LayerNorm { x, weight, bias, out });
}

/// `exp(x)` for x up to 88; below -87 it is 1e-38. Relative error below 2e-7.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const POLYNOMIAL: [f32; 6] =
        [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1];
    let x = simd.min(simd.max(x, simd.splat(-87.0)), simd.splat(88.0));
    let n = simd.round(simd.mul(x, simd.splat(std::f32::consts::LOG2_E)));
    let r = simd.mul_add(n, simd.splat(-LN_2_HIGH), x);
    let r = simd.mul_add(n, simd.splat(-LN_2_LOW), r);
    let tail = polynomial(simd, r, &POLYNOMIAL);
    let tail = simd.mul_add(tail, simd.mul(r, r), r);
    simd.mul(simd.add(tail, simd.splat(1.0)), simd.exp2_integer(n))
}

/// The coefficients stand from the highest power to the lowest.
#[inline(always)]
fn polynomial<S: Simd>(simd: S, x: S::F32, coefficients: &[f32]) -> S::F32 {
    let (first, rest) = coefficients.split_first().expect("a polynomial has a coefficient");
    let mut sum = simd.splat(*first);
    for c in rest {
        sum = simd.mul_add(sum, x, simd.splat(*c));
    }
    sum
}

/// See [`gelu`]. The error function is a quotient of polynomials in x², odd over even, on -4..=4.
#[inline(always)]
pub(crate) fn gelu_vector<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    const ODD: [f32; 7] = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const EVEN: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2];
    let z = simd.mul(x, simd.splat(std::f32::consts::FRAC_1_SQRT_2));
    let z = simd.min(simd.max(z, simd.splat(-4.0)), simd.splat(4.0));
    let zz = simd.mul(z, z);
    let erf = simd.div(simd.mul(z, polynomial(simd, zz, &ODD)), polynomial(simd, zz, &EVEN));
    // Below -6 the result is 0 to seven digits; without the bound, the last bit of `erf` would be multiplied.
    let half = simd.mul(simd.max(x, simd.splat(-6.0)), simd.splat(0.5));
    simd.mul_add(half, erf, half)
}

/// [`gelu_vector`] where bf16 or bytes come after: absolute error below 2e-4, without a division.
///
/// The normal distribution less a half is an odd polynomial on -4..=4.
#[inline(always)]
pub(crate) fn gelu_rough<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    const OVER_X: [f32; 7] = [
        2.278_001e-8,
        -1.598_524_1e-6,
        4.795_384_7e-5,
        -8.139_979e-4,
        8.772_295e-3,
        -6.457_289e-2,
        3.978_831_8e-1,
    ];
    let z = simd.min(simd.max(x, simd.splat(-4.0)), simd.splat(4.0));
    let below = simd.mul(z, polynomial(simd, simd.mul(z, z), &OVER_X));
    // Far below zero the result is 0: without the bound, the error at -4 would be multiplied.
    let x = simd.max(x, simd.splat(-4.0));
    simd.mul_add(x, below, simd.mul(x, simd.splat(0.5)))
}

/// `2^x`, for x below 127: exact to seven digits.
#[inline(always)]
pub(crate) fn exp2<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    const POLYNOMIAL: [f32; 7] = [
        2.170_224_3e-4,
        1.243_969_2e-3,
        9.678_84e-3,
        5.548_334e-2,
        2.402_298_3e-1,
        std::f32::consts::LN_2,
        1.0,
    ];
    simd.scale_exp2(polynomial(simd, simd.fraction(x), &POLYNOMIAL), x)
}

/// [`exp2`] where bf16 comes after: relative error below 8e-5.
#[inline(always)]
pub(crate) fn exp2_rough<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    const POLYNOMIAL: [f32; 4] = [7.802_44e-2, 2.260_673_8e-1, 6.958_334_4e-1, 9.999_252_6e-1];
    simd.scale_exp2(polynomial(simd, simd.fraction(x), &POLYNOMIAL), x)
}

/// Replaces each element by `f` of it; the rest that fills no vector goes through a padded one.
#[inline(always)]
fn map<S: Simd>(simd: S, x: &mut [f32], f: impl Fn(S::F32) -> S::F32) {
    let mut chunks = x.chunks_exact_mut(S::LANES);
    for x in chunks.by_ref() {
        simd.store(f(simd.load(x)), x);
    }
    let rest = chunks.into_remainder();
    if !rest.is_empty() {
        let mut padded = [0.0; MAX_LANES];
        padded[..rest.len()].copy_from_slice(rest);
        let y = f(simd.load(&padded));
        simd.store(y, &mut padded);
        rest.copy_from_slice(&padded[..rest.len()]);
    }
}

/// Calls `f` with the place and the numbers of each vector; the rest that fills no vector is padded with zeros.
#[inline(always)]
pub(crate) fn for_each_vector<S: Simd>(simd: S, x: &[f32], mut f: impl FnMut(usize, S::F32)) {
    let chunks = x.chunks_exact(S::LANES);
    let rest = chunks.remainder();
    for (idx, x) in chunks.enumerate() {
        f(idx * S::LANES, simd.load(x));
    }
    if !rest.is_empty() {
        let mut padded = [0.0; MAX_LANES];
        padded[..rest.len()].copy_from_slice(rest);
        f(x.len() - rest.len(), simd.load(&padded));
    }
}

/// The greatest element; minus infinity if there is none.
#[inline(always)]
pub(crate) fn fold_max<S: Simd>(simd: S, x: &[f32]) -> f32 {
    let least = f32::NEG_INFINITY;
    simd.max_lane(fold(
        simd,
        x,
        least,
        simd.splat(least),
        #[inline(always)]
        |max, x| simd.max(max, x),
        #[inline(always)]
        |x, y| simd.max(x, y),
    ))
}

/// The sum of `f` of each vector; the rest that fills no vector is padded with `neutral`.
#[inline(always)]
fn fold_sum<S: Simd>(simd: S, x: &[f32], neutral: f32, f: impl Fn(S::F32) -> S::F32) -> f32 {
    simd.sum(fold(
        simd,
        x,
        neutral,
        simd.splat(0.0),
        #[inline(always)]
        |sum, x| simd.add(sum, f(x)),
        #[inline(always)]
        |x, y| simd.add(x, y),
    ))
}

/// Folds all vectors into one value; the rest that fills no vector is padded with `neutral`.
///
/// Four values that start as `first` take turns, so that none is waited for; `join` makes them one. So the order is not
/// kept, and `first` changes nothing that it is joined with.
#[inline(always)]
pub(crate) fn fold<S: Simd, A: Copy>(
    simd: S,
    x: &[f32],
    neutral: f32,
    first: A,
    f: impl Fn(A, S::F32) -> A,
    join: impl Fn(A, A) -> A,
) -> A {
    const IN_TURN: usize = 4;
    let mut values = [first; IN_TURN];
    let rounds = x.chunks_exact(IN_TURN * S::LANES);
    let vectors = rounds.remainder().chunks_exact(S::LANES);
    let rest = vectors.remainder();
    for x in rounds {
        for (value, x) in values.iter_mut().zip(x.chunks_exact(S::LANES)) {
            *value = f(*value, simd.load(x));
        }
    }
    for (value, x) in values.iter_mut().zip(vectors) {
        *value = f(*value, simd.load(x));
    }
    if !rest.is_empty() {
        let mut padded = [neutral; MAX_LANES];
        padded[..rest.len()].copy_from_slice(rest);
        values[IN_TURN - 1] = f(values[IN_TURN - 1], simd.load(&padded));
    }
    let [a, b, c, d] = values;
    join(join(a, b), join(c, d))
}

struct Dot<'a> {
    x: &'a [f32],
    y: &'a [f32],
}

impl Kernel for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        assert_eq!(self.x.len(), self.y.len(), "dot: x and y differ in length");
        let (mut xs, mut ys) = (self.x.chunks_exact(S::LANES), self.y.chunks_exact(S::LANES));
        let mut sum = simd.splat(0.0);
        for (x, y) in xs.by_ref().zip(ys.by_ref()) {
            sum = simd.mul_add(simd.load(x), simd.load(y), sum);
        }
        let tail: f32 = xs.remainder().iter().zip(ys.remainder()).map(|(x, y)| x * y).sum();
        simd.sum(sum) + tail
    }
}

struct Add<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
}

impl Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        assert_eq!(self.x.len(), self.out.len(), "add: x and out differ in length");
        for (out, x) in self.out.iter_mut().zip(self.x) {
            *out += x;
        }
    }
}

struct Max<'a> {
    x: &'a [f32],
}

impl Kernel for Max<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        fold_max(simd, self.x)
    }
}

struct AbsMax<'a> {
    x: &'a [f32],
}

impl Kernel for AbsMax<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let zero = simd.splat(0.0);
        simd.max_lane(fold(
            simd,
            self.x,
            0.0,
            zero,
            #[inline(always)]
            |max, x| simd.max(max, simd.max(x, simd.sub(zero, x))),
            #[inline(always)]
            |x, y| simd.max(x, y),
        ))
    }
}

struct ToSteps<'a> {
    x: &'a [f32],
    inverses: &'a [f32],
    out: &'a mut [i8],
}

impl Kernel for ToSteps<'_> {
    type Output = i32;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> i32 {
        steps(self.x, self.inverses, self.out)
    }
}

/// [`to_steps`] inside a kernel.
#[inline(always)]
pub(crate) fn steps(x: &[f32], inverses: &[f32], out: &mut [i8]) -> i32 {
    // Adding this leaves no room for fractions: the whole number stands in the lowest bits.
    const WHOLE: f32 = 12_582_912.0;
    assert!([x.len(), inverses.len()] == [out.len(); 2], "steps: the lengths differ");
    let mut sum = 0;
    for ((out, x), inverse) in out.iter_mut().zip(x).zip(inverses) {
        *out = ((x * inverse + WHOLE).to_bits() as u8).cast_signed();
        sum += i32::from(*out);
    }
    sum
}

struct ExpSum<'a> {
    x: &'a [f32],
    offset: f32,
}

impl Kernel for ExpSum<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let offset = simd.splat(self.offset);
        fold_sum(
            simd,
            self.x,
            f32::NEG_INFINITY,
            #[inline(always)]
            |x| exp(simd, simd.sub(x, offset)),
        )
    }
}

struct Softmax<'a> {
    x: &'a mut [f32],
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let max = simd.splat(fold_max(simd, self.x));
        map(
            simd,
            self.x,
            #[inline(always)]
            |x| exp(simd, simd.sub(x, max)),
        );
        let sum = fold_sum(
            simd,
            self.x,
            0.0,
            #[inline(always)]
            |x| x,
        );
        let scale = simd.splat(1.0 / sum);
        map(
            simd,
            self.x,
            #[inline(always)]
            |x| simd.mul(x, scale),
        );
    }
}

struct Gelu<'a> {
    x: &'a mut [f32],
}

impl Kernel for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        map(
            simd,
            self.x,
            #[inline(always)]
            |x| gelu_vector(simd, x),
        );
    }
}

struct LayerNorm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        const EPSILON: f32 = 1e-5;
        let Self { x, weight, bias, out } = self;
        let n = x.len();
        assert!([weight.len(), bias.len(), out.len()] == [n; 3], "layer_norm: the lengths differ");
        let sum = fold_sum(
            simd,
            x,
            0.0,
            #[inline(always)]
            |x| x,
        );
        let mean = sum / n as f32;
        let squares = fold_sum(
            simd,
            x,
            mean,
            #[inline(always)]
            |x| {
                let d = simd.sub(x, simd.splat(mean));
                simd.mul(d, d)
            },
        );
        let scale = 1.0 / (squares / n as f32 + EPSILON).sqrt();
        for (((out, x), weight), bias) in out.iter_mut().zip(x).zip(weight).zip(bias) {
            *out = (x - mean) * scale * weight + bias;
        }
    }
}

#[cfg(test)]
mod tests;
