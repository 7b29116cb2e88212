//! Giving up held items: their rows stay in every account as failed, and nothing is kept for a replay any more.

use chrono::{DateTime, Utc};

use super::actions::{self, ActionKind};
use super::items::is_one_of;
use super::sql::{self, millis};
use super::{ItemNo, Ledger, LedgerError};
use crate::reason::Reason;

/// Which held items: those that fit all that is stated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldSelection {
    /// Only these items.
    pub items: Option<Vec<ItemNo>>,
    /// Only those that failed for this reason.
    pub reason: Option<Reason>,
    /// Only those that were staged before this instant.
    pub before: Option<DateTime<Utc>>,
}

impl HeldSelection {
    /// The condition on a delivery. `$1` and `$2` are the reason and the instant.
    fn condition(&self) -> String {
        format!(
            "state = 'failed' AND released IS NULL AND {} AND (CAST($1 AS TEXT) IS NULL OR reason = $1)
             AND (CAST($2 AS BIGINT) IS NULL OR item_no IN (SELECT item_no FROM items_in_words WHERE staged_at < $2))",
            is_one_of(self.items.as_deref())
        )
    }
}

impl Ledger {
    /// How many held items a selection has, by reason.
    pub async fn held(&self, selection: &HeldSelection) -> Result<Vec<(String, u64)>, LedgerError> {
        let statement = format!(
            "SELECT COALESCE(reason, '') AS reason, COUNT(DISTINCT item_no) AS items FROM delivery_rows WHERE {}
             GROUP BY COALESCE(reason, '') ORDER BY 1",
            selection.condition()
        );
        let rows = sql::query_of(statement)
            .bind(selection.reason.map(Reason::name))
            .bind(selection.before.map(millis))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Ok((sql::get(row, "reason")?, sql::count(row, "items")?))).collect()
    }

    /// Gives up the failed rows of a selection and records the administrator's action, in one transaction. Returns how
    /// many rows there were. Their originals may be purged from now on, and they are not replayed any more.
    pub async fn release(
        &self,
        selection: &HeldSelection,
        user: Option<&str>,
        detail: &str,
        now: DateTime<Utc>,
    ) -> Result<u64, LedgerError> {
        let mut transaction = self.begin().await?;
        let rows = sql::query_of(format!("UPDATE delivery_rows SET released = $3 WHERE {}", selection.condition()))
            .bind(selection.reason.map(Reason::name))
            .bind(selection.before.map(millis))
            .bind(millis(now))
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        let detail = format!("{detail}: {rows} rows");
        actions::insert(&mut transaction, ActionKind::Release, user, &detail, now).await?;
        self.commit(transaction).await?;
        Ok(rows)
    }
}
