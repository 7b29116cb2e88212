//! The state that all handlers share: what the daemon hands in ([`Served`]), and what the server keeps beside it ([`Site`]).

use std::sync::Arc;

use axum::extract::State;
use tokio::sync::watch;

use super::failure::Failure;
use super::guesses::{Guesses, Refusals};
use super::health::Health;
use super::metrics::MetricsPage;
use crate::clock::SharedClock;
use crate::ledger::{Ledger, LedgerError, RunId, RunRecord};
use crate::metrics::Metrics;
use crate::report::Report;
use crate::schedule::Schedule;
use crate::secret::Secret;
use crate::status::Status;

/// What the daemon hands to the HTTP server.
pub struct Served {
    pub ledger: Ledger,
    /// The schedule in force: tells when the next run is due.
    pub schedule: watch::Receiver<Schedule>,
    pub clock: SharedClock,
    pub metrics: Arc<Metrics>,
    /// The daemon's own state.
    pub health: Arc<Health>,
    /// What a reader must show to see more than the health; nothing where everybody on this machine may.
    pub token: Option<Secret>,
}

/// The state that all handlers share.
pub(super) struct Site {
    pub(super) served: Served,
    pub(super) metrics: MetricsPage,
    pub(super) refusals: Refusals,
    pub(super) guesses: Guesses,
}

pub(super) type SharedSite = State<Arc<Site>>;

impl Site {
    pub(super) async fn status(&self) -> Result<Status, LedgerError> {
        let served = &self.served;
        let schedule = served.schedule.borrow().clone();
        Status::of(&served.ledger, &schedule, served.clock.now()).await
    }

    /// Reports without their lists, newest first.
    pub(super) async fn reports(&self, skip: u32, limit: u32) -> Result<Vec<Report>, LedgerError> {
        let ledger = &self.served.ledger;
        let mut reports = Vec::new();
        for run in ledger.earlier_runs(skip, limit).await? {
            reports.push(Report::of(ledger, &run).await?);
        }
        Ok(reports)
    }

    pub(super) async fn run(&self, id: String) -> Result<RunRecord, Failure> {
        let run = self.served.ledger.run(&RunId(id)).await?;
        run.ok_or(Failure::NotFound("there is no such run"))
    }
}
