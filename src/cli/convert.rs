//! `convert`: `RawMessage` JSON to .eml files, without any network.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::context::{CommandResult, Context, Exit};
use super::output;
use crate::app::files::read_bounded;
use crate::clock::{Clock as _, SystemClock};
use crate::offline::{self, Converted};
use crate::output_text::cell;

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
    let folder = arguments.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let bytes = bytes.into();
    let converted = offline::convert_file(&bytes, folder, SystemClock.now());
    let (mut written, mut refused) = (0_u64, 0_u64);
    for (index, converted) in converted.map_err(anyhow::Error::from)?.enumerate() {
        match converted {
            Converted::Message { name, message } => {
                let path = arguments.out.join(name);
                std::fs::write(&path, message.mime())
                    .with_context(|| format!("{} can't be written", path.display()))?;
                written += 1;
                output::print(&format!("{}\n", path.display()))?;
            }
            Converted::Refused(reason) => {
                // An item that no rule lets through is normal.
                refused += 1;
                eprintln!("item {} is not converted: {}", index + 1, cell(&reason));
            }
        }
    }
    match (written, refused) {
        (0, 0) => eprintln!("nothing is converted: {} holds no items", arguments.file.display()),
        (0, refused) => eprintln!("nothing is converted: none of {} can be", output::counted(refused, "item", "items")),
        _ => return Ok(Exit::Done),
    }
    Ok(Exit::Failed)
}
