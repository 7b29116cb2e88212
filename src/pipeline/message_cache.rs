//! How much of items' contents is in memory at the same time, and the converted messages that wait there to be sent.
//!
//! There is one budget. What doesn't fit is left out, and read back from staging when it is needed. Whoever needs an item
//! that doesn't fit waits for room, or for the one place beside the budget; whoever has it waits for nobody, so it comes back.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::convert::Message;
use crate::ledger::{ItemNo, PartialReason};

/// Semaphores count in these units, because their permits are 32 bits.
const UNIT: u64 = 1024;

/// More than any machine has: a terabyte.
const MAX_UNITS: u32 = 1 << 30;

/// What a small item takes beside its content: its fields, headers and bodies.
const OVERHEAD: u64 = 12 * 1024;

/// The budget, unless a single item is larger.
const DEFAULT_BUDGET: u64 = 32 * 1024 * 1024;

/// A full cache of which nothing was taken for so long holds what other mailboxes wait for: a part of it gives way.
const MAX_IDLE: Duration = Duration::from_millis(250);

/// Room for one item's content and message, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    #[expect(dead_code, reason = "held for its drop")]
    permit: Option<OwnedSemaphorePermit>,
    /// Within the budget. What is beside it must go on to be sent, and is not kept.
    is_within: bool,
}

impl Room {
    /// For what takes next to nothing, and is not kept.
    pub(super) fn none() -> Self {
        Self { permit: None, is_within: false }
    }
}

/// A message as it is sent, and why it is partial, where it is.
#[derive(Debug)]
pub(super) struct Converted {
    pub(super) message: Arc<Message>,
    pub(super) partial: Option<(PartialReason, String)>,
    /// Given back with the message.
    room: Room,
}

impl Converted {
    pub(super) fn new(message: Message, partial: Option<(PartialReason, String)>, room: Room) -> Self {
        Self { message: Arc::new(message), partial, room }
    }

    /// The same as a mailbox may have it from before, under another Message-ID.
    pub(super) fn under_other_id(&self) -> Option<Self> {
        Some(Self::new(self.message.under_other_id()?, self.partial.clone(), Room::none()))
    }

    /// Whether it may be kept.
    pub(super) fn has_room(&self) -> bool {
        self.room.is_within
    }
}

#[derive(Debug, Default)]
struct Messages {
    /// Each with how many copies of it are to be sent.
    by_item: HashMap<ItemNo, (Arc<Converted>, usize)>,
    /// In the order in which they came; some may be gone.
    order: VecDeque<ItemNo>,
    /// How often one was taken.
    taken: u64,
}

/// The budget, and the messages.
#[derive(Debug)]
pub(super) struct MessageCache {
    budget: Arc<Semaphore>,
    /// The place beside the budget, for one item.
    beside: Arc<Semaphore>,
    size: u32,
    messages: Mutex<Messages>,
    /// A message was taken.
    changed: Notify,
}

impl MessageCache {
    /// A cache that has room for one item of `max_item_size` bytes at least.
    pub(super) fn new(max_item_size: u64) -> Self {
        let size = units(DEFAULT_BUDGET.max(need(max_item_size)));
        Self {
            budget: Arc::new(Semaphore::new(size as usize)),
            beside: Arc::new(Semaphore::new(1)),
            size,
            messages: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn messages(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for an item of `content` bytes, where there is some.
    pub(super) fn try_room(&self, content: u64) -> Option<Room> {
        let permit = Arc::clone(&self.budget).try_acquire_many_owned(self.units(content)).ok()?;
        Some(Room { permit: Some(permit), is_within: true })
    }

    /// Room for an item of `content` bytes. Whoever asks must not hold any that it gives back only after this.
    pub(super) async fn room(&self, content: u64) -> Room {
        let units = self.units(content);
        loop {
            if let Some(room) = self.try_room(content) {
                return room;
            }
            // What came last is needed last.
            if !self.drop_one(VecDeque::pop_back) {
                break;
            }
        }
        // Nobody closes the semaphores.
        tokio::select! {
            biased;
            permit = Arc::clone(&self.budget).acquire_many_owned(units) => Room { permit: permit.ok(), is_within: true },
            permit = Arc::clone(&self.beside).acquire_owned() => Room { permit: permit.ok(), is_within: false },
        }
    }

    fn units(&self, content: u64) -> u32 {
        units(need(content)).min(self.size)
    }

    /// Keeps a message for so many copies.
    pub(super) fn put(&self, item: ItemNo, message: Converted, copies: usize) {
        if copies > 0 {
            let mut messages = self.messages();
            messages.order.push_back(item);
            messages.by_item.insert(item, (Arc::new(message), copies));
        }
    }

    /// The message of an item, for one copy.
    pub(super) fn take(&self, item: ItemNo) -> Option<Arc<Converted>> {
        let mut messages = self.messages();
        let (message, copies) = messages.by_item.get_mut(&item)?;
        let message = Arc::clone(message);
        *copies -= 1;
        if *copies == 0 {
            messages.by_item.remove(&item);
        }
        messages.taken += 1;
        if messages.order.len() > 2 * messages.by_item.len() + 64 {
            let Messages { by_item, order, .. } = &mut *messages;
            order.retain(|item| by_item.contains_key(item));
        }
        drop(messages);
        self.changed.notify_waiters();
        Some(message)
    }

    /// Drops one message, which is read back when it is needed. False where there is none.
    fn drop_one(&self, next: impl Fn(&mut VecDeque<ItemNo>) -> Option<ItemNo>) -> bool {
        let mut messages = self.messages();
        while let Some(item) = next(&mut messages.order) {
            if messages.by_item.remove(&item).is_some() {
                return true;
            }
        }
        false
    }

    /// Whether there is little room for more messages.
    pub(super) fn is_full(&self) -> bool {
        self.budget.available_permits() < self.size as usize / 4
    }

    /// Returns when the cache has room for more messages. One that is full and in use is waited for; of one that nobody takes
    /// from, those that came first give way.
    pub(super) async fn wait_for_room(&self, clock: &dyn Clock, stop: &CancellationToken) {
        while self.is_full() && !stop.is_cancelled() {
            let changed = self.changed.notified();
            let (taken, count) = {
                let messages = self.messages();
                (messages.taken, messages.by_item.len())
            };
            if count == 0 {
                return;
            }
            tokio::select! {
                () = changed => {}
                () = stop.cancelled() => {}
                () = clock.sleep(MAX_IDLE) => {
                    if self.messages().taken == taken {
                        for _ in 0..count.div_ceil(4) {
                            self.drop_one(VecDeque::pop_front);
                        }
                    }
                }
            }
        }
    }
}

/// The content, and once more in the message's base64.
fn need(content: u64) -> u64 {
    OVERHEAD + content + content.div_ceil(2).saturating_mul(3)
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(MAX_UNITS).min(MAX_UNITS)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_has_one_place_beside_the_budget_and_then_waits() {
        let cache = MessageCache::new(0);
        let all = cache.try_room(DEFAULT_BUDGET).unwrap();
        assert!(cache.try_room(0).is_none());
        let beside = cache.room(0).await;
        assert!(!beside.is_within, "it is not kept");
        assert!(cache.room(0).now_or_never().is_none());
        drop(beside);
        assert!(!cache.room(0).await.is_within);
        drop(all);
        assert!(cache.room(0).await.is_within);
    }

    #[test]
    fn an_item_larger_than_the_budget_has_room() {
        let cache = MessageCache::new(2 * DEFAULT_BUDGET);
        assert!(cache.try_room(2 * DEFAULT_BUDGET).is_some());
        assert!(MessageCache::new(0).try_room(u64::MAX / 8).is_some(), "it takes the whole budget");
    }

    #[tokio::test]
    async fn an_empty_cache_is_not_waited_for() {
        let cache = MessageCache::new(0);
        let _all = cache.try_room(DEFAULT_BUDGET).unwrap();
        let clock = crate::clock::ManualClock::standing(chrono::DateTime::UNIX_EPOCH);
        cache.wait_for_room(&clock, &CancellationToken::new()).await;
    }
}
