//! The one clock. Everything that asks the time or waits is handed a [`Clock`], so that tests run weeks in milliseconds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::Notify;

/// Tells the time and waits.
#[async_trait]
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall-clock time in UTC.
    fn now(&self) -> DateTime<Utc>;

    /// Returns when `pause` has passed.
    async fn sleep(&self, pause: Duration);

    /// Returns at `instant`, at once where it is past. Waits in short steps, so that a wall clock that is set
    /// forward, or a machine that was suspended, is noticed.
    async fn sleep_until(&self, instant: DateTime<Utc>) {
        const STEP: Duration = Duration::from_secs(30);
        while let Ok(left) = (instant - self.now()).to_std() {
            if left.is_zero() {
                return;
            }
            self.sleep(left.min(STEP)).await;
        }
    }
}

/// A clock shared by all parts of the program.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that sleeps")]
    async fn sleep(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }
}

/// A clock that stands still until it is moved. A sleeper moves it: time passes only by waiting for it, so that a
/// schedule of weeks runs at once and always in the same order.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<DateTime<Utc>>,
    moved: Notify,
    self_moving: bool,
}

impl ManualClock {
    /// A clock at `start` that each sleeper moves forward itself.
    pub fn self_moving(start: DateTime<Utc>) -> Self {
        Self { now: Mutex::new(start), moved: Notify::new(), self_moving: true }
    }

    /// A clock at `start` that only [`ManualClock::advance`] and [`ManualClock::set`] move.
    pub fn standing(start: DateTime<Utc>) -> Self {
        Self { now: Mutex::new(start), moved: Notify::new(), self_moving: false }
    }

    /// Moves the clock by `step`.
    pub fn advance(&self, step: Duration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now += step;
        drop(now);
        self.moved.notify_waiters();
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, instant: DateTime<Utc>) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = instant;
        self.moved.notify_waiters();
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sleep(&self, pause: Duration) {
        if self.self_moving {
            self.advance(pause);
            tokio::task::yield_now().await;
            return;
        }
        let wake = self.now() + pause;
        loop {
            // Registered before the check, so that a move between the two is not missed.
            let moved = self.moved.notified();
            if self.now() >= wake {
                return;
            }
            moved.await;
        }
    }
}
