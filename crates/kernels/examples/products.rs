//! How fast matrix products of the encoder's shapes are: `cargo run --release -p boswell-kernels --example products`.
//!
//! Prints operations per second (a product and a sum are two) for each precision and shape, medians of several runs;
//! everything counts, the packing of inputs and the epilogue too. Arguments: the number of threads (2), the width of
//! the encoder (512).

#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::time::Instant;

use boswell_kernels::{Attention, Epilogue, Input, Linear, Precision, Threads, Weights, linear};

const ROWS: usize = 1500;
const RUNS: usize = 31;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let (n_threads, width) = (arguments.next().unwrap_or(2), arguments.next().unwrap_or(512));
    let threads = Threads::new(n_threads);
    println!("{ROWS} rows, {n_threads} threads, GOP/s");
    println!("{:20} {:>8} {:>8} {:>8}", "inputs x outputs", "f32", "bf16", "int8");
    let shapes = [
        (width, 3 * width, Epilogue::Store),
        (width, width, Epilogue::Add),
        (width, 4 * width, Epilogue::Gelu),
        (4 * width, width, Epilogue::Add),
    ];
    for (n_in, n_out, epilogue) in shapes {
        let speeds = [Precision::F32, Precision::Bf16, Precision::Int8]
            .map(|precision| format!("{:8.0}", measure(&threads, [n_in, n_out], precision, epilogue)));
        println!("{:20} {}", format!("{n_in} x {n_out}, {epilogue:?}"), speeds.join(" "));
    }
    let speeds = [false, true].map(|is_bf16| format!("{:8.0}", measure_attention(&threads, width, is_bf16)));
    println!("{:20} {}", "attention", speeds.join(" "));
}

/// Billions of operations per second.
fn measure(threads: &Threads, [n_in, n_out]: [usize; 2], precision: Precision, epilogue: Epilogue) -> f64 {
    let layer = Linear::new(Weights::pack(&numbers(n_out * n_in), n_out, n_in, precision), numbers(n_out));
    let (x, mut out) = (numbers(ROWS * n_in), vec![0.0; ROWS * n_out]);
    let seconds = median(|| linear(threads, Input::matrix(&x, n_in), &layer, epilogue, &mut out));
    2.0 * (ROWS * n_in * n_out) as f64 / seconds / 1e9
}

/// Billions of operations per second, without those of the softmax.
fn measure_attention(threads: &Threads, width: usize, is_bf16: bool) -> f64 {
    let (n_head, head_dim) = (width / 64, 64);
    let mut attention = Attention::new(ROWS, n_head, head_dim, is_bf16);
    let (qkv, mut out) = (numbers(ROWS * 3 * width), vec![0.0; ROWS * width]);
    let seconds = median(|| attention.run(threads, &qkv, &mut out));
    4.0 * (ROWS * ROWS * width) as f64 / seconds / 1e9
}

fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|idx| (idx * 7919 % 1013) as f32 / 1013.0 - 0.5).collect()
}

/// Seconds that some work takes.
fn median(mut work: impl FnMut()) -> f64 {
    let mut seconds: Vec<f64> = (0..RUNS)
        .map(|_| {
            let started = Instant::now();
            work();
            started.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[RUNS / 2]
}
