//! Files that aren't what they should be: each is refused at once, with what it is; nothing waits, nothing guesses.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::Connection as _;

use super::{Ended, Trial, ended};

/// Far more than a refusal takes, and less than anything that waits.
const AT_ONCE: Duration = Duration::from_secs(25);

fn at_once(trial: &Trial, arguments: &[&str]) -> Ended {
    let ended = ended(trial.command(arguments).timeout(AT_ONCE));
    assert!(ended.code.is_some(), "{arguments:?} waits: {}{}", ended.out, ended.log);
    ended
}

/// Everything that is no ordinary file, with what is said of it.
fn irregular(folder: &Path) -> Vec<(PathBuf, &'static str)> {
    let (pipe, socket, huge) = (folder.join("pipe"), folder.join("socket"), folder.join("huge"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    drop(UnixListener::bind(&socket).unwrap());
    fs::File::create(&huge).unwrap().set_len(1 << 40).unwrap();
    vec![
        (pipe, "a named pipe, not a file"),
        (socket, "a socket, not a file"),
        (folder.to_owned(), "a directory, not a file"),
        (PathBuf::from("/dev/zero"), "a device, not a file"),
        (huge, "is larger than"),
    ]
}

#[test]
fn what_is_no_ordinary_file_is_refused_at_once() {
    let trial = Trial::new();
    let original = fs::read_to_string(trial.path("config/local.toml")).unwrap();
    for (path, says) in irregular(trial.directory.path()) {
        let path = path.display();
        for (section, line, replaced) in [
            ("mapping", format!("custom = \"{path}\""), "custom = \"sample/mapping.csv\""),
            ("users", format!("path = \"{path}\""), "path = \"sample/users.csv\""),
            ("network", format!("ca_file = \"{path}\""), ""),
            ("report", format!("signing_key = {{ file = \"{path}\" }}"), ""),
        ] {
            let text = match replaced {
                "" => format!("{original}\n[{section}]\n{line}\n"),
                replaced => original.replace(replaced, &line),
            };
            assert_ne!(text, original);
            fs::write(trial.path("config/local.toml"), text).unwrap();
            for arguments in [&["check"][..], &["run", "--once"]] {
                let ended = at_once(&trial, arguments);
                let shown = ended.out + &ended.log;
                assert_eq!(ended.code, Some(78), "{section} {path}: {shown}");
                let is_named = shown.contains(says) && shown.contains(&path.to_string());
                // A secret's fault is a fault of the text in it as well.
                assert!(is_named || (section == "report" && shown.contains("larger than 64 KiB")), "{line}: {shown}");
            }
        }
    }
    assert!(!trial.path("local-data").exists(), "nothing was begun");
}

/// The one line that a command ends with.
#[track_caller]
fn refusal(trial: &Trial, arguments: &[&str]) -> String {
    let Ended { code, out, log } = at_once(trial, arguments);
    assert_eq!(code, Some(1), "{arguments:?}: {out}{log}");
    let errors: Vec<&str> = log.lines().filter(|line| !line.contains("\"level\":\"WARN\"")).collect();
    let [line] = errors.as_slice() else { panic!("{arguments:?} says more than one line: {log}") };
    assert!(!line.contains("timed out"), "{line}");
    (*line).to_owned()
}

#[test]
fn a_ledger_that_is_no_database_is_named_at_once() {
    let trial = Trial::imported();
    let ledger = trial.path("local-data/ledger.db");
    let header = OpenOptions::new().write(true).open(&ledger).unwrap();
    header.write_all_at(&[b'x'; 100], 0).unwrap();
    // What was written last may still lie in the log, the header among it.
    for suffix in ["wal", "shm"] {
        let _ = fs::remove_file(ledger.with_extension(format!("db-{suffix}")));
    }
    for arguments in [&["status"][..], &["run", "--once"], &["report"], &["failures"]] {
        let line = refusal(&trial, arguments);
        for part in ["the ledger is damaged", "ledger.db", "file is not a database", "rebuild-ledger"] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
    let check = at_once(&trial, &["check"]);
    assert_eq!(check.code, Some(1), "{}", check.out);
    assert!(check.out.contains("WRONG") && check.out.contains("file is not a database"), "{}", check.out);
}

#[tokio::test]
async fn a_page_of_the_ledger_that_is_damaged_is_found_by_the_check() {
    const PAGE: u64 = 4096;
    let trial = Trial::imported();
    let whole = trial.prints(&["check"]);
    assert!(whole.contains("its pages fit together"), "{whole}");
    let ledger = trial.path("local-data/ledger.db");
    // What lies in the write-ahead log is not in the file's own pages yet.
    let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite://{}", ledger.display())).await.unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let file = OpenOptions::new().write(true).open(&ledger).unwrap();
    let pages = fs::metadata(&ledger).unwrap().len() / PAGE;
    assert!(pages > 10, "{pages}");
    for page in 4..pages {
        file.write_all_at(&[0xff; 32], page * PAGE).unwrap();
    }
    let check = at_once(&trial, &["check"]);
    assert_eq!(check.code, Some(1), "{}{}", check.out, check.log);
    assert!(check.out.contains("the ledger is damaged"), "{}", check.out);
}

#[test]
fn a_part_of_the_staging_area_that_is_gone_is_named() {
    for part in ["windows", "reports"] {
        let trial = Trial::imported();
        let staging = trial.path("local-data/staging");
        fs::rename(staging.join(part), trial.path("aside")).unwrap();
        let log = trial.run(&["run", "--once"]).log;
        let told: Vec<&str> = log.lines().filter(|line| line.contains("\"staging_incomplete\"")).collect();
        // At the beginning of the run, and when its report is written.
        assert!(!told.is_empty() && told.iter().all(|line| line.contains(part)), "{part}: {log}");
        assert!(!trial.run(&["run", "--once"]).log.contains("staging_incomplete") || part == "windows");
    }
}

/// One bit flips in that half of an item's digest which its index has too, in the table or there: every page is still well formed.
#[tokio::test]
async fn a_bit_that_flipped_is_found_where_a_table_and_its_index_say_different_things() {
    let trial = Trial::imported();
    let ledger = trial.path("local-data/ledger.db");
    let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite://{}", ledger.display())).await.unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.unwrap();
    let keys: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT substr(item_key, 1, 16) FROM item_rows ORDER BY item_no LIMIT 5")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    connection.close().await.unwrap();
    let whole = fs::read(&ledger).unwrap();
    for key in keys {
        let places = whole.windows(key.len()).enumerate().filter(|(_, window)| *window == key).map(|(place, _)| place);
        let is_found = |place: &usize| {
            let mut damaged = whole.clone();
            damaged[place + 7] ^= 1;
            fs::write(&ledger, damaged).unwrap();
            let check = at_once(&trial, &["check"]);
            check.code == Some(1) && check.out.contains("the ledger is damaged")
        };
        // Beside these two, some may lie in pages that are not in use.
        assert!(places.filter(is_found).count() >= 2, "the key in the table, and the key in its index");
    }
}

#[test]
fn a_ledger_that_can_not_be_opened_says_why_at_once() {
    for (url, says) in
        [("sqlite://.", "it is a directory"), ("postgres://archiver@127.0.0.1:1/archiver", "Connection refused")]
    {
        let trial = Trial::new();
        trial.edit("config/local.toml", |text| text.replace("sqlite://../local-data/ledger.db", url));
        for arguments in [&["status"][..], &["run", "--once"]] {
            let line = refusal(&trial, arguments);
            assert!(line.contains(says) && line.contains("ledger.url"), "{line}");
        }
    }
}
