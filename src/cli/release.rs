//! `release`: give up held items.

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args};

use super::context::{CommandResult, Context, Exit, block_on};
use super::{administrator, instant, item_name, output, retry::reason_parser};
use crate::clock::{Clock as _, SystemClock};
use crate::config::NeededSecrets;
use crate::ledger::{HeldSelection, ItemName};
use crate::reason::Reason;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").args(["item", "reason", "before"]).required(true).multiple(true)))]
pub(super) struct Arguments {
    /// Only this item: TeleMessage's number, `#70` as `failures` shows an item that can't be read, or the SHA-256 of its bytes
    #[arg(long, value_name = "ID", allow_negative_numbers = true, value_parser = item_name::read)]
    item: Option<ItemName>,
    /// Only items that failed for this reason
    #[arg(long, value_parser = reason_parser())]
    reason: Option<Reason>,
    /// Only items that were staged before this: RFC 3339, or a date (its midnight, UTC)
    #[arg(long, value_parser = instant::parse)]
    before: Option<DateTime<Utc>>,
    /// Do it; without it, only list what would be released
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let config = context.begin_needing(NeededSecrets::OfLedger)?;
    block_on(async {
        let ledger = context.ledger(&config).await?;
        let items = item_name::find(&ledger, arguments.item.as_ref()).await?;
        let selection = HeldSelection { items, reason: arguments.reason, before: arguments.before };
        let held = ledger.held(&selection).await?;
        if held.is_empty() {
            output::print("No held items match; nothing was released.\n")?;
            return Ok(Exit::Done);
        }
        let summary: Vec<String> = held.iter().map(|(reason, items)| format!("{items} {reason}")).collect();
        if !arguments.yes {
            output::print(&format!(
                "This would give up held items for good: {}. They could not be replayed any more, and their originals would be \
                 purged with their window.\nNothing was released; --yes does it.\n",
                summary.join(", ")
            ))?;
            return Ok(Exit::Done);
        }
        let user = administrator::name(context);
        let rows = ledger.release(&selection, user, &said(arguments), SystemClock.now()).await?;
        tracing::warn!(event = "items_released", rows, user, "an administrator released held items");
        output::print(&format!("Released: {} ({}).\n", summary.join(", "), output::counted(rows, "row", "rows")))?;
        Ok(Exit::Done)
    })
}

/// The arguments, as the next report lists them.
fn said(arguments: &Arguments) -> String {
    let said = [
        arguments.item.as_ref().map(|item| format!("--item {}", item_name::shown(item))),
        arguments.reason.map(|reason| format!("--reason {}", reason.name())),
        arguments.before.map(|before| format!("--before {}", before.to_rfc3339())),
    ];
    said.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
