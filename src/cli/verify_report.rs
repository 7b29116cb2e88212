//! `verify-report`: check signatures and chain of reports, offline.

use std::path::{Path, PathBuf};

use clap::Args;

use super::context::{CommandError, CommandResult, Exit};
use super::output;
use crate::app::files::read_bounded;
use crate::report::signature::PublicKey;
use crate::report::verification::{Checked, verify};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The reports, in the order of the chain; the signature of each lies beside it, as FILE.sig
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The public key that signatures are checked with, in PEM
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> CommandResult {
    let key = arguments.key.as_deref().map(read_key).transpose()?;
    let checked = verify(&arguments.files, key.as_ref());
    for (place, file) in checked.iter().enumerate() {
        output::print(&summary(file, place == 0))?;
    }
    let wrong = checked.iter().filter(|file| !file.is_ok()).count();
    let unsigned = checked.iter().filter(|file| !file.signed).count();
    let reports = output::counted(checked.len() as u64, "report", "reports");
    let summary = match (wrong, &key) {
        (0, None) => format!("{reports}: the chain is whole; no signature was checked (--key)\n"),
        (0, Some(_)) if unsigned == 0 => format!("{reports}: the chain is whole, and all are signed\n"),
        (1, _) => format!("1 of {reports} is not as it was written\n"),
        _ => format!("{wrong} of {reports} are not as they were written\n"),
    };
    output::print(&summary)?;
    Ok(if wrong == 0 { Exit::Done } else { Exit::Failed })
}

fn read_key(path: &Path) -> Result<PublicKey, CommandError> {
    let bytes = read_bounded(path, "--key").map_err(|problem| CommandError::Usage(problem.to_string()))?;
    PublicKey::from_pem(&bytes).map_err(|error| CommandError::Usage(format!("{}: {error}", path.display())))
}

/// A line for each finding, or one that says ok.
fn summary(checked: &Checked, is_first: bool) -> String {
    let file = checked.file.display();
    if !checked.is_ok() {
        let lines: Vec<String> = checked.findings.iter().map(|finding| format!("{file}: {finding}\n")).collect();
        return lines.concat();
    }
    let Some(head) = &checked.head else { return String::new() };
    let signed = if checked.signed { ", signed" } else { "" };
    let earlier = if is_first && head.sequence > 1 { "; the reports before it were not given" } else { "" };
    format!("{file}: ok (number {}, run {}{signed}{earlier})\n", head.sequence, head.run)
}
