//! A mailbox's copies in the ledger: claimed and sent, looked up, or compared with the first copy of their message.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::outcomes::outcome;
use super::{Deliverer, Job, MAX_UNKNOWN_SENDS, Next, Visit};
use crate::fault::Fault;
use crate::identity::{Identity, MessageId};
use crate::ledger::{Claim, DeliveryState, ItemNo, QueueOf};
use crate::mailbox::ImportError;
use crate::pipeline::RunError;
use crate::resolution::Mailbox;

/// Most copies that are claimed at a time where several processes send.
const MAX_SHARED_BATCH: usize = 16;

/// Duplicates that are compared at a time.
const DUPLICATES: u32 = 500;

/// What came of looking a copy up.
enum LookedUp {
    /// It is there.
    Found,
    /// It certainly isn't.
    Absent(Job),
    /// Nothing.
    NoAnswer(ImportError),
}

/// The Message-IDs under which a mailbox may have a copy.
fn ids_of(job: &Job) -> impl Iterator<Item = MessageId> {
    let message = &job.converted.message;
    let other = message.identities.and_then(|identities| identities.other());
    std::iter::once(message.mail.message_id.clone()).chain(other.as_ref().map(Identity::message_id))
}

impl Deliverer {
    /// Claims copies that are ready, and sends them.
    pub(super) async fn send_ready(&self, visit: &mut Visit<'_>) -> Result<Next, RunError> {
        let mailbox = visit.mailbox;
        if std::mem::take(&mut visit.has_unrecorded) {
            self.recorder.flush().await?;
        }
        let ledger = &self.pipeline.deps.ledger;
        let seen = self.scheduler.reports(mailbox);
        let limit = self.batch();
        let queue = || ledger.queue(&self.sender.run, &mailbox.id, QueueOf::Ready, ItemNo(0), limit);
        let ready = self.pipeline.retrier.run("reading the queue", queue).await?;
        if ready.is_empty() {
            self.scheduler.none_ready(mailbox, seen);
            return Ok(Next::GoOn);
        }
        let last = ready.last().map(|delivery| delivery.no);
        let is_all = ready.len() < limit as usize;
        let taken = self.take_messages(mailbox, ready).await?;
        if is_all && last == Some(taken.last) {
            self.scheduler.none_ready(mailbox, seen);
        }
        visit.has_unrecorded |= taken.has_unreadable;
        self.claim_and_send(visit, taken.jobs, taken.manifests).await
    }

    fn batch(&self) -> u32 {
        let most = self.pipeline.deps.destination.limits().batch_messages.max(1);
        let is_shared = self.is_shared.load(std::sync::atomic::Ordering::Relaxed);
        u32::try_from(if is_shared { most.min(MAX_SHARED_BATCH) } else { most }).unwrap_or(u32::MAX)
    }

    /// Records the claim, then sends.
    async fn claim_and_send(
        &self,
        visit: &mut Visit<'_>,
        jobs: Vec<Job>,
        mut messages: Vec<(ItemNo, crate::convert::Manifest)>,
    ) -> Result<Next, RunError> {
        if jobs.is_empty() {
            return Ok(Next::GoOn);
        }
        let items: Vec<ItemNo> = jobs.iter().map(|job| job.no).collect();
        messages.retain(|(no, _)| items.contains(no));
        let mailbox = visit.mailbox.id.clone();
        self.recorder.claim(Claim { mailbox, items, messages }).await?;
        self.send(visit, jobs).await
    }

    /// Looks up copies of unknown outcome, once the mailbox has settled. What is absent is sent again.
    pub(super) async fn look_up(&self, visit: &mut Visit<'_>) -> Result<Next, RunError> {
        self.recorder.flush().await?;
        let mailbox = visit.mailbox;
        let pipeline = &self.pipeline;
        let mut after = ItemNo(0);
        loop {
            let ledger = &pipeline.deps.ledger;
            let unknown = ledger.queue(&self.sender.run, &mailbox.id, QueueOf::Unknown, after, self.batch()).await?;
            let Some(noted) = unknown.iter().map(|delivery| delivery.settle_at).max() else { return Ok(Next::GoOn) };
            self.wait_until_settled(visit, noted.unwrap_or_default()).await;
            if pipeline.stop.is_cancelled() {
                // An "absent" would be believed too early.
                return Ok(Next::GoOn);
            }
            let taken = self.take_messages(mailbox, unknown).await?;
            after = taken.last;
            let ids: Vec<_> = taken.jobs.iter().flat_map(ids_of).collect();
            let not_there = match pipeline.deps.destination.absent(mailbox, &ids).await {
                Ok(not_there) => not_there,
                Err(error) => return Ok(self.look_up_later(mailbox, error)),
            };
            let (mut absent, jobs): (Vec<_>, Vec<_>) =
                taken.jobs.into_iter().partition(|job| ids_of(job).all(|id| not_there.contains(&id)));
            let mut trouble = None;
            for job in jobs {
                if pipeline.stop.is_cancelled() {
                    return Ok(Next::GoOn);
                }
                match self.look_up_one(visit, job, &not_there).await {
                    LookedUp::Absent(job) => absent.push(job),
                    // One copy's own trouble: it stays unknown, and is no obstacle to the others.
                    LookedUp::Found | LookedUp::NoAnswer(ImportError::Unexpected(_) | ImportError::Rejected(_)) => {}
                    LookedUp::NoAnswer(error) => {
                        trouble = Some(error);
                        break;
                    }
                }
            }
            let absent = self.without_often_unknown(visit, absent).await;
            match self.claim_and_send(visit, absent, taken.manifests).await? {
                Next::GoOn => {}
                next => {
                    self.scheduler.add_look_ups(mailbox);
                    return Ok(next);
                }
            }
            if let Some(error) = trouble {
                return Ok(self.look_up_later(mailbox, error));
            }
        }
    }

    /// Waits until what settles at `noted` has settled, or the program stops.
    async fn wait_until_settled(&self, visit: &mut Visit<'_>, noted: DateTime<Utc>) {
        let pipeline = &self.pipeline;
        for settled in pipeline.waits_until_settled(noted) {
            if pipeline.stop.is_cancelled() {
                return;
            }
            self.wait(visit, pipeline.deps.clock.sleep_until(settled)).await;
        }
    }

    /// Looks one copy up, under each Message-ID that it may have. Without an answer it stays unknown, and is looked up again.
    async fn look_up_one(&self, visit: &mut Visit<'_>, job: Job, not_there: &HashSet<MessageId>) -> LookedUp {
        let other = job.converted.under_other_id().map(|other| Job { no: job.no, converted: Arc::new(other) });
        let versions = [Some(job.clone()), other].into_iter().flatten();
        for version in versions.filter(|job| !not_there.contains(&job.converted.message.mail.message_id)) {
            match self.recover(visit, version).await {
                LookedUp::Absent(_) => {}
                found => return found,
            }
        }
        LookedUp::Absent(job)
    }

    async fn recover(&self, visit: &mut Visit<'_>, job: Job) -> LookedUp {
        let mailbox = visit.mailbox;
        match self.pipeline.deps.destination.recover(mailbox, &job.converted.message, &self.permit()).await {
            Ok(Some(remote)) => {
                tracing::info!(event = "copy_found", mailbox = %mailbox.address, item.no = job.no.0, "a copy of unknown outcome was found");
                visit.succeeded();
                self.imported(mailbox, &job, remote, 0).await;
                LookedUp::Found
            }
            Ok(None) => LookedUp::Absent(job),
            Err(ImportError::Incomplete { remote, detail }) => {
                visit.succeeded();
                self.imported_without(mailbox, &job, remote, detail, 0).await;
                LookedUp::Found
            }
            Err(error) => {
                tracing::warn!(event = "look_up_failed", mailbox = %mailbox.address, item.no = job.no.0, error = %error, "a copy could not be looked up; it stays unknown");
                LookedUp::NoAnswer(error)
            }
        }
    }

    /// Leaves absent copies pending whose sends were of unknown outcome too often to be sent in this run again; returns the others.
    async fn without_often_unknown(&self, visit: &mut Visit<'_>, absent: Vec<Job>) -> Vec<Job> {
        let is_often_unknown =
            |job: &Job| visit.unknown_sends.get(&job.no).is_some_and(|times| *times >= MAX_UNKNOWN_SENDS);
        let (often_unknown, others) = absent.into_iter().partition(is_often_unknown);
        let detail = "it was sent several times, each time without an answer, and is not there";
        self.unsent(visit.mailbox, often_unknown, DeliveryState::Pending, detail).await;
        others
    }

    /// A mailbox that doesn't answer is asked again after a pause; one that refuses to is left alone.
    fn look_up_later(&self, mailbox: &Mailbox, error: ImportError) -> Next {
        let after = match Fault::from(&error) {
            Fault::Retry { after } => after,
            Fault::LookUp => None,
            Fault::Defer | Fault::Reject(_) | Fault::Fatal => return Next::LeaveIt(error),
        };
        self.scheduler.add_look_ups(mailbox);
        Next::TryLater(after, error)
    }

    /// Skips the captures of messages that the mailbox has from another capture.
    pub(super) async fn compare_duplicates(&self, mailbox: &Mailbox) -> Result<Next, RunError> {
        let ledger = &self.pipeline.deps.ledger;
        self.recorder.flush().await?;
        let mut after = ItemNo(0);
        loop {
            let waiting = ledger.queue(&self.sender.run, &mailbox.id, QueueOf::Duplicates, after, DUPLICATES).await?;
            let Some(last) = waiting.last() else { return Ok(Next::GoOn) };
            after = last.no;
            let identities: Vec<_> = waiting.iter().map(|delivery| delivery.identity).collect();
            let mut first: HashMap<_, _> = ledger.first_copies(&mailbox.id, &identities).await?.into_iter().collect();
            for delivery in &waiting {
                match first.get(&delivery.identity) {
                    Some(DeliveryState::Imported | DeliveryState::PartiallyImported) => {
                        let skipped = outcome(delivery.no, mailbox, DeliveryState::SkippedDuplicate, 0);
                        self.recorder.record(skipped).await;
                    }
                    // The first capture can't be delivered: this one takes its place, and those after it wait for this one.
                    Some(DeliveryState::Failed) | None => {
                        let state = ledger.promote(&mailbox.id, delivery.identity, delivery.no).await?;
                        first.insert(delivery.identity, state);
                        self.scheduler.add_ready(mailbox, 1);
                        self.scheduler.add_look_ups(mailbox);
                        self.scheduler.add_duplicates(mailbox);
                    }
                    // It waits with the first one.
                    Some(_) => {}
                }
            }
            self.recorder.flush().await?;
        }
    }
}
