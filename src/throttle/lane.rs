//! The budget of one mailbox.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use super::limits::{Completion, Limits};
use super::sliding_limit::SlidingLimit;
use crate::clock::SharedClock;

const TEN_MINUTES_MS: i64 = 600_000;
const FIVE_MINUTES_MS: i64 = 300_000;
/// The first pause after a refusal that names none; doubled with each that follows.
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_mins(1);
/// A server that asks for a longer pause is asked again after this one.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);
/// After this many successes in a row, one more request at a time is allowed again.
const SUCCESSES_BEFORE_WIDENING: u32 = 50;

/// One mailbox's budget, and those who wait for it.
#[derive(Debug)]
pub(super) struct Lane {
    /// Held by whoever is next, so that requests go in the order of asking.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Notified when a request has ended.
    pub(super) freed: Notify,
    /// Notified when the lane is closed for longer than before.
    pub(super) changed: Notify,
    clock: SharedClock,
    state: Mutex<State>,
}

/// The answer to a request that wants to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It may; `epoch` is given back with it.
    Entered { epoch: u64 },
    /// Not before this time.
    At(DateTime<Utc>),
    /// Not before one that is under way has ended.
    WhenFreed,
}

#[derive(Debug)]
struct State {
    requests: SlidingLimit,
    upload: SlidingLimit,
    in_flight: usize,
    /// How many may be in flight: narrowed by refusals, widened by successes.
    width: usize,
    widest: usize,
    served: u32,
    closed_until: i64,
    /// Until when whoever has the turn waits.
    head_until: Option<DateTime<Utc>>,
    refusals: u32,
    /// Counts the pauses: a request sent before a pause began says nothing new when it is refused too.
    epoch: u64,
    last_seen: i64,
}

impl Lane {
    pub(super) fn new(limits: Limits, clock: SharedClock) -> Self {
        let now = clock.now().timestamp_millis();
        let state = State {
            requests: SlidingLimit::new(TEN_MINUTES_MS, limits.requests_per_10m),
            upload: SlidingLimit::new(FIVE_MINUTES_MS, limits.upload_per_5m),
            in_flight: 0,
            width: limits.per_mailbox,
            widest: limits.per_mailbox,
            served: 0,
            closed_until: i64::MIN,
            head_until: None,
            refusals: 0,
            epoch: 0,
            last_seen: now,
        };
        Self {
            turn: tokio::sync::Mutex::new(()),
            freed: Notify::new(),
            changed: Notify::new(),
            clock,
            state: Mutex::new(state),
        }
    }

    /// Admits a request of `upload` bytes, or says when to ask again.
    pub(super) fn try_enter(&self, upload: u64) -> Admission {
        let (mut state, now) = self.look();
        if state.in_flight >= state.width {
            return Admission::WhenFreed;
        }
        match state.opens_at(upload, now) {
            Ok(()) => {
                state.in_flight += 1;
                state.requests.reserve(1);
                state.upload.reserve(upload);
                Admission::Entered { epoch: state.epoch }
            }
            Err(Some(at)) => DateTime::from_timestamp_millis(at).map_or(Admission::WhenFreed, Admission::At),
            Err(None) => Admission::WhenFreed,
        }
    }

    /// Ends a request.
    pub(super) fn leave(&self, upload: u64, epoch: u64, completion: Completion) {
        let (mut state, now) = self.look();
        state.in_flight = state.in_flight.saturating_sub(1);
        state.requests.commit(1, now);
        state.upload.commit(upload, now);
        match completion {
            Completion::Served => state.served(),
            Completion::Throttled { after } => state.refused(after, epoch, now),
        }
        drop(state);
        if matches!(completion, Completion::Throttled { .. }) {
            self.changed.notify_waiters();
        }
        // Only the one whose turn it is waits here. A permit is kept for one that is about to.
        self.freed.notify_one();
    }

    /// Counts what was sent without being admitted.
    pub(super) fn count(&self) {
        let (mut state, now) = self.look();
        state.requests.record(1, now);
    }

    pub(super) fn closed_until(&self) -> Option<DateTime<Utc>> {
        let (mut state, now) = self.look();
        state.opens_at(1, now).err().flatten().and_then(DateTime::from_timestamp_millis)
    }

    /// Records that whoever has the turn waits until `instant`, as long as the guard lives.
    pub(super) fn head_waits_until(&self, instant: DateTime<Utc>) -> HeadWaits<'_> {
        self.look().0.head_until = Some(instant);
        self.changed.notify_waiters();
        HeadWaits(self)
    }

    /// Until when no request behind the one at the head can be sent, as far as that is known.
    pub(super) fn shut_until(&self) -> Option<DateTime<Utc>> {
        let head = self.look().0.head_until;
        self.closed_until().max(head)
    }

    /// How much of a pause is left.
    pub(super) fn pause_left(&self) -> Option<Duration> {
        let (state, now) = self.look();
        let left = u64::try_from(state.closed_until.saturating_sub(now)).ok()?;
        (left > 0).then(|| Duration::from_millis(left))
    }

    pub(super) fn is_idle(&self) -> bool {
        let (mut state, now) = self.look();
        let paused = state.closed_until > now;
        state.in_flight == 0 && !paused && state.requests.is_empty(now) && state.upload.is_empty(now)
    }

    /// The state now. When the clock was set back, recorded times move back with it.
    fn look(&self) -> (MutexGuard<'_, State>, i64) {
        let now = self.clock.now().timestamp_millis();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let back = state.last_seen.saturating_sub(now);
        if back > 0 {
            state.requests.shift_back(back);
            state.upload.shift_back(back);
            state.closed_until = state.closed_until.saturating_sub(back);
        }
        state.last_seen = now;
        (state, now)
    }
}

/// Whoever has the turn waits.
pub(super) struct HeadWaits<'a>(&'a Lane);

impl Drop for HeadWaits<'_> {
    fn drop(&mut self) {
        self.0.look().0.head_until = None;
    }
}

impl State {
    fn opens_at(&mut self, upload: u64, now: i64) -> Result<(), Option<i64>> {
        if self.closed_until > now {
            return Err(Some(self.closed_until));
        }
        self.requests.fits(1, now)?;
        if upload > 0 { self.upload.fits(upload, now) } else { Ok(()) }
    }

    fn served(&mut self) {
        self.refusals = 0;
        self.served += 1;
        if self.served >= SUCCESSES_BEFORE_WIDENING {
            self.served = 0;
            self.width = self.widest.min(self.width + 1);
        }
    }

    fn refused(&mut self, after: Option<Duration>, epoch: u64, now: i64) {
        if epoch == self.epoch {
            self.epoch += 1;
            self.refusals = self.refusals.saturating_add(1);
            self.served = 0;
            self.width = (self.width / 2).max(1);
        }
        let doublings = self.refusals.saturating_sub(1).min(16);
        let pause = match after.filter(|after| !after.is_zero()) {
            Some(after) => after.min(MAX_RETRY_AFTER),
            None => MIN_PAUSE.saturating_mul(1 << doublings).min(MAX_PAUSE),
        };
        let until = now.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
        self.closed_until = self.closed_until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;

    fn lane(limits: Limits) -> (Lane, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::standing(DateTime::from_timestamp(1_800_000_000, 0).unwrap()));
        (Lane::new(limits, Arc::<ManualClock>::clone(&clock)), clock)
    }

    fn enter(lane: &Lane) -> u64 {
        match lane.try_enter(0) {
            Admission::Entered { epoch } => epoch,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refusal_without_retry_after_doubles_the_pause() {
        let (lane, clock) = lane(Limits::default());
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            let epoch = enter(&lane);
            lane.leave(0, epoch, Completion::Throttled { after: None });
            assert_eq!(lane.pause_left(), Some(Duration::from_secs(expected)));
            clock.advance(Duration::from_secs(expected));
        }
        let epoch = enter(&lane);
        lane.leave(0, epoch, Completion::Served);
        let epoch = enter(&lane);
        lane.leave(0, epoch, Completion::Throttled { after: None });
        assert_eq!(lane.pause_left(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn requests_refused_together_are_one_refusal() {
        let (lane, _) = lane(Limits::default());
        let epochs: Vec<u64> = (0..4).map(|_| enter(&lane)).collect();
        for epoch in epochs {
            lane.leave(0, epoch, Completion::Throttled { after: None });
        }
        assert_eq!(lane.pause_left(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn refusals_narrow_the_lane_and_successes_widen_it() {
        let (lane, clock) = lane(Limits::default());
        for _ in 0..3 {
            let epoch = enter(&lane);
            lane.leave(0, epoch, Completion::Throttled { after: Some(Duration::from_secs(1)) });
            clock.advance(Duration::from_secs(1));
        }
        let epoch = enter(&lane);
        assert_eq!(lane.try_enter(0), Admission::WhenFreed);
        lane.leave(0, epoch, Completion::Served);
        for _ in 0..SUCCESSES_BEFORE_WIDENING {
            let epoch = enter(&lane);
            lane.leave(0, epoch, Completion::Served);
        }
        enter(&lane);
        enter(&lane);
        assert_eq!(lane.try_enter(0), Admission::WhenFreed);
    }

    #[test]
    fn an_absurd_retry_after_is_cut() {
        let (lane, _) = lane(Limits::default());
        let epoch = enter(&lane);
        lane.leave(0, epoch, Completion::Throttled { after: Some(Duration::MAX) });
        assert_eq!(lane.pause_left(), Some(MAX_RETRY_AFTER));
    }

    #[test]
    fn a_clock_set_back_does_not_close_the_lane_for_longer() {
        let (lane, clock) = lane(Limits { requests_per_10m: 1, ..Limits::default() });
        let epoch = enter(&lane);
        lane.leave(0, epoch, Completion::Served);
        clock.set(clock_now(&clock) - chrono::TimeDelta::days(2));
        let until = lane.closed_until().unwrap();
        assert!(until - clock_now(&clock) <= chrono::TimeDelta::seconds(602));
    }

    fn clock_now(clock: &ManualClock) -> DateTime<Utc> {
        crate::clock::Clock::now(clock)
    }
}
