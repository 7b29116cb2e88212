//! Attachments that an earlier run awaited: asked for once more while their items are prepared, and missing after `attachment_wait`.

use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::attachments::{Absence, AttachmentAt, Fetched};
use super::candidate::Candidate;
use super::prepare::Preparer;
use super::{RunError, rows};
use crate::ledger::AttachmentState;

impl Preparer {
    /// Asks again for attachments that an earlier run awaited, several at the same time; after `attachment_wait` they are
    /// missing. Where nothing is to be waited for, those of this run are asked for again at once.
    pub(super) async fn ask_for_awaited(&self, batch: &mut [Candidate]) -> Result<(), RunError> {
        let settings = &self.pipeline.settings;
        let mut awaiting = Vec::new();
        for candidate in batch {
            let is_asked = candidate.record.is_some() || settings.attachment_wait.is_zero();
            if is_asked && candidate.awaited().is_some() {
                awaiting.push(candidate);
            }
        }
        if awaiting.is_empty() {
            return Ok(());
        }
        self.scheduler.hurry();
        let (wait, now) = (settings.attachment_wait, self.pipeline.now());
        let is_due = awaiting.iter().any(|candidate| rows::waited_enough(candidate, wait, now));
        // What counts as missing is left out for good. So the source must be up, and the clock that measures the wait be right.
        let certain = if is_due { self.pipeline.present_at_the_source().await } else { None };
        let mut asking = Vec::with_capacity(awaiting.len());
        for candidate in awaiting {
            asking.push(self.ask_for_attachments(candidate, certain));
        }
        futures_util::stream::iter(asking).buffer_unordered(settings.downloads.max(1)).try_collect().await
    }

    /// Asks again for an item's awaited attachments. `certain` is the present, where it is certain.
    async fn ask_for_attachments(
        &self,
        candidate: &mut Candidate,
        certain: Option<DateTime<Utc>>,
    ) -> Result<(), RunError> {
        let pipeline = &self.pipeline;
        let Ok(item) = &candidate.item else { return Ok(()) };
        let wait = pipeline.settings.attachment_wait;
        let waited = certain.is_some_and(|now| rows::waited_enough(candidate, wait, now));
        for (index, declared) in item.attachments.iter().enumerate() {
            let Some(record) = candidate.attachments.get_mut(index) else { continue };
            if !matches!(record.state, AttachmentState::Awaited { .. }) {
                continue;
            }
            let at = AttachmentAt { item: item.id, key: candidate.key, index, window: candidate.window };
            let Fetched { record: answer, absence, .. } = match pipeline.ask_again(at, declared).await {
                // It stays awaited; why the run stops is reported elsewhere.
                Err(RunError::Stopped) => return Ok(()),
                answer => answer?,
            };
            *record = answer;
            if let AttachmentState::Awaited { detail } = &record.state
                && waited
                && absence != Some(Absence::Unforeseen)
            {
                record.state = AttachmentState::Missing { detail: detail.clone() };
            }
            candidate.history.attachments_changed = true;
        }
        Ok(())
    }
}
