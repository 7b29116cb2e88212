//! Recording what was staged, and what was found out about it: a page, or a batch of items, in one transaction.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::{Any, Transaction};

use super::{ItemState, PageRecord, Prepared};
use crate::convert::CONVERTER_VERSION;
use crate::ledger::names::Numbers;
use crate::ledger::sql::{
    self, Dialect, MAX_INDEXED, millis, query_of_rows, rows_of_placeholders, rows_of_typed_placeholders,
};
use crate::ledger::{
    ItemNo, Ledger, LedgerError, NewDelivery, RunId, Target, captures, deliveries, encoding, followers, messages,
    retention, runs,
};
use crate::staging::BlobName;

impl Ledger {
    /// Records a page: its new items, the run's counts and the window's cursor, in one transaction. Returns the numbers
    /// of the items, in their order. The page must be staged.
    pub async fn record_page(&self, page: &PageRecord<'_>) -> Result<Vec<ItemNo>, LedgerError> {
        let owners = self.numbers_of(page.items.iter().filter_map(|item| item.owner.as_deref())).await?;
        let mut transaction = self.begin().await?;
        self.confirm(&mut transaction, &owners).await?;
        // The run's row first, exclusively: two transactions that share it could not both change it.
        sqlx::query(
            "UPDATE runs SET available = available + $1, repeated = repeated + $2, late = late + $3,
               bytes_downloaded = bytes_downloaded + $4 WHERE run_id = $5",
        )
        .bind(page.items.len() as i64)
        .bind(page.repeated as i64)
        .bind(page.late as i64)
        .bind(page.bytes as i64)
        .bind(&page.run.0)
        .execute(&mut *transaction)
        .await?;
        followers::refuse_closed(&mut transaction, self.dialect, page.run).await?;
        let first = insert_items(&mut transaction, self.dialect, page, &owners).await?;
        if !page.items.is_empty() {
            retention::note_staged(&mut transaction, page.window).await?;
        }
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
        self.commit(transaction).await?;
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
        let numbers = self.numbers_of(prepared.iter().flat_map(names_of)).await?;
        let mut transaction = self.begin().await?;
        self.confirm(&mut transaction, &numbers).await?;
        followers::refuse_closed(&mut transaction, self.dialect, run).await?;
        let run_no = runs::number_of(&mut transaction, run).await?;
        for chunk in sql::pieces(prepared) {
            update_items(&mut transaction, self.dialect, chunk, &numbers).await?;
        }
        let converted: Vec<_> = prepared
            .iter()
            .filter_map(|item| item.message.as_ref().map(|manifest| (item.no, CONVERTER_VERSION, manifest)))
            .collect();
        messages::insert(&mut transaction, self.dialect, &converted).await?;
        for item in prepared.iter().filter(|item| !item.replaced.is_empty()) {
            deliveries::remove(&mut transaction, item.no, &item.replaced, &numbers).await?;
        }
        let rows: Vec<(ItemNo, &NewDelivery)> =
            prepared.iter().flat_map(|item| item.deliveries.iter().map(|delivery| (item.no, delivery))).collect();
        let first = deliveries::insert(&mut transaction, self.dialect, run_no, now, &rows, &numbers).await?;
        count_unmapped(&mut transaction, self.dialect, run_no, prepared).await?;
        let captures: Vec<_> = prepared.iter().filter_map(|item| Some((item.no, item.capture.as_ref()?))).collect();
        captures::record(&mut transaction, self.dialect, run, &captures).await?;
        self.commit(transaction).await?;
        Ok(first)
    }
}

/// The names that items need numbers for.
fn names_of(item: &Prepared) -> impl Iterator<Item = Cow<'_, str>> {
    let rows = item.deliveries.iter().flat_map(|row| {
        let address = row.mailbox.as_ref().map(|(mailbox, _)| Cow::Borrowed(mailbox.address.as_str()));
        std::iter::once(row.target.own_name()).chain(address)
    });
    let replaced = item.replaced.iter().map(Target::own_name);
    rows.chain(replaced).chain(item.resolution.iter().flat_map(encoding::names).map(Cow::Borrowed))
}

/// Inserts a page and its items, and returns the number of the first.
async fn insert_items(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    page: &PageRecord<'_>,
    owners: &Numbers,
) -> Result<i64, LedgerError> {
    let row = sqlx::query(
        "SELECT (SELECT COALESCE(MAX(item_no), 0) + 1 FROM item_rows) AS next,
           (SELECT COALESCE(MAX(page_no), 0) + 1 FROM pages) AS page_no",
    );
    let row = row.fetch_one(&mut **transaction).await?;
    let (first, page_no): (i64, i64) = (sql::get(&row, "next")?, sql::get(&row, "page_no")?);
    if page.items.is_empty() {
        return Ok(first);
    }
    insert_page(transaction, page, page_no, first).await?;
    let mut next = first;
    for chunk in sql::pieces(page.items) {
        let statement = format!(
            "INSERT INTO item_rows (item_no, page_no, item_key, item_id, message_id, owner_no, page_offset, page_length,
               attachments, state, claim_holder, claim_until) VALUES {}",
            rows_of_placeholders(chunk.len(), 12)
        );
        let mut query = query_of_rows(dialect, statement);
        for item in chunk {
            let attachments = if item.attachments.is_empty() { None } else { Some(sql::to_json(&item.attachments)?) };
            query = query
                .bind(next)
                .bind(page_no)
                .bind(item.key.0.as_bytes().as_slice())
                .bind(item.id.map(|id| id.0))
                .bind(&item.message_id)
                .bind(item.owner.as_deref().map(|owner| owners.of(owner)).transpose()?)
                .bind(item.offset as i64)
                .bind(item.length as i64)
                .bind(attachments)
                .bind(ItemState::Staged.name())
                .bind(&page.holder.0)
                .bind(millis(page.claim_until));
            next += 1;
        }
        query.execute(&mut **transaction).await?;
    }
    Ok(first)
}

async fn insert_page(
    transaction: &mut Transaction<'_, Any>,
    page: &PageRecord<'_>,
    page_no: i64,
    first_item: i64,
) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT INTO pages (page_no, run_no, window_from, window_to, page, staged_at, first_item, last_item)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(page_no)
    .bind(runs::number_of(transaction, page.run).await?)
    .bind(millis(page.window.from))
    .bind(millis(page.window.to))
    .bind(page.page.map(BlobName::as_str).unwrap_or_default())
    .bind(millis(page.now))
    .bind(first_item)
    .bind(first_item + page.items.len() as i64 - 1)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn update_items(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    chunk: &[Prepared],
    numbers: &Numbers,
) -> Result<(), LedgerError> {
    const TYPES: [&str; 6] = ["BIGINT", "TEXT", "BLOB", "BLOB", "BIGINT", "TEXT"];
    let statement = format!(
        "WITH done (item_no, state, identity, resolution, lacks_user, attachments) AS (VALUES {})
         UPDATE item_rows SET state = done.state, identity = COALESCE(done.identity, item_rows.identity),
           resolution = COALESCE(done.resolution, item_rows.resolution),
           lacks_user = COALESCE(done.lacks_user, item_rows.lacks_user),
           attachments = COALESCE(done.attachments, item_rows.attachments), claim_holder = NULL, claim_until = NULL
         FROM done WHERE item_rows.item_no = done.item_no",
        rows_of_typed_placeholders(chunk.len(), &TYPES)
    );
    let mut query = query_of_rows(dialect, dialect.schema(&statement));
    for item in chunk {
        let resolution = item.resolution.as_ref();
        query = query
            .bind(item.no.0)
            .bind(item.state.name())
            .bind(item.identity.map(|identity| identity.0.as_bytes().to_vec()))
            .bind(resolution.map(|resolution| encoding::of_resolution(resolution, numbers)).transpose()?)
            .bind(resolution.map(|resolution| i64::from(encoding::lacks_user(resolution))))
            .bind(item.attachments.as_ref().map(sql::to_json).transpose()?);
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

/// As much of a text as PostgreSQL's indexes take.
fn beginning(text: &str) -> &str {
    text.char_indices().nth(MAX_INDEXED).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

async fn count_unmapped(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    run_no: i64,
    prepared: &[Prepared],
) -> Result<(), LedgerError> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for participant in prepared.iter().flat_map(|item| &item.unmapped) {
        *counts.entry(beginning(participant)).or_default() += 1;
    }
    let counts: Vec<(&str, i64)> = counts.into_iter().collect();
    for chunk in sql::pieces(&counts) {
        let statement = format!(
            "INSERT INTO unmapped (run_no, participant, items) VALUES {}
             ON CONFLICT (run_no, participant) DO UPDATE SET items = unmapped.items + excluded.items",
            rows_of_placeholders(chunk.len(), 3)
        );
        let mut query = query_of_rows(dialect, statement);
        for (participant, items) in chunk {
            query = query.bind(run_no).bind(*participant).bind(*items);
        }
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}
