//! `backfill`: a run over a stated window.

use chrono::{DateTime, Utc};
use clap::Args;

use super::context::{CommandError, CommandResult, Context, block_on, stop_on_signals, unless_stopped};
use super::{administrator, instant, output, run::run_request};
use crate::app::{LedgerUse, TablesUse};
use crate::clock::{Clock as _, SystemClock};
use crate::ledger::ActionKind;
use crate::pipeline::RunRequest;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Start of the window: RFC 3339, or a date (its midnight, UTC)
    #[arg(long, value_parser = instant::parse)]
    from: DateTime<Utc>,
    /// End of the window, not included
    #[arg(long, value_parser = instant::parse)]
    to: DateTime<Utc>,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let window = instant::window(arguments.from, arguments.to).map_err(CommandError::Usage)?;
    let now = SystemClock.now();
    if window.to > now {
        return Err(CommandError::Usage(format!(
            "--to {} is in the future: what will be captured by then can't be read yet; the latest possible time is now, {}",
            instant::shown(window.to),
            instant::shown(now)
        )));
    }
    let config = context.begin()?;
    block_on(async {
        let stop = stop_on_signals()?;
        let app = unless_stopped(&stop, context.app(&config, LedgerUse::MadeIfMissing, TablesUse::Read)).await?;
        administrator::acts(context, &app.ledger, ActionKind::Backfill, &window.to_string()).await?;
        let finished = run_request(&app, RunRequest::Backfill(window), stop).await?;
        output::report_finished(context, &finished)
    })
}
