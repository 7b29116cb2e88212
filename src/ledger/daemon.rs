//! The daemon of a ledger: when it was last seen, and whether it is alive.
//!
//! A daemon notes itself every half minute. Where several share a ledger, the last one that did counts.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::presence::Life;
use super::{Holder, Ledger, LedgerError};

/// The name under which the ledger keeps it.
const DAEMON: &str = "daemon";

/// A daemon that has not been seen for so long is not running, where nothing better is known.
const MAX_SILENCE: Duration = Duration::minutes(2);

#[derive(Debug, Serialize, Deserialize)]
struct Heartbeat {
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
        self.write_heartbeat(&Heartbeat { holder: holder.0.clone(), seen: now, stopped: false }).await
    }

    /// Notes that a daemon ends. Another one that was seen since stays.
    pub async fn note_daemon_stopped(&self, holder: &Holder, now: DateTime<Utc>) -> Result<(), LedgerError> {
        match self.heartbeat().await? {
            Some(heartbeat) if heartbeat.holder != holder.0 => Ok(()),
            _ => self.write_heartbeat(&Heartbeat { holder: holder.0.clone(), seen: now, stopped: true }).await,
        }
    }

    /// The daemon that was seen last; nothing where there never was one.
    pub async fn daemon(&self, now: DateTime<Utc>) -> Result<Option<DaemonSeen>, LedgerError> {
        let Some(heartbeat) = self.heartbeat().await? else { return Ok(None) };
        // A daemon can't note itself while the ledger's disk is full, and lives all the same.
        let is_alive = match self.life_of(&Holder(heartbeat.holder.clone())) {
            Life::Present => true,
            Life::Gone => false,
            // One that was seen in the future was seen by a clock that was ahead, who knows when.
            Life::Unknown => (now - heartbeat.seen).abs() <= MAX_SILENCE,
        };
        Ok(Some(DaemonSeen { last_seen: heartbeat.seen, running: is_alive && !heartbeat.stopped }))
    }

    /// Whether another daemon than `holder` is alive and noted itself last. Of several daemons, this is so of all but one.
    pub async fn is_another_daemon_seen_last(&self, holder: &Holder, now: DateTime<Utc>) -> Result<bool, LedgerError> {
        let is_another = self.heartbeat().await?.is_some_and(|heartbeat| heartbeat.holder != holder.0);
        Ok(is_another && self.daemon(now).await?.is_some_and(|seen| seen.running))
    }

    async fn heartbeat(&self) -> Result<Option<Heartbeat>, LedgerError> {
        self.get_meta_json(DAEMON).await
    }

    async fn write_heartbeat(&self, heartbeat: &Heartbeat) -> Result<(), LedgerError> {
        self.set_meta_json(DAEMON, heartbeat).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_several_daemons_one_was_seen_last() {
        let ledger = Ledger::open_in_memory().await.unwrap();
        let (one, two) = (Holder::new(), Holder::new());
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let is_left_to_another =
            async |holder: &Holder, now| ledger.is_another_daemon_seen_last(holder, now).await.unwrap();
        assert!(!is_left_to_another(&one, at(0)).await, "there is none");
        ledger.note_daemon(&one, at(0)).await.unwrap();
        ledger.note_daemon(&two, at(1)).await.unwrap();
        assert!(is_left_to_another(&one, at(2)).await);
        assert!(!is_left_to_another(&two, at(2)).await);
        assert!(!is_left_to_another(&one, at(200)).await, "the other one has not been seen for minutes");
        ledger.note_daemon_stopped(&two, at(201)).await.unwrap();
        assert!(!is_left_to_another(&one, at(201)).await);
    }

    #[tokio::test]
    async fn a_daemon_that_cannot_note_itself_is_alive_while_its_lock_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("ledger.db").display());
        let ledger = Ledger::open(&url).await.unwrap();
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let presence = ledger.join(at(0)).await.unwrap();
        ledger.note_daemon(&presence.holder, at(0)).await.unwrap();
        let seen = ledger.daemon(at(7200)).await.unwrap().unwrap();
        assert_eq!((seen.running, seen.last_seen), (true, at(0)), "the disk was full for two hours");
        drop(presence);
        assert!(!ledger.daemon(at(1)).await.unwrap().unwrap().running);
    }
}
