//! Which copies may have been sent without this ledger's knowing: each of them is looked up before it is sent.
//!
//! - All, in a backfill of time before the ledger's first window, and while a ledger is rebuilt.
//! - All of an item that a rebuild found in staging, whenever they are made: the ledger that was lost may have sent them.
//! - In a rebuilt ledger, copies of messages from before the time of which staging had everything: another capture of the same
//!   message, purged from staging since, may have been sent.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::candidate::Candidate;
use super::{Pipeline, RunError, RunRequest};
use crate::item::{Item, MAX_AHEAD};
use crate::ledger::RunId;

/// Which copies may have been sent before.
#[derive(Debug, Clone, Default)]
pub(super) struct PriorSends {
    everything: bool,
    /// The runs that rebuilt the ledger.
    rebuilt_by: HashSet<RunId>,
    /// From when on the ledger knows all that was received.
    knows_from: Option<DateTime<Utc>>,
}

impl PriorSends {
    /// Whether copies of an item may have been sent.
    pub(super) fn may_include(&self, candidate: &Candidate<Item>) -> bool {
        let rebuilt = candidate.record.as_ref().is_some_and(|record| self.rebuilt_by.contains(&record.run));
        let time = &candidate.item.time;
        let before = self.knows_from.is_some_and(|from| time.substituted.is_some() || time.at < from + MAX_AHEAD);
        self.everything || rebuilt || before
    }
}

impl Pipeline {
    /// What a run must look up before it sends.
    pub(super) async fn prior_sends(&self, request: &RunRequest) -> Result<PriorSends, RunError> {
        let ledger = &self.deps.ledger;
        let everything = match request {
            RunRequest::Rebuild => true,
            RunRequest::Backfill(window) => ledger.first_window().await?.is_none_or(|first| window.from < first),
            RunRequest::Regular | RunRequest::Retry(_) | RunRequest::Restore => false,
        };
        let rebuilt_by = ledger.rebuild_runs().await?.into_iter().collect();
        Ok(PriorSends { everything, rebuilt_by, knows_from: ledger.knows_from().await? })
    }
}
