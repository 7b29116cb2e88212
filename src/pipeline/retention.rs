//! Retention: windows whose items all have their outcome are purged from staging, one by one, when they are old enough.
//!
//! 1. The ledger records that the window's purge has begun, and which of its items are held.
//! 2. Held items are copied to `held/`: all of them, durably, before anything is removed.
//! 3. The window's pages are removed, then its attachments: while a page is there, a rebuild of the ledger finds its items whole.
//! 4. The ledger records that the window is purged.
//!
//! Each step may be repeated, so that the next run goes on wherever this one ended. Only the process that pulls purges:
//! nothing is staged under a window meanwhile.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;

use super::attachments::staged::staging_has;
use super::leases::Leases;
use super::{Loader, Pipeline, RunError};
use crate::fault::Fault;
use crate::ledger::{AttachmentRecord, AttachmentState, HeldCopy, ItemNo, ItemRecord, LedgerError};
use crate::staging::{BlobName, StagingError};
use crate::window::Window;

/// Windows that one run purges at the most; more are left to the next.
const MAX_WINDOWS_PURGED: usize = 16;
/// Windows that are looked at together: some of them may not be accounted for yet.
const MAX_WINDOWS_READ: u32 = 400;
/// Held copies that one run removes at the most.
const MAX_COPIES_REMOVED: usize = 10_000;
/// Items that are read from the ledger at a time.
const ITEMS_PER_QUERY: u32 = 200;
/// Blobs that are removed at the same time.
const MAX_CONCURRENT: usize = 16;

/// What a purge did.
#[derive(Debug, Default)]
struct Purged {
    held: usize,
    blobs: usize,
}

impl Pipeline {
    /// Purges what is old enough. What staging refuses is left to a later run; only a failure of the ledger is the run's.
    pub(super) async fn purge(&self, leases: &Leases) -> Result<(), RunError> {
        let Some(cutoff) = self.certain_cutoff(self.report_policy.retain).await? else { return Ok(()) };
        let outcome = match self.purge_windows(leases, cutoff).await {
            Ok(()) => self.remove_obsolete_held_copies(leases).await,
            error => error,
        };
        match outcome {
            Err(RunError::Stopped) => Ok(()),
            Err(RunError::Staging(error)) => {
                tracing::warn!(event = "purge_failed", error = %error, "staging could not be purged; a later run will continue");
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Windows that ended before it are old enough; nothing where all are kept.
    pub(super) fn cutoff(&self) -> Option<DateTime<Utc>> {
        before(self.now(), self.report_policy.retain)
    }

    /// The cutoff of what is done for good to what was kept for `retain`; nothing where it is kept for ever, or no clock is certain.
    pub(super) async fn certain_cutoff(&self, retain: Option<Duration>) -> Result<Option<DateTime<Utc>>, LedgerError> {
        if self.source_health.clocks_differ() {
            return Ok(None);
        }
        let passed = self.deps.ledger.certainly_passed(self.now()).await?;
        Ok(passed.and_then(|passed| before(passed, retain)))
    }

    async fn purge_windows(&self, leases: &Leases, cutoff: DateTime<Utc>) -> Result<(), RunError> {
        let mut purged = 0;
        loop {
            let windows = self.deps.ledger.purgeable_windows(cutoff, MAX_WINDOWS_READ).await?;
            let mut empty = 0;
            for window in &windows {
                match self.purge_window(leases, *window).await {
                    // A rebuilt ledger has a window for each held item: they cost nothing, and keep no other waiting.
                    Ok(Some(0)) => empty += 1,
                    Ok(Some(_)) => purged += 1,
                    Ok(None) => {}
                    Err(RunError::Staging(StagingError::Immutable { name, detail })) => {
                        self.note_refused(*window, &name, &detail).await?;
                    }
                    // What is wrong with one window's blobs says nothing of another's.
                    Err(RunError::Staging(error)) if Fault::from(&error) == Fault::Defer => {
                        tracing::error!(event = "window_not_purged", window = %window.staging_name(), error = %error, "a window can't be purged; it is left as it is");
                    }
                    Err(error) => return Err(error),
                }
                if purged == MAX_WINDOWS_PURGED {
                    return Ok(());
                }
            }
            if empty == 0 || windows.len() < MAX_WINDOWS_READ as usize {
                return Ok(());
            }
        }
    }

    async fn note_refused(&self, window: Window, name: &BlobName, detail: &str) -> Result<(), LedgerError> {
        if self.deps.ledger.note_purge_refused(window, self.now()).await? {
            tracing::warn!(event = "purge_refused", window = %window.staging_name(), blob = %name, error = detail, "a retention policy keeps a window that is due; it is tried again later and not logged again");
        }
        Ok(())
    }

    /// Purges one window; returns how many blobs that removed. `None` where an item in it has no outcome yet.
    async fn purge_window(&self, leases: &Leases, window: Window) -> Result<Option<usize>, RunError> {
        let ledger = &self.deps.ledger;
        self.may_go_on(leases)?;
        if !ledger.begin_purge(window).await? {
            return Ok(None);
        }
        let mut purged = Purged::default();
        self.copy_held(leases, window, &mut purged).await?;
        let prefix = BlobName::window_prefix(window);
        let pages = self.list(&format!("{prefix}pages/")).await?;
        self.remove_all(leases, pages, &mut purged).await?;
        self.remove_attachments(leases, window, &mut purged).await?;
        let left = self.list(&format!("{prefix}attachments/")).await?;
        self.remove_all(leases, left, &mut purged).await?;
        ledger.finish_purge(window, self.now()).await?;
        self.progress.add_step();
        if let Some(metrics) = &self.metrics {
            metrics.window_purged();
        }
        tracing::info!(
            event = "window_purged",
            window = %window.staging_name(),
            items.held = purged.held,
            blobs = purged.blobs,
            "a window is purged from staging; its held items are kept"
        );
        Ok(Some(purged.blobs))
    }

    /// Nothing is removed any more once the run is asked to stop or its leases are in doubt.
    pub(super) fn may_remove(&self, leases: &Leases) -> bool {
        !self.stop.is_cancelled() && leases.in_force(&*self.deps.clock)
    }

    fn may_go_on(&self, leases: &Leases) -> Result<(), RunError> {
        if self.may_remove(leases) { Ok(()) } else { Err(RunError::Stopped) }
    }

    async fn copy_held(&self, leases: &Leases, window: Window, purged: &mut Purged) -> Result<(), RunError> {
        let mut after = ItemNo(0);
        loop {
            let items = self.deps.ledger.held_of_window(window, after, ITEMS_PER_QUERY).await?;
            let Some(last) = items.last() else { return Ok(()) };
            after = last.no;
            for item in &items {
                self.may_go_on(leases)?;
                self.copy_item(item).await?;
                purged.held += 1;
            }
        }
    }

    /// Copies an item to `held/`, byte for byte; what an earlier purge copied is there already.
    async fn copy_item(&self, item: &ItemRecord) -> Result<(), RunError> {
        let staging = &self.deps.staging;
        let loader = Loader::new(std::sync::Arc::clone(staging));
        let raw = self.retrier.run("reading a held item", || loader.raw(item)).await?;
        let name = BlobName::held_item(item.key);
        self.retrier.run("copying a held item", || staging.put(&name, raw.clone())).await?;
        for (index, attachment) in item.attachments.iter().enumerate() {
            let Some(from) = staged_blob(attachment) else { continue };
            let to = BlobName::held_attachment(item.key, index);
            if from == to {
                continue;
            }
            match self.retrier.run("copying a held attachment", || staging.copy(&from, &to)).await {
                Err(StagingError::NotFound { .. }) if staging_has(staging.as_ref(), &to).await? => {}
                copied => copied?,
            }
        }
        Ok(())
    }

    /// Removes the attachments that the ledger knows, a few hundred items at a time: a window can have a million.
    async fn remove_attachments(&self, leases: &Leases, window: Window, purged: &mut Purged) -> Result<(), RunError> {
        let prefix = BlobName::window_prefix(window);
        let mut after = ItemNo(0);
        loop {
            let items = self.deps.ledger.items_with_attachments(window, after, ITEMS_PER_QUERY).await?;
            let Some(last) = items.last() else { return Ok(()) };
            after = last.no;
            let blobs = items.iter().flat_map(|item| &item.attachments).filter_map(staged_blob);
            let blobs = blobs.filter(|blob| blob.as_str().starts_with(&prefix)).collect();
            self.remove_all(leases, blobs, purged).await?;
        }
    }

    /// Removes items' held copies that nothing needs any more, after a replay or a release.
    async fn remove_obsolete_held_copies(&self, leases: &Leases) -> Result<(), RunError> {
        let (mut after, mut removed) = (ItemNo(0), 0);
        while removed < MAX_COPIES_REMOVED {
            let copies = self.deps.ledger.obsolete_held_copies(after, ITEMS_PER_QUERY).await?;
            let Some(last) = copies.last() else { break };
            after = last.no;
            for copy in copies {
                self.may_go_on(leases)?;
                self.remove_held(leases, copy).await?;
                removed += 1;
            }
        }
        if removed > 0 {
            tracing::info!(
                event = "held_copies_removed",
                items = removed,
                "held copies of items that were replayed or released are removed"
            );
        }
        Ok(())
    }

    async fn remove_held(&self, leases: &Leases, copy: HeldCopy) -> Result<(), RunError> {
        let blobs = self.list(&BlobName::held_prefix(copy.key)).await?;
        match self.remove_all(leases, blobs, &mut Purged::default()).await {
            Err(RunError::Staging(StagingError::Immutable { name, detail })) => {
                tracing::warn!(event = "held_copy_left", item.key = %copy.key, blob = %name, error = detail, "a retention policy keeps a held copy that nothing needs any more; it is left there");
            }
            removed => removed?,
        }
        Ok(self.deps.ledger.forget_held_copy(copy.no).await?)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<BlobName>, StagingError> {
        let found = self.retrier.run("listing staging", || self.deps.staging.list(prefix)).await?;
        Ok(found.into_iter().map(|(name, _)| name).collect())
    }

    async fn remove_all(&self, leases: &Leases, blobs: Vec<BlobName>, purged: &mut Purged) -> Result<(), RunError> {
        let staging = &self.deps.staging;
        purged.blobs += blobs.len();
        futures_util::stream::iter(blobs.into_iter().map(Ok))
            .try_for_each_concurrent(MAX_CONCURRENT, |blob| async move {
                self.may_go_on(leases)?;
                Ok(self.retrier.run("removing a blob", || staging.remove(&blob)).await?)
            })
            .await
    }
}

pub(super) fn before(present: DateTime<Utc>, retain: Option<Duration>) -> Option<DateTime<Utc>> {
    present.checked_sub_signed(chrono::Duration::from_std(retain?).ok()?)
}

/// The blob of an attachment that lies beside its page.
fn staged_blob(attachment: &AttachmentRecord) -> Option<BlobName> {
    match &attachment.state {
        AttachmentState::Staged { blob } | AttachmentState::Corrupt { blob, .. } => BlobName::parse(blob),
        _ => None,
    }
}
