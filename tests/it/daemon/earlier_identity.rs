//! What a program that knew only version 1 of the identity has left goes on without a copy too many.
//!
//! `tests/fixtures/identity-1/` holds the ledger, the staging area and the mails of a run of commit `80092eb` over a folder of five
//! items, of which the first alone comes in the usual form, in the mailboxes of two users. Its times were moved to 2025.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sqlx::Connection as _;

use super::bench::Files;
use super::process;
use super::upgrade::copy;

const USERS: [&str; 2] = ["ana.berg@contoso.example", "ben.ode@contoso.example"];
/// A run of a past day: whatever the clock says, it reads the folder once.
const RUN: [&str; 5] = ["backfill", "--from", "2025-12-01", "--to", "2025-12-02"];

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/identity-1")
}

fn left_by_version_1() -> Files {
    let files = Files::new();
    files.write("users.csv", &format!("address\n{}\n{}\n", USERS[0], USERS[1]));
    files.write(
        "config.toml",
        r#"
        source = { kind = "directory", path = "src/" }
        staging = { kind = "local", path = "staging/", retain = "forever" }
        users = { kind = "list", path = "users.csv" }
        mailbox = { kind = "maildir", path = "mailboxes/" }
        ledger = { url = "sqlite://ledger.db" }
        "#,
    );
    fs::copy(fixture().join("ledger.db"), files.path("ledger.db")).unwrap();
    for folder in ["staging", "src"] {
        copy(&fixture().join(folder), &files.path(folder));
    }
    for user in USERS {
        let folder = files.path("mailboxes").join(user).join(".WhatsApp Archiver");
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        for mail in fs::read_dir(fixture().join("mails")).unwrap().map(Result::unwrap) {
            let name = format!("{}:2,S", mail.file_name().to_str().unwrap());
            fs::copy(mail.path(), folder.join("cur").join(name)).unwrap();
        }
    }
    files
}

/// The captures of the same messages for the other user: in the form of the first captures, or in the usual one.
fn add_other_captures(files: &Files, is_usual: bool) {
    const FORMS: [(&str, &str); 8] = [
        ("+1 555 0100", "15550100"),
        ("+1 555 0101", "15550101"),
        ("15550100:3@s.whatsapp.net", "15550100"),
        ("0015550101", "15550101"),
        ("15550100@c.us", "15550100"),
        (r"\r\n", r"\n"),
        (r#""groupData": {"id": "120363020304@g.us", "name": "Desk"}"#, r#""groupId": "120363020304@g.us""#),
        (r#"{"value": "15550100", "type": "PHONE"}, "sender""#, r#"{"value": "15550101", "type": "PHONE"}, "sender""#),
    ];
    let text = fs::read_to_string(files.path("src/2025-11-20.json")).unwrap();
    let owner = |text: String, (from, to): &(&str, &str)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    };
    let (name, text) = if is_usual {
        ("src/usual.json", FORMS.iter().fold(text, owner))
    } else {
        (
            "src/same.json",
            FORMS[7..].iter().fold(text, owner).replace(
                r#""+1 555 0100", "type": "PHONE"}, "sender""#,
                r#""+1 555 0101", "type": "PHONE"}, "sender""#,
            ),
        )
    };
    let mut items: Value = serde_json::from_str(&text).unwrap();
    for item in items.as_array_mut().unwrap() {
        item["id"] = (item["id"].as_i64().unwrap() + if is_usual { 200 } else { 100 }).into();
    }
    fs::write(files.path(name), items.to_string()).unwrap();
}

fn run(files: &Files, arguments: &[&str]) -> String {
    process::command_output(files, arguments)
}

/// Each mailbox has each message once, and the program says so too.
fn assert_nothing_doubled(files: &Files) {
    for user in USERS {
        assert_eq!(files.archived(user), [1, 2, 3, 4, 5], "{user}");
    }
    let verified = process::command_json(files, &["verify", "--format", "json"]);
    assert_eq!(verified["checked"], 10, "{verified}");
    for damage in ["missing", "doubled", "altered", "extra"] {
        assert_eq!(verified[damage].as_array().unwrap().len(), 0, "{verified}");
    }
}

async fn execute(files: &Files, statement: &'static str) {
    let url = format!("sqlite://{}", files.path("ledger.db").display());
    let mut ledger = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query(statement).execute(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
}

#[test]
fn other_captures_of_its_messages_are_duplicates() {
    let files = left_by_version_1();
    add_other_captures(&files, false);
    run(&files, &RUN);
    assert_nothing_doubled(&files);
    // By now the ledger knows those messages in any form.
    add_other_captures(&files, true);
    run(&files, &RUN);
    assert_nothing_doubled(&files);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_unknown_outcome_are_looked_up_by_their_own_message_id() {
    let files = left_by_version_1();
    let names = |user: &str| {
        let folder = files.path("mailboxes").join(user).join(".WhatsApp Archiver/cur");
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    };
    let sent = names(USERS[0]);
    execute(&files, "UPDATE deliveries SET state = 'sending', holder = 'gone'").await;
    fs::remove_file(&sent[0]).unwrap();
    fs::remove_file(&sent[3]).unwrap();
    run(&files, &RUN);
    assert_nothing_doubled(&files);
    let ids = |paths: &[PathBuf]| -> Vec<String> {
        let id = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().split('.').nth(1).unwrap().to_owned();
        paths.iter().map(id).collect()
    };
    assert_eq!(ids(&names(USERS[0])), ids(&sent), "what was absent is sent under the Message-ID that is on record");
}

#[test]
fn a_ledger_that_is_rebuilt_finds_them() {
    let files = left_by_version_1();
    fs::remove_file(files.path("ledger.db")).unwrap();
    run(&files, &["rebuild-ledger"]);
    assert_nothing_doubled(&files);
    add_other_captures(&files, true);
    run(&files, &RUN);
    assert_nothing_doubled(&files);
    // A copy that is lost is sent once, under today's Message-ID.
    let folder = files.path("mailboxes").join(USERS[1]).join(".WhatsApp Archiver/cur");
    for mail in fs::read_dir(&folder).unwrap() {
        fs::remove_file(mail.unwrap().path()).unwrap();
    }
    let restored = process::run(&files, &["verify", "--restore"]);
    assert_eq!(restored.status.code(), Some(1), "{restored:?}");
    run(&files, &RUN);
    assert_nothing_doubled(&files);
}
