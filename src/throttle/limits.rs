//! What [`Throttle`](super::Throttle) is told: the limits of an application, and how each request ended.

use std::time::Duration;

/// The limits of one application.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests at the same time for one mailbox.
    pub per_mailbox: usize,
    /// Requests for one mailbox in any 10 minutes.
    pub requests_per_10m: u64,
    /// Bytes sent to one mailbox in any 5 minutes.
    pub upload_per_5m: u64,
    /// Requests at the same time in all.
    pub concurrency: usize,
}

impl Default for Limits {
    /// The published limits of Exchange Online.
    fn default() -> Self {
        Self { per_mailbox: 4, requests_per_10m: 10_000, upload_per_5m: 150_000_000, concurrency: 64 }
    }
}

/// How a request ended, as far as budgets are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// The server took it, or refused it for a reason of its own.
    Served,
    /// The server asks for a pause (429, 503, 504).
    Throttled {
        /// `Retry-After`, where it sent one.
        after: Option<Duration>,
    },
}
