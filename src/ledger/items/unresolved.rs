//! Items of which a participant had no valid user: what a replay may add copies to, beside what failed.

use super::super::sql::{self, query_of, run_no};
use super::super::{ItemNo, Ledger, LedgerError};
use super::{ItemRecord, ItemSelection, PURGED, is_one_of};

impl Ledger {
    /// Prepared items that are still staged and have a participant without a valid user, in order, after `after`. Those
    /// that [`Ledger::select_items`] returns for the same selection are not among them, nor those that were released.
    pub async fn unresolved_items(
        &self,
        selection: &ItemSelection,
        after: ItemNo,
        limit: u32,
    ) -> Result<Vec<ItemRecord>, LedgerError> {
        let statement = format!(
            "SELECT * FROM items_in_words AS items WHERE item_no > $1 AND state = 'prepared' AND lacks_user = 1
               AND {} AND (CAST($2 AS TEXT) IS NULL OR run_no = {})
               AND NOT {PURGED} AND NOT EXISTS
               (SELECT 1 FROM delivery_rows WHERE delivery_rows.item_no = items.item_no
                  AND (delivery_rows.released IS NOT NULL OR (delivery_rows.state IN ('failed', 'pending')
                    AND (CAST($3 AS TEXT) IS NULL OR delivery_rows.reason = $3))))
             ORDER BY item_no LIMIT $4",
            is_one_of(selection.items.as_deref()),
            run_no(2)
        );
        let rows = query_of(statement)
            .bind(after.0)
            .bind(selection.run.as_ref().map(|run| &*run.0))
            .bind(selection.reason.map(crate::reason::Reason::name))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        self.read_items(&rows).await
    }

    /// The distinct participants that had no valid user in any run, as they came, in order, after `after`.
    pub async fn participants_without_user(&self, after: &str, limit: u32) -> Result<Vec<String>, LedgerError> {
        let rows = sqlx::query(
            "SELECT DISTINCT participant FROM unmapped WHERE participant > $1 ORDER BY participant LIMIT $2",
        )
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| sql::get(row, "participant")).collect()
    }
}
