//! What became of a transaction whose commit was not answered.

use sqlx::{Any, Row as _, Transaction};

use super::sql::{self, Dialect};
use super::{Ledger, LedgerError};

impl Ledger {
    /// Commits a transaction that would count twice if it were repeated after all. Where PostgreSQL doesn't answer, because the
    /// connection broke or another server took over, it is asked by another connection what became of it.
    ///
    /// Fails with [`LedgerError::CommitUnknown`] where that isn't to be known; after any other error nothing was written.
    pub(super) async fn commit(&self, mut transaction: Transaction<'_, Any>) -> Result<(), LedgerError> {
        if self.dialect == Dialect::Sqlite {
            return Ok(transaction.commit().await?);
        }
        // None where nothing was written.
        let number = sqlx::query("SELECT txid_current_if_assigned() AS number").fetch_one(&mut *transaction).await?;
        let number: Option<i64> = sql::get(&number, "number")?;
        match (transaction.commit().await, number) {
            (Err(error), Some(number)) => self.was_committed(number, error).await,
            (committed, _) => Ok(committed?),
        }
    }

    async fn was_committed(&self, number: i64, error: sqlx::Error) -> Result<(), LedgerError> {
        let status = sqlx::query("SELECT txid_status($1) AS status").bind(number).fetch_one(&self.pool).await;
        let status: Result<Option<String>, _> = status.and_then(|row| row.try_get("status"));
        match status.as_ref().map(Option::as_deref) {
            Ok(Some("committed")) => Ok(()),
            Ok(Some("aborted")) => Err(error.into()),
            // Still under way, forgotten, or in the future of the server that took over.
            Ok(_) | Err(_) => Err(LedgerError::CommitUnknown(error)),
        }
    }
}
