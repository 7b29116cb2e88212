//! A sliding limit: how much was sent within a span of time, counted in 600 steps.

use std::collections::VecDeque;

/// The steps that a span is divided into. What was sent is forgotten up to one step late, never early.
const STEPS: i64 = 600;

/// A limit on the amount sent per span of time. Times are epoch milliseconds.
#[derive(Debug)]
pub(super) struct SlidingLimit {
    span: i64,
    step: i64,
    limit: u64,
    /// What was sent in each step that still counts, oldest first: the step's number and the amount.
    sent: VecDeque<(i64, u64)>,
    used: u64,
    reserved: u64,
}

impl SlidingLimit {
    pub(super) fn new(span_ms: i64, limit: u64) -> Self {
        Self { span: span_ms, step: (span_ms / STEPS).max(1), limit, sent: VecDeque::new(), used: 0, reserved: 0 }
    }

    /// When `amount` fits: now (`Ok`), at a time (`Err(Some)`), or not before a request in flight ends.
    pub(super) fn fits(&mut self, amount: u64, now: i64) -> Result<(), Option<i64>> {
        self.forget(now);
        // More than the whole limit in one piece goes alone: it can't be sent otherwise.
        let amount = amount.min(self.limit);
        let mut taken = self.used.saturating_add(self.reserved);
        if taken.saturating_add(amount) <= self.limit {
            return Ok(());
        }
        for (step, sent) in &self.sent {
            taken = taken.saturating_sub(*sent);
            if taken.saturating_add(amount) <= self.limit {
                return Err(Some(self.end_of(*step)));
            }
        }
        Err(None)
    }

    /// Sets `amount` aside for a request that is about to be sent.
    pub(super) fn reserve(&mut self, amount: u64) {
        self.reserved = self.reserved.saturating_add(amount);
    }

    /// The request has ended: what was set aside is sent.
    pub(super) fn commit(&mut self, amount: u64, now: i64) {
        self.reserved = self.reserved.saturating_sub(amount);
        self.record(amount, now);
    }

    /// Counts `amount` as sent now.
    pub(super) fn record(&mut self, amount: u64, now: i64) {
        if amount == 0 {
            return;
        }
        let step = now.div_euclid(self.step);
        self.used = self.used.saturating_add(amount);
        match self.sent.back_mut() {
            Some((last, sent)) if *last >= step => *sent = sent.saturating_add(amount),
            _ => self.sent.push_back((step, amount)),
        }
    }

    pub(super) fn is_empty(&mut self, now: i64) -> bool {
        self.forget(now);
        self.used == 0 && self.reserved == 0
    }

    /// The clock was set back by `by` milliseconds: what was sent moves along, so that nobody waits for the old time.
    pub(super) fn shift_back(&mut self, by: i64) {
        let steps = by / self.step;
        for (step, _) in &mut self.sent {
            *step -= steps;
        }
    }

    fn forget(&mut self, now: i64) {
        while let Some((step, sent)) = self.sent.front().copied() {
            if self.end_of(step) > now {
                return;
            }
            self.used = self.used.saturating_sub(sent);
            self.sent.pop_front();
        }
    }

    /// When what was sent in a step no longer counts.
    fn end_of(&self, step: i64) -> i64 {
        (step + 1) * self.step + self.span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_in_every_stretch_of_the_span() {
        let mut window = SlidingLimit::new(600_000, 3);
        for now in [0, 10_500, 20_000] {
            assert_eq!(window.fits(1, now), Ok(()));
            window.record(1, now);
        }
        assert_eq!(window.fits(1, 30_000), Err(Some(601_000)));
        assert_eq!(window.fits(2, 30_000), Err(Some(611_000)));
        assert_eq!(window.fits(1, 601_000), Ok(()));
    }

    #[test]
    fn what_is_under_way_counts_and_is_waited_for() {
        let mut window = SlidingLimit::new(600_000, 2);
        window.reserve(2);
        assert_eq!(window.fits(1, 0), Err(None));
        window.commit(2, 5_000);
        assert_eq!(window.fits(1, 5_000), Err(Some(606_000)));
    }

    #[test]
    fn more_than_the_limit_goes_alone() {
        let mut window = SlidingLimit::new(300_000, 100);
        assert_eq!(window.fits(500, 0), Ok(()));
        window.record(500, 0);
        assert_eq!(window.fits(1, 1), Err(Some(300_500)));
    }

    #[test]
    fn memory_is_bounded_by_the_steps() {
        let mut window = SlidingLimit::new(600_000, u64::MAX);
        for now in 0..5_000_000 {
            if now % 50 == 0 {
                let _ = window.fits(1, now);
                window.record(1, now);
            }
        }
        assert!(window.sent.len() <= 602, "{}", window.sent.len());
    }

    #[test]
    fn a_clock_set_back_does_not_lengthen_the_wait() {
        let mut window = SlidingLimit::new(600_000, 1);
        window.record(1, 10_000_000);
        window.shift_back(9_000_000);
        assert_eq!(window.fits(1, 1_000_000), Err(Some(1_601_000)));
    }
}
