//! Taking over what earlier runs left open.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::candidate::Candidate;
use super::look_ups::Asking;
use super::prepare::{Preparer, Replay};
use super::{RunError, RunRequest};
use crate::ledger::{ItemNo, ItemSelection};
use crate::resolution::Mailbox;
use crate::whereabouts::Whereabouts;

/// Items that are read back from staging at a time.
pub(super) const READ_BACK_BATCH: u32 = 100;

impl Replay {
    pub(super) fn of(request: &RunRequest) -> Self {
        match request {
            RunRequest::Retry(ItemSelection { reason: Some(reason), .. }) => Self::FailedFor(*reason),
            RunRequest::Retry(_) => Self::Everything,
            RunRequest::Regular | RunRequest::Backfill(_) | RunRequest::Restore | RunRequest::Rebuild => Self::Nothing,
        }
    }
}

impl Preparer {
    /// Prepares what a request is about: what is left open, and then what is selected from staging, or comes from the source.
    pub(super) async fn prepare_for(
        self: Arc<Self>,
        request: RunRequest,
        pulled: mpsc::Receiver<Vec<Candidate>>,
    ) -> Result<(), RunError> {
        match &request {
            RunRequest::Retry(selection) => {
                self.take_over_copies(selection.items.as_deref()).await?;
                self.replay(selection).await
            }
            RunRequest::Restore => self.take_over_copies(None).await,
            RunRequest::Regular | RunRequest::Backfill(_) | RunRequest::Rebuild => {
                self.take_over().await?;
                self.prepare_all(pulled).await
            }
        }
    }

    /// Takes over what earlier runs left open.
    async fn take_over(&self) -> Result<(), RunError> {
        self.take_over_copies(None).await?;
        let deps = &self.pipeline.deps;
        while !self.pipeline.stop.is_cancelled() {
            let now = self.pipeline.now();
            let until = self.leases.claim_until();
            let records = deps.ledger.claim_items(&deps.holder, &self.run, now, until, READ_BACK_BATCH).await?;
            if records.is_empty() {
                break;
            }
            self.prepare(self.pipeline.read_back(records).await?, Asking::WithPauses).await?;
        }
        let mut after = ItemNo(0);
        while !self.pipeline.stop.is_cancelled() {
            let records = deps.ledger.unanswered_items(&self.run, after, READ_BACK_BATCH).await?;
            let Some(last) = records.last() else { break };
            after = last.no;
            self.prepare(self.pipeline.read_back(records).await?, Asking::Once).await?;
        }
        Ok(())
    }

    /// Has the open copies of earlier runs (of all items, or of these) taken over, mailbox by mailbox, by the workers that lease them.
    async fn take_over_copies(&self, items: Option<&[ItemNo]>) -> Result<(), RunError> {
        let open = self.pipeline.deps.ledger.open_mailboxes(items).await?;
        for (mailbox, found) in open.iter().zip(self.finder.find(&open).await) {
            let mailbox = self.at_present(mailbox, found);
            self.scheduler.found_at(&mailbox);
            self.scheduler.add_adoption(&mailbox);
        }
        Ok(())
    }

    /// A mailbox that was recorded before, at its present address. What there is for one that is lost is left open.
    pub(super) fn at_present(&self, recorded: &Mailbox, found: Whereabouts) -> Mailbox {
        match found {
            Whereabouts::At(now) => now,
            Whereabouts::Lost(why) => {
                self.scheduler.lose(recorded, why);
                recorded.clone()
            }
        }
    }
}
