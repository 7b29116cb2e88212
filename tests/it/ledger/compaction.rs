//! A ledger of before schema 7, in both databases: what it says is what it said, and its run goes on where it was killed.
//!
//! `tests/fixtures/ledger-v5/` is of the sample export: a first run over its first day, and a second one that was killed while it sent.
//! `postgresql.sql` is the same ledger in the other database.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{TimeZone as _, Utc};
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Connection as _, Row as _};
use tokio_util::sync::CancellationToken;
use whatsapp_archiver::app::{App, LedgerUse, TablesUse};
use whatsapp_archiver::clock::SystemClock;
use whatsapp_archiver::config::{Config, NeededSecrets};
use whatsapp_archiver::ledger::{ItemName, ItemNo, Ledger, LedgerError, RunId};
use whatsapp_archiver::pipeline::RunRequest;

use super::Database;
use crate::oracle;

const ITEMS: i64 = 70;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ledger-v5")
}

/// The fixture's database, as it was written.
async fn before() -> (tempfile::TempDir, AnyPool) {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixture().join("ledger.db"), folder.path().join("ledger.db")).unwrap();
    sqlx::any::install_default_drivers();
    let pool = AnyPool::connect(&format!("sqlite://{}", folder.path().join("ledger.db").display())).await.unwrap();
    (folder, pool)
}

fn on_sqlite() -> Database {
    let database = Database::sqlite();
    fs::copy(fixture().join("ledger.db"), database.url.strip_prefix("sqlite://").unwrap()).unwrap();
    database
}

async fn on_postgres() -> Database {
    let database = Database::postgres();
    let script = fs::read_to_string(fixture().join("postgresql.sql")).unwrap();
    let mut connection = sqlx::PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    leave_until(&database, 0).await;
    database
}

/// Has the leases of the processes that left the fixture run out at this instant (epoch milliseconds).
async fn leave_until(database: &Database, until: i64) {
    sqlx::any::install_default_drivers();
    let pool = AnyPool::connect(&database.url).await.unwrap();
    sqlx::query("UPDATE leases SET until = $1").bind(until).execute(&pool).await.unwrap();
    pool.close().await;
}

fn cell(row: &AnyRow, place: usize) -> String {
    let number = || row.try_get::<Option<i64>, _>(place).map(|value| format!("{value:?}"));
    let text = || row.try_get::<Option<String>, _>(place).map(|value| format!("{value:?}"));
    let bytes = || row.try_get::<Option<Vec<u8>>, _>(place).map(|value| format!("{:?}", value.map(hex::encode)));
    number().or_else(|_| text()).or_else(|_| bytes()).unwrap()
}

/// The rows of a query, in an order that no database decides.
async fn rows(pool: &AnyPool, query: &str) -> Vec<Vec<String>> {
    let found = sqlx::query(sqlx::AssertSqlSafe(query.to_owned())).fetch_all(pool).await.unwrap();
    let mut rows: Vec<Vec<String>> =
        found.iter().map(|row| (0..row.len()).map(|place| cell(row, place)).collect()).collect();
    rows.sort_unstable();
    rows
}

/// What is asked of the old tables, and what must give the same today.
const SAME: [(&str, &str); 5] = [
    (
        "SELECT item_no, item_key, item_id, message_id, owner, window_from, window_to, page, page_offset, page_length, staged_at,
           attachments, state, run_id, claim_holder, claim_until, identity FROM items",
        "",
    ),
    (
        "SELECT item_no, target, mailbox_id, mailbox, resolved_by, identity, first, state, reason, detail, run_id, created,
           attempts, settle_at, holder, converter, remote_id, released FROM deliveries",
        "",
    ),
    (
        "SELECT run_id, participant, items FROM unmapped",
        "SELECT run_id, participant, items FROM unmapped JOIN runs ON runs.run_no = unmapped.run_no",
    ),
    (
        "SELECT run_id, page FROM pages",
        "SELECT DISTINCT run_id, page FROM pages JOIN runs ON runs.run_no = pages.run_no",
    ),
    ("SELECT run_id, run_no, kind, status, holder, available, inputs, report FROM runs", ""),
];

/// The same question to the views of today.
fn in_words(query: &str) -> String {
    query.replace("FROM items", "FROM items_in_words").replace("FROM deliveries", "FROM deliveries_in_words")
}

async fn says_what_it_said(database: Database) {
    let (_folder, before) = before().await;
    let ledger = database.open().await;
    let now = AnyPool::connect(&database.url).await.unwrap();
    for (old, new) in SAME {
        let new = if new.is_empty() { in_words(old) } else { new.to_owned() };
        let (old_rows, new_rows) = (rows(&before, old).await, rows(&now, &new).await);
        assert!(!old_rows.is_empty() && old_rows == new_rows, "{old}: {} and {}", old_rows.len(), new_rows.len());
    }

    // What an older program that is still running asks for is not there.
    for table in ["items", "deliveries"] {
        let asked = sqlx::AssertSqlSafe(format!("SELECT item_no FROM {table}"));
        assert!(sqlx::query(asked).fetch_optional(&now).await.is_err(), "{table}");
    }

    let numbers: Vec<ItemNo> = (1..=ITEMS).map(ItemNo).collect();
    let items = ledger.items(&numbers).await.unwrap();
    assert_eq!(items.len(), numbers.len());
    let mut resolutions = 0;
    for row in sqlx::query("SELECT item_no, resolution FROM items").fetch_all(&before).await.unwrap() {
        let text: Option<String> = row.get(1);
        let found = items[&ItemNo(row.get(0))].resolution.as_ref();
        assert_eq!(found.map(|found| serde_json::to_string(found).unwrap()), text);
        resolutions += usize::from(text.is_some());
    }
    let mut manifests = 0;
    for row in sqlx::query("SELECT item_no, converter, manifest FROM messages").fetch_all(&before).await.unwrap() {
        let (converter, text): (String, String) = (row.get(1), row.get(2));
        for copy in ledger.copies_of(ItemNo(row.get(0))).await.unwrap() {
            if copy.converter.as_deref() == Some(converter.as_str()) {
                assert_eq!(serde_json::to_string(&copy.manifest.unwrap()).unwrap(), text);
                manifests += 1;
            }
        }
    }
    assert!(resolutions > 40 && manifests > 70, "{resolutions} {manifests}");

    // Each message is found by its Message-ID, whether it has copies or not.
    for row in
        sqlx::query("SELECT item_no, identity FROM items WHERE identity IS NOT NULL").fetch_all(&before).await.unwrap()
    {
        let identity: [u8; 32] = row.get::<Vec<u8>, _>(1).try_into().unwrap();
        let identity = whatsapp_archiver::identity::Identity(whatsapp_archiver::digest::Digest::from(identity));
        let found = ledger.captures(&ItemName::MessageId(identity.message_id())).await.unwrap();
        assert!(found.iter().any(|item| item.no == ItemNo(row.get(0))));
    }

    // The account of the first run, as the version before froze it.
    let row = sqlx::query("SELECT run_id, report FROM runs WHERE run_no = 1").fetch_one(&before).await.unwrap();
    let report: serde_json::Value = serde_json::from_str(&row.get::<String, _>(1)).unwrap();
    let account = ledger.account(&RunId(row.get(0))).await.unwrap();
    let of = |name: &str| account.by_state.get(name).copied().unwrap_or_default();
    assert_eq!(report["deliveries"]["imported"], of("imported"), "{report}");
    assert_eq!(report["deliveries"]["skipped_duplicate"], of("skipped_duplicate"));
    assert_eq!(account.total(), 75);
}

#[tokio::test]
async fn a_ledger_of_schema_5_says_what_it_said_on_sqlite() {
    says_what_it_said(on_sqlite()).await;
}

#[tokio::test]
async fn a_ledger_of_schema_5_says_what_it_said_on_postgres() {
    says_what_it_said(on_postgres().await).await;
}

/// Is refused as one in use, and nothing of it is changed.
async fn is_in_use(database: &Database, shown: &str) {
    let error = Ledger::open(&database.url).await.unwrap_err();
    assert!(matches!(error, LedgerError::OlderInUse { found: 5, .. }), "{error:?}");
    assert!(error.to_string().contains(shown) && error.to_string().contains("Stop all daemons"), "{error}");
    let pool = AnyPool::connect(&database.url).await.unwrap();
    assert_eq!(rows(&pool, "SELECT value FROM meta WHERE name = 'schema'").await, [["Some(\"5\")"]]);
    assert_eq!(rows(&pool, "SELECT COUNT(*) FROM items").await, [[format!("Some({ITEMS})")]]);
    pool.close().await;
}

#[tokio::test]
async fn a_ledger_of_schema_5_that_is_in_use_stays_what_it_is_on_sqlite() {
    let database = on_sqlite();
    // What a process of the older version does while it lives.
    let folder = PathBuf::from(format!("{}-processes", database.url.strip_prefix("sqlite://").unwrap()));
    fs::create_dir(&folder).unwrap();
    let file = fs::File::create(folder.join("older")).unwrap();
    file.lock().unwrap();
    is_in_use(&database, "1 processes have it open").await;
    drop(file);
    database.open().await;
}

#[tokio::test]
async fn a_directory_of_locks_that_cannot_be_read_is_no_damage() {
    let database = on_sqlite();
    fs::write(format!("{}-processes", database.url.strip_prefix("sqlite://").unwrap()), "").unwrap();
    let error = Ledger::open(&database.url).await.unwrap_err();
    assert!(matches!(error, LedgerError::Open { .. }), "{error:?}");
    assert!(error.to_string().contains("the directory of locks beside it can't be used"), "{error}");
}

#[tokio::test]
async fn a_ledger_of_schema_5_that_is_in_use_stays_what_it_is_on_postgres() {
    let database = on_postgres().await;
    let in_force = Utc.with_ymd_and_hms(9999, 1, 1, 0, 0, 0).unwrap();
    leave_until(&database, in_force.timestamp_millis()).await;
    is_in_use(&database, "run out at 9999-01-01 00:00:00 UTC").await;
    leave_until(&database, 0).await;
    database.open().await;
}

/// The sample's files, with the fixture's ledger and staging area in their places.
fn sample(ledger: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config"), &folder.path().join("config"));
    copy(&fixture().join("staging"), &folder.path().join("local-data/staging"));
    let path = folder.path().join("config/local.toml");
    let config = fs::read_to_string(&path).unwrap().replace("sqlite://../local-data/ledger.db", ledger);
    fs::write(path, config).unwrap();
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The run that was killed is taken up. What the version before had imported isn't sent again; all the rest arrives, once.
async fn goes_on(database: Database) {
    let folder = sample(&database.url);
    let environment = BTreeMap::new();
    let config =
        Arc::new(Config::load(&folder.path().join("config/local.toml"), &environment, NeededSecrets::All).unwrap());
    // With the system's own clock: it is compared with the server's.
    let app = App::build(config, &environment, Arc::new(SystemClock), LedgerUse::MadeIfMissing, TablesUse::Read)
        .await
        .unwrap();
    for _ in 0..2 {
        let finished = app.pipeline(CancellationToken::new()).run(RunRequest::Regular).await.unwrap();
        assert!(finished.error.is_none(), "{:?}", finished.error);
    }
    let pool = AnyPool::connect(&database.url).await.unwrap();
    let states = rows(&pool, "SELECT state, COUNT(*) FROM deliveries_in_words GROUP BY state").await;
    let of = |state: &str, count: i64| vec![format!("Some({state:?})"), format!("Some({count})")];
    // The account of `config/sample/README.md`.
    let expected = [("failed", 4), ("imported", 102), ("partially_imported", 2), ("skipped_duplicate", 10)];
    assert_eq!(states, expected.map(|(state, count)| of(state, count)));
    let mut arrived = 0;
    for (address, found) in oracle::read_maildirs(&folder.path().join("local-data/mailboxes")) {
        let mut distinct = found.clone();
        distinct.dedup();
        assert_eq!(distinct.len(), found.len(), "{address}");
        arrived += found.len();
    }
    assert_eq!(arrived, 104 - 74, "74 copies had been imported before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_an_older_version_began_goes_on_on_sqlite() {
    goes_on(on_sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_an_older_version_began_goes_on_on_postgres() {
    goes_on(on_postgres().await).await;
}
