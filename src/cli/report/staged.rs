//! The report of an ended run as it is in staging, byte for byte, so that its signature and the chain can be checked.

use std::io::{self, Write as _};

use futures_util::StreamExt as _;

use crate::app;
use crate::cli::context::{CommandError, Context, Exit};
use crate::cli::output;
use crate::config::Config;
use crate::digest::Digester;
use crate::ledger::{DrawnReport, ReportEntry};
use crate::staging::{BlobName, StagingError};

/// Prints a report from staging. What isn't what was recorded is printed all the same, and is an error.
pub(super) async fn print(
    context: &Context,
    config: &Config,
    entry: &ReportEntry,
    drawn: &DrawnReport,
) -> Result<Exit, CommandError> {
    let staging = app::staging_alone(config, &context.environment)?;
    let beside = BlobName::report_beside(&entry.run.0, entry.sequence);
    let unreadable = |error| {
        anyhow::Error::from(error)
            .context("the report is in staging, and can't be read there; the other formats need only the ledger")
    };
    let (name, mut pieces) = match staging.open(&beside).await {
        Ok(pieces) => (beside, pieces),
        Err(StagingError::NotFound { .. }) => {
            let name = BlobName::report(&entry.run.0);
            let pieces = staging.open(&name).await.map_err(unreadable)?;
            (name, pieces)
        }
        Err(error) => return Err(unreadable(error).into()),
    };
    let mut digester = Digester::default();
    let mut out = io::BufWriter::new(io::stdout());
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(unreadable)?;
        digester.update(&piece);
        match out.write_all(&piece) {
            // A reader that has gone ends the command quietly.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Done),
            written => written?,
        }
    }
    output::quietly(out.flush())?;
    let found = digester.finish();
    let recorded = drawn.sha256;
    if found != recorded {
        return Err(anyhow::anyhow!(
            "{name} in staging is not what was written: its SHA-256 is {found}, recorded is {recorded}"
        )
        .into());
    }
    Ok(Exit::Done)
}
