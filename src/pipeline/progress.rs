//! The counters of a run under way, for the progress bar and the status page.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that only grow within a run.
#[derive(Debug, Default)]
pub struct Progress {
    items: AtomicU64,
    prepared: AtomicU64,
    deliveries: AtomicU64,
    finished: AtomicU64,
    /// Anything that shows that the run goes on.
    steps: AtomicU64,
}

impl Progress {
    pub(super) fn reset(&self) {
        for counter in [&self.items, &self.prepared, &self.deliveries, &self.finished, &self.steps] {
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
