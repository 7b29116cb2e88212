//! The pipeline: the one place that knows the order of the stages and what a fault does.
//!
//! ```text
//! pull ──▶ prepare ──▶ queue of each mailbox ──▶ claim ──▶ send ──▶ record
//! pages    resolve,     `ready` in the ledger     batch by            outcomes,
//! staged   convert                                batch               grouped
//! ```
//!
//! The ledger is the queue. A cache of converted messages, bounded in bytes, spares most of them the way back from staging.
//! Pausing and stopping are to claim nothing more. Nothing waits for a mailbox but its own queue, so one mailbox's trouble is
//! its own; and whoever leases a mailbox can work on its queue, so several processes share a run.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::fault::remedy::Kinds;
use crate::ledger::{Holder, ItemSelection, Ledger};
use crate::local_paths::LocalPaths;
use crate::mailbox::Destination;
use crate::metrics::Metrics;
use crate::resolve::Resolver;
use crate::retry::{Retrier, RetryPolicy};
use crate::schedule::Schedule;
use crate::secret::Secret;
use crate::source::Source;
use crate::staging::Staging;
use crate::window::Window;

mod after_run;
mod attachments;
mod awaited_attachments;
mod candidate;
mod capture;
mod deliver;
mod error;
mod finder;
mod follower;
mod handed_over;
mod leader;
mod leases;
mod load;
mod look_ups;
mod message_cache;
mod ownership;
mod prepare;
mod prior_sends;
mod progress;
mod pull;
mod rebuild;
mod recorder;
mod replay;
mod retention;
mod rows;
mod run;
mod scheduler;
mod settling;
mod shrinking;
mod source_health;
mod take_over;
mod undone;
mod unrecognized;

pub use error::RunError;
pub use load::Loader;
pub use progress::Progress;
pub use replay::ReplayPreview;
pub use undone::{RunFinished, Undone};

/// What the pipeline is made of.
#[derive(Clone)]
pub struct Deps {
    pub clock: SharedClock,
    /// Where items come from.
    pub source: Arc<dyn Source>,
    /// Where raw items lie.
    pub staging: Arc<dyn Staging>,
    /// Whose mailboxes items belong in.
    pub resolver: Arc<Resolver>,
    /// Where copies go.
    pub destination: Arc<dyn Destination>,
    pub ledger: Ledger,
    /// This process.
    pub holder: Holder,
}

/// What the configuration says of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The largest item that is imported, in bytes of content (`mailbox.max_item_size`).
    pub max_item_size: u64,
    /// The largest attachment that is staged, in bytes (`source.max_attachment_size`).
    pub max_attachment_size: u64,
    /// How long an attachment may trail (`source.attachment_wait`).
    pub attachment_wait: Duration,
    /// Attachments that are fetched at the same time (`source.downloads`).
    pub downloads: usize,
    /// The domain of participants without any address (`mailbox.placeholder_address_domain`).
    pub placeholder_address_domain: String,
    /// How often and how soon to try again (`[retry]`).
    pub retry: RetryPolicy,
    /// After how long a pending delivery fails (`retry.give_up`).
    pub give_up: Duration,
    /// How many of a hundred deliveries may fail by rule without a warning (`report.max_failed_share`).
    pub max_failed_percent: u8,
    /// How long a dead process's work waits (`ledger.lease`).
    pub lease: Duration,
    /// When to run and what to read (`[schedule]`).
    pub schedule: Schedule,
    /// What helps depends on these.
    pub kinds: Kinds,
    /// `inputs` of the report.
    pub inputs: Inputs,
    /// What no report may name.
    pub local_paths: LocalPaths,
}

/// How reports are signed, and how long what is accounted for is kept.
#[derive(Debug, Clone, Default)]
pub struct ReportPolicy {
    /// The key that signs reports (`report.signing_key`).
    pub signing_key: Option<Secret>,
    /// How long accounted windows stay in staging (`staging.retain`); without it for ever.
    pub retain: Option<Duration>,
    /// How long the ledger has the details of items that are purged from there (`ledger.retain`); without it for ever.
    pub ledger_retain: Option<Duration>,
}

/// The digests of what a run was made with.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Inputs {
    /// The SHA-256 of the configuration file.
    pub config_sha256: Option<String>,
    /// The SHA-256 of the mapping file.
    pub mapping_sha256: Option<String>,
    /// The converter's version.
    pub converter: String,
}

/// What to run.
#[derive(Debug, Clone)]
pub enum RunRequest {
    /// From the watermark to now.
    Regular,
    /// A stated window; the watermark stays.
    Backfill(Window),
    /// What is held or failed, from staging.
    Retry(ItemSelection),
    /// Copies that are open, and nothing else: those of which a verification found that they are missing.
    Restore,
    /// The ledger itself, after a loss: from staging and the mailboxes.
    Rebuild,
}

/// A pipeline, ready to run.
#[derive(Clone)]
pub struct Pipeline {
    deps: Deps,
    settings: Arc<Settings>,
    report_policy: ReportPolicy,
    retrier: Retrier,
    stop: CancellationToken,
    progress: Arc<Progress>,
    source_health: Arc<source_health::SourceHealth>,
    metrics: Option<Arc<Metrics>>,
}

impl Pipeline {
    /// A pipeline of these parts. When `stop` is cancelled, no new work is begun, and what is under way ends.
    pub fn new(deps: Deps, settings: Settings, stop: CancellationToken) -> Self {
        let clock = Arc::clone(&deps.clock);
        let retrier = Retrier::new(clock, settings.retry, stop.clone());
        Self {
            deps,
            settings: Arc::new(settings),
            report_policy: ReportPolicy::default(),
            retrier,
            stop,
            progress: Arc::new(Progress::default()),
            source_health: Arc::default(),
            metrics: None,
        }
    }

    /// The same pipeline, with what is kept of its runs: without it, reports aren't signed, and nothing is purged or
    /// shrunk.
    #[must_use]
    pub fn with_report_policy(self, report_policy: ReportPolicy) -> Self {
        Self { report_policy, ..self }
    }

    /// The same pipeline, whose work is counted.
    #[must_use]
    pub fn counted_by(self, metrics: Arc<Metrics>) -> Self {
        let retrier = self.retrier.observed_by(metrics.wait_observer());
        Self { retrier, metrics: Some(metrics), ..self }
    }

    /// The counters of the run under way.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    fn now(&self) -> DateTime<Utc> {
        self.deps.clock.now()
    }
}
