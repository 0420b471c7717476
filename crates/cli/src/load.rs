//! From what the user calls a model to a network that is ready.

use std::path::PathBuf;

use anyhow::{Context, Result};
use boswell_model::{Checkpoint, LoadOptions, Model, Precision};

use crate::args::{DeviceArg, ModelArgs, PrecisionArg};
use crate::built_in;
use crate::models::{self, Place};
use crate::screen::Screen;

/// Opens the model that `name` means.
///
/// `folder_of` gives the folder of a repository of the hub.
///
/// # Errors
/// If there is no such model, or it cannot be read; those of `folder_of`.
pub(crate) fn checkpoint(name: &str, folder_of: impl FnOnce(&str) -> Result<PathBuf>) -> Result<Checkpoint> {
    let path = match models::locate(name)? {
        Place::BuiltIn => return built_in::checkpoint(),
        Place::Path(path) => path,
        Place::Hub(repository) => folder_of(&repository)?,
    };
    Checkpoint::open(&path).with_context(|| format!("cannot use `{}` as a model", path.display()))
}

/// Opens the model that the command line asks for, and says how it asks for it to be loaded.
///
/// # Errors
/// Those of [`checkpoint`].
pub(crate) fn opened(args: &ModelArgs, screen: &Screen) -> Result<(Checkpoint, LoadOptions)> {
    let checkpoint = checkpoint(&args.model, |repository| models::fetched(repository, args.offline, screen))?;
    if checkpoint.path().is_none() {
        built_in::introduce();
    }
    if args.fp16 {
        tracing::warn!("--fp16 is not used on a CPU: computing in f32");
    }
    let DeviceArg::Cpu = args.device;
    Ok((checkpoint, options(args)))
}

/// Loads the model that the command line asks for.
///
/// # Errors
/// Those of [`checkpoint`], and if the weights are not those of a network.
pub(crate) fn model(args: &ModelArgs, screen: &Screen) -> Result<Model> {
    let (checkpoint, options) = opened(args, screen)?;
    Model::new(&checkpoint, &options).with_context(|| format!("cannot use the model `{}`", args.model))
}

/// How the command line asks for a model to be loaded.
pub(crate) fn options(args: &ModelArgs) -> LoadOptions {
    let precision = match args.precision {
        PrecisionArg::Auto => Precision::fastest(),
        PrecisionArg::F32 => Precision::F32,
        PrecisionArg::Bf16 => Precision::Bf16,
        PrecisionArg::Int8 => Precision::Int8,
    };
    LoadOptions { threads: threads(args.threads), precision, keep_packed: !args.no_packed_weights }
}

/// The number of threads asked for; for 0 one per physical core, as far as this process may use them.
fn threads(asked: usize) -> usize {
    let usable = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if asked > 0 { asked } else { usable.min(num_cpus::get_physical()).max(1) }
}
