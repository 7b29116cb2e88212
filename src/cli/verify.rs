//! `verify`: whether each imported message is in its mailbox, unaltered, once.

use std::io;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::context::{
    CommandError, CommandResult, Context, Exit, block_on, named_run, stop_on_signals, unless_stopped,
};
use super::{administrator, output, run::run_request};
use crate::app::{self, App, LedgerUse, TablesUse};
use crate::config::NeededSecrets;
use crate::ledger::{ActionKind, Ledger, LedgerError, RunId, RunKind, RunRecord, RunStatus};
use crate::pipeline::{RunError, RunRequest};
use crate::retry::Retrier;
use crate::verify::{Verified, Verifier, VerifyError};

mod lists;
mod page;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only what this run imported [default: everything, and what else is in the archive folders]
    #[arg(long)]
    run: Option<String>,
    /// Send missing copies again, in a separate run; each is looked up once more first
    #[arg(long)]
    restore: bool,
    /// The output format
    #[arg(long, value_enum, default_value = "table")]
    format: VerifyFormat,
}

/// How the result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum VerifyFormat {
    /// For a terminal
    Table,
    /// JSON
    Json,
    /// CSV
    Csv,
    /// One page for a browser, or to print
    Html,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    // What is restored is a run, which takes up what earlier ones left open.
    let needed =
        if arguments.restore { NeededSecrets::All } else { NeededSecrets::Of(&["ledger", "staging", "mailbox"]) };
    let config = context.begin_needing(needed)?;
    block_on(async {
        let stop = stop_on_signals()?;
        // The user directory says where the mailboxes are by now.
        let app = unless_stopped(&stop, context.app(&config, LedgerUse::Existing, TablesUse::Read)).await?;
        let run = named_run(&app.ledger, arguments.run.as_deref()).await?.map(|run| run.id);
        check_ledger(&app, &stop).await?;
        if arguments.restore {
            let what = run
                .as_ref()
                .map_or_else(|| "what is missing".to_owned(), |run| format!("what is missing of run {run}"));
            administrator::acts(context, &app.ledger, ActionKind::Restore, &what).await?;
        }
        let verifier = Verifier {
            ledger: app.ledger.clone(),
            destination: Arc::clone(&app.remotes.destination),
            resolver: Arc::clone(&app.resolver),
            retrier: Retrier::new(Arc::clone(&app.clock), app::retry_policy(&config), stop.clone()),
            stop: stop.clone(),
            clock: Arc::clone(&app.clock),
            restores: arguments.restore,
        };
        let written = match arguments.format {
            VerifyFormat::Json => lists::write_json(&verifier, run.as_ref()).await,
            VerifyFormat::Csv => lists::write_csv(&verifier, run.as_ref()).await,
            VerifyFormat::Table => lists::write_table(&verifier, run.as_ref()).await,
            VerifyFormat::Html => page::write(&verifier, run.as_ref()).await,
        };
        let outcome = match written {
            // Whoever read the findings has gone: that says nothing of those not read.
            Err(VerifyError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Failed),
            written => written?,
        };
        administrator::acts(context, &app.ledger, ActionKind::Verify, &summary(run.as_ref(), &outcome)).await?;
        if arguments.restore {
            restore(context, &app, arguments, outcome, stop).await?;
        }
        Ok(if outcome.damage == 0 { Exit::Done } else { Exit::Failed })
    })
}

/// What came of it, as the next report lists it.
fn summary(run: Option<&RunId>, outcome: &Verified) -> String {
    let what = run.map_or_else(|| "all copies".to_owned(), |run| format!("the copies of run {run}"));
    let Verified { checked, only_looked_for, damage, missing, .. } = outcome;
    let looked_for = match only_looked_for {
        0 => String::new(),
        copies => format!(", {copies} only looked for (ledger.retain)"),
    };
    format!("{what}: {checked} checked{looked_for}, {damage} damaged, of which {missing} missing")
}

/// Has the missing copies sent that can be. Beside a list for other programs nothing is printed: the log and the report say so.
async fn restore(
    context: &Context,
    app: &App,
    arguments: &Arguments,
    verified: Verified,
    stop: CancellationToken,
) -> Result<(), CommandError> {
    let purged = verified.missing.saturating_sub(verified.to_restore);
    if purged > 0 {
        tracing::warn!(
            event = "copies_not_restored",
            copies = purged,
            "missing copies can't be sent again: their items are purged from staging"
        );
    }
    if verified.to_restore == 0 {
        return Ok(());
    }
    let finished = run_request(app, RunRequest::Restore, stop).await?;
    if arguments.format == VerifyFormat::Table {
        output::report_finished(context, &finished)?;
    }
    Ok(())
}

/// Fails where what the ledger knows proves nothing: it is not the staging area's, or no run of it has ended.
async fn check_ledger(app: &App, stop: &CancellationToken) -> anyhow::Result<()> {
    let owned = app.pipeline(stop.clone()).check_staging_owner().await;
    if owned.as_ref().is_err_and(RunError::is_about_ownership) || has_finished_run(&app.ledger).await? {
        return Ok(owned?);
    }
    // A staging area that can't be read may not have been made yet.
    anyhow::bail!("this ledger has no finished run, so there is nothing that could be proved; `run --once` makes one")
}

/// Whether any run of this ledger has ended that read something.
async fn has_finished_run(ledger: &Ledger) -> Result<bool, LedgerError> {
    const MAX_RUNS: u32 = 100;
    let mut skip = 0;
    loop {
        let runs = ledger.earlier_runs(skip, MAX_RUNS).await?;
        if runs.iter().any(has_read) {
            return Ok(true);
        }
        if runs.len() < MAX_RUNS as usize {
            return Ok(false);
        }
        skip += MAX_RUNS;
    }
}

/// Whether a run that has ended read anything. One that failed before it did proves nothing.
fn has_read(run: &RunRecord) -> bool {
    run.finished.is_some() && (run.status != RunStatus::Failed || run.kind == RunKind::Rebuild || run.available > 0)
}
