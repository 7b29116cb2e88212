//! When the next run is due. An instant that has passed stays where it is: since then the run is overdue.

use chrono::{DateTime, Utc};

use super::RefusedCredential;
use crate::http::MAX_PAUSE;
use crate::ledger::{FailureKind, Ledger, LedgerError, RunRecord, RunStatus};
use crate::schedule::{PLAUSIBLE_SKEW, Schedule, pause_after_failure};

/// Runs that are looked at to count how many have failed in a row.
const MAX_RUNS: u32 = 16;

/// When the next run is due: at the schedule's time, or sooner after runs that failed or left something pending. A credential
/// that was refused waits for the schedule's time, and a source or staging that asked for a long pause for its end.
pub async fn next_run(ledger: &Ledger, schedule: &Schedule, now: DateTime<Utc>) -> Result<DateTime<Utc>, LedgerError> {
    let runs = ledger.regular_runs(now + PLAUSIBLE_SKEW, MAX_RUNS).await?;
    let waits_until = waits_until(ledger, schedule, &runs, now).await?;
    let scheduled = scheduled(ledger, schedule, &runs, waits_until, now);
    // A run that was asked to stop is no failure, and waits for nothing.
    let ended = || runs.iter().filter(|run| run.status != RunStatus::Running);
    let Some(last) = ended().next().filter(|run| run.status != RunStatus::Complete && !was_stopped(run)) else {
        return Ok(scheduled);
    };
    let in_a_row = match last.status {
        RunStatus::Failed => ended().take_while(|run| run.status == RunStatus::Failed && !was_stopped(run)).count(),
        _ => ended().take_while(|run| run.status != RunStatus::Complete).count(),
    };
    let ended = end_by(now, last).unwrap_or(last.started);
    let again = ended + pause_after_failure(u32::try_from(in_a_row).unwrap_or(u32::MAX));
    Ok(match last.status {
        // By the schedule it is overdue; it waits its pause all the same.
        RunStatus::Failed => waits_until.map_or(again, |until| again.max(until)),
        _ => again.min(scheduled),
    })
}

/// When a run ended; nothing where that lies in the future: it was recorded by a clock that was ahead, and whoever goes by its age would wait for
/// it.
pub(crate) fn end_by(now: DateTime<Utc>, run: &RunRecord) -> Option<DateTime<Utc>> {
    run.finished.filter(|finished| *finished <= now + PLAUSIBLE_SKEW)
}

/// When the next run is due by the schedule alone, whatever pause a failed one would wait.
pub async fn scheduled_run(
    ledger: &Ledger,
    schedule: &Schedule,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, LedgerError> {
    let runs = ledger.regular_runs(now + PLAUSIBLE_SKEW, MAX_RUNS).await?;
    let waits_until = waits_until(ledger, schedule, &runs, now).await?;
    Ok(scheduled(ledger, schedule, &runs, waits_until, now))
}

/// Runs of the future were recorded by a clock that was ahead, and say nothing; they are not among `runs`. Without any run
/// it is due since the ledger was made.
fn scheduled(
    ledger: &Ledger,
    schedule: &Schedule,
    runs: &[RunRecord],
    waits_until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    let last = runs.iter().find(|run| run.status.reached_end());
    let first = || runs.iter().map(|run| run.started).min().or(ledger.made()).unwrap_or(now).min(now);
    let due = last.map_or_else(first, |run| schedule.due_after(run.started));
    waits_until.map_or(due, |until| due.max(until))
}

/// Before when nothing is asked of a remote: because it refused the credential, or asked for a long pause.
async fn waits_until(
    ledger: &Ledger,
    schedule: &Schedule,
    runs: &[RunRecord],
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, LedgerError> {
    Ok(refused_until(ledger, schedule, now).await?.max(paused_until(runs, now)))
}

/// The end of the pause for which the last regular run ended. None is longer than a day: one that is ends by a clock that was ahead.
fn paused_until(runs: &[RunRecord], now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let last = runs.iter().find(|run| run.status != RunStatus::Running)?;
    let end = last.failure.as_ref()?.not_before?;
    (end <= now + MAX_PAUSE + PLAUSIBLE_SKEW).then_some(end)
}

/// The first scheduled time after the credential was refused.
async fn refused_until(
    ledger: &Ledger,
    schedule: &Schedule,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, LedgerError> {
    let refusal = RefusedCredential::load(ledger).await?;
    let until = |at| if at > now + PLAUSIBLE_SKEW { now } else { schedule.due_after(at) };
    Ok(refusal.map(|refusal| until(refusal.at)))
}

/// Whether a run ended because the program was asked to stop.
pub(super) fn was_stopped(run: &RunRecord) -> bool {
    run.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Stopped)
}
