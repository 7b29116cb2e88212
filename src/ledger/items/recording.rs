//! Recording what was staged, and what was found out about it: a page, or a batch of items, in one transaction.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::{Any, Transaction};

use super::{ItemState, PageRecord, Prepared};
use crate::convert::Manifest;
use crate::ledger::sql::{self, Dialect, MAX_STATEMENT_ROWS, millis, query_of, query_of_many, rows_of_placeholders};
use crate::ledger::{ItemNo, Ledger, LedgerError, NewDelivery, RunId, Target, captures, deliveries, retention};

impl Ledger {
    /// Records a page: its new items, the run's counts and the window's cursor, in one transaction. Returns the numbers
    /// of the items, in their order. The page must be staged.
    pub async fn record_page(&self, page: &PageRecord<'_>) -> Result<Vec<ItemNo>, LedgerError> {
        let mut transaction = self.begin().await?;
        let first = insert_items(&mut transaction, self.dialect, page).await?;
        if !page.items.is_empty() {
            retention::note_staged(&mut transaction, page.window).await?;
        }
        if let Some(name) = page.page.filter(|_| !page.items.is_empty()) {
            sqlx::query("INSERT INTO pages (run_id, page) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(page.run.0.clone())
                .bind(name.as_str().to_owned())
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query(
            "UPDATE runs SET available = available + $1, repeated = repeated + $2, late = late + $3,
               bytes_downloaded = bytes_downloaded + $4 WHERE run_id = $5",
        )
        .bind(page.items.len() as i64)
        .bind(page.repeated as i64)
        .bind(page.late as i64)
        .bind(page.bytes as i64)
        .bind(page.run.0.clone())
        .execute(&mut *transaction)
        .await?;
        if page.moves_cursor {
            sqlx::query(
                "UPDATE windows SET read_cursor = $1 WHERE window_from = $2 AND window_to = $3 AND read_cursor < $1",
            )
            .bind(page.next.0)
            .bind(millis(page.window.from))
            .bind(millis(page.window.to))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok((first..).take(page.items.len()).map(ItemNo).collect())
    }

    /// Records what became of items, in one transaction: their resolution, their message, their rows. Of the rows for
    /// mailboxes, those of which another capture is the first copy are marked as duplicates. Returns the rows that are the first.
    pub async fn record_prepared(
        &self,
        run: &RunId,
        now: DateTime<Utc>,
        prepared: &[Prepared],
    ) -> Result<HashSet<(ItemNo, Target)>, LedgerError> {
        let mut transaction = self.begin().await?;
        for chunk in prepared.chunks(MAX_STATEMENT_ROWS) {
            update_items(&mut transaction, self.dialect, chunk).await?;
            let messages: Vec<_> = chunk
                .iter()
                .filter_map(|item| item.message.as_ref().map(|(converter, manifest)| (item.no, *converter, manifest)))
                .collect();
            insert_messages(&mut transaction, self.dialect, &messages).await?;
        }
        for item in prepared.iter().filter(|item| !item.replaced.is_empty()) {
            deliveries::remove(&mut transaction, item.no, &item.replaced).await?;
        }
        let rows: Vec<(ItemNo, &NewDelivery)> =
            prepared.iter().flat_map(|item| item.deliveries.iter().map(|delivery| (item.no, delivery))).collect();
        let first = deliveries::insert(&mut transaction, self.dialect, run, now, &rows).await?;
        count_unmapped(&mut transaction, run, prepared).await?;
        let captures: Vec<_> = prepared.iter().filter_map(|item| Some((item.no, item.capture.as_ref()?))).collect();
        captures::record(&mut transaction, self.dialect, run, &captures).await?;
        transaction.commit().await?;
        Ok(first)
    }
}

/// Inserts a page's items and returns the number of the first.
async fn insert_items(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    page: &PageRecord<'_>,
) -> Result<i64, LedgerError> {
    let row =
        sqlx::query("SELECT COALESCE(MAX(item_no), 0) + 1 AS next FROM items").fetch_one(&mut **transaction).await?;
    let first: i64 = sql::get(&row, "next")?;
    let mut next = first;
    for chunk in page.items.chunks(MAX_STATEMENT_ROWS) {
        let statement = format!(
            "INSERT INTO items (item_no, item_key, item_id, message_id, owner, window_from, window_to, page,
               page_offset, page_length, staged_at, attachments, state, run_id, claim_holder, claim_until) VALUES {}",
            rows_of_placeholders(chunk.len(), 16)
        );
        let mut query = query_of_many(dialect, statement);
        for item in chunk {
            let attachments = if item.attachments.is_empty() { None } else { Some(sql::to_json(&item.attachments)?) };
            query = query
                .bind(next)
                .bind(item.key.0.as_bytes().to_vec())
                .bind(item.id.map(|id| id.0))
                .bind(item.message_id.clone())
                .bind(item.owner.clone())
                .bind(millis(page.window.from))
                .bind(millis(page.window.to))
                .bind(page.page.map(|page| page.as_str().to_owned()).unwrap_or_default())
                .bind(item.offset as i64)
                .bind(item.length as i64)
                .bind(millis(page.now))
                .bind(attachments)
                .bind(ItemState::Staged.name())
                .bind(page.run.0.clone())
                .bind(page.claim.0.0.clone())
                .bind(millis(page.claim.1));
            next += 1;
        }
        query.execute(&mut **transaction).await?;
    }
    Ok(first)
}

async fn update_items(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    chunk: &[Prepared],
) -> Result<(), LedgerError> {
    let row = |row: usize| {
        let place = |column: usize| row * 5 + column + 1;
        format!(
            "(CAST(${} AS BIGINT), CAST(${} AS TEXT), CAST(${} AS BLOB), CAST(${} AS TEXT), CAST(${} AS TEXT))",
            place(0),
            place(1),
            place(2),
            place(3),
            place(4)
        )
    };
    let rows: Vec<String> = (0..chunk.len()).map(row).collect();
    let statement = format!(
        "WITH done (item_no, state, identity, resolution, attachments) AS (VALUES {})
         UPDATE items SET state = done.state, identity = COALESCE(done.identity, items.identity),
           resolution = COALESCE(done.resolution, items.resolution),
           attachments = COALESCE(done.attachments, items.attachments), claim_holder = NULL, claim_until = NULL
         FROM done WHERE items.item_no = done.item_no",
        rows.join(", ")
    );
    let mut query = query_of_many(dialect, dialect.schema(&statement));
    for item in chunk {
        query = query
            .bind(item.no.0)
            .bind(item.state.name())
            .bind(item.identity.map(|identity| identity.0.as_bytes().to_vec()))
            .bind(item.resolution.as_ref().map(sql::to_json).transpose()?)
            .bind(item.attachments.as_ref().map(sql::to_json).transpose()?);
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

/// Records what conversions made.
pub(in crate::ledger) async fn insert_messages(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    messages: &[(ItemNo, &str, &Manifest)],
) -> Result<(), LedgerError> {
    if messages.is_empty() {
        return Ok(());
    }
    let statement = format!(
        "INSERT INTO messages (item_no, converter, manifest) VALUES {}
         ON CONFLICT (item_no, converter) DO UPDATE SET manifest = excluded.manifest",
        rows_of_placeholders(messages.len(), 3)
    );
    let mut query = query_of_many(dialect, statement);
    for (no, converter, manifest) in messages {
        query = query.bind(no.0).bind((*converter).to_owned()).bind(sql::to_json(manifest)?);
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

async fn count_unmapped(
    transaction: &mut Transaction<'_, Any>,
    run: &RunId,
    prepared: &[Prepared],
) -> Result<(), LedgerError> {
    let mut counts: HashMap<&str, i64> = HashMap::new();
    for participant in prepared.iter().flat_map(|item| &item.unmapped) {
        *counts.entry(participant).or_default() += 1;
    }
    let counts: Vec<(&str, i64)> = counts.into_iter().collect();
    for chunk in counts.chunks(MAX_STATEMENT_ROWS) {
        let statement = format!(
            "INSERT INTO unmapped (run_id, participant, items) VALUES {}
             ON CONFLICT (run_id, participant) DO UPDATE SET items = unmapped.items + excluded.items",
            rows_of_placeholders(chunk.len(), 3)
        );
        let mut query = query_of(statement);
        for (participant, items) in chunk {
            query = query.bind(run.0.clone()).bind((*participant).to_owned()).bind(*items);
        }
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}
