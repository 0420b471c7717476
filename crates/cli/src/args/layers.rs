//! Flags that are not on the command line: they come from the environment, or else from a file.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::{Context, Result};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use toml::{Table, Value};

use crate::usage::usage;

/// Completes the command line of `boswell serve`: what it does not say, `BOSWELL_FLAG` in the environment says, and what
/// neither says, the file that `--config` names.
///
/// - `line`: the whole command line.
/// - `environment`: a variable's value.
///
/// # Errors
/// If the file cannot be read, is no TOML, or has a key that is no flag.
pub(crate) fn complete(
    mut line: Vec<OsString>,
    command: &Command,
    matches: &ArgMatches,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<OsString>> {
    let mut file = match matches.get_one::<std::path::PathBuf>("config") {
        Some(path) => read(path)?,
        None => Table::new(),
    };
    for arg in command.get_arguments() {
        let Some(name) = arg.get_long().filter(|name| !["config", "help", "version"].contains(name)) else {
            continue;
        };
        let in_file = file.remove(name).or_else(|| file.remove(&name.replace('-', "_")));
        if matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine) {
            continue;
        }
        if let Some(value) = environment(&variable(name)).filter(|value| !value.is_empty()) {
            line.push(flag(name, &value));
        } else if let Some(value) = in_file {
            line.extend(values(arg, name, value)?.iter().map(|value| flag(name, OsStr::new(value))));
        }
    }
    match file.keys().next() {
        Some(unknown) => {
            usage!("the configuration has a key `{unknown}`, which is no flag of `boswell serve`")
        }
        None => Ok(line),
    }
}

/// `BOSWELL_MAX_UPLOAD` for `max-upload`.
fn variable(name: &str) -> String {
    format!("BOSWELL_{}", name.replace('-', "_").to_uppercase())
}

fn flag(name: &str, value: &OsStr) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(value);
    flag
}

fn read(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    text.parse().with_context(|| format!("`{}` is no TOML", path.display()))
}

/// The values of a key, as the command line has them: several from an array.
fn values(arg: &Arg, name: &str, value: Value) -> Result<Vec<String>> {
    let is_list = matches!(arg.get_action(), clap::ArgAction::Append);
    match value {
        Value::Array(values) if is_list => values.into_iter().map(|value| one(name, value)).collect(),
        value => Ok(vec![one(name, value)?]),
    }
}

fn one(name: &str, value: Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(truth) => Ok(truth.to_string()),
        other => usage!("the configuration's `{name}` is {other}, expected a text or a number"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    fn completed(flags: &[&str], environment: &[(&str, &str)]) -> Result<Vec<String>> {
        let line: Vec<OsString> = ["boswell", "serve"].iter().chain(flags).map(Into::into).collect();
        let matches = Cli::command().get_matches_from(line.clone());
        let (_, matches) = matches.subcommand().unwrap();
        let mut definition = Cli::command();
        definition.build();
        let command = definition.find_subcommand("serve").unwrap();
        let variable = |name: &str| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        let line = complete(line, command, matches, variable)?;
        Ok(line[2 + flags.len()..].iter().map(|flag| flag.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn a_flag_goes_before_the_environment_and_that_before_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "listen = '1.1.1.1:1'\nmax_upload = '3G'\nbatch-size = 4\napi-key = ['a', 'b']\n";
        std::fs::write(file.path(), text).unwrap();
        let config = format!("--config={}", file.path().display());
        let environment = [("BOSWELL_MAX_UPLOAD", "2G"), ("BOSWELL_LISTEN", "2.2.2.2:2")];
        let flags = [config.as_str(), "--listen=3.3.3.3:3"];
        let mut found = completed(&flags, &environment).unwrap();
        found.sort();
        assert_eq!(found, ["--api-key=a", "--api-key=b", "--batch-size=4", "--max-upload=2G"]);
    }

    #[test]
    fn a_key_that_is_no_flag_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let config = format!("--config={}", file.path().display());
        for text in ["maximum = 1", "listen = {}", "listen ="] {
            std::fs::write(file.path(), text).unwrap();
            assert!(completed(&[&config], &[]).is_err(), "{text}");
        }
        assert!(completed(&["--config=/nothing"], &[]).is_err());
    }
}
