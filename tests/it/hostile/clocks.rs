//! The machine's clock is wrong by 400 days: nothing is passed over, nothing later is hidden, and others are left alone.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::Connection as _;
use whatsapp_archiver::clock::{Clock as _, SystemClock};

use super::time::Time;
use super::{files_for, get, http_section, microsoft_section, until};
use crate::daemon::bench::{ANA, Files, archive_of, numbered};
use crate::daemon::process::{self, Process};
use crate::servers::graph::{self, Act, GraphServer};
use crate::servers::postgres::Postgres;
use crate::servers::telemessage::{Fault, PageFault};

fn instant(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn a_clock_that_was_far_ahead_hides_nothing_later() {
    let server = archive_of(3);
    let (address, http) = http_section();
    let files = files_for(&server, "24h", &http);
    let mut ahead = Time::days_ahead(400).start(&files, &["run"]);
    ahead.wait_for("clocks_differ");
    assert_eq!(ahead.wait_for("run_finished")["run.status"], "complete");
    assert_eq!(files.archived(ANA), [1, 2, 3]);
    let remotes = || process::command_json(&files, &["status", "--json"])["remotes"].clone();
    until("what it found of the remotes is noted", || remotes()["mailbox"].is_object());
    ahead.end_by("KILL");

    let now = SystemClock.now();
    let status = process::command_json(&files, &["status", "--json"]);
    assert_eq!((&status["state"], &status["daemon"]["running"]), (&"stopped".into(), &false.into()), "{status}");
    assert!(instant(&status["watermark"]) <= now, "{status}");

    // The first run by the right time fails.
    server.set_outage(Some(Fault::Status(503)));
    let mut right = Process::start(&files, &["run"]);
    let failed = right.wait_for("run_finished");
    assert_eq!(failed["run.status"], "failed");
    let status = process::command_json(&files, &["status", "--json"]);
    assert_eq!((&status["state"], &status["last_run"]["run"]), (&"failed".into(), &failed["run.id"]), "{status}");
    assert!(instant(&status["next_run"]) < now + chrono::Duration::hours(1), "{status}");
    let report = process::command_json(&files, &["report", "--format", "json"]);
    assert_eq!(report["run"], failed["run.id"]);
    let metrics = get(address, "/metrics").1;
    let gauge = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("whatsapp_archiver_{name} ")));
        line.unwrap().parse::<i64>().unwrap()
    };
    for name in ["last_success_timestamp_seconds", "last_run_timestamp_seconds", "watermark_timestamp_seconds"] {
        let told = DateTime::from_timestamp_secs(gauge(name)).unwrap();
        assert!(told <= SystemClock.now(), "{name}: {told}");
    }
    right.end_by("TERM");

    server.set_outage(None);
    server.add([numbered(4, now - chrono::Duration::minutes(1))]);
    process::command_output(&files, &["run", "--once"]);
    assert_eq!(files.archived(ANA), [1, 2, 3, 4]);
    let status = process::command_json(&files, &["status", "--json"]);
    for remote in ["source", "staging", "directory", "mailbox"] {
        assert!(instant(&status["remotes"][remote]["since"]) <= SystemClock.now(), "{status}");
    }
}

#[test]
fn a_clock_that_is_far_behind_fails_the_run_in_plain_words() {
    let server = archive_of(3);
    let files = files_for(&server, "24h", "");
    process::command_output(&files, &["run", "--once"]);
    server.add([numbered(4, SystemClock.now())]);
    let watermark = || process::command_json(&files, &["status", "--json"])["watermark"].clone();
    let before = watermark();

    let behind = Time::days_ahead(-400).start(&files, &["run", "--once"]).end();
    assert_eq!(behind.status.code(), Some(1));
    let finished = behind.events("run_finished")[0];
    let error = finished["error"].as_str().unwrap();
    assert!(finished["run.status"] == "failed" && error.contains("clock"), "{finished}");
    assert!(behind.log.iter().all(|line| !line.to_string().contains("Some(")), "{:#?}", behind.log);
    assert_eq!(watermark(), before);

    process::command_output(&files, &["run", "--once"]);
    assert_eq!(files.archived(ANA), [1, 2, 3, 4]);
}

#[test]
fn beside_others_a_wrong_clock_begins_nothing_and_misleads_nobody() {
    let server = archive_of(1);
    let files = files_for(&server, "2s", "");
    files.change_config("sqlite://ledger.db", &Postgres::shared().new_database());
    let mut right = Process::start(&files, &["run"]);
    assert_eq!(right.wait_for("run_finished")["run.status"], "complete");
    let mut ahead = Time::days_ahead(400).start(&files, &["run"]);
    let told = ahead.wait_for("ledger_unavailable");
    assert!(told["error"].as_str().unwrap().contains("this machine's clock shows"), "{told}");
    for number in 2..=3 {
        server.add([numbered(number, SystemClock.now())]);
        right.wait_for_line("run with an item", |line| line["deliveries.imported"] == 1);
    }
    let (right, ahead) = (right.end_by("TERM"), ahead.end_by("KILL"));
    assert!(right.events("run_finished").iter().all(|line| line["run.status"] == "complete"));
    assert!(ahead.events("run_started").is_empty() && ahead.events("help_started").is_empty());
    assert_eq!(files.archived(ANA), [1, 2, 3]);
    let status = process::command_json(&files, &["status", "--json"]);
    assert_eq!(status["daemon"]["running"], false, "{status}");
    assert!(instant(&status["daemon"]["last_seen"]) <= SystemClock.now(), "{status}");
}

/// Its leases would never end, or count for nothing, by the others' clocks.
#[test]
fn a_clock_that_jumps_in_the_middle_of_a_run_beside_others_ends_the_run() {
    for days in [400, -400] {
        let server = archive_of(120);
        // The log-in and a page as they should be; then silence, for longer than until the leases are renewed.
        for fault in [PageFault::Wrapped, PageFault::Wrapped, PageFault::Stall] {
            server.fail_page(fault);
        }
        let files = files_for(&server, "24h", "");
        files.change_config("sqlite://ledger.db", &Postgres::shared().new_database());
        files.change_config("[ledger]", "[ledger]\nlease = \"10s\"");
        let mut jumps = Time::days_ahead(days).start_until(&files, "jump", &["run", "--once"]);
        jumps.wait_for("page_staged");
        files.write("jump", "");
        let ended = jumps.end();
        assert_eq!(ended.status.code(), Some(1));
        let finished = ended.log.iter().rfind(|line| line["run.status"] == "failed").unwrap();
        let error = finished["error"].as_str().unwrap();
        // Whichever notices first: its leases have run out by a clock that is ahead.
        let has_run_out = days > 0 && error.contains("the lease of") && finished.to_string().contains("the clock jump");
        assert!(error.contains("this machine's clock shows") || has_run_out, "{days}: {finished}");
        assert_eq!(server.page_requests().len(), 3, "{days}: nothing more is asked for");

        process::command_output(&files, &["run", "--once"]);
        assert_eq!(files.archived(ANA), (1..=120).collect::<Vec<i64>>(), "{days}");
    }
}

/// What was received a minute ago is no message of the future.
#[test]
fn a_clock_that_is_set_back_in_the_middle_of_a_run_makes_no_item_malformed() {
    let server = archive_of(120);
    let pause = Fault::RetryAfter(503, "2".to_owned());
    for fault in [PageFault::Wrapped, PageFault::Wrapped, PageFault::Answer(pause)] {
        server.fail_page(fault);
    }
    let files = files_for(&server, "24h", "");
    files.change_config("attempts = 1", "attempts = 2");
    let mut set_back = Time::days_ahead(-400).start_until(&files, "jump", &["run", "--once"]);
    set_back.wait_for("page_staged");
    files.write("jump", "");
    let ended = set_back.end();
    assert!(ended.events("item_failed").is_empty(), "{:#?}", ended.log);
    process::command_output(&files, &["run", "--once"]);
    assert_eq!(files.archived(ANA), (1..=120).collect::<Vec<i64>>());
}

/// Whether a copy is of unknown outcome, by the ledger.
fn is_unknown(files: &Files) -> bool {
    let url = format!("sqlite://{}", files.path("ledger.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut ledger = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let found = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM deliveries_in_words WHERE state = 'unknown'");
        found.fetch_one(&mut ledger).await.unwrap() > 0
    })
}

/// A send is not answered, and the process that made it is killed. The next one begins at once, by a clock that says that weeks have
/// passed; the mailbox shows the copy a little later.
#[test]
fn a_kill_and_a_jump_of_the_clock_before_a_mailbox_has_settled_double_nothing() {
    let (server, tenant) = (archive_of(1), GraphServer::start());
    tenant.add_user("ana.berg");
    tenant.with(|world| world.settle = chrono::Duration::seconds(3));
    let files = files_for(&server, "24h", &microsoft_section(tenant.origin()));
    files.write_mapping(&[("15550100", ANA)]);
    files.change_config("kind = \"list\"\n                path = \"users.csv\"", "kind = \"graph\"");
    let maildir = "kind = \"maildir\"\n                path = \"mailboxes/\"";
    files.change_config(maildir, "kind = \"graph\"\nsettle = \"6s\"");
    tenant.fail(graph::Fault::once("POST", "/messages", Act::CommitThen(Box::new(Act::Drop))));
    let mut killed = Process::start(&files, &["run", "--once"]);
    killed.wait_for("outcome_unknown");
    until("that is recorded", || is_unknown(&files));
    killed.end_by("KILL");

    let ended = Time::days_ahead(20).start(&files, &["run", "--once"]).end();
    assert!(ended.status.success(), "{:#?}", ended.log);
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(crate::oracle::read_graph(&tenant)[ANA].len(), 1);
}
