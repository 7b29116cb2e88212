//! A daemon in this process, with everything around it: an archive on the wire, staging, users and Maildirs in a directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use whatsapp_archiver::app::{App, LedgerUse, TablesUse};
use whatsapp_archiver::clock::{Clock as _, SharedClock, SystemClock};
use whatsapp_archiver::config::{Config, NeededSecrets};
use whatsapp_archiver::daemon::Daemon;
use whatsapp_archiver::ledger::{Ledger, RunRecord};
use whatsapp_archiver::lifecycle::Phase;
use whatsapp_archiver::lifecycle::SignalRequest;
use whatsapp_archiver::metrics::Metrics;
use whatsapp_archiver::report::Report;
use whatsapp_archiver::schedule::Schedule;
use whatsapp_archiver::status::Status;

use super::clock::{MachineClock, TrueTime, Watch};
use crate::servers::telemessage::{ArchivedItem, PASSWORD, TeleMessageServer, USERNAME};

/// Whom the items belong to.
pub(crate) const ANA: &str = "ana.berg@contoso.example";

/// The connector's files in a directory of their own. It is there for as long as this value.
pub(crate) struct Files {
    root: TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        let files = Self { root: TempDir::new().unwrap() };
        files.write("users.csv", &format!("address\n{ANA}\nben.ito@contoso.example\n"));
        files.write_mapping(&[("15550100", ANA)]);
        files.write("password", PASSWORD);
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes a file as editors do: beside the old one, then in its place.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path("new"), text).unwrap();
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    pub(crate) fn write_mapping(&self, rows: &[(&str, &str)]) {
        let mut lines = vec!["External User ID,Microsoft 365 User Mailbox".to_owned()];
        lines.extend(rows.iter().map(|(number, address)| format!("{number},{address}")));
        self.write("mapping.csv", &lines.join("\n"));
    }

    /// Writes `config.toml`: `source` is the archive's address, `schedule` the lines of that section, `staging` the whole section.
    pub(crate) fn write_config(&self, source: &str, schedule: &str, staging: &str) {
        self.write(
            "config.toml",
            &format!(
                r#"
                [source]
                kind = "telemessage"
                base_url = "{source}"
                username = "{USERNAME}"
                password = {{ file = "password" }}
                page_size = 50

                [schedule]
                {schedule}

                {staging}

                [mapping]
                automatic = false
                custom = "mapping.csv"

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
                "#
            ),
        );
    }

    /// Changes what the configuration says.
    pub(crate) fn change_config(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{from} is in {text}");
        self.write("config.toml", &text.replacen(from, to, 1));
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("config.toml")
    }

    /// The numbers of the items that are in a mailbox, sorted; one that is there twice is there twice.
    pub(crate) fn archived(&self, address: &str) -> Vec<i64> {
        self.archived_in(address, "WhatsApp Archiver")
    }

    /// The same in a folder of another name.
    pub(crate) fn archived_in(&self, address: &str, folder: &str) -> Vec<i64> {
        let folder = self.path("mailboxes").join(address).join(format!(".{folder}/cur"));
        let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
        let mut numbers: Vec<i64> = entries.map(|entry| number_in(&entry.unwrap().path())).collect();
        numbers.sort_unstable();
        numbers
    }
}

/// The section of a staging area beside the other files.
pub(crate) const LOCAL_STAGING: &str = "[staging]\nkind = \"local\"\npath = \"staging/\"";

/// An item whose number can be read from the mail that is made of it.
pub(crate) fn numbered(number: i64, received: DateTime<Utc>) -> ArchivedItem {
    ArchivedItem::message(number, received).text(&format!("This is item-{number:06}."))
}

/// An archive with items received in the hour before now.
pub(crate) fn archive_of(items: i64) -> TeleMessageServer {
    let server = TeleMessageServer::start(Arc::new(SystemClock));
    let begin = SystemClock.now() - chrono::Duration::hours(1);
    server.add((1..=items).map(|number| numbered(number, begin + chrono::Duration::milliseconds(500 * number))));
    server
}

fn number_in(mail: &Path) -> i64 {
    let mail = String::from_utf8_lossy(&fs::read(mail).unwrap()).into_owned();
    let (_, rest) = mail.split_once("item-").expect("a mail of a numbered item");
    rest[..6].parse().unwrap()
}

/// The bench.
pub(crate) struct Bench {
    pub(crate) time: Arc<TrueTime>,
    /// The clock of the daemon's machine.
    pub(crate) clock: Arc<MachineClock>,
    /// The clock of the archive's machine.
    pub(crate) their_clock: Arc<MachineClock>,
    pub(crate) server: TeleMessageServer,
    pub(crate) files: Files,
}

impl Bench {
    /// A bench at `start`, with these lines of `[schedule]`.
    pub(crate) fn new(start: DateTime<Utc>, schedule: &str) -> Self {
        Self::with_files(start, schedule, Files::new())
    }

    pub(crate) fn with_files(start: DateTime<Utc>, schedule: &str, files: Files) -> Self {
        let time = TrueTime::starting_at(start);
        let (clock, their_clock) = (MachineClock::right(&time), MachineClock::right(&time));
        let server = TeleMessageServer::start(Arc::<MachineClock>::clone(&their_clock));
        files.write_config(&server.base_url(), schedule, LOCAL_STAGING);
        Self { time, clock, their_clock, server, files }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.time.now()
    }

    pub(crate) fn load(&self) -> Config {
        Config::load(&self.files.config(), &BTreeMap::new(), NeededSecrets::All).unwrap()
    }

    /// Starts a daemon, and lets it do what is due at once.
    pub(crate) async fn start(&self) -> RunningDaemon {
        let mut daemon = self.start_on(&self.clock).await;
        self.rest(&mut [&mut daemon]).await;
        daemon
    }

    /// Starts a daemon on a machine. It may be at work when this returns.
    pub(crate) async fn start_on(&self, clock: &Arc<MachineClock>) -> RunningDaemon {
        let environment = BTreeMap::new();
        let shared: SharedClock = Arc::<MachineClock>::clone(clock);
        let app = App::build(Arc::new(self.load()), &environment, shared, LedgerUse::MadeIfMissing, TablesUse::Read)
            .await
            .unwrap();
        let path = self.files.config();
        let loader = Box::new(move || {
            Config::load(&path, &BTreeMap::new(), NeededSecrets::All).map_err(|problems| problems.to_string())
        });
        let metrics = Arc::clone(&app.metrics);
        let daemon = Daemon::new(app, loader, environment, CancellationToken::new());
        let phase = daemon.phase();
        let (words, asked) = mpsc::channel(4);
        RunningDaemon { phase, words, task: tokio::spawn(daemon.run(asked)), clock: Arc::clone(clock), metrics }
    }

    /// Returns when the daemons wait, each on a machine of its own, and nothing is under way. Tells for when the first waits.
    pub(crate) async fn rest(&self, daemons: &mut [&mut RunningDaemon]) -> DateTime<Utc> {
        let mut beds = self.time.watch();
        let resting = async {
            loop {
                let doing: Vec<Doing> = daemons.iter().map(|daemon| daemon.doing(&mut beds)).collect();
                let dues: Vec<_> = doing.iter().filter_map(Doing::rests_until).collect();
                if dues.len() == daemons.len() {
                    return *dues.first().expect("a daemon");
                }
                if !doing.iter().any(|doing| matches!(doing, Doing::Something)) {
                    // They look now and then how far the others are.
                    self.time.pass_until(self.now() + chrono::Duration::seconds(1));
                }
                beds.changed().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), resting).await.expect("the daemon comes to rest")
    }

    /// Lets time pass until `instant`, and the daemon do what is due then. Tells for when it waits next.
    pub(crate) async fn pass_until(&self, instant: DateTime<Utc>, daemon: &mut RunningDaemon) -> DateTime<Utc> {
        self.time.pass_until(instant);
        self.rest(&mut [daemon]).await
    }

    /// Lets a daemon look around once.
    pub(crate) async fn look(&self, daemon: &mut RunningDaemon) -> DateTime<Utc> {
        self.pass_until(self.now() + chrono::Duration::seconds(5), daemon).await
    }

    pub(crate) async fn ledger(&self) -> Ledger {
        Ledger::open(&format!("sqlite://{}", self.files.path("ledger.db").display())).await.unwrap()
    }

    /// All runs, oldest first.
    pub(crate) async fn runs(&self) -> Vec<RunRecord> {
        let ledger = self.ledger().await;
        let mut runs = ledger.runs(10_000).await.unwrap();
        ledger.close().await;
        runs.reverse();
        runs
    }

    /// The report of the run that began last.
    pub(crate) async fn last_report(&self) -> Report {
        let ledger = self.ledger().await;
        let run = ledger.runs(1).await.unwrap().remove(0);
        Report::of(&ledger, &run).await.unwrap()
    }

    pub(crate) async fn watermark(&self) -> Option<DateTime<Utc>> {
        self.ledger().await.watermark().await.unwrap()
    }

    /// The connectors page, by the clock of the daemon's machine.
    pub(crate) async fn status(&self) -> Status {
        let schedule: Schedule = self.load().schedule.clone();
        Status::of(&self.ledger().await, &schedule, self.clock.now()).await.unwrap()
    }

    /// How often somebody logged in at the archive.
    pub(crate) fn log_ins(&self) -> usize {
        self.server.page_requests().iter().filter(|request| request.limit == 0).count()
    }
}

/// A daemon in this process.
pub(crate) struct RunningDaemon {
    phase: watch::Receiver<Phase>,
    words: mpsc::Sender<SignalRequest>,
    task: JoinHandle<anyhow::Result<()>>,
    clock: Arc<MachineClock>,
    pub(crate) metrics: Arc<Metrics>,
}

impl RunningDaemon {
    /// Ends it in an orderly way.
    pub(crate) async fn stop(self) {
        self.words.send(SignalRequest::Stop).await.unwrap();
        self.task.await.unwrap().unwrap();
    }

    /// Nobody sleeps on its machine right after time has passed, and what slept during a run is up before its end is told: so
    /// one who sleeps, waits, and sleeps still, is at rest.
    fn doing(&self, beds: &mut Watch) -> Doing {
        let slept = beds.sleepers_on(&self.clock);
        let phase = *self.phase.borrow();
        let sleeps = beds.sleepers_on(&self.clock);
        match phase {
            Phase::Waiting(due) if slept > 0 && sleeps > 0 => Doing::Rest(due),
            // Its main loop and whoever keeps its leases sleep anyway.
            Phase::Running | Phase::Following if sleeps > 2 => Doing::WaitingForTime,
            _ => Doing::Something,
        }
    }
}

/// What a daemon does.
enum Doing {
    /// It waits for its next run.
    Rest(DateTime<Utc>),
    /// It has work under way that waits for time to pass.
    WaitingForTime,
    /// Anything else.
    Something,
}

impl Doing {
    fn rests_until(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Rest(due) => Some(*due),
            _ => None,
        }
    }
}

/// An instant of November 2026.
pub(crate) fn at(day: u32, hour: u32, minute: u32) -> DateTime<Utc> {
    use chrono::TimeZone as _;
    Utc.with_ymd_and_hms(2026, 11, day, hour, minute, 0).unwrap()
}
