//! `failures`: what is not imported and why.

use std::io;

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;

use super::{
    CommandError, CommandResult, Context, Exit, Format, ShowNumbers, block_on, instant, named_run, output,
    retry::reason_parser,
};
use crate::config::NeededSecrets;
use crate::fault::Reason;
use crate::ledger::{DeliveryState, FailureFilter, Ledger, RunKind, RunStatus};
use crate::output_text::cell;
use crate::report::lists::{self, Numbers, Rows};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only what failed for this reason
    #[arg(long, value_parser = reason_parser())]
    reason: Option<Reason>,
    /// Of this run's account [default: all that is open now]
    #[arg(long)]
    run: Option<String>,
    /// How it is written
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    numbers: ShowNumbers,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let config = context.begin_needing(NeededSecrets::OfLedger)?;
    block_on(async {
        let ledger = context.ledger(&config).await?;
        let run = named_run(&ledger, arguments.run.as_deref()).await?.map(|run| run.id);
        let states = vec![DeliveryState::Failed, DeliveryState::Pending];
        let filter = FailureFilter { run, states, reason: arguments.reason };
        write(&ledger, filter, arguments.format, arguments.numbers.numbers()).await?;
        Ok(Exit::Done)
    })
}

/// Nothing in the list is good news only where something was read.
async fn nothing_open(ledger: &Ledger, is_narrowed: bool) -> Result<String, CommandError> {
    let read_to = ledger.watermark().await.map_err(anyhow::Error::from)?;
    let ended = ledger.latest_run(&RunKind::ALL, &[RunStatus::Complete, RunStatus::Incomplete]).await;
    let has_ended = ended.map_err(anyhow::Error::from)?.is_some();
    Ok(match read_to {
        _ if is_narrowed && has_ended => "Nothing is open that fits.\n".to_owned(),
        None if has_ended => "Nothing is open: all that was read is accounted for.\n".to_owned(),
        None => "This ledger has read nothing yet: nothing can be open. `status` says when the first run is due.\n"
            .to_owned(),
        Some(read_to) => {
            format!("Nothing is open: all that was received before {} is accounted for.\n", instant::shown(read_to))
        }
    })
}

async fn write(ledger: &Ledger, filter: FailureFilter, format: Format, numbers: Numbers) -> Result<(), CommandError> {
    let is_narrowed = filter.run.is_some() || filter.reason.is_some();
    let mut rows = Rows::new(ledger, filter);
    let mut out = io::BufWriter::new(io::stdout());
    match format {
        Format::Csv => {
            let result = lists::write_csv(rows, numbers, &mut out).await;
            output::finish(result, out)
        }
        Format::Json => {
            let result = lists::write_open_json(rows, numbers, &mut out).await;
            output::finish(result, out)
        }
        Format::Table => {
            let mut table = Table::new();
            table.load_style(UTF8_FULL_CONDENSED);
            table.set_header(["Item", "Source user", "Mailbox", "State", "Reason", "Detail"]);
            let mut count = 0_u64;
            while let Some(row) = rows.next().await.map_err(anyhow::Error::from)? {
                count += 1;
                table.add_row([
                    row.item.map_or_else(|| format!("#{}", row.no.0), |item| item.to_string()),
                    row.owner.map(|owner| numbers.of(&owner)).unwrap_or_default(),
                    row.mailbox.as_deref().map(cell).unwrap_or_default(),
                    row.state.name().to_owned(),
                    row.reason.unwrap_or_default(),
                    row.detail.as_deref().map(cell).unwrap_or_default(),
                ]);
            }
            match count {
                0 => output::print(&nothing_open(ledger, is_narrowed).await?),
                _ => output::print(&format!("{table}\n{}\n", output::counted(count, "row", "rows"))),
            }
        }
    }
}
