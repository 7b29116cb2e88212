//! Notices a run that makes no progress, which nothing else would say: each step waits within its own bounds.

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};

use crate::pipeline::Progress;

/// A run that has made no progress for so long is stalled.
pub(super) const MAX_SILENCE: Duration = Duration::minutes(10);

/// A run under way, as it was seen last.
#[derive(Debug)]
pub(super) struct Watchdog {
    progress: Arc<Progress>,
    seen: u64,
    since: DateTime<Utc>,
    is_stalled: bool,
}

/// What a look at the run found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing new.
    Unchanged,
    /// The run has stalled: so long ago it made progress last.
    Stalled(Duration),
    /// A run that had stalled goes on.
    GoesOn,
}

impl Watchdog {
    pub(super) fn new(progress: Arc<Progress>, now: DateTime<Utc>) -> Self {
        let seen = progress.steps();
        Self { progress, seen, since: now, is_stalled: false }
    }

    /// Whether the run had made no progress when it was looked at last.
    pub(super) fn is_stalled(&self) -> bool {
        self.is_stalled
    }

    pub(super) fn look(&mut self, now: DateTime<Utc>) -> Look {
        let steps = self.progress.steps();
        // A clock that was set back would hide a stall for as long as it was set back.
        self.since = self.since.min(now);
        if steps != self.seen {
            (self.seen, self.since) = (steps, now);
            return if std::mem::take(&mut self.is_stalled) { Look::GoesOn } else { Look::Unchanged };
        }
        if self.is_stalled || now - self.since < MAX_SILENCE {
            return Look::Unchanged;
        }
        self.is_stalled = true;
        Look::Stalled(now - self.since)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    #[test]
    fn a_stall_is_noticed_once_and_so_is_its_end() {
        let progress = Arc::<Progress>::default();
        let start = Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap();
        let after = |minutes: i64| start + Duration::minutes(minutes);
        let mut watchdog = Watchdog::new(Arc::clone(&progress), start);
        assert_eq!(watchdog.look(after(9)), Look::Unchanged);
        progress.add_step();
        assert_eq!([11, 20].map(|minutes| watchdog.look(after(minutes))), [Look::Unchanged; 2]);
        assert_eq!(watchdog.look(after(21)), Look::Stalled(Duration::minutes(10)));
        assert_eq!(watchdog.look(after(40)), Look::Unchanged);
        progress.add_step();
        assert_eq!(watchdog.look(after(41)), Look::GoesOn);
        assert_eq!(watchdog.look(after(51)), Look::Stalled(Duration::minutes(10)));
    }

    #[test]
    fn a_clock_that_is_set_back_hides_no_stall() {
        let start = Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap();
        let mut watchdog = Watchdog::new(Arc::default(), start);
        assert_eq!(watchdog.look(start - Duration::days(400)), Look::Unchanged);
        assert!(matches!(watchdog.look(start - Duration::days(399)), Look::Stalled(_)));
    }
}
