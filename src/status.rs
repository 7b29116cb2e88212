//! The state of the connector: what the connectors page, the terminal and the monitoring read.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::config::SourceConfig;
use crate::digits::counted;
use crate::ledger::{CauseGroup, Ledger, LedgerError, PendingCause, RunKind, RunRecord, RunStatus};
use crate::pipeline::{RunError, RunFinished};
use crate::schedule::Schedule;

pub mod credential;
mod due;
pub mod refusal;
mod text;
pub mod warning;

pub use credential::CredentialExpiry;
pub(crate) use due::end_by;
pub use due::{next_run, scheduled_run};
pub use refusal::RefusedCredential;
pub use warning::{Input, Warning, WarningKind};

/// A run that begins so long after it was due is no overdue one: the daemon looks every few seconds.
const MAX_DELAY: chrono::Duration = chrono::Duration::minutes(2);

/// What a connector is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectorState {
    Running,
    /// A daemon waits for the next run; nothing is pending. Items may be held all the same, and there may be warnings.
    Idle,
    /// A run is due and did not come.
    Overdue,
    /// Nothing is pending, and no daemon is alive to begin the next run.
    Stopped,
    /// Waiting for the next run; the last one left something pending.
    Pending,
    /// Waiting for the next run; the last one, or the last regular one, failed.
    Failed,
    New,
}

impl fmt::Display for ConnectorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Idle => "idle",
            Self::Overdue => "overdue",
            Self::Stopped => "stopped",
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::New => "new",
        })
    }
}

/// How a remote fared when it was last used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteHealth {
    /// Whether it worked.
    pub ok: bool,
    /// Since when that is so.
    pub since: DateTime<Utc>,
    /// What is wrong, where something is.
    pub detail: Option<String>,
}

/// A run in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    pub run: String,
    pub status: RunStatus,
    pub started: DateTime<Utc>,
    pub finished: Option<DateTime<Utc>>,
}

impl From<&RunRecord> for RunSummary {
    fn from(run: &RunRecord) -> Self {
        Self { run: run.id.0.clone(), status: run.status, started: run.started, finished: run.finished }
    }
}

/// A run that did not get to its end, and that no later run of its kind has made up for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    pub run: String,
    /// What it was for.
    pub kind: RunKind,
    /// Why it ended.
    pub error: String,
    /// It was only asked to stop.
    #[serde(default)]
    pub stopped: bool,
}

impl LastFailure {
    /// The last regular run, or the last one of any kind, where it failed; else a run whose process has gone: nobody has closed
    /// its account yet.
    async fn of(ledger: &Ledger, last: Option<&RunRecord>, now: DateTime<Utc>) -> Result<Option<Self>, LedgerError> {
        let regular = ledger.latest_run(&[RunKind::Regular], &RunStatus::ENDED).await?;
        let failed = |run: &&RunRecord| run.status == RunStatus::Failed;
        let of = |run: &RunRecord, error: &str, stopped| {
            Some(Self { run: run.id.0.clone(), kind: run.kind, error: error.to_owned(), stopped })
        };
        if let Some(run) = regular.as_ref().filter(failed).or(last.filter(failed)) {
            let error = run.failure.as_ref().map_or("", |failure| &failure.error);
            return Ok(of(run, error, due::was_stopped(run)));
        }
        let abandoned = ledger.abandoned_runs(None, now).await?;
        Ok(abandoned.last().and_then(|run| of(run, &RunError::ProcessGone.to_string(), false)))
    }
}

/// Whether a daemon is alive, and when one was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonState {
    /// Whether it is alive.
    pub running: bool,
    /// When one was last seen; nothing where there never was one.
    pub last_seen: Option<DateTime<Utc>>,
}

impl DaemonState {
    async fn of(ledger: &Ledger, now: DateTime<Utc>) -> Result<Self, LedgerError> {
        let seen = ledger.daemon(now).await?;
        Ok(Self { running: seen.is_some_and(|seen| seen.running), last_seen: seen.map(|seen| seen.last_seen) })
    }
}

/// The state of the connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What it is doing.
    pub state: ConnectorState,
    /// The run under way.
    pub run: Option<RunSummary>,
    /// The last run that ended.
    pub last_run: Option<RunSummary>,
    /// The run that nothing has made up for yet, and why it failed.
    #[serde(default)]
    pub failure: Option<LastFailure>,
    /// Whether a daemon of this ledger is alive.
    pub daemon: DaemonState,
    /// When the next regular run is due, or was, where it is overdue.
    pub next_run: DateTime<Utc>,
    /// Since when a run is due that did not come.
    pub overdue_since: Option<DateTime<Utc>>,
    /// Everything received before it has been recorded.
    pub watermark: Option<DateTime<Utc>>,
    /// Deliveries without an outcome.
    pub pending: u64,
    /// When the oldest of them was made.
    pub oldest_pending: Option<DateTime<Utc>>,
    /// Items that are held: not imported, and to be replayed when their cause is removed.
    pub held: u64,
    /// How each remote fared.
    pub remotes: BTreeMap<String, RemoteHealth>,
    /// The credentials that end some day, and when, where that is known.
    #[serde(default)]
    pub credentials: Vec<CredentialExpiry>,
    /// What needs somebody's attention though no step failed.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

impl Status {
    /// The state according to the ledger.
    pub async fn of(ledger: &Ledger, schedule: &Schedule, now: DateTime<Utc>) -> Result<Self, LedgerError> {
        let running = ledger.run_under_way(now).await?;
        let last = ledger.latest_run(&RunKind::ALL, &RunStatus::ENDED).await?;
        let failure = LastFailure::of(ledger, last.as_ref(), now).await?;
        let open = ledger.open_counts().await?;
        let daemon = DaemonState::of(ledger, now).await?;
        let regular = running.as_ref().filter(|run| run.kind == RunKind::Regular);
        let next_run = match regular {
            // Whatever made it due is being seen to.
            Some(run) => schedule.due_after(run.started),
            None => next_run(ledger, schedule, now).await?,
        };
        let overdue_since = (running.is_none() && now - next_run > MAX_DELAY).then_some(next_run);
        let state = if running.is_some() {
            ConnectorState::Running
        } else if last.is_none() && failure.is_none() {
            ConnectorState::New
        } else if overdue_since.is_some() {
            ConnectorState::Overdue
        } else if failure.as_ref().is_some_and(|failure| !failure.stopped) {
            ConnectorState::Failed
        } else if open.pending > 0 {
            ConnectorState::Pending
        } else if !daemon.running {
            ConnectorState::Stopped
        } else {
            ConnectorState::Idle
        };
        Ok(Self {
            state,
            run: running.as_ref().map(RunSummary::from),
            last_run: last.as_ref().map(RunSummary::from),
            failure,
            daemon,
            next_run,
            overdue_since,
            watermark: ledger.watermark().await?,
            pending: open.pending,
            oldest_pending: open.oldest_pending,
            held: open.held,
            remotes: remotes(ledger).await?,
            credentials: credential::noted(ledger).await?,
            warnings: warning::all(ledger, schedule, now).await?,
        })
    }
}

/// The remotes whose health the ledger keeps.
pub(crate) const REMOTES: [&str; 4] = ["source", "staging", "directory", "mailbox"];

/// Causes of what is pending that are looked through for the errors of remotes.
const MAX_GROUPS: u32 = 100;

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
        let since = known.get(name).filter(|remote| remote.ok == ok).map_or(now, |remote| remote.since.min(now));
        let remote = RemoteHealth { ok, since, detail };
        ledger.set_meta_json(&format!("remote.{name}"), &remote).await?;
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
        Some(error) if error.is_about_ownership() || matches!(error, RunError::Staging(_)) => {
            found.push(("staging", Err(error.to_string())));
        }
        Some(error @ (RunError::Source(_) | RunError::SourceAt { .. })) => {
            found.extend([("staging", Ok(())), ("source", Err(error.to_string()))]);
        }
        _ if finished.has_reached_source() => found.extend([("staging", Ok(())), ("source", Ok(()))]),
        // It has read all of staging.
        None if finished.report.kind == RunKind::Rebuild => found.push(("staging", Ok(()))),
        _ => {}
    }
    if finished.error.is_none() && finished.report.deliveries.available_for_import > 0 {
        // Judged by all that is open: a run about one item says nothing of the others.
        let open = ledger.pending_groups(None, MAX_GROUPS).await?;
        let of = |causes: &[PendingCause], one: &str, several: &str| {
            fared(open.iter().filter(|group| causes.contains(&group.cause)), one, several)
        };
        let directory =
            of(&[PendingCause::Directory], "delivery waits for its answer", "deliveries wait for its answer");
        found.push(("directory", directory));
        let of_mailboxes = [PendingCause::Mailbox, PendingCause::OutcomeUnknown];
        found.push(("mailbox", of(&of_mailboxes, "delivery is pending", "deliveries are pending")));
    }
    Ok(found)
}

/// How a remote fared that these deliveries wait for, with the error of the most of them.
fn fared<'a>(
    waiting: impl Iterator<Item = &'a CauseGroup<PendingCause>>,
    one: &str,
    several: &str,
) -> Result<(), String> {
    let (mut deliveries, mut error) = (0, None);
    for group in waiting {
        deliveries += group.deliveries;
        error = error.or(group.detail.as_deref());
    }
    let what = counted(deliveries, one, several);
    match (deliveries, error) {
        (0, _) => Ok(()),
        (_, None) => Err(what),
        (_, Some(error)) => Err(format!("{what}: {error}")),
    }
}

/// How each remote fared that was used.
pub(crate) async fn remotes(ledger: &Ledger) -> Result<BTreeMap<String, RemoteHealth>, LedgerError> {
    let mut remotes = BTreeMap::new();
    for name in REMOTES {
        if let Some(remote) = ledger.get_meta_json(&format!("remote.{name}")).await? {
            remotes.insert(name.to_owned(), remote);
        }
    }
    Ok(remotes)
}
