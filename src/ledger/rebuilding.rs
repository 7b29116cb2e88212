//! What a rebuilt ledger remembers of its rebuilding.

use chrono::{DateTime, SecondsFormat, Utc};

use super::sql::{self, millis};
use super::windows::WATERMARK;
use super::{Ledger, LedgerError, RunId};
use crate::window::Window;

const KNOWS_FROM: &str = "knows_from";
const REBUILT_UNTIL: &str = "rebuilt_until";

impl Ledger {
    /// Whether the ledger can be rebuilt: it holds nothing but what an unfinished rebuild brought, and runs that failed
    /// before they read anything.
    pub async fn is_rebuildable(&self) -> Result<bool, LedgerError> {
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM windows)
               + (SELECT COUNT(*) FROM runs WHERE status IN ('complete', 'incomplete'))
               + (SELECT COUNT(*) FROM runs WHERE kind <> 'rebuild' AND EXISTS
                   (SELECT 1 FROM pages WHERE pages.run_no = runs.run_no)) AS found",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(sql::get::<i64>(&row, "found")? == 0)
    }

    /// The runs that rebuilt this ledger; none where it never was.
    pub async fn rebuild_runs(&self) -> Result<Vec<RunId>, LedgerError> {
        let rows = sqlx::query("SELECT run_id FROM runs WHERE kind = 'rebuild'").fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok(RunId(sql::get(row, "run_id")?))).collect()
    }

    /// From when on a rebuilt ledger knows everything that was received; nothing for one that never was rebuilt.
    pub async fn knows_from(&self) -> Result<Option<DateTime<Utc>>, LedgerError> {
        self.get_meta_instant(KNOWS_FROM).await
    }

    /// Whether a regular window was begun with this ledger, or found when it was rebuilt.
    pub async fn knows_window(&self, window: Window) -> Result<bool, LedgerError> {
        if self.get_meta_instant(REBUILT_UNTIL).await?.is_some_and(|until| window.from <= until) {
            return Ok(true);
        }
        let row = sqlx::query("SELECT state FROM windows WHERE window_from = $1 AND window_to = $2")
            .bind(millis(window.from))
            .bind(millis(window.to))
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }

    /// Records what a rebuilding found out: from when on the ledger knows everything, where the last regular window that it
    /// found begins, and where reading goes on.
    pub async fn finish_rebuilding(
        &self,
        knows_from: DateTime<Utc>,
        rebuilt_until: Option<DateTime<Utc>>,
        watermark: Option<DateTime<Utc>>,
    ) -> Result<(), LedgerError> {
        let text = |instant: DateTime<Utc>| instant.to_rfc3339_opts(SecondsFormat::Millis, true);
        self.set_meta(REBUILT_UNTIL, rebuilt_until.map(text).as_deref()).await?;
        self.set_meta(KNOWS_FROM, Some(&text(knows_from))).await?;
        self.set_meta(WATERMARK, watermark.map(text).as_deref()).await
    }
}
