//! Phone numbers are masked in every output and in the log; message texts and secrets are in none.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Ended, Trial, ended, program};

/// Every phone number of the sample, as digits.
fn numbers(trial: &Trial) -> BTreeSet<String> {
    let mut numbers = BTreeSet::new();
    for_each_value(trial, &mut |key, value| {
        let digits: String = value.chars().filter(char::is_ascii_digit).collect();
        if key == "value" && digits.len() >= 10 && value.chars().all(|c| c.is_ascii_digit() || c == '+') {
            numbers.insert(digits);
        }
    });
    assert!(numbers.len() > 8, "{numbers:?}");
    numbers
}

/// The texts of the sample that are long enough to be recognised.
fn texts(trial: &Trial) -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    for_each_value(trial, &mut |key, value| {
        if key == "text" && value.chars().count() > 12 {
            texts.insert(value.chars().take(30).collect());
        }
    });
    assert!(texts.len() > 20);
    texts
}

fn for_each_value(trial: &Trial, look: &mut impl FnMut(&str, &str)) {
    fn walk(key: &str, value: &Value, look: &mut impl FnMut(&str, &str)) {
        match value {
            Value::String(text) => look(key, text),
            Value::Array(values) => values.iter().for_each(|value| walk(key, value, look)),
            Value::Object(fields) => fields.iter().for_each(|(key, value)| walk(key, value, look)),
            _ => {}
        }
    }
    for entry in fs::read_dir(trial.path("config/sample/export")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let documents: Vec<Value> =
            serde_json::Deserializer::from_str(&text).into_iter().map_while(Result::ok).collect();
        for document in &documents {
            walk("", document, look);
        }
    }
}

fn assert_clean(trial: &Trial, what: &str, shown: &str) {
    let digits_only = |number: &String| shown.contains(number.as_str());
    assert_eq!(numbers(trial).iter().find(|number| digits_only(number)), None, "{what} shows a number:\n{shown}");
    assert_eq!(texts(trial).iter().find(|text| shown.contains(text.as_str())), None, "{what} shows a text:\n{shown}");
}

#[test]
fn numbers_and_texts_are_in_no_output_and_no_log() {
    let trial = Trial::new();
    trial.edit("config/local.toml", |text| text + "\n[log]\nlevel = \"trace\"\n");
    for arguments in [
        &["check"][..],
        &["check", "--online"],
        &["run", "--once"],
        &["report"],
        &["report", "--format", "json"],
        &["report", "--format", "csv"],
        &["failures"],
        &["failures", "--format", "json"],
        &["failures", "--format", "csv"],
        &["status"],
        &["status", "--json"],
        &["retry"],
        &["run", "--once"],
    ] {
        let Ended { code, out, log } = trial.run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {out}{log}");
        assert_clean(&trial, &format!("{arguments:?}"), &out);
        assert_clean(&trial, &format!("the log of {arguments:?}"), &log);
    }
}

#[test]
fn numbers_are_shown_to_an_administrator_who_asks_for_them() {
    let trial = Trial::imported();
    for arguments in [
        &["report", "--format", "json", "--show-numbers"][..],
        &["failures", "--show-numbers"],
        &["failures", "--format", "csv", "--show-numbers"],
    ] {
        let out = trial.prints(arguments);
        assert!(out.contains("+12025550107"), "{arguments:?}: {out}");
    }
    let masked = trial.prints(&["failures", "--format", "csv"]);
    assert!(masked.contains(",+1•••••0107,"), "{masked}");
}

#[test]
fn the_log_is_lines_of_json_with_its_fields() {
    let trial = Trial::new();
    trial.edit("config/local.toml", |text| text + "\n[log]\nlevel = \"debug\"\n");
    let log = trial.run(&["run", "--once"]).log;
    let mut events = BTreeSet::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let timestamp = line["timestamp"].as_str().unwrap();
        assert!(timestamp.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(timestamp).is_ok(), "{line}");
        assert!(["ERROR", "WARN", "INFO", "DEBUG"].contains(&line["level"].as_str().unwrap()), "{line}");
        assert!(line["message"].is_string() && line["target"].is_string(), "{line}");
        if let Some(event) = line["event"].as_str() {
            events.insert(event.to_owned());
            if event != "window_started" || line["run.id"].is_string() {
                assert!(line.get("run.id").is_none_or(Value::is_string), "{line}");
            }
        }
        if line["event"] == "delivery_imported" {
            assert_eq!(line["level"], "DEBUG");
            assert!(line["mailbox"].as_str().unwrap().contains('@') && line["run.id"].is_string(), "{line}");
        }
    }
    for event in ["run_started", "page_staged", "item_failed", "delivery_imported", "run_finished"] {
        assert!(events.contains(event), "{event} in {events:?}");
    }
    let text = trial.run(&["--log-format", "text", "status"]).log;
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_err()), "{text}");
}

#[test]
fn what_is_archived_is_for_its_owner_alone() {
    let trial = Trial::imported();
    for path in ["ledger.db", "staging", "mailboxes"] {
        let mode = fs::metadata(trial.path("local-data").join(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{path}: {mode:o}");
    }
}

#[test]
fn a_secret_is_never_shown() {
    let directory = tempfile::TempDir::new().unwrap();
    let config = directory.path().join("config.toml");
    let secret = "s3cret-of-the-archive";
    let text = r#"
[source]
kind = "telemessage"
base_url = "http://127.0.0.1:1"
username = "admin"
password = { env = "THE_PASSWORD" }
[staging]
kind = "local"
path = "staging/"
[users]
kind = "list"
path = "users.csv"
[mailbox]
kind = "maildir"
path = "mailboxes/"
[ledger]
url = "sqlite://ledger.db"
[retry]
attempts = 1
[log]
level = "trace"
"#;
    fs::write(&config, text).unwrap();
    fs::write(directory.path().join("users.csv"), "address\nana@contoso.example\n").unwrap();
    for arguments in [&["check"][..], &["check", "--online"], &["run", "--once"], &["report"], &["status"]] {
        let mut command = program();
        let ended = ended(command.arg("--config").arg(&config).args(arguments).env("THE_PASSWORD", secret));
        assert!(!format!("{}{}", ended.out, ended.log).contains(secret), "{arguments:?}");
    }
    // A secret in the file itself is refused, and not repeated.
    fs::write(&config, text.replace(r#"{ env = "THE_PASSWORD" }"#, &format!("{secret:?}"))).unwrap();
    let ended = ended(program().arg("--config").arg(&config).arg("check"));
    assert_eq!(ended.code, Some(78));
    assert!(ended.log.contains("source.password") && !ended.log.contains(secret), "{}", ended.log);
}

/// Whatever the umask: no message, and nothing that tells who wrote to whom, is open to others, from its first byte.
#[test]
fn what_is_written_is_for_its_owner_alone() {
    let trial = Trial::new();
    let commands: [&[&str]; 3] = [
        &["run", "--once"],
        &["export", "--from", "2026-11-01", "--to", "2026-12-01", "--format", "eml", "--out", "exported"],
        &["convert", "config/sample/export/20261120-cloud-archiver.json", "--out", "converted"],
    ];
    for arguments in commands {
        let mut shell = assert_cmd::Command::new("sh");
        shell.current_dir(trial.path(".")).args(["-c", "umask 000; exec \"$0\" \"$@\""]);
        shell.arg(env!("CARGO_BIN_EXE_whatsapp-archiver")).arg("--config").arg(trial.path("config/local.toml"));
        let ended = ended(shell.args(arguments));
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.out, ended.log);
    }
    for folder in ["local-data", "exported", "converted"] {
        assert!(fs::metadata(trial.path(folder)).unwrap().is_dir());
        assert_eq!(open_to_others(&trial.path(folder)), Vec::<PathBuf>::new());
    }
}

/// What lies in a folder, itself included, that others may read, write or enter.
fn open_to_others(path: &Path) -> Vec<PathBuf> {
    let metadata = fs::symlink_metadata(path).unwrap();
    let mut open = Vec::new();
    if metadata.permissions().mode() & 0o077 != 0 {
        open.push(path.to_owned());
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            open.extend(open_to_others(&entry.unwrap().path()));
        }
    }
    open
}

#[test]
fn check_warns_of_files_that_others_can_read_or_change() {
    let trial = Trial::imported();
    let set = |path: &str, mode: u32| fs::set_permissions(trial.path(path), fs::Permissions::from_mode(mode)).unwrap();
    set("config/sample/mapping.csv", 0o644);
    assert!(!trial.prints(&["check"]).contains("file modes"));
    set("config/sample/mapping.csv", 0o666);
    set("local-data/staging", 0o755);
    fs::write(trial.path("config/token"), "0123456789abcdef0123456789abcdef").unwrap();
    set("config/token", 0o644);
    trial.edit("config/local.toml", |text| {
        let http = text.split("[http]").nth(1).map(|rest| rest.split("\n[").next().unwrap().to_owned());
        let text = http.map_or(text.clone(), |http| text.replace(&format!("[http]{http}"), ""));
        text + "\n[http]\nlisten = \"0.0.0.0:18080\"\ntoken = { file = \"token\" }\n"
    });
    let reported = trial.prints(&["check"]);
    for part in ["mapping.csv (mapping.custom)", "staging/ (staging.path)", "token (http.token)"] {
        assert!(reported.contains(part), "{part} in {reported}");
    }
}

#[test]
fn check_warns_of_folders_in_which_the_mapping_can_be_replaced() {
    let trial = Trial::imported();
    let set = |path: &str, mode: u32| fs::set_permissions(trial.path(path), fs::Permissions::from_mode(mode)).unwrap();
    let check = || trial.prints(&["check"]);
    for (path, mode, warned) in [
        (
            "config/sample",
            0o777,
            Some("every user of this machine may put another file in the place of mapping.custom"),
        ),
        ("config/sample", 0o775, Some("its group may put another file")),
        ("config/sample", 0o1777, None),
        ("config", 0o777, Some("every user of this machine may put another file")),
        ("config/sample/mapping.csv", 0o664, Some("its group may change it")),
    ] {
        let before = fs::metadata(trial.path(path)).unwrap().permissions().mode();
        set(path, mode);
        let reported = check().replace('\n', " ");
        let reported = reported.split_whitespace().collect::<Vec<_>>().join(" ");
        match warned {
            Some(warned) => assert!(reported.contains(warned), "{path} {mode:o}: {reported}"),
            None => assert!(!reported.contains("file modes"), "{path} {mode:o}: {reported}"),
        }
        set(path, before & 0o7777);
    }
    assert!(!check().contains("file modes"));
}

#[test]
fn what_others_could_read_is_closed_when_a_run_begins() {
    let trial = Trial::imported();
    let places = [("staging", 0o755, 0o700), ("mailboxes", 0o755, 0o700), ("ledger.db", 0o644, 0o600)];
    for (place, open, _) in places {
        let path = trial.path("local-data").join(place);
        fs::set_permissions(path, fs::Permissions::from_mode(open)).unwrap();
    }
    // Looking changes nothing.
    trial.prints(&["status"]);
    let Ended { code, log, out } = trial.run(&["run", "--once"]);
    assert_eq!(code, Some(0), "{out}{log}");
    let repaired: Vec<String> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["event"] == "permissions_repaired")
        .map(|line| line["path"].as_str().unwrap().trim_end_matches('/').to_owned())
        .collect();
    // SQLite's own files are as open as the ledger beside them; whether they are there depends on how the last process ended.
    let (beside, named): (Vec<&String>, Vec<&String>) =
        repaired.iter().partition(|path| path.ends_with("-wal") || path.ends_with("-shm"));
    assert_eq!(named.len(), places.len(), "{log}");
    for (place, ..) in places {
        assert!(named.iter().any(|path| path.ends_with(&format!("local-data/{place}"))), "{place}: {log}");
    }
    assert!(beside.len() <= 2 && beside.iter().all(|path| path.contains("local-data/ledger.db-")), "{log}");
    for (place, _, closed) in places {
        let mode = fs::metadata(trial.path("local-data").join(place)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, closed, "{place}");
    }
    assert!(!trial.run(&["run", "--once"]).log.contains("permissions_repaired"), "once is enough");
}
