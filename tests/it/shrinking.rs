//! `ledger.retain`: what is old is shrunk, is known again for all that, and whatever reads the ledger says so.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeZone as _, Utc};
use serde_json::{Value, json};
use sqlx::{AnyPool, Row as _};
use tokio_util::sync::CancellationToken;
use whatsapp_archiver::clock::ManualClock;
use whatsapp_archiver::failpoint;
use whatsapp_archiver::pipeline::RunRequest;

use crate::export_manifest::read_manifest;
use crate::installation::{ANA, Archive, BEN, CARA, captured, item, item_with_file};
use crate::kill::kill_at;
use crate::servers::postgres::Postgres;

const DORA: &str = "dora@contoso.example";
const SQLITE: &str = "sqlite://ledger.db";

/// Sets how long windows are kept in staging, and details in the ledger.
fn keep(archive: &Archive, url: &str, staging: &str, ledger: &str) {
    archive.set_ledger(url);
    let path = archive.path("config.toml");
    let config = fs::read_to_string(&path).unwrap();
    let config = config.replace("path = \"staging\"\n", &format!("path = \"staging\"\nretain = \"{staging}\"\n"));
    let config = config.replace("lease = \"10s\"\n", &format!("lease = \"10s\"\nretain = \"{ledger}\"\n"));
    // What a run did is old for the next one.
    fs::write(path, format!("{config}[schedule]\nsettle = \"0s\"\n")).unwrap();
}

/// A message of which one of the participants has this address.
fn with_address(mut item: Value, number: &str, address: &str) -> Value {
    let participant = json!({"value": number, "type": "PHONE"}).to_string();
    item["body"]["participantEnrichments"][participant] = json!({"email": address});
    item
}

/// Two messages from Ana to Ben, one from Ana to Dora, and one of Dora's alone, who is no valid user: that one is held. The next run
/// purges their window, and shrinks it.
fn archive(url: &str) -> Archive {
    let archive = Archive::new();
    keep(&archive, url, "1ms", "1ms");
    let dora_alone = with_address(with_address(item(4, "message 4"), "15550101", DORA), "15550102", DORA);
    archive.export(
        "1.json",
        &[
            item(1, "message 1"),
            item_with_file(2, "message 2"),
            with_address(item(3, "message 3"), "15550102", DORA),
            dora_alone,
        ],
    );
    archive.export_attachment(2, 0, b"attached");
    archive.run_to(0, &["run", "--once"]);
    assert_eq!(outcomes(&archive), [5, 0, 1]);
    assert_eq!(verified(&archive, 0), (5, 0));
    archive
}

/// The same, shrunk.
fn shrunk(url: &str) -> Archive {
    let archive = archive(url);
    let run = archive.run(&["run", "--once"]);
    let log = String::from_utf8_lossy(&run.stderr);
    let told = log.lines().find(|line| line.contains("\"items_shrunk\"")).unwrap_or_else(|| panic!("{log}"));
    assert!(told.contains("\"items\":3") && told.contains("\"more\":false"), "{told}");
    archive
}

/// Imported, skipped as a duplicate, and failed in the latest run.
fn outcomes(archive: &Archive) -> [u64; 3] {
    let report = archive.report();
    ["imported", "skipped_duplicate", "failed"].map(|name| report["deliveries"][name].as_u64().unwrap())
}

/// How many copies a verification compares, and how many it only looks for.
fn verified(archive: &Archive, status: i32) -> (u64, u64) {
    let result = archive.verify(status, &[]);
    (result["checked"].as_u64().unwrap(), result["only_looked_for"].as_u64().unwrap())
}

/// The items that are shrunk, and those that have a manifest: by TeleMessage's numbers.
async fn details(url: &str) -> (Vec<i64>, Vec<i64>) {
    sqlx::any::install_default_drivers();
    let pool = AnyPool::connect(url).await.unwrap();
    let of = async |condition: &str| {
        let query = format!("SELECT item_id FROM item_rows WHERE {condition} ORDER BY item_id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(&pool).await.unwrap();
        rows.iter().map(|row| row.get::<i64, _>(0)).collect::<Vec<_>>()
    };
    let found = (of("shrunk = 1").await, of("item_no IN (SELECT item_no FROM messages)").await);
    pool.close().await;
    found
}

fn file_of(archive: &Archive) -> String {
    format!("sqlite://{}", archive.path("ledger.db").display())
}

fn what_is_shrunk_is_known_again(url: &str) {
    let archive = shrunk(url);
    let before = [ANA, BEN, CARA].map(|address| archive.message_ids(address));
    // Ben's capture of the first message, and a new version of Ana's; the second file has its bytes again.
    let mut version = item(1, "message 1");
    version["body"]["unknownField"] = json!(1);
    archive.export("2.json", &[captured(11, BEN, "3EB01", "message 1"), version, item_with_file(2, "message 2")]);
    archive.run_to(0, &["run", "--once"]);
    assert_eq!(outcomes(&archive), [0, 4, 0], "{}", archive.report());
    assert_eq!([ANA, BEN, CARA].map(|address| archive.message_ids(address)), before);
}

#[test]
fn what_is_shrunk_is_known_again_on_sqlite() {
    what_is_shrunk_is_known_again(SQLITE);
}

#[test]
fn what_is_shrunk_is_known_again_on_postgres() {
    what_is_shrunk_is_known_again(&Postgres::shared().new_database());
}

/// Who had a mailbox when a message was sent is what tells a mailbox that was renamed from one whose address somebody else took.
#[test]
fn a_mailbox_that_is_renamed_has_what_was_shrunk() {
    let archive = shrunk(SQLITE);
    let (before, ben) = (archive.message_ids(ANA), archive.message_ids(BEN));
    let renamed = "anna@contoso.example";
    fs::rename(archive.path("mailboxes").join(ANA), archive.path("mailboxes").join(renamed)).unwrap();
    fs::write(archive.path("users.csv"), format!("address,aliases\n{renamed},{ANA}\n{BEN},\n")).unwrap();
    archive.export("2.json", &[captured(11, BEN, "3EB01", "message 1")]);
    archive.run_to(0, &["run", "--once"]);
    assert_eq!(outcomes(&archive), [0, 2, 0]);
    assert_eq!((archive.message_ids(renamed), archive.message_ids(BEN)), (before, ben));
}

fn a_verification_tells_what_it_only_looked_for(url: &str) {
    let archive = shrunk(url);
    assert_eq!(verified(&archive, 0), (0, 5));
    let table = archive.run_to(0, &["verify"]);
    assert!(table.contains("0 copies checked: no damage\n5 copies were only looked for"), "{table}");
    assert!(archive.run_to(0, &["verify", "--format", "html"]).contains("5 copies were only looked for, not compared"));

    // What it can't see, it doesn't say; what it can, it does.
    let altered = archive.mail(ANA, "message 1");
    fs::write(&altered, fs::read_to_string(&altered).unwrap().replace("message 1", "massage 1")).unwrap();
    let doubled = archive.mail(ANA, "message 2");
    fs::copy(&doubled, doubled.with_file_name("1763700001.R43.host:2,S")).unwrap();
    fs::remove_file(archive.mail(BEN, "message 1")).unwrap();
    archive.export("2.json", &[item(5, "message 5")]);
    archive.run_to(0, &["run", "--once"]);
    let run = archive.report()["run"].clone();
    let result = archive.verify(1, &[]);
    assert_eq!((&result["checked"], &result["only_looked_for"]), (&json!(2), &json!(5)), "{result}");
    let found = ["missing", "doubled", "altered", "extra", "errors"].map(|kind| result[kind].as_array().unwrap().len());
    assert_eq!(found, [1, 1, 0, 0, 0], "{result}");
    assert_eq!((&result["missing"][0]["item"], &result["doubled"][0]["copies"]), (&json!("1"), &json!(2)));

    let restored = archive.run(&["verify", "--restore"]);
    assert_eq!(restored.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&restored.stderr).contains("copies_not_restored"), "{restored:?}");
    assert_eq!(archive.report()["run"], run, "no run was begun");
}

#[test]
fn a_verification_tells_what_it_only_looked_for_on_sqlite() {
    a_verification_tells_what_it_only_looked_for(SQLITE);
}

#[test]
fn a_verification_tells_what_it_only_looked_for_on_postgres() {
    a_verification_tells_what_it_only_looked_for(&Postgres::shared().new_database());
}

fn what_reads_the_ledger_goes_on(url: &str) {
    let archive = archive(url);
    let first = archive.report()["run"].as_str().unwrap().to_owned();
    let report = ["report", "--run", &first, "--format"];
    let told = |format: &str| archive.run_to(0, &[&report[..], &[format]].concat());
    let before = ["json", "csv", "html", "table"].map(told);
    archive.run_to(0, &["run", "--once"]);
    assert_eq!(["json", "csv", "html", "table"].map(told), before);

    let prove = |item: &str, status: i32| archive.fail(status, &["prove", "--item", item, "--out", "proof.zip"]);
    let refused = prove("1", 1);
    assert!(
        refused.contains("item 1 was purged from staging (staging.retain)") && refused.contains(&first),
        "{refused}"
    );
    assert!(!archive.path("proof.zip").exists());
    prove("4", 0);

    let window = ["export", "--from", "2024-01-01", "--to", "2100-01-01", "--format", "eml", "--out", "exported"];
    let said = archive.fail(0, &window);
    assert!(said.contains("3 items that may be of this time are purged from staging"), "{said}");
    let named: BTreeSet<String> =
        read_manifest(&archive.path("exported")).iter().map(|row| row["item"].clone()).collect();
    assert_eq!(named, ["1", "2", "3", "4"].map(str::to_owned).into());

    archive.run_to(0, &["status"]);
    let failures = archive.run_to(0, &["failures", "--each", "--format", "csv"]);
    assert!(failures.contains("no_valid_user") && failures.lines().count() == 2, "{failures}");
    // Dora is a user now: what is held can be sent to her, what is shrunk can't.
    archive.set_users(&[ANA, BEN, CARA, DORA]);
    let preview = archive.run_to(0, &["retry", "--reason", "no_valid_user", "--dry-run"]);
    assert_eq!(preview, "1 item would be replayed, which would add 1 copy. No run was started.\n");
    archive.run_to(0, &["retry", "--reason", "no_valid_user"]);
    assert_eq!(archive.message_ids(DORA).len(), 1);
    assert_eq!(verified(&archive, 0), (1, 5));
    // The run after that removes the held copy, and shrinks the rest.
    archive.run_to(0, &["run", "--once"]);
    assert_eq!(verified(&archive, 0), (0, 6));
    assert!(!archive.path("staging/held").exists() || fs::read_dir(archive.path("staging/held")).unwrap().count() == 0);
}

#[test]
fn what_reads_the_ledger_goes_on_on_sqlite() {
    what_reads_the_ledger_goes_on(SQLITE);
}

#[test]
fn what_reads_the_ledger_goes_on_on_postgres() {
    what_reads_the_ledger_goes_on(&Postgres::shared().new_database());
}

/// A proof of a message whose other capture is purged says so.
#[test]
fn a_proof_names_the_captures_that_are_purged() {
    let archive = shrunk(SQLITE);
    archive.export("2.json", &[captured(11, BEN, "3EB01", "message 1")]);
    archive.run_to(0, &["run", "--once"]);
    archive.run_to(0, &["prove", "--message-id", "3EB01", "--out", "proof.zip"]);
    let zip = fs::File::open(archive.path("proof.zip")).unwrap();
    let mut zip = zip::ZipArchive::new(zip).unwrap();
    let directions = std::io::read_to_string(zip.by_name("VERIFY.md").unwrap()).unwrap();
    assert!(directions.contains("Item 1 is a further capture of the message. It is not in this proof"), "{directions}");
    assert!(directions.contains("Capture 1: item 11") && zip.by_name("capture-2/item.json").is_err());
}

#[test]
fn a_shrunk_ledger_is_copied_and_says_the_same() {
    let archive = shrunk(SQLITE);
    let url = Postgres::shared().new_database();
    archive.run_to(0, &["ledger", "copy", "--to", &url]);
    keep(&archive, &url, "1ms", "1ms");
    assert_eq!(verified(&archive, 0), (0, 5));
    archive.export("2.json", &[captured(11, BEN, "3EB01", "message 1")]);
    archive.run_to(0, &["run", "--once"]);
    assert_eq!(outcomes(&archive), [0, 2, 0]);
}

/// What a process that died was at is not in the way of the next one.
async fn leases_run_out(url: &str) {
    let pool = AnyPool::connect(url).await.unwrap();
    sqlx::query("UPDATE leases SET until = 0").execute(&pool).await.unwrap();
    pool.close().await;
}

async fn a_killed_run_leaves_each_item_whole_or_shrunk(on_postgres: bool) {
    for count in [1, 2] {
        let archive = Archive::new();
        let written = if on_postgres { Postgres::shared().new_database() } else { SQLITE.to_owned() };
        let database = if on_postgres { written.clone() } else { file_of(&archive) };
        keep(&archive, &written, "forever", "forever");
        for (name, ids) in [("1.json", [1, 2]), ("2.json", [3, 4])] {
            archive.export(name, &ids.map(|id| item(id, &format!("message {id}"))));
            tokio::task::block_in_place(|| archive.run_to(0, &["run", "--once"]));
        }
        let before = [ANA, BEN].map(|address| archive.message_ids(address));
        keep(&archive, &written, "1ms", "1ms");
        tokio::task::block_in_place(|| {
            assert!(kill_at(archive.command(&["run", "--once"]), failpoint::ITEMS_SHRUNK, count));
        });
        let (shrunk, whole) = details(&database).await;
        let expected = if count == 1 { (vec![1, 2], vec![3, 4]) } else { (vec![1, 2, 3, 4], vec![]) };
        assert_eq!((shrunk, whole), expected);
        leases_run_out(&database).await;
        tokio::task::block_in_place(|| {
            let copies = if count == 1 { (4, 4) } else { (0, 8) };
            assert_eq!(verified(&archive, 0), copies, "a verification between the two");
            archive.run_to(0, &["run", "--once"]);
            assert_eq!(verified(&archive, 0), (0, 8));
            assert_eq!([ANA, BEN].map(|address| archive.message_ids(address)), before);
        });
        assert_eq!(details(&database).await, (vec![1, 2, 3, 4], vec![]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_run_leaves_each_item_whole_or_shrunk_on_sqlite() {
    a_killed_run_leaves_each_item_whole_or_shrunk(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_run_leaves_each_item_whole_or_shrunk_on_postgres() {
    a_killed_run_leaves_each_item_whole_or_shrunk(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_outcome_yet_stays_whole() {
    let archive = Archive::new();
    keep(&archive, SQLITE, "1ms", "1ms");
    let ben = archive.path("mailboxes").join(BEN);
    fs::create_dir_all(archive.path("mailboxes")).unwrap();
    fs::write(&ben, "not a folder").unwrap();
    archive.export("1.json", &[item(1, "message 1")]);
    let url = file_of(&archive);
    for _ in 0..3 {
        tokio::task::block_in_place(|| archive.run_to(1, &["run", "--once"]));
        assert_eq!(details(&url).await, (vec![], vec![1]));
    }
    fs::remove_file(&ben).unwrap();
    tokio::task::block_in_place(|| archive.run_to(0, &["run", "--once"]));
    assert_eq!(details(&url).await, (vec![], vec![1]), "the run that sends it has no report yet");
    tokio::task::block_in_place(|| archive.run_to(0, &["run", "--once"]));
    assert_eq!(details(&url).await, (vec![1], vec![]));
}

#[tokio::test]
async fn details_are_kept_as_long_as_the_configuration_says() {
    let archive = Archive::new();
    keep(&archive, SQLITE, "30d", "400d");
    archive.export("1.json", &[item(1, "message 1")]);
    let clock = Arc::new(ManualClock::standing(Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap()));
    let url = file_of(&archive);
    for (days, is_purged, is_shrunk) in [(0, false, false), (31, true, false), (368, true, false), (1, true, true)] {
        clock.advance(Duration::from_hours(24 * days));
        let app = archive.app_at(Arc::<ManualClock>::clone(&clock)).await;
        let finished = app.pipeline(CancellationToken::new()).run(RunRequest::Regular).await.unwrap();
        assert!(finished.error.is_none(), "{:?}", finished.error);
        assert_eq!(app.remotes.staging.list("windows/").await.unwrap().is_empty(), is_purged, "after {days} more days");
        let expected = if is_shrunk { (vec![1], vec![]) } else { (vec![], vec![1]) };
        assert_eq!(details(&url).await, expected, "after {days} more days");
    }
}
