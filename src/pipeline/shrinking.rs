//! Shrinking the ledger (`ledger.retain`): of windows that are purged and long past, what nothing needs any more goes, a batch a transaction.
//!
//! It follows the purge, in the same process. What one run doesn't get to, the next one does: what is shrunk says so itself.

use chrono::{DateTime, Utc};

use super::leases::Leases;
use super::{Pipeline, RunError};
use crate::failpoint;
use crate::ledger::{ItemNo, LedgerError};
use crate::window::Window;

/// Items that one run shrinks at the most, so that the first run with a shorter `ledger.retain` doesn't take hours.
const MAX_ITEMS: u64 = 1_000_000;
/// Items of one transaction.
const BATCH: u32 = 500;
/// Windows that are asked for at a time.
const WINDOWS_PER_QUERY: u32 = 100;

/// What a run shrank.
#[derive(Debug, Default)]
struct Shrunk {
    items: u64,
    windows: u64,
}

impl Pipeline {
    /// Shrinks what is old enough, up to the bound of a run.
    pub(super) async fn shrink_ledger(&self, leases: &Leases) -> Result<(), RunError> {
        let mut shrunk = Shrunk::default();
        let result = self.shrink_windows(leases, &mut shrunk).await;
        if shrunk.items > 0 {
            tracing::info!(
                event = "items_shrunk",
                items = shrunk.items,
                windows = shrunk.windows,
                more = !matches!(result, Ok(true)),
                "the details of old items are removed from the ledger (ledger.retain); what recognises them again is kept"
            );
        }
        Ok(result.map(drop)?)
    }

    /// Whether nothing is left that is old enough.
    async fn shrink_windows(&self, leases: &Leases, shrunk: &mut Shrunk) -> Result<bool, LedgerError> {
        let Some(cutoff) = self.certain_cutoff(self.report_policy.ledger_retain).await? else { return Ok(true) };
        let mut after = None;
        loop {
            let windows = self.deps.ledger.shrinkable_windows(cutoff, after, WINDOWS_PER_QUERY).await?;
            let Some(last) = windows.last() else { return Ok(true) };
            after = Some(*last);
            for window in windows {
                if !self.shrink_window(leases, window, cutoff, shrunk).await? {
                    return Ok(false);
                }
            }
        }
    }

    /// Shrinks a window's items. False where the run may go on no longer.
    async fn shrink_window(
        &self,
        leases: &Leases,
        window: Window,
        cutoff: DateTime<Utc>,
        shrunk: &mut Shrunk,
    ) -> Result<bool, LedgerError> {
        let ledger = &self.deps.ledger;
        let (mut after, mut left_until) = (ItemNo(0), None);
        loop {
            if shrunk.items >= MAX_ITEMS || !self.may_remove(leases) {
                return Ok(false);
            }
            let Some(step) = ledger.shrink_items(window, cutoff, after, BATCH).await? else { break };
            failpoint::pass(failpoint::ITEMS_SHRUNK);
            after = step.last;
            left_until = left_until.max(step.left_until);
            shrunk.items += step.items;
            self.progress.add_step();
            if let Some(metrics) = &self.metrics {
                metrics.items_shrunk(step.items);
            }
        }
        ledger.finish_shrinking(window, left_until).await?;
        shrunk.windows += 1;
        Ok(true)
    }
}
