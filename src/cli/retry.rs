//! `retry`: replay what failed or is pending, and add the copies of participants who have a valid user by now.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::context::{
    CommandError, CommandResult, Context, Exit, block_on, named_run, stop_on_signals, unless_stopped,
};
use super::{administrator, item_name, output, run::run_request};
use crate::app::{App, LedgerUse, TablesUse};
use crate::ledger::{ActionKind, ItemName, ItemSelection, OpenElsewhere};
use crate::pipeline::{Pipeline, ReplayPreview, RunRequest};
use crate::reason::Reason;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only what failed for this reason
    #[arg(long, value_parser = reason_parser())]
    reason: Option<Reason>,
    /// Only what this run left open
    #[arg(long)]
    run: Option<String>,
    /// Only this item: TeleMessage's number, `#70` as `failures` shows an item that can't be read, or the SHA-256 of its bytes
    #[arg(long, value_name = "ID", allow_negative_numbers = true, value_parser = item_name::read)]
    item: Option<ItemName>,
    /// Only say how many copies it would add; no run is started
    #[arg(long)]
    dry_run: bool,
}

/// Reads a reason of the closed list, which `--help` and completions show.
pub(super) fn reason_parser() -> impl TypedValueParser<Value = Reason> {
    let names = PossibleValuesParser::new(Reason::ALL.map(Reason::name));
    names.try_map(|name| Reason::from_name(&name).ok_or_else(|| format!("{name} is no reason")))
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let config = context.begin()?;
    block_on(async {
        let stop = stop_on_signals()?;
        let app = unless_stopped(&stop, context.app(&config, LedgerUse::Existing, TablesUse::Read)).await?;
        let selection = ItemSelection {
            reason: arguments.reason,
            run: named_run(&app.ledger, arguments.run.as_deref()).await?.map(|run| run.id),
            items: item_name::find(&app.ledger, arguments.item.as_ref()).await?,
        };
        let pipeline = app.pipeline(stop.clone());
        if arguments.dry_run {
            output::print(&described(pipeline.preview_replay(&selection).await?))?;
            return Ok(Exit::Done);
        }
        if let Some(elsewhere) = selects_nothing(&app, &pipeline, &selection).await? {
            let of_others = output::elsewhere(&elsewhere);
            output::print(&format!("{of_others}Nothing that matches can be replayed; no run was started.\n"))?;
            return Ok(if elsewhere.is_empty() { Exit::Done } else { Exit::Failed });
        }
        administrator::acts(context, &app.ledger, ActionKind::Retry, &summary(arguments)).await?;
        let finished = run_request(&app, RunRequest::Retry(selection), stop).await?;
        let exit = output::report_finished(context, &finished)?;
        let counts = &finished.report.deliveries;
        let added = output::counted(counts.imported + counts.partially_imported, "copy was", "copies were");
        output::print(&format!("{added} added.\n"))?;
        Ok(exit)
    })
}

/// Where something was named, and there is nothing of it to replay or to take over: what is open of it in the accounts of runs that
/// are under way.
async fn selects_nothing(
    app: &App,
    pipeline: &Pipeline,
    selection: &ItemSelection,
) -> Result<Option<Vec<OpenElsewhere>>, CommandError> {
    let is_named = selection.items.is_some() || selection.reason.is_some() || selection.run.is_some();
    if !is_named || pipeline.preview_replay(selection).await?.items > 0 {
        return Ok(None);
    }
    // The ledger of another staging area knows nothing of what is staged here: that is the answer then.
    pipeline.check_staging_owner().await?;
    let open = app.ledger.open_elsewhere(None, selection, false, app.clock.now()).await?;
    // A replay takes over the copies that a run left whose process has gone.
    let all_are_sent = open.iter().all(|open| open.is_under_way);
    Ok(all_are_sent.then_some(open))
}

/// What a dry run prints.
fn described(preview: ReplayPreview) -> String {
    format!(
        "{} would be replayed, which would add {}. No run was started.\n",
        output::counted(preview.items, "item", "items"),
        output::counted(preview.copies, "copy", "copies"),
    )
}

/// The arguments, as the next report lists them.
fn summary(arguments: &Arguments) -> String {
    let said = [
        arguments.reason.map(|reason| format!("--reason {}", reason.name())),
        arguments.run.as_ref().map(|run| format!("--run {run}")),
        arguments.item.as_ref().map(|item| format!("--item {}", item_name::shown(item))),
    ];
    let said: Vec<String> = said.into_iter().flatten().collect();
    if said.is_empty() { "all that is open".to_owned() } else { said.join(" ") }
}
