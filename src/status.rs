//! The state of the connector: what the connectors page, the terminal and the monitoring read.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::ledger::{Ledger, LedgerError, RunKind, RunRecord, RunStatus};
use crate::pipeline::RunError;
use crate::report::Report;
use crate::schedule::{Schedule, pause_after_failure};
use crate::silence::Silence;

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
        use RunStatus::{Complete, Failed, Incomplete, Running};
        let running = ledger.latest_run(&RunKind::ALL, &[Running]).await?;
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

/// When the next run is due: at the schedule's time, or sooner after runs that failed or left something pending.
pub async fn next_run(ledger: &Ledger, schedule: &Schedule, now: DateTime<Utc>) -> Result<DateTime<Utc>, LedgerError> {
    let finished = [RunStatus::Complete, RunStatus::Incomplete];
    let last = ledger.latest_run(&[RunKind::Regular], &finished).await?;
    let scheduled = schedule.next_start(last.as_ref().map(|run| run.started), now);
    let mut unsettled = 0;
    let mut ended = None;
    for run in ledger.runs(LOOK_BACK).await?.iter().filter(|run| run.kind == RunKind::Regular) {
        match run.status {
            RunStatus::Running => {}
            RunStatus::Complete => break,
            RunStatus::Failed | RunStatus::Incomplete => {
                unsettled += 1;
                ended = ended.or(run.finished);
            }
        }
    }
    let Some(ended) = ended else { return Ok(scheduled) };
    let again = (ended + pause_after_failure(unsettled)).max(now);
    // A failed run is due at once by the schedule; it waits its pause all the same.
    let failed_last = last.is_none_or(|last| last.finished.is_none_or(|finished| finished < ended));
    Ok(if failed_last { again } else { again.min(scheduled) })
}

/// Runs that are looked at to tell how many have failed in a row.
const LOOK_BACK: u32 = 16;

const REMOTES: [&str; 4] = ["source", "staging", "directory", "mailbox"];

/// Remembers how the remotes fared in a run.
pub async fn note_remotes(
    ledger: &Ledger,
    report: &Report,
    error: Option<&RunError>,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let known = remotes(ledger).await?;
    for name in REMOTES {
        let detail = match (name, error) {
            ("source", Some(error @ (RunError::Source(_) | RunError::SourceAt { .. })))
            | ("staging", Some(error @ (RunError::Staging(_) | RunError::ForeignStaging { .. }))) => {
                Some(error.to_string())
            }
            ("mailbox", None) if report.deliveries.pending > 0 => {
                Some(format!("{} deliveries are pending", report.deliveries.pending))
            }
            _ => None,
        };
        let ok = detail.is_none();
        let since = known.get(name).filter(|remote| remote.ok == ok).map_or(now, |remote| remote.since);
        let remote = Remote { ok, since, detail };
        let text = serde_json::to_string(&remote).map_err(|error| LedgerError::Damaged(error.to_string()))?;
        ledger.remember(&format!("remote.{name}"), Some(&text)).await?;
    }
    Ok(())
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
