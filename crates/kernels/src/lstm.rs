//! One step of a long short-term memory.

use crate::arch::{Kernel, Simd, dispatch};
use crate::vector::{MAX_LANES, exp};

/// Moves a layer of LSTM units on by one step: `cell = σ(forget) · cell + σ(input) · tanh(candidate)` and
/// `output = σ(output gate) · tanh(cell)`. Absolute error below 1e-6.
///
/// - `gates`: `[4, n_units]` before activation: input, forget, candidate, output.
/// - `cell`, `output`: `[n_units]`
///
/// # Panics
/// If the lengths do not fit.
///
/// Source: `torch.nn.LSTM`, whose order of gates this is.
pub fn lstm_step(gates: &[f32], cell: &mut [f32], output: &mut [f32]) {
    dispatch(Step { gates, cell, output });
}

struct Step<'a> {
    gates: &'a [f32],
    cell: &'a mut [f32],
    output: &'a mut [f32],
}

impl Kernel for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { gates, cell, output } = self;
        let n = cell.len();
        assert!(output.len() == n && gates.len() == 4 * n, "lstm_step: the lengths do not fit");
        for start in (0..n).step_by(S::LANES) {
            let n_lanes = S::LANES.min(n - start);
            let [input, forget, candidate, open] =
                [0, 1, 2, 3].map(|gate| &gates[gate * n + start..][..n_lanes]);
            let kept = simd.mul(logistic(simd, load(simd, forget)), load(simd, &cell[start..][..n_lanes]));
            let new = tanh(simd, load(simd, candidate));
            let next = simd.mul_add(logistic(simd, load(simd, input)), new, kept);
            let said = simd.mul(logistic(simd, load(simd, open)), tanh(simd, next));
            let mut lanes = [0.0; MAX_LANES];
            for (value, out) in [(next, &mut *cell), (said, &mut *output)] {
                simd.store(value, &mut lanes);
                out[start..start + n_lanes].copy_from_slice(&lanes[..n_lanes]);
            }
        }
    }
}

/// Up to a vector of numbers, with zeros behind them.
#[inline(always)]
fn load<S: Simd>(simd: S, x: &[f32]) -> S::F32 {
    if x.len() == S::LANES {
        return simd.load(x);
    }
    let mut padded = [0.0; MAX_LANES];
    padded[..x.len()].copy_from_slice(x);
    simd.load(&padded)
}

/// `1 / (1 + exp(-x))`
#[inline(always)]
fn logistic<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let one = simd.splat(1.0);
    simd.div(one, simd.add(one, exp(simd, simd.sub(simd.splat(0.0), x))))
}

/// `2 / (1 + exp(-2x)) - 1`
#[inline(always)]
fn tanh<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let twice = logistic(simd, simd.add(x, x));
    simd.sub(simd.add(twice, twice), simd.splat(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{InstructionSet, run_on};
    use crate::tests::{assert_close, numbers};

    #[test]
    fn a_step_equals_that_in_f64_for_every_length() {
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        for set in InstructionSet::available() {
            for n in 0..=67 {
                let gates: Vec<f32> = numbers(4 * n, 1).iter().map(|x| x * 20.0).collect();
                let (mut cell, mut output) = (numbers(n, 2), vec![0.0; n]);
                let of = |gate: usize, idx: usize| f64::from(gates[gate * n + idx]);
                let expected: Vec<(f64, f64)> = (0..n)
                    .map(|idx| {
                        let kept = logistic(of(1, idx)) * f64::from(cell[idx]);
                        let next = kept + logistic(of(0, idx)) * of(2, idx).tanh();
                        (next, logistic(of(3, idx)) * next.tanh())
                    })
                    .collect();
                run_on(set, Step { gates: &gates, cell: &mut cell, output: &mut output });
                let (cells, outputs): (Vec<f32>, Vec<f32>) =
                    expected.iter().map(|(cell, output)| (*cell as f32, *output as f32)).unzip();
                assert_close("cell", &cell, &cells, 1e-6);
                assert_close("output", &output, &outputs, 1e-6);
            }
        }
    }

    #[test]
    fn gates_far_from_zero_are_open_or_shut() {
        for set in InstructionSet::available() {
            let (mut cell, mut output) = ([3.0], [0.0]);
            run_on(set, Step { gates: &[-1e9, 1e9, 5.0, 1e9], cell: &mut cell, output: &mut output });
            assert_close("cell", &cell, &[3.0], 1e-6);
            assert_close("output", &output, &[3.0_f32.tanh()], 1e-6);
        }
    }
}
