//! A ledger that a newer version wrote is refused, and what isn't what was written is told.

use sqlx::{AnyPool, Executor as _};
use whatsapp_archiver::ledger::{ItemNo, Ledger, LedgerError, QueueOf, RunKind};

use super::{Database, begin, copy, mailbox, new_item, page, prepared, run_id};

async fn change(database: &Database, statement: &'static str) {
    sqlx::any::install_default_drivers();
    let pool = AnyPool::connect(&database.url).await.unwrap();
    pool.execute(statement).await.unwrap();
    pool.close().await;
}

fn is_damaged<T>(result: &Result<T, LedgerError>) -> bool {
    matches!(result, Err(LedgerError::Damaged(_)))
}

async fn a_newer_schema_is_refused(database: Database) {
    database.open().await.close().await;
    change(&database, "UPDATE meta SET value = '1000' WHERE name = 'schema'").await;
    let refused = Ledger::open(&database.url).await;
    assert!(matches!(refused, Err(LedgerError::Newer { found: 1000, .. })), "{refused:?}");
    change(&database, "UPDATE meta SET value = 'one' WHERE name = 'schema'").await;
    assert!(is_damaged(&Ledger::open(&database.url).await));
}

#[tokio::test]
async fn a_newer_schema_is_refused_by_sqlite() {
    a_newer_schema_is_refused(Database::sqlite()).await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_by_postgres() {
    a_newer_schema_is_refused(Database::postgres()).await;
}

#[tokio::test]
async fn a_file_that_was_deleted_or_replaced_under_the_process_is_written_to_no_more() {
    let database = Database::sqlite();
    let ledger = database.open().await;
    begin(&ledger, 1).await;
    let path = std::path::PathBuf::from(database.url.strip_prefix("sqlite://").unwrap());
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).unwrap();
    let begin_second =
        async || ledger.begin_run(&run_id(2), RunKind::Regular, &super::holder(2), "{}", super::at(0)).await;
    assert!(matches!(begin_second().await, Err(LedgerError::FileGone { .. })));
    std::fs::copy(&aside, &path).unwrap();
    let error = begin_second().await.unwrap_err().to_string();
    assert!(error.contains("another file is there now") && error.contains("ledger.db"), "{error}");
    std::fs::rename(&aside, &path).unwrap();
    begin_second().await.unwrap();
}

#[tokio::test]
async fn damaged_values_are_reported_and_not_guessed() {
    let database = Database::sqlite();
    let ledger = database.open().await;
    begin(&ledger, 1).await;
    let no = page(&ledger, 1, &[new_item(1)], super::at(60)).await[0];
    let ready = whatsapp_archiver::ledger::DeliveryState::Ready;
    ledger.record_prepared(&run_id(1), super::at(0), &[prepared(no, vec![copy(1, 1, ready)])]).await.unwrap();
    let items = async || ledger.items(&[no]).await;
    let queue = async || ledger.queue(&run_id(1), &mailbox(1).id, QueueOf::Ready, ItemNo(0), 9).await;
    let run = async || ledger.run(&run_id(1)).await;
    assert!(items().await.is_ok() && queue().await.is_ok() && run().await.is_ok());

    for statement in [
        "UPDATE item_rows SET item_key = x'00'",
        "UPDATE item_rows SET item_key = x'0000000000000000000000000000000000000000000000000000000000000000', state = 'odd'",
        "UPDATE item_rows SET state = 'staged'; UPDATE pages SET staged_at = 9223372036854775807",
        "UPDATE pages SET staged_at = 0; UPDATE item_rows SET page_offset = -1",
        "UPDATE item_rows SET page_offset = 0, attachments = '{'",
        "UPDATE item_rows SET attachments = NULL, resolution = x'0107'",
    ] {
        change(&database, statement).await;
        assert!(is_damaged(&items().await), "{statement}");
    }
    change(&database, "UPDATE delivery_rows SET identity = x'ff'").await;
    assert!(is_damaged(&queue().await));
    change(&database, "UPDATE delivery_rows SET state = 'sold'").await;
    assert!(is_damaged(&ledger.account(&run_id(1)).await));
    for statement in [
        "UPDATE runs SET kind = 'fun'",
        "UPDATE runs SET kind = 'regular', status = 'walking'",
        "UPDATE runs SET status = 'failed', available = -1",
        "UPDATE runs SET available = 0, started = 9223372036854775807",
    ] {
        change(&database, statement).await;
        assert!(is_damaged(&run().await), "{statement}");
    }
    ledger.set_meta("watermark", Some("yesterday")).await.unwrap();
    assert!(is_damaged(&ledger.watermark().await));
}

#[tokio::test]
async fn a_file_that_is_no_ledger_is_refused_with_its_name() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "remember the milk ".repeat(100)).unwrap();
    let below_a_file = path.join("ledger.db");
    for path in [path, below_a_file] {
        let url = format!("sqlite://{}", path.display());
        let error = Ledger::open(&url).await.unwrap_err().to_string();
        assert!(error.contains("ledger"), "{error}");
    }
}
