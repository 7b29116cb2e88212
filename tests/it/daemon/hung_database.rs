//! A PostgreSQL that doesn't answer, and a process that stands still with the others' locks in its hand.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::{Connection as _, Row as _};

use crate::installation::{ANA, Archive, item};
use crate::servers::postgres::Postgres;

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(3);

/// A process, killed when this is dropped.
struct Process(Child);

impl Process {
    fn start(archive: &Archive, arguments: &[&str]) -> Self {
        Self(
            archive
                .command(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Stands before a server, and passes nothing on while it is silent.
fn put_before(url: &str) -> (String, Arc<AtomicBool>) {
    let (before, rest) = url.rsplit_once(':').unwrap();
    let (port, name) = rest.split_once('/').unwrap();
    let target = format!("127.0.0.1:{port}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("{before}:{}/{name}", listener.local_addr().unwrap().port());
    let silent = Arc::<AtomicBool>::default();
    let is_silent = Arc::clone(&silent);
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(&target).unwrap();
            for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)] {
                let is_silent = Arc::clone(&is_silent);
                std::thread::spawn(move || {
                    let mut buffer = [0; 16 * 1024];
                    while let Ok(count @ 1..) = from.read(&mut buffer) {
                        while is_silent.load(Ordering::SeqCst) {
                            std::thread::sleep(Duration::from_millis(10));
                        }
                        if to.write_all(&buffer[..count]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    (url, silent)
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "waits for a minute until the database counts as silent: tests/long.sh"]
fn a_database_that_does_not_answer_is_not_ready() {
    let archive = Archive::new();
    archive.export("1.json", &[item(1, "message 1")]);
    let (url, silent) = put_before(&Postgres::shared().new_database());
    archive.set_ledger(&url);
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let config = std::fs::read_to_string(archive.path("config.toml")).unwrap();
    std::fs::write(archive.path("config.toml"), format!("{config}[http]\nlisten = \"127.0.0.1:{port}\"\n")).unwrap();
    let _daemon = Process::start(&archive, &["run"]);
    let is_ready = || archive.run(&["health"]).status.success();
    until("it gets ready", || is_ready() && archive.mails(ANA).len() == 1);
    silent.store(true, Ordering::SeqCst);
    until("it is not ready", || !is_ready());
    silent.store(false, Ordering::SeqCst);
    until("it is ready again", is_ready);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits for half a minute until the server ends the session: tests/long.sh"]
async fn a_process_that_stands_still_while_it_begins_a_run_holds_nobody_up_for_good() {
    let archive = Archive::new();
    archive.export("1.json", &[item(1, "message 1")]);
    let url = Postgres::shared().new_database();
    archive.set_ledger(&url);
    tokio::task::block_in_place(|| archive.run_to(0, &["run", "--once"]));

    // It has taken the lock of those that begin, and waits for this one's.
    let mut other = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE runs IN EXCLUSIVE MODE").execute(&mut other).await.unwrap();
    let stopped = Process::start(&archive, &["run", "--once"]);
    let mut looks = sqlx::PgConnection::connect(&url).await.unwrap();
    let waiting = "SELECT COUNT(*) AS found FROM pg_stat_activity
                   WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO runs%' AND datname = current_database()";
    while sqlx::query(waiting).fetch_one(&mut looks).await.unwrap().get::<i64, _>("found") == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    stopped.signal("STOP");
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();

    archive.export("2.json", &[item(2, "message 2")]);
    tokio::task::block_in_place(|| archive.run_to(0, &["run", "--once"]));
    stopped.signal("CONT");
    assert_eq!(archive.mails(ANA).len(), 2);
}
