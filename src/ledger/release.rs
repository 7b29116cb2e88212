//! Giving up held items: their rows stay in every account as failed, and nothing is kept for a replay any more.

use chrono::{DateTime, Utc};

use super::actions::{self, ActionKind};
use super::sql::{self, millis};
use super::{Ledger, LedgerError};
use crate::fault::Reason;
use crate::item::ItemId;

/// Which held items: those that fit all that is stated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldSelection {
    /// Only this item.
    pub item: Option<ItemId>,
    /// Only those that failed for this reason.
    pub reason: Option<Reason>,
    /// Only those that were staged before this instant.
    pub before: Option<DateTime<Utc>>,
}

/// `$1` to `$3` are the selection's members.
const SELECTED: &str = "state = 'failed' AND released IS NULL AND (CAST($2 AS TEXT) IS NULL OR reason = $2)
    AND item_no IN (SELECT item_no FROM items
      WHERE (CAST($1 AS BIGINT) IS NULL OR item_id = $1) AND (CAST($3 AS BIGINT) IS NULL OR staged_at < $3))";

impl Ledger {
    /// How many held items a selection has, by reason.
    pub async fn held(&self, selection: &HeldSelection) -> Result<Vec<(String, u64)>, LedgerError> {
        let statement = format!(
            "SELECT COALESCE(reason, '') AS reason, COUNT(DISTINCT item_no) AS items FROM deliveries WHERE {SELECTED}
             GROUP BY COALESCE(reason, '') ORDER BY 1"
        );
        let rows = sql::query_of(statement)
            .bind(selection.item.map(|item| item.0))
            .bind(selection.reason.map(|reason| reason.name().to_owned()))
            .bind(selection.before.map(millis))
            .fetch_all(&self.pool)
            .await?;
        let count = |value: i64| u64::try_from(value).unwrap_or_default();
        rows.iter().map(|row| Ok((sql::get(row, "reason")?, count(sql::get(row, "items")?)))).collect()
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
        let rows = sql::query_of(format!("UPDATE deliveries SET released = $4 WHERE {SELECTED}"))
            .bind(selection.item.map(|item| item.0))
            .bind(selection.reason.map(|reason| reason.name().to_owned()))
            .bind(selection.before.map(millis))
            .bind(millis(now))
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        let detail = format!("{detail}: {rows} rows");
        actions::insert(&mut transaction, ActionKind::Release, user, &detail, now).await?;
        transaction.commit().await?;
        Ok(rows)
    }
}
