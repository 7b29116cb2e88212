//! `rebuild-ledger`: after a loss of the ledger, from staging and the mailboxes.

use super::context::{CommandResult, Context, block_on, stop_on_signals, unless_stopped};
use super::{administrator, output, run::run_request};
use crate::app::{LedgerUse, TablesUse};
use crate::ledger::ActionKind;
use crate::pipeline::RunRequest;

pub(super) fn run(context: &Context) -> CommandResult {
    let config = context.begin()?;
    block_on(async {
        let stop = stop_on_signals()?;
        let app = unless_stopped(&stop, context.app(&config, LedgerUse::MadeIfMissing, TablesUse::Read)).await?;
        administrator::acts(context, &app.ledger, ActionKind::RebuildLedger, "from staging and the mailboxes").await?;
        let finished = run_request(&app, RunRequest::Rebuild, stop).await?;
        output::report_finished(context, &finished)
    })
}
