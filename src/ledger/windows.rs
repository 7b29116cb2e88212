//! The windows that regular runs read, and the watermark.

use chrono::{DateTime, Utc};

use super::sql::{self, millis};
use super::{Ledger, LedgerError, RunId};
use crate::source::Cursor;
use crate::window::Window;

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

impl Ledger {
    /// The end of the last window that was read to its end: everything received before it has been recorded.
    pub async fn watermark(&self) -> Result<Option<DateTime<Utc>>, LedgerError> {
        self.get_meta_instant(WATERMARK).await
    }

    /// Up to when time has certainly passed, where anything was read: the watermark moves by the earlier of our clock and the source's. What
    /// is done for good because it is old enough goes by this, so that a clock that runs ahead makes nothing old.
    pub async fn certainly_passed(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, LedgerError> {
        Ok(self.watermark().await?.map(|read| read.min(now)))
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
        .bind(&run.0)
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
