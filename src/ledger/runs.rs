//! Runs: what each is for, how it stands, and how it ended.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::sql::{self, millis};
use super::{Holder, Ledger, LedgerError, RunId, leases, superseded};
use crate::window::Window;

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// From the watermark to now.
    Regular,
    /// A stated window; the watermark stays.
    Backfill,
    /// What is held or failed, from staging.
    Retry,
    /// The ledger itself, after a loss, from staging and the mailboxes.
    Rebuild,
}

impl RunKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Regular, Self::Backfill, Self::Retry, Self::Rebuild];

    pub fn name(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Backfill => "backfill",
            Self::Retry => "retry",
            Self::Rebuild => "rebuild",
        }
    }

    /// Whether such a run reads the source.
    pub fn reads_source(self) -> bool {
        matches!(self, Self::Regular | Self::Backfill)
    }

    fn from_name(name: &str) -> Result<Self, LedgerError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| LedgerError::Damaged(format!("a run of the unknown kind {name:?}")))
    }
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Under way.
    Running,
    /// Everything has its outcome.
    Complete,
    /// Something is pending.
    Incomplete,
    /// It could not go on.
    Failed,
}

impl RunStatus {
    /// Those of a run that has ended.
    pub const ENDED: [Self; 3] = [Self::Complete, Self::Incomplete, Self::Failed];

    /// Those of a run that got to its end, whatever it left pending.
    pub const REACHED_END: [Self; 2] = [Self::Complete, Self::Incomplete];

    /// Whether the run got to its end, whatever it left pending.
    pub fn reached_end(self) -> bool {
        Self::REACHED_END.contains(&self)
    }

    /// The status's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
        }
    }

    fn from_name(name: &str) -> Result<Self, LedgerError> {
        [Self::Running, Self::Complete, Self::Incomplete, Self::Failed]
            .into_iter()
            .find(|status| status.name() == name)
            .ok_or_else(|| LedgerError::Damaged(format!("a run of the unknown status {name:?}")))
    }
}

/// What kind of failure ended a run, as far as the program goes by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The program was asked to stop.
    Stopped,
    /// The run's account doesn't add up.
    Unbalanced,
    /// Anything else.
    Other,
}

impl FailureKind {
    const ALL: [Self; 3] = [Self::Stopped, Self::Unbalanced, Self::Other];

    fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Unbalanced => "unbalanced",
            Self::Other => "other",
        }
    }
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFailure {
    pub kind: FailureKind,
    /// What went wrong, in words.
    pub error: String,
    /// When a remote may be asked again that asked for a pause too long to wait for.
    pub not_before: Option<DateTime<Utc>>,
}

impl RunFailure {
    fn read(row: &AnyRow) -> Result<Option<Self>, LedgerError> {
        let Some(error) = sql::get(row, "error")? else { return Ok(None) };
        let kind: Option<String> = sql::get(row, "failure")?;
        // Runs of before schema 11 have none.
        let kind = FailureKind::ALL.into_iter().find(|of| kind.as_deref() == Some(of.name()));
        let kind = kind.unwrap_or(FailureKind::Other);
        Ok(Some(Self { kind, error, not_before: sql::optional_instant(row, "not_before")? }))
    }
}

/// A run as the ledger knows it.
#[derive(Debug, Clone)]
pub struct RunRecord {
    pub id: RunId,
    /// What it is for.
    pub kind: RunKind,
    /// How it stands.
    pub status: RunStatus,
    /// What it reads, where it reads anything.
    pub window: Option<Window>,
    /// When it started.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub finished: Option<DateTime<Utc>>,
    /// `inputs` of its report, as JSON.
    pub inputs: String,
    /// Distinct items first seen in it.
    pub available: u64,
    /// Items sent again.
    pub repeated: u64,
    /// Items found only through the overlap.
    pub late: u64,
    /// Bytes taken from the source.
    pub bytes_downloaded: u64,
    /// Bytes imported into mailboxes.
    pub bytes_imported: u64,
    /// Why it failed, where it did.
    pub failure: Option<RunFailure>,
    /// Its report without the lists, as JSON, frozen at its end.
    pub report: Option<String>,
}

impl RunRecord {
    pub(super) fn read(row: &AnyRow) -> Result<Self, LedgerError> {
        let window = match (sql::optional_instant(row, "window_from")?, sql::optional_instant(row, "window_to")?) {
            (Some(from), Some(to)) => Some(Window { from, to }),
            _ => None,
        };
        Ok(Self {
            id: RunId(sql::get(row, "run_id")?),
            kind: RunKind::from_name(&sql::get::<String>(row, "kind")?)?,
            status: RunStatus::from_name(&sql::get::<String>(row, "status")?)?,
            window,
            started: sql::instant(row, "started")?,
            finished: sql::optional_instant(row, "finished")?,
            inputs: sql::get(row, "inputs")?,
            available: sql::count(row, "available")?,
            repeated: sql::count(row, "repeated")?,
            late: sql::count(row, "late")?,
            bytes_downloaded: sql::count(row, "bytes_downloaded")?,
            bytes_imported: sql::count(row, "bytes_imported")?,
            failure: RunFailure::read(row)?,
            report: sql::get(row, "report")?,
        })
    }
}

/// The lease of a run is in force at `$1`.
const ALIVE: &str = "EXISTS (SELECT 1 FROM leases WHERE leases.resource = 'run:' || runs.run_id AND leases.until > $1)";

/// The number under which rows refer to a run.
pub(super) async fn number_of(transaction: &mut Transaction<'_, Any>, run: &RunId) -> Result<i64, LedgerError> {
    let row = sqlx::query("SELECT run_no FROM runs WHERE run_id = $1").bind(&run.0);
    let row = row.fetch_optional(&mut **transaction).await?;
    sql::get(&row.ok_or_else(|| LedgerError::Damaged(format!("there is no run {run}")))?, "run_no")
}

impl Ledger {
    /// Records that a run began. Fails where another ledger has taken this one's place.
    pub async fn begin_run(
        &self,
        id: &RunId,
        kind: RunKind,
        holder: &Holder,
        inputs: &str,
        started: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        self.dialect.wait_for_turn(&mut transaction).await?;
        sqlx::query(
            "INSERT INTO runs (run_id, kind, status, holder, started, inputs, run_no)
             VALUES ($1, $2, 'running', $3, $4, $5, (SELECT COALESCE(MAX(run_no), 0) + 1 FROM runs))",
        )
        .bind(&id.0)
        .bind(kind.name())
        .bind(&holder.0)
        .bind(millis(started))
        .bind(inputs)
        .execute(&mut *transaction)
        .await?;
        superseded::refuse(&mut transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Records what a run reads.
    pub async fn set_run_window(&self, id: &RunId, window: Window) -> Result<(), LedgerError> {
        sqlx::query("UPDATE runs SET window_from = $1, window_to = $2 WHERE run_id = $3")
            .bind(millis(window.from))
            .bind(millis(window.to))
            .bind(&id.0)
            .execute(self.writer()?)
            .await?;
        Ok(())
    }

    /// Records that a run ended, with its report. Fails where another process has closed its account meanwhile.
    pub async fn finish_run(
        &self,
        id: &RunId,
        status: RunStatus,
        finished: DateTime<Utc>,
        failure: Option<&RunFailure>,
        report: &str,
    ) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        let finished = sqlx::query(
            "UPDATE runs SET status = $1, finished = $2, error = $3, failure = $4, not_before = $5, report = $6
             WHERE run_id = $7 AND status = 'running'",
        )
        .bind(status.name())
        .bind(millis(finished))
        .bind(failure.map(|failure| &*failure.error))
        .bind(failure.map(|failure| failure.kind.name()))
        .bind(failure.and_then(|failure| failure.not_before).map(millis))
        .bind(report)
        .bind(&id.0)
        .execute(&mut *transaction)
        .await?;
        if finished.rows_affected() == 0 {
            return Err(LedgerError::LeaseLost(format!("run {id}")));
        }
        sqlx::query("DELETE FROM leases WHERE resource = $1")
            .bind(leases::closed(id))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    pub async fn run(&self, id: &RunId) -> Result<Option<RunRecord>, LedgerError> {
        let row = sqlx::query("SELECT * FROM runs WHERE run_id = $1").bind(&id.0).fetch_optional(&self.pool).await?;
        row.as_ref().map(RunRecord::read).transpose()
    }

    /// The latest runs, newest first.
    pub async fn runs(&self, limit: u32) -> Result<Vec<RunRecord>, LedgerError> {
        self.earlier_runs(0, limit).await
    }

    /// Runs, newest first, without the first `skip`.
    pub async fn earlier_runs(&self, skip: u32, limit: u32) -> Result<Vec<RunRecord>, LedgerError> {
        let rows = sqlx::query("SELECT * FROM runs ORDER BY run_no DESC LIMIT $1 OFFSET $2")
            .bind(i64::from(limit))
            .bind(i64::from(skip))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(RunRecord::read).collect()
    }

    /// The latest run that ended as one of `statuses`, of one of `kinds`.
    pub async fn latest_run(
        &self,
        kinds: &[RunKind],
        statuses: &[RunStatus],
    ) -> Result<Option<RunRecord>, LedgerError> {
        let quoted = |names: Vec<&str>| format!("('{}')", names.join("', '"));
        let statement = format!(
            "SELECT * FROM runs WHERE kind IN {} AND status IN {} ORDER BY run_no DESC LIMIT 1",
            quoted(kinds.iter().map(|kind| kind.name()).collect()),
            quoted(statuses.iter().map(|status| status.name()).collect()),
        );
        let row = sql::query_of(statement).fetch_optional(&self.pool).await?;
        row.as_ref().map(RunRecord::read).transpose()
    }

    /// The latest regular runs that started by `until`, newest first.
    pub async fn regular_runs(&self, until: DateTime<Utc>, limit: u32) -> Result<Vec<RunRecord>, LedgerError> {
        let rows =
            sqlx::query("SELECT * FROM runs WHERE kind = 'regular' AND started <= $1 ORDER BY run_no DESC LIMIT $2")
                .bind(millis(until))
                .bind(i64::from(limit))
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(RunRecord::read).collect()
    }

    /// When the first regular run before `run` started.
    pub async fn first_start_before(&self, run: &RunId) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let row = sqlx::query("SELECT MIN(started) AS first FROM runs WHERE kind = 'regular' AND run_id <> $1")
            .bind(&run.0)
            .fetch_one(&self.pool)
            .await?;
        sql::optional_instant(&row, "first")
    }

    /// The latest run that is under way: its process holds the run's lease.
    pub async fn run_under_way(&self, now: DateTime<Utc>) -> Result<Option<RunRecord>, LedgerError> {
        let statement = format!("SELECT * FROM runs WHERE status = 'running' AND {ALIVE} ORDER BY run_no DESC LIMIT 1");
        let row = sql::query_of(statement).bind(millis(now)).fetch_optional(&self.pool).await?;
        row.as_ref().map(RunRecord::read).transpose()
    }

    /// Runs that are under way by the ledger's account, though nobody is at them: their leases ran out. `current` is the
    /// one run of the process that asks, where it has one.
    pub async fn abandoned_runs(
        &self,
        current: Option<&RunId>,
        now: DateTime<Utc>,
    ) -> Result<Vec<RunRecord>, LedgerError> {
        let statement =
            format!("SELECT * FROM runs WHERE status = 'running' AND run_id <> $2 AND NOT {ALIVE} ORDER BY started");
        let rows = sql::query_of(statement)
            .bind(millis(now))
            .bind(current.map_or("", |run| &*run.0))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(RunRecord::read).collect()
    }
}
