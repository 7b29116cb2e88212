//! The gauges that come from the ledger, so that they hold for the connector as a whole and outlive a restart.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::ledger::{Ledger, LedgerError, RunKind, RunRecord, RunStatus};

/// What the ledger knows. A time that has not come yet is 0, so that an alert on its age sees a connector which never
/// got there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FromLedger {
    pending: u64,
    held: u64,
    last_success: Option<DateTime<Utc>>,
    watermark: Option<DateTime<Utc>>,
    run_seconds: f64,
}

impl FromLedger {
    pub(super) async fn read(ledger: &Ledger) -> Result<Self, LedgerError> {
        use RunStatus::{Complete, Failed, Incomplete};
        let open = ledger.open_counts().await?;
        let success = ledger.latest_run(&[RunKind::Regular], &[Complete, Incomplete]).await?;
        let ended = ledger.latest_run(&[RunKind::Regular], &[Complete, Incomplete, Failed]).await?;
        Ok(Self {
            pending: open.pending,
            held: open.held,
            last_success: success.and_then(|run| run.finished),
            watermark: ledger.watermark().await?,
            run_seconds: ended.as_ref().map_or(0.0, seconds_of),
        })
    }
}

fn seconds_of(run: &RunRecord) -> f64 {
    let took = run.finished.map(|finished| finished - run.started);
    took.and_then(|took| took.to_std().ok()).map_or(0.0, |took| took.as_secs_f64())
}

/// What was read last; nothing while the ledger doesn't answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Open(Arc<Mutex<Option<FromLedger>>>);

impl Open {
    pub(super) fn set(&self, read: Option<FromLedger>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = read;
    }
}

impl Collector for Open {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let read = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(read) = read else { return Ok(()) };
        let seconds = |instant: Option<DateTime<Utc>>| instant.map_or(0, |instant| instant.timestamp());
        let counted = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let gauges = [
            ("pending_deliveries", "Deliveries without an outcome", counted(read.pending)),
            ("held_items", "Items that are held and can be replayed", counted(read.held)),
            (
                "last_success_timestamp_seconds",
                "When the last regular run read its window to the end (0: never)",
                seconds(read.last_success),
            ),
            (
                "watermark_timestamp_seconds",
                "Everything received before it is recorded (0: nothing yet)",
                seconds(read.watermark),
            ),
        ];
        for (name, help, value) in gauges {
            let help = format!("{help}.");
            ConstGauge::new(value).encode(encoder.encode_descriptor(name, &help, None, MetricType::Gauge)?)?;
        }
        let help = "Duration of the last regular run.";
        ConstGauge::new(read.run_seconds).encode(encoder.encode_descriptor(
            "run_seconds",
            help,
            None,
            MetricType::Gauge,
        )?)
    }
}
