//! `[retry]`: how often something that failed is tried again.

use std::time::Duration;

/// How often something that failed is tried again, at every remote.
#[derive(Debug, Clone)]
pub struct RetryConfig {
    /// How often it is tried within one run, the first time included; at least once.
    pub attempts: u32,
    /// The first pause.
    pub initial: Duration,
    /// The longest pause, unless the server asks for a longer one; at least `initial`.
    pub max: Duration,
    /// How long a delivery may stay pending before it counts as `mailbox_unavailable`.
    pub give_up: Duration,
}
