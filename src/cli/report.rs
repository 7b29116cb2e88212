//! `report`: the completeness report of a run.

use clap::{Args, ValueEnum};

use super::context::{CommandError, CommandResult, Context, Exit, block_on, named_run};
use super::format::{Format, ShowNumbers};
use super::layout::Wide;
use super::output;
use crate::config::NeededSecrets;
use crate::ledger::{Ledger, RunRecord};
use crate::report::{Report, html};

mod list;
mod staged;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The run [default: the latest]
    #[arg(long)]
    run: Option<String>,
    /// List the runs with their ids instead, newest first
    #[arg(long, conflicts_with = "run")]
    list: bool,
    /// The output format
    #[arg(long, value_enum, default_value = "table")]
    format: ReportFormat,
    #[command(flatten)]
    wide: Wide,
    #[command(flatten)]
    numbers: ShowNumbers,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// For a terminal
    Table,
    /// JSON; for a run that has ended, the signed document in staging, byte for byte
    Json,
    /// CSV, of what is not imported
    Csv,
    /// One page for a browser, or to print
    Html,
}

impl ReportFormat {
    /// The format among those that lists have too.
    fn other(self) -> Option<Format> {
        match self {
            Self::Table => Some(Format::Table),
            Self::Json => Some(Format::Json),
            Self::Csv => Some(Format::Csv),
            Self::Html => None,
        }
    }
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let config = context.begin_needing(NeededSecrets::OfLedger)?;
    block_on(async {
        let ledger = context.ledger(&config).await?;
        if arguments.list {
            let no_page = || CommandError::Usage("a list is written as table, json or csv".to_owned());
            list::print(&ledger, arguments.format.other().ok_or_else(no_page)?, arguments.wide.width()).await?;
            return Ok(Exit::Done);
        }
        let run = find_run(&ledger, arguments.run.as_deref()).await?;
        if arguments.format == ReportFormat::Json
            && !arguments.numbers.show_numbers
            && let Some((entry, drawn)) = ledger.stored_report(&run.id).await?
        {
            return staged::print(context, &config, &entry, &drawn).await;
        }
        let report = Report::of(&ledger, &run).await?;
        if let Some(format) = arguments.format.other() {
            output::print_report(&ledger, &report, format, arguments.wide.width(), arguments.numbers).await?;
        } else {
            output::print(&html::render(&ledger, &report, arguments.numbers.numbers()).await?)?;
        }
        Ok(Exit::Done)
    })
}

/// The run that was asked for, or the latest.
async fn find_run(ledger: &Ledger, id: Option<&str>) -> Result<RunRecord, CommandError> {
    if let Some(named) = named_run(ledger, id).await? {
        return Ok(named);
    }
    let latest = ledger.runs(1).await?.pop();
    latest.ok_or_else(|| anyhow::anyhow!("there is no run yet; `run --once` makes one").into())
}
