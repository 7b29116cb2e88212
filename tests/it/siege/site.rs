//! A place where the program runs: its configuration and files, TeleMessage on the wire, staging, a ledger and mailboxes;
//! and the program as a process that is started, killed and started again.

use std::process::{Command, Output, Stdio};

use chrono::{DateTime, Duration, Utc};
use tempfile::TempDir;
use whatsapp_archiver::clock::{Clock as _, SharedClock, SystemClock};

use super::mailboxes::{Settle, Town};
pub(super) use super::population::Census;
use super::population::Population;
use crate::kill::{has_fail_points, reported};
use crate::oracle::{self, books};
use crate::servers::azurite::{self, Azurite};
use crate::servers::telemessage::{PASSWORD, TeleMessageServer, USERNAME};

/// Staging, where it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Staged {
    Locally,
    /// In a container of its own, behind this port.
    AtAzure(u16),
}

impl Staged {
    /// In the Azurite that all tests share, without anything in between.
    pub(super) fn at_azurite() -> Self {
        Self::AtAzure(Azurite::shared().port())
    }

    fn section(self) -> String {
        match self {
            Self::Locally => "[staging]\nkind = \"local\"\npath = \"staging/\"\n".to_owned(),
            Self::AtAzure(port) => format!(
                "[staging]\nkind = \"azure\"\nendpoint = \"{}\"\ncontainer = \"c{}\"\nauth = \"sas\"\nsas = {{ file = \"sas\" }}\n",
                azurite::endpoint(port),
                uuid::Uuid::now_v7().simple()
            ),
        }
    }
}

/// How patient the program is: `[retry]`, the destinations' `settle`, and the lease.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) retry: &'static str,
    pub(super) settle: Settle,
    pub(super) lease: &'static str,
}

impl Patience {
    /// For a process, whose time is real. A Dovecot whose client died may still store what it has: two seconds are far
    /// more than that takes.
    pub(super) const SHORT: Self = Self {
        retry: "attempts = 4\ninitial = \"10ms\"\nmax = \"20ms\"",
        settle: Settle { dovecot: "2s", graph: "1ms" },
        lease: "10s",
    };
}

/// A place where the program runs.
pub(super) struct Site {
    pub(super) directory: TempDir,
    pub(super) source: TeleMessageServer,
    pub(super) town: Town,
    pub(super) population: Population,
    ledger: String,
    /// What the environment says over the configuration.
    pub(super) environment: Vec<(&'static str, &'static str)>,
}

/// An hour for a census to begin at, so that all of it lies in the first window.
pub(super) fn hours_ago(now: DateTime<Utc>) -> DateTime<Utc> {
    now - Duration::hours(12)
}

/// A census for the machine's clock.
pub(super) fn census(messages: i64, label: &str, seed: u64) -> Census {
    let first = hours_ago(SystemClock.now());
    Census { messages, employees: 6, label: label.to_owned(), seed, first, largest_file: 30_000, some_late: false }
}

impl Site {
    /// A place for processes, with the machine's clock.
    pub(super) fn new(census: &Census, town: Town, staged: Staged) -> Self {
        assert!(has_fail_points(), "run these tests with --features fail-points");
        let clock = std::sync::Arc::new(SystemClock);
        Self::with_clock(census, town, staged, Patience::SHORT, clock, TempDir::new().unwrap())
    }

    /// A place with a clock of its own, in this directory.
    pub(super) fn with_clock(
        census: &Census,
        town: Town,
        staged: Staged,
        patience: Patience,
        clock: SharedClock,
        directory: TempDir,
    ) -> Self {
        let site = Self::of(Population::new(census), town, clock, directory);
        site.configure(staged, patience);
        site
    }

    /// A place for these people, not configured yet.
    pub(super) fn of(population: Population, town: Town, clock: SharedClock, directory: TempDir) -> Self {
        let mut site = Self {
            directory,
            source: TeleMessageServer::start(clock),
            town,
            population,
            ledger: String::new(),
            environment: Vec::new(),
        };
        site.source.add(std::mem::take(&mut site.population.items));
        site.town.move_in(site.directory.path(), &site.population.employees);
        site.write("mapping.csv", &site.population.mapping);
        site.write("password", PASSWORD);
        site.write("sas", &azurite::sas());
        site.ledger = format!("sqlite://{}", site.directory.path().join("ledger.db").display());
        site
    }

    /// Moves the ledger to this URL, before the first run.
    pub(super) fn with_ledger(mut self, url: String, staged: Staged) -> Self {
        self.ledger = url;
        self.configure(staged, Patience::SHORT);
        self
    }

    /// The ledger's URL.
    pub(super) fn ledger(&self) -> &str {
        &self.ledger
    }

    /// Changes what the configuration says.
    pub(super) fn change_configuration(&self, from: &str, to: &str) {
        let path = self.directory.path().join("config.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} is in {text}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    pub(super) fn configure(&self, staged: Staged, patience: Patience) {
        let (base_url, ledger, staging) = (self.source.base_url(), &self.ledger, staged.section());
        let Patience { retry, settle, lease } = patience;
        let mailboxes = self.town.sections(settle);
        self.write(
            "config.toml",
            &format!(
                "[source]\nkind = \"telemessage\"\nbase_url = \"{base_url}\"\nusername = \"{USERNAME}\"\n\
                 password = {{ file = \"password\" }}\npage_size = 16\n{staging}\
                 [mapping]\nautomatic = true\ncustom = \"mapping.csv\"\n{mailboxes}\
                 [ledger]\nurl = \"{ledger}\"\nlease = \"{lease}\"\n[retry]\n{retry}\n[log]\nlevel = \"debug\"\n"
            ),
        );
    }

    /// The program, about to run.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_whatsapp-archiver"));
        command.arg("--config").arg(self.directory.path().join("config.toml")).args(["--log-format", "json"]);
        command.args(arguments).env_remove("RUST_LOG").envs(self.environment.iter().copied()).stdin(Stdio::null());
        command
    }

    pub(super) fn run_once(&self) -> Command {
        self.command(&["run", "--once"])
    }

    pub(super) fn run(&self) -> Output {
        self.run_once().output().unwrap()
    }

    /// Runs until a run succeeds, for `most` runs at the most.
    pub(super) fn run_until_done(&self, most: usize, what: &str) {
        let mut last = self.run();
        for _ in 1..most {
            if last.status.success() {
                break;
            }
            last = self.run();
        }
        assert!(last.status.success(), "{what}: {}", reported(&last));
    }

    /// Runs until everything has its outcome, and once more, which changes nothing; then judges.
    pub(super) async fn finish(&self, what: &str) {
        self.run_until_done(1, what);
        self.run_until_done(1, what);
        self.judge(what).await;
    }

    /// Each mailbox holds what belongs in it, once; each item and each copy is accounted for, once.
    pub(super) async fn judge(&self, what: &str) {
        self.judge_mailboxes(what);
        let books = books::audit(&self.ledger, what).await;
        let copies: usize = self.population.expected.values().map(Vec::len).sum();
        assert_eq!(books.copies, copies as u64, "{what}: each copy counts in one report");
        assert_eq!(books.items, self.source.items(), "{what}: each item counts in one report");
        assert_eq!(books.duplicates, self.population.duplicates, "{what}");
        assert_eq!(books.partial, 0, "{what}");
    }

    /// Each mailbox holds what belongs in it, once.
    pub(super) fn judge_mailboxes(&self, what: &str) {
        let found = self.town.read(self.directory.path(), &self.population.employees);
        let differences = oracle::differences(&self.population.expected, &found);
        assert!(differences.is_empty(), "{what}: {differences:#?}");
        if let Town::Graph { server, .. } = &self.town {
            assert_eq!(server.violations(), Vec::<String>::new(), "{what}");
        }
    }
}
