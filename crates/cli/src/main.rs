//! The `boswell` program: the command line over the libraries.

mod args;
mod bench;
mod built_in;
mod eval;
mod load;
mod models;
mod npu;
mod pages;
mod screen;
#[cfg(feature = "server")]
mod serve;
#[cfg(feature = "otlp")]
mod telemetry;
mod transcribe;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use args::{Cli, Command, LogFormat, ModelsCommand, normalise};
use screen::{ReaderGone, Screen};
use usage::UsageError;

/// A server's memory is taken and given back by many threads, and glibc's allocator keeps more of it from hour to hour.
/// How soon this one gives it back stands in `.cargo/config.toml`.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The exit code for a command line that makes no sense; clap uses the same.
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let definition = Cli::command();
    let line = normalise::normalise(std::env::args_os(), &definition);
    let matches = definition.clone().get_matches_from(&line);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let command = completed(cli.command, line, definition, &matches);
    let screen = Screen::open(&cli.messages, command.as_ref().map_or(LogFormat::Text, log_format));
    let ended = command.and_then(|command| run(command, &screen));
    #[cfg(feature = "otlp")]
    telemetry::end();
    match ended {
        Ok(code) => code,
        Err(error) if error.is::<ReaderGone>() => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            if error.is::<UsageError>() { ExitCode::from(WRONG_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// The command, with what the environment and a configuration file say where the command line does not.
#[cfg(feature = "server")]
fn completed(
    command: Command,
    line: Vec<OsString>,
    mut definition: clap::Command,
    matches: &ArgMatches,
) -> Result<Command> {
    let Some(("serve", flags)) = matches.subcommand() else { return Ok(command) };
    definition.build();
    let serve = definition.find_subcommand("serve").expect("there is a command `serve`");
    let line = args::layers::complete(line, serve, flags, |name| std::env::var_os(name))?;
    let matches = definition.get_matches_from(line);
    Ok(Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()).command)
}

#[cfg(not(feature = "server"))]
fn completed(command: Command, _: Vec<OsString>, _: clap::Command, _: &ArgMatches) -> Result<Command> {
    Ok(command)
}

/// How messages are written: whoever gathers a server's may want them as JSON.
fn log_format(command: &Command) -> LogFormat {
    match command {
        #[cfg(feature = "server")]
        Command::Serve(args) => args.log_format,
        _ => LogFormat::Text,
    }
}

fn run(command: Command, screen: &Screen) -> Result<ExitCode> {
    match command {
        Command::Transcribe(args) => return transcribe::run(&args, screen),
        Command::Bench(args) => return bench::run(&args, screen),
        Command::Eval(args) => return eval::run(&args, screen),
        #[cfg(feature = "server")]
        Command::Serve(args) => return serve::run(&args, screen),
        Command::Models(args) => match args.command {
            ModelsCommand::List => models::list(screen)?,
            ModelsCommand::Pull { name, offline } => models::pull(&name, offline, screen)?,
            ModelsCommand::Show { model } => models::show(&model, screen)?,
            ModelsCommand::Rm { name } => models::remove(&name)?,
        },
        Command::Npu(args) => return npu::run(&args.command, screen),
        Command::Completions { shell } => pages::completions(shell, screen)?,
        Command::Man { output_dir: Some(folder), .. } => pages::man_all(&folder)?,
        Command::Man { commands, output_dir: None } => pages::man(&commands, screen)?,
    }
    Ok(ExitCode::SUCCESS)
}
