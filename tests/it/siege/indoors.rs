//! The program within the test: the same parts, the same servers, but a clock that every wait moves on, so that hours of
//! back-off pass at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeZone as _, Utc};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use whatsapp_archiver::app::remotes::Remotes;
use whatsapp_archiver::app::{App, LedgerUse, TablesUse};
use whatsapp_archiver::clock::{ManualClock, SharedClock};
use whatsapp_archiver::config::{Config, NeededSecrets};
use whatsapp_archiver::http::{HttpClient, HttpOptions};
use whatsapp_archiver::pipeline::{RunFinished, RunRequest};

use super::mailboxes::{Settle, Town};
pub(super) use super::population::Census;
use super::site::{Patience, Site, Staged, hours_ago};

/// The waits are those of a default configuration; they cost nothing here.
const PATIENCE: Patience = Patience {
    retry: "attempts = 6\ninitial = \"500ms\"\nmax = \"30s\"",
    settle: Settle { dovecot: "30s", graph: "2m" },
    // Renewed every seven hours, by a sleeper that nobody waits for.
    lease: "23h",
};

/// A server that is silent for so long is given up. This alone is real time.
const SILENCE: Duration = Duration::from_millis(500);

/// When it begins.
pub(super) fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap()
}

/// A clock that is moved by whoever waits for minutes.
pub(super) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::moved_by_sleeps_of(Duration::from_mins(10), start()))
}

/// A small census.
pub(super) fn census(messages: i64, label: &str, seed: u64) -> Census {
    Census {
        messages,
        employees: 3,
        label: label.to_owned(),
        seed,
        first: hours_ago(start()),
        largest_file: 5_000,
        some_late: false,
    }
}

/// The program, and everything around it.
pub(super) struct Indoors {
    pub(super) site: Site,
    pub(super) clock: Arc<ManualClock>,
    app: App,
}

impl Indoors {
    pub(super) async fn new(census: &Census, town: Town, staged: Staged, clock: Arc<ManualClock>) -> Self {
        let shared: SharedClock = Arc::<ManualClock>::clone(&clock);
        let site = Site::with_clock(census, town, staged, PATIENCE, shared, in_memory());
        let app = build(&site, &clock).await;
        Self { site, clock, app }
    }

    /// The same, with a source that is given up soon when it falls silent.
    pub(super) fn impatient(mut self) -> Self {
        let options = HttpOptions { read_timeout: SILENCE, ..HttpOptions::default() };
        let users = whatsapp_archiver::app::files::read_users(&self.app.config.tables()).unwrap();
        let http = HttpClient::build(&options).unwrap();
        let clock: SharedClock = Arc::<ManualClock>::clone(&self.clock);
        let impatient = Remotes::build(&self.app.config, &BTreeMap::new(), &http, &clock, users).unwrap();
        self.app.remotes.source = impatient.source;
        self
    }

    /// Puts the program together anew, as a restart does.
    pub(super) async fn restart(&mut self) {
        self.app.ledger.close().await;
        self.app = build(&self.site, &self.clock).await;
    }

    /// A regular run.
    pub(super) async fn run(&self) -> RunFinished {
        let pipeline = self.app.pipeline(CancellationToken::new());
        let run = pipeline.run(RunRequest::Regular);
        // Only a run that hangs is ever measured by this time.
        tokio::time::timeout(Duration::from_mins(4), run).await.expect("the run ends").unwrap()
    }

    /// Runs every hour until nothing is pending, and once more; then judges.
    pub(super) async fn finish(&self, what: &str) {
        self.run_until_done(what).await;
        self.run_until_done(what).await;
        self.site.judge(what).await;
    }

    /// Runs every hour until a run is complete.
    pub(super) async fn run_until_done(&self, what: &str) {
        let mut reported = Vec::new();
        for _ in 0..20 {
            self.clock.advance(Duration::from_hours(1));
            let RunFinished { report, error, .. } = self.run().await;
            if report.status.name() == "complete" {
                return;
            }
            reported.push(format!("{}: {error:?}, {:?}", report.status.name(), report.deliveries));
        }
        panic!("{what}: it doesn't get done: {reported:#?}");
    }
}

async fn build(site: &Site, clock: &Arc<ManualClock>) -> App {
    let environment = BTreeMap::new();
    let config = Config::load(&site.directory.path().join("config.toml"), &environment, NeededSecrets::All).unwrap();
    let clock: SharedClock = Arc::<ManualClock>::clone(clock);
    App::build(Arc::new(config), &environment, clock, LedgerUse::MadeIfMissing, TablesUse::Read).await.unwrap()
}

/// A directory that no disk slows down, where there is such a thing: that a disk keeps its word is not the question here.
fn in_memory() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}
