//! Whether the daemon lives and is ready, as an orchestrator asks: `/livez`, `/readyz`.
//!
//! *Alive* means that the main loop has come round lately; only a restart helps where it hasn't. *Ready* means that the
//! daemon has what it needs to work; a restart doesn't help where it hasn't, so the two are apart.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};

use crate::clock::SharedClock;

/// A main loop that has not come round for so long hangs. It comes round at least every minute.
const MAX_SILENCE: Duration = Duration::minutes(10);

/// The daemon's own state. Shared by the main loop, which writes, and the pages, which read.
#[derive(Debug)]
pub struct Health {
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    beat: DateTime<Utc>,
    /// Why the daemon is not ready.
    not_ready: Option<String>,
}

impl Health {
    /// A daemon that has just started: alive, and not ready yet.
    pub fn new(clock: SharedClock) -> Self {
        let beat = clock.now();
        Self { clock, state: Mutex::new(State { beat, not_ready: Some("the daemon is starting".to_owned()) }) }
    }

    /// The main loop came round. To be called at least once a minute, also while a run is under way.
    pub fn beat(&self) {
        let now = self.clock.now();
        self.state().beat = now;
    }

    /// The daemon has what it needs.
    pub fn set_ready(&self) {
        self.state().not_ready = None;
    }

    /// The daemon lacks something; `reason` is shown to whoever asks, so it holds no secret and no phone number.
    pub fn set_not_ready(&self, reason: impl Into<String>) {
        self.state().not_ready = Some(reason.into());
    }

    /// What is wrong if the main loop is stuck; nothing otherwise.
    pub fn hangs(&self) -> Option<String> {
        let now = self.clock.now();
        let mut state = self.state();
        // A clock that was set back would hide a hanging loop for as long as it was set back.
        state.beat = state.beat.min(now);
        let silence = now - state.beat;
        (silence > MAX_SILENCE).then(|| format!("the main loop has been stuck for {} s", silence.num_seconds()))
    }

    /// Nothing where the daemon is ready, else why not.
    pub fn not_ready(&self) -> Option<String> {
        self.state().not_ready.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;

    fn health() -> (Arc<ManualClock>, Health) {
        let clock = Arc::new(ManualClock::standing("2026-11-22T02:00:00Z".parse().unwrap()));
        let shared: SharedClock = Arc::<ManualClock>::clone(&clock);
        (clock, Health::new(shared))
    }

    #[test]
    fn a_loop_that_stays_away_hangs_until_it_comes_round() {
        let (clock, health) = health();
        clock.advance(std::time::Duration::from_mins(10));
        assert_eq!(health.hangs(), None);
        clock.advance(std::time::Duration::from_secs(1));
        assert_eq!(health.hangs().unwrap(), "the main loop has been stuck for 601 s");
        health.beat();
        assert_eq!(health.hangs(), None);
    }

    #[test]
    fn a_clock_that_was_set_back_hides_nothing_for_long() {
        let (clock, health) = health();
        clock.set("2026-11-20T02:00:00Z".parse().unwrap());
        assert_eq!(health.hangs(), None);
        clock.advance(std::time::Duration::from_secs(601));
        assert!(health.hangs().is_some());
    }

    #[test]
    fn readiness_has_a_reason() {
        let (_, health) = health();
        assert_eq!(health.not_ready().unwrap(), "the daemon is starting");
        health.set_ready();
        assert_eq!(health.not_ready(), None);
        health.set_not_ready("the ledger doesn't answer");
        assert_eq!(health.not_ready().unwrap(), "the ledger doesn't answer");
    }
}
