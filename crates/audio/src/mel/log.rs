//! The logarithm of many numbers.

/// `x[i] = log10(x[i])` for normal numbers above zero; error below 2e-7 of the result, or of 1 where that is more.
///
/// It is made of operations that compilers turn into vectors everywhere, so that a recording has the same features to
/// the bit on every machine.
///
/// Source: the polynomial of `logf` in Cephes, `single/logf.c`.
pub(super) fn log10(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = log10_of(*x));
}

#[inline(always)]
fn log10_of(x: f32) -> f32 {
    const SQRT_HALF: u32 = std::f32::consts::FRAC_1_SQRT_2.to_bits();
    const LOG10_2_HIGH: f32 = 0.301_025_4;
    const LOG10_2_LOW: f32 = 4.605_039e-6;
    const POLYNOMIAL: [f32; 9] = [
        7.037_683_6e-2,
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    // x is 2^n times a mantissa between the square roots of 1/2 and 2.
    let n = x.to_bits().wrapping_sub(SQRT_HALF).cast_signed() >> 23;
    let mantissa = f32::from_bits(x.to_bits().wrapping_sub((n << 23).cast_unsigned()));
    let f = mantissa - 1.0;
    let tail = POLYNOMIAL.iter().fold(0.0, |sum, c| sum * f + c);
    let ln = f * f * (f * tail - 0.5) + f;
    // The greater part of log10(2) has so few bits that its product is exact.
    n as f32 * LOG10_2_HIGH + (n as f32 * LOG10_2_LOW + ln * std::f32::consts::LOG10_E)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_logarithm() {
        let mut worst: f64 = 0.0;
        for bits in (f32::MIN_POSITIVE.to_bits()..f32::MAX.to_bits()).step_by(997) {
            let (x, mut out) = (f32::from_bits(bits), [f32::from_bits(bits)]);
            log10(&mut out);
            worst = worst
                .max((f64::from(out[0]) - f64::from(x).log10()).abs() / f64::from(x).log10().abs().max(1.0));
        }
        assert!(worst < 2e-7, "{worst:e}");
        let mut out = [1.0, 10.0, 1e-10, 100.0];
        log10(&mut out);
        assert_eq!(out, [0.0, 1.0, -10.0, 2.0]);
    }
}
