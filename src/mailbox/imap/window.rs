//! How many APPENDs may be in flight at once.
//!
//! More hide the round trip; but where a server begins to refuse, each of them is refused, and Exchange hangs up after
//! ten errors, which leaves the outcome of the rest unknown. So a session begins with fewer than that, adds one for
//! each success, and is down to one after a refusal.

const FIRST: usize = 8;
const MOST: usize = 64;

/// The number of commands that may be in flight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window(usize);

impl Default for Window {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Window {
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
        self.0 = (self.0 + 1).min(MOST);
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
        let mut window = Window::default();
        assert!(window.admits(FIRST - 1) && !window.admits(FIRST));
        for _ in 0..1_000 {
            window.widen();
        }
        assert!(window.admits(MOST - 1) && !window.admits(MOST));
        assert!(window.is_low(MOST * 3 / 4) && !window.is_low(MOST * 3 / 4 + 1));
        window.narrow();
        assert!(window.is_low(0) && window.admits(0) && !window.admits(1));
    }
}
