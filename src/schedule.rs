//! When to run, and which windows to read: pure arithmetic.
//!
//! Windows are half-open and leave no gap. The watermark, the end of the last window that was read to its end, never moves
//! past time that was not read. After downtime the windows catch up in steps of 24 hours.

use chrono::{DateTime, Duration, NaiveTime, Utc};

use crate::window::Window;

/// `[schedule]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The time between two runs.
    pub every: Duration,
    /// The time of day (UTC) at which runs start; without it, `every` counts from the last start.
    pub at: Option<NaiveTime>,
    /// How far each window reads back before its beginning.
    pub overlap: Duration,
    /// How far a window's end stays behind the present.
    pub settle: Duration,
    /// Where the first window begins.
    pub begin: Begin,
}

/// Where the first window of all begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// This long before the first run.
    Lookback(Duration),
    /// At this instant.
    At(DateTime<Utc>),
}

/// A window to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedWindow {
    pub window: Window,
    /// Where reading begins: before the window, by the overlap.
    pub read_from: DateTime<Utc>,
}

/// The longest window. After downtime, windows of this length follow each other.
const MAX_WINDOW: Duration = Duration::hours(24);

/// How far the clocks of two machines may be apart. A time recorded further in the future is a wrong clock's.
pub const PLAUSIBLE_SKEW: Duration = Duration::hours(1);

impl Schedule {
    /// Where reading ends now: `settle` before the earlier of our clock and the source's own time.
    pub fn horizon(&self, now: DateTime<Utc>, source_time: Option<DateTime<Utc>>) -> DateTime<Utc> {
        earlier(now, source_time) - self.settle
    }

    /// The windows to read now, from the watermark to the horizon; without a watermark from where the first window begins,
    /// which no failure of the first run moves (it started at `first_start`). Empty where the horizon has not moved past
    /// the watermark (a clock that was set back).
    pub fn windows(
        &self,
        watermark: Option<DateTime<Utc>>,
        horizon: DateTime<Utc>,
        first_start: Option<DateTime<Utc>>,
    ) -> Vec<PlannedWindow> {
        let from = watermark.unwrap_or(match self.begin {
            Begin::Lookback(lookback) => {
                first_start.map_or(horizon, |start| horizon.min(start - self.settle)) - lookback
            }
            Begin::At(instant) => instant,
        });
        // Only the first window has something before it that was read earlier and may have been filled since.
        let overlap = if watermark.is_some() { self.overlap } else { Duration::zero() };
        let mut windows = steps(Window { from, to: horizon });
        if let Some(first) = windows.first_mut() {
            first.read_from -= overlap;
        }
        windows
    }

    /// When a regular run is due after one that started at `last_start`, whether or not that has passed.
    pub fn due_after(&self, last_start: DateTime<Utc>) -> DateTime<Utc> {
        match self.at {
            None => last_start + self.every,
            Some(time) => self.next_slot(time, last_start),
        }
    }

    /// The first slot after `after`: slots lie `every` apart, and one of them is at `time` on each day that has one.
    fn next_slot(&self, time: NaiveTime, after: DateTime<Utc>) -> DateTime<Utc> {
        // Slots are counted from an epoch that every process shares, so that a restart doesn't shift them.
        let epoch = DateTime::UNIX_EPOCH.date_naive().and_time(time).and_utc();
        let every = self.every.num_milliseconds().max(1);
        let since = (after - epoch).num_milliseconds();
        epoch + Duration::milliseconds((since.div_euclid(every) + 1) * every)
    }
}

/// A stated window in steps of 24 hours, without overlap.
pub fn steps(whole: Window) -> Vec<PlannedWindow> {
    let mut windows = Vec::new();
    let mut from = whole.from;
    while from < whole.to {
        let to = (from + MAX_WINDOW).min(whole.to);
        windows.push(PlannedWindow { window: Window { from, to }, read_from: from });
        from = to;
    }
    windows
}

/// How long after the n-th failure in a row (from 1) a failed run is tried again: 15 minutes, doubling, up to 4 hours.
pub fn pause_after_failure(failures: u32) -> Duration {
    const FIRST_PAUSE_MINUTES: i64 = 15;
    const MAX_PAUSE_MINUTES: i64 = 4 * 60;
    let doublings = failures.saturating_sub(1).min(10);
    Duration::minutes((FIRST_PAUSE_MINUTES << doublings).min(MAX_PAUSE_MINUTES))
}

/// The present by the earlier of our clock and the source's, where that told its time.
pub fn earlier(ours: DateTime<Utc>, theirs: Option<DateTime<Utc>>) -> DateTime<Utc> {
    theirs.map_or(ours, |theirs| theirs.min(ours))
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;
    use proptest::prelude::*;

    use super::*;

    fn at(day: u32, hour: u32) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 11, day, hour, 0, 0).unwrap()
    }

    fn daily() -> Schedule {
        Schedule {
            every: Duration::hours(24),
            at: NaiveTime::from_hms_opt(2, 0, 0),
            overlap: Duration::hours(24),
            settle: Duration::minutes(5),
            begin: Begin::Lookback(Duration::hours(24)),
        }
    }

    #[test]
    fn the_first_run_looks_back_and_has_no_overlap() {
        let windows = daily().windows(None, at(22, 2), None);
        let whole = Window { from: at(21, 2), to: at(22, 2) };
        assert_eq!(windows, [PlannedWindow { window: whole, read_from: at(21, 2) }]);
    }

    #[test]
    fn a_first_run_that_fails_does_not_move_where_reading_begins() {
        let settle = daily().settle;
        let windows = daily().windows(None, at(24, 2) - settle, Some(at(22, 2)));
        let bounds: Vec<_> = windows.iter().map(|planned| (planned.window.from, planned.window.to)).collect();
        let bound = |day| at(day, 2) - settle;
        assert_eq!(bounds, [(bound(21), bound(22)), (bound(22), bound(23)), (bound(23), bound(24))]);
        // A clock that was ahead at the first run doesn't count.
        let windows = daily().windows(None, at(24, 2), Some(at(30, 2)));
        assert_eq!(windows[0].window.from, at(23, 2));
    }

    #[test]
    fn downtime_is_caught_up_in_steps_of_a_day() {
        let windows = daily().windows(Some(at(19, 2)), at(22, 1), None);
        let bounds: Vec<_> = windows.iter().map(|window| (window.window.from, window.window.to)).collect();
        assert_eq!(bounds, [(at(19, 2), at(20, 2)), (at(20, 2), at(21, 2)), (at(21, 2), at(22, 1))]);
        assert_eq!(windows[0].read_from, at(18, 2));
        assert_eq!(windows[1].read_from, at(20, 2));
    }

    #[test]
    fn a_clock_set_back_reads_nothing() {
        assert!(daily().windows(Some(at(22, 2)), at(20, 2), None).is_empty());
    }

    #[test]
    fn the_horizon_is_the_earlier_clock_less_settle() {
        let schedule = daily();
        assert_eq!(schedule.horizon(at(22, 2), Some(at(22, 1))), at(22, 1) - Duration::minutes(5));
        assert_eq!(schedule.horizon(at(22, 2), Some(at(23, 1))), at(22, 2) - Duration::minutes(5));
    }

    #[test]
    fn runs_are_due_at_the_stated_time_or_so_long_after_the_last() {
        let schedule = daily();
        assert_eq!(schedule.due_after(at(22, 2)), at(23, 2));
        assert_eq!(schedule.due_after(at(22, 13)), at(23, 2));
        let relative = Schedule { at: None, ..schedule };
        assert_eq!(relative.due_after(at(22, 13)), at(23, 13));
    }

    #[test]
    fn failures_pause_longer_and_longer() {
        let minutes: Vec<i64> = (1..=7).map(|failures| pause_after_failure(failures).num_minutes()).collect();
        assert_eq!(minutes, [15, 30, 60, 120, 240, 240, 240]);
    }

    proptest! {
        #[test]
        fn windows_leave_no_gap_and_never_pass_the_horizon(mark in 0_i64..100_000, ahead in -5_000_i64..100_000) {
            let watermark = at(1, 0) + Duration::minutes(mark);
            let horizon = watermark + Duration::minutes(ahead);
            let windows = daily().windows(Some(watermark), horizon, None);
            let mut expected = watermark;
            for planned in &windows {
                prop_assert_eq!(planned.window.from, expected);
                prop_assert!(planned.window.from < planned.window.to);
                prop_assert!(planned.window.to - planned.window.from <= MAX_WINDOW);
                expected = planned.window.to;
            }
            prop_assert_eq!(expected, horizon.max(watermark));
        }
    }
}
