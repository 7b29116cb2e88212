//! Taking over what earlier runs left open.

use tokio::sync::mpsc;

use super::candidate::Candidate;
use super::prepare::{Preparer, Replay};
use super::{Order, RunError};
use crate::ledger::{ItemNo, ItemSelection};

/// Items that are read back from staging at a time.
pub(super) const READ_BACK: u32 = 100;

impl Replay {
    pub(super) fn of(order: &Order) -> Self {
        match order {
            Order::Retry(ItemSelection { reason: Some(reason), .. }) => Self::FailedFor(*reason),
            Order::Retry(_) => Self::Everything,
            Order::Regular | Order::Backfill(_) | Order::Restore | Order::Rebuild => Self::Nothing,
        }
    }
}

impl Preparer {
    /// Prepares what an order is about: what is left open, and then what is selected from staging, or comes from the source.
    pub(super) async fn prepare_for(
        self,
        order: Order,
        pulled: mpsc::Receiver<Vec<Candidate>>,
    ) -> Result<(), RunError> {
        match &order {
            Order::Retry(selection) => {
                self.take_over_copies().await?;
                self.replay(selection).await
            }
            Order::Restore => self.take_over_copies().await,
            Order::Regular | Order::Backfill(_) | Order::Rebuild => {
                self.take_over().await?;
                self.prepare_all(pulled).await
            }
        }
    }

    /// Takes over what earlier runs left open.
    async fn take_over(&self) -> Result<(), RunError> {
        self.take_over_copies().await?;
        let parts = &self.pipeline.parts;
        while !self.pipeline.stop.is_cancelled() {
            let now = self.pipeline.now();
            let until = self.leases.claim_until();
            let records = parts.ledger.claim_items(&parts.holder, &self.run, now, until, READ_BACK).await?;
            if records.is_empty() {
                break;
            }
            self.prepare(self.pipeline.read_back(records).await?).await?;
        }
        let mut after = ItemNo(0);
        while !self.pipeline.stop.is_cancelled() {
            let records = parts.ledger.unanswered_items(&self.run, after, READ_BACK).await?;
            let Some(last) = records.last() else { break };
            after = last.no;
            self.prepare(self.pipeline.read_back(records).await?).await?;
        }
        Ok(())
    }

    /// Has the open copies of earlier runs taken over, mailbox by mailbox, by the workers that lease them.
    async fn take_over_copies(&self) -> Result<(), RunError> {
        for mailbox in self.pipeline.parts.ledger.open_mailboxes().await? {
            self.scheduler.add_adoption(&mailbox);
        }
        Ok(())
    }
}
