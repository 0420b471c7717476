//! `boswell serve`: the server, with the models that the command line names.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use boswell_server::{Catalogue, Keys, Server, Settings};

use crate::args::{Limit, ModelArgs, ServeArgs};
use crate::load;
use crate::screen::Screen;
use crate::usage::usage;

/// Keys for those who do not want them on the command line.
const KEYS_VARIABLE: &str = "BOSWELL_API_KEYS";

/// Serves until it is told to end.
///
/// # Errors
/// If the command line makes no sense, the address is taken, or connections break down.
pub(crate) fn run(args: &ServeArgs, screen: &Screen) -> Result<ExitCode> {
    let server = Server::bind(args.listen, settings(args)?, catalogue(args, screen)?)?;
    let address = server.address();
    let scheme = if args.tls_certificate.is_some() { "https" } else { "http" };
    tracing::info!("listening on {scheme}://{address}/v1 (Ctrl-C ends)");
    if !address.ip().is_loopback() && args.api_key.is_empty() && keys_of_environment().is_empty() {
        tracing::warn!("everybody who reaches {address} may use it: --api-key asks for a key");
    }
    server.run()?;
    Ok(ExitCode::SUCCESS)
}

fn settings(args: &ServeArgs) -> Result<Settings> {
    let seconds = |name: &str, seconds: f64| {
        Duration::try_from_secs_f64(seconds)
            .with_context(|| format!("{name} is {seconds}, which is too long"))
    };
    let keys = args.api_key.iter().cloned().chain(keys_of_environment());
    let defaults = Settings::default();
    Ok(Settings {
        keys: Keys::new(keys)?,
        max_upload_bytes: args.max_upload,
        max_audio: seconds("--max-audio", args.max_audio)?,
        max_requests: args.max_requests as usize,
        batch_size: args.batch_size as usize,
        audio_context: args.audio_context,
        deadline: seconds("--deadline", args.deadline)?,
        model_ttl: match args.model_ttl {
            Limit(Some(ttl)) if ttl < 0.0 => {
                usage!("--model-ttl is {ttl}, expected seconds, 0 or more, or none")
            }
            Limit(ttl) => ttl.map(|ttl| seconds("--model-ttl", ttl)).transpose()?,
        },
        model_memory: args.model_memory,
        outside_hosts: args.outside_host.clone(),
        webhook_secret: args.webhook_secret.clone(),
        requests_per_minute: args.requests_per_minute,
        cors_origins: args.cors_origin.clone(),
        tls: args.tls_certificate.clone().zip(args.tls_key.clone()),
        wyoming: args.wyoming,
        jobs_dir: jobs_dir(args),
        job_retention: seconds("--job-retention", args.job_retention)?,
        temp_dir: args.temp_dir.clone().unwrap_or_else(|| defaults.temp_dir.clone()),
        ..defaults
    })
}

/// Where jobs are kept.
fn jobs_dir(args: &ServeArgs) -> Option<PathBuf> {
    match &args.jobs_dir {
        Some(none) if none.as_os_str() == "none" => None,
        Some(folder) => Some(folder.clone()),
        None => {
            let state = std::env::var_os("XDG_STATE_HOME").filter(|folder| !folder.is_empty());
            let home = || Some(std::env::home_dir()?.join(".local/state"));
            state.map(PathBuf::from).or_else(home).map(|folder| folder.join("boswell"))
        }
    }
}

/// The keys in the environment.
fn keys_of_environment() -> Vec<String> {
    let keys = std::env::var(KEYS_VARIABLE).unwrap_or_default();
    keys.split(',').map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

fn catalogue(args: &ServeArgs, screen: &Screen) -> Result<Catalogue> {
    let names = std::iter::once(&args.model.model).chain(&args.also_model).cloned().collect();
    let (model, screen) = (args.model.clone(), screen.clone());
    let mut catalogue = Catalogue::new(names, move |name| {
        let args = ModelArgs { model: name.to_owned(), ..model.clone() };
        Ok(load::opened(&args, &screen)?)
    });
    for (alias, name) in &args.alias {
        catalogue.alias(alias, name)?;
    }
    Ok(catalogue)
}
