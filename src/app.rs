//! Builds the parts from the configuration and hands them over.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::clock::{SharedClock, SystemClock};
use crate::config::{Config, LedgerUrl, RetryConfig, SourceKind};
use crate::convert::CONVERTER_VERSION;
use crate::fault::remedy::Kinds;
use crate::http::{HttpClient, HttpOptions, Remote};
use crate::ledger::{ActionKind, Ledger, LedgerError, Presence};
use crate::local_paths::LocalPaths;
use crate::metrics::Metrics;
use crate::notify::Notifier;
use crate::pipeline::{Deps, Inputs, Pipeline, ReportPolicy, Settings};
use crate::resolve::Resolver;
use crate::resolve::mapping::Mapping;
use crate::retry::RetryPolicy;
use crate::staging::Staging;

pub mod credentials;
pub mod files;
pub mod gained;
mod known_mailboxes;
pub mod private_files;
pub mod remotes;
pub mod watch;

use files::{FileProblems, Tables};
use known_mailboxes::KnownMailboxes;
use remotes::Remotes;
use watch::FileWatch;

/// The parts of a program, built once from its configuration.
pub struct App {
    /// The configuration in force.
    pub config: Arc<Config>,
    pub clock: SharedClock,
    /// Everything that is spoken to.
    pub remotes: Remotes,
    /// What remembers.
    pub ledger: Ledger,
    /// This process at the ledger.
    pub presence: Presence,
    /// Whose mailboxes items belong in.
    pub resolver: Arc<Resolver>,
    /// The administrator's files, as they were when they were read.
    pub files: FileWatch,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Why the program could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The mapping file or the user list is wrong, or both are: exit status 78.
    #[error("{0}")]
    Files(#[from] FileProblems),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Anything else.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl App {
    /// Puts the program together. Talks to nothing but the ledger.
    pub async fn build(
        config: Arc<Config>,
        environment: &BTreeMap<String, String>,
        clock: SharedClock,
        ledger: LedgerUse,
        tables: TablesUse,
    ) -> Result<Self, BuildError> {
        if ledger == LedgerUse::MadeIfMissing {
            private_files::close(&config);
        }
        let metrics = Arc::new(Metrics::new());
        let files = FileWatch::of(&config);
        let tables = match tables {
            TablesUse::Read => files::read_tables(&config.tables())?,
            TablesUse::NobodyIsResolved => Tables::of_nobody(),
        };
        let (remotes, mapping) = build_remotes(&config, environment, &clock, &metrics, tables)?;
        let ledger = open_ledger(&config.ledger.url, ledger).await?;
        let resolver = resolver(&config, mapping, &remotes, &ledger);
        let presence = ledger.join(clock.now()).await?;
        Ok(Self { config, clock, remotes, ledger, presence, resolver, files, metrics })
    }

    /// Takes over what the process left that was this replica before, where replicas have names. For the daemon alone: a
    /// command beside it isn't the replica.
    pub async fn succeed_predecessor(&self) -> Result<(), LedgerError> {
        let Some(replica) = &self.config.ledger.replica else { return Ok(()) };
        self.ledger.succeed(replica, &self.presence.holder, self.clock.now()).await
    }

    /// Whether the ledger is the one that the configuration names, and no stand-in for one that doesn't exist yet.
    pub fn has_own_ledger(&self) -> bool {
        !self.ledger.is_in_memory()
    }

    /// The remotes and the resolver as another configuration says, for a daemon that reads it again.
    pub fn rebuilt(
        &self,
        config: &Config,
        environment: &BTreeMap<String, String>,
    ) -> Result<(Remotes, Arc<Resolver>), BuildError> {
        let tables = files::read_tables(&config.tables())?;
        let (remotes, mapping) = build_remotes(config, environment, &self.clock, &self.metrics, tables)?;
        let resolver = resolver(config, mapping, &remotes, &self.ledger);
        Ok((remotes, resolver))
    }

    /// Notifies somebody when a run needs attention; absent where no webhook is configured.
    pub fn notifier(&self) -> Option<Notifier> {
        let webhook = self.config.notify.webhook.clone()?;
        let http = match http_client(&self.config) {
            Ok(http) => http.observed_by(self.metrics.observer()),
            Err(error) => {
                tracing::error!(event = "notify_failed", error = %error, "the webhook could not be notified");
                return None;
            }
        };
        Some(Notifier::new(http, webhook, self.ledger.clone(), Arc::clone(&self.clock)))
    }

    /// Records where configuration or mapping are not those that were in force before: the next report of the chain has it.
    /// Returns whether the mapping is another one.
    pub async fn record_inputs(&self) -> Result<bool, LedgerError> {
        let mapping = self.resolver.mapping().map(|mapping| mapping.sha256());
        let (process, now) = (format!("process {} ({})", std::process::id(), self.presence.holder.0), self.clock.now());
        let configuration = Some(self.config.sha256);
        self.ledger.record_input(ActionKind::ConfigurationChanged, configuration, &process, now).await?;
        self.ledger.record_input(ActionKind::MappingChanged, mapping, &process, now).await
    }

    /// A pipeline of these parts, with the mapping in force now.
    pub fn pipeline(&self, stop: CancellationToken) -> Pipeline {
        let resolver = Arc::new(self.resolver.snapshot());
        let mapping_sha256 = resolver.mapping().map(|mapping| mapping.sha256().to_string());
        let deps = Deps {
            clock: Arc::clone(&self.clock),
            source: Arc::clone(&self.remotes.source),
            staging: Arc::clone(&self.remotes.staging),
            resolver,
            destination: Arc::clone(&self.remotes.destination),
            ledger: self.ledger.clone(),
            holder: self.presence.holder.clone(),
        };
        Pipeline::new(deps, settings(&self.config, mapping_sha256), stop)
            .counted_by(Arc::clone(&self.metrics))
            .with_report_policy(report_policy(&self.config))
    }
}

fn build_remotes(
    config: &Config,
    environment: &BTreeMap<String, String>,
    clock: &SharedClock,
    metrics: &Arc<Metrics>,
    tables: Tables,
) -> Result<(Remotes, Option<Arc<Mapping>>), BuildError> {
    let Tables { mapping, users } = tables;
    let http = http_client(config)?.observed_by(metrics.observer());
    let remotes = Remotes::build(config, environment, &http, clock, users).map_err(BuildError::Other)?;
    let throttle = Arc::clone(&remotes.throttle);
    metrics.watch_waits(Remote::Mailbox, move || throttle.waited());
    Ok((remotes, mapping))
}

fn resolver(config: &Config, mapping: Option<Arc<Mapping>>, remotes: &Remotes, ledger: &Ledger) -> Arc<Resolver> {
    let users = KnownMailboxes::new(Arc::clone(&remotes.users), ledger.clone());
    Arc::new(Resolver::new(mapping, config.mapping.automatic, Arc::new(users)))
}

/// The staging area alone, for commands that read nothing else.
pub fn staging_alone(config: &Config, environment: &BTreeMap<String, String>) -> anyhow::Result<Arc<dyn Staging>> {
    let clock: SharedClock = Arc::new(SystemClock);
    remotes::staging_alone(config, environment, &http_client(config)?, &clock)
}

/// How often and how soon a request is repeated.
pub fn retry_policy(config: &Config) -> RetryPolicy {
    let RetryConfig { attempts, initial, max, .. } = config.retry;
    RetryPolicy { attempts, initial, max }
}

/// What the configuration says of a run.
fn settings(config: &Config, mapping_sha256: Option<String>) -> Settings {
    Settings {
        max_item_size: config.mailbox.max_item_size,
        max_attachment_size: config.source.max_attachment_size,
        attachment_wait: config.source.attachment_wait,
        downloads: config.source.downloads,
        placeholder_address_domain: config.mailbox.placeholder_address_domain.clone(),
        retry: retry_policy(config),
        give_up: config.retry.give_up,
        max_failed_percent: config.report.max_failed_percent,
        lease: config.ledger.lease,
        schedule: config.schedule.clone(),
        kinds: Kinds::of(config),
        inputs: Inputs {
            config_sha256: Some(config.sha256.to_string()),
            mapping_sha256,
            converter: CONVERTER_VERSION.to_owned(),
        },
        local_paths: local_paths(config),
    }
}

/// The folders of this machine that the configuration names.
pub fn local_paths(config: &Config) -> LocalPaths {
    let mut paths = LocalPaths::default();
    if let SourceKind::Directory { path } = &config.source.kind {
        paths.add(path, "source.path");
    }
    for (key, path) in private_files::of(config) {
        paths.add(path, key);
    }
    paths
}

/// What the configuration says of what is kept.
fn report_policy(config: &Config) -> ReportPolicy {
    ReportPolicy {
        signing_key: config.report.signing_key.clone(),
        retain: config.staging.retain.limit(),
        ledger_retain: config.ledger.retain.limit(),
    }
}

fn http_client(config: &Config) -> anyhow::Result<HttpClient> {
    let extra_roots_pem = config.network.ca_file.as_deref().map(files::read_ca_file).transpose()?;
    Ok(HttpClient::build(&HttpOptions { extra_roots_pem, ..HttpOptions::within(config.ledger.lease) })?)
}

/// Where a program's ledger comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerUse {
    /// It must be there: looking never makes one.
    Existing,
    /// One is made where there is none: for what records.
    MadeIfMissing,
    /// The configured one where it is there, else an empty one in memory: to check the rest before the first run.
    ExistingOrEmpty,
}

/// Whether mapping and user list are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TablesUse {
    /// They are, and must be right.
    Read,
    /// They aren't looked at, and nobody is a valid user: nothing may be run.
    NobodyIsResolved,
}

/// Opens the ledger that the configuration names.
pub async fn open_ledger(url: &LedgerUrl, wanted: LedgerUse) -> Result<Ledger, LedgerError> {
    let address = ledger_address(url)?;
    match wanted {
        LedgerUse::MadeIfMissing => {
            make_room_for_ledger(url)?;
            Ledger::open(&address).await
        }
        LedgerUse::Existing => Ledger::open_existing(&address).await,
        LedgerUse::ExistingOrEmpty => match Ledger::open_existing(&address).await {
            Err(LedgerError::Missing { .. }) => Ledger::open_in_memory().await,
            opened => opened,
        },
    }
}

/// Makes the file of an SQLite ledger with its directory, where they are missing.
pub fn make_room_for_ledger(url: &LedgerUrl) -> Result<(), LedgerError> {
    let LedgerUrl::Sqlite(path) = url else { return Ok(()) };
    crate::ledger::refuse_only_its_log(path)?;
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(|error| LedgerError::Open {
            url: "ledger.url".to_owned(),
            detail: format!("{}: {error}", directory.display()),
        })?;
    }
    // It holds who wrote to whom. SQLite gives the files beside it the same mode, and reports what is wrong with the path.
    let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    Ok(())
}

/// The address of a ledger with the password in it, for [`Ledger::open`].
pub fn ledger_address(url: &LedgerUrl) -> Result<String, LedgerError> {
    let failed = |detail: String| LedgerError::Open { url: "ledger.url".to_owned(), detail };
    match url {
        LedgerUrl::Sqlite(path) => Ok(format!("sqlite://{}", path.display())),
        LedgerUrl::Postgres { url, password } => {
            let mut url = url.clone();
            if let Some(password) = password {
                let password = password.read().map_err(|error| failed(error.to_string()))?;
                let refused = url.set_password(Some(secrecy::ExposeSecret::expose_secret(&password))).is_err();
                if refused {
                    return Err(failed("this address takes no password".to_owned()));
                }
            }
            Ok(url.to_string())
        }
    }
}
