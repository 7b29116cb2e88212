//! Replaying from staging: what failed or is pending, and every participant who had no valid user then and has one now.
//!
//! Nothing that was sent is routed again: a replay only adds the copies that are missing.

use super::candidate::Candidate;
use super::look_ups::Asking;
use super::prepare::Preparer;
use super::rows::{self, Screened};
use super::take_over::READ_BACK_BATCH;
use super::{Pipeline, RunError};
use crate::item::Item;
use crate::ledger::{DeliveryState, ItemNo, ItemRecord, ItemSelection, RowReason, Target};
use crate::reason::Reason;
use crate::resolution::{Resolution, ResolvedTo, re_resolve};

/// What a replay would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplayPreview {
    /// The items that it would prepare again.
    pub items: u64,
    /// The copies that these would get beside those that were sent.
    pub copies: u64,
}

/// Whether a selection is about participants without a valid user too.
fn includes_unresolved(selection: &ItemSelection) -> bool {
    matches!(selection.reason, None | Some(Reason::NoValidUser))
}

impl Preparer {
    /// Prepares once more what failed or is pending, then the items that a participant can be added to.
    pub(super) async fn replay(&self, selection: &ItemSelection) -> Result<(), RunError> {
        let pipeline = &self.pipeline;
        let mut after = ItemNo(0);
        while !pipeline.stop.is_cancelled() {
            let records = pipeline.deps.ledger.select_items(selection, after, READ_BACK_BATCH).await?;
            let Some(last) = records.last() else { break };
            after = last.no;
            self.prepare(pipeline.read_back(records).await?, Asking::WithPauses).await?;
        }
        let mut after = ItemNo(0);
        while includes_unresolved(selection) && !pipeline.stop.is_cancelled() {
            let records = pipeline.deps.ledger.unresolved_items(selection, after, READ_BACK_BATCH).await?;
            let Some(last) = records.last() else { break };
            after = last.no;
            let candidates = pipeline.resolvable_by_now(records).await?;
            self.prepare(candidates.into_iter().map(|(candidate, _)| candidate).collect(), Asking::WithPauses).await?;
        }
        Ok(())
    }
}

impl Pipeline {
    /// Of items with a participant who had no valid user, those where that is no longer certain, with what their
    /// participants resolve to now. Only these are read back from staging.
    async fn resolvable_by_now(&self, records: Vec<ItemRecord>) -> Result<Vec<(Candidate, Resolution)>, RunError> {
        let resolver = &self.deps.resolver;
        let may_gain = |record: &ItemRecord| {
            let resolution = record.resolution.as_ref();
            resolution.is_some_and(|resolution| resolution.0.iter().any(|one| resolver.may_be_valid_now(one)))
        };
        let candidates = self.read_back(records.into_iter().filter(may_gain).collect()).await?;
        let candidates = self.resolved(candidates).await;
        Ok(candidates.into_iter().filter(|(candidate, fresh)| gains_a_participant(candidate, fresh)).collect())
    }

    /// Candidates that can be read, with what their participants resolve to now.
    async fn resolved(&self, candidates: Vec<Candidate>) -> Vec<(Candidate, Resolution)> {
        let items: Vec<&Item> = candidates.iter().filter_map(|candidate| candidate.item.as_ref().ok()).collect();
        let answers = self.deps.resolver.resolve(&items).await;
        let readable = candidates.into_iter().filter(|candidate| candidate.item.is_ok());
        readable.zip(answers).collect()
    }

    /// What a replay of this selection would add. Records nothing and sends nothing.
    ///
    /// # Errors
    ///
    /// The ledger or staging can't be read, or the pipeline is stopped.
    pub async fn preview_replay(&self, selection: &ItemSelection) -> Result<ReplayPreview, RunError> {
        let mut preview = ReplayPreview::default();
        let mut after = ItemNo(0);
        while !self.stop.is_cancelled() {
            let records = self.deps.ledger.select_items(selection, after, READ_BACK_BATCH).await?;
            let Some(last) = records.last() else { break };
            after = last.no;
            preview.items += records.len() as u64;
            let candidates = self.resolved(self.read_back(records).await?).await;
            preview.copies += self.missing_copies(selection, candidates);
        }
        let mut after = ItemNo(0);
        while includes_unresolved(selection) && !self.stop.is_cancelled() {
            let records = self.deps.ledger.unresolved_items(selection, after, READ_BACK_BATCH).await?;
            let Some(last) = records.last() else { break };
            after = last.no;
            let candidates = self.resolvable_by_now(records).await?;
            preview.items += candidates.len() as u64;
            preview.copies += self.missing_copies(selection, candidates);
        }
        if self.stop.is_cancelled() {
            return Err(RunError::Stopped);
        }
        Ok(preview)
    }

    /// How many copies these items would get that they don't have.
    fn missing_copies(&self, selection: &ItemSelection, candidates: Vec<(Candidate, Resolution)>) -> u64 {
        let of_one = |(candidate, fresh)| match rows::screen(candidate, self.settings.max_item_size) {
            Screened::Importable(candidate) => missing_copies(selection, &candidate, &fresh),
            Screened::Awaiting(..) | Screened::Rejected { .. } => 0,
        };
        candidates.into_iter().map(of_one).sum()
    }
}

/// Whether a participant who had no valid user has one now, or the directory doesn't say.
fn gains_a_participant(candidate: &Candidate, fresh: &Resolution) -> bool {
    let Some(previous) = &candidate.history.resolution else { return false };
    previous.0.iter().any(|known| {
        matches!(known.outcome, ResolvedTo::NoValidUser { .. })
            && fresh.of(&known.participant).is_some_and(|now| !matches!(now.outcome, ResolvedTo::NoValidUser { .. }))
    })
}

fn missing_copies(selection: &ItemSelection, candidate: &Candidate<Item>, fresh: &Resolution) -> u64 {
    let history = &candidate.history;
    let resolution = match &history.resolution {
        Some(previous) => re_resolve(previous, fresh.clone(), history.copies_sent()),
        None => fresh.clone(),
    };
    let is_replayed =
        |reason: Option<RowReason>| selection.reason.is_none_or(|wanted| reason == Some(RowReason::Failed(wanted)));
    let mut missing = 0;
    for (mailbox, _) in resolution.mailboxes() {
        let target = Target::Mailbox(mailbox.id.clone());
        let known = history.rows.iter().find(|row| row.target == target);
        let has_copy = known.is_some_and(|row| row.state != DeliveryState::Failed || !is_replayed(row.reason));
        missing += u64::from(!has_copy);
    }
    missing
}
