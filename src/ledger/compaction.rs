//! Moves what a ledger of before schema 7 holds into the tables of today, a batch a transaction: whoever is broken off goes on where it was,
//! several processes that start at once take turns, and an older program, which would miss its tables, refuses the ledger as a newer one.

use std::collections::BTreeSet;

use sqlx::any::AnyRow;
use sqlx::{Any, AnyPool, Transaction};

use super::deliveries::remote_id;
use super::names::{self, Numbers};
use super::sql::{self, Dialect, MAX_STATEMENT_ROWS, query_of, query_of_many, rows_of_placeholders};
use super::{ItemNo, LedgerError, encoding, messages, meta};
use crate::convert::Manifest;
use crate::resolution::Resolution;

/// Rows of one transaction.
const BATCH: i64 = 2000;

/// Moves what is left to be moved.
pub(super) async fn finish(pool: &AnyPool, dialect: Dialect) -> Result<(), LedgerError> {
    let (mut moved, begun) = (0, std::time::Instant::now());
    while let Some(rows) = step(pool, dialect, BATCH).await? {
        if moved == 0 && rows > 0 {
            tracing::info!(
                event = "ledger_migrating",
                "converting the ledger to a smaller form; nothing else happens until that is done"
            );
        }
        moved += rows;
    }
    if moved > 0 {
        let seconds = begun.elapsed().as_secs();
        tracing::info!(event = "ledger_migrated", rows = moved, seconds, "the ledger has been converted");
    }
    Ok(())
}

/// Moves one batch, in one transaction. Returns how many rows that were; nothing where there is nothing to do any more.
async fn step(pool: &AnyPool, dialect: Dialect, batch: i64) -> Result<Option<u64>, LedgerError> {
    let mut transaction = pool.begin_with(dialect.begin()).await?;
    dialect.wait_for_turn(&mut transaction).await?;
    if meta::get(&mut transaction, "compacting").await?.is_none() {
        transaction.rollback().await?;
        return Ok(None);
    }
    let mut moved = move_items(&mut transaction, dialect, batch).await?;
    if moved == 0 {
        moved = move_messages(&mut transaction, dialect, batch).await?;
    }
    if moved == 0 {
        moved = move_deliveries(&mut transaction, dialect, batch).await?;
    }
    if moved == 0 {
        for statement in [
            "DROP TABLE old_items",
            "DROP TABLE old_messages",
            "DROP TABLE old_deliveries",
            "DELETE FROM meta WHERE name = 'compacting'",
        ] {
            sqlx::query(statement).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await?;
    Ok(Some(moved))
}

/// Where an item lies: a page, as it was recorded.
#[derive(PartialEq)]
struct Page {
    run_no: i64,
    window: (i64, i64),
    name: String,
    staged_at: i64,
}

async fn move_items(transaction: &mut Transaction<'_, Any>, dialect: Dialect, batch: i64) -> Result<u64, LedgerError> {
    let rows = sqlx::query(
        "SELECT old_items.*, runs.run_no, names.name_no AS owner_no
         FROM old_items LEFT JOIN runs ON runs.run_id = old_items.run_id LEFT JOIN names ON names.name = old_items.owner
         ORDER BY old_items.item_no LIMIT $1",
    )
    .bind(batch)
    .fetch_all(&mut **transaction)
    .await?;
    let Some(last) = rows.last() else { return Ok(0) };
    let last: i64 = sql::get(last, "item_no")?;
    let resolutions = rows.iter().map(old_resolution).collect::<Result<Vec<_>, _>>()?;
    let numbers = {
        let names: BTreeSet<&str> = resolutions.iter().flatten().flat_map(encoding::names).collect();
        names::intern(transaction, dialect, &names).await?
    };
    let pages = move_pages(transaction, &rows).await?;
    let rows: Vec<(&AnyRow, i64, Option<Resolution>)> =
        rows.iter().zip(pages).zip(resolutions).map(|((row, page), resolution)| (row, page, resolution)).collect();
    for chunk in rows.chunks(MAX_STATEMENT_ROWS) {
        insert_items(transaction, dialect, chunk, &numbers).await?;
    }
    forget(transaction, "old_items", last, rows.len() as u64).await?;
    Ok(rows.len() as u64)
}

fn old_resolution(row: &AnyRow) -> Result<Option<Resolution>, LedgerError> {
    let text: Option<String> = sql::get(row, "resolution")?;
    text.map(|text| sql::json(&text, "resolution")).transpose()
}

/// Records the pages of items. Returns the number of each item's page.
async fn move_pages(transaction: &mut Transaction<'_, Any>, rows: &[AnyRow]) -> Result<Vec<i64>, LedgerError> {
    let last = sqlx::query("SELECT * FROM pages ORDER BY page_no DESC LIMIT 1");
    let last = last.fetch_optional(&mut **transaction).await?;
    let mut current: Option<(i64, Page)> = match &last {
        Some(row) => Some((sql::get(row, "page_no")?, page_of(row)?)),
        None => None,
    };
    let mut numbers = Vec::with_capacity(rows.len());
    let mut ends: Option<i64> = None;
    for row in rows {
        let page = page_of(row)?;
        let item: i64 = sql::get(row, "item_no")?;
        let number = match current.take() {
            Some((number, of)) if of == page => {
                current = Some((number, of));
                number
            }
            before => {
                if let (Some((number, _)), Some(end)) = (&before, ends) {
                    end_page(transaction, *number, end).await?;
                }
                let number = before.map_or(1, |(number, _)| number + 1);
                begin_page(transaction, number, &page, item).await?;
                current = Some((number, page));
                number
            }
        };
        ends = Some(item);
        numbers.push(number);
    }
    if let (Some((number, _)), Some(end)) = (&current, ends) {
        end_page(transaction, *number, end).await?;
    }
    Ok(numbers)
}

fn page_of(row: &AnyRow) -> Result<Page, LedgerError> {
    let run_no: Option<i64> = sql::get(row, "run_no")?;
    Ok(Page {
        run_no: run_no.ok_or_else(|| LedgerError::Damaged("an item of a run that is not there".to_owned()))?,
        window: (sql::get(row, "window_from")?, sql::get(row, "window_to")?),
        name: sql::get(row, "page")?,
        staged_at: sql::get(row, "staged_at")?,
    })
}

async fn begin_page(
    transaction: &mut Transaction<'_, Any>,
    number: i64,
    page: &Page,
    first_item: i64,
) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT INTO pages (page_no, run_no, window_from, window_to, page, staged_at, first_item, last_item)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
    )
    .bind(number)
    .bind(page.run_no)
    .bind(page.window.0)
    .bind(page.window.1)
    .bind(&page.name)
    .bind(page.staged_at)
    .bind(first_item)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn end_page(transaction: &mut Transaction<'_, Any>, number: i64, last_item: i64) -> Result<(), LedgerError> {
    sqlx::query("UPDATE pages SET last_item = $1 WHERE page_no = $2")
        .bind(last_item)
        .bind(number)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn insert_items(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    chunk: &[(&AnyRow, i64, Option<Resolution>)],
    numbers: &Numbers,
) -> Result<(), LedgerError> {
    let statement = format!(
        "INSERT INTO item_rows (item_no, page_no, page_offset, page_length, item_key, item_id, message_id, owner_no, state,
           attachments, claim_holder, claim_until, lacks_user, identity, resolution) VALUES {}",
        rows_of_placeholders(chunk.len(), 15)
    );
    let mut query = query_of_many(dialect, statement);
    for (row, page, resolution) in chunk {
        let encoded = resolution.as_ref().map(|resolution| encoding::of_resolution(resolution, numbers));
        query = query
            .bind(sql::get::<i64>(row, "item_no")?)
            .bind(*page)
            .bind(sql::get::<i64>(row, "page_offset")?)
            .bind(sql::get::<i64>(row, "page_length")?)
            .bind(sql::get::<Vec<u8>>(row, "item_key")?)
            .bind(sql::get::<Option<i64>>(row, "item_id")?)
            .bind(sql::get::<Option<String>>(row, "message_id")?)
            .bind(sql::get::<Option<i64>>(row, "owner_no")?)
            .bind(sql::get::<String>(row, "state")?)
            .bind(sql::get::<Option<String>>(row, "attachments")?)
            .bind(sql::get::<Option<String>>(row, "claim_holder")?)
            .bind(sql::get::<Option<i64>>(row, "claim_until")?)
            .bind(i64::from(resolution.as_ref().is_some_and(encoding::lacks_user)))
            .bind(sql::get::<Option<Vec<u8>>>(row, "identity")?)
            .bind(encoded.transpose()?);
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

async fn move_messages(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    batch: i64,
) -> Result<u64, LedgerError> {
    let Some(last) = end_of_batch(transaction, "old_messages", batch).await? else { return Ok(0) };
    let rows = sqlx::query("SELECT * FROM old_messages WHERE item_no <= $1").bind(last);
    let rows = rows.fetch_all(&mut **transaction).await?;
    let read = |row: &AnyRow| -> Result<(ItemNo, String, Manifest), LedgerError> {
        let manifest = sql::json(&sql::get::<String>(row, "manifest")?, "a manifest")?;
        Ok((ItemNo(sql::get(row, "item_no")?), sql::get(row, "converter")?, manifest))
    };
    let messages = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    for chunk in messages.chunks(MAX_STATEMENT_ROWS) {
        let chunk: Vec<_> = chunk.iter().map(|(no, converter, manifest)| (*no, converter.as_str(), manifest)).collect();
        messages::insert(transaction, dialect, &chunk).await?;
    }
    forget(transaction, "old_messages", last, rows.len() as u64).await?;
    Ok(rows.len() as u64)
}

async fn move_deliveries(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    batch: i64,
) -> Result<u64, LedgerError> {
    let Some(last) = end_of_batch(transaction, "old_deliveries", batch).await? else { return Ok(0) };
    let statement = format!(
        "INSERT INTO delivery_rows (item_no, target_no, address_no, resolved_by, identity, first, state, reason, detail, run_no,
           created, attempts, settle_at, holder, converter, remote_id, released, sent_as)
         SELECT old.item_no, CASE WHEN old.mailbox_id IS NULL THEN -named.name_no ELSE named.name_no END, address.name_no,
           old.resolved_by, old.identity, old.first, old.state, old.reason, old.detail, runs.run_no, old.created,
           old.attempts, old.settle_at, old.holder, old.converter, {}, old.released, old.sent_as
         FROM old_deliveries AS old JOIN names AS named ON named.name = COALESCE(old.mailbox_id, old.target)
           LEFT JOIN names AS address ON address.name = old.mailbox JOIN runs ON runs.run_id = old.run_id
         WHERE old.item_no <= $1",
        remote_id::short(dialect, "old.remote_id", "COALESCE(old.sent_as, old.identity)")
    );
    let moved = query_of(statement).bind(last).execute(&mut **transaction).await?.rows_affected();
    forget(transaction, "old_deliveries", last, moved).await?;
    Ok(moved)
}

/// The last item of the next batch; nothing where the table is empty.
async fn end_of_batch(
    transaction: &mut Transaction<'_, Any>,
    table: &str,
    batch: i64,
) -> Result<Option<i64>, LedgerError> {
    let statement =
        format!("SELECT MAX(item_no) AS last FROM (SELECT item_no FROM {table} ORDER BY item_no LIMIT $1) AS batch");
    let row = query_of(statement).bind(batch).fetch_one(&mut **transaction).await?;
    sql::get(&row, "last")
}

/// Removes what was moved, and fails where that is not what there was.
async fn forget(transaction: &mut Transaction<'_, Any>, table: &str, last: i64, moved: u64) -> Result<(), LedgerError> {
    let statement = format!("DELETE FROM {table} WHERE item_no <= $1");
    let removed = query_of(statement).bind(last).execute(&mut **transaction).await?.rows_affected();
    if removed == moved {
        return Ok(());
    }
    Err(LedgerError::Damaged(format!("of {removed} rows of {table} up to item {last}, {moved} could be moved")))
}

#[cfg(test)]
mod tests;
