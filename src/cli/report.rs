//! `report`: the completeness report of a run.

use clap::Args;

use super::{CommandError, CommandResult, Context, Exit, Format, ShowNumbers, block_on, output};
use crate::ledger::{Ledger, RunId, RunRecord};
use crate::report::Report;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The run [default: the latest]
    #[arg(long)]
    run: Option<String>,
    /// How it is written
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    numbers: ShowNumbers,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let config = context.begin()?;
    block_on(async {
        let ledger = context.ledger(&config).await?;
        let run = find_run(&ledger, arguments.run.as_deref()).await?;
        let report = Report::of(&ledger, &run).await.map_err(anyhow::Error::from)?;
        output::print_report(&ledger, &report, arguments.format, arguments.numbers).await?;
        Ok(Exit::Done)
    })
}

/// The run that was asked for, or the latest.
async fn find_run(ledger: &Ledger, id: Option<&str>) -> Result<RunRecord, CommandError> {
    let found = match id {
        Some(id) => ledger.run(&RunId(id.to_owned())).await.map_err(anyhow::Error::from)?,
        None => ledger.runs(1).await.map_err(anyhow::Error::from)?.pop(),
    };
    found.ok_or_else(|| match id {
        Some(id) => CommandError::Usage(format!("there is no run {id}; `status` names the last one")),
        None => CommandError::Other(anyhow::anyhow!("there is no run yet; `run --once` makes one")),
    })
}
