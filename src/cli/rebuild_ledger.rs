//! `rebuild-ledger`: after a loss of the ledger, from staging and the mailboxes.

use tokio_util::sync::CancellationToken;

use super::context::{CommandResult, Context, block_on};
use super::{administrator, output, run::run_request};
use crate::app::{LedgerUse, TablesUse};
use crate::ledger::ActionKind;
use crate::lifecycle::{Signals, stop_on_signal};
use crate::pipeline::RunRequest;

pub(super) fn run(context: &Context) -> CommandResult {
    let config = context.begin()?;
    block_on(async {
        let signals = Signals::listen()?;
        let app = context.app(&config, LedgerUse::MadeIfMissing, TablesUse::Read).await?;
        administrator::acts(context, &app.ledger, ActionKind::RebuildLedger, "from staging and the mailboxes").await?;
        let stop = CancellationToken::new();
        stop_on_signal(signals, stop.clone());
        let finished = run_request(&app, RunRequest::Rebuild, stop).await?;
        output::report_finished(context, &finished)
    })
}
