//! How many APPENDs may be in flight at once.
//!
//! More hide the round trip; but where a server begins to refuse, each of them is refused, and Exchange hangs up after
//! ten errors, which leaves the outcome of the rest unknown. So a session begins with fewer than that, adds one for
//! each success, and is down to one after a refusal.

const INITIAL: usize = 8;
const MAX_IN_FLIGHT: usize = 64;

/// The number of commands that may be in flight.
#[derive(Debug, Clone, Copy)]
pub(super) struct InFlightLimit(usize);

impl Default for InFlightLimit {
    fn default() -> Self {
        Self(INITIAL)
    }
}

impl InFlightLimit {
    /// Whether it is time to send again with `under_way` commands unanswered: a quarter at a time, not one for each answer.
    pub(super) fn is_low(self, under_way: usize) -> bool {
        under_way <= self.0 - self.0.div_ceil(4)
    }

    /// Whether another command may follow `under_way` ones.
    pub(super) fn admits(self, under_way: usize) -> bool {
        under_way < self.0
    }

    /// A command succeeded.
    pub(super) fn widen(&mut self) {
        self.0 = (self.0 + 1).min(MAX_IN_FLIGHT);
    }

    /// A command was refused.
    pub(super) fn narrow(&mut self) {
        self.0 = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widens_slowly_and_narrows_at_once() {
        let mut in_flight_limit = InFlightLimit::default();
        assert!(in_flight_limit.admits(INITIAL - 1) && !in_flight_limit.admits(INITIAL));
        for _ in 0..1_000 {
            in_flight_limit.widen();
        }
        assert!(in_flight_limit.admits(MAX_IN_FLIGHT - 1) && !in_flight_limit.admits(MAX_IN_FLIGHT));
        assert!(in_flight_limit.is_low(MAX_IN_FLIGHT * 3 / 4) && !in_flight_limit.is_low(MAX_IN_FLIGHT * 3 / 4 + 1));
        in_flight_limit.narrow();
        assert!(in_flight_limit.is_low(0) && in_flight_limit.admits(0) && !in_flight_limit.admits(1));
    }
}
