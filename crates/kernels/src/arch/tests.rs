use super::*;
use crate::tests::numbers;

/// What a word holds, as numbers.
fn unpack<P: Product>(word: u32, is_signed: bool) -> Vec<f64> {
    let bytes = word.to_le_bytes();
    match P::PER_WORD {
        1 => vec![f32::from_bits(word).into()],
        2 => bytes.chunks(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f64()).collect(),
        _ if is_signed => bytes.map(|b| f64::from(b.cast_signed())).to_vec(),
        _ => bytes.map(f64::from).to_vec(),
    }
}

/// Words with numbers in -1..1, or any bytes.
fn words<P: Product>(n: usize, seed: u64) -> Vec<u32> {
    let x = numbers(n * P::PER_WORD, seed);
    let word = |x: &[f32]| match x {
        [x] => x.to_bits(),
        [x, y] => [x, y]
            .map(|x| half::bf16::from_f32(*x).to_bits())
            .iter()
            .rev()
            .fold(0, |w, b| w << 16 | u32::from(*b)),
        bytes => bytes.iter().fold(0, |w, x| w << 8 | ((x + 1.0) * 127.99) as u32),
    };
    x.chunks(P::PER_WORD).map(word).collect()
}

struct CheckTiles;

impl Kernel for CheckTiles {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        simd.prepare_tiles();
        if S::TILE_STEPS == 1 {
            check_tiles::<S, F32>(simd); // AMX has none
        }
        check_tiles::<S, Bf16>(simd);
        check_tiles::<S, Bytes>(simd);
    }
}

fn check_tiles<S: Simd, P: Product>(simd: S) {
    let columns = S::TILE_COLUMNS;
    for rows in 1..=S::TILE_ROWS {
        for (n_k, extra) in [(0, 0), (1, 0), (7, S::TILE_ROWS - rows), (64, 64)] {
            let n_k = n_k * S::TILE_STEPS;
            let room = if S::TILE_STEPS == 1 { rows } else { S::TILE_ROWS };
            let a_stride = (room + extra) * S::TILE_STEPS;
            let (a, b) = (words::<P>(n_k / S::TILE_STEPS * a_stride, 1), words::<P>(n_k * columns, 2));
            let mut out = vec![0x7fff_ffff; rows * columns];
            for n_times in [1.0, 2.0] {
                simd.tile::<P>(
                    Operands { rows, a: &a, a_stride, b: &b, b_is_far: n_times > 1.0 },
                    &mut out,
                    n_times > 1.0,
                );
                for (idx, found) in out.iter().enumerate() {
                    let (i, j) = (idx / columns, idx % columns);
                    let product = |k: usize| {
                        let a_idx = k / S::TILE_STEPS * a_stride + i * S::TILE_STEPS + k % S::TILE_STEPS;
                        let (a, b) = (
                            unpack::<P>(a[a_idx], S::LEAST_BYTE < 0.0),
                            unpack::<P>(b[k * columns + j], true),
                        );
                        a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>()
                    };
                    let expected = n_times * (0..n_k).map(product).sum::<f64>();
                    let found = if P::PER_WORD == 4 {
                        f64::from(found.cast_signed())
                    } else {
                        f32::from_bits(*found).into()
                    };
                    let tolerance = if P::PER_WORD == 4 { 0.0 } else { 1e-4 * S::TILE_STEPS as f64 };
                    assert!(
                        (found - expected).abs() <= tolerance,
                        "{rows} rows, {n_k} words: {found} is not {expected}"
                    );
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
        check("fraction", simd.fraction(simd.mul(vx, simd.splat(50.5))), &|x, _| {
            x * 50.5 - (x * 50.5).floor()
        });
        for n in [-124.5, -1.5, 0.3, 5.9, 126.5] {
            let scaled = simd.scale_exp2(simd.splat(1.5), simd.splat(n));
            check("scale_exp2", simd.mul(scaled, simd.splat(1.0 / n.floor().exp2())), &|_, _| 1.5);
        }
        let bytes = words::<Bytes>(S::LANES, 6);
        let mut words = vec![0; S::LANES];
        simd.store_words(simd.splat_word((-7_i32).cast_unsigned()), &mut words);
        check("to_f32", simd.to_f32(simd.load_words(&words)), &|_, _| -7.0);
        for (half, found) in simd.nibbles(simd.load_words(&bytes)).into_iter().enumerate() {
            simd.store_words(found, &mut words);
            let expected: Vec<u32> = bytes.iter().map(|word| word >> (4 * half) & 0x0f0f_0f0f).collect();
            assert_eq!(words, expected, "nibbles {half}");
        }
        check("as_f32", simd.as_f32(simd.splat_word(1.5_f32.to_bits())), &|_, _| 1.5);
        let halves: Vec<u16> = x.iter().map(|x| half::f16::from_f32(*x).to_bits()).collect();
        check("load_f16", simd.load_f16(&halves), &|x, _| half::f16::from_f32(x).to_f32());
        let steps: Vec<i8> = (0..S::LANES).map(|i| (i as i32 * 17 - 128) as i8).collect();
        let mut loaded = vec![0.0; S::LANES];
        simd.store(simd.load_steps(&steps), &mut loaded);
        assert!(loaded.iter().zip(&steps).all(|(x, step)| *x == f32::from(*step)));
        let mut halves = vec![0; S::LANES];
        simd.store_bf16(vx, &mut halves);
        let expected: Vec<u16> = x.iter().map(|x| half::bf16::from_f32(*x).to_bits()).collect();
        assert_eq!(halves, expected);
        simd.store_words(simd.join_bf16(vx, vy), &mut words);
        for ((word, x), y) in words.iter().zip(&x).zip(&y) {
            let [low, high] = [word << 16, word & 0xffff_0000].map(f32::from_bits);
            assert!((low - x).abs() <= x.abs() / 256.0 && (high - y).abs() <= y.abs() / 256.0);
        }
        let mut bytes = vec![0; S::LANES];
        let middle = 127.5 + S::LEAST_BYTE;
        let number = |byte: u8| left_byte::<S>(byte) as f32;
        simd.store_bytes(simd.mul_add(vx, simd.splat(127.5), simd.splat(middle)), &mut bytes);
        for (byte, x) in bytes.iter().zip(&x) {
            assert!((number(*byte) - (x * 127.5 + middle)).abs() <= 0.5001, "{x} became {byte}");
        }
        for (beyond, bound) in [(-0.6, 0.0), (255.6, 255.0)] {
            simd.store_bytes(simd.splat(beyond + S::LEAST_BYTE), &mut bytes);
            assert_eq!(number(bytes[0]), bound + S::LEAST_BYTE);
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
