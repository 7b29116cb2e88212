//! `convert`: `RawMessage` JSON to .eml files, without any network.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::context::{CommandResult, Exit};
use super::output;
use crate::app::files::read_bounded;
use crate::clock::{Clock as _, SystemClock};
use crate::convert::Message;
use crate::offline::{self, Converted};
use crate::output_text::cell;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file: one `RawMessage`, an array of them, a list response, or JSON lines
    file: PathBuf,
    /// The directory that the .eml files are written to; files that are there already are left as they are
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> CommandResult {
    let bytes = read_bounded(&arguments.file, "convert")?;
    fs::create_dir_all(&arguments.out).with_context(|| format!("{} can't be made", arguments.out.display()))?;
    let folder = arguments.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let bytes = bytes.into();
    let (mut written, mut refused, mut taken) = (0_u64, 0_u64, 0_u64);
    for (index, converted) in offline::convert_file(&bytes, folder, SystemClock.now())?.enumerate() {
        match converted {
            Converted::Message { name, message } => {
                let path = arguments.out.join(name);
                match write_new(&path, &message) {
                    Ok(()) => {
                        written += 1;
                        output::print(&format!("{}\n", path.display()))?;
                    }
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        taken += 1;
                        eprintln!("{} already exists, and nothing is overwritten", path.display());
                    }
                    Err(error) => {
                        let problem = format!("{} can't be written", path.display());
                        return Err(anyhow::Error::from(error).context(problem).into());
                    }
                }
            }
            Converted::Refused(reason) => {
                // An item that no rule lets through is normal.
                refused += 1;
                eprintln!("item {} is not converted: {}", index + 1, cell(&reason));
            }
        }
    }
    if taken > 0 {
        let files = output::counted(taken, "file is", "files are");
        eprintln!("{files} not written: name another --out, or remove what is there first");
        return Ok(Exit::Failed);
    }
    match (written, refused) {
        (0, 0) => eprintln!("nothing is converted: {} holds no items", arguments.file.display()),
        (0, refused) => eprintln!("nothing is converted: none of {} can be", output::counted(refused, "item", "items")),
        _ => return Ok(Exit::Done),
    }
    Ok(Exit::Failed)
}

/// Writes a new file; one that already exists is an error. Nothing is left of one that fails.
fn write_new(path: &Path, message: &Message) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let mut output = BufWriter::new(file);
    message.write_mime(&mut output).and_then(|()| output.flush()).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}
