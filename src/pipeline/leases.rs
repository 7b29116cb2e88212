//! The leases of this process: renewed at a third of their length, checked immediately before sending.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{Pipeline, RunError};
use crate::clock::Clock;
use crate::ledger::{Lease, LedgerError};
use crate::resolution::MailboxId;

/// What this process holds.
#[derive(Debug)]
pub(super) struct Leases {
    owned: Mutex<HashSet<Lease>>,
    end: Mutex<End>,
    length: Duration,
    /// Leases aren't counted while some are given back.
    renewal: tokio::sync::Mutex<()>,
}

/// When leases end, by both clocks: the wall clock, by which others judge, can be set back; the other stands still while the machine is
/// suspended.
#[derive(Debug, Clone, Copy)]
struct End {
    at: DateTime<Utc>,
    elapsed: Duration,
}

impl End {
    /// The end of leases that are taken or renewed now.
    fn of(clock: &dyn Clock, length: Duration) -> Self {
        Self { at: clock.now() + length, elapsed: clock.elapsed() + length }
    }
}

impl Leases {
    pub(super) fn new(length: Duration, clock: &dyn Clock) -> Self {
        Self {
            owned: Mutex::default(),
            end: Mutex::new(End::of(clock, length)),
            length,
            renewal: tokio::sync::Mutex::default(),
        }
    }

    fn end(&self) -> End {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.end().at
    }

    /// Whether the leases are certainly in force: asked immediately before sending.
    pub(super) fn in_force(&self, clock: &dyn Clock) -> bool {
        let end = self.end();
        clock.now() < end.at && clock.elapsed() < end.elapsed
    }
}

impl Pipeline {
    /// Takes the leases that are free; returns which are ours now.
    pub(super) async fn take_leases(&self, leases: &Leases, wanted: &[Lease]) -> Result<Vec<bool>, LedgerError> {
        let missing: Vec<Lease> = wanted.iter().filter(|lease| !leases.holds(lease)).cloned().collect();
        if !missing.is_empty() {
            // A renewal in between would leave these behind.
            let _renewal = leases.renewal.lock().await;
            let lease = || self.deps.ledger.lease(&self.deps.holder, &missing, self.now(), leases.claim_until());
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
        let mut is_logged = false;
        while !self.take_leases(leases, &[Lease::Puller]).await?.contains(&true) {
            self.wait_for_puller(&mut is_logged).await?;
        }
        Ok(())
    }

    /// Waits until it is worth asking again whether another process still pulls. Logged once.
    pub(super) async fn wait_for_puller(&self, is_logged: &mut bool) -> Result<(), RunError> {
        const POLL_INTERVAL: Duration = Duration::from_secs(2);
        if !std::mem::replace(is_logged, true) {
            tracing::info!(event = "waiting_for_puller", "another process is pulling; waiting for it to end");
        }
        tokio::select! {
            () = self.stop.cancelled() => Err(RunError::Stopped),
            () = self.deps.clock.sleep(POLL_INTERVAL) => Ok(()),
        }
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
        let third = leases.length / 3;
        loop {
            tokio::select! {
                () = done.cancelled() => return Ok(()),
                () = self.deps.clock.sleep(third) => {}
            }
            let _renewal = leases.renewal.lock().await;
            let end = End::of(&*self.deps.clock, leases.length);
            let expected = leases.owned().len() as u64;
            self.compare_clocks().await?;
            let renew = || self.deps.ledger.renew_leases(&self.deps.holder, expected, end.at);
            self.retrier.run("renewing the leases", renew).await?;
            *leases.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn leases_end_by_whichever_clock_says_so_first() {
        let start = DateTime::UNIX_EPOCH;
        let length = Duration::from_mins(1);
        let clock = ManualClock::standing(start);
        let leases = Leases::new(length, &clock);
        clock.set(start - chrono::Duration::hours(1));
        clock.advance(Duration::from_secs(59));
        assert!(leases.in_force(&clock), "by neither clock a minute has passed");
        clock.advance(Duration::from_secs(1));
        assert!(!leases.in_force(&clock), "the wall clock was set back, and the minute is over");

        let leases = Leases::new(length, &clock);
        clock.set(clock.now() + length);
        assert!(!leases.in_force(&clock), "others judge by the wall clock");
    }
}
