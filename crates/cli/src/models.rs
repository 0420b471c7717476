//! `boswell models`: which models there are, and getting them.

mod cache;
mod hub;
mod known;
mod pull;

use std::fmt::{Display, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::built_in;
use crate::load;
use crate::screen::{Screen, human_bytes};
use crate::usage::usage;
use cache::Cache;

/// Where a model is that the user has named.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Inside the program.
    BuiltIn,
    /// A file or folder of the user's.
    Path(PathBuf),
    /// A repository of the hub, as `organisation/name`.
    Hub(String),
}

/// Finds out what the user means by `model`: a name, a path, or a repository of the hub.
///
/// # Errors
/// If it is none of these; the message says what there is.
pub(crate) fn locate(model: &str) -> Result<Place> {
    if model.eq_ignore_ascii_case(built_in::NAME) {
        return Ok(Place::BuiltIn);
    }
    if let Some(known) = known::find(model) {
        return Ok(Place::Hub(known.repository.into()));
    }
    if Path::new(model).exists() {
        return Ok(Place::Path(model.into()));
    }
    let is_file_name = [".bin", ".pt", ".safetensors"].iter().any(|ending| model.ends_with(ending));
    if known::is_repository(model) && !is_file_name {
        return Ok(Place::Hub(model.into()));
    }
    if is_file_name || model.contains(['/', '\\']) {
        usage!("there is no file or folder `{model}`");
    }
    let hint = known::nearest(model).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
    let names: Vec<&str> = known::names().collect();
    usage!(
        "there is no model `{model}`{hint}\nA model is a path, a repository of the hub (organisation/name), or one of: {}",
        names.join(", ")
    )
}

/// The folder of the hub's model `repository`, if it is on this machine.
///
/// # Errors
/// If it is not, or not all of it.
pub(crate) fn here(repository: &str) -> Result<PathBuf> {
    let cache = Cache::from_env()?;
    let place = cache.repository(repository);
    let state = if place.exists() { "only partly" } else { "not" };
    place.model().with_context(|| {
        let folder = cache.root().display();
        format!("the model {repository} is {state} on this machine (in `{folder}`): `boswell models pull` fetches it")
    })
}

/// The folder of the hub's model `repository`; it is fetched if it is not here and `offline` allows it.
///
/// # Errors
/// If it is not here and cannot be fetched.
pub(crate) fn fetched(repository: &str, offline: bool, screen: &Screen) -> Result<PathBuf> {
    match here(repository) {
        Ok(folder) => Ok(folder),
        Err(error) if offline || hub::is_offline_by_env() => {
            Err(error.context("the network is switched off"))
        }
        Err(_) => pull::pull(repository, &Cache::from_env()?, screen),
    }
}

/// Lists the models that have a name, and what else is in the cache.
///
/// # Errors
/// If standard output does not take it, or no cache folder is known.
pub(crate) fn list(screen: &Screen) -> Result<()> {
    let cache = Cache::from_env()?;
    let mut text = format!("{:<24} {:>8}  {:<5} {}\n", "NAME", "SIZE", "HERE", "REPOSITORY");
    let mut line = |name: &str, size: &str, here: &str, repository: &str| {
        writeln!(text, "{name:<24} {size:>8}  {here:<5} {repository}").expect("a string takes everything");
    };
    line(built_in::NAME, &human_bytes(built_in::bytes()), "yes", "built in; English digits only");
    for known in known::KNOWN {
        let (bytes, here) = state(&cache, known.repository);
        let name = match known.alias {
            Some(alias) => format!("{}, {alias}", known.name),
            None => known.name.to_owned(),
        };
        let about =
            || known.size.map_or_else(|| "?".into(), |size| format!("~{}", human_bytes(size.bytes())));
        line(&name, &bytes.map_or_else(about, human_bytes), here, known.repository);
    }
    let is_known = |repository: &String| known::KNOWN.iter().any(|known| known.repository == *repository);
    for repository in cache.repositories().iter().filter(|repository| !is_known(repository)) {
        if cache.repository(repository).is_whisper() {
            let (bytes, here) = state(&cache, repository);
            line("", &bytes.map_or_else(String::new, human_bytes), here, repository);
        }
    }
    screen.result(text.as_bytes())
}

/// How many bytes of a repository are here, if all of it is, and a word for how much of it is here.
fn state(cache: &Cache, repository: &str) -> (Option<u64>, &'static str) {
    let place = cache.repository(repository);
    match (place.model(), place.exists()) {
        (Some(_), _) => (Some(place.bytes_on_disk()), "yes"),
        (None, true) => (None, "part"),
        (None, false) => (None, "-"),
    }
}

/// Fetches the model `name` and prints where it is.
///
/// # Errors
/// If there is no such model or it cannot be fetched.
pub(crate) fn pull(name: &str, offline: bool, screen: &Screen) -> Result<()> {
    let repository = match locate(name)? {
        Place::Hub(repository) => repository,
        Place::BuiltIn => {
            tracing::info!("{} is built into the program: there is nothing to fetch", built_in::NAME);
            return Ok(());
        }
        Place::Path(path) => bail!("`{}` is here already", path.display()),
    };
    let folder = if offline || hub::is_offline_by_env() {
        here(&repository).context("the network is switched off")?
    } else {
        pull::pull(&repository, &Cache::from_env()?, screen)?
    };
    screen.result(format!("{}\n", folder.display()).as_bytes())
}

/// Removes the model `name` from the cache and says how much that freed.
///
/// # Errors
/// If it is not there or cannot be removed.
pub(crate) fn remove(name: &str) -> Result<()> {
    let repository = match locate(name)? {
        Place::Hub(repository) => repository,
        Place::BuiltIn => bail!("{} is built into the program and cannot be removed", built_in::NAME),
        Place::Path(path) => bail!("`{}` is a file or folder of yours: remove it yourself", path.display()),
    };
    let cache = Cache::from_env()?;
    let place = cache.repository(&repository);
    if !place.exists() {
        bail!("the model {repository} is not on this machine (in `{}`)", cache.root().display());
    }
    let freed = place.remove().with_context(|| format!("cannot remove {repository}"))?;
    tracing::info!("removed {repository}: {} freed", human_bytes(freed));
    Ok(())
}

/// Prints what a model is.
///
/// # Errors
/// If there is no such model, or it cannot be read.
pub(crate) fn show(model: &str, screen: &Screen) -> Result<()> {
    let checkpoint = load::checkpoint(model, here)?;
    let dims = checkpoint.dims();
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn Display| {
        writeln!(text, "{name:<12} {value}").expect("a string takes everything");
    };
    line("model", &model);
    if let Some(path) = checkpoint.path() {
        line("weights", &path.display());
    }
    line("format", &format_args!("{}, {}", checkpoint.format(), human_bytes(checkpoint.n_bytes())));
    line("parameters", &format_args!("{:.1} million", checkpoint.n_parameters() as f64 / 1e6));
    for (dtype, share) in checkpoint.dtypes() {
        line("", &format_args!("{} tensors as {dtype}, {}", share.n_tensors, human_bytes(share.n_bytes)));
    }
    line("speech", if dims.is_multilingual() { &"many languages" } else { &"English only" });
    line("vocabulary", &format_args!("{} tokens", dims.n_vocab));
    line("encoder", &layers(dims.n_audio_layer, dims.n_audio_state, dims.n_audio_head));
    line("decoder", &layers(dims.n_text_layer, dims.n_text_state, dims.n_text_head));
    line(
        "window",
        &format_args!(
            "{} mel bands, {} positions, {} tokens",
            dims.n_mels, dims.n_audio_ctx, dims.n_text_ctx
        ),
    );
    screen.result(text.as_bytes())
}

fn layers(n_layer: usize, n_state: usize, n_head: usize) -> String {
    format!("{n_layer} layers, {n_state} wide, {n_head} heads")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_a_name_a_path_or_a_repository() {
        assert_eq!(locate("Digits.EN").unwrap(), Place::BuiltIn);
        assert_eq!(locate("turbo").unwrap(), Place::Hub("openai/whisper-large-v3-turbo".into()));
        assert_eq!(locate("someone/else").unwrap(), Place::Hub("someone/else".into()));
        assert_eq!(locate("Cargo.toml").unwrap(), Place::Path("Cargo.toml".into()));
    }

    #[test]
    fn what_is_no_model_is_answered_with_what_there_is() {
        let error = |model: &str| locate(model).unwrap_err().to_string();
        assert!(error("bsae").contains("did you mean `base`?"));
        assert!(error("parakeet").contains("digits.en, tiny, "));
        assert!(!error("parakeet").contains("did you mean"));
        for path in ["models/tiny.pt", "./nothing", "/nothing/at/all", "tiny.bin"] {
            assert!(error(path).contains("no file or folder"), "{path}");
        }
    }
}
