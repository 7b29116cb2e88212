//! A worker's turn at its mailbox.

use std::sync::atomic::Ordering;

use chrono::SecondsFormat;
use tokio::sync::OwnedSemaphorePermit;

use super::{Deliverer, MIN_PAUSE_TO_WAIT, Next, Visit};
use crate::ledger::{Lease, Left};
use crate::pipeline::RunError;
use crate::pipeline::scheduler::Work;
use crate::resolution::Mailbox;

impl Deliverer {
    /// Leases a mailbox, works on it until nothing is left or its turn is over, and gives it back.
    pub(super) async fn work(&self, mailbox: &Mailbox, slot: OwnedSemaphorePermit) -> Result<(), RunError> {
        if !self.lease(mailbox).await? {
            self.is_shared.store(true, Ordering::Relaxed);
            self.scheduler.leave_to_others(mailbox);
            return Ok(());
        }
        let mut visit = Visit::new(mailbox, self.pipeline.settings.retry, slot);
        self.use_turn(&mut visit).await?;
        if self.is_shared.load(Ordering::Relaxed) && !self.pipeline.stop.is_cancelled() {
            // What it has sent is recorded before another process can see the mailbox.
            self.recorder.flush().await?;
            self.pipeline.release_mailbox(&self.leases, &mailbox.id).await?;
        }
        self.scheduler.end(mailbox);
        Ok(())
    }

    /// False where another process has the mailbox. The leader takes over what a follower that is gone was sending to it.
    async fn lease(&self, mailbox: &Mailbox) -> Result<bool, RunError> {
        let wanted = Lease::Mailbox(mailbox.id.clone());
        if self.leases.holds(&wanted) {
            return Ok(true);
        }
        if !self.pipeline.take_leases(&self.leases, &[wanted]).await?.contains(&true) {
            return Ok(false);
        }
        if !self.sender.is_follower && self.is_shared.load(Ordering::Relaxed) {
            let (ledger, now, mailboxes) = (&self.pipeline.deps.ledger, self.pipeline.now(), [mailbox.id.clone()]);
            let take_over = || ledger.take_over(&self.sender, &mailboxes, now, self.pipeline.settled_at());
            if self.pipeline.retrier.run("taking copies over", take_over).await? > 0 {
                self.scheduler.add_look_ups(mailbox);
            }
        }
        Ok(true)
    }

    /// Works until nothing is left, the program stops, or others wait.
    async fn use_turn(&self, visit: &mut Visit<'_>) -> Result<(), RunError> {
        let mailbox = visit.mailbox;
        loop {
            if self.pipeline.stop.is_cancelled() {
                return Ok(());
            }
            if let Some(open) = self.pipeline.deps.destination.closed_until(mailbox)
                && open > self.pipeline.now() + MIN_PAUSE_TO_WAIT
                && self.scheduler.has_work(mailbox)
            {
                if !self.has_waited_until(visit, open, self.pipeline.deps.clock.sleep_until(open)).await {
                    let until = open.to_rfc3339_opts(SecondsFormat::Secs, true);
                    self.leave(mailbox, format!("the mailbox asks for a pause: until {until}"));
                }
                continue;
            }
            let next = match self.scheduler.next(mailbox) {
                Work::Nothing => return Ok(()),
                Work::Adopt => self.adopt(mailbox).await?,
                Work::Keep { adopts, why } => self.keep_from(mailbox, adopts, &why).await?,
                Work::Send => self.send_ready(visit).await?,
                Work::LookUps => self.look_up(visit).await?,
                Work::Duplicates => self.compare_duplicates(mailbox).await?,
            };
            match next {
                Next::GoOn => {}
                Next::TryLater(after, error) => {
                    if !self.has_paused(visit, after, &error).await {
                        self.leave(mailbox, error.to_string());
                    }
                }
                Next::LeaveIt(error) => self.leave(mailbox, error.to_string()),
            }
            if visit.can_hand_over() && self.is_shared.load(Ordering::Relaxed) && self.scheduler.has_waiting() {
                return Ok(());
            }
        }
    }

    /// Leaves open what there is for a mailbox at whose address nothing may be done; only what is a duplicate of a copy that is
    /// there needs nothing of it.
    async fn keep_from(&self, mailbox: &Mailbox, adopts: bool, why: &str) -> Result<Next, RunError> {
        if adopts {
            self.adopt_copies(mailbox).await?;
        }
        self.compare_duplicates(mailbox).await?;
        // What was taken over has the reason from an earlier run, and is said once in each.
        let left = if adopts { Left::Open } else { Left::MoreOpen };
        let keep = || self.pipeline.deps.ledger.leave_mailbox(&self.sender.run, &mailbox.id, left, why);
        let copies = self.pipeline.retrier.run("leaving a mailbox", keep).await?;
        if copies > 0 {
            tracing::error!(
                event = "mailbox_lost",
                mailbox = %mailbox.address,
                copies,
                error = why,
                "copies wait, because somebody else may have the mailbox's address: nothing is sent to it, nor looked up there"
            );
        }
        Ok(Next::GoOn)
    }

    /// Takes the open copies of earlier runs into this one.
    async fn adopt(&self, mailbox: &Mailbox) -> Result<Next, RunError> {
        self.adopt_copies(mailbox).await?;
        self.scheduler.add_all(mailbox);
        Ok(Next::GoOn)
    }

    async fn adopt_copies(&self, mailbox: &Mailbox) -> Result<(), RunError> {
        let (ledger, run, mailboxes) = (&self.pipeline.deps.ledger, &self.sender.run, [mailbox.id.clone()]);
        let items = self.adopt.as_deref();
        let adopt = || ledger.adopt_deliveries(run, &mailboxes, items, self.pipeline.now(), self.pipeline.settled_at());
        Ok(self.pipeline.retrier.run("adopting copies", adopt).await?)
    }
}
