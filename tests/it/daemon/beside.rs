//! Commands beside a running daemon, on the same ledger.

use std::sync::Arc;

use chrono::{Duration, SecondsFormat};
use whatsapp_archiver::clock::{Clock as _, SystemClock};

use super::bench::{ANA, Files, LOCAL_STAGING, numbered};
use super::process::{self, Process};
use crate::servers::telemessage::{PageFault, TeleMessageServer, who};

const BEN: &str = "ben.ito@contoso.example";

#[test]
fn backfill_retry_status_and_report_work_beside_the_daemon() {
    let server = TeleMessageServer::start(Arc::new(SystemClock));
    let now = SystemClock.now();
    let (ben, cleo) = (who("15550142"), who("15550143"));
    let of_ben = numbered(2, now - Duration::hours(2)).between(&ben, &cleo, std::slice::from_ref(&ben));
    server.add([numbered(1, now - Duration::hours(100)), of_ben, numbered(3, now - Duration::hours(1))]);
    let files = Files::new();
    files.write_config(&server.base_url(), "every = \"24h\"", LOCAL_STAGING);
    let mut daemon = Process::start(&files, &["run"]);
    let first = daemon.wait_for("run_finished");
    assert_eq!((&first["deliveries.imported"], &first["deliveries.failed"]), (&1.into(), &1.into()), "{first}");
    let watermark = process::command_json(&files, &["status", "--json"])["watermark"].clone();

    // Time before the first window. The watermark stays.
    let time = |hours| (now - Duration::hours(hours)).to_rfc3339_opts(SecondsFormat::Secs, true);
    let table = process::command_output(&files, &["backfill", "--from", &time(120), "--to", &time(96)]);
    assert!(table.contains("backfill"), "{table}");
    assert_eq!(files.archived(ANA), [1, 3]);
    process::command_output(&files, &["backfill", "--from", &time(120), "--to", &time(0)]);
    assert_eq!(files.archived(ANA), [1, 3], "what is there already is a repeat");

    // An item that belonged to nobody is replayed once the mapping is fixed.
    let failures = process::command_json(&files, &["failures", "--format", "json"]);
    assert!(failures.to_string().contains("no_valid_user"), "{failures}");
    files.write_mapping(&[("15550100", ANA), ("15550142", BEN)]);
    process::command_output(&files, &["retry", "--reason", "no_valid_user"]);
    assert_eq!(files.archived(BEN), [2]);
    process::command_output(&files, &["retry"]);
    assert_eq!((files.archived(ANA), files.archived(BEN)), (vec![1, 3], vec![2]));

    let status = process::command_json(&files, &["status", "--json"]);
    assert_eq!((&status["state"], &status["held"], &status["pending"]), (&"idle".into(), &0.into(), &0.into()));
    assert_eq!(status["watermark"], watermark);
    let report =
        process::command_json(&files, &["report", "--format", "json", "--run", first["run.id"].as_str().unwrap()]);
    assert_eq!(report["failed_by_reason"]["no_valid_user"], 1, "a report is frozen when its run ends: {report}");
    let ended = daemon.end_by("TERM");
    assert!(ended.status.success());
    assert!(ended.events("run_abandoned").is_empty() && ended.events("books_do_not_balance").is_empty());
}

#[test]
fn commands_work_while_a_run_is_under_way() {
    let server = TeleMessageServer::start(Arc::new(SystemClock));
    let now = SystemClock.now();
    let (ben, cleo) = (who("15550142"), who("15550143"));
    let of_ben = numbered(1, now - Duration::hours(2)).between(&ben, &cleo, std::slice::from_ref(&ben));
    server.add([of_ben]);
    server.add((2..=120).map(|number| numbered(number, now - Duration::seconds(7000 - number))));
    // The log-in and the first page, then silence.
    for fault in [PageFault::Wrapped, PageFault::Wrapped, PageFault::Stall] {
        server.fail_page(fault);
    }
    let files = Files::new();
    files.write_config(&server.base_url(), "every = \"24h\"", LOCAL_STAGING);
    let mut daemon = Process::start(&files, &["run"]);
    daemon.wait_for("page_staged");
    daemon.wait_for("item_failed");

    let status = process::command_output(&files, &["status"]);
    assert!(status.contains("State           running") && status.contains("Under way"), "{status}");
    let report = process::command_json(&files, &["report", "--format", "json"]);
    assert_eq!((&report["status"], &report["items"]["available_from_source"]), (&"running".into(), &50.into()));
    files.write_mapping(&[("15550100", ANA), ("15550142", BEN)]);
    process::command_output(&files, &["retry", "--item", "1"]);
    assert_eq!(files.archived(BEN), [1]);
    daemon.end_by("KILL");

    let mut daemon = Process::start(&files, &["run"]);
    daemon.wait_for_line("complete run", |line| line["run.status"] == "complete");
    assert_eq!((files.archived(ANA), files.archived(BEN)), ((2..=120).collect(), vec![1]));
    assert!(daemon.end_by("TERM").status.success());
}
