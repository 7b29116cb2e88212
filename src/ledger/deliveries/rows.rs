//! The rows of items, whoever they are for: made, replaced, given up and counted.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::{Any, Transaction};

use super::{DeliveryRow, DeliveryState, NewDelivery, OpenCounts};
use crate::fault::Reason;
use crate::ledger::sql::{
    self, Dialect, ROWS, list_of_placeholders, millis, query_of, query_of_many, rows_of_placeholders,
};
use crate::ledger::{ItemNo, Ledger, LedgerError, RunId};
use crate::resolve::ResolvedBy;

impl Ledger {
    /// Fails what was pending for longer than `retry.give_up`: copies that are not sent, or could not be looked up, and
    /// participants whom the directory did not answer for, in rows of `run` that were made before `before`. A replay looks
    /// these copies up before it sends them.
    pub async fn give_up(&self, run: &RunId, before: DateTime<Utc>) -> Result<u64, LedgerError> {
        let result = sqlx::query(
            "UPDATE deliveries SET state = 'failed', reason = 'mailbox_unavailable'
             WHERE run_id = $1 AND state IN ('pending', 'unknown') AND created < $2
               AND (mailbox_id IS NOT NULL OR target LIKE 'participant:%')",
        )
        .bind(run.0.clone())
        .bind(millis(before))
        .execute(&self.pool)
        .await?;
        Ok(result.rows_affected())
    }

    /// The rows of items.
    pub async fn rows_of(&self, items: &[ItemNo]) -> Result<Vec<DeliveryRow>, LedgerError> {
        let mut found = Vec::new();
        for chunk in items.chunks(ROWS) {
            let statement = format!(
                "SELECT item_no, target, state, reason, created FROM deliveries WHERE item_no IN {} ORDER BY item_no, target",
                list_of_placeholders(1, chunk.len())
            );
            let mut query = query_of_many(self.dialect, statement);
            for item in chunk {
                query = query.bind(item.0);
            }
            for row in query.fetch_all(&self.pool).await? {
                found.push(DeliveryRow {
                    no: ItemNo(sql::get(&row, "item_no")?),
                    target: sql::get(&row, "target")?,
                    state: DeliveryState::from_name(&sql::get::<String>(&row, "state")?)?,
                    reason: sql::get(&row, "reason")?,
                    created: sql::instant(&row, "created")?,
                });
            }
        }
        Ok(found)
    }

    /// Gives each item of a run that was not prepared before the run ended a pending row of its own, so that the run's
    /// account holds every item. The next run prepares it and takes the row away.
    pub async fn account_for_unprepared(&self, run: &RunId, now: DateTime<Utc>) -> Result<(), LedgerError> {
        sqlx::query(
            "INSERT INTO deliveries (item_no, target, first, state, detail, run_id, created)
             SELECT item_no, 'item', 1, 'pending', 'the run ended before its turn', $1, $2 FROM items
             WHERE run_id = $1 AND state = 'staged' ON CONFLICT DO NOTHING",
        )
        .bind(run.0.clone())
        .bind(millis(now))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What a run's account has pending: items for which the directory gave no answer, and copies for mailboxes.
    pub async fn pending_of(&self, run: &RunId) -> Result<(u64, u64), LedgerError> {
        let row = sqlx::query(
            "SELECT COUNT(CASE WHEN deliveries.mailbox_id IS NULL AND items.state = 'prepared' THEN 1 END) AS unanswered,
               COUNT(deliveries.mailbox_id) AS unsent
             FROM deliveries JOIN items ON items.item_no = deliveries.item_no
             WHERE deliveries.run_id = $1 AND deliveries.state IN ('ready', 'sending', 'unknown', 'pending')",
        )
        .bind(run.0.clone())
        .fetch_one(&self.pool)
        .await?;
        let unsigned = |value: i64| u64::try_from(value).unwrap_or_default();
        Ok((unsigned(sql::get(&row, "unanswered")?), unsigned(sql::get(&row, "unsent")?)))
    }

    /// What is open in the whole ledger.
    pub async fn open_counts(&self) -> Result<OpenCounts, LedgerError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS pending, MIN(created) AS oldest FROM deliveries
             WHERE state IN ('ready', 'sending', 'unknown', 'pending')",
        )
        .fetch_one(&self.pool)
        .await?;
        let held = sqlx::query(
            "SELECT COUNT(DISTINCT item_no) AS held FROM deliveries WHERE state = 'failed' AND released IS NULL",
        )
        .fetch_one(&self.pool)
        .await?;
        let unsigned = |value: i64| u64::try_from(value).unwrap_or_default();
        Ok(OpenCounts {
            pending: unsigned(sql::get(&row, "pending")?),
            oldest_pending: sql::optional_instant(&row, "oldest")?,
            held: unsigned(sql::get(&held, "held")?),
        })
    }
}

/// Inserts rows; of those for mailboxes, tells which are the first of their message there.
pub(in crate::ledger) async fn insert(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    run: &RunId,
    now: DateTime<Utc>,
    rows: &[(ItemNo, &NewDelivery)],
) -> Result<HashSet<(ItemNo, String)>, LedgerError> {
    let mut first = HashSet::new();
    for chunk in rows.chunks(ROWS) {
        first.extend(insert_chunk(transaction, dialect, run, now, chunk, true).await?);
        let others: Vec<_> =
            chunk.iter().copied().filter(|(no, row)| !first.contains(&(*no, row.target.name()))).collect();
        if !others.is_empty() {
            insert_chunk(transaction, dialect, run, now, &others, false).await?;
        }
    }
    Ok(first)
}

async fn insert_chunk(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    run: &RunId,
    now: DateTime<Utc>,
    rows: &[(ItemNo, &NewDelivery)],
    first: bool,
) -> Result<Vec<(ItemNo, String)>, LedgerError> {
    // A conflict is either another capture that is the first copy, or a row of this item that is there already and stays.
    let statement = format!(
        "INSERT INTO deliveries (item_no, target, mailbox_id, mailbox, resolved_by, identity, first, state, reason,
           detail, run_id, created, holder, converter) VALUES {} ON CONFLICT DO NOTHING RETURNING item_no, target",
        rows_of_placeholders(rows.len(), 14)
    );
    let mut query = query_of_many(dialect, statement);
    for (no, row) in rows {
        let (mailbox, by) = row.mailbox.as_ref().map(|(mailbox, by)| (mailbox, *by)).unzip();
        // A duplicate is never on its way, and never there: it waits for the first copy.
        let state = if first { row.state } else { waiting(row.state) };
        query = query
            .bind(no.0)
            .bind(row.target.name())
            .bind(mailbox.map(|mailbox| mailbox.id.0.clone()))
            .bind(mailbox.map(|mailbox| mailbox.address.clone()))
            .bind(by.map(|by| if by == ResolvedBy::Csv { "csv" } else { "email" }))
            .bind(row.identity.map(|identity| identity.0.as_bytes().to_vec()))
            .bind(i64::from(first))
            .bind(state.name())
            .bind(row.reason.map(Reason::name))
            .bind(row.detail.clone())
            .bind(run.0.clone())
            .bind(millis(row.since.unwrap_or(now)))
            .bind(row.holder.as_ref().filter(|_| first).map(|holder| holder.0.clone()))
            .bind(row.converter);
    }
    let rows = query.fetch_all(&mut **transaction).await?;
    rows.iter().map(|row| Ok((ItemNo(sql::get(row, "item_no")?), sql::get(row, "target")?))).collect()
}

fn waiting(state: DeliveryState) -> DeliveryState {
    if matches!(state, DeliveryState::Sending | DeliveryState::Unknown) { DeliveryState::Ready } else { state }
}

/// Removes rows whose place others take.
pub(in crate::ledger) async fn remove(
    transaction: &mut Transaction<'_, Any>,
    item: ItemNo,
    targets: &[String],
) -> Result<(), LedgerError> {
    let statement = format!(
        "DELETE FROM deliveries WHERE item_no = $1 AND state IN ('pending', 'failed') AND target IN {}",
        list_of_placeholders(2, targets.len())
    );
    let mut query = query_of(statement).bind(item.0);
    for target in targets {
        query = query.bind(target.clone());
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}
