//! The one clock. Everything that asks the time or waits is handed a [`Clock`], so that tests run weeks in milliseconds.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::Notify;

/// Tells the time and waits.
#[async_trait]
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall-clock time in UTC. It may be set, forward and back.
    fn now(&self) -> DateTime<Utc>;

    /// The time that has passed since the clock was made. Nobody can set it; it stands still while the machine is suspended.
    fn elapsed(&self) -> Duration;

    /// When the wall clock was last found to have been set, as [`Clock::elapsed`] told it.
    fn last_step(&self) -> Option<Duration>;

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

/// The machine's own clock. All values of it are the same clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// When it was first asked.
static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
static STEPS: Mutex<Steps> = Mutex::new(Steps { offset: None, last: None });

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> DateTime<Utc> {
        let mut steps = STEPS.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Utc::now();
        steps.note(now, self.elapsed());
        now
    }

    fn elapsed(&self) -> Duration {
        BEGUN.elapsed()
    }

    fn last_step(&self) -> Option<Duration> {
        self.now();
        STEPS.lock().unwrap_or_else(PoisonError::into_inner).last
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that sleeps")]
    async fn sleep(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }
}

/// Notices that the wall clock is set, by its distance from a clock that nobody can set. A machine that was suspended looks the same.
#[derive(Debug)]
struct Steps {
    /// How far the wall clock is from the other, in milliseconds.
    offset: Option<i64>,
    last: Option<Duration>,
}

impl Steps {
    /// A clock that is brought right slowly, and a thread that is interrupted between two readings, are off by less, in milliseconds.
    const MIN_STEP: u64 = 2_000;

    fn note(&mut self, now: DateTime<Utc>, elapsed: Duration) {
        let offset = now.timestamp_millis() - i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        if self.offset.replace(offset).is_some_and(|before| before.abs_diff(offset) >= Self::MIN_STEP) {
            self.last = Some(elapsed);
        }
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
    elapsed: Duration,
    last_step: Option<Duration>,
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
        let state = ManualState { now: start, elapsed: Duration::ZERO, last_step: None, wakes: Vec::new() };
        Self { state: Mutex::new(state), changed: Notify::new(), patience: longest }
    }

    /// Lets `time` pass.
    pub fn advance(&self, time: Duration) {
        self.change(|state| state.pass(time));
    }

    /// Sets the clock, forward or back: no time passes.
    pub fn set(&self, instant: DateTime<Utc>) {
        self.change(|state| {
            state.now = instant;
            state.last_step = Some(state.elapsed);
        });
    }

    fn state(&self) -> MutexGuard<'_, ManualState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut ManualState)) {
        change(&mut self.state());
        self.changed.notify_waiters();
    }
}

impl ManualState {
    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.elapsed += time;
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

    fn elapsed(&self) -> Duration {
        self.state().elapsed
    }

    fn last_step(&self) -> Option<Duration> {
        self.state().last_step
    }

    async fn sleep(&self, pause: Duration) {
        let wake = self.now() + pause;
        if pause <= self.patience {
            self.change(|state| state.pass((wake - state.now).to_std().unwrap_or_default()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_from_a_clock_that_is_brought_right_slowly() {
        let at = |second: i64| DateTime::UNIX_EPOCH + chrono::Duration::seconds(second);
        let mut steps = Steps { offset: None, last: None };
        for (now, elapsed, last) in [
            (100, 0, None),
            (111, 10, None),
            (122, 20, None),
            (3700, 30, Some(30)),
            (3710, 40, Some(30)),
            (60, 50, Some(50)),
        ] {
            steps.note(at(now), Duration::from_secs(elapsed));
            assert_eq!(steps.last, last.map(Duration::from_secs), "{now} after {elapsed}");
        }
    }
}
