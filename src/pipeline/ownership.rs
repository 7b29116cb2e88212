//! Which ledger a staging area belongs to.
//!
//! A ledger that is new to a staging area that was in use knows nothing of the copies that were sent, and would send them
//! all again. One that was rebuilt from the area takes it over. That only ever adds a blob, so that it is done by one
//! ledger or none, the area is never without an owner, and a retention policy can't keep it from happening.

use std::sync::Arc;

use bytes::Bytes;

use super::{Pipeline, RunError};
use crate::retry::{Retrier, RetryPolicy};
use crate::staging::contents::regular_window;
use crate::staging::{BlobName, StagingError};
use crate::window::Window;

/// Longest id of a ledger that is read, in bytes.
const MAX_ID: u64 = 256;

/// The ledger that a staging area belongs to.
struct Owner {
    ledger: String,
    /// How often the area was taken over.
    successions: u32,
}

impl Pipeline {
    /// Marks an unused staging area as this ledger's; fails where it is another's, or where this ledger has used one before.
    pub(super) async fn claim_staging(&self) -> Result<(), RunError> {
        let ours = self.deps.ledger.id();
        match self.owner().await? {
            None => {
                self.refuse_emptied_staging().await?;
                self.mark(&BlobName::ledger_id()).await
            }
            Some(owner) if owner.ledger == ours => {
                self.report_missing_parts().await?;
                self.refuse_older_ledger().await
            }
            Some(owner) => Err(self.foreign(owner.ledger)),
        }
    }

    /// Fails where the staging area is another ledger's. Nothing is written, and one that nobody has used yet is fine.
    /// Staging is asked once: whoever typed a command waits for this.
    ///
    /// # Errors
    ///
    /// [`RunError::ForeignStaging`], [`RunError::StagingGone`], or that staging doesn't answer.
    pub async fn check_staging_owner(&self) -> Result<(), RunError> {
        match self.asking_once().owner().await? {
            Some(owner) if owner.ledger != self.deps.ledger.id() => Err(self.foreign(owner.ledger)),
            Some(_) => Ok(()),
            None => self.refuse_emptied_staging().await,
        }
    }

    /// Fails where a run would not begin with this ledger and this staging area. Nothing is written.
    ///
    /// # Errors
    ///
    /// Those of [`Pipeline::check_staging_owner`], and [`RunError::OlderLedger`].
    pub async fn check_ledger_fits(&self) -> Result<(), RunError> {
        self.check_staging_owner().await?;
        self.asking_once().refuse_older_ledger().await
    }

    /// It, with one try of everything.
    pub(super) fn asking_once(&self) -> Self {
        let once = RetryPolicy { attempts: 1, ..self.settings.retry };
        let retrier = Retrier::new(Arc::clone(&self.deps.clock), once, self.stop.clone());
        Self { retrier, ..self.clone() }
    }

    /// Fails where this ledger has staged items, in an area that has no owner: the raw originals, what is kept for a replay and the
    /// chain of reports would be gone without a word.
    async fn refuse_emptied_staging(&self) -> Result<(), RunError> {
        let ledger = &self.deps.ledger;
        if !ledger.has_staged_items().await? {
            return Ok(());
        }
        Err(RunError::StagingGone { staging: self.deps.staging.name(), ledger: ledger.id().to_owned() })
    }

    /// Says so where the last that this ledger staged isn't there: the newest window that was not purged, or the last report. A run goes
    /// on without it: what is staged from now on is not in doubt, and what needs the lost part says so itself.
    async fn report_missing_parts(&self) -> Result<(), RunError> {
        let (ledger, staging) = (&self.deps.ledger, &self.deps.staging);
        let report = |missing: String| {
            tracing::error!(
                event = "staging_incomplete",
                missing,
                "a part of what this ledger has in staging isn't there: it was lost or removed, or the area is an older state of itself; put back what was there"
            );
        };
        if let Some(window) = ledger.newest_kept_window().await? {
            let prefix = format!("{}pages/", BlobName::window_prefix(window));
            let pages = self.retrier.run("listing staging", || staging.list(&prefix)).await?;
            // Another process may have purged it meanwhile.
            if pages.is_empty() && ledger.newest_kept_window().await? == Some(window) {
                report(format!("the pages {prefix}… of the window {window}"));
            }
        }
        if let Some(run) = ledger.last_stored_report().await? {
            let name = BlobName::report(&run.0);
            match self.retrier.run("opening a report", || staging.open(&name)).await {
                Err(StagingError::NotFound { .. }) => report(format!("the report {name}")),
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Fails where a window was begun and staged of which this ledger knows nothing: then it is an older state of itself,
    /// restored from a backup, and doesn't know what was sent since.
    async fn refuse_older_ledger(&self) -> Result<(), RunError> {
        let ledger = &self.deps.ledger;
        let watermark = ledger.watermark().await?;
        for window in self.regular_windows().await? {
            if watermark.is_some_and(|read| window.from < read) || ledger.knows_window(window).await? {
                continue;
            }
            // One that was marked and no more is no evidence: the process may have died right then.
            let prefix = format!("{}pages/", BlobName::window_prefix(window));
            let pages = self.retrier.run("listing staging", || self.deps.staging.list(&prefix)).await?;
            if !pages.is_empty() {
                return Err(RunError::OlderLedger { staging: self.deps.staging.name(), window });
            }
        }
        Ok(())
    }

    /// The windows that the schedule ever began.
    pub(super) async fn regular_windows(&self) -> Result<Vec<Window>, RunError> {
        let list = || self.deps.staging.list(BlobName::REGULAR_WINDOWS);
        let marks = self.retrier.run("listing staging", list).await?;
        Ok(marks.iter().filter_map(|(name, _)| regular_window(name)).collect())
    }

    /// Makes the staging area this ledger's, whosever it was. Fails where another ledger takes it over at the same time.
    pub(super) async fn take_over_staging(&self) -> Result<(), RunError> {
        let ours = self.deps.ledger.id();
        let Some(owner) = self.owner().await? else { return self.mark(&BlobName::ledger_id()).await };
        if owner.ledger == ours {
            return Ok(());
        }
        self.mark(&BlobName::successor(owner.successions + 1)).await?;
        tracing::warn!(event = "staging_taken_over", before = %owner.ledger, now = %ours, "the staging area belongs to this ledger from now on");
        Ok(())
    }

    /// The last of the ledgers that took the area over, else the first that used it.
    async fn owner(&self) -> Result<Option<Owner>, RunError> {
        let staging = &self.deps.staging;
        let list = || staging.list(BlobName::SUCCESSORS);
        let successors = self.retrier.run("reading the staging area's mark", list).await?;
        let numbered = successors.iter().filter_map(|(name, _)| Some((name, name.succession()?)));
        let (name, successions) = match numbered.max_by_key(|(_, number)| *number) {
            Some((name, number)) => (name.clone(), number),
            None => (BlobName::ledger_id(), 0),
        };
        let read = || staging.get(&name, MAX_ID);
        match self.retrier.run("reading the staging area's mark", read).await {
            Ok(bytes) => Ok(Some(Owner { ledger: String::from_utf8_lossy(&bytes).trim().to_owned(), successions })),
            Err(StagingError::NotFound { .. }) if successions == 0 => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn mark(&self, name: &BlobName) -> Result<(), RunError> {
        let staging = &self.deps.staging;
        let mark = Bytes::copy_from_slice(self.deps.ledger.id().as_bytes());
        match self.retrier.run("marking the staging area", || staging.put(name, mark.clone())).await {
            // Another ledger was quicker.
            Err(StagingError::Conflict { .. }) => {
                let owner = self.owner().await?;
                Err(self.foreign(owner.map(|owner| owner.ledger).unwrap_or_default()))
            }
            other => Ok(other?),
        }
    }

    fn foreign(&self, theirs: String) -> RunError {
        let ours = self.deps.ledger.id().to_owned();
        RunError::ForeignStaging { staging: self.deps.staging.name(), theirs, ours }
    }
}
