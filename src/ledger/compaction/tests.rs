use std::path::Path;

use super::super::sql::Dialect;
use super::super::{Ledger, RunId};
use super::*;
use sqlx::Row as _;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ledger-v5/ledger.db");

fn url(folder: &Path) -> String {
    let path = folder.join("ledger.db");
    std::fs::copy(FIXTURE, &path).unwrap();
    format!("sqlite://{}", path.display())
}

/// All rows of the new tables, as SQLite writes their values; without what is random.
async fn content(pool: &AnyPool) -> Vec<String> {
    let mut all = Vec::new();
    for table in ["names", "pages", "item_rows", "messages", "delivery_rows", "unmapped"] {
        let columns =
            sqlx::query("SELECT name FROM pragma_table_info($1) WHERE name <> 'mark' ORDER BY cid").bind(table);
        let columns = columns.fetch_all(pool).await.unwrap();
        let quoted: Vec<String> = columns.iter().map(|row| format!("quote({})", row.get::<String, _>(0))).collect();
        let rows = query_of(format!("SELECT {} AS line FROM {table} ORDER BY 1", quoted.join(" || ',' || ")));
        let rows = rows.fetch_all(pool).await.unwrap();
        all.extend(rows.iter().map(|row| format!("{table}: {}", row.get::<String, _>("line"))));
    }
    all
}

/// Broken off after any number of transactions, and gone on with by other processes, it comes to the same.
#[tokio::test]
async fn a_move_that_was_broken_off_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let whole = Ledger::open(&url(folder.path())).await.unwrap();
    let expected = content(&whole.pool).await;
    assert!(expected.len() > 250, "{}", expected.len());
    whole.close().await;
    for (batch, steps) in [(7, 1), (7, 6), (7, 11), (7, 14), (7, 25), (1000, 1), (1000, 2), (1000, 3)] {
        let url = url(folder.path());
        let pool = super::super::open::connect(&url).await.unwrap();
        super::super::schema::migrate(&pool, Dialect::Sqlite, None).await.unwrap();
        for _ in 0..steps {
            assert!(step(&pool, Dialect::Sqlite, batch).await.unwrap().is_some(), "{batch} {steps}");
        }
        pool.close().await;
        let ledger = Ledger::open(&url).await.unwrap();
        let found = content(&ledger.pool).await;
        // A page that a batch divided is one page all the same.
        assert_eq!(found.len(), expected.len(), "{batch} {steps}");
        if batch == 1000 {
            assert_eq!(found, expected, "{batch} {steps}");
        }
        ledger.close().await;
    }
}

#[tokio::test]
async fn a_row_that_cant_be_moved_stops_it_and_stays() {
    for damage in [
        "UPDATE items SET run_id = 'nobody''s' WHERE item_no = 3",
        "UPDATE deliveries SET run_id = 'nobody''s' WHERE item_no = 3",
        "UPDATE items SET resolution = '{' WHERE item_no = 3",
        "UPDATE messages SET manifest = '{}' WHERE item_no = 3",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let url = url(folder.path());
        let pool = super::super::open::connect(&url).await.unwrap();
        assert!(sqlx::query(damage).execute(&pool).await.unwrap().rows_affected() > 0, "{damage}");
        pool.close().await;
        for _ in 0..2 {
            let opened = Ledger::open(&url).await;
            assert!(matches!(opened, Err(LedgerError::Damaged(_))), "{damage}: {opened:?}");
        }
    }
}

/// A new ledger has nothing to move, and none of the old tables.
#[tokio::test]
async fn a_new_ledger_has_none_of_the_old_tables() {
    let ledger = Ledger::open_in_memory().await.unwrap();
    let mut found: Vec<String> = sqlx::query("SELECT name FROM sqlite_master WHERE type = 'table'")
        .fetch_all(&ledger.pool)
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    found.sort_unstable();
    let mut known: Vec<&str> = super::super::schema::TABLES.iter().copied().chain(["meta"]).collect();
    known.sort_unstable();
    assert_eq!(found, known);
    assert!(ledger.run(&RunId("x".to_owned())).await.unwrap().is_none());
}
