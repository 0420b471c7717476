//! Compiled kernels of others, from their images and through the whole device.
//!
//! They are not in the project. Their images are in the public repository Unicorn-Commander/Unicorn-Amanuensis, below
//! `whisperx/npu/npu_optimization`, each as `….mlir.prj/main.pdi`; these tests take a folder that has them as
//! `gelu_2048.pdi`, `gelu_simple.pdi`, `mel_fixed_v3.pdi` and `attention_64x64.pdi`.

use std::path::PathBuf;
use std::time::Duration;

use safetensors::SafeTensors;
use xdna::Error;
use xdna::context::{Context, ContextOptions, Launch, Unit};
use xdna::memory::{Buffer, Heap, Program};
use xdna::packet::Layout;
use xdna_emulator::{Emulator, Options};

use crate::loopback::{Transfer, stream};
use crate::open;

fn folder(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} names no folder")).into()
}

/// The rows of a tensor of known answers.
fn known(file: &str, tensor: &str) -> Vec<Vec<u8>> {
    let path = folder("BOSWELL_SHARED").join(format!("npu/kat/{file}.safetensors"));
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = tensors.tensor(tensor).unwrap();
    tensor.data().chunks(tensor.data().len() / tensor.shape()[0]).map(<[u8]>::to_vec).collect()
}

/// Launches a kernel once for each input; returns the outputs, or the first error with the emulator's report.
fn launch(
    name: &str,
    inputs: &[Vec<u8>],
    out_bytes: usize,
    guard: bool,
) -> Result<Vec<Vec<u8>>, (Error, String)> {
    let pdi = std::fs::read(folder("BOSWELL_NPU_KERNELS").join(format!("{name}.pdi"))).unwrap();
    let emulator = Emulator::new(Options { guard, ..Options::default() });
    let device = open(&emulator);
    let heap = Heap::new(&device).unwrap();
    let mut context =
        Context::new(&heap, &ContextOptions::columns(1), &[Unit { pdi: &pdi, functional: 0 }]).unwrap();
    let transfer = Transfer::new(inputs[0].len() as u32 / 4, out_bytes as u32 / 4);
    let instructions = Program::new(&heap, &stream(&transfer.operations())).unwrap().into();
    let layout = Layout::mlir_aie(2).unwrap();
    let mut outputs = Vec::new();
    for content in inputs {
        let mut input = Buffer::new(&device, content.len()).unwrap();
        input.write().unwrap().copy_from_slice(content);
        let output = Buffer::new(&device, out_bytes).unwrap();
        let buffers = [&input, &output];
        let launch = Launch { unit: 0, layout: &layout, instructions: &instructions, buffers: &buffers };
        context
            .run(&launch, Duration::from_secs(60))
            .map_err(|error| (error, emulator.take_reports().concat()))?;
        outputs.push(output.read().unwrap().to_vec());
    }
    Ok(outputs)
}

#[test]
#[ignore = "needs images of reference kernels"]
fn reference_kernel_gelu_is_exact_as_shipped() {
    let (inputs, outputs) = (known("seed_gelu_2048", "input"), known("seed_gelu_2048", "output"));
    assert_eq!(launch("gelu_2048", &inputs, 2048, true).unwrap(), outputs);
    let cut = |rows: &[Vec<u8>]| rows.iter().map(|row| row[..512].to_vec()).collect::<Vec<_>>();
    assert_eq!(launch("gelu_simple", &cut(&inputs), 512, true).unwrap(), cut(&outputs));
}

#[test]
#[ignore = "needs images of reference kernels"]
fn reference_kernel_attention_is_exact_through_the_buffer_that_its_stack_leaves_alone() {
    let (inputs, outputs) = (known("seed_attention_64x64", "qkv"), known("seed_attention_64x64", "output"));
    let found = launch("attention_64x64", &inputs, 4096, false).unwrap();
    for (idx, (found, expected)) in found.iter().zip(&outputs).enumerate() {
        let wrong = found.iter().zip(expected).filter(|(one, other)| one != other).count();
        // The first of the two buffers is under the stack, which is larger than the room for it.
        assert_eq!(wrong == 0, idx % 2 == 1, "launch {idx}: {wrong} wrong");
    }
}

#[test]
#[ignore = "needs images of reference kernels"]
fn reference_kernel_stacks_that_overflow_are_trapped() {
    for (name, file, tensor, out_bytes) in [
        ("mel_fixed_v3", "seed_mel_frame", "samples", 80),
        ("attention_64x64", "seed_attention_64x64", "qkv", 4096),
    ] {
        let (error, report) = launch(name, &known(file, tensor), out_bytes, true).unwrap_err();
        assert!(matches!(error, Error::Failed), "{error}");
        assert!(report.contains("store of 4 bytes to 0x7"), "{report}");
    }
}
