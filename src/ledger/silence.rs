//! The history by which silence is noticed: what runs brought, and on which days owners had items.

use chrono::{DateTime, Duration, Utc};

use super::items::ITEMS_OF_PAGES;
use super::sql::{self, MAX_INDEXED};
use super::{Ledger, LedgerError, RunId};
use crate::window::{Window, day_of};

/// What one regular run read and brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadSpan {
    /// What it read.
    pub window: Window,
    /// Distinct items first seen in it.
    pub items: u64,
}

/// When an owner had items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerDays {
    /// The owner's number or name, as it came.
    pub owner: String,
    /// The days (since 1970, UTC) on which they had items, ascending.
    pub days: Vec<i64>,
}

/// How long the days of owners are remembered.
const RETENTION: Duration = Duration::days(60);

impl Ledger {
    /// What the latest regular runs that read to their end brought, newest first.
    pub async fn read_spans(&self, limit: u32) -> Result<Vec<ReadSpan>, LedgerError> {
        let rows = sqlx::query(
            "SELECT window_from, window_to, available FROM runs
             WHERE kind = 'regular' AND status IN ('complete', 'incomplete') AND window_to IS NOT NULL
             ORDER BY run_no DESC LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| Ok(ReadSpan { window: sql::window(row)?, items: sql::count(row, "available")? }))
            .collect()
    }

    /// Records on which days the owners of a run's items had some, and forgets days long past.
    pub async fn note_owners(&self, run: &RunId, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        sql::query_of(format!(
            "INSERT INTO owner_days (owner, day) SELECT SUBSTR(names.name, 1, {MAX_INDEXED}), found.day FROM
               (SELECT DISTINCT item_rows.owner_no, pages.window_from / 86400000 AS day FROM {ITEMS_OF_PAGES}
                WHERE pages.run_no = {}) AS found
             JOIN names ON names.name_no = found.owner_no WHERE true
             ON CONFLICT DO NOTHING",
            sql::run_no(1)
        ))
        .bind(&run.0)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("DELETE FROM owner_days WHERE day < $1")
            .bind(day_of(now - RETENTION))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The days of the owners that had items, but none since the day `since`.
    pub async fn owners_without_items_since(&self, since: i64) -> Result<Vec<OwnerDays>, LedgerError> {
        let rows = sqlx::query(
            "SELECT owner, day FROM owner_days
             WHERE owner IN (SELECT owner FROM owner_days GROUP BY owner HAVING MAX(day) < $1) ORDER BY owner, day",
        )
        .bind(since)
        .fetch_all(&self.pool)
        .await?;
        let mut owners: Vec<OwnerDays> = Vec::new();
        for row in &rows {
            let (owner, day): (String, i64) = (sql::get(row, "owner")?, sql::get(row, "day")?);
            match owners.last_mut().filter(|last| last.owner == owner) {
                Some(last) => last.days.push(day),
                None => owners.push(OwnerDays { owner, days: vec![day] }),
            }
        }
        Ok(owners)
    }
}
