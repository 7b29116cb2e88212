//! The counters of a run under way, for the progress bar and the status page.

use std::sync::atomic::{AtomicU64, Ordering};

/// So many items that were known already are a step: what is read anew each time is read quickly, or something is wrong.
const KNOWN_ITEMS_A_STEP: u64 = 1000;

/// Counters that only grow within a run.
#[derive(Debug, Default)]
pub struct Progress {
    items: AtomicU64,
    prepared: AtomicU64,
    deliveries: AtomicU64,
    finished: AtomicU64,
    /// Items that were known already.
    known: AtomicU64,
    /// Anything that shows that the run goes on.
    steps: AtomicU64,
}

impl Progress {
    pub(super) fn reset(&self) {
        for counter in [&self.items, &self.prepared, &self.deliveries, &self.finished, &self.known, &self.steps] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// The run goes on: something came, was sent or was removed.
    pub(crate) fn add_step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the run went on. Any other number than before is progress.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Reading passed so many items, none of which is new. Pages of nothing new may go on for days without bringing the run any
    /// further, so that by themselves they are no step.
    pub(super) fn add_known(&self, count: usize) {
        let count = count as u64;
        let before = self.known.fetch_add(count, Ordering::Relaxed);
        if before / KNOWN_ITEMS_A_STEP != before.saturating_add(count) / KNOWN_ITEMS_A_STEP {
            self.add_step();
        }
    }

    pub(super) fn add_items(&self, count: usize) {
        self.add_step();
        self.items.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn add_prepared(&self, items: usize, deliveries: usize) {
        self.add_step();
        self.prepared.fetch_add(items as u64, Ordering::Relaxed);
        self.deliveries.fetch_add(deliveries as u64, Ordering::Relaxed);
    }

    pub(super) fn add_finished(&self, count: usize) {
        self.add_step();
        self.finished.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// New items taken up.
    pub fn items(&self) -> u64 {
        self.items.load(Ordering::Relaxed)
    }

    /// Items that have their deliveries.
    pub fn prepared(&self) -> u64 {
        self.prepared.load(Ordering::Relaxed)
    }

    /// Copies to be sent.
    pub fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::Relaxed)
    }

    /// Copies that have their outcome.
    pub fn finished(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }

    /// Counts items, prepared items, copies and settled copies at once, for tests of what is shown of them.
    #[cfg(test)]
    pub(crate) fn add(&self, items: usize, prepared: usize, copies: usize, finished: usize) {
        self.add_items(items);
        self.add_prepared(prepared, copies);
        self.add_finished(finished);
    }
}
