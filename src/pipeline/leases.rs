//! The leases of this process: renewed at a third of their length, checked immediately before sending.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Duration, Utc};
use tokio_util::sync::CancellationToken;

use super::{Pipeline, RunError};
use crate::ledger::{Lease, LedgerError};
use crate::resolution::MailboxId;

/// What this process holds.
#[derive(Debug)]
pub(super) struct Leases {
    owned: Mutex<HashSet<Lease>>,
    until: Mutex<DateTime<Utc>>,
    length: Duration,
    /// Leases aren't counted while some are given back.
    renewal: tokio::sync::Mutex<()>,
}

impl Leases {
    pub(super) fn new(length: std::time::Duration, now: DateTime<Utc>) -> Self {
        let length = Duration::from_std(length).unwrap_or(Duration::seconds(60));
        Self {
            owned: Mutex::default(),
            until: Mutex::new(now + length),
            length,
            renewal: tokio::sync::Mutex::default(),
        }
    }

    fn until(&self) -> DateTime<Utc> {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owned(&self) -> std::sync::MutexGuard<'_, HashSet<Lease>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn holds(&self, lease: &Lease) -> bool {
        self.owned().contains(lease)
    }

    /// Until when claims that are made now are in force: all that a process has ends at the same time, so that whoever finds one
    /// of its leases run out finds all of them so.
    pub(super) fn claim_until(&self) -> DateTime<Utc> {
        self.until()
    }

    /// Whether the leases are certainly in force: asked immediately before sending.
    pub(super) fn in_force(&self, now: DateTime<Utc>) -> bool {
        now < self.until()
    }
}

impl Pipeline {
    /// Takes the leases that are free; returns which are ours now.
    pub(super) async fn take_leases(&self, leases: &Leases, wanted: &[Lease]) -> Result<Vec<bool>, LedgerError> {
        let missing: Vec<Lease> = wanted.iter().filter(|lease| !leases.holds(lease)).cloned().collect();
        if !missing.is_empty() {
            // A renewal in between would leave these behind.
            let _renewal = leases.renewal.lock().await;
            let lease = || self.deps.ledger.lease(&self.deps.holder, &missing, self.now(), leases.until());
            let ours = self.retrier.run("taking leases", lease).await?;
            let taken = missing.into_iter().zip(ours).filter_map(|(lease, ours)| ours.then_some(lease));
            leases.owned().extend(taken);
        }
        Ok(wanted.iter().map(|lease| leases.holds(lease)).collect())
    }

    /// Gives back the lease of a mailbox.
    pub(super) async fn release_mailbox(&self, leases: &Leases, mailbox: &MailboxId) -> Result<(), LedgerError> {
        let lease = Lease::Mailbox(mailbox.clone());
        let _renewal = leases.renewal.lock().await;
        leases.owned().remove(&lease);
        let release = || self.deps.ledger.release_lease(&self.deps.holder, &lease);
        self.retrier.run("giving a lease back", release).await
    }

    /// Waits until this process is the one that pulls.
    pub(super) async fn become_puller(&self, leases: &Leases) -> Result<(), RunError> {
        const POLL_INTERVAL: std::time::Duration = std::time::Duration::from_secs(2);
        let mut is_logged = false;
        while !self.take_leases(leases, &[Lease::Puller]).await?.into_iter().all(|ours| ours) {
            if !is_logged {
                tracing::info!(event = "waiting_for_puller", "another process is pulling; waiting for it to end");
                is_logged = true;
            }
            tokio::select! {
                () = self.stop.cancelled() => return Err(RunError::Stopped),
                () = self.deps.clock.sleep(POLL_INTERVAL) => {}
            }
        }
        Ok(())
    }

    /// Does work while the leases are kept; it is stopped where they are lost. Returns the result of both.
    pub(super) async fn with_leases<T>(
        &self,
        leases: &Leases,
        work: impl Future<Output = Result<T, RunError>>,
    ) -> (Result<(), LedgerError>, Result<T, RunError>) {
        let done = CancellationToken::new();
        let keep = async {
            let kept = self.keep_leases(leases, done.clone()).await;
            if kept.is_err() {
                self.stop.cancel();
            }
            kept
        };
        let work = async {
            let result = work.await;
            done.cancel();
            result
        };
        tokio::join!(keep, work)
    }

    /// Renews the leases until `done`. Fails where one was lost, or where the clock has become another than the ledger's
    /// server's: then nothing more may be sent.
    async fn keep_leases(&self, leases: &Leases, done: CancellationToken) -> Result<(), LedgerError> {
        let third = (leases.length / 3).to_std().unwrap_or(std::time::Duration::from_secs(1));
        loop {
            tokio::select! {
                () = done.cancelled() => return Ok(()),
                () = self.deps.clock.sleep(third) => {}
            }
            let _renewal = leases.renewal.lock().await;
            let until = self.now() + leases.length;
            let expected = leases.owned().len() as u64;
            self.compare_clocks().await?;
            let renew = || self.deps.ledger.renew_leases(&self.deps.holder, expected, until);
            self.retrier.run("renewing the leases", renew).await?;
            *leases.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
        }
    }
}
