//! Delivering: one worker for each mailbox that has work, until it has none.
//!
//! What a fault of a mailbox does is decided here, and here alone:
//!
//! | Fault | Its copy |
//! |---|---|
//! | `Retry` | goes back to the head of the queue; the mailbox, and no other, waits. After `retry.attempts` in a row the rest is left pending |
//! | `LookUp` | is `unknown`: looked up when the door has settled, sent again only where it is absent |
//! | `Hold` | is left pending; after a few in a row the rest is too |
//! | `Reject` | has failed |

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::dispatch::{Dispatch, Job, Work};
use super::leases::Leases;
use super::memory::Memory;
use super::settle::Settler;
use super::{Pipeline, RunError};
use crate::failpoint;
use crate::fault::Fault;
use crate::ledger::{DeliveryState, LedgerError, RunId};
use crate::mailbox::ImportError;
use crate::resolve::Mailbox;

mod backlog;
mod outcomes;

/// What delivering needs beside the pipeline.
#[derive(Clone)]
pub(super) struct Deliverer {
    pub(super) pipeline: Pipeline,
    pub(super) run: RunId,
    pub(super) leases: Arc<Leases>,
    pub(super) memory: Memory,
    pub(super) dispatch: Arc<Dispatch>,
    pub(super) settler: Settler,
}

/// Copies that are held one after the other before the mailbox is left alone for this run.
const HOLDS: u32 = 3;

/// How a mailbox fares in this run.
#[derive(Default)]
struct Health {
    failures: u32,
    holds: u32,
}

/// Whether the worker goes on with its mailbox.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    LeaveIt,
}

impl Deliverer {
    /// Works on all mailboxes until `filled` tells that nothing is added any more and all of them are idle.
    pub(super) async fn deliver_all(self, filled: CancellationToken) -> Result<(), RunError> {
        let most = self.pipeline.parts.door.limits().mailboxes.max(1);
        let mut workers: JoinSet<Result<(), RunError>> = JoinSet::new();
        loop {
            let changed = self.dispatch.changed();
            while workers.len() < most
                && !self.pipeline.stop.is_cancelled()
                && let Some(mailbox) = self.dispatch.claim()
            {
                let worker = self.clone();
                workers.spawn(async move { worker.work(&mailbox).await });
            }
            let stopping = self.pipeline.stop.is_cancelled();
            if workers.is_empty() && (stopping || filled.is_cancelled() && self.dispatch.is_idle()) {
                return Ok(());
            }
            tokio::select! {
                Some(ended) = workers.join_next() => {
                    ended.map_err(|error| RunError::Broken(error.to_string()))??;
                }
                () = changed, if !stopping => {}
                () = filled.cancelled(), if !filled.is_cancelled() => {}
                () = self.pipeline.stop.cancelled(), if !stopping => {}
            }
        }
    }

    /// Works on one mailbox until it has nothing left.
    async fn work(&self, mailbox: &Mailbox) -> Result<(), RunError> {
        let limits = self.pipeline.parts.door.limits();
        let mut health = Health::default();
        let mut pauses = self.pipeline.settings.retry.pauses();
        loop {
            if self.pipeline.stop.is_cancelled() {
                return self.put_back(mailbox).await;
            }
            let work = self.dispatch.next(mailbox, limits.batch_messages, limits.batch_bytes);
            let next = match work {
                Work::Nothing => return Ok(()),
                Work::Send(jobs) => self.send(mailbox, jobs, &mut health, &mut pauses).await?,
                Work::Backlog => self.send_backlog(mailbox, &mut health, &mut pauses).await?,
                Work::LookUps => self.look_up(mailbox, &mut health, &mut pauses).await?,
                Work::Duplicates => {
                    self.settle_duplicates(mailbox).await?;
                    Next::GoOn
                }
            };
            if next == Next::LeaveIt {
                self.leave(mailbox).await?;
            }
        }
    }

    /// Sends a batch whose intents are recorded, and does with each copy what its outcome calls for.
    async fn send(
        &self,
        mailbox: &Mailbox,
        jobs: Vec<Job>,
        health: &mut Health,
        pauses: &mut (impl Iterator<Item = Duration> + Send),
    ) -> Result<Next, RunError> {
        if !self.leases.in_force(self.pipeline.now()) {
            return Err(LedgerError::LeaseLost(format!("mailbox {}", mailbox.address)).into());
        }
        let door = &self.pipeline.parts.door;
        let messages: Vec<_> = jobs.iter().map(|job| Arc::clone(&job.message)).collect();
        let results = door.import(mailbox, &messages).await;
        failpoint::pass(failpoint::BATCH_IMPORTED);
        let mut again = Vec::new();
        let mut pause: Option<(Option<Duration>, ImportError)> = None;
        for (job, result) in jobs.into_iter().zip(results) {
            match result {
                Ok(remote) => {
                    *health = Health::default();
                    self.imported(mailbox, &job, remote, 1).await;
                }
                Err(error) => match Fault::from(&error) {
                    Fault::Retry { after } => {
                        pause = Some((after, error));
                        again.push(job);
                    }
                    Fault::LookUp => self.unknown(mailbox, &job, &error).await,
                    Fault::Hold | Fault::Fatal => {
                        health.holds += 1;
                        self.held(mailbox, &job, &error).await;
                    }
                    Fault::Reject(reason) => self.rejected(mailbox, &job, reason.name(), &error).await,
                },
            }
        }
        if health.holds >= HOLDS {
            self.unsent(
                mailbox,
                again,
                DeliveryState::Pending,
                Some("the mailbox refused several copies in a row; see the log"),
            )
            .await;
            return Ok(Next::LeaveIt);
        }
        match pause {
            None => Ok(Next::GoOn),
            Some((after, error)) => self.again(mailbox, again, after, &error, health, pauses).await,
        }
    }

    /// Tries copies again that were certainly not sent, after the pause that the mailbox asked for.
    async fn again(
        &self,
        mailbox: &Mailbox,
        jobs: Vec<Job>,
        after: Option<Duration>,
        error: &ImportError,
        health: &mut Health,
        pauses: &mut (impl Iterator<Item = Duration> + Send),
    ) -> Result<Next, RunError> {
        health.failures += 1;
        let own = pauses.next();
        if health.failures >= self.pipeline.settings.retry.attempts {
            let detail = error.to_string();
            self.unsent(mailbox, jobs, DeliveryState::Pending, Some(&detail)).await;
            return Ok(Next::LeaveIt);
        }
        // What waits for this mailbox leaves the memory to the others.
        self.dispatch.set_paused(mailbox, true);
        self.unsent(mailbox, jobs, DeliveryState::Ready, None).await;
        self.put_back(mailbox).await?;
        let pause = after.unwrap_or_default().max(own.unwrap_or(self.pipeline.settings.retry.max));
        let what = format!("importing into {}", mailbox.address);
        self.pipeline.retrier.pause(&what, health.failures, pause, error).await;
        self.dispatch.set_paused(mailbox, false);
        Ok(Next::GoOn)
    }

    /// Hands what waits in memory for a mailbox to the ledger, as certainly not sent.
    async fn put_back(&self, mailbox: &Mailbox) -> Result<(), RunError> {
        let jobs = self.dispatch.take_all(mailbox);
        self.unsent(mailbox, jobs, DeliveryState::Ready, None).await;
        self.settler.flush().await?;
        self.dispatch.add_backlog(mailbox);
        if self.pipeline.stop.is_cancelled() {
            self.dispatch.give_up(mailbox);
        }
        Ok(())
    }

    /// Leaves a mailbox alone for the rest of the run: what it has left is pending.
    async fn leave(&self, mailbox: &Mailbox) -> Result<(), RunError> {
        tracing::warn!(
            event = "mailbox_left",
            run.id = %self.run,
            mailbox = %mailbox.address,
            "the mailbox is left alone for the rest of this run; its copies are pending"
        );
        let jobs = self.dispatch.take_all(mailbox);
        self.unsent(mailbox, jobs, DeliveryState::Pending, Some("the mailbox was left alone after repeated failures"))
            .await;
        self.dispatch.give_up(mailbox);
        Ok(())
    }
}
