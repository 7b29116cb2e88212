//! Shrinking what is accounted for (`ledger.retain`): of an item whose window is purged and long past, what a look-up, a comparison or a
//! replay would need goes; what recognises it again, finds it in its mailboxes and counts it stays.
//!
//! What goes: the manifests of its message, the record of its attachments, and of its resolution everything but who has which mailbox, where
//! one of its copies is the first of its message. (Whoever captures the message again may know a mailbox by another of its addresses; who had
//! it then says whether it is the same.) What stays: the item's keys and identity, all its deliveries, and whatever other tables say.
//!
//! An item is left whole as long as it is held, or anything of it may change. That is asked again in the transaction that shrinks it. An item
//! that is shrunk says so in its row, so that whoever misses its details knows why. One call is one transaction, and may be repeated:
//! a process that dies leaves each item either whole or shrunk.

use chrono::{DateTime, Utc};
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::deliveries::OPEN;
use super::sql::{self, MAX_STATEMENT_ROWS, list_of_placeholders, millis, query_of_many, rows_of_typed_placeholders};
use super::{ItemNo, Ledger, LedgerError, encoding};
use crate::window::Window;

/// What one step of shrinking came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shrunk {
    /// The last item that was looked at: the next step begins after it.
    pub last: ItemNo,
    /// Items that were shrunk.
    pub items: u64,
    /// Where items were left whole that are not held, the cutoff from which on they may be old enough.
    pub left_until: Option<DateTime<Utc>>,
}

/// Whether an item (of `item_rows`) may be shrunk: nothing of it changes any more, none of its copies was planned after the cutoff (the value of
/// that placeholder), and the runs that account for it have ended.
fn is_final(cutoff: usize) -> String {
    format!(
        "item_rows.state = 'prepared' AND NOT EXISTS
           (SELECT 1 FROM delivery_rows AS copies WHERE copies.item_no = item_rows.item_no
              AND (copies.{OPEN} OR copies.created > ${cutoff} OR copies.state = 'failed' AND copies.released IS NULL
                   OR copies.run_no IN (SELECT run_no FROM runs WHERE status = 'running')))
         AND NOT EXISTS (SELECT 1 FROM held_copies WHERE held_copies.item_no = item_rows.item_no)"
    )
}

impl Ledger {
    /// Windows that are purged, ended at `cutoff` or before, and may have items that are whole, oldest first, after the window `after`.
    pub async fn shrinkable_windows(
        &self,
        cutoff: DateTime<Utc>,
        after: Option<Window>,
        limit: u32,
    ) -> Result<Vec<Window>, LedgerError> {
        let after = after.map_or((i64::MIN, i64::MIN), |after| (millis(after.to), millis(after.from)));
        let rows = sqlx::query(
            "SELECT window_from, window_to FROM staged_windows
             WHERE state = 'purged' AND window_to <= $1 AND COALESCE(shrink_from, 0) <= $1
               AND (window_to, window_from) > ($2, $3)
             ORDER BY window_to, window_from LIMIT $4",
        )
        .bind(millis(cutoff))
        .bind(after.0)
        .bind(after.1)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(sql::window).collect()
    }

    /// Shrinks the next items of a purged window, after `after`, as far as none of their copies was planned after `cutoff`. `None`: none are left
    /// that are whole and not held.
    pub async fn shrink_items(
        &self,
        window: Window,
        cutoff: DateTime<Utc>,
        after: ItemNo,
        limit: u32,
    ) -> Result<Option<Shrunk>, LedgerError> {
        const WHOLE: &str =
            "EXISTS (SELECT 1 FROM item_rows AS own WHERE own.item_no = items.item_no AND own.shrunk IS NULL)
             AND NOT EXISTS (SELECT 1 FROM held_copies WHERE held_copies.item_no = items.item_no)";
        let columns = "items.item_no, items.resolution,
            CAST(CASE WHEN EXISTS (SELECT 1 FROM delivery_rows WHERE delivery_rows.item_no = items.item_no
              AND delivery_rows.first = 1 AND delivery_rows.target_no > 0) THEN 1 ELSE 0 END AS BIGINT) AS has_first";
        let of_pages = "window_from = $2 AND window_to = $3";
        let rows = self.rows_of_pages(columns, of_pages, WHOLE, window, after, limit).await?;
        let Some(last) = rows.last() else { return Ok(None) };
        let last = ItemNo(sql::get(last, "item_no")?);
        let whole = rows.iter().map(Whole::read).collect::<Result<Vec<_>, _>>()?;

        let mut transaction = self.begin().await?;
        let mut shrunk = Shrunk { last, items: 0, left_until: None };
        for chunk in whole.chunks(MAX_STATEMENT_ROWS) {
            let items = self.shrink_chunk(&mut transaction, window, cutoff, chunk).await?;
            shrunk.items += items;
            if items < chunk.len() as u64 {
                let until = self.left_until(&mut transaction, chunk).await?.unwrap_or(cutoff);
                shrunk.left_until = shrunk.left_until.max(Some(until));
            }
        }
        transaction.commit().await?;
        Ok(Some(shrunk))
    }

    async fn shrink_chunk(
        &self,
        transaction: &mut Transaction<'_, Any>,
        window: Window,
        cutoff: DateTime<Utc>,
        chunk: &[Whole],
    ) -> Result<u64, LedgerError> {
        const TYPES: [&str; 2] = ["BIGINT", "BLOB"];
        let values = chunk.len() * TYPES.len();
        // A window under which something is staged anew is not purged any more, and keeps what it has.
        let statement = format!(
            "WITH done (item_no, resolution) AS (VALUES {})
             UPDATE item_rows SET shrunk = 1, attachments = NULL, lacks_user = 0, resolution = done.resolution FROM done
             WHERE item_rows.item_no = done.item_no AND item_rows.shrunk IS NULL AND {}
               AND EXISTS (SELECT 1 FROM staged_windows WHERE window_from = ${} AND window_to = ${} AND staged_windows.state = 'purged')",
            rows_of_typed_placeholders(chunk.len(), &TYPES),
            is_final(values + 1),
            values + 2,
            values + 3
        );
        let mut query = query_of_many(self.dialect, self.dialect.schema(&statement));
        for item in chunk {
            query = query.bind(item.no).bind(&item.kept);
        }
        let query = query.bind(millis(cutoff)).bind(millis(window.from)).bind(millis(window.to));
        let shrunk = query.execute(&mut **transaction).await?.rows_affected();
        let statement = format!(
            "DELETE FROM messages WHERE item_no IN {} AND EXISTS
               (SELECT 1 FROM item_rows WHERE item_rows.item_no = messages.item_no AND item_rows.shrunk = 1)",
            list_of_placeholders(1, chunk.len())
        );
        let mut query = query_of_many(self.dialect, statement);
        for item in chunk {
            query = query.bind(item.no);
        }
        query.execute(&mut **transaction).await?;
        Ok(shrunk)
    }

    /// When the last copy was planned of those items that were left whole.
    async fn left_until(
        &self,
        transaction: &mut Transaction<'_, Any>,
        chunk: &[Whole],
    ) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let statement = format!(
            "SELECT MAX(created) AS planned FROM delivery_rows WHERE item_no IN {} AND EXISTS
               (SELECT 1 FROM item_rows WHERE item_rows.item_no = delivery_rows.item_no AND item_rows.shrunk IS NULL)",
            list_of_placeholders(1, chunk.len())
        );
        let mut query = query_of_many(self.dialect, statement);
        for item in chunk {
            query = query.bind(item.no);
        }
        sql::optional_instant(&query.fetch_one(&mut **transaction).await?, "planned")
    }

    /// Records that a purged window was gone through: from which cutoff on it has items again that may be shrunk; none: it has no more.
    pub async fn finish_shrinking(&self, window: Window, left_until: Option<DateTime<Utc>>) -> Result<(), LedgerError> {
        sqlx::query(
            "UPDATE staged_windows SET shrink_from = $3 WHERE window_from = $1 AND window_to = $2 AND state = 'purged'",
        )
        .bind(millis(window.from))
        .bind(millis(window.to))
        .bind(left_until.map_or(i64::MAX, millis))
        .execute(self.writer()?)
        .await?;
        Ok(())
    }
}

/// An item that is to be shrunk.
struct Whole {
    no: i64,
    /// What is kept of its resolution.
    kept: Option<Vec<u8>>,
}

impl Whole {
    fn read(row: &AnyRow) -> Result<Self, LedgerError> {
        let resolution: Option<Vec<u8>> = sql::get(row, "resolution")?;
        let has_first = sql::get::<i64>(row, "has_first")? == 1;
        let kept = resolution.map(|bytes| encoding::only_mailboxes(&bytes)).transpose()?.flatten();
        let kept = kept.filter(|_| has_first);
        Ok(Self { no: sql::get(row, "item_no")?, kept })
    }
}
