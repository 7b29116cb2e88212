//! `verify`: whether each imported message is in its mailbox, unaltered, once.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use clap::{Args, ValueEnum};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{CommandError, CommandResult, Context, Exit, administrator, block_on, named_run, output, run::run_request};
use crate::app::{self, App};
use crate::config::NeededSecrets;
use crate::ledger::{ActionKind, Ledger, LedgerError, RunId, RunKind, RunRecord, RunStatus};
use crate::lifecycle::{Signals, stop_on_signal};
use crate::pipeline::{RunError, RunRequest};
use crate::report::lists::csv_line;
use crate::retry::Retrier;
use crate::verify::spool::Spool;
use crate::verify::{Discrepancy, Finding, Verified, Verifier, VerifyError};

mod page;

/// Most findings that a table shows.
const MAX_ROWS: usize = 1000;

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
        let signals = Signals::listen().map_err(anyhow::Error::from)?;
        // The user list says which mailboxes have another address now.
        let app = context.app(&config).await?;
        let run = named_run(&app.ledger, arguments.run.as_deref()).await?.map(|run| run.id);
        let stop = CancellationToken::new();
        stop_on_signal(signals, stop.clone());
        check_ledger(&app, &stop).await?;
        if arguments.restore {
            let what = run
                .as_ref()
                .map_or_else(|| "what is missing".to_owned(), |run| format!("what is missing of run {run}"));
            administrator::acts(context, &app.ledger, ActionKind::Restore, &what).await?;
        }
        let policy = app::settings(&config, None).retry;
        let verifier = Verifier {
            ledger: app.ledger.clone(),
            destination: std::sync::Arc::clone(&app.remotes.destination),
            resolver: std::sync::Arc::clone(&app.resolver),
            retrier: Retrier::new(std::sync::Arc::clone(&app.clock), policy, stop.clone()),
            stop: stop.clone(),
            clock: std::sync::Arc::clone(&app.clock),
            restores: arguments.restore,
        };
        let written = match arguments.format {
            VerifyFormat::Json => write_json(&verifier, run.as_ref()).await,
            VerifyFormat::Csv => write_csv(&verifier, run.as_ref()).await,
            VerifyFormat::Table => write_table(&verifier, run.as_ref()).await,
            VerifyFormat::Html => page::write(&verifier, run.as_ref()).await,
        };
        match written {
            Ok(outcome) => {
                let what =
                    run.as_ref().map_or_else(|| "all copies".to_owned(), |run| format!("the copies of run {run}"));
                let Verified { checked, damage, missing, .. } = outcome;
                let result = format!("{what}: {checked} checked, {damage} damaged, of which {missing} missing");
                administrator::acts(context, &app.ledger, ActionKind::Verify, &result).await?;
                if arguments.restore {
                    restore(context, &app, arguments, outcome, stop).await?;
                }
                Ok(if outcome.damage == 0 { Exit::Done } else { Exit::Failed })
            }
            // Whoever read the findings has gone: that says nothing of those not read.
            Err(VerifyError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Failed),
            Err(error) => Err(CommandError::Other(error.into())),
        }
    })
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

/// One document: the lists are spooled, so that they can be long.
async fn write_json(verifier: &Verifier, run: Option<&RunId>) -> Result<Verified, VerifyError> {
    let mut lists: BTreeMap<&'static str, Spool> = BTreeMap::new();
    let outcome = verifier
        .verify(run, &mut |finding| lists.entry(finding.wrong.name()).or_default().push(&as_json(&finding)))
        .await?;
    let mut out = io::BufWriter::new(io::stdout());
    write!(out, "{{\"checked\":{},\"waiting\":{}", outcome.checked, outcome.waiting)?;
    for name in Discrepancy::NAMES {
        write!(out, ",\"{name}\":")?;
        lists.remove(name).unwrap_or_default().write_to(&mut out)?;
    }
    out.write_all(b"}\n")?;
    out.flush()?;
    Ok(outcome)
}

fn as_json(finding: &Finding) -> Value {
    let mut value = json!({
        "item": finding.item.map(|item| item.to_string()),
        "message_id": finding.message_id,
        "mailbox": finding.mailbox,
    });
    if let Some(object) = value.as_object_mut() {
        if let Discrepancy::Doubled { copies } = finding.wrong {
            object.insert("copies".to_owned(), json!(copies));
        } else if let Some(detail) = finding.wrong.detail() {
            object.insert("detail".to_owned(), json!(detail));
        }
    }
    value
}

async fn write_csv(verifier: &Verifier, run: Option<&RunId>) -> Result<Verified, VerifyError> {
    let mut out = io::BufWriter::new(io::stdout());
    let line = |fields: [&str; 5]| csv_line(&fields.map(str::to_owned)).map_err(io::Error::other);
    out.write_all(&line(["finding", "item", "message_id", "mailbox", "detail"])?)?;
    let outcome = verifier
        .verify(run, &mut |finding| {
            let [item, message_id, detail] = cells(&finding);
            out.write_all(&line([finding.wrong.name(), &item, &message_id, &finding.mailbox, &detail])?)
        })
        .await?;
    out.flush()?;
    Ok(outcome)
}

async fn write_table(verifier: &Verifier, run: Option<&RunId>) -> Result<Verified, VerifyError> {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["Finding", "Item", "Message-ID", "Mailbox", "Detail"]);
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let outcome = verifier
        .verify(run, &mut |finding| {
            *counts.entry(finding.wrong.name()).or_default() += 1;
            if table.row_count() < MAX_ROWS {
                let [item, message_id, detail] = cells(&finding);
                table.add_row([finding.wrong.name().to_owned(), item, message_id, finding.mailbox, detail]);
            }
            Ok(())
        })
        .await?;
    let mut out = io::stdout();
    if table.row_count() > 0 {
        writeln!(out, "{table}")?;
    }
    let found: u64 = counts.values().sum();
    if found > MAX_ROWS as u64 {
        writeln!(out, "… and {} more: --format csv shows them all", found - MAX_ROWS as u64)?;
    }
    let counted = Discrepancy::NAMES.iter().filter_map(|name| Some(format!(", {} {name}", counts.get(name)?)));
    let checked = output::counted(outcome.checked, "copy", "copies");
    let verdict = if outcome.damage == 0 { "no damage" } else { "DAMAGE FOUND" };
    writeln!(out, "{checked} checked: {verdict}{}", counted.collect::<String>())?;
    if outcome.waiting > 0 {
        let waiting = output::counted(outcome.waiting, "copy waits", "copies wait");
        writeln!(out, "{waiting} to be sent by the next run")?;
    }
    Ok(outcome)
}

fn cells(finding: &Finding) -> [String; 3] {
    [
        finding.item.map(|item| item.to_string()).unwrap_or_default(),
        finding.message_id.as_ref().map(|id| id.as_str().to_owned()).unwrap_or_default(),
        finding.wrong.detail().unwrap_or_default(),
    ]
}
