//! `init`: a commented configuration to start from.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::context::{CommandResult, Exit};
use super::output;
use crate::config::{EXAMPLE, EXAMPLE_MAPPING};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The directory
    #[arg(default_value = ".")]
    directory: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> CommandResult {
    let directory = &arguments.directory;
    std::fs::create_dir_all(directory).with_context(|| format!("{} can't be made", directory.display()))?;
    write_new(&directory.join("config.toml"), EXAMPLE)?;
    write_new(&directory.join("mapping.csv"), EXAMPLE_MAPPING)?;
    let directory = directory.display();
    output::print(&format!(
        "Wrote {directory}/config.toml and {directory}/mapping.csv.\n\
         Next: edit them, then  whatsapp-archiver --config {directory}/config.toml check\n"
    ))?;
    Ok(Exit::Done)
}

/// Writes a file that isn't there yet: what an administrator wrote is never overwritten.
fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let shown = path.display();
    let mut file = match std::fs::File::create_new(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            anyhow::bail!(
                "{shown} already exists, and nothing is overwritten: name another directory, or remove it first"
            )
        }
        file => file.with_context(|| format!("{shown} can't be written"))?,
    };
    file.write_all(text.as_bytes()).with_context(|| format!("{shown} can't be written"))
}
