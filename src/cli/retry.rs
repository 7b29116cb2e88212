//! `retry`: replay what is held or failed.

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{CommandError, CommandResult, Context, Exit, administrator, block_on, named_run, output, run::run_order};
use crate::app::App;
use crate::fault::Reason;
use crate::item::ItemId;
use crate::ledger::{ActionKind, ItemNo, ItemSelection};
use crate::lifecycle::{Signals, stop_on_signal};
use crate::pipeline::Order;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only what failed for this reason
    #[arg(long, value_parser = parse_reason)]
    reason: Option<Reason>,
    /// Only what this run left
    #[arg(long)]
    run: Option<String>,
    /// Only this item (TeleMessage's id)
    #[arg(long)]
    item: Option<i64>,
}

/// A reason of the closed list.
pub(super) fn parse_reason(name: &str) -> Result<Reason, String> {
    let names: Vec<&str> = Reason::ALL.into_iter().map(Reason::name).collect();
    Reason::from_name(name).ok_or_else(|| format!("one of {}", names.join(", ")))
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let config = context.begin()?;
    block_on(async {
        let signals = Signals::listen().map_err(anyhow::Error::from)?;
        let app = context.app(&config).await?;
        let selection = ItemSelection {
            reason: arguments.reason,
            run: named_run(&app.ledger, arguments.run.as_deref()).await?.map(|run| run.id),
            item: arguments.item.map(ItemId),
        };
        if selects_nothing(&app, &selection).await? {
            output::print("Nothing that is held fits; no run was started.\n")?;
            return Ok(Exit::Done);
        }
        administrator::acts(context, &app.ledger, ActionKind::Retry, &told(arguments)).await?;
        let stop = CancellationToken::new();
        stop_on_signal(signals, stop.clone());
        let finished = run_order(&app, Order::Retry(selection), stop).await?;
        output::tell_finished(context, &finished)
    })
}

/// Whether something was named, and nothing that is held or failed is it. Without a name, a replay also takes over the
/// copies that a run left which has gone.
async fn selects_nothing(app: &App, selection: &ItemSelection) -> Result<bool, CommandError> {
    if selection.item.is_none() && selection.reason.is_none() && selection.run.is_none() {
        return Ok(false);
    }
    let first = app.ledger.select_items(selection, ItemNo(0), 1).await.map_err(anyhow::Error::from)?;
    if first.is_empty() {
        // Another ledger holds nothing of what lies there: that is the answer then.
        app.pipeline(CancellationToken::new()).check_staging_owner().await.map_err(anyhow::Error::from)?;
    }
    Ok(first.is_empty())
}

/// The arguments, as the next report tells them.
fn told(arguments: &Arguments) -> String {
    let said = [
        arguments.reason.map(|reason| format!("--reason {}", reason.name())),
        arguments.run.as_ref().map(|run| format!("--run {run}")),
        arguments.item.map(|item| format!("--item {item}")),
    ];
    let said: Vec<String> = said.into_iter().flatten().collect();
    if said.is_empty() { "all that is open".to_owned() } else { said.join(" ") }
}
