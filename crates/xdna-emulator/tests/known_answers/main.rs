//! Known answers of kernels, on programs of ours: written from the formulas, assembled, run on an emulated core.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod log_mel;

use std::time::Instant;

use aie2::{Program, assemble};
use safetensors::SafeTensors;
use xdna_emulator::core::{Access, Core, Guard, MemoryModule, Region, Side, Stop, Windows};

/// Known answers of one file.
struct Known {
    bytes: Vec<u8>,
}

impl Known {
    fn open(file: &str) -> Known {
        let shared = std::env::var("BOSWELL_SHARED").expect("BOSWELL_SHARED names the shared folder");
        Known { bytes: std::fs::read(format!("{shared}/npu/kat/{file}.safetensors")).unwrap() }
    }

    fn bytes(&self, tensor: &str) -> Vec<u8> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        tensors.tensor(tensor).unwrap().data().to_vec()
    }

    fn shape(&self, tensor: &str) -> Vec<usize> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        tensors.tensor(tensor).unwrap().shape().to_vec()
    }
}

/// A program of ours in a tile, with neighbours in the south and the west.
struct Tile {
    program: Program,
    core: Core,
    own: MemoryModule,
    south: MemoryModule,
    west: MemoryModule,
}

impl Tile {
    /// Assembles a program. It may store into the regions that these names begin, up to the next name.
    fn new(source: &str, writable: &[&str]) -> Tile {
        let program = assemble(source).unwrap();
        let mut core = Core::new(&program.text);
        let end = |start: u32| {
            let next = program.symbols.iter().map(|symbol| symbol.address).find(|address| *address > start);
            let last = program.data.iter().map(|segment| segment.address + segment.bytes.len() as u32).max();
            next.or(last).unwrap()
        };
        let region = |name: &&str| {
            let start = program.address_of(name).unwrap();
            Region { name: (*name).to_owned(), start, bytes: end(start) - start, access: Access::ReadWrite }
        };
        core.set_guard(Guard::new(writable.iter().map(region).collect()));
        let [own, south, west] = [(); 3].map(|()| MemoryModule::new());
        Tile { program, core, own, south, west }
    }

    fn put(&mut self, name: &str, bytes: &[u8]) {
        let start = self.program.address_of(name).unwrap() as usize - 0x7_0000;
        self.own.data[start..start + bytes.len()].copy_from_slice(bytes);
    }

    fn get(&self, name: &str, bytes: usize) -> Vec<u8> {
        let start = self.program.address_of(name).unwrap() as usize - 0x7_0000;
        self.own.data[start..start + bytes].to_vec()
    }

    /// Lets the program do its work once.
    fn call(&mut self) {
        let (full, free, done) = (1, 2, 3);
        self.own.locks.release(full, 1).unwrap();
        self.own.locks.release(free, 1).unwrap();
        let windows = Windows::own(&mut self.own).with(Side::South, &mut self.south);
        let mut windows = windows.with(Side::West, &mut self.west);
        let stop = self.core.run(&mut windows, 100_000_000).unwrap();
        assert_eq!(stop, Stop::Blocked { lock: 49, request: -1 });
        assert!(self.own.locks.acquire(done, -1));
        assert!(self.own.locks.acquire(0, -1));
    }
}

fn words(values: impl IntoIterator<Item = i32>) -> Vec<u8> {
    values.into_iter().flat_map(i32::to_le_bytes).collect()
}

fn halves(values: impl IntoIterator<Item = i32>) -> Vec<u8> {
    values.into_iter().flat_map(|value| (value as i16).to_le_bytes()).collect()
}

#[test]
#[ignore = "needs ../shared"]
fn gelu_by_table() {
    let mut tile = Tile::new(include_str!("../kernels/gelu.s"), &["output"]);
    for (file, rows, tables) in [("seed_gelu_2048", 4, 1), ("gelu", 5, 5)] {
        let known = Known::open(file);
        let [table, input, output] = ["table", "input", "output"].map(|tensor| known.bytes(tensor));
        for row in 0..rows {
            tile.put("table", &table[row % tables * 256..][..256]);
            tile.put("input", &input[row * 2048..][..2048]);
            tile.call();
            assert!(tile.get("output", 2048) == output[row * 2048..][..2048], "{file}, row {row}");
        }
    }
}

#[test]
#[ignore = "needs ../shared"]
fn gelu_of_bf16() {
    let mut tile = Tile::new(include_str!("../kernels/gelu_bf16.s"), &["output"]);
    let float = |bits: u16| f32::from_bits(u32::from(bits) << 16);
    let gelu = |x: f64| {
        let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
        if x.is_finite() { x / 2.0 * (1.0 + inner.tanh()) } else { x.max(0.0) }
    };
    let rounded = |x: f64| {
        let bits = (x as f32).to_bits();
        (bits.saturating_add(0x7FFF + (bits >> 16 & 1)) >> 16) as i32
    };
    let table = halves((0..=u16::MAX).map(|bits| rounded(gelu(f64::from(float(bits))))));
    let (low, high) = table.split_at(0x1_0000);
    tile.south.data.copy_from_slice(low);
    tile.west.data.copy_from_slice(high);
    let known = Known::open("gelu");
    let input = known.bytes("bf16_input");
    tile.put("count", &words([input.len() as i32 / 2]));
    tile.put("input", &input);
    tile.call();
    let output = tile.get("output", input.len());
    let found = output.as_chunks().0.iter().map(|half| float(u16::from_le_bytes(*half)));
    let reference = known.bytes("bf16_reference");
    let reference = reference.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word));
    for (i, (found, reference)) in found.zip(reference).enumerate() {
        let limit = reference.abs() / 128.0 + 1.0 / 512.0;
        assert!((found - reference).abs() <= limit, "value {i} is {found}, expected {reference}");
    }
}

#[test]
#[ignore = "needs ../shared"]
fn matrix_products() {
    let known = Known::open("matmul_int8");
    let mut tile = Tile::new(include_str!("../kernels/matmul.s"), &["output", "acc"]);
    for case in ["tile_64", "projection_512", "asymmetric_512", "feed_forward_2048", "extreme_2048", "ties"] {
        let tensor = |name: &str| known.bytes(&format!("{case}.{name}"));
        let [m, n] = known.shape(&format!("{case}.acc")).try_into().unwrap();
        let has_a = case != "ties";
        let k = if has_a { known.shape(&format!("{case}.a"))[1] } else { 0 };
        let zero = if has_a { i32::from_le_bytes(tensor("zero_points")[4..].try_into().unwrap()) } else { 0 };
        tile.put("m", &words([m as i32, k as i32, n as i32, zero, i32::from(has_a)]));
        tile.put("multiplier", &tensor("multiplier"));
        tile.put("shift", &tensor("shift"));
        if has_a {
            tile.put("bias", &tensor("bias"));
            tile.put("a", &tensor("a"));
            let b = tensor("b");
            tile.west.data[..b.len()].copy_from_slice(&b);
        } else {
            tile.put("acc", &tensor("acc"));
        }
        tile.call();
        assert!(tile.get("acc", m * n * 4) == tensor("acc"), "{case}: sums");
        assert!(tile.get("output", m * n) == tensor("output"), "{case}: requantised");
    }
}

#[test]
#[ignore = "needs ../shared"]
fn attention_of_64_by_64() {
    let known = Known::open("seed_attention_64x64");
    let mut tile = Tile::new(include_str!("../kernels/attention.s"), &["output", "scores"]);
    let exponential = |d: i32| ((f64::from(1 << 20) * f64::from(-d).exp()).floor() as i32).max(1);
    tile.put("exponentials", &words((0..128).map(exponential)));
    let (qkv, output) = (known.bytes("qkv"), known.bytes("output"));
    for row in 0..4 {
        tile.put("q", &qkv[row * 12288..][..12288]);
        tile.call();
        assert!(tile.get("output", 4096) == output[row * 4096..][..4096], "row {row}");
    }
}

/// Logits of keys that may not be looked at.
const FORBIDDEN: i32 = -0x4000_0000;

/// A factor as a number below 2^`bits` and the shift to the right that makes it that factor.
fn factor(value: f64, bits: i32) -> (i32, i32) {
    let shift = bits - 1 - value.log2().floor() as i32;
    ((value * f64::from(shift).exp2()).round().min(f64::from(bits).exp2() - 1.0) as i32, shift)
}

/// Attention over any number of keys, as many as 64 a call. Returns [n_q, 64].
fn attention_in_tiles(known: &Known, case: &str, n_q: usize) -> Vec<i8> {
    let tensor = |name: &str| known.bytes(&format!("{case}.{name}"));
    let floats = |name: &str| {
        let bytes = tensor(name);
        bytes
            .chunks(4)
            .map(|word| f64::from(f32::from_le_bytes(word.try_into().unwrap())))
            .collect::<Vec<f64>>()
    };
    let [q, k, v] = ["q", "k", "v"].map(tensor);
    let n_k = k.len() / 64;
    let key_len = i32::from_le_bytes(tensor("key_len").try_into().unwrap()) as usize;
    let has_mask = ["causal", "bias_and_empty_row"].contains(&case);
    let mask = if has_mask { floats("mask") } else { vec![0.0; n_q * n_k] };
    let scales = floats("scales");
    let log2_e = std::f64::consts::LOG2_E;
    let (unit, unit_shift) = factor(scales[0] * scales[1] / 8.0 * log2_e * 1024.0, 10);
    let (out_unit, out_shift) = factor(scales[2] / scales[3], 15);

    let writable = ["output", "tops", "totals", "sums", "logits"];
    let mut tile = Tile::new(include_str!("../kernels/attention_tiles.s"), &writable);
    let power = |i: i32| (8192.0 * (f64::from(-i) / 1024.0).exp2()).round() as i32;
    tile.put("powers", &halves((0..1024).map(power)));
    tile.put("q", &q[..n_q * 64]);
    for start in (0..key_len).step_by(64) {
        let keys = 64.min(key_len - start);
        let logit = |row: usize, key: usize| match mask[row * n_k + key] {
            f64::NEG_INFINITY => FORBIDDEN,
            mask => (mask * log2_e * 1024.0).round() as i32,
        };
        let tile_mask = (0..n_q * 64).map(|i| if i % 64 < keys { logit(i / 64, start + i % 64) } else { 0 });
        tile.put("mask", &words(tile_mask));
        tile.put("k", &k[start * 64..][..keys * 64]);
        tile.put("v", &v[start * 64..][..keys * 64]);
        let (first, last) = (i32::from(start == 0), i32::from(start + keys == key_len));
        tile.put("rows", &words([n_q as i32, keys as i32, first, last]));
        tile.put("unit", &words([unit, -unit_shift, 1 << (unit_shift - 1)]));
        tile.put("out_unit", &words([out_unit, -out_shift, 1 << (out_shift - 1)]));
        tile.call();
    }
    tile.get("output", n_q * 64).into_iter().map(|byte| byte as i8).collect()
}

#[test]
#[ignore = "needs ../shared"]
fn attention_over_any_number_of_keys() {
    let known = Known::open("attention");
    let cases = [
        ("one_tile", 64),
        ("short_keys", 64),
        ("three_tiles", 64),
        ("causal", 64),
        ("bias_and_empty_row", 32),
        ("encoder_row_block", 16),
        ("uniform", 4),
    ];
    for (case, n_q) in cases {
        let found = attention_in_tiles(&known, case, n_q);
        let expected: Vec<i8> =
            known.bytes(&format!("{case}.output")).iter().map(|byte| *byte as i8).collect();
        let pairs = || found.iter().zip(&expected).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        let off_by_more = |limit: f64| pairs().filter(|(a, b)| (a - b).abs() > limit).count();
        let sum = |term: fn((f64, f64)) -> f64| pairs().map(term).sum::<f64>();
        let cosine = sum(|(a, b)| a * b) / (sum(|(a, _)| a * a) * sum(|(_, b)| b * b)).sqrt();
        println!("{case}: {} of {} off by 1, cosine {cosine:.6}", off_by_more(0.0), found.len());
        assert_eq!(off_by_more(2.0), 0, "{case}");
        assert!(off_by_more(1.0) * 1000 <= found.len(), "{case}");
        assert!(cosine >= 0.9999, "{case}: {cosine}");
        if case == "bias_and_empty_row" {
            assert!(found[5 * 64..6 * 64].iter().all(|value| *value == 0), "a row without a key");
        }
    }
}

#[test]
#[ignore = "needs ../shared"]
fn mel_frames() {
    let known = Known::open("seed_mel_frame");
    let mut tile = Tile::new(include_str!("../kernels/mel.s"), &["stack", "output", "re", "im", "power"]);
    let q15 = |x: f64| (32767.0 * x).round() as i32;
    let turn = |n: i32, of: i32| 2.0 * std::f64::consts::PI * f64::from(n) / f64::from(of);
    tile.put("window", &halves((0..400).map(|n| q15(0.5 - 0.5 * turn(n, 399).cos()))));
    tile.put("reversed", &halves((0..512_u32).map(|n| (n.reverse_bits() >> 23) as i32)));
    tile.put("cosine", &halves((0..256).map(|n| q15(turn(n, 512).cos()))));
    tile.put("sine", &halves((0..256).map(|n| q15(-turn(n, 512).sin()))));
    let filters = known.bytes("filters");
    let without_last: Vec<u8> = filters.chunks(2 * 257).flat_map(|row| row[..512].to_vec()).collect();
    tile.put("filters", &without_last);
    let (samples, mel) = (known.bytes("samples"), known.bytes("mel"));
    for frame in 0..32 {
        tile.put("input", &samples[frame * 800..][..800]);
        tile.call();
        if frame == 0 {
            assert!(tile.get("re", 1024) == known.bytes("dft_re_0"), "real part");
            assert!(tile.get("im", 1024) == known.bytes("dft_im_0"), "imaginary part");
            assert!(tile.get("power", 1024) == known.bytes("power_0"), "power");
        }
        assert_eq!(tile.get("output", 80), mel[frame * 80..][..80], "frame {frame}");
    }
}

#[test]
#[ignore = "measures: needs --release and a quiet machine"]
fn a_core_issues_40_million_bundles_a_second() {
    let mut tile = Tile::new(include_str!("../kernels/attention.s"), &["output", "scores"]);
    tile.call();
    let start = (Instant::now(), tile.core.cycles());
    for _ in 0..5 {
        tile.call();
    }
    let (seconds, bundles) = (start.0.elapsed().as_secs_f64(), tile.core.cycles() - start.1);
    let millions = bundles as f64 / seconds / 1e6;
    println!("{bundles} bundles in {seconds:.3} s: {millions:.0} million a second");
    assert!(cfg!(debug_assertions) || millions > 40.0);
}
