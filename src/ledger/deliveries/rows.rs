//! The rows of items, whoever they are for: read and counted.

use chrono::{DateTime, Utc};
use sqlx::any::AnyRow;

use super::{DeliveryRow, DeliveryState, OPEN, OpenCounts, OpenElsewhere, RowReason, Target, live_runs};
use crate::ledger::items::is_one_of;
use crate::ledger::sql::{self, MAX_STATEMENT_ROWS, list_of_placeholders, query_of, query_of_many};
use crate::ledger::{ItemNo, ItemSelection, Ledger, LedgerError, RunId};

impl Ledger {
    /// The rows of items.
    pub async fn rows_of(&self, items: &[ItemNo]) -> Result<Vec<DeliveryRow>, LedgerError> {
        let mut found = Vec::new();
        for chunk in items.chunks(MAX_STATEMENT_ROWS) {
            let statement = format!(
                "SELECT item_no, target, state, reason, created FROM deliveries_in_words WHERE item_no IN {} ORDER BY item_no, target",
                list_of_placeholders(1, chunk.len())
            );
            let mut query = query_of_many(self.dialect, statement);
            for item in chunk {
                query = query.bind(item.0);
            }
            for row in query.fetch_all(&self.pool).await? {
                let reason: Option<String> = sql::get(&row, "reason")?;
                found.push(DeliveryRow {
                    no: ItemNo(sql::get(&row, "item_no")?),
                    target: Target::read(&row)?,
                    state: DeliveryState::from_name(&sql::get::<String>(&row, "state")?)?,
                    reason: reason.as_deref().map(RowReason::from_name).transpose()?,
                    created: sql::instant(&row, "created")?,
                });
            }
        }
        Ok(found)
    }

    /// The open rows of a selection (its copies alone, or those of items that have none yet too) in the accounts of other runs than
    /// `run`, by the run that has them, the most first. A reason is of rows that failed: it selects no open ones.
    pub async fn open_elsewhere(
        &self,
        run: Option<&RunId>,
        selection: &ItemSelection,
        copies_alone: bool,
        now: DateTime<Utc>,
    ) -> Result<Vec<OpenElsewhere>, LedgerError> {
        if selection.reason.is_some() {
            return Ok(Vec::new());
        }
        let rows = query_of(format!(
            "SELECT runs.run_id, COUNT(*) AS found,
               CAST(MAX(CASE WHEN runs.run_no IN {} THEN 1 ELSE 0 END) AS BIGINT) AS under_way
             FROM delivery_rows JOIN runs ON runs.run_no = delivery_rows.run_no
             WHERE delivery_rows.{OPEN} AND {} AND {} AND runs.run_id <> $1
               AND (CAST($2 AS TEXT) IS NULL OR runs.run_id = $2)
             GROUP BY runs.run_id ORDER BY found DESC, runs.run_id",
            live_runs(now),
            if copies_alone { "target_no > 0" } else { "1 = 1" },
            is_one_of(selection.items.as_deref()),
        ))
        .bind(run.map(|run| &*run.0).unwrap_or_default())
        .bind(selection.run.as_ref().map(|run| &*run.0))
        .fetch_all(&self.pool)
        .await?;
        let read = |row: &AnyRow| {
            let is_under_way = sql::get::<i64>(row, "under_way")? == 1;
            Ok(OpenElsewhere { run: RunId(sql::get(row, "run_id")?), is_under_way, rows: sql::count(row, "found")? })
        };
        rows.iter().map(read).collect()
    }

    /// What is open in the whole ledger.
    pub async fn open_counts(&self) -> Result<OpenCounts, LedgerError> {
        let row =
            query_of(format!("SELECT COUNT(*) AS pending, MIN(created) AS oldest FROM delivery_rows WHERE {OPEN}"))
                .fetch_one(&self.pool)
                .await?;
        let held = sqlx::query(
            "SELECT COUNT(DISTINCT item_no) AS held FROM delivery_rows WHERE state = 'failed' AND released IS NULL",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(OpenCounts {
            pending: sql::count(&row, "pending")?,
            oldest_pending: sql::optional_instant(&row, "oldest")?,
            held: sql::count(&held, "held")?,
        })
    }
}
