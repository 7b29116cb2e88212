//! What a run learnt of the source's health.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};

/// What a run learnt of the source's health.
#[derive(Debug, Default)]
pub(super) struct SourceHealth {
    failed_in_a_row: AtomicU32,
    clocks_differ: AtomicBool,
    /// Until when it asked not to be asked for attachments, where that is too long to wait for.
    rests_until: Mutex<Option<DateTime<Utc>>>,
}

impl SourceHealth {
    /// An attachment could not be had; returns how many in a row.
    pub(super) fn attachment_failed(&self) -> u32 {
        self.failed_in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// The source answered for an attachment, whatever it said.
    pub(super) fn attachment_answered(&self) {
        self.failed_in_a_row.store(0, Ordering::Relaxed);
    }

    /// The source asked for a long pause.
    pub(super) fn rest_until(&self, until: DateTime<Utc>) {
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// Until when it isn't asked for attachments, where that is in force.
    pub(super) fn rests(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.rests_until.lock().unwrap_or_else(PoisonError::into_inner).filter(|until| *until > now)
    }

    /// The source's clock and ours can't both be right.
    pub(super) fn note_clocks_differ(&self) {
        self.clocks_differ.store(true, Ordering::Relaxed);
    }

    /// Whether the clocks were found to differ.
    pub(super) fn clocks_differ(&self) -> bool {
        self.clocks_differ.load(Ordering::Relaxed)
    }
}
