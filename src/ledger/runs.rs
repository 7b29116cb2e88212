//! Runs, the windows they read, and the watermark.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::sql::{self, millis};
use super::{Holder, Ledger, LedgerError, RunId, leases, superseded};
use crate::source::Cursor;
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

/// A run as the ledger knows it.
#[derive(Debug, Clone)]
pub struct RunRecord {
    pub id: RunId,
    /// What it is for.
    pub kind: RunKind,
    /// How it stands.
    pub status: RunStatus,
    /// The process that runs it.
    pub holder: Holder,
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
    /// Why it failed.
    pub error: Option<String>,
    /// Its report without the lists, as JSON, frozen at its end.
    pub report: Option<String>,
}

impl RunRecord {
    pub(super) fn read(row: &AnyRow) -> Result<Self, LedgerError> {
        let count = |column| -> Result<u64, LedgerError> {
            let value: i64 = sql::get(row, column)?;
            u64::try_from(value).map_err(|_| LedgerError::Damaged(format!("the count {column} is negative")))
        };
        let window = match (sql::optional_instant(row, "window_from")?, sql::optional_instant(row, "window_to")?) {
            (Some(from), Some(to)) => Some(Window { from, to }),
            _ => None,
        };
        Ok(Self {
            id: RunId(sql::get(row, "run_id")?),
            kind: RunKind::from_name(&sql::get::<String>(row, "kind")?)?,
            status: RunStatus::from_name(&sql::get::<String>(row, "status")?)?,
            holder: Holder(sql::get(row, "holder")?),
            window,
            started: sql::instant(row, "started")?,
            finished: sql::optional_instant(row, "finished")?,
            inputs: sql::get(row, "inputs")?,
            available: count("available")?,
            repeated: count("repeated")?,
            late: count("late")?,
            bytes_downloaded: count("bytes_downloaded")?,
            bytes_imported: count("bytes_imported")?,
            error: sql::get(row, "error")?,
            report: sql::get(row, "report")?,
        })
    }
}

/// A window that was begun, and how far it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredWindow {
    /// The window whose items count as its own.
    pub window: Window,
    /// Where reading begins: the overlap lies before the window.
    pub read_from: DateTime<Utc>,
    /// The cursor after the last page that was recorded.
    pub cursor: Cursor,
}

pub(super) const WATERMARK: &str = "watermark";

/// The lease of a run is in force at `$1`.
const ALIVE: &str = "EXISTS (SELECT 1 FROM leases WHERE leases.resource = 'run:' || runs.run_id AND leases.until > $1)";

/// The number under which rows refer to a run.
pub(super) async fn number_of(transaction: &mut Transaction<'_, Any>, run: &RunId) -> Result<i64, LedgerError> {
    let row = sqlx::query("SELECT run_no FROM runs WHERE run_id = $1").bind(run.0.clone());
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
        .bind(id.0.clone())
        .bind(kind.name())
        .bind(holder.0.clone())
        .bind(millis(started))
        .bind(inputs.to_owned())
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
            .bind(id.0.clone())
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
        error: Option<&str>,
        report: &str,
    ) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        let finished = sqlx::query(
            "UPDATE runs SET status = $1, finished = $2, error = $3, report = $4 WHERE run_id = $5 AND status = 'running'",
        )
        .bind(status.name())
        .bind(millis(finished))
        .bind(error.map(str::to_owned))
        .bind(report.to_owned())
        .bind(id.0.clone())
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
        let row =
            sqlx::query("SELECT * FROM runs WHERE run_id = $1").bind(id.0.clone()).fetch_optional(&self.pool).await?;
        row.as_ref().map(RunRecord::read).transpose()
    }

    /// The latest runs, newest first.
    pub async fn runs(&self, limit: u32) -> Result<Vec<RunRecord>, LedgerError> {
        self.earlier_runs(0, limit).await
    }

    /// Runs, newest first, without the first `skip`.
    pub async fn earlier_runs(&self, skip: u32, limit: u32) -> Result<Vec<RunRecord>, LedgerError> {
        let rows = sqlx::query("SELECT * FROM runs ORDER BY run_no DESC, started DESC, run_id DESC LIMIT $1 OFFSET $2")
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
            "SELECT * FROM runs WHERE kind IN {} AND status IN {} ORDER BY run_no DESC, started DESC, run_id DESC LIMIT 1",
            quoted(kinds.iter().map(|kind| kind.name()).collect()),
            quoted(statuses.iter().map(|status| status.name()).collect()),
        );
        let row = sql::query_of(statement).fetch_optional(&self.pool).await?;
        row.as_ref().map(RunRecord::read).transpose()
    }

    /// The latest regular runs that started by `until`, newest first.
    pub async fn regular_runs(&self, until: DateTime<Utc>, limit: u32) -> Result<Vec<RunRecord>, LedgerError> {
        let rows = sqlx::query(
            "SELECT * FROM runs WHERE kind = 'regular' AND started <= $1 ORDER BY run_no DESC, started DESC, run_id DESC LIMIT $2",
        )
        .bind(millis(until))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(RunRecord::read).collect()
    }

    /// When the first regular run before `run` started.
    pub async fn first_start_before(&self, run: &RunId) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let row = sqlx::query("SELECT MIN(started) AS first FROM runs WHERE kind = 'regular' AND run_id <> $1")
            .bind(run.0.clone())
            .fetch_one(&self.pool)
            .await?;
        sql::optional_instant(&row, "first")
    }

    /// The latest run that is under way: its process holds the run's lease.
    pub async fn run_under_way(&self, now: DateTime<Utc>) -> Result<Option<RunRecord>, LedgerError> {
        let statement = format!(
            "SELECT * FROM runs WHERE status = 'running' AND {ALIVE} ORDER BY run_no DESC, started DESC, run_id DESC LIMIT 1"
        );
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
            .bind(current.map_or_else(String::new, |run| run.0.clone()))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(RunRecord::read).collect()
    }

    /// The end of the last window that was read to its end: everything received before it has been recorded.
    pub async fn watermark(&self) -> Result<Option<DateTime<Utc>>, LedgerError> {
        self.get_meta_instant(WATERMARK).await
    }

    /// Up to when time has certainly passed, where anything was read: the watermark moves by the earlier of our clock and the source's. What
    /// is done for good because it is old enough goes by this, so that a clock that runs ahead makes nothing old.
    pub async fn certainly_passed(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, LedgerError> {
        Ok(self.watermark().await?.map(|read| read.min(now)))
    }

    pub(super) async fn get_meta_instant(&self, name: &str) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let Some(text) = self.get_meta(name).await? else { return Ok(None) };
        let instant = DateTime::parse_from_rfc3339(&text);
        let instant = instant.map_err(|error| LedgerError::Damaged(format!("the {name} {text:?}: {error}")))?;
        Ok(Some(instant.with_timezone(&Utc)))
    }

    /// Where the first regular window begins: of what was sent before it, the ledger knows nothing.
    pub async fn first_window(&self) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let row = sqlx::query("SELECT MIN(window_from) AS first FROM windows").fetch_one(&self.pool).await?;
        sql::optional_instant(&row, "first")
    }

    /// A regular window that was begun and not finished, for the next run to go on with.
    pub async fn open_window(&self) -> Result<Option<StoredWindow>, LedgerError> {
        let row = sqlx::query("SELECT * FROM windows WHERE state = 'open' ORDER BY window_from LIMIT 1")
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(StoredWindow {
            window: sql::window(&row)?,
            read_from: sql::instant(&row, "read_from")?,
            cursor: Cursor(sql::get(&row, "read_cursor")?),
        }))
    }

    /// Records that a regular window is begun.
    pub async fn begin_window(&self, run: &RunId, window: &StoredWindow) -> Result<(), LedgerError> {
        sqlx::query(
            "INSERT INTO windows (window_from, window_to, read_from, read_cursor, state, run_id)
             VALUES ($1, $2, $3, $4, 'open', $5)
             ON CONFLICT (window_from, window_to) DO UPDATE
             SET state = 'open', run_id = excluded.run_id, read_from = excluded.read_from, read_cursor = excluded.read_cursor",
        )
        .bind(millis(window.window.from))
        .bind(millis(window.window.to))
        .bind(millis(window.read_from))
        .bind(window.cursor.0)
        .bind(run.0.clone())
        .execute(self.writer()?)
        .await?;
        Ok(())
    }

    /// Records that a regular window was read to its end, and moves the watermark to it. The watermark never moves back.
    pub async fn finish_window(&self, window: Window) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        sqlx::query("UPDATE windows SET state = 'read' WHERE window_from = $1 AND window_to = $2")
            .bind(millis(window.from))
            .bind(millis(window.to))
            .execute(&mut *transaction)
            .await?;
        // RFC 3339 in UTC with milliseconds: text of one length, so that the greater text is the later time.
        let text = window.to.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        sqlx::query(
            "INSERT INTO meta (name, value) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE meta.value < excluded.value",
        )
        .bind(WATERMARK)
        .bind(text)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }
}
