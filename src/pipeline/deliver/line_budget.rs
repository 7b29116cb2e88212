//! How many lines of a run one kind of trouble is worth: a mailbox that rejects ten thousand copies is told of as well by the
//! first twenty. The account and `copies_pending` count all of them.

use std::sync::atomic::{AtomicU32, Ordering};

/// Most lines about copies of one event and run that wake somebody; further ones are of the level *debug*.
const MAX_LINES: u32 = 20;

/// The lines that an event has had.
#[derive(Debug, Default)]
pub(super) struct LineBudget(AtomicU32);

impl LineBudget {
    /// Whether one more line is worth its level.
    pub(super) fn allows(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) < MAX_LINES
    }
}

/// The budgets of the events that a run logs for each copy.
#[derive(Debug, Default)]
pub(super) struct LineBudgets {
    pub(super) failed: LineBudget,
    pub(super) deferred: LineBudget,
    pub(super) unknown: LineBudget,
    pub(super) attachments: LineBudget,
}

/// Logs a line at a level, or, where its budget is used up, at *debug*.
macro_rules! log_within {
    ($budget:expr, $level:expr, $($line:tt)*) => {
        if $budget.allows() {
            tracing::event!($level, $($line)*);
        } else {
            tracing::debug!($($line)*);
        }
    };
}

pub(super) use log_within;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_are_reported_and_the_others_are_not() {
        let budget = LineBudget::default();
        assert_eq!((0..1000).filter(|_| budget.allows()).count(), 20);
    }
}
