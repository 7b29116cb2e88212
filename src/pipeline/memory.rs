//! How much of items' contents is in memory at the same time.
//!
//! Three budgets, so that nobody waits for space that is given back only after they went on: what the puller keeps of
//! what it has just staged (it never waits: what doesn't fit is read back later), what preparing reads back (it waits for
//! the mailboxes), and what the mailboxes read back (they wait for each other's sends). Whoever waits holds nothing.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Semaphores count in these units, because their permits are 32 bits.
const UNIT: u64 = 1024;

/// More than any machine has: a terabyte.
const MOST_UNITS: u32 = 1 << 30;

/// What a small item takes beside its content: its fields, headers and bodies.
const OVERHEAD: u64 = 16 * 1024;

/// Space for one item's content and message, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Space(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// The budgets that a stage has.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    kept: Arc<Semaphore>,
    read_back: Arc<Semaphore>,
    each: u32,
}

impl Memory {
    /// Budgets that hold an item of `max_item_size` bytes at least.
    pub(super) fn new(max_item_size: u64) -> Self {
        const EACH: u64 = 24 * 1024 * 1024;
        let each = units(EACH.max(need(max_item_size)));
        Self { kept: budget(each), read_back: budget(each), each }
    }

    /// The same, with a budget of its own for what is read back.
    pub(super) fn of_another_stage(&self) -> Self {
        Self { read_back: budget(self.each), ..self.clone() }
    }

    /// Space for content that was just staged; nothing where there is none now.
    pub(super) fn keep(&self, content: u64) -> Option<Space> {
        Arc::clone(&self.kept).try_acquire_many_owned(units(need(content))).ok().map(Space)
    }

    /// Space for content that is read back, when there is some. Whoever asks must not hold any.
    pub(super) async fn read_back(&self, content: u64) -> Option<Space> {
        Arc::clone(&self.read_back).acquire_many_owned(self.units(content)).await.ok().map(Space)
    }

    /// Space for content that is read back, where there is some now.
    pub(super) fn try_read_back(&self, content: u64) -> Option<Space> {
        Arc::clone(&self.read_back).try_acquire_many_owned(self.units(content)).ok().map(Space)
    }

    fn units(&self, content: u64) -> u32 {
        units(need(content)).min(self.each)
    }
}

fn budget(units: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(units as usize))
}

/// The content, and once more in the message's base64.
fn need(content: u64) -> u64 {
    OVERHEAD + content + content.div_ceil(2).saturating_mul(3)
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(MOST_UNITS).min(MOST_UNITS)
}
