//! What earlier versions wrote: a ledger and its staging area go on where they were, and what doesn't fit is refused.
//!
//! `tests/fixtures/ledger-v1/` holds a ledger and a staging area as the first version wrote them. It is made by
//! `cargo test --test it daemon::upgrade::make_fixture -- --ignored`, and never made anew once a version is released.

use std::fs;
use std::path::{Path, PathBuf};

use sqlx::Connection as _;

use super::bench::{ANA, Bench, Files, LOCAL_STAGING, at, numbered};
use super::process;
use crate::servers::telemessage::{ArchivedItem, Fault, PageFault, who};

const BEN: &str = "ben.ito@contoso.example";
const DAILY: &str = r#"at = "02:00""#;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ledger-v1")
}

/// What the archive holds. The first window has 1 to 4; the second one 5 to 12, of which the first page was read.
fn items() -> Vec<ArchivedItem> {
    let (ben, cleo) = (who("15550142"), who("15550143"));
    let mut items = vec![
        numbered(1, at(9, 8, 0)),
        numbered(2, at(9, 9, 0)).attachment("a.png", "image/png", &b"\x89PNG\r\n\x1a\nnot much of a picture"[..]),
        // It belongs to nobody yet.
        numbered(3, at(9, 10, 0)).between(&ben, &cleo, std::slice::from_ref(&ben)),
        ArchivedItem::verbatim(4, at(9, 11, 0), r#"{"typ":"RawMessage","id":4,"body":"item-000004"}"#),
    ];
    items.extend((5..=12).map(|number| numbered(number, at(10, 8, 0) + chrono::Duration::minutes(number))));
    items
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "makes the fixture"]
async fn make_fixture() {
    let bench = Bench::new(at(10, 2, 0), DAILY);
    bench.server.add(items());
    let config = fs::read_to_string(bench.files.config()).unwrap();
    bench.files.write("config.toml", &config.replace("page_size = 50", "page_size = 8"));
    let mut daemon = bench.start().await;
    // Its mailbox can't be made, so the copies of the second run stay pending; and its second page is never answered.
    fs::remove_dir_all(bench.files.path("mailboxes")).unwrap();
    bench.files.write("mailboxes", "not a directory");
    for fault in [PageFault::Wrapped, PageFault::Wrapped, PageFault::Answer(Fault::Status(503))] {
        bench.server.fail_page(fault);
    }
    bench.pass_until(at(11, 2, 0), &mut daemon).await;
    daemon.stop().await;
    assert_eq!(bench.watermark().await, Some(at(10, 1, 55)));
    let status = bench.status().await;
    assert!(status.pending > 0 && status.held == 2, "{status}");

    let mut ledger = sqlx::SqliteConnection::connect(&url(&bench.files)).await.unwrap();
    for statement in ["PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA journal_mode = DELETE", "VACUUM"] {
        sqlx::query(statement).execute(&mut ledger).await.unwrap();
    }
    ledger.close().await.unwrap();
    fs::remove_dir_all(fixture()).unwrap_or_default();
    fs::create_dir_all(fixture()).unwrap();
    fs::copy(bench.files.path("ledger.db"), fixture().join("ledger.db")).unwrap();
    copy(&bench.files.path("staging"), &fixture().join("staging"));
}

fn url(files: &Files) -> String {
    format!("sqlite://{}", files.path("ledger.db").display())
}

/// The files of a copy of the fixture, for a program that has it as its own.
fn of_version_1() -> Files {
    let files = Files::new();
    fs::copy(fixture().join("ledger.db"), files.path("ledger.db")).unwrap();
    copy(&fixture().join("staging"), &files.path("staging"));
    files
}

pub(super) fn copy(from: &Path, to: &Path) {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_of_the_first_version_goes_on_and_doubles_nothing() {
    let bench = Bench::with_files(at(12, 2, 0), DAILY, of_version_1());
    bench.server.add(items());
    bench.server.add([numbered(13, at(11, 12, 0))]);
    let mut daemon = bench.start().await;
    // 1 and 2 were imported by the first version. What was pending and what was not read yet arrives now, once.
    assert_eq!(bench.files.archived(ANA), (5..=13).collect::<Vec<_>>());
    assert_eq!(bench.watermark().await, Some(at(12, 1, 55)));
    let report = bench.last_report().await;
    assert_eq!(report.items.available_from_source, 5, "what is staged is not taken again");
    assert_eq!(report.deliveries.carried_over, 4);
    bench.pass_until(at(13, 2, 0), &mut daemon).await;
    assert_eq!(bench.last_report().await.items.available_from_source, 0);
    assert_eq!(bench.files.archived(ANA).len(), 9);
    daemon.stop().await;

    // What it held is replayed from its staging area.
    bench.files.write_mapping(&[("15550100", ANA), ("15550142", BEN)]);
    let retried = tokio::task::block_in_place(|| process::run(&bench.files, &["retry", "--reason", "no_valid_user"]));
    assert!(retried.status.success(), "{retried:?}");
    assert_eq!(bench.files.archived(BEN), [3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_of_a_later_version_is_refused() {
    let files = of_version_1();
    files.write_config("http://127.0.0.1:9", DAILY, LOCAL_STAGING);
    let mut ledger = sqlx::SqliteConnection::connect(&url(&files)).await.unwrap();
    sqlx::query("UPDATE meta SET value = '99' WHERE name = 'schema'").execute(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
    for command in [&["run", "--once"][..], &["run"], &["status"], &["report"], &["retry"]] {
        let output = tokio::task::block_in_place(|| process::run(&files, command));
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let command_output = String::from_utf8(output.stderr).unwrap();
        assert!(
            command_output.contains("newer version") && command_output.contains("schema 99"),
            "{command:?}: {command_output}"
        );
    }
    let mut ledger = sqlx::SqliteConnection::connect(&url(&files)).await.unwrap();
    let runs: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM runs").fetch_one(&mut ledger).await.unwrap();
    assert_eq!(runs, 2, "nothing was written");
    ledger.close().await.unwrap();
}

#[test]
fn a_ledger_that_does_not_belong_to_the_staging_area_is_refused() {
    let files = of_version_1();
    files.write_config("http://127.0.0.1:9", DAILY, LOCAL_STAGING);
    fs::remove_file(files.path("ledger.db")).unwrap();
    for command in [&["run", "--once"][..], &["backfill", "--from", "2026-11-01", "--to", "2026-11-02"], &["retry"]] {
        let output = process::run(&files, command);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let command_output = String::from_utf8(output.stdout).unwrap();
        for advice in ["belongs to another ledger", "ledger.url", "rebuild-ledger", "an empty staging area"] {
            assert!(command_output.contains(advice), "{command:?}: {command_output}");
        }
    }
    assert!(!files.path("mailboxes").exists(), "nothing was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_stopped_for_the_upgrade_is_no_failure() {
    let files = of_version_1();
    files.write_config("http://127.0.0.1:9", DAILY, LOCAL_STAGING);
    let mut ledger = sqlx::SqliteConnection::connect(&url(&files)).await.unwrap();
    let stopped = "UPDATE runs SET status = 'failed', error = 'the run was stopped before its end; the next one goes on from there'
                   WHERE started = (SELECT MAX(started) FROM runs)";
    sqlx::query(stopped).execute(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
    let status = tokio::task::block_in_place(|| process::command_json(&files, &["status", "--json"]));
    assert_eq!(status["failure"]["stopped"], true, "{status}");
}
