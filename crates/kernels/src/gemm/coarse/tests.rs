use super::*;
use crate::arch::InstructionSet;
use crate::gemm::{Weights, linear};
use crate::tests::numbers;

/// A layer whose weights are `shape` of numbers in -1..1, with one of 1 in each row, so that all steps are worth the same.
fn layer(set: InstructionSet, n_out: usize, n_in: usize, shape: fn(f32) -> f32) -> Linear {
    let mut w: Vec<f32> = numbers(n_out * n_in, 2).into_iter().map(shape).collect();
    w.iter_mut().step_by(n_in).for_each(|w| *w = 1.0);
    Linear::new(Weights::pack_for(set, &w, n_out, n_in, Precision::Int8), numbers(n_out, 3))
}

/// Inputs that are not zero in the mean.
fn row(n_in: usize, seed: u64) -> Vec<f32> {
    numbers(n_in, seed).into_iter().map(|x| x + 0.3).collect()
}

fn exact(threads: &Threads, layer: &Linear, x: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; layer.weights().n_out()];
    linear(threads, Input::matrix(x, x.len()), layer, Epilogue::Store, &mut out);
    out
}

#[test]
fn rough_outputs_are_as_far_off_as_four_bits_are_and_the_others_exact() {
    let threads = Threads::new(2);
    for set in InstructionSet::available() {
        for (n_out, n_in, n_rough) in
            [(1000, 128, 900), (700, 65, 700), (40, 3, 31), (33, 20, 0), (5000, 384, 4999)]
        {
            let (layer, x) = (layer(set, n_out, n_in, |w| w), row(n_in, 1));
            let coarse = Coarse::new(&threads, &layer, n_rough);
            let mut out = vec![f32::NAN; n_out];
            coarse.multiply(&threads, &layer, &x, &mut out);
            let exact = exact(&threads, &layer, &x);
            assert!(coarse.n_rough <= n_rough && coarse.n_rough + set.tile().columns > n_rough);
            assert_eq!(out[coarse.n_rough..], exact[coarse.n_rough..], "{set}: {n_out} x {n_in}");
            let errors = out.iter().zip(&exact).take(coarse.n_rough).map(|(out, exact)| (out - exact).abs());
            let deviation = 4.61 / 127.0 * dot(&x, &x).sqrt(); // of numbers from 0 to 15
            let squares: f32 = errors.clone().map(|error| error * error).sum();
            let found = (squares / coarse.n_rough.max(1) as f32).sqrt();
            let greatest = errors.fold(0.0, f32::max);
            assert!(greatest < SURELY * deviation, "{set}: {n_out} x {n_in}: {greatest} of {deviation}");
            if coarse.n_rough > 500 {
                assert!(
                    (0.8..1.1).contains(&(found / deviation)),
                    "{set}: {n_out} x {n_in}: {found} of {deviation}"
                );
            }
        }
    }
}

#[test]
fn the_greatest_output_is_exact_after_it_is_refined() {
    let threads = Threads::new(2);
    let (n_out, n_in) = (3000, 64);
    // Some weights are like the greatest, some mostly far below it.
    let shapes: [fn(f32) -> f32; 2] = [|w| w, |w| w.powi(5)];
    for (set, shape) in
        InstructionSet::available().into_iter().flat_map(|set| shapes.map(|shape| (set, shape)))
    {
        let layer = layer(set, n_out, n_in, shape);
        let coarse = Coarse::new(&threads, &layer, 2500);
        let ranges = [0..n_out, 0..2600, 700..2400, 2550..2900, 40..41];
        for (seed, among) in (100..400).zip(ranges.into_iter().cycle()) {
            let x = row(n_in, seed);
            let exact = exact(&threads, &layer, &x);
            let mut out = vec![0.0; n_out];
            coarse.multiply(&threads, &layer, &x, &mut out);
            // The greatest may not be chosen.
            let best = |x: &[f32]| among.clone().max_by(|a, b| x[*a].total_cmp(&x[*b])).unwrap();
            let forbidden = if among.len() > 1 { best(&exact) } else { 0 };
            out[forbidden] = f32::NEG_INFINITY;
            coarse.refine(&layer, &x, among.clone(), &mut out);
            assert_eq!(out[forbidden], f32::NEG_INFINITY, "{set}");
            let mut allowed = exact.clone();
            allowed[forbidden] = f32::NEG_INFINITY;
            let (expected, found) = (best(&allowed), best(&out));
            assert_eq!((found, out[found]), (expected, exact[expected]), "{set}: {among:?}, seed {seed}");
            let n_exact = out.iter().zip(&exact).take(2500).filter(|(out, exact)| out == exact).count();
            assert!(n_exact < 2500, "{set}: all are computed again");
        }
    }
}
