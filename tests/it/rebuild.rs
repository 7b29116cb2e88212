//! `rebuild-ledger`: a lost ledger comes back from staging and the mailboxes; nothing is doubled, nothing is lost.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::installation::{ANA, Archive, BEN, CARA, captured, item, item_with_file, message_id};

mod crash;

/// Checks that the books balance, and gives the counts of the deliveries.
fn balanced(report: &Value) -> &Value {
    let counts = &report["deliveries"];
    let of = |name: &str| counts[name].as_u64().unwrap();
    let outcomes: u64 =
        ["imported", "partially_imported", "skipped_duplicate", "failed", "pending"].into_iter().map(of).sum();
    assert_eq!(of("available_for_import"), outcomes, "{report}");
    counts
}

/// Three days: messages, one captured by both, one with a file, one of somebody unknown, one encrypted, one malformed.
fn three_days(archive: &Archive) {
    archive.export("1.json", &[item(1, "message 1"), item_with_file(2, "message 2")]);
    archive.export_attachment(2, 0, b"attached");
    archive.run_to(0, &["run", "--once"]);
    let mut encrypted = item(4, "message 4");
    encrypted["securityContent"] = json!({"key": "x"});
    archive.export("2.json", &[item(3, "message 3"), captured(5, BEN, "3EB01", "message 1"), encrypted]);
    archive.run_to(0, &["run", "--once"]);
    let mut unknown = item(6, "message 6");
    unknown["body"]["participantEnrichments"] = json!({});
    archive.export("3.json", &[unknown, json!({"id": 7, "body": {}}), item(8, "message 8")]);
    archive.run_to(0, &["run", "--once"]);
}

/// The folder was emptied, or a volume isn't mounted: what was staged there isn't replaced without a word.
#[test]
fn an_emptied_staging_area_stops_every_run_until_somebody_decides() {
    let archive = Archive::new();
    archive.export("1.json", &[item(1, "message 1")]);
    archive.run_to(0, &["run", "--once"]);
    fs::remove_dir_all(archive.path("staging")).unwrap();
    archive.export("2.json", &[item(2, "message 2")]);
    let report = archive.run_to(1, &["run", "--once"]);
    assert!(report.contains("is empty, but this ledger has staged items there"), "{report}");
    assert_eq!(archive.mails(ANA).len(), 1, "nothing is read before that is settled");
    assert!(!archive.path("staging/ledger-id").exists() && !archive.path("staging/reports").exists());
    let error =
        archive.fail(1, &["export", "--from", "2026-11-01", "--to", "2026-12-01", "--format", "eml", "--out", "x"]);
    assert!(error.contains("this ledger has staged items there"), "{error}");

    let error = archive.run_to(0, &["status", "--json"]);
    let status: Value = serde_json::from_str(&error).unwrap();
    let detail = status["remotes"]["staging"]["detail"].as_str().unwrap();
    let id = detail.split("with the text ").nth(1).unwrap().split(' ').next().unwrap();
    fs::create_dir_all(archive.path("staging")).unwrap();
    fs::write(archive.path("staging/ledger-id"), id).unwrap();
    archive.run_to(0, &["run", "--once"]);
    assert_eq!(archive.mails(ANA).len(), 2, "the first message is not doubled");
}

fn copy_ledger(archive: &Archive, to: &str) {
    for end in ["", "-wal", "-shm"] {
        let file = archive.path(&format!("ledger.db{end}"));
        if file.exists() {
            fs::copy(file, archive.path(&format!("{to}{end}"))).unwrap();
        }
    }
}

fn pages(archive: &Archive) -> Vec<PathBuf> {
    let windows = fs::read_dir(archive.path("staging/windows")).unwrap();
    let pages = windows.flat_map(|window| fs::read_dir(window.unwrap().path().join("pages")).unwrap());
    let mut pages: Vec<PathBuf> = pages.map(|page| page.unwrap().path()).collect();
    pages.sort();
    pages
}

#[test]
fn a_lost_ledger_comes_back() {
    let archive = Archive::new();
    three_days(&archive);
    archive.rename_mails();
    let (ana, ben) = (archive.message_ids(ANA), archive.message_ids(BEN));
    assert_eq!((ana.len(), ben.len()), (4, 4));
    copy_ledger(&archive, "old.db");
    archive.lose_ledger();

    let refused = archive.fail(1, &["run", "--once"]);
    assert!(refused.contains("rebuild-ledger"), "{refused}");
    archive.run_to(0, &["rebuild-ledger"]);
    let report = archive.report();
    assert_eq!((&report["kind"], &report["status"]), (&json!("rebuild"), &json!("complete")));
    assert_eq!(report["items"]["available_from_source"], 8);
    let counts = balanced(&report);
    assert_eq!(
        (&counts["imported"], &counts["skipped_duplicate"], &counts["failed"]),
        (&json!(8), &json!(2), &json!(3))
    );
    assert_eq!(report["failed_by_reason"], json!({"no_valid_user": 1, "encrypted": 1, "malformed": 1}));
    assert_eq!(report["bytes"]["downloaded"], 0);
    assert_eq!((archive.message_ids(ANA), archive.message_ids(BEN)), (ana.clone(), ben.clone()));
    assert_eq!(archive.verify(0, &[])["checked"], 8);

    archive.export("4.json", &[item(9, "message 9")]);
    archive.run_to(0, &["run", "--once"]);
    let report = archive.report();
    assert_eq!((&report["items"]["available_from_source"], &balanced(&report)["imported"]), (&json!(1), &json!(2)));
    assert_eq!(archive.message_ids(ANA).len(), 5);
    assert_eq!(archive.verify(0, &[])["checked"], 10);

    assert!(archive.fail(1, &["rebuild-ledger"]).contains("this ledger is in use"));
    archive.set_ledger("sqlite://old.db");
    assert!(
        archive.fail(1, &["run", "--once"]).contains("belongs to another ledger"),
        "the lost ledger turns up again"
    );
}

#[test]
fn it_can_be_lost_twice() {
    let archive = Archive::new();
    three_days(&archive);
    archive.rename_mails();
    let ben = archive.message_ids(BEN);
    for _ in 0..2 {
        archive.lose_ledger();
        archive.run_to(0, &["rebuild-ledger"]);
        assert_eq!(archive.message_ids(BEN), ben);
    }
    let successors = fs::read_dir(archive.path("staging/ledger-successors")).unwrap().count();
    assert_eq!(successors, 2);
    archive.run_to(0, &["run", "--once"]);
}

#[test]
fn what_is_absent_is_sent_again_and_what_was_moved_is_not() {
    let archive = Archive::new();
    three_days(&archive);
    archive.rename_mails();
    let before = archive.message_ids(BEN);
    fs::remove_file(archive.mail(BEN, "message 3")).unwrap();
    let folder = archive.path("mailboxes").join(BEN).join(".Projects/cur");
    fs::create_dir_all(&folder).unwrap();
    fs::rename(archive.mail(BEN, "message 8"), folder.join("1.R1.host:2,S")).unwrap();
    archive.lose_ledger();
    archive.run_to(0, &["rebuild-ledger"]);
    assert_eq!(archive.message_ids(BEN), before);
    archive.mail(BEN, "message 3");
}

/// The page and the attachment lay in staging, and the ledger that was lost may not have known them.
#[test]
fn what_was_only_staged_is_imported() {
    let archive = Archive::new();
    archive.export("1.json", &[item(1, "message 1"), item_with_file(2, "message 2")]);
    archive.export_attachment(2, 0, b"attached");
    archive.run_to(0, &["run", "--once"]);
    let expected = (archive.message_ids(ANA), archive.message_ids(BEN));
    fs::remove_dir_all(archive.path("mailboxes")).unwrap();
    fs::remove_dir_all(archive.path("export/attachments")).unwrap();
    archive.lose_ledger();
    archive.run_to(0, &["rebuild-ledger"]);
    assert_eq!((archive.message_ids(ANA), archive.message_ids(BEN)), expected);
    // The attachment's bytes are in the Message-ID: they came from staging.
    assert!(archive.verify(0, &[])["unproven"].as_array().unwrap().is_empty());
}

#[test]
fn a_copy_that_the_lost_ledger_sent_is_looked_up_whenever_it_is_made() {
    let archive = Archive::new();
    archive.export("1.json", &[item(1, "message 1")]);
    archive.run_to(0, &["run", "--once"]);
    archive.rename_mails();
    archive.lose_ledger();
    // While the ledger is rebuilt, the user list lacks Ben.
    archive.set_users(&[ANA]);
    archive.run_to(0, &["rebuild-ledger"]);
    archive.set_users(&[ANA, BEN, CARA]);
    archive.run_to(0, &["retry"]);
    archive.run_to(0, &["retry", "--item", "1"]);
    assert_eq!(archive.message_ids(BEN).len(), 1);

    // While it is rebuilt, nobody resolves: the item is held, and replayed later.
    archive.lose_ledger();
    archive.set_users(&[CARA]);
    archive.run_to(0, &["rebuild-ledger"]);
    assert_eq!(archive.report()["failed_by_reason"], json!({"no_valid_user": 1}));
    archive.set_users(&[ANA, BEN, CARA]);
    archive.run_to(0, &["retry", "--reason", "no_valid_user"]);
    assert_eq!(balanced(&archive.report())["imported"], 2);
    assert_eq!((archive.message_ids(ANA).len(), archive.message_ids(BEN).len()), (1, 1));
    assert_eq!(archive.verify(0, &[])["checked"], 2);
}

/// A partial copy was sent after the wait for its attachment; the rebuilt ledger waits again, and finds it.
#[test]
fn a_partial_import_is_found_again() {
    let archive = Archive::new();
    archive.export("1.json", &[item_with_file(1, "message 1")]);
    archive.run(&["run", "--once"]);
    archive.run_to(0, &["run", "--once"]);
    assert_eq!(archive.message_ids(BEN).len(), 1);
    archive.rename_mails();
    archive.lose_ledger();
    archive.run_to(1, &["rebuild-ledger"]);
    assert_eq!(balanced(&archive.report())["pending"], 1);
    archive.run_to(0, &["run", "--once"]);
    assert_eq!(balanced(&archive.report())["partially_imported"], 2);
    assert_eq!((archive.message_ids(ANA).len(), archive.message_ids(BEN).len()), (1, 1));
}

/// The message was captured by Ana's archiver, imported, and purged from staging; then Ben's capture comes.
#[test]
fn another_capture_of_a_message_that_was_purged_is_not_doubled() {
    let archive = Archive::new();
    archive.export("1.json", &[item(1, "message 1")]);
    archive.run_to(0, &["run", "--once"]);
    archive.rename_mails();
    archive.lose_ledger();
    fs::remove_dir_all(archive.path("staging/windows")).unwrap();
    fs::remove_file(archive.path("export/1.json")).unwrap();
    archive.run_to(0, &["rebuild-ledger"]);
    archive.export("2.json", &[captured(2, BEN, "3EB01", "message 1"), item(3, "message 3")]);
    archive.run_to(0, &["run", "--once"]);
    assert_eq!(balanced(&archive.report())["imported"], 4);
    assert_eq!((archive.message_ids(ANA).len(), archive.message_ids(BEN).len()), (2, 2));
}

#[test]
fn what_is_held_beyond_its_window_comes_back() {
    let archive = Archive::new();
    let mut unknown = item_with_file(1, "message 1");
    unknown["body"]["participantEnrichments"] = json!({});
    archive.export("1.json", &[unknown.clone()]);
    archive.export_attachment(1, 0, b"attached");
    archive.run_to(0, &["run", "--once"]);
    // As purging leaves it: the item and its file are copied, the window is gone, and the source doesn't have it any more.
    let raw = unknown.to_string();
    let key = whatsapp_archiver::digest::Digest::of(raw.as_bytes());
    let held = archive.path("staging/held").join(key.to_string());
    fs::create_dir_all(&held).unwrap();
    fs::write(held.join("item.json"), raw).unwrap();
    fs::write(held.join("0"), "attached").unwrap();
    fs::remove_dir_all(archive.path("staging/windows")).unwrap();
    fs::remove_dir_all(archive.path("export")).unwrap();
    fs::create_dir(archive.path("export")).unwrap();
    archive.lose_ledger();

    archive.run_to(0, &["rebuild-ledger"]);
    assert_eq!(archive.report()["failed_by_reason"], json!({"no_valid_user": 1}));
    let mapping = format!("External User ID,Microsoft 365 User Mailbox\n15550101,{ANA}\n");
    fs::write(archive.path("mapping.csv"), mapping).unwrap();
    let config = fs::read_to_string(archive.path("config.toml")).unwrap();
    let config = config.replace("automatic = true", "automatic = true\ncustom = \"mapping.csv\"");
    fs::write(archive.path("config.toml"), config).unwrap();
    archive.run_to(0, &["retry"]);
    let mail = fs::read_to_string(archive.mail(ANA, "message 1")).unwrap();
    assert!(mail.contains("file.txt"), "{mail}");
}

#[test]
fn a_damaged_page_is_reported_and_its_window_is_read_again() {
    let archive = Archive::new();
    three_days(&archive);
    archive.rename_mails();
    let (ana, ben) = (archive.message_ids(ANA), archive.message_ids(BEN));
    let page = pages(&archive).remove(0);
    let mut bytes = fs::read(&page).unwrap();
    *bytes.last_mut().unwrap() = b' ';
    fs::write(&page, bytes).unwrap();
    archive.lose_ledger();
    let output = archive.run(&["rebuild-ledger"]);
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    let name = page.file_name().unwrap().to_str().unwrap();
    assert!(log.contains(name) && log.contains("1 staged pages can't be read"), "{log}");
    balanced(&archive.report());
    // Taken over all the same: the next run reads the source again, and looks up what it doesn't know.
    archive.run_to(0, &["run", "--once"]);
    assert_eq!((archive.message_ids(ANA), archive.message_ids(BEN)), (ana, ben));
    let result = archive.verify(0, &[]);
    assert!(result["extra"].as_array().unwrap().is_empty());
}

#[test]
fn of_several_tries_of_an_attachment_the_declared_one_counts() {
    let archive = Archive::new();
    let right = whatsapp_archiver::digest::Digest::of(b"attached");
    let mut item = item_with_file(1, "message 1");
    item["body"]["attachment"][0]["digest"] = json!(right.to_string());
    archive.export("1.json", &[item]);
    archive.export_attachment(1, 0, b"attached");
    archive.run_to(0, &["run", "--once"]);
    let mail = archive.mail(BEN, "message 1");
    let before = fs::read(&mail).unwrap();
    let key = fs::read_dir(pages(&archive)[0].parent().unwrap().with_file_name("attachments")).unwrap().next();
    let files = key.unwrap().unwrap().path();
    fs::write(files.join("1"), "of no attachment").unwrap();
    fs::write(files.join("0.1"), "a later try that broke off").unwrap();
    fs::remove_dir_all(archive.path("mailboxes")).unwrap();
    archive.lose_ledger();
    archive.run_to(0, &["rebuild-ledger"]);
    assert_eq!(fs::read(archive.mail(BEN, "message 1")).unwrap(), before);
    assert_eq!(message_id(&mail), message_id(&archive.mail(BEN, "message 1")));
}

#[test]
fn a_new_installation_has_nothing_to_rebuild() {
    let archive = Archive::new();
    archive.run_to(0, &["rebuild-ledger"]);
    assert_eq!(balanced(&archive.report())["available_for_import"], 0);
    archive.export("1.json", &[item(1, "message 1")]);
    archive.run_to(0, &["run", "--once"]);
    assert_eq!(archive.message_ids(BEN).len(), 1);
}

/// A backup that is older than the last run doesn't know what was sent since.
#[test]
fn a_ledger_restored_from_an_older_backup_is_refused() {
    let archive = Archive::new();
    archive.export("1.json", &[item(1, "message 1")]);
    archive.run_to(0, &["run", "--once"]);
    copy_ledger(&archive, "backup.db");
    archive.set_ledger("sqlite://backup.db");
    archive.run_to(0, &["run", "--once"]);
    archive.set_ledger("sqlite://ledger.db");
    // The backup read nothing new, and nothing was sent with it: no harm is done.
    archive.run_to(0, &["run", "--once"]);
    archive.export("2.json", &[item(2, "message 2")]);
    archive.run_to(0, &["run", "--once"]);
    archive.rename_mails();

    archive.set_ledger("sqlite://backup.db");
    for words in [&["run", "--once"][..], &["retry"], &["backfill", "--from", "2026-11-01", "--to", "2026-11-02"]] {
        assert!(archive.fail(1, words).contains("this ledger is older than"), "{words:?}");
    }
    let check = archive.command(&["check", "--online"]).output().unwrap();
    let found = String::from_utf8_lossy(&check.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(!check.status.success() && found.contains("this ledger is older than"), "{found}");
    assert_eq!(archive.message_ids(BEN).len(), 2);
    archive.set_ledger("sqlite://new.db");
    archive.run_to(0, &["rebuild-ledger"]);
    archive.run_to(0, &["run", "--once"]);
    assert_eq!(archive.message_ids(BEN).len(), 2);
}
