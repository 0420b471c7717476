//! Shell completions and manual pages, made from the definition of the command line.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::screen::Screen;
use crate::usage::usage;

/// Prints the completions for `shell`.
///
/// # Errors
/// If standard output does not take them.
pub(crate) fn completions(shell: Shell, screen: &Screen) -> Result<()> {
    let mut page = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "boswell", &mut page);
    print(&page, screen)
}

/// Prints the manual page of the command that `commands` lead to, or of the program if there are none.
///
/// # Errors
/// If there is no such command, or standard output does not take the page.
pub(crate) fn man(commands: &[String], screen: &Screen) -> Result<()> {
    let mut command = built();
    for name in commands.iter().flat_map(|words| words.split_whitespace()) {
        let Some(found) = command.find_subcommand(name) else {
            let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
            usage!("there is no command `{name}`, only: {}", names.join(", "));
        };
        command = found.clone();
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    print(&page, screen)
}

/// Writes all manual pages into `folder`, which is made if it is missing.
///
/// # Errors
/// If they cannot be written.
pub(crate) fn man_all(folder: &Path) -> Result<()> {
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), folder)
    };
    write().with_context(|| format!("cannot write into `{}`", folder.display()))
}

/// The command line's definition with everything that clap adds.
fn built() -> Command {
    let mut command = Cli::command();
    command.build();
    command
}

fn print(page: &[u8], screen: &Screen) -> Result<()> {
    screen.result(page)
}
