//! `boswell npu …`

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};

use super::values;

pub(super) const ABOUT: &str = "\
Look into NPU programs, run them, and see what the NPU of this machine needs.

Ryzen 7040 and 8040 processors (\"Phoenix\", \"Hawk Point\") have a neural
processing unit, XDNA1. Linux 6.14 and later bring a driver for it; these
commands talk to that driver directly, or to an NPU in software that runs the
same programs on any machine. Transcription does not need an NPU.";

/// `boswell npu …`
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct NpuArgs {
    #[command(subcommand)]
    pub(crate) command: NpuCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NpuCommand {
    /// Check step by step whether the NPU of this machine can be used
    ///
    /// Says what is missing and what to do about it. Exit code 0: it can be used.
    Doctor(DoctorArgs),
    /// Show what is in a file for the NPU
    ///
    /// What a file is, is recognised by its content: an xclbin (kernels with all
    /// they need), a PDI (the image that configures the array), a CDO (the list of
    /// writes in a PDI), or an instruction stream (what is done for one launch,
    /// often called insts.bin).
    Inspect {
        /// The file
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a kernel on files
    #[command(after_long_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Make an xclbin from PDIs and a description
    #[command(after_long_help = PACK_NOTES)]
    Pack {
        /// The description, JSON; paths in it are relative to it
        description: PathBuf,
        /// The xclbin to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
}

/// `boswell npu doctor`
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The NPU of this machine, or the one in software
    #[arg(long, value_enum, default_value_t = NpuDevice::Npu)]
    pub(crate) device: NpuDevice,
    /// Look at a copy of a machine's /sys, /dev, /proc and /lib in this folder
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub(crate) root: PathBuf,
}

/// Which NPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NpuDevice {
    /// That of this machine
    Npu,
    /// One in software: exact, and much slower
    Emulator,
}

const RUN_EXAMPLES: &str = "\
Examples:
  boswell npu run kernel.xclbin --instructions insts.bin \\
      --bo in:input.bin --bo out:output.bin:2048
  boswell npu run design.pdi --instructions insts.bin --device emulator \\
      --bo in:input.bin --bo out:output.bin:2048";

/// `boswell npu run`
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The kernel: an xclbin or a PDI
    pub(crate) program: PathBuf,
    /// The instruction stream
    #[arg(long, value_name = "FILE")]
    pub(crate) instructions: PathBuf,
    /// A buffer; the first is bo0: in:FILE, out:FILE:BYTES or inout:FILE:OUTFILE
    ///
    /// `in` is a file that the kernel reads, `out` a file that is written with what
    /// the kernel leaves in a buffer of so many bytes, `inout` both.
    #[arg(long = "bo", value_name = "BUFFER")]
    pub(crate) buffers: Vec<BufferArg>,
    /// The NPU of this machine, or the one in software
    #[arg(long, value_enum, default_value_t = NpuDevice::Npu)]
    pub(crate) device: NpuDevice,
    /// Which kernel of the xclbin; without it, the first
    #[arg(long, value_name = "NAME")]
    pub(crate) kernel: Option<String>,
    /// Columns of the array, for a PDI; an xclbin says it itself
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=5))]
    pub(crate) columns: u16,
    /// Launch it so many times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeats: u32,
    /// Give up a launch after this time
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = values::seconds)]
    pub(crate) timeout: f64,
    /// On the emulator: stop where a core stores outside of its stack and outputs
    #[arg(long)]
    pub(crate) guard: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Bytes of the largest buffer.
const MAX_BYTES: usize = 1 << 30;

/// A buffer of a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BufferArg {
    /// Filled from a file.
    In(PathBuf),
    /// Written to a file: its bytes.
    Out(PathBuf, usize),
    /// Filled from a file, and written to another.
    InOut(PathBuf, PathBuf),
}

impl FromStr for BufferArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected in:FILE, out:FILE:BYTES or inout:FILE:OUTFILE";
        let (kind, rest) = text.split_once(':').ok_or(EXPECTED)?;
        let last = |what: &str| rest.rsplit_once(':').ok_or(format!("{what} is missing; {EXPECTED}"));
        match kind {
            "in" => Ok(Self::In(rest.into())),
            "out" => {
                let (file, bytes) = last("the number of bytes")?;
                match bytes.parse() {
                    Ok(count) if (1..=MAX_BYTES).contains(&count) => Ok(Self::Out(file.into(), count)),
                    _ => Err(format!("`{bytes}` is no number of bytes from 1 to {MAX_BYTES}; {EXPECTED}")),
                }
            }
            "inout" => {
                let (file, output) = last("the second file")?;
                Ok(Self::InOut(file.into(), output.into()))
            }
            _ => Err(EXPECTED.into()),
        }
    }
}

const PACK_NOTES: &str = "\
A description, with all that can be said; what is in brackets may be left out:
  {
    \"kernels\": [
      { \"name\": \"MLIR_AIE\", \"id\": 2305, \"pdi\": \"design.pdi\",
        [\"instances\": [\"MLIRAIE\"],] [\"functional\": 0,]
        [\"buffers\": 5]  or  [\"arguments\": [{ \"name\": \"n\", \"type\": \"uint32_t\" }]] }
    ],
    \"columns\": 1,
    [\"start_columns\": [1, 2, 3, 4],] [\"operations_per_cycle\": 2048,]
    [\"memories\": [{ \"tag\": \"HOST\", \"size_kb\": 65536, \"base\": 67108864 }]]
  }

A kernel has the arguments of mlir-aie's (opcode, instructions, number of words,
and buffers), unless others are given.";
