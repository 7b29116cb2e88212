//! Delivering: one worker for each mailbox that has work, until it has none.
//!
//! What a fault of a mailbox does is decided here, and here alone:
//!
//! | Fault | Its copy |
//! |---|---|
//! | `Retry` | goes back to the ledger; the mailbox, and no other, waits. After `retry.attempts` in a row the rest is left pending |
//! | `LookUp` | is `unknown`: looked up when the door has settled, sent again only where it is absent, and left pending when that happened too often |
//! | `Hold` | is left pending; after a few in a row the rest is too |
//! | `Reject` | has failed |
//!
//! A mailbox that waits takes up nothing: no memory, and none of the places that the door has.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::dispatch::{Dispatch, Job, Work};
use super::leases::Leases;
use super::memory::Memory;
use super::settle::Settler;
use super::{Pipeline, RunError};
use crate::failpoint;
use crate::fault::Fault;
use crate::ledger::{DeliveryState, ItemNo, LedgerError, Sender};
use crate::mailbox::{ImportError, SendPermit};
use crate::resolve::Mailbox;
use crate::retry::RetryPolicy;

mod backlog;
mod outcomes;

pub(super) use outcomes::settled;

/// What delivering needs beside the pipeline.
#[derive(Clone)]
pub(super) struct Deliverer {
    pipeline: Pipeline,
    sender: Sender,
    leases: Arc<Leases>,
    memory: Memory,
    dispatch: Arc<Dispatch>,
    settler: Settler,
    /// The places of the mailboxes that are worked on at the same time.
    places: Arc<Semaphore>,
}

/// Copies that are refused one after the other, for want of a permission, before the mailbox is left alone for this run.
const REFUSALS: u32 = 3;

/// The same, of copies that meet with something that nobody foresaw: it may well be the copies' own trouble.
const SURPRISES: u32 = 20;

/// How long a mailbox must be closed for to be left for so long; a shorter pause is the door's own.
const WORTH_LEAVING: chrono::Duration = chrono::Duration::seconds(5);

/// How often a copy is sent in one run whose outcome is unknown each time, though it is absent after that.
const LOST: u32 = 3;

/// A worker at its mailbox.
struct Visit<'a> {
    mailbox: &'a Mailbox,
    policy: RetryPolicy,
    /// Failures that passed, in a row.
    failures: u32,
    /// Copies that were held, in a row.
    holds: u32,
    /// They are too many.
    is_held: bool,
    /// The pauses after failures.
    pauses: Box<dyn Iterator<Item = Duration> + Send>,
    /// How often the outcome of a copy was unknown.
    lost: HashMap<ItemNo, u32>,
    /// Copies that are read back at a time: as many as there was memory for.
    at_a_time: u32,
    /// The place that it takes up.
    place: Option<OwnedSemaphorePermit>,
}

impl<'a> Visit<'a> {
    fn new(mailbox: &'a Mailbox, policy: RetryPolicy, place: OwnedSemaphorePermit) -> Self {
        let pauses = Box::new(policy.pauses());
        let (lost, at_a_time) = (HashMap::new(), backlog::COPIES);
        Self { mailbox, policy, failures: 0, holds: 0, is_held: false, pauses, lost, at_a_time, place: Some(place) }
    }

    /// A copy is held for this.
    fn held(&mut self, error: &ImportError) {
        self.holds += 1;
        let most = if matches!(error, ImportError::Forbidden(_)) { REFUSALS } else { SURPRISES };
        self.is_held = self.holds >= most;
    }

    /// The mailbox took a copy, or has it: earlier failures were not its last word.
    fn succeeded(&mut self) {
        if self.failures > 0 {
            self.pauses = Box::new(self.policy.pauses());
        }
        (self.failures, self.holds, self.is_held) = (0, 0, false);
    }
}

/// Whether the worker goes on with its mailbox.
enum Next {
    GoOn,
    /// After a pause, at least the one that the mailbox asked for.
    TryLater(Option<Duration>, ImportError),
    LeaveIt,
}

impl Deliverer {
    pub(super) fn new(
        pipeline: &Pipeline,
        sender: &Sender,
        leases: &Arc<Leases>,
        memory: Memory,
        dispatch: &Arc<Dispatch>,
        settler: &Settler,
    ) -> Self {
        Self {
            pipeline: pipeline.clone(),
            sender: sender.clone(),
            leases: Arc::clone(leases),
            memory,
            dispatch: Arc::clone(dispatch),
            settler: settler.clone(),
            places: Arc::new(Semaphore::new(pipeline.parts.door.limits().mailboxes.max(1))),
        }
    }

    /// Works on all mailboxes until `filled` tells that nothing is added any more and all of them are idle.
    pub(super) async fn deliver_all(self, filled: CancellationToken) -> Result<(), RunError> {
        let stop = &self.pipeline.stop;
        let mut workers: JoinSet<Result<(), RunError>> = JoinSet::new();
        let mut result = Ok(());
        loop {
            let changed = self.dispatch.changed();
            let stopping = stop.is_cancelled();
            if stopping {
                result = result.and(self.put_all_back().await);
            }
            while !stopping && let Some((mailbox, place)) = self.claim() {
                let worker = self.clone();
                workers.spawn(async move { worker.work(&mailbox, place).await });
            }
            if workers.is_empty() && filled.is_cancelled() && self.dispatch.is_idle() {
                return result;
            }
            tokio::select! {
                Some(ended) = workers.join_next() => {
                    let ended = ended.unwrap_or_else(|error| Err(RunError::Broken(error.to_string())));
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

    /// A mailbox that has work and no worker, and a place to work on it.
    fn claim(&self) -> Option<(Mailbox, OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some((self.dispatch.claim()?, place))
    }

    /// Works on one mailbox until it has nothing left.
    async fn work(&self, mailbox: &Mailbox, place: OwnedSemaphorePermit) -> Result<(), RunError> {
        let door = &self.pipeline.parts.door;
        let limits = door.limits();
        let mut visit = Visit::new(mailbox, self.pipeline.settings.retry, place);
        loop {
            if self.pipeline.stop.is_cancelled() {
                return self.put_back(mailbox).await;
            }
            if let Some(open) = door.closed_until(mailbox)
                && open > self.pipeline.now() + WORTH_LEAVING
                && self.dispatch.has_work(mailbox)
            {
                self.wait(&mut visit, self.pipeline.parts.clock.sleep_until(open)).await?;
                continue;
            }
            let work = self.dispatch.next(mailbox, limits.batch_messages, limits.batch_bytes);
            let next = match work {
                Work::Nothing => return Ok(()),
                Work::Send(jobs) => self.send(&mut visit, jobs).await?,
                Work::Backlog => self.send_backlog(&mut visit).await?,
                Work::LookUps => self.look_up(&mut visit).await?,
                Work::Duplicates => {
                    self.settle_duplicates(mailbox).await?;
                    Next::GoOn
                }
            };
            let leaves_it = match next {
                Next::GoOn => false,
                Next::TryLater(after, error) => !self.has_paused(&mut visit, after, &error).await?,
                Next::LeaveIt => true,
            };
            if leaves_it {
                self.leave(mailbox).await?;
            }
        }
    }

    /// Sends a batch whose intents are recorded, and does with each copy what its outcome calls for.
    async fn send(&self, visit: &mut Visit<'_>, jobs: Vec<Job>) -> Result<Next, RunError> {
        let mailbox = visit.mailbox;
        if !self.leases.in_force(self.pipeline.now()) {
            return Err(LedgerError::LeaseLost(format!("mailbox {}", mailbox.address)).into());
        }
        let door = &self.pipeline.parts.door;
        let messages: Vec<_> = jobs.iter().map(|job| Arc::clone(&job.message)).collect();
        let results = door.import(mailbox, &messages, &self.permit()).await;
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
                        *visit.lost.entry(job.no).or_default() += 1;
                        self.unknown(mailbox, &job, &error).await;
                        // A mailbox of which nothing is heard but that is given time.
                        pause.get_or_insert((None, error));
                    }
                    Fault::Hold | Fault::Fatal => {
                        visit.held(&error);
                        self.held(mailbox, &job, &error).await;
                    }
                    Fault::Reject(reason) => self.rejected(mailbox, &job, reason.name(), &error).await,
                },
            }
        }
        if visit.is_held {
            let detail = "the mailbox refused several copies in a row; see the log";
            self.unsent(mailbox, again, DeliveryState::Pending, Some(detail)).await;
            return Ok(Next::LeaveIt);
        }
        let Some((after, error)) = pause else { return Ok(Next::GoOn) };
        let only_lost = again.is_empty();
        self.unsent(mailbox, again, DeliveryState::Ready, Some(&error.to_string())).await;
        Ok(if only_lost && succeeded { Next::GoOn } else { Next::TryLater(after, error) })
    }

    /// In force as long as the leases are.
    fn permit(&self) -> SendPermit {
        let (leases, clock) = (Arc::clone(&self.leases), Arc::clone(&self.pipeline.parts.clock));
        SendPermit::new(move || leases.in_force(clock.now())).until(self.pipeline.stop.clone())
    }

    /// Waits after a failure that passes, for the pause that the mailbox asked for. False after too many in a row.
    async fn has_paused(
        &self,
        visit: &mut Visit<'_>,
        after: Option<Duration>,
        error: &ImportError,
    ) -> Result<bool, RunError> {
        visit.failures += 1;
        if visit.failures >= visit.policy.attempts {
            return Ok(false);
        }
        let own = visit.pauses.next().unwrap_or(visit.policy.max);
        let what = format!("importing into {}", visit.mailbox.address);
        let pause = self.pipeline.retrier.pause(&what, visit.failures, after.unwrap_or_default().max(own), error);
        let pause = async { _ = pause.await };
        self.wait(visit, pause).await?;
        Ok(true)
    }

    /// Waits for a mailbox, or for the stop: meanwhile what it has goes to the ledger, and others take its place.
    async fn wait(&self, visit: &mut Visit<'_>, until: impl Future<Output = ()>) -> Result<(), RunError> {
        visit.place = None;
        self.dispatch.set_paused(visit.mailbox, true);
        self.put_back(visit.mailbox).await?;
        let until_placed = async {
            until.await;
            Arc::clone(&self.places).acquire_owned().await.ok()
        };
        visit.place = tokio::select! {
            () = self.pipeline.stop.cancelled() => None,
            place = until_placed => place,
        };
        self.dispatch.set_paused(visit.mailbox, false);
        Ok(())
    }

    /// Hands what waits in memory for a mailbox to the ledger, as certainly not sent.
    async fn put_back(&self, mailbox: &Mailbox) -> Result<(), RunError> {
        let jobs = self.dispatch.take_all(mailbox);
        self.unsent(mailbox, jobs, DeliveryState::Ready, None).await;
        self.settler.flush().await?;
        self.dispatch.add_backlog(mailbox);
        Ok(())
    }

    /// Hands all that waits in memory to the ledger, because the run stops.
    async fn put_all_back(&self) -> Result<(), RunError> {
        let mut result = Ok(());
        for mailbox in self.dispatch.close() {
            // Also where the ledger fails: what stays in memory would keep the run from its end.
            result = result.and(self.put_back(&mailbox).await);
        }
        result
    }

    /// Leaves a mailbox alone for the rest of the run: what it has left is pending.
    async fn leave(&self, mailbox: &Mailbox) -> Result<(), RunError> {
        tracing::warn!(
            event = "mailbox_left",
            run.id = %self.sender.run,
            mailbox = %mailbox.address,
            "the mailbox is left alone for the rest of this run; its copies are pending"
        );
        self.dispatch.give_up(mailbox);
        let jobs = self.dispatch.take_all(mailbox);
        let detail = "the mailbox was left alone after repeated failures";
        self.unsent(mailbox, jobs, DeliveryState::Pending, Some(detail)).await;
        Ok(())
    }
}
