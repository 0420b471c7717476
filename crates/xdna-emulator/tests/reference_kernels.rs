//! The reference kernels, compiled programs of others, on the emulated core.
//!
//! They are not in the project. Their ELF files are in the public repository Unicorn-Commander/Unicorn-Amanuensis, below
//! `whisperx/npu/npu_optimization`, each as `….mlir.prj/main_core_0_2.elf`; these tests take a folder that has them as
//! `mel_fixed_v3.elf`, `gelu_2048.elf`, `gelu_simple.elf`, `attention_64x64.elf`, `attention_simple.elf` and
//! `matmul_fixed.elf`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use aie2::{Bundle, Instruction, Latencies, Opcode, Operand, Program, Register, assemble, disassemble};
use safetensors::SafeTensors;
use xdna_emulator::core::{Access, Cause, Core, Fault, Guard, MemoryModule, Region, Stop, Windows};

/// Locks of each kernel, as the tile numbers them.
const IN_FREE: u8 = 0;
const IN_FULL: u8 = 1;
const OUT_FREE: u8 = 2;
const OUT_FULL: u8 = 3;

/// What the linker scripts leave for the stack.
const STACK: (u32, u32) = (0x7_0000, 0x400);

/// A kernel that is called in an endless loop, with two input and two output buffers.
struct Kernel {
    core: Core,
    module: MemoryModule,
    program: Program,
    inputs: [u32; 2],
    outputs: [u32; 2],
    out_bytes: usize,
    calls: usize,
}

impl Kernel {
    /// Loads a kernel; `stack`: where its stack is moved to, if it is.
    fn new(name: &str, buffers: [&str; 2], out_bytes: usize, stack: Option<i32>) -> Kernel {
        Kernel::with_latencies(name, buffers, out_bytes, stack, Latencies::default())
    }

    fn with_latencies(
        name: &str,
        buffers: [&str; 2],
        out_bytes: usize,
        stack: Option<i32>,
        latencies: Latencies,
    ) -> Kernel {
        let folder =
            std::env::var("BOSWELL_NPU_KERNELS").expect("BOSWELL_NPU_KERNELS names a folder of ELF files");
        let file = std::fs::read(format!("{folder}/{name}.elf")).unwrap();
        let mut program = Program::from_elf(&file).unwrap();
        if let Some(stack) = stack {
            move_stack(&mut program.text, stack);
        }
        let mut module = MemoryModule::new();
        for segment in &program.data {
            let start = segment.address as usize - 0x7_0000;
            module.data[start..start + segment.bytes.len()].copy_from_slice(&segment.bytes);
        }
        module.locks.set(IN_FREE, 2).unwrap();
        module.locks.set(OUT_FREE, 2).unwrap();
        let pair = |name: &str| [0, 1].map(|i| program.address_of(&format!("{name}_{i}")).unwrap());
        let [inputs, outputs] = buffers.map(pair);
        let core = Core::with_latencies(&program.text, latencies);
        Kernel { core, module, program, inputs, outputs, out_bytes, calls: 0 }
    }

    /// Declares to the guard what the kernel's linker script and buffers say.
    fn guarded(mut self, in_bytes: u32) -> Kernel {
        let region =
            |name: &str, start, bytes, access| Region { name: name.to_owned(), start, bytes, access };
        let mut regions = vec![region("the stack", STACK.0, STACK.1, Access::ReadWrite)];
        for i in 0..2 {
            let out_bytes = self.out_bytes as u32;
            regions.push(region(&format!("input buffer {i}"), self.inputs[i], in_bytes, Access::Read));
            regions.push(region(
                &format!("output buffer {i}"),
                self.outputs[i],
                out_bytes,
                Access::ReadWrite,
            ));
        }
        for segment in &self.program.data {
            regions.push(region("a table", segment.address, segment.bytes.len() as u32, Access::Read));
        }
        self.core.set_guard(Guard::new(regions));
        self
    }

    /// Does what the DMA does before and after a call. Returns nothing if the call does not end.
    fn call(&mut self, input: &[u8]) -> Result<Vec<u8>, Fault> {
        let turn = self.calls % 2;
        self.calls += 1;
        assert!(self.module.locks.acquire(IN_FREE, -1));
        let start = self.inputs[turn] as usize - 0x7_0000;
        self.module.data[start..start + input.len()].copy_from_slice(input);
        self.module.locks.release(IN_FULL, 1).unwrap();

        let stop = self.core.run(&mut Windows::own(&mut self.module), 10_000_000)?;
        if stop != (Stop::Blocked { lock: 49, request: -1 }) || !self.module.locks.acquire(OUT_FULL, -1) {
            return Ok(Vec::new());
        }
        let start = self.outputs[turn] as usize - 0x7_0000;
        let output = self.module.data[start..start + self.out_bytes].to_vec();
        self.module.locks.release(OUT_FREE, 1).unwrap();
        Ok(output)
    }
}

/// Changes the start value of the stack pointer, which the second bundle sets.
fn move_stack(text: &mut [u8], stack: i32) {
    let (bundle, size) = Bundle::decode(&text[6..]).unwrap();
    assert_eq!(bundle.to_string(), "movxm sp, #458752");
    let operands = vec![Operand::Register(Register::Sp), Operand::Number(stack)];
    let bundle = Bundle::new(vec![Instruction::new(Opcode::MovXm, operands).unwrap()]).unwrap();
    text[6..6 + size].copy_from_slice(&bundle.encode());
}

/// The rows of a tensor of known answers.
fn known(file: &str, tensor: &str) -> Vec<Vec<u8>> {
    let shared = std::env::var("BOSWELL_SHARED").expect("BOSWELL_SHARED names the shared folder");
    let bytes = std::fs::read(format!("{shared}/npu/kat/{file}.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = tensors.tensor(tensor).unwrap();
    let rows = tensor.data().chunks(tensor.data().len() / tensor.shape()[0]);
    rows.map(<[u8]>::to_vec).collect()
}

/// Numbers from -128 to 127, the same in each run.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn wrong(found: &[u8], expected: &[u8]) -> usize {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).filter(|(a, b)| a != b).count()
}

#[test]
#[ignore = "needs the reference kernels and ../shared"]
fn reference_kernel_gelu_is_exact_as_shipped() {
    let (inputs, outputs) = (known("seed_gelu_2048", "input"), known("seed_gelu_2048", "output"));
    let mut kernel =
        Kernel::new("gelu_2048", ["of_input_cons_buff", "of_output_buff"], 2048, None).guarded(2048);
    for (input, output) in inputs.iter().zip(&outputs) {
        let before = kernel.core.cycles();
        assert_eq!(wrong(&kernel.call(input).unwrap(), output), 0);
        println!("GELU 2048: {} bundles", kernel.core.cycles() - before);
    }
    let mut kernel =
        Kernel::new("gelu_simple", ["of_input_cons_buff", "of_output_buff"], 512, None).guarded(512);
    for (input, output) in inputs.iter().zip(&outputs) {
        assert_eq!(wrong(&kernel.call(&input[..512]).unwrap(), &output[..512]), 0);
    }
}

#[test]
#[ignore = "needs the reference kernels and ../shared"]
fn reference_kernel_mel_is_exact_with_its_stack_moved() {
    let (inputs, outputs) = (known("seed_mel_frame", "samples"), known("seed_mel_frame", "mel"));
    let buffers = ["of_in_cons_buff", "of_out_buff"];
    let mut kernel = Kernel::new("mel_fixed_v3", buffers, 80, Some(0x7_C000));
    for (input, output) in inputs.iter().zip(&outputs) {
        let before = kernel.core.cycles();
        assert_eq!(wrong(&kernel.call(input).unwrap(), output), 0);
        println!("mel: {} bundles", kernel.core.cycles() - before);
    }
    // Each call damages the tables; when that begins to show depends on what the damaged words were.
    let mut shipped = Kernel::new("mel_fixed_v3", buffers, 80, None);
    let goes_wrong = |(input, output): (&Vec<u8>, &Vec<u8>)| {
        shipped.call(input).map_or(true, |found| wrong(&found, output) > 0)
    };
    let first_wrong = inputs.iter().zip(&outputs).position(goes_wrong);
    println!("mel as shipped: call {first_wrong:?} is the first that is wrong");
    assert!(first_wrong.is_some());
    assert_eq!(shipped.core.stack_high(), 0x7_10C0);
}

#[test]
#[ignore = "needs the reference kernels and ../shared"]
fn reference_kernel_attention_is_exact_with_its_stack_moved_and_fast() {
    let (inputs, outputs) = (known("seed_attention_64x64", "qkv"), known("seed_attention_64x64", "output"));
    let buffers = ["of_QKV_cons_buff", "of_out_buff"];
    let mut kernel = Kernel::new("attention_64x64", buffers, 4096, Some(0x7_9000));
    let (mut best, mut bundles) = (Duration::MAX, 0);
    for (input, output) in inputs.iter().zip(&outputs) {
        let (before, start) = (kernel.core.cycles(), Instant::now());
        let found = kernel.call(input).unwrap();
        best = best.min(start.elapsed());
        bundles = kernel.core.cycles() - before;
        assert_eq!(wrong(&found, output), 0);
    }
    println!("attention 64x64: {bundles} bundles in {best:?}");
    assert!(cfg!(debug_assertions) || best < Duration::from_millis(100), "{best:?}");
}

/// As shipped, the stack lies over the first buffer up to row 27 of Q, and what it leaves of rows 22 to 27 when they are
/// read is not Q any more. How many of their 384 results are wrong depends on the input. The facts' 380 is of an input
/// that is not in `kat/`: on those, the changed pipelines of [`reference_kernels_pin_the_pipeline`] make other numbers of
/// errors than the facts say, too, although the stack has no part in that. Noise as here gives it makes 380.
#[test]
#[ignore = "needs the reference kernels and ../shared"]
fn reference_kernel_attention_as_shipped_spoils_six_rows_through_its_first_buffer() {
    const BUFFERS: [&str; 2] = ["of_QKV_cons_buff", "of_out_buff"];
    let mut moved = Kernel::new("attention_64x64", BUFFERS, 4096, Some(0x7_9000));
    // The results that are wrong after `before` calls, which all must be of rows 22 to 27.
    let mut count_wrong = |input: &[u8], before: usize| {
        let expected = moved.call(input).unwrap();
        let mut shipped = Kernel::new("attention_64x64", BUFFERS, 4096, None);
        (0..before).for_each(|_| assert_eq!(shipped.call(input).unwrap().len(), 4096));
        let found = shipped.call(input).unwrap();
        assert_eq!(shipped.core.stack_high(), 0x7_0AE0);
        let spoiled = 22 * 64..28 * 64;
        assert_eq!(found[..spoiled.start], expected[..spoiled.start]);
        assert_eq!(found[spoiled.end..], expected[spoiled.end..]);
        wrong(&found, &expected)
    };
    for (input, count) in known("seed_attention_64x64", "qkv").iter().zip([319, 300, 382, 0]) {
        assert_eq!(count_wrong(input, 0), count);
        assert_eq!(count_wrong(input, 1), 0, "through the second buffer");
    }
    assert_eq!(count_wrong(&noise(12_288, 16), 0), 380);
}

#[test]
#[ignore = "needs the reference kernels and ../shared"]
fn reference_kernel_attention_simple_is_exact() {
    let mut kernel = Kernel::new("attention_simple", ["of_QKV_cons_buff", "of_out_buff"], 256, None);
    for seed in 0..4 {
        let input = noise(768, seed);
        assert_eq!(wrong(&kernel.call(&input).unwrap(), &attention_16(&input)), 0);
    }
}

#[test]
#[ignore = "needs the reference kernels and ../shared"]
fn reference_kernel_matmul_is_exact_with_its_stack_moved() {
    let buffers = ["of_input_cons_buff", "of_output_buff"];
    let mut kernel = Kernel::new("matmul_fixed", buffers, 256, Some(0x7_C000));
    for seed in 0..4 {
        let input = noise(512, seed);
        assert_eq!(wrong(&kernel.call(&input).unwrap(), &matmul_16(&input)), 0);
    }
    let mut shipped = Kernel::new("matmul_fixed", buffers, 256, None);
    let input = noise(512, 0);
    let count = wrong(&shipped.call(&input).unwrap(), &matmul_16(&input));
    println!("matmul as shipped: {count} of 256 wrong");
    assert!(count > 0);
}

/// What a changed pipeline does to a kernel.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Exact,
    Wrong(usize),
    /// It faults or does not end.
    Fails,
}

#[test]
#[ignore = "needs the reference kernels and ../shared"]
fn reference_kernels_pin_the_pipeline() {
    use Outcome::{Exact, Fails, Wrong};
    type Change = fn(&mut Latencies);
    let changes: [(&str, Change, [Outcome; 3]); 8] = [
        ("load 6", |l| l.load = 6, [Exact, Fails, Wrong(1448)]),
        ("load 8", |l| l.load = 8, [Wrong(2048), Fails, Fails]),
        ("mul 1", |l| l.multiply = 1, [Exact, Exact, Exact]),
        ("mul 3", |l| l.multiply = 3, [Exact, Wrong(79), Wrong(4094)]),
        ("part-word data at 5", |l| l.part_word_data = 5, [Wrong(2048), Wrong(7), Exact]),
        ("4 delay slots", |l| l.delay_slots = 4, [Wrong(2048), Fails, Fails]),
        ("6 delay slots", |l| l.delay_slots = 6, [Fails, Fails, Fails]),
        ("link at once", |l| l.link = 1, [Exact, Exact, Exact]),
    ];
    let kernels = [
        (
            "gelu_2048",
            ["of_input_cons_buff", "of_output_buff"],
            2048,
            None,
            ("seed_gelu_2048", "input", "output"),
        ),
        (
            "mel_fixed_v3",
            ["of_in_cons_buff", "of_out_buff"],
            80,
            Some(0x7_C000),
            ("seed_mel_frame", "samples", "mel"),
        ),
        (
            "attention_64x64",
            ["of_QKV_cons_buff", "of_out_buff"],
            4096,
            Some(0x7_9000),
            ("seed_attention_64x64", "qkv", "output"),
        ),
    ];
    for (what, change, expected) in changes {
        let mut latencies = Latencies::default();
        change(&mut latencies);
        for ((name, buffers, out_bytes, stack, (file, input, output)), expected) in
            kernels.iter().zip(expected)
        {
            let mut kernel = Kernel::with_latencies(name, *buffers, *out_bytes, *stack, latencies);
            let (input, output) = (known(file, input).remove(0), known(file, output).remove(0));
            let outcome = match kernel.call(&input) {
                Ok(found) if found.len() == output.len() => match wrong(&found, &output) {
                    0 => Exact,
                    count => Wrong(count),
                },
                _ => Fails,
            };
            println!("{what}, {name}: {outcome:?}, published {expected:?}");
            assert_eq!(outcome == Exact, expected == Exact, "{what}, {name}");
        }
    }
}

#[test]
#[ignore = "needs the reference kernels"]
fn reference_kernels_print_and_assemble_to_the_same_bytes() {
    let folder =
        std::env::var("BOSWELL_NPU_KERNELS").expect("BOSWELL_NPU_KERNELS names a folder of ELF files");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "elf")) {
        let program = Program::from_elf(&std::fs::read(&path).unwrap()).unwrap();
        let text = disassemble(&program.text);
        assert!(!text.contains(".byte"), "{} has bundles that do not decode", path.display());
        assert_eq!(assemble(&text).unwrap().text, program.text, "{}", path.display());
    }
}

#[test]
#[ignore = "needs the reference kernels and ../shared"]
fn reference_kernels_that_overrun_their_stacks_are_caught() {
    let mel = known("seed_mel_frame", "samples").remove(0);
    let qkv = known("seed_attention_64x64", "qkv").remove(0);
    let cases = [
        ("mel_fixed_v3", ["of_in_cons_buff", "of_out_buff"], 80, mel),
        ("attention_64x64", ["of_QKV_cons_buff", "of_out_buff"], 4096, qkv),
        ("matmul_fixed", ["of_input_cons_buff", "of_output_buff"], 256, noise(512, 0)),
    ];
    for (name, buffers, out_bytes, input) in cases {
        let mut kernel = Kernel::new(name, buffers, out_bytes, None).guarded(input.len() as u32);
        let fault = kernel.call(&input).unwrap_err();
        println!("{name}: {fault}; stack up to {:#x}", kernel.core.stack_high());
        let Cause::Guarded { owner, .. } = &fault.cause else { panic!("{fault}") };
        assert!(owner.starts_with("input buffer") || owner == "a table", "{fault}");
        assert!(kernel.core.stack_high() > STACK.0 + STACK.1);
    }
}

/// One head of 16 × 16, as the kernel defines it: scores / 16 saturated, a parabola for the exponential.
fn attention_16(qkv: &[u8]) -> Vec<u8> {
    let at =
        |matrix: usize, row: usize, column: usize| i32::from(qkv[matrix * 256 + row * 16 + column] as i8);
    let mut output = Vec::new();
    for row in 0..16 {
        let score = |key: usize| {
            let sum: i32 = (0..16).map(|k| at(0, row, k) * at(1, key, k)).sum();
            (sum >> 4).clamp(-128, 127)
        };
        let top = (0..16).map(score).max().unwrap();
        let exponential = |key: usize| {
            let x = (score(key) - top).max(-64);
            (64 + x + x * x / 128).max(0)
        };
        let total: i32 = (0..16).map(exponential).sum();
        for column in 0..16 {
            let sum: i32 =
                (0..16).map(|key| (exponential(key) * 127 / total).min(127) * at(2, key, column)).sum();
            output.push((sum >> 7).clamp(-128, 127) as u8);
        }
    }
    output
}

/// Product of two 16 × 16 matrices, divided by 128 and saturated.
fn matmul_16(input: &[u8]) -> Vec<u8> {
    let at =
        |matrix: usize, row: usize, column: usize| i32::from(input[matrix * 256 + row * 16 + column] as i8);
    let mut output = Vec::new();
    for row in 0..16 {
        for column in 0..16 {
            let sum: i32 = (0..16).map(|k| at(0, row, k) * at(1, k, column)).sum();
            output.push((sum >> 7).clamp(-128, 127) as u8);
        }
    }
    output
}
