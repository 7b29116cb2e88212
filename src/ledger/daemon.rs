//! The daemon of a ledger: when it was last seen, and whether it is alive.
//!
//! A daemon notes itself every half minute. Where several share a ledger, the last one that did counts.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::{Holder, Ledger, LedgerError};

/// The name under which the ledger keeps it.
const DAEMON: &str = "daemon";

/// A daemon that has not been seen for so long is not running.
const MAX_SILENCE: Duration = Duration::minutes(2);

#[derive(Debug, Serialize, Deserialize)]
struct Sighting {
    holder: String,
    seen: DateTime<Utc>,
    /// It ended in order.
    stopped: bool,
}

/// What is known of a ledger's daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaemonSeen {
    /// When one was last seen alive.
    pub last_seen: DateTime<Utc>,
    /// Whether it is alive now.
    pub running: bool,
}

impl Ledger {
    /// Notes that a daemon is alive.
    pub async fn note_daemon(&self, holder: &Holder, now: DateTime<Utc>) -> Result<(), LedgerError> {
        self.write_sighting(&Sighting { holder: holder.0.clone(), seen: now, stopped: false }).await
    }

    /// Notes that a daemon ends. Another one that was seen since stays.
    pub async fn note_daemon_stopped(&self, holder: &Holder, now: DateTime<Utc>) -> Result<(), LedgerError> {
        match self.sighting().await? {
            Some(sighting) if sighting.holder != holder.0 => Ok(()),
            _ => self.write_sighting(&Sighting { holder: holder.0.clone(), seen: now, stopped: true }).await,
        }
    }

    /// The daemon that was seen last; nothing where there never was one.
    pub async fn daemon(&self, now: DateTime<Utc>) -> Result<Option<DaemonSeen>, LedgerError> {
        let Some(sighting) = self.sighting().await? else { return Ok(None) };
        let is_gone = || self.is_certainly_gone(&Holder(sighting.holder.clone()));
        let running = !sighting.stopped && now - sighting.seen <= MAX_SILENCE && !is_gone();
        Ok(Some(DaemonSeen { last_seen: sighting.seen, running }))
    }

    async fn sighting(&self) -> Result<Option<Sighting>, LedgerError> {
        // What can't be read was written by another version, and is written anew soon.
        Ok(self.remembered(DAEMON).await?.and_then(|text| serde_json::from_str(&text).ok()))
    }

    async fn write_sighting(&self, sighting: &Sighting) -> Result<(), LedgerError> {
        let text = serde_json::to_string(sighting).map_err(|error| LedgerError::Damaged(error.to_string()))?;
        self.remember(DAEMON, Some(&text)).await
    }
}
