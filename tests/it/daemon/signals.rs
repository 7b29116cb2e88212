//! The daemon against real Azurite, and ended in the middle of a run: orderly, and as by a power cut.

use std::time::Duration;

use whatsapp_archiver::clock::{Clock as _, SystemClock};

use super::bench::{ANA, Files, LOCAL_STAGING, archive_of, numbered};
use super::process::{self, Process};
use crate::servers::azurite::{self, Azurite};
use crate::servers::telemessage::{PageFault, TeleMessageServer};

fn azure_staging() -> String {
    let container = uuid::Uuid::now_v7().simple();
    let endpoint = azurite::endpoint(Azurite::shared().port());
    format!(
        "[staging]\nkind = \"azure\"\nendpoint = \"{endpoint}\"\ncontainer = \"c{container}\"\nauth = \"sas\"\nsas = {{ file = \"sas\" }}"
    )
}

fn files_for(server: &TeleMessageServer, every: &str, staging: &str) -> Files {
    let files = Files::new();
    files.write("sas", &azurite::sas());
    files.write_config(&server.base_url(), &format!("every = \"{every}\"\nsettle = \"0s\""), staging);
    files
}

/// The log-in and two pages as they should be; then silence in the middle of the third.
fn stall_at_third_page(server: &TeleMessageServer) {
    for fault in [PageFault::Wrapped, PageFault::Wrapped, PageFault::Wrapped, PageFault::Stall] {
        server.fail_page(fault);
    }
}

/// Returns when the third page has been asked for: its answer is on the way for as long as anybody waits.
fn wait_for_stall(daemon: &mut Process, server: &TeleMessageServer) {
    daemon.wait_for("page_staged");
    daemon.wait_for("page_staged");
    let start = std::time::Instant::now();
    while server.page_requests().len() < 4 {
        assert!(start.elapsed() < Duration::from_mins(1), "the third page is asked for");
        std::thread::yield_now();
    }
}

fn numbers(up_to: i64) -> Vec<i64> {
    (1..=up_to).collect()
}

#[test]
fn systemd_is_notified_ready_alive_and_stopping() {
    let server = archive_of(1);
    let files = files_for(&server, "24h", LOCAL_STAGING);
    let path = files.path("notify.sock");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let receive = || {
        let mut buffer = [0; 1024];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let daemon = Process::with_environment(&files, &["run"], &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    assert_eq!(receive().trim(), "READY=1");
    let mut reports = std::iter::repeat_with(receive);
    assert!(reports.any(|report| report.contains("WATCHDOG=1") && report.contains("STATUS=next run at ")));
    daemon.signal("TERM");
    assert!(reports.any(|report| report.contains("STOPPING=1")));
    assert!(daemon.end().status.success());
}

#[test]
fn runs_follow_each_other_on_azurite() {
    let server = archive_of(120);
    let files = files_for(&server, "2s", &azure_staging());
    let mut daemon = Process::start(&files, &["run"]);
    let first = daemon.wait_for("run_finished");
    assert_eq!((&first["run.status"], &first["deliveries.imported"]), (&"complete".into(), &120.into()), "{first}");
    assert_eq!(files.archived(ANA), numbers(120));

    server.add([numbered(121, SystemClock.now())]);
    let later = daemon.wait_for_line("run with an item", |line| line["deliveries.imported"] == 1);
    assert_eq!(later["run.status"], "complete");
    daemon.wait_for("run_finished");
    assert_eq!(files.archived(ANA), numbers(121));

    // What the administrator sees meanwhile.
    let report =
        process::command_json(&files, &["report", "--format", "json", "--run", later["run.id"].as_str().unwrap()]);
    assert_eq!(report["items"]["available_from_source"], 1);
    assert_eq!(report["items"]["repeated_by_source"], 120, "the overlap reads them again");
    assert_eq!(report["deliveries"]["available_for_import"], 1);
    let status = process::command_json(&files, &["status", "--json"]);
    for remote in ["source", "staging", "directory", "mailbox"] {
        assert_eq!(status["remotes"][remote]["ok"], true, "{status}");
    }
    let ended = daemon.end_by("TERM");
    assert!(ended.status.success());
    assert_eq!(ended.events("daemon_stopped").len(), 1);
    assert!(ended.events("run_finished").iter().all(|line| line["run.status"] == "complete"));
}

#[test]
fn a_stop_in_the_middle_of_a_run_takes_seconds_and_loses_nothing() {
    let server = archive_of(160);
    let files = files_for(&server, "24h", LOCAL_STAGING);
    stall_at_third_page(&server);
    let mut daemon = Process::start(&files, &["run"]);
    wait_for_stall(&mut daemon, &server);
    let limits = daemon.proc_file("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert!(
        core.trim_end().ends_with("bytes") && core.split_whitespace().filter(|word| *word == "0").count() == 2,
        "{core}"
    );
    let ended = daemon.end_by("TERM");
    assert!(ended.status.success(), "{}", ended.status);
    assert!(ended.after < Duration::from_secs(10), "{:?}", ended.after);
    assert!(files.archived(ANA).len() <= 100);
    assert_eq!(ended.events("run_finished").len(), 1, "it had the time to close its account");

    let mut daemon = Process::start(&files, &["run"]);
    // Nothing waits for the leases of the one that has gone.
    let finished = daemon.wait_for_line("complete run", |line| line["run.status"] == "complete");
    assert_eq!(finished["run.seconds"].as_i64().unwrap() / 30, 0, "{finished}");
    assert_eq!(files.archived(ANA), numbers(160));
    let status = process::command_json(&files, &["status", "--json"]);
    assert_eq!((&status["state"], &status["pending"]), (&"idle".into(), &0.into()), "{status}");
    assert!(daemon.end_by("INT").status.success());
}

#[test]
fn a_stop_between_pages_ends_the_run_and_its_account() {
    let server = archive_of(5000);
    let files = files_for(&server, "24h", LOCAL_STAGING);
    let mut daemon = Process::start(&files, &["run"]);
    daemon.wait_for("page_staged");
    let ended = daemon.end_by("TERM");
    assert!(ended.status.success());
    assert!(ended.after < Duration::from_secs(10), "{:?}", ended.after);
    let finished = ended.events("run_finished");
    assert_eq!(finished.len(), 1, "it had the time to close its account");
    assert_eq!(finished[0]["run.status"], "failed");
    let archived = files.archived(ANA).len();
    assert!(archived < 5000, "it was in the middle");

    // Stopped on purpose, it goes on at once when it is started again.
    let mut daemon = Process::start(&files, &["run"]);
    let finished = daemon.wait_for("run_finished");
    assert_eq!(finished["run.status"], "complete", "{finished}");
    let archived = files.archived(ANA);
    let missing: Vec<i64> = numbers(5000).into_iter().filter(|number| !archived.contains(number)).collect();
    assert!(missing.is_empty() && archived.len() == 5000, "{} there, missing {missing:?}", archived.len());
    assert!(daemon.end_by("TERM").status.success());
}

#[test]
fn a_killed_daemon_is_succeeded_at_once_without_loss_or_doubling() {
    let server = archive_of(160);
    let files = files_for(&server, "24h", &azure_staging());
    stall_at_third_page(&server);
    let mut daemon = Process::start(&files, &["run"]);
    wait_for_stall(&mut daemon, &server);
    assert!(!daemon.end_by("KILL").status.success());

    let mut daemon = Process::start(&files, &["run"]);
    daemon.wait_for("run_abandoned");
    let finished = daemon.wait_for_line("complete run", |line| line["run.status"] == "complete");
    assert_eq!(finished["items.available"], 60, "what was staged is not asked for again");
    assert_eq!(files.archived(ANA), numbers(160));
    assert!(daemon.end_by("TERM").status.success());
}

#[test]
fn whoever_waits_takes_a_dead_daemons_turn_when_its_lease_has_run_out() {
    let server = archive_of(160);
    let files = files_for(&server, "24h", LOCAL_STAGING);
    stall_at_third_page(&server);
    let lease = [("WHATSAPP_ARCHIVER__LEDGER__LEASE", "10s")];
    let mut daemon = Process::with_environment(&files, &["run"], &lease);
    wait_for_stall(&mut daemon, &server);

    let mut stopped = Process::with_environment(&files, &["run", "--once"], &lease);
    stopped.wait_for("help_started");
    let stopped = stopped.end_by("TERM");
    assert_eq!(stopped.status.code(), Some(1), "one that waits can be stopped");
    let mut waiting = Process::with_environment(&files, &["run", "--once"], &lease);
    waiting.wait_for("help_started");
    assert_eq!(process::command_json(&files, &["status", "--json"])["state"], "running");

    daemon.end_by("KILL");
    waiting.wait_for("run_abandoned");
    let ended = waiting.end();
    assert!(ended.status.success(), "{:#?}", ended.log);
    assert_eq!(files.archived(ANA), numbers(160));
}

#[test]
fn whoever_waits_for_a_ledger_that_hangs_is_ended_by_a_signal() {
    let files = files_for(&archive_of(1), "24h", LOCAL_STAGING);
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("postgres://archiver@{}/archive", silent.local_addr().unwrap());
    let environment = [("WHATSAPP_ARCHIVER__LEDGER__URL", url.as_str())];
    for (arguments, status) in [(&["run"][..], 0), (&["run", "--once"], 1), (&["retry", "--dry-run"], 1)] {
        let waiting = Process::with_environment(&files, arguments, &environment);
        // By then it listens to signals, and waits for a database that says nothing.
        let _connection = silent.accept().unwrap();
        let ended = waiting.end_by("TERM");
        assert_eq!(ended.status.code(), Some(status), "{arguments:?}: {:#?}", ended.log);
    }
}
