//! `boswell npu`: programs for the NPU, and the NPU itself.

mod doctor;
mod inspect;
mod pack;
mod run;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::args::NpuCommand;
use crate::screen::Screen;

/// Runs `boswell npu COMMAND`.
///
/// # Errors
/// What the command says.
pub(crate) fn run(command: &NpuCommand, screen: &Screen) -> Result<ExitCode> {
    match command {
        NpuCommand::Doctor(args) => return doctor::run(args, screen),
        NpuCommand::Inspect { file, json } => inspect::run(file, *json, screen)?,
        NpuCommand::Run(args) => run::run(args, screen)?,
        NpuCommand::Pack { description, output } => pack::run(description, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))
}
