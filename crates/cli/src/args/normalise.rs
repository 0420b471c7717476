//! Makes the command lines of openai/whisper users ours, before they are parsed.

use std::ffi::{OsStr, OsString};

use clap::Command;

/// Rewrites long flags so that underscores and dashes are alike, and joins a switch with a `True` or `False` behind it
/// (`--fp16 False` becomes `--fp16=false`): a switch alone must not swallow the file name behind it.
///
/// `command` says which flags are switches. Everything else, and all behind `--`, stays as it is.
pub(crate) fn normalise(args: impl Iterator<Item = OsString>, command: &Command) -> Vec<OsString> {
    let switches = switches(command);
    let mut normal: Vec<OsString> = Vec::new();
    let mut args = args.peekable();
    while let Some(arg) = args.next() {
        if arg == "--" {
            normal.push(arg);
            normal.extend(args);
            break;
        }
        let Some((name, value)) = long_flag(&arg) else {
            normal.push(arg);
            continue;
        };
        let is_switch = switches.contains(&name);
        let joined = match value {
            Some(value) if is_switch => Some(value.to_lowercase()),
            Some(value) => Some(value),
            None if is_switch => {
                args.next_if(|next| bool_word(next).is_some()).and_then(|word| bool_word(&word))
            }
            None => None,
        };
        normal.push(match joined {
            Some(value) => format!("--{name}={value}").into(),
            None => format!("--{name}").into(),
        });
    }
    normal
}

/// The names of all flags of `command` and its subcommands that take `=true` or nothing.
fn switches(command: &Command) -> Vec<String> {
    let own = command.get_arguments().filter(|arg| arg.is_require_equals_set());
    let own =
        own.flat_map(|arg| arg.get_long().into_iter().chain(arg.get_all_aliases().into_iter().flatten()));
    let own = own.map(str::to_owned);
    own.chain(command.get_subcommands().flat_map(switches)).collect()
}

/// Splits `--some_name=value` into (`some-name`, value). `None` if `arg` is anything else.
fn long_flag(arg: &OsStr) -> Option<(String, Option<String>)> {
    let flag = arg.to_str()?.strip_prefix("--")?;
    let (name, value) = match flag.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (flag, None),
    };
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    is_name.then(|| (name.replace('_', "-"), value))
}

/// Reads a truth value as Python and as people write it.
fn bool_word(word: &OsStr) -> Option<String> {
    let word = word.to_str()?.to_ascii_lowercase();
    ["true", "false"].contains(&word.as_str()).then_some(word)
}
