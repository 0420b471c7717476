//! `boswell npu run`: a kernel, on files.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use xdna::context::{Context, ContextOptions, Launch, Unit};
use xdna::device::{self, Device};
use xdna::memory::{Buffer, Heap, Program};
use xdna::packet::Layout;
use xdna::pdi::Pdi;
use xdna::stream::Stream;
use xdna::xclbin::partition::Partition;
use xdna::xclbin::{Kind, Xclbin, metadata};
use xdna_emulator::{CoreReport, Emulator, Options};

use crate::args::{BufferArg, NpuDevice, RunArgs};
use crate::screen::Screen;
use crate::usage::usage;

/// What buffers hold before a launch that the kernel is to write: nobody takes it for a result.
const POISON: u8 = 0xA5;

/// A kernel, taken out of its file.
struct Kernel {
    pdi: Vec<u8>,
    functional: u8,
    layout: Layout,
    options: ContextOptions,
}

/// Runs a kernel and writes its outputs.
///
/// # Errors
/// If a file cannot be read or is wrong, the device cannot be used, or the launch fails.
pub(crate) fn run(args: &RunArgs, screen: &Screen) -> Result<()> {
    let program = super::read(&args.program)?;
    let kernel = kernel(args, &program).with_context(|| format!("`{}`", args.program.display()))?;
    let stream = super::read(&args.instructions)?;
    Stream::parse(&stream).with_context(|| format!("`{}`", args.instructions.display()))?;
    if args.guard && args.device == NpuDevice::Npu {
        usage!("--guard is for --device emulator: the NPU itself has no such thing");
    }
    let options = Options { guard: args.guard, ..Options::default() };
    let emulator = (args.device == NpuDevice::Emulator).then(|| Emulator::new(options));
    let device = match &emulator {
        Some(emulator) => Device::new(emulator.open())?,
        None => device::open_first(Path::new("/"))?,
    };
    let times = launch(args, &kernel, &stream, &device).map_err(|error| {
        match emulator.as_ref().map(Emulator::take_reports).unwrap_or_default().join("\n") {
            report if report.is_empty() => error,
            report => anyhow::Error::msg(report.trim_end().to_owned()).context(format!("{error:#}")),
        }
    })?;
    let cores = emulator.as_ref().map(Emulator::cores);
    screen.result(summary(&times, cores.as_deref(), args.json).as_bytes())
}

fn kernel(args: &RunArgs, bytes: &[u8]) -> Result<Kernel> {
    if !bytes.starts_with(b"xclbin2\0") {
        Pdi::parse(bytes).context("neither an xclbin nor a PDI")?;
        if args.kernel.is_some() {
            usage!("--kernel is for an xclbin: a PDI has no kernels with names");
        }
        let layout = Layout::mlir_aie(args.buffers.len())?;
        return Ok(Kernel {
            pdi: bytes.to_vec(),
            functional: 0,
            layout,
            options: ContextOptions::columns(args.columns),
        });
    }
    let xclbin = Xclbin::parse(bytes)?;
    let kernels = metadata::parse(xclbin.required(Kind::EMBEDDED_METADATA)?)?;
    let named = |kernel: &&metadata::Kernel| args.kernel.as_ref().is_none_or(|name| *name == kernel.name);
    let Some(kernel) = kernels.iter().find(named) else {
        let names: Vec<&str> = kernels.iter().map(|kernel| kernel.name.as_str()).collect();
        bail!("there is no such kernel, only: {}", names.join(", "));
    };
    let partition = Partition::parse(xclbin.required(Kind::AIE_PARTITION)?)?;
    let image = partition
        .image_of(kernel.kernel_id)
        .with_context(|| format!("no image is for kernel `{}` ({:#x})", kernel.name, kernel.kernel_id))?;
    let options = ContextOptions {
        operations_per_cycle: partition.operations_per_cycle,
        ..ContextOptions::columns(partition.columns)
    };
    let (functional, layout) = (kernel.functional, Layout::of(kernel)?);
    Ok(Kernel { pdi: image.pdi.to_vec(), functional, layout, options })
}

/// Launches the kernel as often as asked; returns how long each launch took.
fn launch(args: &RunArgs, kernel: &Kernel, stream: &[u8], device: &Device) -> Result<Vec<Duration>> {
    let heap = Heap::new(device)?;
    let units = [Unit { pdi: &kernel.pdi, functional: kernel.functional }];
    let mut context = Context::new(&heap, &kernel.options, &units)?;
    let instructions = Arc::new(Program::new(&heap, stream)?);
    let mut buffers = Vec::with_capacity(args.buffers.len());
    for argument in &args.buffers {
        let (content, bytes) = match argument {
            BufferArg::In(path) | BufferArg::InOut(path, _) => {
                let content = super::read(path)?;
                let bytes = content.len();
                (content, bytes)
            }
            BufferArg::Out(_, bytes) => (vec![POISON; *bytes], *bytes),
        };
        let mut buffer = Buffer::new(device, bytes)?;
        buffer.write()?.copy_from_slice(&content);
        buffers.push(buffer);
    }
    let borrowed: Vec<&Buffer> = buffers.iter().collect();
    let launch = Launch { unit: 0, layout: &kernel.layout, instructions: &instructions, buffers: &borrowed };
    let timeout = Duration::try_from_secs_f64(args.timeout).unwrap_or(Duration::MAX);
    let mut times = Vec::new();
    for _ in 0..args.repeats {
        let start = Instant::now();
        context.run(&launch, timeout)?;
        times.push(start.elapsed());
    }
    for (argument, buffer) in args.buffers.iter().zip(&buffers) {
        if let BufferArg::Out(path, _) | BufferArg::InOut(_, path) = argument {
            fs::write(path, &*buffer.read()?)
                .with_context(|| format!("cannot write `{}`", path.display()))?;
        }
    }
    Ok(times)
}

/// The times of launches on a device, or the bundles of the cores of an emulated one, whose times mean nothing.
fn summary(times: &[Duration], cores: Option<&[CoreReport]>, is_json: bool) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let median_us = sorted[sorted.len() / 2].as_secs_f64() * 1e6;
    let launches = times.len();
    if is_json {
        let value = match cores {
            None => json!({ "device": "npu", "launches": launches, "median_us": median_us }),
            Some(cores) => {
                let core = |core: &CoreReport| {
                    let CoreReport { col, row, cycles, stack_high } = core;
                    json!({ "column": col, "row": row, "bundles": cycles, "stack_high": format!("{stack_high:#x}") })
                };
                let cores: Vec<_> = cores.iter().map(core).collect();
                json!({ "device": "emulator", "launches": launches, "cores": cores })
            }
        };
        return format!("{value}\n");
    }
    let Some(cores) = cores else {
        return format!("{launches} launches on the NPU, {median_us:.0} µs each (median)\n");
    };
    let mut text = format!("{launches} launches on the emulator\n");
    for CoreReport { col, row, cycles, .. } in cores {
        writeln!(text, "core ({col},{row}): {cycles} bundles").expect("a string takes everything");
    }
    text
}
