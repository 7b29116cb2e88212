//! Which windows lie in staging, which may be purged from it, and which of their items are kept as held copies.
//!
//! A window is `kept`, then `purging`, then `purged`. What is recorded when its purge begins (that each of its items has
//! its outcome, and which are held) is of one instant: an item that is replayed meanwhile is among the held ones. A copy that was
//! imported is doubted either before that instant, or not at all.

use chrono::{DateTime, Utc};
use sqlx::{Any, Row as _, Transaction};

use super::sql::{self, Dialect, millis};
use super::{ItemNo, ItemRecord, Ledger, LedgerError};
use crate::item::ItemKey;
use crate::window::Window;

/// An item of a purged window that has a copy under `held/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldCopy {
    /// The item.
    pub no: ItemNo,
    /// Names the capture.
    pub key: ItemKey,
}

/// Whether a window (`$1`, `$2`) has an item without its outcome, or is still being read. The plus signs keep the search
/// on the small indexes of what is open, away from the large one of the window.
const UNACCOUNTED: &str = "SELECT CAST(CASE WHEN
      EXISTS (SELECT 1 FROM windows WHERE window_from = $1 AND window_to = $2 AND state = 'open')
      OR EXISTS (SELECT 1 FROM items_in_words WHERE state <> 'prepared' AND +window_from = $1 AND +window_to = $2)
      OR EXISTS (SELECT 1 FROM delivery_rows JOIN items_in_words AS items ON items.item_no = delivery_rows.item_no
           WHERE delivery_rows.state IN ('ready', 'sending', 'unknown', 'pending')
             AND +items.window_from = $1 AND +items.window_to = $2)
    THEN 1 ELSE 0 END AS BIGINT) AS open";

impl Ledger {
    /// Whether anything was ever staged with this ledger, purged by now or not.
    pub async fn has_staged_items(&self) -> Result<bool, LedgerError> {
        let found = sqlx::query("SELECT 1 AS found FROM staged_windows LIMIT 1").fetch_optional(&self.pool).await?;
        Ok(found.is_some())
    }

    /// The newest window with pages in staging that nobody has begun to purge.
    pub async fn newest_kept_window(&self) -> Result<Option<Window>, LedgerError> {
        let row = sqlx::query(
            "SELECT window_from, window_to FROM staged_windows WHERE state = 'kept' ORDER BY window_to DESC, window_from DESC LIMIT 1",
        )
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(sql::window).transpose()
    }

    /// Windows that lie in staging and ended at `cutoff` or before, to be looked at for a purge: oldest first, those
    /// that a retention policy kept before at the end.
    pub async fn purgeable_windows(&self, cutoff: DateTime<Utc>, limit: u32) -> Result<Vec<Window>, LedgerError> {
        let rows = sqlx::query(
            "SELECT window_from, window_to FROM staged_windows WHERE state <> 'purged' AND window_to <= $1
             ORDER BY COALESCE(refused, 0), window_from, window_to LIMIT $2",
        )
        .bind(millis(cutoff))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(sql::window).collect()
    }

    /// Begins the purge of a window, or goes on with it: records which of its items are held. False where an item has no
    /// outcome yet; then nothing is changed.
    pub async fn begin_purge(&self, window: Window) -> Result<bool, LedgerError> {
        let (from, to) = (millis(window.from), millis(window.to));
        let mut transaction = self.writer()?.begin_with(self.dialect.begin_snapshot()).await?;
        if let Some(lock) = self.dialect.lock_out_doubts() {
            sqlx::query(lock).execute(&mut *transaction).await?;
        }
        let open = sqlx::query(UNACCOUNTED).bind(from).bind(to).fetch_one(&mut *transaction).await?;
        if open.try_get::<i64, _>("open")? != 0 {
            return Ok(false);
        }
        for statement in [
            "UPDATE staged_windows SET state = 'purging' WHERE window_from = $1 AND window_to = $2",
            "INSERT INTO held_copies (item_no, window_from, window_to)
             SELECT items.item_no, items.window_from, items.window_to FROM items_in_words AS items
             WHERE items.window_from = $1 AND items.window_to = $2 AND items.item_no IN
               (SELECT item_no FROM delivery_rows WHERE state = 'failed' AND released IS NULL)
             ON CONFLICT DO NOTHING",
        ] {
            sqlx::query(statement).bind(from).bind(to).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// The held items of a window whose purge has begun, in order, after `after`.
    pub async fn held_of_window(
        &self,
        window: Window,
        after: ItemNo,
        limit: u32,
    ) -> Result<Vec<ItemRecord>, LedgerError> {
        let rows = sqlx::query(
            "SELECT items.* FROM held_copies JOIN items_in_words AS items ON items.item_no = held_copies.item_no
             WHERE held_copies.window_from = $1 AND held_copies.window_to = $2 AND held_copies.item_no > $3
             ORDER BY held_copies.item_no LIMIT $4",
        )
        .bind(millis(window.from))
        .bind(millis(window.to))
        .bind(after.0)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        self.read_items(&rows).await
    }

    /// A window's items that have attachments, in order, after `after`.
    pub async fn items_with_attachments(
        &self,
        window: Window,
        after: ItemNo,
        limit: u32,
    ) -> Result<Vec<ItemRecord>, LedgerError> {
        let (of_pages, condition) = ("window_from = $2 AND window_to = $3", "items.attachments IS NOT NULL");
        let rows = self.rows_of_pages("items.*", of_pages, condition, window, after, limit).await?;
        self.read_items(&rows).await
    }

    /// Records that nothing of a window is left in staging.
    pub async fn finish_purge(&self, window: Window, now: DateTime<Utc>) -> Result<(), LedgerError> {
        sqlx::query(
            "UPDATE staged_windows SET state = 'purged', purged = $3, refused = NULL
             WHERE window_from = $1 AND window_to = $2 AND state = 'purging'",
        )
        .bind(millis(window.from))
        .bind(millis(window.to))
        .bind(millis(now))
        .execute(self.writer()?)
        .await?;
        Ok(())
    }

    /// Records that a retention policy keeps a window. True where that is new.
    pub async fn note_purge_refused(&self, window: Window, now: DateTime<Utc>) -> Result<bool, LedgerError> {
        let mut transaction = self.begin().await?;
        let known = sqlx::query(
            "SELECT refused FROM staged_windows WHERE window_from = $1 AND window_to = $2 AND refused IS NOT NULL",
        )
        .bind(millis(window.from))
        .bind(millis(window.to))
        .fetch_optional(&mut *transaction)
        .await?;
        sqlx::query("UPDATE staged_windows SET refused = $3 WHERE window_from = $1 AND window_to = $2")
            .bind(millis(window.from))
            .bind(millis(window.to))
            .bind(millis(now))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(known.is_none())
    }

    /// Items of purged windows whose held copies nothing needs any more: all their rows have their outcome, and none
    /// failed that wasn't released. In order, after `after`.
    pub async fn obsolete_held_copies(&self, after: ItemNo, limit: u32) -> Result<Vec<HeldCopy>, LedgerError> {
        let rows = sqlx::query(
            "SELECT items.item_no, items.item_key FROM held_copies
             JOIN items_in_words AS items ON items.item_no = held_copies.item_no
             JOIN staged_windows ON staged_windows.window_from = held_copies.window_from
               AND staged_windows.window_to = held_copies.window_to AND staged_windows.state = 'purged'
             WHERE held_copies.item_no > $1 AND items.state = 'prepared' AND NOT EXISTS
               (SELECT 1 FROM delivery_rows WHERE delivery_rows.item_no = held_copies.item_no
                  AND (delivery_rows.state IN ('ready', 'sending', 'unknown', 'pending')
                       OR (delivery_rows.state = 'failed' AND delivery_rows.released IS NULL)))
             ORDER BY held_copies.item_no LIMIT $2",
        )
        .bind(after.0)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(HeldCopy { no: ItemNo(sql::get(row, "item_no")?), key: ItemKey(sql::digest(row, "item_key")?) })
            })
            .collect()
    }

    /// Records that an item has no held copy any more. Its window is gone through once more for what can be shrunk.
    pub async fn forget_held_copy(&self, item: ItemNo) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        for statement in [
            "UPDATE staged_windows SET shrink_from = NULL WHERE shrink_from IS NOT NULL AND (window_from, window_to) IN
               (SELECT window_from, window_to FROM held_copies WHERE item_no = $1)",
            "DELETE FROM held_copies WHERE item_no = $1",
        ] {
            sqlx::query(statement).bind(item.0).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// Records that something lies in staging under a window, whatever was purged of it before.
pub(super) async fn note_staged(transaction: &mut Transaction<'_, Any>, window: Window) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT INTO staged_windows (window_from, window_to, state) VALUES ($1, $2, 'kept')
         ON CONFLICT (window_from, window_to) DO UPDATE SET state = 'kept', shrink_from = NULL WHERE staged_windows.state <> 'kept'",
    )
    .bind(millis(window.from))
    .bind(millis(window.to))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

impl Dialect {
    /// A transaction whose statements all see the ledger as of one instant.
    fn begin_snapshot(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        }
    }

    /// Lets no copy be doubted before the transaction's end. As its first statement: the instant that such a transaction sees is that of
    /// the first one after it. SQLite has one writer at a time.
    fn lock_out_doubts(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("LOCK TABLE staged_windows IN EXCLUSIVE MODE"),
        }
    }

    /// Lets no purge begin before the transaction's end. As its first statement, so that no two wait for each other.
    pub(super) fn lock_out_purges(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("LOCK TABLE staged_windows IN ROW SHARE MODE"),
        }
    }
}
