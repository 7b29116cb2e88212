//! A real PostgreSQL, started once for all tests as a user without rights, with a database for each.
//!
//! It ends with the test process, however that ends, because its launcher watches the pipe on its standard input; and its
//! files go with it. It keeps nothing through a power cut, so that it is quick.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

const USER: &str = "archiver";

/// Makes a cluster in $1, runs it on port $2, and removes it when nobody is left to write to the standard input.
const LAUNCHER: &str = r#"
set -eu
PATH="$3:$PATH"
cd "$1"
initdb -D data -U archiver -A trust -E UTF8 --locale=C --no-sync >initdb.log 2>&1
postgres -D data -p "$2" -k "$1" -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off \
    -c synchronous_commit=off -c wal_writer_delay=10s -c max_connections=200 -c log_min_messages=fatal </dev/null >postgres.log 2>&1 &
cat >/dev/null
kill -INT $!
wait $! || true
rm -rf "$1/data"
"#;

/// The running server.
pub(crate) struct Postgres {
    port: u16,
    databases: AtomicU32,
    launcher: Child,
}

impl Postgres {
    /// The one that all tests share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        // Another process may take a port between its choice and its use.
        SHARED.get_or_init(|| (0..5).find_map(|_| Self::start()).expect("PostgreSQL finds a free port"))
    }

    /// One of a test's own, which it may crash.
    pub(crate) fn alone() -> Self {
        (0..5).find_map(|_| Self::start()).expect("PostgreSQL finds a free port")
    }

    /// Kills the process behind a connection: the server ends all connections, recovers, and takes new ones after that.
    pub(crate) fn crash(&self, database: &str) {
        let find = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1";
        let name = database.rsplit('/').next().unwrap();
        let found = self.psql(name).args(["-qtAc", find]).output().unwrap();
        let pid = String::from_utf8(found.stdout).unwrap();
        if !pid.trim().is_empty() {
            // It may have ended by itself meanwhile.
            let _ = Command::new("kill").args(["-KILL", pid.trim()]).status();
        }
    }

    /// The URL of a database that nobody else uses.
    pub(crate) fn new_database(&self) -> String {
        let name = format!("ledger_{}", self.databases.fetch_add(1, Ordering::SeqCst));
        let made = self.psql("postgres").args(["-qc", &format!("CREATE DATABASE {name}")]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        format!("postgres://{USER}@127.0.0.1:{}/{name}", self.port)
    }

    fn start() -> Option<Self> {
        let programs = programs();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let folder = tempfile::Builder::new().prefix("postgres").tempdir().unwrap().keep();
        let mut launcher = if may_not_run_it() {
            // The server refuses to run as root.
            let owned = Command::new("chown").arg("postgres").arg(&folder).status().unwrap();
            assert!(owned.success(), "the user `postgres` of Debian's package is missing");
            let mut launcher = Command::new("runuser");
            launcher.args(["-u", "postgres", "--", "sh"]);
            launcher
        } else {
            Command::new("sh")
        };
        let launcher = launcher
            .args(["-c", LAUNCHER, "launcher"])
            .arg(&folder)
            .arg(port.to_string())
            .arg(&programs)
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell starts PostgreSQL");
        let mut server = Self { port, databases: AtomicU32::new(0), launcher };
        server.until_ready(&folder).then_some(server)
    }

    /// Whether it takes connections, once it is known.
    fn until_ready(&mut self, folder: &Path) -> bool {
        loop {
            if self.psql("postgres").args(["-qc", "SELECT 1"]).output().unwrap().status.success() {
                return true;
            }
            if let Some(status) = self.launcher.try_wait().unwrap() {
                let log = std::fs::read_to_string(folder.join("initdb.log")).unwrap_or_default();
                panic!("PostgreSQL doesn't start ({status}): {log}");
            }
            let log = std::fs::read_to_string(folder.join("postgres.log")).unwrap_or_default();
            if log.contains("could not create any TCP/IP sockets") {
                return false;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-w", "-h", "127.0.0.1", "-U", USER, "-d", database, "-p"]).arg(self.port.to_string());
        psql
    }
}

/// Whether this process is root.
fn may_not_run_it() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

/// The folder of the server's programs, which Debian keeps out of everybody's PATH.
fn programs() -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    versions.retain(|bin| bin.join("initdb").exists());
    versions.sort();
    let in_path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .find(|directory| directory.join("initdb").exists());
    versions
        .pop()
        .or(in_path)
        .expect("these tests need PostgreSQL (Debian: apt-get install postgresql); tests/run.sh installs it")
}
