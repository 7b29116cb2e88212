//! Delivering: a worker takes the mailbox that waits with the most copies, leases it, and works on it until it has nothing left.
//!
//! ```text
//! lease ──▶ claim ──▶ send ──▶ record ──▶ … ──▶ give back
//!           ready to  a batch  outcomes
//!           sending
//! ```
//!
//! The ledger is the queue: pausing and stopping are to claim nothing more, and a process that dies leaves of unknown outcome no
//! more than the batches that it was sending. Where several processes send for one run, a worker has its mailbox for a few
//! batches and goes to the end of the queue, so that whoever has a free slot finds work.
//!
//! What a fault of a mailbox does is decided here, and here alone:
//!
//! | Fault | Its copy |
//! |---|---|
//! | `Retry` | is ready again; the mailbox, and no other, waits. After `retry.attempts` in a row the rest is left pending |
//! | `LookUp` | is `unknown`: looked up when the destination has settled, sent again only where it is absent, and left pending when that happened too often |
//! | `Defer`, `Fatal` | is left pending; after a few in a row the rest is too |
//! | `Reject` | has failed |
//!
//! A mailbox that waits takes up nothing: no memory, and none of the destination's slots. When everything else is done,
//! mailboxes that ask for long pauses are left alone, and the run ends.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::leases::Leases;
use super::message_cache::{Converted, MessageCache};
use super::recorder::Recorder;
use super::scheduler::Scheduler;
use super::{Pipeline, RunError};
use crate::failpoint;
use crate::fault::Fault;
use crate::ledger::{DeliveryState, ItemNo, LedgerError, Left, Sender};
use crate::mailbox::{ImportError, SendPermit};
use crate::resolution::{Mailbox, MailboxId};
use crate::retry::RetryPolicy;

mod messages;
mod outcomes;
mod queue;
mod turn;

/// What delivering needs beside the pipeline.
#[derive(Clone)]
pub(super) struct Deliverer {
    pub(super) pipeline: Pipeline,
    pub(super) sender: Sender,
    pub(super) leases: Arc<Leases>,
    pub(super) cache: Arc<MessageCache>,
    pub(super) scheduler: Arc<Scheduler>,
    pub(super) recorder: Recorder,
    /// Other processes send for this run too.
    pub(super) is_shared: Arc<AtomicBool>,
    /// Of what earlier runs left open, only the copies of these items are taken over.
    pub(super) adopt: Option<Vec<ItemNo>>,
    /// The slots for mailboxes that are worked on at the same time.
    slots: Arc<Semaphore>,
    /// Nothing is left to do but to wait for mailboxes that ask for long pauses.
    only_pauses_left: CancellationToken,
    /// The mailboxes that are left alone for the rest of the run, and why.
    left: Arc<Mutex<Vec<(MailboxId, String)>>>,
}

/// A copy that is claimed.
#[derive(Debug, Clone)]
struct Job {
    no: ItemNo,
    converted: Arc<Converted>,
}

/// Copies that are refused one after the other, for want of a permission, before the mailbox is left alone for this run.
const MAX_CONSECUTIVE_FORBIDDEN: u32 = 3;

/// The same, of copies that meet with an unexpected error: it may well be the copies' own trouble.
const MAX_CONSECUTIVE_UNEXPECTED: u32 = 20;

/// How long a mailbox must be closed for to be left for so long; a shorter pause is the destination's own.
const MIN_PAUSE_TO_WAIT: chrono::Duration = chrono::Duration::seconds(5);

/// How often a copy is sent in one run whose outcome is unknown each time, though it is absent after that.
const MAX_UNKNOWN_SENDS: u32 = 3;

/// A worker at its mailbox.
struct Visit<'a> {
    mailbox: &'a Mailbox,
    policy: RetryPolicy,
    /// Failures that passed, in a row.
    failures: u32,
    /// Copies that were deferred, in a row.
    deferrals: u32,
    /// They are too many; the last of their errors.
    deferred_too_often: Option<ImportError>,
    /// The pauses after failures.
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
    /// How often the outcome of a copy was unknown.
    unknown_sends: HashMap<ItemNo, u32>,
    /// Copies became ready again, and that may not be recorded yet.
    has_unrecorded: bool,
    /// The slot it occupies.
    slot: Option<OwnedSemaphorePermit>,
}

impl<'a> Visit<'a> {
    fn new(mailbox: &'a Mailbox, policy: RetryPolicy, slot: OwnedSemaphorePermit) -> Self {
        let pauses = Box::new(policy.pauses());
        Self {
            mailbox,
            policy,
            failures: 0,
            deferrals: 0,
            deferred_too_often: None,
            pauses,
            unknown_sends: HashMap::new(),
            has_unrecorded: false,
            slot: Some(slot),
        }
    }

    /// Whether nothing is known of the mailbox that the next worker would have to know.
    fn can_hand_over(&self) -> bool {
        self.failures == 0 && self.deferrals == 0 && self.unknown_sends.is_empty()
    }

    /// A copy is deferred because of `error`.
    fn deferred(&mut self, error: ImportError) {
        self.deferrals += 1;
        let most = if matches!(error, ImportError::Forbidden(_)) {
            MAX_CONSECUTIVE_FORBIDDEN
        } else {
            MAX_CONSECUTIVE_UNEXPECTED
        };
        self.deferred_too_often = (self.deferrals >= most).then_some(error);
    }

    /// The mailbox took a copy, or has it: earlier failures were not its last word.
    fn succeeded(&mut self) {
        if self.failures > 0 {
            self.pauses = Box::new(self.policy.pauses());
        }
        (self.failures, self.deferrals, self.deferred_too_often) = (0, 0, None);
    }
}

/// Whether the worker goes on with its mailbox.
enum Next {
    GoOn,
    /// After a pause, at least the one that the mailbox asked for.
    TryLater(Option<Duration>, ImportError),
    LeaveIt(ImportError),
}

impl Deliverer {
    pub(super) fn new(
        pipeline: &Pipeline,
        sender: &Sender,
        leases: &Arc<Leases>,
        cache: &Arc<MessageCache>,
        recorder: &Recorder,
    ) -> Self {
        Self {
            pipeline: pipeline.clone(),
            sender: sender.clone(),
            leases: Arc::clone(leases),
            cache: Arc::clone(cache),
            scheduler: Arc::default(),
            recorder: recorder.clone(),
            is_shared: Arc::new(AtomicBool::new(sender.is_follower)),
            adopt: None,
            slots: Arc::new(Semaphore::new(pipeline.deps.destination.limits().mailboxes.max(1))),
            only_pauses_left: CancellationToken::new(),
            left: Arc::default(),
        }
    }

    /// Works on all mailboxes until `filled` says that nothing is added any more and all of them are idle, or until the stop.
    pub(super) async fn deliver_all(self, filled: CancellationToken) -> Result<(), RunError> {
        let stop = &self.pipeline.stop;
        let mut workers: JoinSet<Result<(), RunError>> = JoinSet::new();
        let mut result = Ok(());
        loop {
            let changed = self.scheduler.changed();
            let stopping = stop.is_cancelled();
            while !stopping && let Some((mailbox, slot)) = self.claim() {
                let worker = self.clone();
                workers.spawn(async move { worker.work(&mailbox, slot).await }.in_current_span());
            }
            if filled.is_cancelled() && (stopping || self.scheduler.is_idle(self.pipeline.last_wait_end())) {
                if workers.is_empty() {
                    return result.and(self.account_for_left().await);
                }
                self.only_pauses_left.cancel();
            }
            tokio::select! {
                Some(ended) = workers.join_next() => {
                    let ended = ended.map_err(RunError::from).flatten();
                    if ended.is_err() {
                        stop.cancel();
                    }
                    result = result.and(ended);
                }
                () = changed => {}
                () = filled.cancelled(), if !filled.is_cancelled() => {}
                () = stop.cancelled(), if !stopping => {}
            }
        }
    }

    /// A mailbox that has work and no worker, and a slot for it.
    fn claim(&self) -> Option<(Mailbox, OwnedSemaphorePermit)> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        Some((self.scheduler.claim()?, slot))
    }

    /// Sends a batch that is claimed, and does with each copy what its outcome calls for.
    async fn send(&self, visit: &mut Visit<'_>, jobs: Vec<Job>) -> Result<Next, RunError> {
        let mailbox = visit.mailbox;
        if !self.leases.in_force(&*self.pipeline.deps.clock) {
            return Err(LedgerError::LeaseLost(format!("mailbox {}", mailbox.address)).into());
        }
        let destination = &self.pipeline.deps.destination;
        let messages: Vec<_> = jobs.iter().map(|job| Arc::clone(&job.converted.message)).collect();
        let results = destination.import(mailbox, &messages, &self.permit()).await;
        failpoint::pass(failpoint::BATCH_IMPORTED);
        let mut again = Vec::new();
        let mut pause: Option<(Option<Duration>, ImportError)> = None;
        let mut succeeded = false;
        for (job, result) in jobs.into_iter().zip(results) {
            match result {
                Ok(remote) => {
                    succeeded = true;
                    visit.succeeded();
                    self.imported(mailbox, &job, remote, 1).await;
                }
                Err(ImportError::Incomplete { remote, detail }) => {
                    succeeded = true;
                    visit.succeeded();
                    self.imported_without(mailbox, &job, remote, detail, 1).await;
                }
                Err(error) => match Fault::from(&error) {
                    Fault::Retry { after } => {
                        let longest = pause.as_ref().and_then(|(longest, _)| *longest);
                        pause = Some((after.max(longest), error));
                        again.push(job);
                    }
                    Fault::LookUp => {
                        *visit.unknown_sends.entry(job.no).or_default() += 1;
                        self.unknown(mailbox, &job, &error).await;
                        // A mailbox of which nothing is heard but that is given time.
                        pause.get_or_insert((None, error));
                    }
                    Fault::Defer | Fault::Fatal => {
                        self.deferred(mailbox, &job, &error).await;
                        visit.deferred(error);
                    }
                    Fault::Reject(reason) => self.rejected(mailbox, &job, reason, &error).await,
                },
            }
        }
        if let Some(error) = visit.deferred_too_often.take() {
            self.unsent(mailbox, again, DeliveryState::Pending, &error.to_string()).await;
            return Ok(Next::LeaveIt(error));
        }
        let Some((after, error)) = pause else { return Ok(Next::GoOn) };
        let only_unknown = again.is_empty();
        if !only_unknown {
            self.unsent(mailbox, again, DeliveryState::Ready, &error.to_string()).await;
            visit.has_unrecorded = true;
            self.scheduler.add_ready(mailbox, 0);
        }
        Ok(if only_unknown && succeeded { Next::GoOn } else { Next::TryLater(after, error) })
    }

    /// In force as long as the leases are.
    fn permit(&self) -> SendPermit {
        let (leases, clock) = (Arc::clone(&self.leases), Arc::clone(&self.pipeline.deps.clock));
        SendPermit::new(move || leases.in_force(&*clock)).until(self.pipeline.stop.clone())
    }

    /// Waits after a failure that passes, for the pause that the mailbox asked for. False after too many in a row.
    async fn has_paused(&self, visit: &mut Visit<'_>, after: Option<Duration>, error: &ImportError) -> bool {
        visit.failures += 1;
        if visit.failures >= visit.policy.attempts {
            return false;
        }
        let own = visit.pauses.next().unwrap_or(visit.policy.max);
        let what = format!("importing into {}", visit.mailbox.address);
        let pause = after.unwrap_or_default().max(own);
        let until = self.pipeline.after(pause);
        let pausing = self.pipeline.retrier.pause(&what, visit.failures, pause, error);
        self.has_waited_until(visit, until, async { _ = pausing.await }).await
    }

    /// Waits until a mailbox may be asked again. False where the run ends without it, or another process may try it.
    async fn has_waited_until(
        &self,
        visit: &mut Visit<'_>,
        until: DateTime<Utc>,
        waiting: impl Future<Output = ()>,
    ) -> bool {
        if self.sender.is_follower && until > self.pipeline.last_wait_end() {
            return false;
        }
        self.scheduler.pause(visit.mailbox, until);
        self.wait(visit, async {
            tokio::select! {
                () = waiting => {}
                () = self.only_pauses_left.cancelled() => {}
            }
        })
        .await;
        self.scheduler.resume(visit.mailbox);
        !self.only_pauses_left.is_cancelled()
    }

    /// Waits for a mailbox, or for the stop. Meanwhile another mailbox may use its slot.
    async fn wait(&self, visit: &mut Visit<'_>, until: impl Future<Output = ()>) {
        visit.slot = None;
        self.scheduler.slot_freed();
        let until_slot = async {
            until.await;
            Arc::clone(&self.slots).acquire_owned().await.ok()
        };
        visit.slot = tokio::select! {
            () = self.pipeline.stop.cancelled() => None,
            slot = until_slot => slot,
        };
    }

    /// Leaves a mailbox alone for the rest of the run: what it has left is pending.
    fn leave(&self, mailbox: &Mailbox, why: String) {
        tracing::warn!(
            event = "mailbox_left",
            mailbox = %mailbox.address,
            error = why,
            "the mailbox is left alone for the rest of this run; its copies are pending, and later runs try again"
        );
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push((mailbox.id.clone(), why));
        self.scheduler.give_up(mailbox);
    }

    /// Leaves what such mailboxes were not sent pending, for the reason that they were left for. A follower's copies are the
    /// leader's to send.
    async fn account_for_left(&self) -> Result<(), RunError> {
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        if left.is_empty() || self.sender.is_follower {
            return Ok(());
        }
        self.recorder.flush().await?;
        let pipeline = &self.pipeline;
        for (mailbox, why) in left {
            let leave = || pipeline.deps.ledger.leave_mailbox(&self.sender.run, &mailbox, Left::Unsent, &why);
            pipeline.retrier.run("leaving a mailbox", leave).await?;
        }
        Ok(())
    }
}

impl Pipeline {
    /// Until when a run waits for mailboxes when nothing else is left to do.
    pub(super) fn last_wait_end(&self) -> DateTime<Utc> {
        self.after(self.longest_pause())
    }

    /// The longest pause that a run makes for one mailbox, user or attachment while everything else waits for it.
    pub(super) fn longest_pause(&self) -> Duration {
        self.settings.retry.longest_pause()
    }

    /// The time after a pause.
    pub(super) fn after(&self, pause: Duration) -> DateTime<Utc> {
        let pause = chrono::Duration::from_std(pause).ok();
        pause.and_then(|pause| self.now().checked_add_signed(pause)).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}
