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
                self.take_over(Some(selection)).await?;
                self.replay(selection).await
            }
            Order::Restore => self.take_over_copies(None).await,
            Order::Regular | Order::Backfill(_) | Order::Rebuild => {
                self.take_over(None).await?;
                self.prepare_all(pulled).await
            }
        }
    }

    /// Takes over what earlier runs left open.
    async fn take_over(&self, selection: Option<&ItemSelection>) -> Result<(), RunError> {
        self.take_over_copies(selection).await?;
        if selection.is_some() {
            return Ok(());
        }
        let parts = &self.pipeline.parts;
        while !self.pipeline.stop.is_cancelled() {
            let now = self.pipeline.now();
            let until = self.leases.claim_until(now);
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

    /// Takes over the open copies of the mailboxes that nobody works on.
    async fn take_over_copies(&self, selection: Option<&ItemSelection>) -> Result<(), RunError> {
        let parts = &self.pipeline.parts;
        let mailboxes = parts.ledger.open_mailboxes().await?;
        let ids: Vec<_> = mailboxes.iter().map(|mailbox| mailbox.id.clone()).collect();
        let ours = self.pipeline.take_mailboxes(&self.leases, &ids).await?;
        let mailboxes: Vec<_> =
            mailboxes.into_iter().zip(ours).filter_map(|(mailbox, ours)| ours.then_some(mailbox)).collect();
        let ids: Vec<_> = mailboxes.iter().map(|mailbox| mailbox.id.clone()).collect();
        let settle = chrono::Duration::from_std(parts.door.settle()).unwrap_or_default();
        let settle_at = self.pipeline.now() + settle;
        let item = selection.and_then(|selection| selection.item);
        parts.ledger.adopt_deliveries(&self.run, &ids, item, settle_at).await?;
        for mailbox in &mailboxes {
            self.dispatch.add_all(mailbox);
        }
        Ok(())
    }
}
