use super::*;
use crate::arch::{InstructionSet, run_on};
use crate::tests::{assert_close, numbers};

/// Every length from nothing to two rounds of [`fold`] with the widest vectors and all that may come behind.
const LENGTHS: std::ops::RangeInclusive<usize> = 0..=191;

fn for_each_set_and_length(check: impl Fn(InstructionSet, usize)) {
    for set in InstructionSet::available() {
        LENGTHS.for_each(|n| check(set, n));
    }
}

/// The error function by its series, in f64; beyond 4.5 it is 1 to ten digits.
fn erf(x: f64) -> f64 {
    if x.abs() > 4.5 {
        return x.signum();
    }
    let mut term = x;
    let mut sum = x;
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

#[test]
fn dot_products_equal_those_in_f64() {
    for_each_set_and_length(|set, n| {
        let (x, y) = (numbers(n, 1), numbers(n, 2));
        let expected: f64 = x.iter().zip(&y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
        assert_close("dot", &[run_on(set, Dot { x: &x, y: &y })], &[expected as f32], 1e-5);
    });
}

#[test]
fn sums_and_maxima_do_not_see_the_padding() {
    for_each_set_and_length(|set, n| {
        let x: Vec<f32> = numbers(n, 3).iter().map(|x| x - 5.0).collect();
        let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        assert_eq!(run_on(set, Max { x: &x }), max);
        let expected: f64 = x.iter().map(|x| f64::from(*x + 4.0).exp()).sum();
        assert_close("exp_sum", &[run_on(set, ExpSum { x: &x, offset: -4.0 })], &[expected as f32], 1e-4);
        let (mut out, y) = (numbers(n, 8), numbers(n, 9));
        let sum: Vec<f32> = out.iter().zip(&y).map(|(x, y)| x + y).collect();
        run_on(set, Add { out: &mut out, x: &y });
        assert_eq!(out, sum);
    });
}

#[test]
fn an_extreme_is_found_wherever_it_stands() {
    for set in InstructionSet::available() {
        for at in LENGTHS {
            let mut x = vec![0.25; *LENGTHS.end() + 1];
            for (extreme, max) in [(3.0, 3.0), (-3.0, 0.25)] {
                x[at] = extreme;
                assert_eq!(run_on(set, Max { x: &x }), max, "{set}: {extreme} at {at}");
                assert_eq!(run_on(set, AbsMax { x: &x }), 3.0, "{set}: {extreme} at {at}");
            }
        }
    }
}

#[test]
fn softmax_sums_to_one_and_keeps_ratios() {
    for_each_set_and_length(|set, n| {
        if n == 0 {
            return;
        }
        let x: Vec<f32> = numbers(n, 4).iter().map(|x| x * 30.0).collect();
        let max = x.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = x.iter().map(|x| f64::from(x - max).exp()).sum();
        let expected: Vec<f32> = x.iter().map(|x| (f64::from(x - max).exp() / sum) as f32).collect();
        let mut out = x;
        run_on(set, Softmax { x: &mut out });
        assert_close("softmax", &out, &expected, 1e-6);
    });
}

#[test]
fn gelu_is_exact_to_5e_7_from_minus_10_to_10() {
    let x: Vec<f32> = (-10_000..=10_000).map(|i| i as f32 / 1000.0).collect();
    let expected: Vec<f32> = x
        .iter()
        .map(|x| f64::from(*x))
        .map(|x| (x * 0.5 * (1.0 + erf(x / std::f64::consts::SQRT_2))) as f32)
        .collect();
    for set in InstructionSet::available() {
        let mut out = x.clone();
        run_on(set, Gelu { x: &mut out });
        for ((out, expected), x) in out.iter().zip(&expected).zip(&x) {
            let tolerance = 5e-7_f32.max(x.abs() * 4e-7);
            assert!((out - expected).abs() <= tolerance, "{set}: gelu({x}) is {out}, not {expected}");
        }
    }
}

#[test]
fn exp_is_exact_to_2e_7_of_itself() {
    struct Exp<'a>(&'a mut [f32]);
    impl Kernel for Exp<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            map(simd, self.0, |x| exp(simd, x));
        }
    }
    let x: Vec<f32> = (-8600..=8700).map(|i| i as f32 / 100.0).collect();
    for set in InstructionSet::available() {
        let mut out = x.clone();
        run_on(set, Exp(&mut out));
        for (out, x) in out.iter().zip(&x) {
            let expected = f64::from(*x).exp();
            assert!(
                (f64::from(*out) / expected - 1.0).abs() < 2e-7,
                "{set}: exp({x}) is {out}, not {expected}"
            );
        }
        let mut far = [f32::NEG_INFINITY, -1000.0];
        run_on(set, Exp(&mut far));
        assert!(far.iter().all(|x| (0.0..2e-38).contains(x)));
    }
}

#[test]
fn layer_norm_equals_that_in_f64() {
    for_each_set_and_length(|set, n| {
        if n == 0 {
            return;
        }
        let x: Vec<f32> = numbers(n, 5).iter().map(|x| 3.0 * x + 7.0).collect();
        let (weight, bias) = (numbers(n, 6), numbers(n, 7));
        let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / n as f64;
        let variance = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n as f64;
        let norm = |x: f32| (f64::from(x) - mean) / (variance + 1e-5).sqrt();
        let expected: Vec<f32> =
            x.iter().zip(&weight).zip(&bias).map(|((x, w), b)| norm(*x) as f32 * w + b).collect();
        let mut out = vec![0.0; n];
        run_on(set, LayerNorm { x: &x, weight: &weight, bias: &bias, out: &mut out });
        assert_close("layer_norm", &out, &expected, 1e-5);
    });
}

#[test]
fn log_sum_exp_does_not_overflow() {
    assert_close("log_sum_exp", &[log_sum_exp(&[1000.0, 1000.0])], &[1000.0 + 2f32.ln()], 1e-4);
    assert_eq!(log_sum_exp(&[f32::NEG_INFINITY; 3]), f32::NEG_INFINITY);
}
