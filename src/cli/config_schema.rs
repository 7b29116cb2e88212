//! `config-schema`: the configuration as a JSON schema, for editors and linters.

use super::context::{CommandResult, Exit};
use super::output;
use crate::config;

pub(super) fn run() -> CommandResult {
    output::print(&format!("{:#}\n", config::json_schema()))?;
    Ok(Exit::Done)
}
