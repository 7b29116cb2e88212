//! Sharing a run: which mailboxes the process that pulls leaves to its helpers, and its wait for them at the end.
//!
//! Helpers take mailboxes that are free, so whatever this process doesn't lease is theirs. What a helper leaves behind, this
//! process takes over.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::dispatch::Dispatch;
use super::leases::Leases;
use super::{Pipeline, RunError};
use crate::ledger::{Lease, LedgerError, Sender};
use crate::resolve::{Mailbox, MailboxId};

/// How often the ledger is asked how far the others are.
pub(super) const POLL: Duration = Duration::from_secs(2);

/// The leading process's view of those that help it.
pub(super) struct Sharing {
    pipeline: Pipeline,
    sender: Sender,
    leases: Arc<Leases>,
    dispatch: Arc<Dispatch>,
    counted: Mutex<Counted>,
    /// Mailboxes were left to others in this run.
    shared: AtomicBool,
}

/// What was found out about the others, and when.
#[derive(Debug, Default)]
struct Counted {
    at: Option<DateTime<Utc>>,
    /// Processes that help.
    helpers: u64,
    /// Mailboxes that other processes are at.
    refused: HashSet<MailboxId>,
}

impl Sharing {
    pub(super) fn new(pipeline: Pipeline, sender: Sender, leases: Arc<Leases>, dispatch: Arc<Dispatch>) -> Self {
        Self { pipeline, sender, leases, dispatch, counted: Mutex::default(), shared: AtomicBool::new(false) }
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the processes that help, now and then.
    pub(super) async fn count_helpers(&self) -> Result<(), LedgerError> {
        let now = self.pipeline.now();
        let is_recent = |at: DateTime<Utc>| (now - at).to_std().is_ok_and(|passed| passed < POLL);
        if self.counted().at.is_some_and(is_recent) {
            return Ok(());
        }
        let helpers = self.pipeline.parts.ledger.helpers(&self.sender.run, now).await?;
        *self.counted() = Counted { at: Some(now), helpers, refused: HashSet::new() };
        Ok(())
    }

    /// Takes those of the mailboxes that this process sends to itself. Tells of each whether it is ours.
    pub(super) async fn take(&self, mailboxes: impl IntoIterator<Item = &Mailbox>) -> Result<Vec<bool>, LedgerError> {
        let ids: Vec<MailboxId> = mailboxes.into_iter().map(|mailbox| mailbox.id.clone()).collect();
        let wanted: HashSet<&MailboxId> = ids.iter().filter(|mailbox| self.is_to_be_taken(mailbox)).collect();
        let wanted: Vec<MailboxId> = wanted.into_iter().cloned().collect();
        if !wanted.is_empty() {
            let ours = self.pipeline.take_mailboxes(&self.leases, &wanted).await?;
            let refused = wanted.into_iter().zip(ours).filter_map(|(mailbox, ours)| (!ours).then_some(mailbox));
            let refused: Vec<MailboxId> = refused.collect();
            if !refused.is_empty() {
                self.shared.store(true, Ordering::Relaxed);
                self.counted().refused.extend(refused);
            }
        }
        Ok(ids.iter().map(|mailbox| self.is_ours(mailbox)).collect())
    }

    fn is_ours(&self, mailbox: &MailboxId) -> bool {
        self.leases.holds(&Lease::Mailbox(mailbox.clone()))
    }

    /// Not ours yet, in our share, and nobody else's a moment ago.
    fn is_to_be_taken(&self, mailbox: &MailboxId) -> bool {
        if self.is_ours(mailbox) {
            return false;
        }
        if !self.is_own_share(mailbox) {
            self.shared.store(true, Ordering::Relaxed);
            return false;
        }
        !self.counted().refused.contains(mailbox)
    }

    /// An equal share of all mailboxes that nobody has.
    fn is_own_share(&self, mailbox: &MailboxId) -> bool {
        let helpers = self.counted().helpers;
        let mut hasher = DefaultHasher::new();
        mailbox.0.hash(&mut hasher);
        hasher.finish().is_multiple_of(helpers + 1)
    }

    /// Waits until nothing of the run is left to helpers, and takes over what nobody is at.
    pub(super) async fn until_all_is_sent(&self) -> Result<(), RunError> {
        let pipeline = &self.pipeline;
        while self.shared.load(Ordering::Relaxed) && !pipeline.stop.is_cancelled() {
            if !pipeline.retrier.run("asking how far the helpers are", || self.is_helped_on()).await? {
                break;
            }
            tokio::select! {
                () = pipeline.stop.cancelled() => {}
                () = pipeline.parts.clock.sleep(POLL) => {}
            }
        }
        Ok(())
    }

    /// Takes over what nobody is at. Tells whether helpers still are at something.
    async fn is_helped_on(&self) -> Result<bool, LedgerError> {
        let (ledger, run, now) = (&self.pipeline.parts.ledger, &self.sender.run, self.pipeline.now());
        ledger.expire_gone(now).await?;
        // Before its mailboxes are taken: whoever is dismissed records nothing more.
        ledger.dismiss_silent_helpers(run, now).await?;
        let mut others = ledger.waiting_mailboxes(run).await?;
        others.retain(|mailbox| !self.is_ours(&mailbox.id));
        let ids: Vec<MailboxId> = others.iter().map(|mailbox| mailbox.id.clone()).collect();
        let ours = self.pipeline.take_mailboxes(&self.leases, &ids).await?;
        let (taken, left): (Vec<_>, Vec<_>) = others.into_iter().zip(ours).partition(|(_, ours)| *ours);
        self.take_over(taken.into_iter().map(|(mailbox, _)| mailbox).collect()).await?;
        let left: Vec<MailboxId> = left.into_iter().map(|(mailbox, _)| mailbox.id).collect();
        ledger.are_helped(run, &left, now).await
    }

    async fn take_over(&self, mailboxes: Vec<Mailbox>) -> Result<(), LedgerError> {
        let parts = &self.pipeline.parts;
        let ids: Vec<MailboxId> = mailboxes.iter().map(|mailbox| mailbox.id.clone()).collect();
        let settle = chrono::Duration::from_std(parts.door.settle()).unwrap_or_default();
        parts.ledger.take_over(&self.sender, &ids, self.pipeline.now() + settle).await?;
        for mailbox in &mailboxes {
            self.dispatch.add_all(mailbox);
        }
        Ok(())
    }
}
