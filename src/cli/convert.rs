//! `convert`: `RawMessage` JSON to .eml files, without any network.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::{CommandResult, Context, Exit, output};
use crate::app::files::read_bounded;
use crate::clock::{Clock as _, SystemClock};
use crate::offline::{self, Converted};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file: one `RawMessage`, an array of them, a list response, or JSON lines
    file: PathBuf,
    /// Where the .eml files go
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

pub(super) fn run(_context: &Context, arguments: &Arguments) -> CommandResult {
    let bytes = read_bounded(&arguments.file, "convert").map_err(|problem| anyhow::anyhow!("{problem}"))?;
    std::fs::create_dir_all(&arguments.out).with_context(|| format!("{} can't be made", arguments.out.display()))?;
    let attachments = arguments.file.parent().unwrap_or(Path::new(".")).join("attachments");
    let bytes = bytes.into();
    let converted = offline::convert_file(&bytes, &attachments, SystemClock.now());
    for (index, converted) in converted.map_err(anyhow::Error::from)?.enumerate() {
        match converted {
            Converted::Message { name, message } => {
                let path = arguments.out.join(name);
                std::fs::write(&path, message.mime())
                    .with_context(|| format!("{} can't be written", path.display()))?;
                output::print(&format!("{}\n", path.display()))?;
            }
            Converted::Refused(reason) => {
                // An item that no rule lets through is normal.
                eprintln!("item {} is not converted: {reason}", index + 1);
            }
        }
    }
    Ok(Exit::Done)
}
