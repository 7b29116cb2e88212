//! `man`: manual pages, made from the same declarations as `--help`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Command};
use clap_mangen::Man;

use super::context::{CommandResult, Exit};
use super::output;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write one page for the program and one for each command to this directory, instead of the first to standard output
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, command: Command) -> CommandResult {
    match &arguments.out {
        None => output::print(&String::from_utf8_lossy(&page(command)?))?,
        Some(directory) => write_pages(command, directory)?,
    }
    Ok(Exit::Done)
}

fn page(command: Command) -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).manual("WhatsApp Archiver").render(&mut page)?;
    Ok(page)
}

/// Writes `whatsapp-archiver.1`, `whatsapp-archiver-run.1` and so on.
fn write_pages(mut command: Command, directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("{} can't be created", directory.display()))?;
    // Gives the commands their full names, and their pages the options that all commands have.
    command.build();
    write_page_of(&command, directory)
}

fn write_page_of(command: &Command, directory: &Path) -> anyhow::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let path = directory.join(format!("{name}.1"));
    // A page is named as its file is, not by the last word of the command.
    let page = page(command.clone().name(name))?;
    std::fs::write(&path, page).with_context(|| format!("{} can't be written", path.display()))?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        write_page_of(sub, directory)?;
    }
    Ok(())
}
