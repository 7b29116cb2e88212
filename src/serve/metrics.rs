//! The metrics page: what this process counted, what the ledger knows, and what Linux says of the process.
//!
//! What comes from the ledger is the connector's as a whole, and is read when the page is asked for.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

use crate::ledger::{Ledger, LedgerError};
use crate::metrics::{Metrics, PREFIX};

mod exposition;
mod from_ledger;
mod process;

pub use exposition::Exposition;

use from_ledger::{FromLedger, Gauges};

/// For how long what was read from the ledger is served again.
const CACHE_LIFETIME: chrono::Duration = chrono::Duration::seconds(5);

/// The page of a process.
pub struct MetricsPage {
    counted: Arc<Metrics>,
    /// What the ledger said last, and when it was asked.
    cached: tokio::sync::Mutex<Option<(DateTime<Utc>, FromLedger)>>,
}

impl MetricsPage {
    /// The page that shows what is `counted`.
    pub fn of(counted: Arc<Metrics>) -> Self {
        Self { counted, cached: tokio::sync::Mutex::default() }
    }

    /// All metrics. What the ledger knows is left out while it doesn't answer: no value is better than an old one.
    pub async fn render(&self, ledger: &Ledger, now: DateTime<Utc>, form: Exposition) -> String {
        let known = match self.read(ledger, now).await {
            Ok(known) => Some(known),
            Err(error) => {
                tracing::warn!(event = "metrics_incomplete", error = %error, "the ledger doesn't answer, so its metrics are left out");
                None
            }
        };
        let mut text = String::new();
        self.counted.write(&mut text);
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(Gauges(known)));
        // Writing to a string does not fail.
        let _ = encode_registry(&mut text, &registry);
        process::write(&mut text);
        let _ = encode_eof(&mut text);
        form.of(text)
    }

    /// Reads what the ledger knows, unless it was read just now. Whoever asks meanwhile waits for the same answer.
    async fn read(&self, ledger: &Ledger, now: DateTime<Utc>) -> Result<FromLedger, LedgerError> {
        let mut cached = self.cached.lock().await;
        if let Some((asked, known)) = &*cached
            && *asked <= now
            && now - *asked < CACHE_LIFETIME
        {
            return Ok(known.clone());
        }
        *cached = None;
        let known = FromLedger::read(ledger, now).await?;
        *cached = Some((now, known.clone()));
        Ok(known)
    }
}
