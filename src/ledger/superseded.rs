//! Whether another ledger has taken this one's place, or this one is a copy that isn't finished.

use sqlx::{Any, Transaction};

use super::{Ledger, LedgerError, meta};

/// In `meta` of a ledger that is a copy and isn't finished: the id of the ledger it is copied from.
pub(super) const UNFINISHED: &str = "unfinished_copy_of";

/// In `meta` of a ledger that was copied elsewhere: the address of the copy, which took its place.
pub(super) const SUPERSEDED: &str = "superseded_by";

impl Ledger {
    /// Fails where this ledger must not be worked on: it was copied elsewhere, or is itself a copy that isn't finished.
    pub(super) async fn refuse_unusable(&self) -> Result<(), LedgerError> {
        if let Some(by) = self.get_meta(SUPERSEDED).await? {
            return Err(LedgerError::Superseded { by });
        }
        match self.get_meta(UNFINISHED).await? {
            Some(_) => Err(LedgerError::UnfinishedCopy),
            None => Ok(()),
        }
    }
}

/// Fails where the ledger was copied elsewhere, also while this process had it open.
pub(super) async fn refuse(transaction: &mut Transaction<'_, Any>) -> Result<(), LedgerError> {
    match meta::get(transaction, SUPERSEDED).await? {
        Some(by) => Err(LedgerError::Superseded { by }),
        None => Ok(()),
    }
}
