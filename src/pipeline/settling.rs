//! When an "absent" is believed of a copy whose outcome is unknown: only when the mailbox has settled, because what was sent last may
//! arrive later.

use chrono::{DateTime, Utc};

use super::Pipeline;

impl Pipeline {
    /// When a copy that was just sent, or may have been, has settled.
    pub(super) fn settled_at(&self) -> DateTime<Utc> {
        self.now() + self.deps.destination.settle()
    }

    /// Until when to wait for a copy that was noted to settle at `noted`: one time after another, until it has settled. What was noted
    /// counts for the first alone; after it, each is judged by the one that was waited for.
    pub(super) fn waits_until_settled(&self, mut noted: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        std::iter::from_fn(move || {
            noted = self.unsettled_until(noted)?;
            Some(noted)
        })
    }

    /// Until when to wait for a copy that was noted to settle at `noted`; nothing where it has settled.
    ///
    /// `noted` may have been told by a clock that was wrong. A time further away than the destination ever needs isn't waited for, and after
    /// the clock was set the whole time is waited for once more. So it is after this process began: of how much time has passed since
    /// another one noted it, only the wall clock knows.
    fn unsettled_until(&self, noted: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (clock, settle) = (&self.deps.clock, self.deps.destination.settle());
        let now = self.now();
        let since_step = clock.elapsed().saturating_sub(clock.last_step().unwrap_or_default());
        let again = settle.saturating_sub(since_step);
        let settled = noted.min(now + settle).max(now + again);
        (settled > now).then_some(settled)
    }
}
