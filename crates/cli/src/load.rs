//! From what the user calls a model to a network that is ready.

use std::path::PathBuf;

use anyhow::{Context, Result};
use boswell_model::{Checkpoint, LoadOptions, Model, Precision};

use crate::args::{ModelArgs, PrecisionArg};
use crate::built_in;
use crate::models::{self, Place};
use crate::screen::Screen;

/// Opens the model that `name` means; one of the hub's is fetched if it is missing and `offline` allows it.
///
/// # Errors
/// If there is no such model, or it cannot be fetched or read.
pub(crate) fn checkpoint(name: &str, offline: bool, screen: &Screen) -> Result<Checkpoint> {
    let path: PathBuf = match models::locate(name)? {
        Place::BuiltIn => return built_in::checkpoint(),
        Place::Path(path) => path,
        Place::Hub(repository) => models::fetched(&repository, offline, screen)?,
    };
    Checkpoint::open(&path).with_context(|| format!("cannot use `{}` as a model", path.display()))
}

/// Loads the model that the command line asks for.
///
/// # Errors
/// Those of [`checkpoint`], and if the weights are not those of a network.
pub(crate) fn model(args: &ModelArgs, screen: &Screen) -> Result<Model> {
    let checkpoint = checkpoint(&args.model, args.offline, screen)?;
    let precision = match args.precision {
        PrecisionArg::F32 => Precision::F32,
    };
    let options = LoadOptions { threads: threads(args.threads), precision };
    Model::new(&checkpoint, &options).with_context(|| format!("cannot use the model `{}`", args.model))
}

/// The number of threads asked for; for 0 one per physical core, as far as this process may use them.
fn threads(asked: usize) -> usize {
    let usable = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if asked > 0 { asked } else { usable.min(num_cpus::get_physical()).max(1) }
}
