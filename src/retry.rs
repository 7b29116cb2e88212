//! The one loop that repeats: stages say what happened, [`Fault`] says what it means, and this decides when to try again.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::fault::tried::{SayTried, Tried};
use crate::fault::{Fault, is_throttling, remote_of};
use crate::http::Remote;

/// The longest pause that a remote asks for and that is waited for, unless `retry.max` is longer.
const MAX_AWAITED_PAUSE: Duration = Duration::from_mins(2);

/// How often and how soon to try again: `[retry]` of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Tries in all, within one run.
    pub attempts: u32,
    /// The first pause; each further one is twice as long, with jitter.
    pub initial: Duration,
    /// The longest pause of ours. A server's `Retry-After` may exceed it.
    pub max: Duration,
}

impl RetryPolicy {
    /// The longest pause that anything waits for while something else could go on.
    pub fn longest_pause(&self) -> Duration {
        MAX_AWAITED_PAUSE.max(self.max)
    }

    /// The pauses between the tries, of which a random part of up to a half is taken off, so that many who failed together
    /// don't come back together.
    pub fn pauses(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        // Jitter adds up to as much again, so half of each is the base.
        ExponentialBuilder::default()
            .with_min_delay(self.initial.min(self.max) / 2)
            .with_max_delay(self.max / 2)
            .with_max_times(usize::try_from(self.attempts.saturating_sub(1)).unwrap_or(usize::MAX))
            .with_jitter()
            .build()
    }
}

/// Called with the remote that was waited for, and how long it took.
pub type WaitObserver = Arc<dyn Fn(Remote, Duration) + Send + Sync>;

/// Tries, waits and gives up: what every call to a remote goes through.
#[derive(Clone)]
pub struct Retrier {
    clock: SharedClock,
    policy: RetryPolicy,
    stop: CancellationToken,
    observer: Option<WaitObserver>,
}

impl fmt::Debug for Retrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retrier").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Retrier {
    /// A retrier that waits by `clock` and gives up when `stop` is cancelled.
    pub fn new(clock: SharedClock, policy: RetryPolicy, stop: CancellationToken) -> Self {
        Self { clock, policy, stop, observer: None }
    }

    /// The same retrier, which reports to `observer` every wait for a remote.
    #[must_use]
    pub fn observed_by(&self, observer: WaitObserver) -> Self {
        Self { observer: Some(observer), ..self.clone() }
    }

    /// The same retrier, which gives up when `stop` is cancelled.
    #[must_use]
    pub fn stopped_by(&self, stop: CancellationToken) -> Self {
        Self { stop, ..self.clone() }
    }

    /// The policy in force.
    pub fn policy(&self) -> RetryPolicy {
        self.policy
    }

    /// Calls `operation` until it succeeds, fails in a way that repeating can't cure, or has been tried often enough.
    /// `what` names it in the log. Returns the last error, which then says how often and for how long it was met.
    /// The source or staging that asks for a longer pause than [`RetryPolicy::longest_pause`] is not waited for: a run would stay open as
    /// long, and whatever it has left would stay left.
    pub async fn run<T, E, F, Fut>(&self, what: &str, mut operation: F) -> Result<T, E>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: std::error::Error + SayTried + Sync + 'static,
        Fault: for<'e> From<&'e E>,
    {
        let began = self.clock.now();
        let mut pauses = self.policy.pauses();
        let mut attempt = 1;
        loop {
            let error = match operation().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let Fault::Retry { after } = Fault::from(&error) else { return Err(error) };
            if let Some(until) = self.is_too_long(after)
                && matches!(remote_of(&error), Some(Remote::Source | Remote::Staging))
            {
                return Err(error.not_before(until));
            }
            let Some(pause) = pauses.next() else {
                // Of a single try there is nothing to say.
                return Err(if attempt > 1 { error.after(self.tried(attempt, began)) } else { error });
            };
            if !self.pause(what, attempt, after.unwrap_or(pause).max(pause), &error).await {
                return Err(error);
            }
            attempt += 1;
        }
    }

    /// The end of a pause that a remote asks for, where that is too long to wait for.
    pub fn is_too_long(&self, pause: Option<Duration>) -> Option<DateTime<Utc>> {
        let pause = pause.filter(|pause| *pause > self.policy.longest_pause())?;
        let pause = chrono::Duration::from_std(pause).ok();
        Some(pause.and_then(|pause| self.clock.now().checked_add_signed(pause)).unwrap_or(DateTime::<Utc>::MAX_UTC))
    }

    /// How often and for how long something was tried.
    pub fn tried(&self, attempts: u32, began: DateTime<Utc>) -> Tried {
        Tried { attempts, lasted: (self.clock.now() - began).to_std().unwrap_or_default() }
    }

    /// Waits before another try and says so in the log. False where the program is stopping.
    pub async fn pause(
        &self,
        what: &str,
        attempt: u32,
        pause: Duration,
        error: &(dyn std::error::Error + Sync + 'static),
    ) -> bool {
        let (remote, pause_seconds) = (remote_of(error).map(Remote::name), pause.as_secs_f64());
        if is_throttling(error) {
            tracing::warn!(event = "throttled", attempt, remote, pause_seconds, error = %error, "{what} has to wait: the other side asks for fewer requests");
        } else {
            tracing::warn!(event = "retrying", attempt, remote, pause_seconds, error = %error, "{what} failed; trying again after a pause");
        }
        let began = self.clock.now();
        let waited = tokio::select! {
            () = self.stop.cancelled() => false,
            () = self.clock.sleep(pause) => true,
        };
        if let (Some(observer), Some(remote)) = (&self.observer, remote_of(error)) {
            observer(remote, (self.clock.now() - began).to_std().unwrap_or_default());
        }
        waited
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use chrono::{TimeZone as _, Utc};

    use super::*;
    use crate::clock::{Clock as _, ManualClock};
    use crate::source::SourceError;

    fn retrier(attempts: u32) -> (Arc<ManualClock>, Retrier) {
        let clock = Arc::new(ManualClock::self_moving(Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap()));
        let policy = RetryPolicy { attempts, initial: Duration::from_millis(500), max: Duration::from_secs(30) };
        let shared: SharedClock = Arc::<ManualClock>::clone(&clock);
        (clock, Retrier::new(shared, policy, CancellationToken::new()))
    }

    #[test]
    fn pauses_double_and_never_exceed_the_longest() {
        let policy = RetryPolicy { attempts: 6, initial: Duration::from_millis(500), max: Duration::from_secs(3) };
        for _ in 0..200 {
            let pauses: Vec<u128> = policy.pauses().map(|pause| pause.as_millis()).collect();
            let bounds = [250..=500, 500..=1000, 1000..=2000, 1500..=3000, 1500..=3000];
            assert_eq!(pauses.len(), bounds.len());
            for (pause, bounds) in pauses.iter().zip(bounds) {
                assert!(bounds.contains(pause), "{pauses:?}");
            }
        }
        let reversed = RetryPolicy { initial: Duration::from_mins(1), ..policy };
        assert!(reversed.pauses().all(|pause| pause <= policy.max));
    }

    #[tokio::test]
    async fn passing_faults_are_tried_as_often_as_configured() {
        let (_, retrier) = retrier(6);
        let tries = AtomicU32::new(0);
        let result: Result<(), _> = retrier
            .run("test", || async {
                tries.fetch_add(1, Ordering::Relaxed);
                Err(SourceError::Unavailable("down".into()))
            })
            .await;
        let error = result.unwrap_err().to_string();
        assert!(error.starts_with("the source is not available: down (tried 6 times in "), "{error}");
        assert_eq!(tries.load(Ordering::Relaxed), 6);
    }

    #[tokio::test]
    async fn a_refusal_is_never_repeated() {
        let (_, retrier) = retrier(6);
        let tries = AtomicU32::new(0);
        let result: Result<(), _> = retrier
            .run("test", || async {
                tries.fetch_add(1, Ordering::Relaxed);
                Err(SourceError::Contract("stuck".into()))
            })
            .await;
        assert!(result.is_err());
        assert_eq!(tries.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn the_servers_pause_counts_even_beyond_our_longest() {
        let (clock, retrier) = retrier(2);
        let start = clock.now();
        let result: Result<(), _> = retrier
            .run("test", || async {
                Err(SourceError::Throttled {
                    after: Some(Duration::from_secs(90)),
                    until: None,
                    detail: "slow down".into(),
                })
            })
            .await;
        assert!(result.is_err());
        assert_eq!((clock.now() - start).num_seconds(), 90);
    }

    #[tokio::test]
    async fn a_pause_of_an_hour_is_not_waited_for() {
        let (clock, retrier) = retrier(6);
        let start = clock.now();
        let tries = AtomicU32::new(0);
        let result: Result<(), _> = retrier
            .run("test", || async {
                tries.fetch_add(1, Ordering::Relaxed);
                Err(SourceError::Throttled {
                    after: Some(Duration::from_hours(1)),
                    until: None,
                    detail: "slow down".into(),
                })
            })
            .await;
        let error = result.unwrap_err().to_string();
        assert_eq!((clock.now(), tries.load(Ordering::Relaxed)), (start, 1));
        assert_eq!(error, "the source asks for a pause: slow down, not before 2026-11-22T03:00:00Z");
    }
}
