//! The rows of items, whoever they are for: read and counted.

use chrono::{DateTime, Utc};

use super::{DeliveryRow, DeliveryState, OPEN, OpenCounts, RowReason, Target, live_runs};
use crate::ledger::sql::{self, MAX_STATEMENT_ROWS, list_of_placeholders, query_of, query_of_many, run_no};
use crate::ledger::{ItemNo, Ledger, LedgerError, RunId};

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

    /// How many open rows (of copies alone, or of items that have none yet too) are in the account of no run that is under way,
    /// and not in that of `run`: nobody works on them now.
    pub async fn unclaimed_rows(
        &self,
        run: &RunId,
        copies_alone: bool,
        now: DateTime<Utc>,
    ) -> Result<u64, LedgerError> {
        let row = query_of(format!(
            "SELECT COUNT(*) AS found FROM delivery_rows WHERE {OPEN} AND {} AND +run_no <> {} AND run_no NOT IN {}",
            if copies_alone { "target_no > 0" } else { "1 = 1" },
            run_no(1),
            live_runs(now)
        ))
        .bind(run.0.clone())
        .fetch_one(&self.pool)
        .await?;
        sql::count(&row, "found")
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
