use super::rows::bytes_of_row;
use super::*;
use crate::arch::InstructionSet;
use crate::tests::{assert_close, numbers};

/// `x · wᵀ + bias` in f64.
fn plain(input: Input<'_>, weights: &[f32], n_in: usize, bias: Option<&[f32]>) -> Vec<f64> {
    let rows = (0..input.n_rows).map(|row| &input.data[row * input.stride..][..n_in]);
    rows.flat_map(|x| {
        weights.chunks(n_in).enumerate().map(move |(i, w)| {
            let sum: f64 = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
            sum + bias.map_or(0.0, |b| f64::from(b[i]))
        })
    })
    .collect()
}

fn check(
    n_threads: usize,
    n_rows: usize,
    n_out: usize,
    n_in: usize,
    set: InstructionSet,
    precision: Precision,
) {
    let threads = Threads::new(n_threads);
    let (x, w, b) = (numbers(n_rows * n_in, 1), numbers(n_out * n_in, 2), numbers(n_out, 3));
    let input = Input::matrix(&x, n_in);
    let layer = Linear::new(
        Weights::pack_for(set.for_words_of(precision.per_word()), &w, n_out, n_in, precision),
        b.clone(),
    );
    let expected = plain(input, &w, n_in, Some(&b));
    let before = numbers(n_rows * n_out, 4);
    for epilogue in [Epilogue::Store, Epilogue::Add, Epilogue::Gelu] {
        let mut out = before.clone();
        linear(&threads, input, &layer, epilogue, &mut out);
        let mut expected: Vec<f32> = expected.iter().map(|x| *x as f32).collect();
        match epilogue {
            Epilogue::Store => {}
            Epilogue::Add => expected.iter_mut().zip(&before).for_each(|(x, before)| *x += before),
            Epilogue::Gelu => crate::gelu(&mut expected),
        }
        let name = format!("{set}, {precision:?}: {n_rows} x {n_in} times {n_out}, {epilogue:?}");
        // The error of a sum of independent errors, of numbers up to 1.
        let of_one = match precision {
            Precision::F32 => 1e-6,
            Precision::Bf16 => 1.0 / 128.0,
            Precision::Int8 => 1.0 / 64.0,
        };
        assert_close(&name, &out, &expected, of_one * 2.0 * (n_in as f32).sqrt().max(2.0));
    }
}

#[test]
fn products_of_all_shapes_equal_those_in_f64_on_every_instruction_set() {
    for set in InstructionSet::available() {
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            for n_rows in [1, 2, 5, 12, 13, 25, 97, 300] {
                for (n_out, n_in) in [(1, 1), (31, 7), (32, 64), (33, 65), (100, 16)] {
                    check(2, n_rows, n_out, n_in, set, precision);
                }
            }
            check(1, 130, 70, 33, set, precision);
            check(5, 1, 1000, 64, set, precision);
        }
    }
}

#[test]
fn bytes_are_exact_where_the_numbers_are_whole_steps() {
    // Weights of -127..127 and inputs of 0..255 are whole steps, so that nothing is rounded.
    let (n_out, n_in, n_rows) = (40, 129, 30);
    let w: Vec<f32> = (0..n_out * n_in)
        .map(|i| if i % n_in == 0 { 127.0 } else { (i * 37 % 255) as f32 - 127.0 })
        .collect();
    let x: Vec<f32> = (0..n_rows * n_in)
        .map(|i| [0.0, 255.0].get(i % n_in).copied().unwrap_or((i * 53 % 256) as f32))
        .collect();
    let input = Input::matrix(&x, n_in);
    let expected: Vec<f32> = plain(input, &w, n_in, None).iter().map(|x| *x as f32).collect();
    for set in InstructionSet::available() {
        let layer = Linear::without_bias(Weights::pack_for(set, &w, n_out, n_in, Precision::Int8));
        let mut out = vec![0.0; n_rows * n_out];
        linear(&Threads::new(2), input, &layer, Epilogue::Store, &mut out);
        for (found, expected) in out.iter().zip(&expected) {
            assert!(
                (found - expected).abs() <= expected.abs() * 1e-6 + 1.0,
                "{set}: {found} is not {expected}"
            );
        }
    }
}

#[test]
fn bytes_of_a_row_span_its_range_wherever_that_ends() {
    struct BytesOfRow<'a>(&'a [f32], &'a mut [u8]);
    impl Kernel for BytesOfRow<'_> {
        type Output = (RowScale, f32);
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> (RowScale, f32) {
            (bytes_of_row(simd, self.0, self.1), S::LEAST_BYTE)
        }
    }
    const LEN: usize = 191;
    for set in InstructionSet::available() {
        for at in 0..LEN {
            for (sign, place, least) in [(1.0, 255.0, 0.0), (-1.0, 0.0, -3.0)] {
                let (mut x, mut bytes) = ([0.5 * sign; LEN], [0; LEN + 1]);
                x[at] = 3.0 * sign;
                let (row, least_byte) = run_on(set, BytesOfRow(&x, &mut bytes));
                assert!((row.scale - 3.0 / 255.0).abs() < 1e-7, "{set}: {} at {at}", row.scale);
                let offset = least - least_byte * row.scale;
                assert!((row.offset - offset).abs() < 1e-5, "{set}: {} at {at}", row.offset);
                assert_eq!(bytes[at], (place + least_byte) as i32 as u8, "{set}: at {at}");
            }
        }
    }
}

#[test]
fn overlapping_rows_are_a_convolution() {
    let (channels, n_out, n_rows) = (3, 4, 10);
    let x = numbers((2 * n_rows + 1) * channels, 1);
    let w = numbers(n_out * 3 * channels, 2);
    let input = Input { data: &x, n_rows, stride: 2 * channels };
    let layer = Linear::without_bias(Weights::pack(&w, n_out, 3 * channels, Precision::F32));
    let mut out = vec![0.0; n_rows * n_out];
    linear(&Threads::new(1), input, &layer, Epilogue::Store, &mut out);
    let expected: Vec<f32> = plain(input, &w, 3 * channels, None).iter().map(|x| *x as f32).collect();
    assert_close("convolution", &out, &expected, 1e-5);
}

#[test]
fn rows_are_read_back_as_they_were_packed() {
    let (n_out, n_in) = (70, 9);
    let w = numbers(n_out * n_in, 1);
    for set in InstructionSet::available() {
        for (precision, tolerance) in
            [(Precision::F32, 0.0), (Precision::Bf16, 1.0 / 256.0), (Precision::Int8, 1.0 / 250.0)]
        {
            let weights =
                Weights::pack_for(set.for_words_of(precision.per_word()), &w, n_out, n_in, precision);
            for (idx, row) in w.chunks(n_in).enumerate() {
                let mut out = vec![0.0; n_in];
                weights.row(idx, &mut out);
                assert_close(&format!("{set}, {precision:?}, row {idx}"), &out, row, tolerance);
            }
        }
    }
}

#[test]
#[should_panic(expected = "shorter than its rows")]
fn an_input_that_ends_too_early_is_a_panic() {
    let layer = Linear::without_bias(Weights::pack(&[1.0; 4], 1, 4, Precision::F32));
    let input = Input { data: &[1.0; 7], n_rows: 2, stride: 4 };
    linear(&Threads::new(1), input, &layer, Epilogue::Store, &mut [0.0; 2]);
}

#[test]
fn layers_in_one_go_are_their_parts() {
    let (n_state, n_hidden) = (40, 160);
    let [up, down] = [(n_hidden, n_state), (n_state, n_hidden)].map(|(n_out, n_in)| {
        [Precision::F32, Precision::Bf16, Precision::Int8].map(|precision| {
            let weights = Weights::pack(&numbers(n_out * n_in, 1), n_out, n_in, precision);
            Linear::new(weights, numbers(n_out, 2))
        })
    });
    let norm = [numbers(n_state, 3), numbers(n_state, 4)];
    for threads in [Threads::new(1), Threads::new(3)] {
        for n_rows in [0, 1, 7, 500] {
            for (up, down) in up.iter().zip(&down) {
                let before = numbers(n_rows * n_state, 5);
                let mut normed = before.clone();
                for (x, normed) in before.chunks(n_state).zip(normed.chunks_mut(n_state)) {
                    crate::layer_norm(x, &norm[0], &norm[1], normed);
                }
                let (mut hidden, mut expected) = (vec![0.0; n_rows * n_hidden], before.clone());
                linear(&threads, Input::matrix(&normed, n_state), up, Epilogue::Store, &mut hidden);
                let mut found = vec![0.0; n_rows * n_hidden];
                normed_linear(&threads, &before, [&norm[0], &norm[1]], up, &mut found);
                assert!(found == hidden, "{n_rows} rows, {}", up.weights().precision());
                linear(&threads, Input::matrix(&normed, n_state), up, Epilogue::Gelu, &mut hidden);
                linear(&threads, Input::matrix(&hidden, n_hidden), down, Epilogue::Add, &mut expected);
                let mut found = before;
                mlp(&threads, &mut found, [&norm[0], &norm[1]], up, down);
                assert!(found == expected, "{n_rows} rows, {}", up.weights().precision());
            }
        }
    }
}

#[test]
fn all_threads_have_rows_of_a_window() {
    for set in InstructionSet::available() {
        for precision in [Precision::F32, Precision::Int8] {
            let weights = Weights::pack_for(
                set.for_words_of(precision.per_word()),
                &numbers(64 * 2048, 1),
                64,
                2048,
                precision,
            );
            for (n_threads, n_rows) in [(1, 1500), (2, 1500), (12, 1500), (16, 1500), (3, 250)] {
                let rows = rows_per_task(&Threads::new(n_threads), n_rows, &weights, ROWS_PER_TASK);
                assert!(rows <= ROWS_PER_TASK && rows.is_multiple_of(weights.tile().rows));
                let n_tasks = n_rows.div_ceil(rows);
                assert!(n_tasks >= n_threads, "{set}: {n_tasks} tasks of {rows} for {n_threads} threads");
            }
        }
    }
}

#[test]
fn what_is_not_in_bytes_is_in_bf16_only_where_that_is_faster() {
    use InstructionSet::*;
    for set in [Scalar, Avx2, AvxVnni, Avx512, Avx512Vnni, Neon, NeonDotprod] {
        assert!(!set.prefers_bf16(), "{set} takes pairs of bf16 apart");
    }
    assert!(Avx512Amx.prefers_bf16());
    let floating = if InstructionSet::detect().prefers_bf16() { Precision::Bf16 } else { Precision::F32 };
    for precision in [Precision::Bf16, Precision::Int8] {
        assert_eq!(precision.floating(), floating);
        assert!(Weights::layout(precision).starts_with(&format!("{precision}-{floating}-")));
    }
    assert_eq!(Precision::F32.floating(), Precision::F32);
}
