//! The one clock. Everything that asks the time or waits is handed a [`Clock`], so that tests run weeks in milliseconds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// A clock for tests: it stands still until it is moved, by whoever holds it or by those who sleep. Time then passes only
/// by waiting for it, so that a schedule of weeks runs at once and always in the same order.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<ManualState>,
    changed: Notify,
    /// Whoever sleeps no longer than this moves the clock; others wait until it is moved.
    patience: Duration,
}

#[derive(Debug)]
struct ManualState {
    now: DateTime<Utc>,
    /// When each of those who sleep wakes.
    wakes: Vec<DateTime<Utc>>,
}

impl ManualClock {
    /// A clock at `start` that each sleeper moves forward itself.
    pub fn self_moving(start: DateTime<Utc>) -> Self {
        Self::moved_by_sleeps_of(Duration::MAX, start)
    }

    /// A clock at `start` that only [`ManualClock::advance`] and [`ManualClock::set`] move.
    pub fn standing(start: DateTime<Utc>) -> Self {
        Self::moved_by_sleeps_of(Duration::ZERO, start)
    }

    /// A clock at `start` that is moved by those who sleep for `longest` at most. Whoever sleeps longer waits for the
    /// clock, so that a pause of minutes passes at once, and one of hours is there to be looked at.
    pub fn moved_by_sleeps_of(longest: Duration, start: DateTime<Utc>) -> Self {
        let state = ManualState { now: start, wakes: Vec::new() };
        Self { state: Mutex::new(state), changed: Notify::new(), patience: longest }
    }

    /// Moves the clock by `step`.
    pub fn advance(&self, step: Duration) {
        self.change(|state| state.now += step);
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, instant: DateTime<Utc>) {
        self.change(|state| state.now = instant);
    }

    fn state(&self) -> MutexGuard<'_, ManualState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut ManualState)) {
        change(&mut self.state());
        self.changed.notify_waiters();
    }
}

/// One who sleeps by a [`ManualClock`], known to it until it wakes or is given up.
struct Sleeper<'a> {
    clock: &'a ManualClock,
    wake: DateTime<Utc>,
}

impl<'a> Sleeper<'a> {
    fn new(clock: &'a ManualClock, wake: DateTime<Utc>) -> Self {
        clock.change(|state| state.wakes.push(wake));
        Self { clock, wake }
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.clock.change(|state| {
            if let Some(place) = state.wakes.iter().position(|wake| *wake == self.wake) {
                state.wakes.swap_remove(place);
            }
        });
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        self.state().now
    }

    async fn sleep(&self, pause: Duration) {
        let wake = self.now() + pause;
        if pause <= self.patience {
            self.change(|state| state.now = state.now.max(wake));
            tokio::task::yield_now().await;
            return;
        }
        let sleeper = Sleeper::new(self, wake);
        loop {
            let changed = self.changed.notified();
            if self.now() >= sleeper.wake {
                return;
            }
            changed.await;
        }
    }

    /// In one step: there is no other clock that could be moved.
    async fn sleep_until(&self, instant: DateTime<Utc>) {
        if let Ok(left) = (instant - self.now()).to_std()
            && !left.is_zero()
        {
            self.sleep(left).await;
        }
    }
}
