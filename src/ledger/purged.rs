//! Items that staging doesn't have any more: what is left to say of them.

use super::items::PURGED;
use super::sql::{self, query_of};
use super::{ItemNo, Ledger, LedgerError};
use crate::window::Window;

/// An item of a purged window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgedItem {
    /// The ledger's number.
    pub no: ItemNo,
    /// TeleMessage's number, else the SHA-256 of the item's JSON.
    pub name: String,
    /// The owner as the item names it, where it can be read.
    pub owner: Option<String>,
}

impl Ledger {
    /// Whether staging doesn't have an item any more.
    pub async fn is_purged(&self, item: ItemNo) -> Result<bool, LedgerError> {
        let statement = format!("SELECT 1 AS found FROM items_in_words AS items WHERE item_no = $1 AND {PURGED}");
        Ok(query_of(statement).bind(item.0).fetch_optional(&self.pool).await?.is_some())
    }

    /// Items staged under windows that overlap `window` and are purged, in order, after `after`.
    pub async fn purged_items(
        &self,
        window: Window,
        after: ItemNo,
        limit: u32,
    ) -> Result<Vec<PurgedItem>, LedgerError> {
        let rows = self
            .rows_of_window("items.item_no, items.item_id, items.item_key, items.owner", PURGED, window, after, limit)
            .await?;
        rows.iter()
            .map(|row| {
                let key = sql::digest(row, "item_key")?.to_string();
                let id = sql::get::<Option<i64>>(row, "item_id")?;
                let name = id.map_or(key, |id| id.to_string());
                Ok(PurgedItem { no: ItemNo(sql::get(row, "item_no")?), name, owner: sql::get(row, "owner")? })
            })
            .collect()
    }
}
