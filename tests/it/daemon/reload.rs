//! What an administrator changes while the daemon runs. A bad change leaves the last good one in force.

use std::fs;
use std::sync::Arc;

use whatsapp_archiver::clock::{Clock as _, SystemClock};

use super::bench::{ANA, Files, LOCAL_STAGING, numbered};
use super::process::{self, Process};
use crate::servers::telemessage::{TeleMessageServer, who};

const BEN: &str = "ben.ito@contoso.example";

/// An item of a number whose mailbox only the mapping knows.
fn of_ben(number: i64) -> crate::servers::telemessage::ArchivedItem {
    let (ben, cleo) = (who("15550142"), who("15550143"));
    numbered(number, SystemClock.now()).between(&ben, &cleo, std::slice::from_ref(&ben))
}

fn log_ins(server: &TeleMessageServer) -> usize {
    server.page_requests().iter().filter(|request| request.limit == 0).count()
}

/// Returns when a run is under way that began after what the log told last. A run under way keeps what it began with, and may
/// have begun just before it says so.
fn wait_for_next_run(daemon: &mut Process) {
    daemon.wait_for("run_started");
    daemon.wait_for("run_started");
}

#[test]
fn mapping_and_configuration_are_read_again() {
    let server = TeleMessageServer::start(Arc::new(SystemClock));
    let files = Files::new();
    let schedule = "every = \"1s\"\nsettle = \"0s\"";
    files.write_config(&server.base_url(), schedule, LOCAL_STAGING);
    let mut daemon = Process::start(&files, &["run"]);
    daemon.wait_for("run_finished");

    // The mapping: a good one is in force, a bad one is reported and changes nothing.
    files.write_mapping(&[("15550100", ANA), ("15550142", BEN)]);
    assert_eq!(daemon.wait_for("mapping_reloaded")["numbers"], 2);
    files.write_mapping(&[("15550100", ANA), ("4.45E+11", BEN)]);
    let refused = daemon.wait_for("reload_failed");
    assert_eq!(refused["level"], "ERROR");
    assert!(refused["error"].as_str().unwrap().contains("mapping.csv:3"), "{refused}");
    wait_for_next_run(&mut daemon);
    server.add([of_ben(1)]);
    daemon.wait_for_line("item of Ben", |line| line["deliveries.imported"] == 1);
    assert_eq!(files.archived(BEN), [1]);

    // The configuration, at SIGHUP.
    let good = fs::read_to_string(files.config()).unwrap();
    files.write("config.toml", &good.replace("[retry]", "[retri]"));
    daemon.signal("HUP");
    let refused = daemon.wait_for("reload_failed");
    assert!(refused["error"].as_str().unwrap().contains("retri"), "{refused}");
    // A good configuration with the bad mapping can't be used either.
    let renamed = good.replace("path = \"mailboxes/\"", "path = \"mailboxes/\"\nfolder = \"Archive\"");
    files.write("config.toml", &renamed);
    daemon.signal("HUP");
    daemon.wait_for("reload_failed");
    wait_for_next_run(&mut daemon);
    server.add([of_ben(2)]);
    daemon.wait_for_line("item of Ben", |line| line["deliveries.imported"] == 1);
    assert_eq!(files.archived(BEN), [1, 2], "in the folder that it began with");
    files.write_mapping(&[("15550100", ANA), ("15550142", BEN)]);
    daemon.wait_for("mapping_reloaded");
    daemon.signal("HUP");
    daemon.wait_for("configuration_reloaded");
    wait_for_next_run(&mut daemon);
    server.add([of_ben(3)]);
    daemon.wait_for_line("item of Ben", |line| line["deliveries.imported"] == 1);
    assert_eq!(files.archived_in(BEN, "Archive"), [3]);

    // A configuration that was refused stays refused, whatever else is read again meanwhile.
    files.write("config.toml", &good.replace("[retry]", "[retri]"));
    daemon.signal("HUP");
    daemon.wait_for("reload_failed");

    // The user list: without Ben, his items belong to nobody.
    files.write("users.csv", &format!("address\n{ANA}\n"));
    daemon.wait_for("configuration_reloaded");
    wait_for_next_run(&mut daemon);
    server.add([of_ben(4)]);
    daemon.wait_for_line("item without a user", |line| line["deliveries.failed"] == 1);
    files.write("config.toml", &renamed);
    let status = process::command_json(&files, &["status", "--json"]);
    let kinds: Vec<&str> =
        status["warnings"].as_array().unwrap().iter().filter_map(|warning| warning["kind"].as_str()).collect();
    assert!(kinds.contains(&"configuration_refused"), "{status}");
    let ended = daemon.end_by("TERM");
    assert!(ended.status.success());
    assert_eq!((files.archived(BEN), files.archived_in(BEN, "Archive")), (vec![1, 2], vec![3]));
}

#[test]
fn what_is_read_at_the_start_alone_needs_a_restart() {
    let server = TeleMessageServer::start(Arc::new(SystemClock));
    let files = Files::new();
    files.write_config(&server.base_url(), "every = \"24h\"", LOCAL_STAGING);
    files.change_config("[retry]", "[http]\nlisten = \"127.0.0.1:0\"\ntoken = { file = \"token\" }\n[retry]");
    for token in ["token", "other"] {
        files.write(token, "a token of more than sixteen letters");
    }
    let mut daemon = Process::start(&files, &["run"]);
    daemon.wait_for("run_finished");
    files.change_config("file = \"token\"", "file = \"other\"");
    daemon.signal("HUP");
    assert_eq!(daemon.wait_for("restart_needed")["key"], "http.token");
    assert!(daemon.end_by("TERM").status.success());
}

#[test]
fn a_mapping_that_names_somebody_at_last_says_how_to_add_the_copies() {
    let server = TeleMessageServer::start(Arc::new(SystemClock));
    server.add([of_ben(1)]);
    let files = Files::new();
    files.write_config(&server.base_url(), "every = \"24h\"\nsettle = \"0s\"", LOCAL_STAGING);
    let mut daemon = Process::start(&files, &["run"]);
    assert_eq!(daemon.wait_for("run_finished")["deliveries.failed"], 1);
    files.write_mapping(&[("15550100", ANA), ("15550142", BEN)]);
    let gained = daemon.wait_for("mapping_gained");
    assert_eq!(gained["participants"], 1, "{gained}");
    assert!(gained["message"].as_str().unwrap().contains("retry --reason no_valid_user"), "{gained}");
    let dry = process::run(&files, &["retry", "--reason", "no_valid_user", "--dry-run"]);
    assert_eq!(
        String::from_utf8(dry.stdout).unwrap(),
        "1 item would be replayed, which would add 1 copy. No run was started.\n"
    );
    let retried = process::run(&files, &["retry", "--reason", "no_valid_user"]);
    assert!(String::from_utf8(retried.stdout).unwrap().ends_with("1 copy was added.\n"));
    assert_eq!(files.archived(BEN), [1]);
    assert!(daemon.end_by("TERM").status.success());
}

#[test]
fn what_a_mapping_makes_good_is_said_after_a_restart_too_and_only_once_it_is_open() {
    let server = TeleMessageServer::start(Arc::new(SystemClock));
    server.add([of_ben(1)]);
    let files = Files::new();
    files.write_config(&server.base_url(), "every = \"24h\"\nsettle = \"0s\"", LOCAL_STAGING);
    let once = || process::run(&files, &["run", "--once"]);
    assert!(once().status.success());
    files.write_mapping(&[("15550100", ANA), ("15550142", BEN)]);
    let mut daemon = Process::start(&files, &["run"]);
    assert_eq!(daemon.wait_for("mapping_gained")["participants"], 1);
    assert!(daemon.end_by("TERM").status.success());
    assert!(process::run(&files, &["retry", "--reason", "no_valid_user"]).status.success());
    assert_eq!(files.archived(BEN), [1]);
    // Ben is made good: another file that names him gains nothing.
    files.write_mapping(&[("15550100", ANA), ("15550142", BEN), ("15550199", ANA)]);
    let log = String::from_utf8(once().stderr).unwrap();
    assert!(log.contains("run_finished") && !log.contains("mapping_gain"), "{log}");
}

#[test]
fn a_mapping_that_was_removed_is_refused_like_a_bad_one() {
    let server = TeleMessageServer::start(Arc::new(SystemClock));
    let files = Files::new();
    files.write_config(&server.base_url(), "every = \"24h\"", LOCAL_STAGING);
    let mut daemon = Process::start(&files, &["run"]);
    daemon.wait_for("run_finished");
    fs::remove_file(files.path("mapping.csv")).unwrap();
    let refused = daemon.wait_for("reload_failed");
    assert!(refused["error"].as_str().unwrap().contains("mapping.csv"), "{refused}");
    files.write_mapping(&[("15550100", ANA)]);
    daemon.wait_for("mapping_reloaded");
    assert!(daemon.end_by("TERM").status.success());
}

#[test]
fn a_refused_password_is_left_alone_until_its_file_changes() {
    let server = TeleMessageServer::start(Arc::new(SystemClock));
    server.add([numbered(1, SystemClock.now() - chrono::Duration::hours(1))]);
    server.set_password("changed by them");
    let files = Files::new();
    files.write_config(&server.base_url(), "every = \"24h\"", LOCAL_STAGING);

    // A run that an administrator asks for may try, and the daemon knows of its refusal.
    let once = process::run(&files, &["run", "--once"]);
    assert_eq!(once.status.code(), Some(1), "{once:?}");
    let table = String::from_utf8(once.stdout).unwrap();
    assert!(table.contains("refuses the credential") && table.contains("source.password"), "{table}");
    let mut daemon = Process::start(&files, &["run"]);
    daemon.wait_for("daemon_started");
    // A reload proves that its loop comes round.
    daemon.signal("HUP");
    daemon.wait_for("configuration_reloaded");
    assert_eq!(log_ins(&server), 1);
    assert_eq!(process::run(&files, &["run", "--once"]).status.code(), Some(1));
    assert_eq!(log_ins(&server), 2);

    files.write("password", "changed by them");
    assert_eq!(daemon.wait_for("run_finished")["run.status"], "complete");
    assert_eq!(files.archived(ANA), [1]);
    assert_eq!(log_ins(&server), 3);
    assert!(daemon.end_by("TERM").status.success());
}
