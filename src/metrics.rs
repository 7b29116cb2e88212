//! What this process counts for Prometheus, from zero when it starts.
//!
//! Every label has a closed list of values, so that no item, mailbox or server can make a new series.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use reqwest::StatusCode;

use crate::http::{HttpError, Observer, Remote};
use crate::ledger::{DeliveryState, Outcome, PartialReason, Prepared, RowReason};
use crate::reason::Reason;
use crate::retry::WaitObserver;

/// What the names of all metrics begin with.
pub(crate) const PREFIX: &str = "whatsapp_archiver";

/// Upper bounds of `request_seconds`: from a fast answer to the longest that is waited for.
const REQUEST_SECONDS: [f64; 12] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The remotes that make the connector wait.
const THROTTLING: [Remote; 5] = [Remote::Source, Remote::Staging, Remote::Directory, Remote::Mailbox, Remote::SignIn];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ItemLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeliveryLabels {
    outcome: &'static str,
    /// Empty where the outcome has none.
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    remote: &'static str,
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RemoteLabels {
    remote: &'static str,
}

type Seconds = Counter<f64, std::sync::atomic::AtomicU64>;
type Requests = Family<RemoteLabels, Histogram, fn() -> Histogram>;

/// A page of the source, as far as it is counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct CountedPage {
    /// Items that were seen for the first time, those that are late included.
    pub new: usize,
    /// Of these, items found only through the overlap.
    pub late: usize,
    /// Items that were sent again.
    pub repeated: usize,
    /// Bytes that were staged: the page and its attachments.
    pub staged_bytes: u64,
}

/// Something that adds up its own waits.
type Waits = Box<dyn Fn() -> Duration + Send + Sync>;

struct WatchedWaits {
    remote: Remote,
    waits: Waits,
    counted: Duration,
}

/// The counters of this process.
pub struct Metrics {
    registry: Registry,
    items: Family<ItemLabels, Counter>,
    deliveries: Family<DeliveryLabels, Counter>,
    staged_bytes: Counter,
    imported_bytes: Counter,
    purged_windows: Counter,
    shrunk_items: Counter,
    run_stalled: Gauge,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Requests,
    throttled_seconds: Family<RemoteLabels, Seconds>,
    retries: Family<RemoteLabels, Counter>,
    watched: Mutex<Vec<WatchedWaits>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Counters at nothing. Every series whose labels are known beforehand is there from the start, so that its first
    /// increase can be seen.
    pub fn new() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix(PREFIX),
            items: Family::default(),
            deliveries: Family::default(),
            staged_bytes: Counter::default(),
            imported_bytes: Counter::default(),
            purged_windows: Counter::default(),
            shrunk_items: Counter::default(),
            run_stalled: Gauge::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(REQUEST_SECONDS)),
            throttled_seconds: Family::default(),
            retries: Family::default(),
            watched: Mutex::default(),
        };
        metrics.begin_series();
        metrics.registered()
    }

    fn begin_series(&self) {
        for outcome in ["new", "late", "repeated"] {
            self.count_items(outcome, 0);
        }
        for state in [DeliveryState::Imported, DeliveryState::SkippedDuplicate] {
            self.count_deliveries(state, None, 0);
        }
        for reason in PartialReason::ALL {
            self.count_deliveries(DeliveryState::PartiallyImported, Some(reason.name()), 0);
        }
        for reason in Reason::ALL {
            self.count_deliveries(DeliveryState::Failed, Some(reason.name()), 0);
        }
        for remote in THROTTLING {
            self.throttled(remote, Duration::ZERO);
            drop(self.retries.get_or_create(&RemoteLabels { remote: remote.name() }));
        }
    }

    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("items", "Items of the source, by whether they were seen before", self.items.clone());
        registry.register("deliveries", "Deliveries that got their outcome", self.deliveries.clone());
        registry.register("staged_bytes", "Bytes put into staging", self.staged_bytes.clone());
        registry.register("imported_bytes", "Bytes imported into mailboxes", self.imported_bytes.clone());
        registry.register("purged_windows", "Windows purged from staging", self.purged_windows.clone());
        registry.register(
            "shrunk_items",
            "Items whose details were removed from the ledger",
            self.shrunk_items.clone(),
        );
        let stalled = "1 while the run under way has made no progress for ten minutes";
        registry.register("run_stalled", stalled, self.run_stalled.clone());
        registry.register("requests", "HTTP requests, by status or kind of failure", self.requests.clone());
        registry.register("request_seconds", "Duration of HTTP requests", self.request_seconds.clone());
        let throttled = self.throttled_seconds.clone();
        registry.register("throttled_seconds", "Time spent waiting for a remote, added up", throttled);
        let retries = self.retries.clone();
        registry.register("retries", "Further tries after a failure or a wish for fewer requests", retries);
        self
    }

    /// A page was staged and recorded.
    pub fn page_recorded(&self, page: CountedPage) {
        self.count_items("new", page.new.saturating_sub(page.late) as u64);
        self.count_items("late", page.late as u64);
        self.count_items("repeated", page.repeated as u64);
        self.staged_bytes.inc_by(page.staged_bytes);
    }

    /// A window was purged from staging.
    pub fn window_purged(&self) {
        self.purged_windows.inc();
    }

    /// Items were shrunk in the ledger.
    pub fn items_shrunk(&self, items: u64) {
        self.shrunk_items.inc_by(items);
    }

    /// The run under way makes no progress, or does again.
    pub fn set_stalled(&self, is_stalled: bool) {
        self.run_stalled.set(i64::from(is_stalled));
    }

    /// Items got their rows; those that fail before there is a copy have their outcome with that.
    pub fn prepared(&self, prepared: &[Prepared]) {
        let rows = prepared.iter().flat_map(|item| &item.deliveries);
        for row in rows.filter(|row| row.state.has_outcome()) {
            self.count_deliveries(row.state, row.reason.map(Reason::name), 1);
        }
    }

    /// Copies got their outcome.
    pub fn deliveries_recorded(&self, outcomes: &[Outcome]) {
        for outcome in outcomes.iter().filter(|outcome| outcome.state.has_outcome()) {
            self.count_deliveries(outcome.state, outcome.reason.map(RowReason::name), 1);
            self.imported_bytes.inc_by(outcome.bytes);
        }
    }

    /// Deliveries were pending for too long and have failed.
    pub fn given_up(&self, deliveries: u64) {
        self.count_deliveries(DeliveryState::Failed, Some(Reason::MailboxUnavailable.name()), deliveries);
    }

    /// A remote made the connector wait.
    pub fn throttled(&self, remote: Remote, waited: Duration) {
        let labels = RemoteLabels { remote: remote.name() };
        self.throttled_seconds.get_or_create(&labels).inc_by(waited.as_secs_f64());
    }

    /// Counts waits that something adds up by itself, whenever the metrics are asked for. It takes the place of what was
    /// watched for the same remote before.
    pub fn watch_waits(&self, remote: Remote, waits: impl Fn() -> Duration + Send + Sync + 'static) {
        self.count_waits();
        let mut watched = self.watched();
        watched.retain(|watched| watched.remote != remote);
        watched.push(WatchedWaits { remote, waits: Box::new(waits), counted: Duration::ZERO });
    }

    /// Receives the HTTP client's requests.
    pub fn observer(self: &Arc<Self>) -> Observer {
        let metrics = Arc::clone(self);
        Arc::new(move |remote, result, duration| metrics.requested(remote, result, duration))
    }

    /// Receives a retrier's waits.
    pub fn wait_observer(self: &Arc<Self>) -> WaitObserver {
        let metrics = Arc::clone(self);
        Arc::new(move |remote, waited| {
            metrics.retries.get_or_create(&RemoteLabels { remote: remote.name() }).inc();
            metrics.throttled(remote, waited);
        })
    }

    fn requested(&self, remote: Remote, result: Result<StatusCode, &HttpError>, duration: Duration) {
        let status = match result {
            Ok(status) if status.as_u16() < 600 => status.as_u16().to_string(),
            Ok(_) => "other".to_owned(),
            Err(error) => error.label().to_owned(),
        };
        let remote = remote.name();
        self.requests.get_or_create(&RequestLabels { remote, status }).inc();
        self.request_seconds.get_or_create(&RemoteLabels { remote }).observe(duration.as_secs_f64());
    }

    /// Writes the counters, as OpenMetrics without its end.
    pub(crate) fn write(&self, out: &mut String) {
        self.count_waits();
        // Writing to a string does not fail.
        let _ = encode_registry(out, &self.registry);
    }

    fn count_waits(&self) {
        for watched in self.watched().iter_mut() {
            let waited = (watched.waits)();
            self.throttled(watched.remote, waited.saturating_sub(watched.counted));
            watched.counted = watched.counted.max(waited);
        }
    }

    fn count_items(&self, outcome: &'static str, items: u64) {
        self.items.get_or_create(&ItemLabels { outcome }).inc_by(items);
    }

    fn count_deliveries(&self, state: DeliveryState, reason: Option<&'static str>, deliveries: u64) {
        let labels = DeliveryLabels { outcome: state.name(), reason: reason.unwrap_or_default() };
        self.deliveries.get_or_create(&labels).inc_by(deliveries);
    }

    fn watched(&self) -> MutexGuard<'_, Vec<WatchedWaits>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
