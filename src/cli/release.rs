//! `release`: give up held items.

use chrono::{DateTime, Utc};
use clap::Args;

use super::{
    CommandError, CommandResult, Context, Exit, administrator, block_on, instant, output, retry::parse_reason,
};
use crate::clock::{Clock as _, SystemClock};
use crate::fault::Reason;
use crate::item::ItemId;
use crate::ledger::HeldSelection;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only this item (TeleMessage's id)
    #[arg(long, required_unless_present_any = ["reason", "before"])]
    item: Option<i64>,
    /// Only items that failed for this reason
    #[arg(long, value_parser = parse_reason)]
    reason: Option<Reason>,
    /// Only items that were staged before this: RFC 3339, or a date (its midnight, UTC)
    #[arg(long, value_parser = instant::parse)]
    before: Option<DateTime<Utc>>,
    /// Do it; without it, only tell what would be released
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let selection =
        HeldSelection { item: arguments.item.map(ItemId), reason: arguments.reason, before: arguments.before };
    let config = context.begin()?;
    block_on(async {
        let ledger = context.ledger(&config).await?;
        let held = ledger.held(&selection).await.map_err(anyhow::Error::from)?;
        if held.is_empty() {
            output::print("Nothing that is held fits; nothing was released.\n")?;
            return Ok(Exit::Done);
        }
        let told: Vec<String> = held.iter().map(|(reason, items)| format!("{items} {reason}")).collect();
        if !arguments.yes {
            return Err(CommandError::Usage(format!(
                "this gives up held items for good ({}): they can't be replayed any more, and their originals are purged with their window; \
                 say so with --yes",
                told.join(", ")
            )));
        }
        let user = administrator::name(context);
        let rows = ledger.release(&selection, user, &said(&selection), SystemClock.now()).await;
        let rows = rows.map_err(anyhow::Error::from)?;
        tracing::warn!(event = "items_released", rows, user, "an administrator gave up held items");
        output::print(&format!("Released: {} ({rows} rows).\n", told.join(", ")))?;
        Ok(Exit::Done)
    })
}

/// The arguments, as the next report tells them.
fn said(selection: &HeldSelection) -> String {
    let said = [
        selection.item.map(|item| format!("--item {item}")),
        selection.reason.map(|reason| format!("--reason {}", reason.name())),
        selection.before.map(|before| format!("--before {}", before.to_rfc3339())),
    ];
    said.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
