//! `failures`: what is not imported and why.

use std::io;

use clap::Args;

use super::context::{CommandError, CommandResult, Context, Exit, block_on, named_run};
use super::format::{Format, ShowNumbers};
use super::{
    instant,
    layout::{Wide, Width},
    output,
    retry::reason_parser,
};
use crate::config::NeededSecrets;
use crate::ledger::{DeliveryState, FailureFilter, Ledger, LedgerError, RunKind, RunStatus};
use crate::output_text::cell;
use crate::reason::Reason;
use crate::report::groups::Groups;
use crate::report::lists::{self, Numbers, Rows};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only what failed for this reason
    #[arg(long, value_parser = reason_parser())]
    reason: Option<Reason>,
    /// Only of this run [default: everything that is open now]
    #[arg(long)]
    run: Option<String>,
    /// The output format
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// One line for each copy, instead of one for each cause (table only; the other formats always list each copy)
    #[arg(long)]
    each: bool,
    #[command(flatten)]
    wide: Wide,
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
        write(&ledger, filter, arguments).await?;
        Ok(Exit::Done)
    })
}

/// Nothing in the list is good news only where something was read.
async fn nothing_open(ledger: &Ledger, is_narrowed: bool) -> Result<String, CommandError> {
    let read_to = ledger.watermark().await?;
    let has_ended = ledger.latest_run(&RunKind::ALL, &RunStatus::REACHED_END).await?.is_some();
    Ok(match read_to {
        _ if is_narrowed && has_ended => "Nothing is open that matches.\n".to_owned(),
        None if has_ended => "Nothing is open: everything that was read is accounted for.\n".to_owned(),
        None => "This ledger has read nothing yet: nothing can be open. `status` says when the first run is due.\n"
            .to_owned(),
        Some(read_to) => {
            format!("Nothing is open: everything received before {} is accounted for.\n", instant::shown(read_to))
        }
    })
}

async fn write(ledger: &Ledger, filter: FailureFilter, arguments: &Arguments) -> Result<(), CommandError> {
    let numbers = arguments.numbers.numbers();
    let is_narrowed = filter.run.is_some() || filter.reason.is_some();
    let rows = Rows::new(ledger, filter);
    let mut out = io::BufWriter::new(io::stdout());
    match arguments.format {
        Format::Csv => {
            let result = lists::write_csv(rows, numbers, &mut out).await;
            output::finish(result, out)
        }
        Format::Json => {
            let result = lists::write_open_json(rows, numbers, &mut out).await;
            output::finish(result, out)
        }
        Format::Table => {
            let width = arguments.wide.width();
            let listed =
                if arguments.each { each(rows, width, numbers).await? } else { grouped(rows, width, numbers).await? };
            match listed {
                Some(text) => output::print(&text),
                None => output::print(&nothing_open(ledger, is_narrowed).await?),
            }
        }
    }
}

/// A line for each copy; nothing where there is none.
async fn each(mut rows: Rows<'_>, width: Width, numbers: Numbers) -> Result<Option<String>, LedgerError> {
    let mut table = width.table();
    table.set_header(["Item", "Source user", "Mailbox", "State", "Reason", "Detail"]);
    let mut count = 0_u64;
    while let Some(row) = rows.next().await? {
        count += 1;
        let reason = row.why().map(str::to_owned);
        table.add_row([
            row.item_name(),
            row.owner.map(|owner| numbers.of(&owner)).unwrap_or_default(),
            row.mailbox.as_deref().map(cell).unwrap_or_default(),
            row.state.name().to_owned(),
            reason.unwrap_or_default(),
            row.detail.as_deref().map(cell).unwrap_or_default(),
        ]);
    }
    Ok((count > 0).then(|| format!("{table}\n{}\n", output::counted(count, "row", "rows"))))
}

/// A line for each cause, the most frequent first; nothing where there is none.
async fn grouped(rows: Rows<'_>, width: Width, numbers: Numbers) -> Result<Option<String>, LedgerError> {
    let Groups { groups, rows, ungrouped } = Groups::of(rows).await?;
    if rows == 0 {
        return Ok(None);
    }
    let mut table = width.table();
    table.set_header(["Rows", "Mailbox or user", "Why", "Detail", "First items"]);
    for group in &groups {
        let owner = group.owner.as_deref().map(|owner| numbers.of(owner));
        table.add_row([
            group.rows.to_string(),
            group.mailbox.as_deref().map(cell).or(owner).unwrap_or_default(),
            group.why(),
            group.detail.as_deref().map(cell).unwrap_or_default(),
            group.first_items(),
        ]);
    }
    let causes = output::counted(groups.len() as u64, "cause", "causes");
    let mut text = format!("{table}\n{}, {causes}; --each lists each\n", output::counted(rows, "row", "rows"));
    if ungrouped > 0 {
        text.push_str(&format!("{} of further causes are not shown.\n", output::counted(ungrouped, "row", "rows")));
    }
    Ok(Some(text))
}
