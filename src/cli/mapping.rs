//! `mapping check`: lint a mapping file, line by line.

use std::path::PathBuf;

use clap::Subcommand;

use super::context::{CommandError, CommandResult, Exit};
use super::output;
use crate::app::files::read_bounded;
use crate::resolve::mapping::Mapping;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lint a mapping file, line by line, and show who holds each number that changes hands, and when
    Check {
        /// The file
        file: PathBuf,
    },
}

pub(super) fn run(command: &Command) -> CommandResult {
    let Command::Check { file } = command;
    let bytes =
        read_bounded(file, "mapping check").map_err(|problem| CommandError::Configuration(problem.to_string()))?;
    match Mapping::read(&bytes, &file.display().to_string()) {
        Ok((mapping, warnings)) => {
            for warning in &warnings {
                output::print(&format!("{warning}\n"))?;
            }
            for (identifier, holders) in mapping.holders() {
                let holders: Vec<String> =
                    holders.iter().map(|holder| format!("{} {}", holder.address, holder.validity)).collect();
                output::print(&format!("{identifier}: {}\n", holders.join(", ")))?;
            }
            let numbers = output::counted(mapping.len() as u64, "number", "numbers");
            let warnings = output::counted(warnings.len() as u64, "warning", "warnings");
            output::print(&format!("{}: ok, {numbers}, {warnings}\n", file.display()))?;
            Ok(Exit::Done)
        }
        Err(problems) => {
            output::print(&format!("{problems}\n"))?;
            Ok(Exit::Configuration)
        }
    }
}
