//! How fast the layers of an encoder's block are: `cargo run --release -p boswell-kernels --example products`.
//!
//! Prints operations of matrix products per second (a product and a sum are two) for each layer and precision, medians of
//! several runs, and the share that this is of what registers alone give, measured before and after them; that of AMX is
//! not. The time of everything counts: normalisation, packing, GELU, the residual connection. Arguments: the number of
//! threads (2), the width of the encoder (512).

#![allow(clippy::print_stdout, reason = "a program that prints figures")]

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use boswell_kernels::arch::{self, Kernel, Product, Simd, dispatch};
use boswell_kernels::{
    Attention, Epilogue, Input, InstructionSet, Linear, Precision, Threads, Weights, linear, mlp,
    normed_linear,
};

/// That of `boswell`: whether matrices lie in large pages matters.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROWS: usize = 1500;
const RUNS: usize = 31;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let (n_threads, width) = (arguments.next().unwrap_or(2), arguments.next().unwrap_or(512));
    let threads = Threads::new(n_threads);
    println!("{ROWS} rows, {n_threads} threads, GOP/s");
    println!("{:36} {:>14} {:>14} {:>14}", "inputs x outputs", "f32", "bf16", "int8");
    let print_row = |name: &str, measure: &dyn Fn(Precision) -> Speed| {
        let speeds = [Precision::F32, Precision::Bf16, Precision::Int8].map(|p| measure(p).to_string());
        println!("{name:36} {}", speeds.join(" "));
    };
    print_row(&format!("norm, {width} x {}", 3 * width), &|p| measure_normed(&threads, width, p));
    print_row(&format!("{width} x {width}, add"), &|p| measure_linear(&threads, width, p));
    print_row(&format!("norm, {width} x {0}, GELU, {0} x {width}", 4 * width), &|p| {
        measure_mlp(&threads, width, p)
    });
    let speeds = [Precision::F32, Precision::Bf16].map(|p| measure_attention(&threads, width, p).to_string());
    println!("{:36} {}", "attention", speeds.join(" "));
}

/// Billions of operations per second, and the share of what registers alone give, if that is known.
struct Speed {
    per_s: f64,
    share: Option<f64>,
}

impl std::fmt::Display for Speed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let share = self.share.map_or_else(String::new, |share| format!("{:.0} %", 100.0 * share));
        write!(f, "{:8.0} {share:>5}", self.per_s)
    }
}

/// A normalisation and the layer of queries, keys and values.
fn measure_normed(threads: &Threads, width: usize, precision: Precision) -> Speed {
    let (layer, norm) = (layer([width, 3 * width], precision), numbers(width));
    let (x, mut out) = (numbers(ROWS * width), vec![0.0; ROWS * 3 * width]);
    speed(threads, precision, 6 * ROWS * width * width, || {
        normed_linear(threads, &x, [&norm, &norm], &layer, &mut out);
    })
}

/// The layer behind attention.
fn measure_linear(threads: &Threads, width: usize, precision: Precision) -> Speed {
    let layer = layer([width, width], precision);
    let (x, mut out) = (numbers(ROWS * width), vec![0.0; ROWS * width]);
    speed(threads, precision, 2 * ROWS * width * width, || {
        linear(threads, Input::matrix(&x, width), &layer, Epilogue::Add, &mut out);
    })
}

/// The MLP: a normalisation, two layers with GELU between, and the residual connection.
fn measure_mlp(threads: &Threads, width: usize, precision: Precision) -> Speed {
    let (up, down) = (layer([width, 4 * width], precision), layer([4 * width, width], precision));
    let (norm, mut x) = (numbers(width), numbers(ROWS * width));
    speed(threads, precision, 16 * ROWS * width * width, || {
        mlp(threads, &mut x, [&norm, &norm], &up, &down);
    })
}

fn layer([n_in, n_out]: [usize; 2], precision: Precision) -> Linear {
    Linear::new(Weights::pack(&numbers(n_out * n_in), n_out, n_in, precision), numbers(n_out))
}

/// Without the operations of the softmax.
fn measure_attention(threads: &Threads, width: usize, precision: Precision) -> Speed {
    let (n_head, head_dim) = (width / 64, 64);
    let mut attention = Attention::new(ROWS, n_head, head_dim, precision == Precision::Bf16);
    let (qkv, mut out) = (numbers(ROWS * 3 * width), vec![0.0; ROWS * width]);
    speed(threads, precision, 4 * ROWS * ROWS * width, || attention.run(threads, &qkv, &mut out))
}

/// The speed of some work of so many operations.
fn speed(threads: &Threads, precision: Precision, n_operations: usize, mut work: impl FnMut()) -> Speed {
    let is_known = precision == Precision::F32 || InstructionSet::detect() != InstructionSet::Avx512Amx;
    let peak = || is_known.then(|| registers(threads, precision));
    let before = peak();
    let speeds = (0..RUNS).map(|_| {
        let started = Instant::now();
        work();
        n_operations as f64 / started.elapsed().as_secs_f64() / 1e9
    });
    let per_s = median(speeds.collect());
    let around = before.zip(peak());
    Speed { per_s, share: around.map(|(before, after)| per_s / f64::midpoint(before, after)) }
}

/// Sums that are added to in turn: enough that none is waited for, few enough for every instruction set.
const SUMS: usize = 10;
/// Times that each is added to: some ten milliseconds.
const STEPS: usize = 4_000_000;

/// Billions of operations per second that registers alone give.
fn registers(threads: &Threads, precision: Precision) -> f64 {
    let n_operations = AtomicUsize::new(0);
    let started = Instant::now();
    threads.run(threads.count(), &|_| {
        n_operations.fetch_add(dispatch(Registers { precision }), Ordering::Relaxed);
    });
    n_operations.into_inner() as f64 / started.elapsed().as_secs_f64() / 1e9
}

/// Adds up in registers; returns how many operations that was.
struct Registers {
    precision: Precision,
}

impl Kernel for Registers {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> usize {
        match self.precision {
            Precision::F32 => add_up::<S, arch::F32>(simd),
            Precision::Bf16 => add_up::<S, arch::Bf16>(simd),
            Precision::Int8 => add_up::<S, arch::Bytes>(simd),
        }
    }
}

#[inline(always)]
fn add_up<S: Simd, P: Product>(simd: S) -> usize {
    let (a, b) = (black_box(0), simd.splat_word(black_box(0)));
    let mut sums = [P::zero(simd); SUMS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = P::add(simd, a, b, *sum);
        }
    }
    black_box(sums);
    2 * S::LANES * P::PER_WORD * SUMS * STEPS
}

fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|idx| (idx * 7919 % 1013) as f32 / 1013.0 - 0.5).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
