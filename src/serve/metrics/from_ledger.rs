//! The gauges that come from the ledger, so that they hold for the connector as a whole and outlive a restart.

use std::fmt::Error;

use chrono::{DateTime, Duration, Utc};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::capture_loss;
use crate::ledger::{HeldSelection, Ledger, LedgerError, PendingCause, RunKind, RunRecord, RunStatus};
use crate::reason::Reason;
use crate::silence::Silence;
use crate::status::warning::{self, Input};
use crate::status::{self, REMOTES, credential};

const MANY_FAILED: &str =
    "Whether far more deliveries than usual failed by a rule in the last run that read the source (1: yes)";
const JUMP: &str =
    "Whether a run of the last day named far more messages that were never captured than those before (1: yes)";

/// What the ledger knows. A time that has not come yet is 0, so that an alert on its age sees a connector which never
/// got there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FromLedger {
    pending: u64,
    pending_by_cause: Vec<(PendingCause, u64)>,
    oldest_pending: Option<DateTime<Utc>>,
    held: u64,
    held_by_reason: Vec<(String, u64)>,
    last_success: Option<DateTime<Utc>>,
    last_run: Option<(RunStatus, Option<DateTime<Utc>>)>,
    watermark: Option<DateTime<Utc>>,
    run_seconds: f64,
    remotes: Vec<(&'static str, bool)>,
    inputs: Vec<(Input, bool)>,
    silent_owners: usize,
    source_silent: bool,
    books_balanced: bool,
    never_captured: u64,
    owners_missing_captures: usize,
    /// What runs are warned of and each has a gauge for: 1 or 0.
    warned: [(&'static str, &'static str, u64); 2],
    credentials: Vec<(String, DateTime<Utc>)>,
}

impl FromLedger {
    pub(super) async fn read(ledger: &Ledger, now: DateTime<Utc>) -> Result<Self, LedgerError> {
        let open = ledger.open_counts().await?;
        let success = ledger.latest_run(&[RunKind::Regular], &RunStatus::REACHED_END).await?;
        let ended = ledger.latest_run(&[RunKind::Regular], &RunStatus::ENDED).await?;
        let known = status::remotes(ledger).await?;
        let used = |name: &'static str| known.get(name).map(|remote| (name, remote.ok));
        let mut inputs = Vec::new();
        for input in Input::ALL {
            inputs.push((input, warning::is_in_force(ledger, input).await?));
        }
        let credentials = credential::noted(ledger).await?.into_iter();
        // How far the watermark is behind has a metric of its own, so the schedule doesn't matter here.
        let silence = Silence::of(ledger, Duration::days(1), now).await?;
        let compared = capture_loss::last_comparison(ledger).await?;
        Ok(Self {
            pending: open.pending,
            pending_by_cause: ledger.pending_by_cause(None).await?,
            oldest_pending: open.oldest_pending,
            held: open.held,
            held_by_reason: ledger.held(&HeldSelection::default()).await?,
            last_success: success.and_then(|run| status::end_by(now, &run)),
            last_run: ended.as_ref().map(|run| (run.status, status::end_by(now, run))),
            watermark: ledger.watermark().await?,
            run_seconds: ended.as_ref().map_or(0.0, seconds_of),
            remotes: REMOTES.into_iter().filter_map(used).collect(),
            inputs,
            silent_owners: silence.owners.len(),
            source_silent: silence.nothing.is_some(),
            books_balanced: warning::imbalance(ledger).await?.is_none(),
            never_captured: ledger.never_captured_count(None).await?,
            owners_missing_captures: compared.map_or(0, |compared| compared.suspicious().count()),
            warned: [
                ("many_items_failed", MANY_FAILED, u64::from(warning::many_failed(ledger).await?.is_some())),
                ("never_captured_jump", JUMP, u64::from(capture_loss::last_jump(ledger).await?.is_some())),
            ],
            credentials: credentials.filter_map(|one| Some((one.credential, one.expires?))).collect(),
        })
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), Error> {
        out.number("pending_deliveries", "Deliveries without an outcome", self.pending)?;
        let by_cause = self.pending_by_cause.iter().map(|(cause, count)| (cause.name(), *count));
        out.family("pending_deliveries_by_cause", "Deliveries without an outcome, by cause", "cause", by_cause)?;
        let help = "When the oldest delivery without an outcome was made (0: there is none)";
        out.time("oldest_pending_timestamp_seconds", help, self.oldest_pending)?;
        out.number("held_items", "Items that are held and can be replayed", self.held)?;
        let held_for = |reason: Reason| {
            let of = self.held_by_reason.iter().find(|(name, _)| name == reason.name());
            (reason.name(), of.map_or(0, |(_, count)| *count))
        };
        let by_reason = Reason::ALL.into_iter().map(held_for);
        out.family("held_items_by_reason", "Items that are held and can be replayed, by reason", "reason", by_reason)?;
        let help = "When the last regular run read its window to the end (0: never, or by a clock that was ahead)";
        out.time("last_success_timestamp_seconds", help, self.last_success)?;
        let help = "When the last regular run ended, whatever came of it (0: never, or by a clock that was ahead)";
        out.time("last_run_timestamp_seconds", help, self.last_run.and_then(|(_, finished)| finished))?;
        let ended = self.last_run.map(|(status, _)| status);
        let statuses = RunStatus::ENDED.into_iter().map(|status| (status.name(), u64::from(ended == Some(status))));
        out.family("last_run_status", "How the last regular run ended: 1 for its status", "status", statuses)?;
        let help = "Everything received before it is recorded (0: nothing yet)";
        out.time("watermark_timestamp_seconds", help, self.watermark)?;
        let remotes = self.remotes.iter().map(|(name, ok)| (*name, u64::from(*ok)));
        out.family("remote_up", "Whether a remote worked when it was last used", "remote", remotes)?;
        let inputs = self.inputs.iter().map(|(input, good)| (input.name(), u64::from(*good)));
        out.family("reload_ok", "Whether an input was good when it was last read", "input", inputs)?;
        let owners = u64::try_from(self.silent_owners).unwrap_or(u64::MAX);
        out.number("silent_owners", "Owners who had items on most days and have none any more", owners)?;
        let help = "Whether the source brings nothing though it used to (1: yes)";
        out.number("source_silent", help, u64::from(self.source_silent))?;
        let help = "Whether the last run's account adds up (0: it does not)";
        out.number("books_balanced", help, u64::from(self.books_balanced))?;
        let help = "Messages that captured ones refer to and that were never captured";
        out.number("never_captured_messages", help, self.never_captured)?;
        let owners = u64::try_from(self.owners_missing_captures).unwrap_or(u64::MAX);
        let help = "Owners who lack many messages that others in the same groups captured";
        out.number("owners_missing_captures", help, owners)?;
        for (name, help, value) in self.warned {
            out.number(name, help, value)?;
        }
        let ends = self.credentials.iter();
        let ends = ends.map(|(name, end)| (name.as_str(), u64::try_from(end.timestamp()).unwrap_or_default()));
        let help = "When a credential ends that says so itself (certificate, shared access signature)";
        out.family("credential_expiry_timestamp_seconds", help, "credential", ends)?;
        out.seconds("run_seconds", "Duration of the last regular run", self.run_seconds)
    }
}

fn seconds_of(run: &RunRecord) -> f64 {
    let took = run.finished.map(|finished| finished - run.started);
    took.and_then(|took| took.to_std().ok()).map_or(0.0, |took| took.as_secs_f64())
}

/// Writes gauges.
struct Encoder<'a>(DescriptorEncoder<'a>);

impl Encoder<'_> {
    fn number(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        let help = format!("{help}.");
        ConstGauge::new(counted(value)).encode(self.0.encode_descriptor(name, &help, None, MetricType::Gauge)?)
    }

    fn time(&mut self, name: &str, help: &str, value: Option<DateTime<Utc>>) -> Result<(), Error> {
        let seconds = value.map_or(0, |instant| instant.timestamp());
        self.number(name, help, u64::try_from(seconds).unwrap_or_default())
    }

    fn seconds(&mut self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        let help = format!("{help}.");
        ConstGauge::new(value).encode(self.0.encode_descriptor(name, &help, None, MetricType::Gauge)?)
    }

    fn family<'v>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'v str, u64)>,
    ) -> Result<(), Error> {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        let help = format!("{help}.");
        let mut family = self.0.encode_descriptor(name, &help, None, MetricType::Gauge)?;
        for (of, value) in values {
            ConstGauge::new(counted(value)).encode(family.encode_family(&[(label, of)])?)?;
        }
        Ok(())
    }
}

fn counted(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The gauges of what the ledger said; nothing while it doesn't answer. The program's own revision is there always.
#[derive(Debug)]
pub(super) struct Gauges(pub(super) Option<FromLedger>);

impl Collector for Gauges {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut out = Encoder(encoder);
        let version = [("version", env!("CARGO_PKG_VERSION")), ("revision", revision())];
        let help = "The program's version and revision; always 1.";
        let mut family = out.0.encode_descriptor("build_info", help, None, MetricType::Gauge)?;
        ConstGauge::new(1_i64).encode(family.encode_family(&version)?)?;
        self.0.as_ref().map_or(Ok(()), |known| known.encode(&mut out))
    }
}

/// The revision that the program was built from, where the build names it.
fn revision() -> &'static str {
    option_env!("WHATSAPP_ARCHIVER_REVISION").unwrap_or("unknown")
}
