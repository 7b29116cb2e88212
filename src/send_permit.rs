//! Whether something may still be sent: checked immediately before each request that creates something, because the lease
//! that allows it can run out while a batch is under way.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

/// Says whether something may be sent now. Clones ask the same.
#[derive(Clone)]
pub struct SendPermit {
    in_force: Arc<dyn Fn() -> bool + Send + Sync>,
    stop: CancellationToken,
}

/// Nothing was sent, because that is not allowed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not sent: the lease on the mailbox is not certainly in force any more")]
pub struct NotPermitted;

impl SendPermit {
    /// A permit in force while `in_force` returns true. It is asked often, and must not wait.
    pub fn new(in_force: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { in_force: Arc::new(in_force), stop: CancellationToken::new() }
    }

    /// The same, whose long waits end when `stop` is cancelled. What needs no wait is still sent.
    #[must_use]
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// A permit that is always in force: for whoever needs no lease.
    pub fn always() -> Self {
        Self::new(|| true)
    }

    /// Asks: an error where nothing may be sent any more.
    pub fn ask(&self) -> Result<(), NotPermitted> {
        if (self.in_force)() { Ok(()) } else { Err(NotPermitted) }
    }

    /// Ends when nothing should be waited for any more.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }
}

impl fmt::Debug for SendPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SendPermit").field(&self.ask().is_ok()).finish()
    }
}
