//! `ledger copy`: a ledger moves between SQLite and PostgreSQL, and only one of the two is ever used.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chrono::{Duration, TimeZone as _, Utc};
use tempfile::TempDir;
use whatsapp_archiver::ledger::{CopyError, Holder, Lease, Ledger, LedgerError, RunId, RunKind};

use crate::installation::{ANA, Archive, BEN, item, item_with_file};

fn archive() -> Archive {
    let archive = Archive::new();
    let mut unknown = item(3, "message 3");
    unknown["body"]["participantEnrichments"] = serde_json::json!({});
    archive.export("1.json", &[item(1, "message 1"), item_with_file(2, "message 2"), unknown]);
    archive.export_attachment(2, 0, b"attached");
    archive.run_to(0, &["run", "--once"]);
    archive.rename_mails();
    archive
}

/// The next run works, knows everything, and sends only what is new.
fn goes_on(archive: &Archive, id: i64) {
    archive.export(&format!("{id}.json"), &[item(id, &format!("message {id}"))]);
    let before = archive.message_ids(BEN).len();
    archive.run_to(0, &["run", "--once"]);
    assert_eq!(archive.report()["items"]["available_from_source"], 1);
    assert_eq!(archive.message_ids(BEN).len(), before + 1);
    assert_eq!(archive.message_ids(ANA).len(), before + 1);
    let result = archive.verify(0, &[]);
    assert_eq!(result["checked"], 2 * (before as u64 + 1));
    assert!(result["unproven"].as_array().unwrap().is_empty());
}

#[test]
fn a_copy_takes_the_place_of_its_source() {
    let archive = archive();
    let reports = archive.report();
    let reported = archive.run_to(0, &["ledger", "copy", "--to", "sqlite:new/copy.db"]);
    assert!(reported.contains("delivery_rows             5 rows"), "{reported}");

    for refused in [&["run", "--once"][..], &["status"], &["verify"], &["rebuild-ledger"]] {
        let reported = archive.fail(1, refused);
        assert!(reported.contains("was copied to sqlite://") && reported.contains("copy.db"), "{reported}");
    }
    assert!(archive.fail(1, &["ledger", "copy", "--to", "sqlite:third.db"]).contains("was copied to"));

    archive.set_ledger("sqlite://new/copy.db");
    assert_eq!(archive.report(), reports);
    goes_on(&archive, 4);
    assert!(archive.run_to(0, &["failures"]).contains("no_valid_user"));
}

#[test]
fn only_a_new_database_is_copied_into() {
    let archive = archive();
    let other = self::archive();
    let taken = other.path("ledger.db").display().to_string();
    assert!(archive.fail(1, &["ledger", "copy", "--to", &format!("sqlite://{taken}")]).contains("is not empty"));
    assert!(archive.fail(1, &["ledger", "copy", "--to", "sqlite:ledger.db"]).contains("this ledger itself"));
    assert!(archive.fail(2, &["ledger", "copy", "--to", "mysql://x"]).contains("must begin with"));
    let secret = archive.fail(2, &["ledger", "copy", "--to", "postgres://a:hunter2@db.example/x"]);
    assert!(!secret.contains("hunter2"), "{secret}");
    goes_on(&archive, 4);
}

#[tokio::test]
async fn a_ledger_in_use_is_not_copied() {
    let archive = archive();
    let app = archive.app().await;
    let reported = archive.fail(1, &["ledger", "copy", "--to", "sqlite:copy.db"]);
    assert!(reported.contains("in use: 1 processes"), "{reported}");
    drop(app);

    let source = Ledger::open(&url(&archive, "ledger.db")).await.unwrap();
    let now = Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap();
    let holder = Holder::new();
    source.lease(&holder, &[Lease::Puller], now, now + Duration::seconds(60)).await.unwrap();
    let target = Ledger::open(&url(&archive, "copy.db")).await.unwrap();
    let refused = source.copy_to(&target, "copy", now).await;
    assert!(matches!(refused, Err(CopyError::InUse(_))), "{refused:?}");
    // Sixty seconds later the lease has run out.
    source.copy_to(&target, "copy", now + Duration::seconds(61)).await.unwrap();
}

/// A daemon on PostgreSQL holds nothing between its runs, and keeps its connections.
#[tokio::test]
async fn whoever_has_the_source_open_begins_nothing_more() {
    let archive = archive();
    let open = Ledger::open(&url(&archive, "ledger.db")).await.unwrap();
    let target = Ledger::open(&url(&archive, "copy.db")).await.unwrap();
    let now = Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap();
    open.copy_to(&target, "copy", now).await.unwrap();
    let (run, holder) = (RunId("x".to_owned()), Holder::new());
    let begun = open.begin_run(&run, RunKind::Regular, &holder, "{}", now).await;
    assert!(matches!(begun, Err(LedgerError::Superseded { .. })), "{begun:?}");
    let leased = open.lease(&holder, &[Lease::Puller], now, now + Duration::seconds(60)).await;
    assert!(matches!(leased, Err(LedgerError::Superseded { .. })), "{leased:?}");
    assert!(open.run(&run).await.unwrap().is_none());
}

#[tokio::test]
async fn a_copy_that_broke_off_is_refused_and_begun_again() {
    const MARK: &str = "unfinished_copy_of";
    let archive = archive();
    let source = Ledger::open(&url(&archive, "ledger.db")).await.unwrap();
    let other = Ledger::open(&url(&archive, "other.db")).await.unwrap();
    let target = Ledger::open(&url(&archive, "copy.db")).await.unwrap();
    let now = Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap();
    // It died after some rows had been copied: they are not what they should be.
    let holder = Holder::new();
    target.begin_run(&RunId("half".to_owned()), RunKind::Regular, &holder, "{}", now).await.unwrap();
    target.set_meta(MARK, Some(source.id())).await.unwrap();
    let opened = Ledger::open(&url(&archive, "copy.db")).await;
    assert!(matches!(opened, Err(LedgerError::UnfinishedCopy)), "{opened:?}");
    let refused = other.copy_to(&target, "copy", now).await;
    assert!(matches!(refused, Err(CopyError::NotEmpty(_))), "{refused:?}");

    let counts = source.copy_to(&target, "copy", now).await.unwrap();
    assert!(counts.contains(&("runs", 1)) && counts.contains(&("item_rows", 3)), "{counts:?}");
    let copied = Ledger::open(&url(&archive, "copy.db")).await.unwrap();
    assert_eq!(copied.id(), source.id());
    assert!(copied.run(&RunId("half".to_owned())).await.unwrap().is_none());
    assert_eq!(copied.watermark().await.unwrap(), source.watermark().await.unwrap());

    // It died between the two marks: neither can be used until the command is given again.
    copied.set_meta(MARK, Some(source.id())).await.unwrap();
    assert!(Ledger::open(&url(&archive, "copy.db")).await.is_err());
    assert!(Ledger::open(&url(&archive, "ledger.db")).await.is_err());
    let elsewhere = source.copy_to(&copied, "elsewhere", now).await;
    assert!(matches!(elsewhere, Err(CopyError::Ledger(LedgerError::Superseded { .. }))), "{elsewhere:?}");
    source.copy_to(&copied, "copy", now).await.unwrap();
    Ledger::open(&url(&archive, "copy.db")).await.unwrap();
}

#[test]
fn a_ledger_moves_to_postgresql_and_back() {
    let server = Postgres::start();
    let archive = archive();
    let reports = archive.report();
    archive.run_to(0, &["ledger", "copy", "--to", &server.url]);
    archive.set_ledger(&server.url);
    assert_eq!(archive.report(), reports);
    goes_on(&archive, 4);
    let again = archive.fail(1, &["ledger", "copy", "--to", &server.url]);
    assert!(again.contains("this ledger itself"), "{again}");
    archive.run_to(0, &["ledger", "copy", "--to", "sqlite:back.db"]);
    assert!(archive.fail(1, &["run", "--once"]).contains("was copied to sqlite://"));
    archive.set_ledger("sqlite://back.db");
    goes_on(&archive, 5);
}

/// The ledger is lost, and rebuilt in a new database of the server.
#[test]
fn a_ledger_is_rebuilt_on_postgresql() {
    let server = Postgres::start();
    let archive = archive();
    let before = archive.message_ids(BEN);
    archive.lose_ledger();
    archive.set_ledger(&server.url);
    archive.run_to(0, &["rebuild-ledger"]);
    assert_eq!(archive.message_ids(BEN), before);
    goes_on(&archive, 4);
}

fn url(archive: &Archive, name: &str) -> String {
    format!("sqlite://{}", archive.path(name).display())
}

/// A server of its own, with one empty database.
struct Postgres {
    directory: TempDir,
    binaries: PathBuf,
    url: String,
}

impl Postgres {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let binaries = fs::canonicalize(which("postgres")).unwrap().parent().unwrap().to_owned();
        // The server refuses to run as root.
        if is_root() {
            let owned = Command::new("chown").arg("postgres").arg(directory.path()).status().unwrap();
            assert!(owned.success());
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { directory, binaries, url: format!("postgres://postgres@127.0.0.1:{port}/postgres") };
        server.tool("initdb", &["-A", "trust", "-U", "postgres", "--no-sync"]);
        let sockets = server.directory.path().display();
        let options = format!("-p {port} -k {sockets} -c listen_addresses=127.0.0.1 -c fsync=off");
        server.tool("pg_ctl", &["-w", "-l", &format!("{sockets}/log"), "-o", &options, "start"]);
        server
    }

    fn tool(&self, name: &str, arguments: &[&str]) {
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(self.binaries.join(name));
            command
        } else {
            Command::new(self.binaries.join(name))
        };
        let data = self.directory.path().join("data");
        let status = command
            .arg("-D")
            .arg(data)
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.expect("the tools of PostgreSQL are installed").success(), "{name}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.tool("pg_ctl", &["-m", "immediate", "stop"]);
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&id.stdout).trim() == "0"
}

fn which(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.exists());
    let installed =
        || fs::read_dir("/usr/lib/postgresql").ok()?.next()?.ok().map(|entry| entry.path().join("bin").join(name));
    found.or_else(installed).filter(|file: &PathBuf| Path::exists(file)).expect("PostgreSQL is installed")
}
