//! `boswell npu …`

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(super) const ABOUT: &str = "\
Look into NPU programs and at the NPU of this machine.

Ryzen 7040 and 8040 processors (\"Phoenix\", \"Hawk Point\") have a neural
processing unit, XDNA1. Linux 6.14 and later bring a driver for it; these
commands talk to that driver directly. Transcription does not need an NPU.";

/// `boswell npu …`
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct NpuArgs {
    #[command(subcommand)]
    pub(crate) command: NpuCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NpuCommand {
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
}
