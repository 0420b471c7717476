use super::*;
use crate::tests::numbers;

/// `out[i][j] (+)= sum over k of a[k][i] * b[k][j]`, in f64.
fn plain_tile(rows: usize, a: &[f32], a_stride: usize, b: &[f32], columns: usize, out: &mut [f32]) {
    for i in 0..rows {
        for j in 0..columns {
            let products =
                a.chunks(a_stride).zip(b.chunks(columns)).map(|(a, b)| f64::from(a[i]) * f64::from(b[j]));
            out[i * columns + j] += products.sum::<f64>() as f32;
        }
    }
}

struct CheckTiles;

impl Kernel for CheckTiles {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        let columns = S::TILE_COLUMNS;
        for rows in 1..=S::TILE_ROWS {
            for (n_k, a_stride) in [(0, rows), (1, rows), (7, S::TILE_ROWS), (64, 64)] {
                let a = numbers(n_k * a_stride, 1);
                let b = numbers(n_k * columns, 2);
                for accumulate in [false, true] {
                    let mut out = numbers(rows * columns, 3);
                    let mut expected = if accumulate { out.clone() } else { vec![0.0; out.len()] };
                    plain_tile(rows, &a, a_stride, &b, columns, &mut expected);
                    simd.tile(rows, &a, a_stride, &b, &mut out, accumulate);
                    for (x, y) in out.iter().zip(&expected) {
                        assert!((x - y).abs() < 1e-4, "{rows} rows, {n_k} products: {x} is not {y}");
                    }
                }
            }
        }
    }
}

struct CheckLanes;

impl Kernel for CheckLanes {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        let (x, y) = (numbers(S::LANES, 4), numbers(S::LANES, 5));
        let (vx, vy) = (simd.load(&x), simd.load(&y));
        let check = |name: &str, v: S::F32, f: &dyn Fn(f32, f32) -> f32| {
            let mut out = vec![0.0; S::LANES];
            simd.store(v, &mut out);
            for ((out, x), y) in out.iter().zip(&x).zip(&y) {
                assert!((out - f(*x, *y)).abs() <= 1e-6, "{name} of {x} and {y} is {out}");
            }
        };
        check("add", simd.add(vx, vy), &|x, y| x + y);
        check("sub", simd.sub(vx, vy), &|x, y| x - y);
        check("mul", simd.mul(vx, vy), &|x, y| x * y);
        check("div", simd.div(vx, simd.splat(0.75)), &|x, _| x / 0.75);
        check("mul_add", simd.mul_add(vx, vy, vx), &|x, y| x * y + x);
        check("max", simd.max(vx, vy), &f32::max);
        check("min", simd.min(vx, vy), &f32::min);
        check("round", simd.round(simd.mul(vx, simd.splat(10.0))), &|x, _| (x * 10.0).round_ties_even());
        for n in [-126.0, -1.0, 0.0, 5.0, 127.0] {
            check("exp2", simd.mul(simd.exp2_integer(simd.splat(n)), simd.splat(1.0 / n.exp2())), &|_, _| {
                1.0
            });
        }
        assert!((simd.sum(vx) - x.iter().sum::<f32>()).abs() < 1e-5);
        assert_eq!(simd.max_lane(vx), x.iter().copied().fold(f32::MIN, f32::max));
    }
}

#[test]
fn tiles_equal_the_plain_sum_on_every_instruction_set() {
    for set in InstructionSet::available() {
        run_on(set, CheckTiles);
    }
}

#[test]
fn lanes_compute_what_scalars_do_on_every_instruction_set() {
    for set in InstructionSet::available() {
        run_on(set, CheckLanes);
    }
}

#[test]
fn the_best_set_is_available() {
    assert!(InstructionSet::available().contains(&InstructionSet::detect()));
}
