//! Limits how much is sent to each mailbox: the published limits as budgets, and the pauses that a server asks for.
//!
//! Exchange Online counts per application and mailbox: requests in a window of time, bytes of upload in another, and
//! requests at the same time. [`Throttle::admit_within`] waits until a request fits all of them, in the order of asking.
//!
//! - One mailbox's wait is its own: nothing that others need is held while waiting.
//! - What was sent counts from the end of the request, and a little longer than the window, so that a server's own
//!   windows, wherever they begin, never see more than the limit.
//! - Memory is bounded: what was sent is kept in 600 steps a window, and an idle mailbox is forgotten.
//!
//! It waits through the injected [`Clock`](crate::clock::Clock) alone. It doesn't send, and it doesn't repeat.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{MutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::clock::SharedClock;
use crate::resolution::MailboxId;

mod lane;
mod limits;
mod sliding_limit;

pub use limits::{Completion, Limits};

use lane::{Admission, Lane};

/// The budgets of all mailboxes.
#[derive(Debug)]
pub struct Throttle {
    clock: SharedClock,
    limits: Limits,
    lanes: Mutex<Lanes>,
    total: Arc<Semaphore>,
    waited_ms: AtomicU64,
}

#[derive(Debug)]
struct Lanes {
    by_mailbox: HashMap<MailboxId, Arc<Lane>>,
    sweep_at: usize,
}

/// The fewest mailboxes at which idle ones are looked for.
const MIN_SWEEP: usize = 1_024;

impl Throttle {
    /// Budgets within `limits`; a limit of nothing counts as one.
    pub fn new(limits: Limits, clock: SharedClock) -> Self {
        let limits = Limits {
            per_mailbox: limits.per_mailbox.max(1),
            requests_per_10m: limits.requests_per_10m.max(1),
            upload_per_5m: limits.upload_per_5m.max(1),
            concurrency: limits.concurrency.clamp(1, Semaphore::MAX_PERMITS),
        };
        Self {
            clock,
            limits,
            lanes: Mutex::new(Lanes { by_mailbox: HashMap::new(), sweep_at: MIN_SWEEP }),
            total: Arc::new(Semaphore::new(limits.concurrency)),
            waited_ms: AtomicU64::new(0),
        }
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Waits until a request with `upload` bytes of body may go to `mailbox`. Where the wait is certain to be longer than `patience`, it
    /// is not begun, and its length is the error: a caller that holds memory for the request can release it meanwhile. Dropping the
    /// future gives up the turn.
    pub async fn admit_within(&self, mailbox: &MailboxId, upload: u64, patience: Duration) -> Result<Permit, Duration> {
        let lane = self.lane(mailbox);
        let epoch = self.enter(&lane, upload, patience).await?;
        let mut permit = Permit { lane, upload, epoch, total: None, completion: Completion::Served };
        // Never closed, so there can't be an error; without a permit the lane's own limits still hold.
        permit.total = Arc::clone(&self.total).acquire_owned().await.ok();
        Ok(permit)
    }

    /// Counts a request that was made for `mailbox` without asking here, such as one of a batch.
    pub fn count(&self, mailbox: &MailboxId) {
        self.lane(mailbox).count();
    }

    /// Until when `mailbox` accepts no request; `None` where it accepts one now, or as soon as one of its own ends.
    pub fn closed_until(&self, mailbox: &MailboxId) -> Option<DateTime<Utc>> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.by_mailbox.get(mailbox).map(Arc::clone);
        drop(lanes);
        lane?.closed_until()
    }

    /// The total time that requests have waited for budgets and pauses.
    pub fn waited(&self) -> Duration {
        Duration::from_millis(self.waited_ms.load(Ordering::Relaxed))
    }

    /// Enters the lane, in the order of asking.
    async fn enter(&self, lane: &Arc<Lane>, upload: u64, patience: Duration) -> Result<u64, Duration> {
        let _turn = self.turn(lane, patience).await?;
        loop {
            match lane.try_enter(upload) {
                Admission::Entered { epoch } => return Ok(epoch),
                // A request that ended since the check is remembered, so it is not missed.
                Admission::WhenFreed => lane.freed.notified().await,
                Admission::At(instant) => {
                    let wait = (instant - self.clock.now()).to_std().unwrap_or_default();
                    if wait > patience {
                        return Err(wait);
                    }
                    let _head = lane.head_waits_until(instant);
                    self.wait_until(instant).await;
                }
            }
        }
    }

    /// The turn in the lane. Whoever has it may be more patient: where its wait is certain to be too long for this one, this
    /// one doesn't wait behind it.
    async fn turn<'a>(&self, lane: &'a Lane, patience: Duration) -> Result<MutexGuard<'a, ()>, Duration> {
        let mut turn = pin!(lane.turn.lock());
        loop {
            // Registered before the look, so that no change is missed.
            let mut changed = pin!(lane.changed.notified());
            changed.as_mut().enable();
            if let Some(instant) = lane.shut_until() {
                let wait = (instant - self.clock.now()).to_std().unwrap_or_default();
                if wait > patience {
                    return Err(wait);
                }
            }
            tokio::select! {
                biased;
                turn = &mut turn => return Ok(turn),
                () = changed => {}
            }
        }
    }

    async fn wait_until(&self, instant: DateTime<Utc>) {
        let began = self.clock.now();
        self.clock.sleep_until(instant).await;
        let waited = (self.clock.now() - began).num_milliseconds();
        self.waited_ms.fetch_add(u64::try_from(waited).unwrap_or(0), Ordering::Relaxed);
    }

    fn lane(&self, mailbox: &MailboxId) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.by_mailbox.get(mailbox) {
            return Arc::clone(lane);
        }
        if lanes.by_mailbox.len() >= lanes.sweep_at {
            // Nobody can take hold of a lane meanwhile: the map is locked.
            lanes.by_mailbox.retain(|_, lane| Arc::strong_count(lane) > 1 || !lane.is_idle());
            lanes.sweep_at = MIN_SWEEP.max(lanes.by_mailbox.len() * 2);
        }
        let lane = Arc::new(Lane::new(self.limits, Arc::clone(&self.clock)));
        lanes.by_mailbox.insert(mailbox.clone(), Arc::clone(&lane));
        lane
    }
}

/// The right to send one request. Released when dropped; the request then counts as sent.
#[derive(Debug)]
#[must_use = "the budget is released at once when the permit is dropped"]
pub struct Permit {
    lane: Arc<Lane>,
    upload: u64,
    epoch: u64,
    total: Option<OwnedSemaphorePermit>,
    completion: Completion,
}

impl Permit {
    /// Ends the request and says how. Returns how long the mailbox is now paused, if the request was throttled.
    pub fn finish(mut self, completion: Completion) -> Option<Duration> {
        self.completion = completion;
        let throttled = matches!(completion, Completion::Throttled { .. });
        let lane = Arc::clone(&self.lane);
        drop(self);
        if throttled { lane.pause_left() } else { None }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.total = None;
        self.lane.leave(self.upload, self.epoch, self.completion);
    }
}

#[cfg(test)]
mod simulation;
