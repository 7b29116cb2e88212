//! `retry` beside a run whose process has what it is about: nothing that is open is called done.

use sqlx::Connection as _;
use whatsapp_archiver::clock::{Clock as _, SystemClock};
use whatsapp_archiver::failpoint;

use crate::installation::{ANA, Archive, item};
use crate::kill::kill_at;

/// An archive in which a run was killed while it was sending item 1. Its leases are in force for another hour, and nobody can tell
/// that its process has gone, as on PostgreSQL. Gives that run's id.
async fn with_a_run_under_way() -> (Archive, String) {
    let archive = Archive::new();
    archive.export("1.json", &[item(1, "message 1")]);
    assert!(kill_at(archive.command(&["run", "--once"]), failpoint::INTENT_RECORDED, 1));
    let url = format!("sqlite://{}", archive.path("ledger.db").display());
    let mut ledger = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let until = SystemClock.now().timestamp_millis() + 3_600_000;
    sqlx::query("UPDATE leases SET holder = 'elsewhere', until = $1").bind(until).execute(&mut ledger).await.unwrap();
    let run: String = sqlx::query_scalar("SELECT run_id FROM runs").fetch_one(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
    (archive, run)
}

#[tokio::test]
async fn a_replay_of_all_that_is_open_names_the_run_that_has_it() {
    let (archive, run) = with_a_run_under_way().await;
    let out = archive.run_to(1, &["retry"]);
    assert!(out.contains("Status   incomplete"), "{out}");
    assert!(
        out.contains(&format!("2 deliveries are still open in the account of run {run}, which is under way")),
        "{out}"
    );
    assert!(archive.mails(ANA).is_empty());

    let listed = archive.run_to(0, &["failures"]);
    assert!(listed.contains(ANA), "{listed}");
}

#[tokio::test]
async fn a_replay_of_one_item_names_the_run_that_has_it() {
    let (archive, run) = with_a_run_under_way().await;
    for named in [["--item", "1"], ["--run", run.as_str()]] {
        let out = archive.run_to(1, &["retry", named[0], named[1]]);
        assert!(out.contains(&format!("2 deliveries are still open in the account of run {run}")), "{out}");
        assert!(out.contains("no run was started"), "{out}");
    }
    let of_nothing = archive.run_to(0, &["retry", "--reason", "malformed"]);
    assert_eq!(of_nothing, "Nothing that matches can be replayed; no run was started.\n");
}

/// What a dead run was sending has no reason and isn't pending: a replay of its item takes it over all the same.
#[test]
fn a_replay_of_one_item_takes_over_what_a_dead_run_was_sending() {
    let archive = Archive::new();
    archive.export("1.json", &[item(1, "message 1")]);
    assert!(kill_at(archive.command(&["run", "--once"]), failpoint::INTENT_RECORDED, 1));
    let out = archive.run_to(0, &["retry", "--item", "1"]);
    assert!(out.contains("Status   complete") && archive.mails(ANA).len() == 1, "{out}");
}
