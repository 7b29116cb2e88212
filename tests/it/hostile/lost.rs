//! Files that are taken away from under the daemon: it says which, and no run says that all is well.

use std::fs;

use super::files_for;
use crate::daemon::bench::{ANA, archive_of, numbered};
use crate::daemon::process::{self, Process};
use whatsapp_archiver::clock::{Clock as _, SystemClock};

#[test]
fn a_ledger_that_is_deleted_under_the_daemon_is_named_and_not_made_anew() {
    let server = archive_of(3);
    let files = files_for(&server, "2s", "");
    let mut daemon = Process::start(&files, &["run"]);
    assert_eq!(daemon.wait_for("run_finished")["run.status"], "complete");
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        fs::remove_file(files.path(name)).unwrap();
    }
    server.add([numbered(4, SystemClock.now())]);
    let told = daemon.wait_for_line("error that names the ledger", |line| {
        line["level"] == "ERROR"
            && line["error"].as_str().is_some_and(|error| error.contains("was deleted or replaced"))
    });
    let error = told["error"].as_str().unwrap();
    assert!(error.contains("ledger.db") && error.contains("rebuild-ledger"), "{error}");
    // It looks again, and finds the same.
    daemon.wait_for("ledger_unavailable");
    let ended = daemon.end_by("TERM");
    assert_eq!(files.archived(ANA), [1, 2, 3]);
    assert!(!files.path("ledger.db").exists());
    let after = ended.log.iter().rposition(|line| *line == told).unwrap();
    assert!(!ended.log[after..].iter().any(|line| line["run.status"] == "complete"), "{:#?}", ended.log);

    // What was sent is looked up, and nothing is doubled.
    process::command_output(&files, &["rebuild-ledger"]);
    process::command_output(&files, &["run", "--once"]);
    assert_eq!(files.archived(ANA), [1, 2, 3, 4]);
}

/// The folder is emptied, or somebody configures another one by mistake.
#[test]
fn staging_that_is_lost_under_the_daemon_is_named_and_not_made_anew() {
    let server = archive_of(3);
    let files = files_for(&server, "2s", "");
    let mut daemon = Process::start(&files, &["run"]);
    assert_eq!(daemon.wait_for("run_finished")["run.status"], "complete");
    let (staging, aside) = (files.path("staging"), files.path("aside"));
    fs::rename(&staging, &aside).unwrap();
    fs::create_dir(&staging).unwrap();
    server.add([numbered(4, SystemClock.now())]);
    let failed = daemon.wait_for_line("failed run", |line| line["run.status"] == "failed");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("staging.path") || error.contains(staging.to_str().unwrap()), "{error}");
    let ended = daemon.end_by("TERM");
    let after = ended.log.iter().position(|line| *line == failed).unwrap();
    assert!(!ended.log[after..].iter().any(|line| line["run.status"] == "complete"), "{:#?}", ended.log);
    assert_eq!(files.archived(ANA), [1, 2, 3]);

    fs::remove_dir_all(&staging).unwrap();
    files.change_config("path = \"staging/\"", "path = \"another/\"");
    let report = process::run(&files, &["run", "--once"]);
    let (out, log) = (String::from_utf8_lossy(&report.stdout), String::from_utf8_lossy(&report.stderr));
    assert_eq!(report.status.code(), Some(1), "{out}{log}");
    assert!(log.contains("is empty, but this ledger has staged items there"), "{log}");
    let check = process::run(&files, &["check", "--online"]);
    assert_eq!(check.status.code(), Some(1), "{}", String::from_utf8_lossy(&check.stdout));

    files.change_config("path = \"another/\"", "path = \"aside/\"");
    process::command_output(&files, &["run", "--once"]);
    assert_eq!(files.archived(ANA), [1, 2, 3, 4]);
}
