//! What somebody can do about a run that failed. Many errors say it themselves; then there is nothing to add.

use super::RunError;
use crate::fault::remedy::Kinds;
use crate::ledger::LedgerError;
use crate::report::chain::ChainError;

/// What helps; nothing where the error says it, or where nothing has to be done.
pub(super) fn of(kinds: Kinds, error: &RunError) -> Option<&'static str> {
    Some(match error {
        RunError::Source(error) | RunError::SourceAt { error, .. } => kinds.of_source(error),
        RunError::Staging(error) | RunError::Report(ChainError::Staging(error)) => kinds.of_staging(error),
        RunError::Ledger(error) | RunError::Report(ChainError::Ledger(error)) => return of_ledger(error),
        RunError::ProcessGone => "find out why it ended: out of memory, evicted, killed?",
        RunError::Unbalanced(_) => "keep the ledger, the staging area and the log as they are, and report this",
        RunError::Task(_) => "report this, with the log",
        RunError::ForeignStaging { .. }
        | RunError::StagingGone { .. }
        | RunError::OlderLedger { .. }
        | RunError::ClockBehind { .. }
        | RunError::NotRebuildable
        | RunError::UnreadablePages { .. }
        | RunError::Report(_)
        | RunError::Stopped => return None,
    })
}

fn of_ledger(error: &LedgerError) -> Option<&'static str> {
    match error {
        LedgerError::Database(_) => {
            Some("is its disk full or mounted read-only, the database down, or its password changed?")
        }
        LedgerError::LeaseLost(_) => {
            Some("did this process stand still, or the database not answer? Nothing, unless it goes on")
        }
        _ => None,
    }
}
