//! The state of the connector: what the connectors page, the terminal and the monitoring read.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::config::SourceConfig;
use crate::ledger::{Ledger, LedgerError, RunKind, RunRecord, RunStatus};
use crate::pipeline::{RunError, RunFinished};
use crate::schedule::{PLAUSIBLE_SKEW, Schedule, pause_after_failure};
use crate::silence::Silence;

pub mod refusal;

pub use refusal::Refusal;

/// What a connector is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A run is under way.
    Running,
    /// Waiting for the next run; the last one left nothing undone.
    Idle,
    /// Waiting for the next run; the last one left something pending.
    Pending,
    /// Waiting for the next run; the last one failed.
    Failed,
    /// It has never run.
    New,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Idle => "idle",
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::New => "new",
        })
    }
}

/// How a remote fared when it was last used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// Whether it worked.
    pub ok: bool,
    /// Since when that is so.
    pub since: DateTime<Utc>,
    /// What is wrong, where something is.
    pub detail: Option<String>,
}

/// A run in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// Its id.
    pub run: String,
    /// How it ended.
    pub status: RunStatus,
    /// When it started.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub finished: Option<DateTime<Utc>>,
}

impl From<&RunRecord> for LastRun {
    fn from(run: &RunRecord) -> Self {
        Self { run: run.id.0.clone(), status: run.status, started: run.started, finished: run.finished }
    }
}

/// The state of the connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// The run under way.
    pub run: Option<LastRun>,
    /// The last run that ended.
    pub last_run: Option<LastRun>,
    /// When the next regular run is due.
    pub next_run: DateTime<Utc>,
    /// Everything received before it has been recorded.
    pub watermark: Option<DateTime<Utc>>,
    /// Deliveries without an outcome.
    pub pending: u64,
    /// When the oldest of them was made.
    pub oldest_pending: Option<DateTime<Utc>>,
    /// Items that are held: not imported, and to be replayed when their cause is mended.
    pub held: u64,
    /// How each remote fared.
    pub remotes: BTreeMap<String, Remote>,
    /// What used to come and doesn't any more, as lines for an administrator.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl Status {
    /// The state as the ledger tells it.
    pub async fn of(ledger: &Ledger, schedule: &Schedule, now: DateTime<Utc>) -> Result<Self, LedgerError> {
        use RunStatus::{Complete, Failed, Incomplete};
        let running = ledger.run_under_way(now).await?;
        let last = ledger.latest_run(&RunKind::ALL, &[Complete, Incomplete, Failed]).await?;
        let open = ledger.open_counts().await?;
        let state = match (&running, &last) {
            (Some(_), _) => State::Running,
            (None, None) => State::New,
            (None, Some(last)) => match last.status {
                Failed => State::Failed,
                _ if open.pending > 0 => State::Pending,
                _ => State::Idle,
            },
        };
        Ok(Self {
            state,
            run: running.as_ref().map(LastRun::from),
            last_run: last.as_ref().map(LastRun::from),
            next_run: next_run(ledger, schedule, now).await?,
            watermark: ledger.watermark().await?,
            pending: open.pending,
            oldest_pending: open.oldest_pending,
            held: open.held,
            remotes: remotes(ledger).await?,
            warnings: Silence::of(ledger, schedule.every, now).await?.lines(),
        })
    }
}

/// When the next run is due: at the schedule's time, or sooner after runs that failed or left something pending. A credential
/// that was refused waits for the schedule's time.
pub async fn next_run(ledger: &Ledger, schedule: &Schedule, now: DateTime<Utc>) -> Result<DateTime<Utc>, LedgerError> {
    let runs = ledger.regular_runs(now + PLAUSIBLE_SKEW, LOOK_BACK).await?;
    let scheduled = scheduled(ledger, schedule, &runs, now).await?;
    let ended = runs.iter().filter(|run| run.status != RunStatus::Running);
    let unsettled: Vec<&RunRecord> = ended.take_while(|run| run.status != RunStatus::Complete).collect();
    let Some(last) = unsettled.first() else { return Ok(scheduled) };
    // An end in the future was recorded by a clock that was ahead.
    let ended = last.finished.filter(|finished| *finished <= now + PLAUSIBLE_SKEW).unwrap_or(last.started);
    let again = (ended + pause_after_failure(u32::try_from(unsettled.len()).unwrap_or(u32::MAX))).max(now);
    Ok(match last.status {
        // By the schedule it is overdue; it waits its pause all the same.
        RunStatus::Failed => again.max(refused_until(ledger, schedule, now).await?),
        _ => again.min(scheduled),
    })
}

/// When the next run is due by the schedule alone, whatever pause a failed one would wait.
pub async fn scheduled_run(
    ledger: &Ledger,
    schedule: &Schedule,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, LedgerError> {
    let runs = ledger.regular_runs(now + PLAUSIBLE_SKEW, LOOK_BACK).await?;
    scheduled(ledger, schedule, &runs, now).await
}

/// Runs of the future were recorded by a clock that was ahead, and say nothing; they are not among `runs`.
async fn scheduled(
    ledger: &Ledger,
    schedule: &Schedule,
    runs: &[RunRecord],
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, LedgerError> {
    let last = runs.iter().find(|run| matches!(run.status, RunStatus::Complete | RunStatus::Incomplete));
    let due = schedule.next_start(last.map(|run| run.started), now);
    Ok(due.max(refused_until(ledger, schedule, now).await?))
}

/// The first scheduled time after the credential was refused; now where it wasn't.
async fn refused_until(ledger: &Ledger, schedule: &Schedule, now: DateTime<Utc>) -> Result<DateTime<Utc>, LedgerError> {
    let refusal = Refusal::remembered(ledger).await?;
    Ok(refusal.map_or(now, |refusal| schedule.next_start(Some(refusal.at), now)))
}

/// Runs that are looked at to tell how many have failed in a row.
const LOOK_BACK: u32 = 16;

const REMOTES: [&str; 4] = ["source", "staging", "directory", "mailbox"];

/// Remembers what a run found out about the remotes and the source's credential.
pub async fn note_run(
    ledger: &Ledger,
    source: &SourceConfig,
    finished: &RunFinished,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let known = remotes(ledger).await?;
    for (name, found) in findings(ledger, finished).await? {
        let (ok, detail) = (found.is_ok(), found.err());
        let since = known.get(name).filter(|remote| remote.ok == ok).map_or(now, |remote| remote.since);
        let remote = Remote { ok, since, detail };
        let text = serde_json::to_string(&remote).map_err(|error| LedgerError::Damaged(error.to_string()))?;
        ledger.remember(&format!("remote.{name}"), Some(&text)).await?;
    }
    refusal::note(ledger, source, finished, now).await
}

/// How the remotes fared that the run got to; of the others it says nothing.
async fn findings(
    ledger: &Ledger,
    finished: &RunFinished,
) -> Result<Vec<(&'static str, Result<(), String>)>, LedgerError> {
    let mut found = Vec::new();
    match &finished.error {
        Some(error @ (RunError::Staging(_) | RunError::ForeignStaging { .. } | RunError::OlderLedger { .. })) => {
            found.push(("staging", Err(error.to_string())));
        }
        Some(error @ (RunError::Source(_) | RunError::SourceAt { .. })) => {
            found.extend([("staging", Ok(())), ("source", Err(error.to_string()))]);
        }
        _ if reached_source(finished) => found.extend([("staging", Ok(())), ("source", Ok(()))]),
        _ => {}
    }
    if finished.error.is_none() && finished.report.deliveries.available_for_import > 0 {
        let (unanswered, unsent) = ledger.pending_of(&finished.report.run).await?;
        let fared = |pending: u64, what: &str| if pending == 0 { Ok(()) } else { Err(format!("{pending} {what}")) };
        found.push(("directory", fared(unanswered, "items wait for its answer")));
        found.push(("mailbox", fared(unsent, "deliveries are pending")));
    }
    Ok(found)
}

/// Whether a run got past the log-in at the source.
fn reached_source(finished: &RunFinished) -> bool {
    let report = &finished.report;
    let pulls = [RunKind::Regular, RunKind::Backfill].into_iter().any(|kind| kind.name() == report.kind);
    pulls && (report.window.is_some() || finished.error.is_none())
}

async fn remotes(ledger: &Ledger) -> Result<BTreeMap<String, Remote>, LedgerError> {
    let mut remotes = BTreeMap::new();
    for name in REMOTES {
        if let Some(text) = ledger.remembered(&format!("remote.{name}")).await?
            && let Ok(remote) = serde_json::from_str(&text)
        {
            remotes.insert(name.to_owned(), remote);
        }
    }
    Ok(remotes)
}

impl fmt::Display for Status {
    /// The connectors page for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |instant: DateTime<Utc>| instant.to_rfc3339_opts(SecondsFormat::Secs, true);
        writeln!(f, "State           {}", self.state)?;
        if let Some(run) = &self.run {
            writeln!(f, "Under way       {} since {}", run.run, time(run.started))?;
        }
        match &self.last_run {
            Some(run) => writeln!(f, "Last run        {} {} at {}", run.run, run.status.name(), time(run.started))?,
            None => writeln!(f, "Last run        none yet")?,
        }
        writeln!(f, "Next run        {}", time(self.next_run))?;
        let watermark = self.watermark.map_or_else(|| "nothing was read yet".to_owned(), time);
        writeln!(f, "Watermark       {watermark}")?;
        writeln!(f, "Held items      {}", self.held)?;
        let oldest =
            self.oldest_pending.map_or_else(String::new, |oldest| format!(", the oldest since {}", time(oldest)));
        writeln!(f, "Pending         {}{oldest}", self.pending)?;
        for (name, remote) in &self.remotes {
            let told = match &remote.detail {
                None => "ok".to_owned(),
                Some(detail) => format!("not ok: {detail}"),
            };
            writeln!(f, "{name:<15} {told} (since {})", time(remote.since))?;
        }
        for warning in &self.warnings {
            writeln!(f, "Warning         {warning}")?;
        }
        Ok(())
    }
}
