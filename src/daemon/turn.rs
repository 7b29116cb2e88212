//! Whose turn it is when a run is due: this daemon pulls, follows another process, or waits.

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::ledger::{Lease, LedgerError, RunId};
use crate::status::{self, RefusedCredential};

/// What a daemon does now.
pub(super) enum Turn {
    /// Nothing is due before then, or another daemon is at it.
    Wait(DateTime<Utc>),
    /// It is this one's turn to pull.
    Pull,
    /// Another process leads a run that this one can follow.
    Follow(RunId),
}

/// Takes this daemon's turn at pulling, where a run is due and nobody else has begun it.
pub(super) async fn take(app: &App, just_started: bool) -> Result<Turn, LedgerError> {
    let now = app.clock.now();
    let (ledger, holder) = (&app.ledger, &app.presence.holder);
    // First of all: one whose clock is ahead would come before the others each time, and its run would only fail.
    ledger.compare_clocks(&*app.clock).await?;
    ledger.expire_gone(now).await?;
    let due = due_at(app, just_started, now).await?;
    if due > now {
        return Ok(Turn::Wait(due));
    }
    let until = now + app.config.ledger.lease;
    if !ledger.lease(holder, &[Lease::Puller], now, until).await?.contains(&true) {
        let run = ledger.run_to_follow(now).await?;
        return Ok(run.map_or(Turn::Wait(due), |run| Turn::Follow(run.id)));
    }
    // Another daemon may have had its run between the question and the lease.
    let due = due_at(app, just_started, now).await?;
    if due > now {
        ledger.release_lease(holder, &Lease::Puller).await?;
        return Ok(Turn::Wait(due));
    }
    Ok(Turn::Pull)
}

/// When the next run is due. A daemon that has just started skips the pause after a failure.
async fn due_at(app: &App, just_started: bool, now: DateTime<Utc>) -> Result<DateTime<Utc>, LedgerError> {
    let (ledger, config) = (&app.ledger, &app.config);
    match RefusedCredential::load(ledger).await? {
        Some(refusal) if !refusal.is_of(&config.source).await => Ok(now),
        _ if just_started => status::scheduled_run(ledger, &config.schedule, now).await,
        _ => status::next_run(ledger, &config.schedule, now).await,
    }
}
