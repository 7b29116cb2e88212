//! The leader's view of the processes that send for its run too, and its wait for them at the end.
//!
//! All of them take whatever mailbox is free. What a follower leaves behind, the leader takes over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::deliver::Deliverer;
use super::scheduler::Scheduler;
use super::{Pipeline, RunError};
use crate::ledger::{LedgerError, Sender};
use crate::resolution::MailboxId;

/// How often the ledger is asked how far the others are.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The leading process's view of those that follow it.
pub(super) struct Followers {
    pipeline: Pipeline,
    sender: Sender,
    scheduler: Arc<Scheduler>,
    is_shared: Arc<AtomicBool>,
    looked: Mutex<Option<DateTime<Utc>>>,
}

impl Followers {
    pub(super) fn of(deliverer: &Deliverer) -> Self {
        Self {
            pipeline: deliverer.pipeline.clone(),
            sender: deliverer.sender.clone(),
            scheduler: Arc::clone(&deliverer.scheduler),
            is_shared: Arc::clone(&deliverer.is_shared),
            looked: Mutex::default(),
        }
    }

    /// Looks, now and then, whether others follow, and which of the mailboxes that they had are free again.
    pub(super) async fn poll_if_due(&self) -> Result<(), LedgerError> {
        let now = self.pipeline.now();
        let is_recent = |at: DateTime<Utc>| (now - at).to_std().is_ok_and(|passed| passed < POLL_INTERVAL);
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(is_recent);
        if looked {
            return Ok(());
        }
        self.look().await
    }

    async fn look(&self) -> Result<(), LedgerError> {
        let (ledger, now) = (&self.pipeline.deps.ledger, self.pipeline.now());
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        if ledger.followers(&self.sender.run, now).await? > 0 {
            self.is_shared.store(true, Ordering::Relaxed);
        }
        let elsewhere = self.scheduler.elsewhere();
        if elsewhere.is_empty() {
            return Ok(());
        }
        ledger.expire_gone(now).await?;
        for mailbox in ledger.free_mailboxes(&self.sender.holder, elsewhere, now).await? {
            self.scheduler.bring_back(&mailbox);
        }
        Ok(())
    }

    /// Waits until every copy of the run that can be sent is sent, by whichever process.
    pub(super) async fn until_all_is_sent(&self) -> Result<(), RunError> {
        let pipeline = &self.pipeline;
        while !pipeline.stop.is_cancelled() {
            let changed = self.scheduler.changed();
            pipeline.retrier.run("asking how far the followers are", || self.look()).await?;
            let elsewhere: Vec<MailboxId> = self.scheduler.elsewhere().into_iter().map(|mailbox| mailbox.id).collect();
            let is_idle = self.scheduler.is_idle(pipeline.last_wait_end());
            if elsewhere.is_empty() {
                if is_idle {
                    break;
                }
                tokio::select! {
                    () = changed => {}
                    () = pipeline.stop.cancelled() => {}
                }
                continue;
            }
            if is_idle && !self.followers_have(&elsewhere).await? {
                // One that was given back meanwhile is this process's to send; one that was taken meanwhile is a follower's.
                pipeline.retrier.run("asking how far the followers are", || self.look()).await?;
                if !self.scheduler.is_idle(pipeline.last_wait_end()) || self.followers_have(&elsewhere).await? {
                    continue;
                }
                // Processes that do something else have them.
                break;
            }
            tokio::select! {
                () = changed, if !is_idle => {}
                () = pipeline.stop.cancelled() => {}
                () = pipeline.deps.clock.sleep(POLL_INTERVAL) => {}
            }
        }
        Ok(())
    }

    /// Whether a follower is at one of these mailboxes.
    async fn followers_have(&self, mailboxes: &[MailboxId]) -> Result<bool, LedgerError> {
        let pipeline = &self.pipeline;
        let shared = || pipeline.deps.ledger.are_shared(&self.sender.run, mailboxes, pipeline.now());
        pipeline.retrier.run("asking how far the followers are", shared).await
    }
}
