//! A whole archive in one process: TeleMessage on the wire, staging on the disk, a ledger, mailboxes and a directory that
//! fail as they are told. Each run is made by a process of its own, as far as the ledger can tell.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeZone as _, Utc};
use reqwest::Url;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use whatsapp_archiver::clock::{Clock as _, ManualClock, SharedClock};
use whatsapp_archiver::fault::remedy::Kinds;
use whatsapp_archiver::http::{HttpClient, HttpOptions};
use whatsapp_archiver::ledger::{
    DeliveryState, Failure, FailureFilter, Holder, ItemSelection, Ledger, ListPlace, RunId,
};
use whatsapp_archiver::local_paths::LocalPaths;
use whatsapp_archiver::mailbox::DestinationLimits;
use whatsapp_archiver::pipeline::{
    Deps, Inputs, Pipeline, ReplayPreview, ReportPolicy, RunError, RunFinished, RunRequest, Settings,
};
use whatsapp_archiver::report::Report;
use whatsapp_archiver::report::document::write_json;
use whatsapp_archiver::report::lists::Numbers;
use whatsapp_archiver::resolve::Resolver;
use whatsapp_archiver::resolve::mapping::Mapping;
use whatsapp_archiver::retry::RetryPolicy;
use whatsapp_archiver::schedule::{Begin, Schedule};
use whatsapp_archiver::source::Source;
use whatsapp_archiver::source::telemessage::{TeleMessage, TeleMessageSettings};
use whatsapp_archiver::staging::local::LocalStaging;

use super::destination::ScriptedDestination;
use super::staging::ScriptedStaging;
use super::users::ScriptedUsers;
use crate::oracle;
use crate::servers::telemessage::{
    ATTACHMENT_PATH, ArchivedItem, CLOUD_ARCHIVER, MESSAGES_PATH, PASSWORD, PHONE_ARCHIVER, TeleMessageServer,
    USERNAME, Who, who,
};

pub(crate) const ANA: &str = "ana@contoso.example";
pub(crate) const BEN: &str = "ben@contoso.example";
pub(crate) const CLEO: &str = "cleo@contoso.example";

/// The archive and everything that it is made of.
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) server: TeleMessageServer,
    pub(crate) destination: Arc<ScriptedDestination>,
    pub(crate) users: Arc<ScriptedUsers>,
    pub(crate) ledger: Ledger,
    pub(crate) directory: TempDir,
    pub(crate) settings: Settings,
    pub(crate) mapping: String,
    pub(crate) page_size: usize,
    /// Stands before TeleMessage, where something does.
    pub(crate) source: Option<Arc<dyn Source>>,
    /// Stands in the place of the staging area, where something does.
    pub(crate) staging: Option<Arc<ScriptedStaging>>,
    /// How long windows are kept; for ever where nothing is said.
    pub(crate) retain: Option<Duration>,
    /// How long the ledger keeps the details of what is purged; for ever where nothing is said.
    pub(crate) ledger_retain: Option<Duration>,
}

/// When the first run starts.
pub(crate) fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap()
}

/// An instant of the first run's window.
pub(crate) fn in_window(minute: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 21, 8, 0, 0).unwrap() + chrono::Duration::minutes(minute)
}

/// The employees of the mapping, and whom nobody knows.
pub(crate) fn ana() -> Who {
    who("15550100")
}
pub(crate) fn ben() -> Who {
    who("15550101")
}
pub(crate) fn cleo() -> Who {
    who("15550102")
}
pub(crate) fn stranger() -> Who {
    who("15559999")
}

/// A message from Ben to Ana that only Ana's capture brings.
pub(crate) fn message(id: i64) -> ArchivedItem {
    ArchivedItem::message(id, in_window(id))
}

/// A message from a stranger to Ana: one copy.
pub(crate) fn to_ana(id: i64) -> ArchivedItem {
    message(id).between(&ana(), &stranger(), &[ana()])
}

/// The same, received at this instant.
pub(crate) fn to_ana_at(id: i64, received: DateTime<Utc>) -> ArchivedItem {
    ArchivedItem::message(id, received).between(&ana(), &stranger(), &[ana()])
}

/// A message from a stranger to Ben: one copy.
pub(crate) fn to_ben(id: i64) -> ArchivedItem {
    message(id).between(&ben(), &stranger(), &[ben()])
}

/// The WhatsApp id of the message of an item.
pub(crate) fn whatsapp_id(id: i64) -> String {
    format!("3EB0{id:012X}")
}

pub(crate) fn whatsapp_ids(ids: impl IntoIterator<Item = i64>) -> Vec<String> {
    ids.into_iter().map(whatsapp_id).collect()
}

pub(crate) const FEW: DestinationLimits =
    DestinationLimits { batch_messages: 4, batch_bytes: 16 * 1024 * 1024, mailboxes: 4 };

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_limits(FEW).await
    }

    pub(crate) async fn with_limits(limits: DestinationLimits) -> Self {
        // Pauses of minutes pass at once; those of hours can be looked at. Leases are renewed every 16 hours.
        let clock = Arc::new(ManualClock::moved_by_sleeps_of(Duration::from_mins(10), start()));
        let directory = TempDir::new().unwrap();
        let url = format!("sqlite://{}", directory.path().join("ledger.db").display());
        let users = ScriptedUsers::default();
        users.add(&[ANA, BEN, CLEO]);
        Self {
            server: TeleMessageServer::start(Arc::<ManualClock>::clone(&clock)),
            destination: Arc::new(ScriptedDestination::new(&clock, limits)),
            users: Arc::new(users),
            ledger: Ledger::open(&url).await.unwrap(),
            settings: settings(),
            mapping: format!("15550100,{ANA}\n15550101,{BEN}\n15550102,{CLEO}\n"),
            page_size: 100,
            source: None,
            staging: None,
            retain: None,
            ledger_retain: None,
            clock,
            directory,
        }
    }

    /// TeleMessage, as the pipeline speaks to it.
    pub(crate) fn telemessage(&self) -> TeleMessage {
        let settings = TeleMessageSettings {
            base_url: Url::parse(&self.server.base_url()).unwrap(),
            messages_path: MESSAGES_PATH.to_owned(),
            attachment_path: ATTACHMENT_PATH.to_owned(),
            username: USERNAME.to_owned(),
            password: Arc::new(|| Ok(SecretString::from(PASSWORD))),
            source_types: vec![PHONE_ARCHIVER.to_owned(), CLOUD_ARCHIVER.to_owned()],
            page_size: self.page_size,
        };
        let client = HttpClient::build(&HttpOptions::default()).unwrap();
        TeleMessage::new(client, self.shared_clock(), settings).unwrap()
    }

    /// Puts a staging area that fails on command in the place of the plain one.
    pub(crate) fn scripted_staging(&mut self) -> Arc<ScriptedStaging> {
        let staging = Arc::new(ScriptedStaging::in_folder(&self.directory.path().join("staging")));
        self.staging = Some(Arc::clone(&staging));
        staging
    }

    fn shared_clock(&self) -> SharedClock {
        Arc::<ManualClock>::clone(&self.clock)
    }

    /// The parts of a process with this holder.
    fn deps(&self, holder: Holder) -> Deps {
        let mapping = format!("External User ID,Microsoft 365 User Mailbox\n{}", self.mapping);
        let (mapping, _) = Mapping::read(mapping.as_bytes(), "mapping.csv").unwrap();
        Deps {
            clock: self.shared_clock(),
            source: self.source.clone().unwrap_or_else(|| Arc::new(self.telemessage())),
            staging: match &self.staging {
                Some(staging) => Arc::<ScriptedStaging>::clone(staging),
                None => Arc::new(LocalStaging::new(self.directory.path().join("staging"))),
            },
            resolver: Arc::new(Resolver::new(Some(Arc::new(mapping)), true, Arc::<ScriptedUsers>::clone(&self.users))),
            destination: Arc::<ScriptedDestination>::clone(&self.destination),
            ledger: self.ledger.clone(),
            holder,
        }
    }

    /// Runs an order in a process of its own, until `stop`.
    pub(crate) async fn run_until(
        &self,
        stop: CancellationToken,
        request: RunRequest,
    ) -> Result<RunFinished, RunError> {
        let presence = self.ledger.join(self.clock.now()).await.unwrap();
        self.pipeline(presence.holder.clone(), stop).run(request).await
    }

    /// A pipeline of a process with this holder.
    pub(crate) fn pipeline(&self, holder: Holder, stop: CancellationToken) -> Pipeline {
        let report_policy = ReportPolicy { retain: self.retain, ledger_retain: self.ledger_retain, signing_key: None };
        Pipeline::new(self.deps(holder), self.settings.clone(), stop).with_report_policy(report_policy)
    }

    /// A pipeline of a process with this holder, at other mailboxes.
    pub(crate) fn pipeline_at(
        &self,
        destination: Arc<ScriptedDestination>,
        holder: Holder,
        stop: CancellationToken,
    ) -> Pipeline {
        Pipeline::new(Deps { destination, ..self.deps(holder) }, self.settings.clone(), stop)
    }

    /// What makes a pipeline at other mailboxes, on another connection to the ledger.
    pub(crate) fn pipeline_deps(
        &self,
        destination: Arc<ScriptedDestination>,
    ) -> impl FnOnce(Ledger, Holder) -> Pipeline + use<> {
        let (deps, settings) = (self.deps(Holder::new()), self.settings.clone());
        move |ledger, holder| {
            Pipeline::new(Deps { destination, ledger, holder, ..deps }, settings, CancellationToken::new())
        }
    }

    /// A regular run whose process dies when the first mailbox is asked for something.
    pub(crate) fn run_and_die_while_sending(&self) {
        let process = async {
            let ledger = Ledger::open(&self.ledger_url()).await.unwrap();
            let presence = ledger.join(self.clock.now()).await.unwrap();
            let deps = Deps { ledger, ..self.deps(presence.holder.clone()) };
            let pipeline = Pipeline::new(deps, self.settings.clone(), CancellationToken::new());
            tokio::select! {
                finished = pipeline.run(RunRequest::Regular) => panic!("the run ended: {finished:?}"),
                () = self.destination.until_asked() => {}
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(process);
                // Everything that the process had under way goes with it.
                drop(runtime);
            });
        });
    }

    pub(crate) fn ledger_url(&self) -> String {
        format!("sqlite://{}", self.directory.path().join("ledger.db").display())
    }

    /// Runs a request to its end, and audits its report.
    pub(crate) async fn run_request(&self, request: RunRequest) -> RunFinished {
        let finished = self.run_until(CancellationToken::new(), request).await.unwrap();
        self.audit(&finished.report).await;
        finished
    }

    /// A regular run that doesn't fail.
    pub(crate) async fn run(&self) -> Report {
        let finished = self.run_request(RunRequest::Regular).await;
        assert!(finished.error.is_none(), "{:?}", finished.error);
        finished.report
    }

    /// A replay that doesn't fail.
    pub(crate) async fn retry(&self, selection: ItemSelection) -> Report {
        let finished = self.run_request(RunRequest::Retry(selection)).await;
        assert!(finished.error.is_none(), "{:?}", finished.error);
        finished.report
    }

    /// What a replay would add.
    pub(crate) async fn preview(&self, selection: &ItemSelection) -> ReplayPreview {
        let pipeline = self.pipeline(Holder::new(), CancellationToken::new());
        pipeline.preview_replay(selection).await.unwrap()
    }

    /// A regular run one day after the last one.
    pub(crate) async fn run_next_day(&self) -> Report {
        self.clock.advance(Duration::from_hours(24));
        self.run().await
    }

    /// The books of a report balance: in its numbers, and between its numbers and its lists.
    pub(crate) async fn audit(&self, report: &Report) {
        let mut written = Vec::new();
        write_json(&self.ledger, report, Numbers::Masked, &mut written).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&written).unwrap();
        let count = |name: &str| json["deliveries"][name].as_u64().unwrap();
        let outcomes = ["imported", "partially_imported", "skipped_duplicate", "failed", "pending"];
        assert_eq!(count("available_for_import"), outcomes.map(count).iter().sum::<u64>(), "{json}");
        assert!(count("available_for_import") >= count("carried_over"), "{json}");
        assert_eq!(json["failures"].as_array().unwrap().len() as u64, count("failed"), "{json}");
        assert_eq!(json["partials"].as_array().unwrap().len() as u64, count("partially_imported"), "{json}");
        let by_reason = |name: &str| json[name].as_object().unwrap().values().map(|v| v.as_u64().unwrap()).sum::<u64>();
        assert_eq!(by_reason("failed_by_reason"), count("failed"), "{json}");
        assert_eq!(by_reason("partial_by_reason"), count("partially_imported"), "{json}");
        let pending = self.rows(Some(&report.run), DeliveryState::Pending).await;
        assert_eq!(pending.len() as u64, count("pending"), "{json}");
    }

    /// The rows of an account in a state; of what is open now, where no run is named.
    pub(crate) async fn rows(&self, run: Option<&RunId>, state: DeliveryState) -> Vec<Failure> {
        let filter = FailureFilter { run: run.cloned(), states: vec![state], reason: None };
        self.ledger.failures(&filter, &ListPlace::default(), 10_000).await.unwrap()
    }

    /// The WhatsApp ids in a mailbox, sorted, as often as they are there.
    pub(crate) fn held(&self, mailbox: &str) -> Vec<String> {
        oracle::ids(&self.destination.mailboxes()).remove(mailbox).unwrap_or_default()
    }
}

fn settings() -> Settings {
    Settings {
        max_item_size: 10 * 1024 * 1024,
        max_attachment_size: 32 * 1024 * 1024,
        attachment_wait: Duration::from_hours(24),
        downloads: 4,
        placeholder_address_domain: "whatsapp.invalid".to_owned(),
        retry: RetryPolicy { attempts: 4, initial: Duration::from_millis(500), max: Duration::from_secs(30) },
        give_up: Duration::from_hours(7 * 24),
        max_failed_percent: 100,
        lease: Duration::from_hours(48),
        schedule: Schedule {
            every: chrono::Duration::hours(24),
            at: None,
            overlap: chrono::Duration::hours(24),
            settle: chrono::Duration::minutes(5),
            begin: Begin::Lookback(chrono::Duration::hours(24)),
        },
        kinds: Kinds::FOLDERS,
        inputs: Inputs { converter: "1".to_owned(), ..Inputs::default() },
        local_paths: LocalPaths::default(),
    }
}

/// What a report counts: imported, partially imported, duplicates, failed, pending.
pub(crate) fn counts(report: &Report) -> [u64; 5] {
    let deliveries = &report.deliveries;
    [
        deliveries.imported,
        deliveries.partially_imported,
        deliveries.skipped_duplicate,
        deliveries.failed,
        deliveries.pending,
    ]
}
