//! Preparing: an item becomes rows, and copies in the queues of its mailboxes.
//!
//! 1. Attachments that an earlier run awaited are asked for again.
//! 2. The rules that need nobody's answer are applied ([`super::rows`]).
//! 3. The directory is asked whose mailboxes the rest belongs in, all items of a batch at once.
//! 4. Each is converted once, for all its mailboxes.
//! 5. Resolution, manifest, rows and intents are recorded in one transaction.
//! 6. Copies go into the queues.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;

use super::attachments::{Absence, AttachmentAt, Fetched};
use super::candidate::{Candidate, Content};
use super::deliver::settled;
use super::dispatch::{Dispatch, Job};
use super::doubt::Doubt;
use super::leases::Leases;
use super::memory::Memory;
use super::rows::{self, Screened};
use super::settle::Settler;
use super::sharing::Sharing;
use super::{Pipeline, RunError};
use crate::convert::{CONVERTER_VERSION, Message, StagedAttachment, convert};
use crate::failpoint;
use crate::fault::{Fault, Reason};
use crate::identity::Identity;
use crate::item::Item;
use crate::ledger::{
    AttachmentState, DeliveryRow, DeliveryState, ItemState, NewDelivery, PartialReason, Prepared, RunId, Target,
};
use crate::resolve::{Mailbox, Resolution, re_resolve};

/// What preparing needs beside the pipeline.
pub(super) struct Preparer {
    pub(super) pipeline: Pipeline,
    pub(super) run: RunId,
    pub(super) leases: Arc<Leases>,
    /// Which mailboxes are left to other processes.
    pub(super) sharing: Arc<Sharing>,
    pub(super) memory: Memory,
    pub(super) dispatch: Arc<Dispatch>,
    pub(super) settler: Settler,
    /// Which copies are looked up before they are sent.
    pub(super) doubt: Doubt,
    /// Which failed copies are sent again.
    pub(super) replay: Replay,
}

/// Which copies that failed in an earlier run are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replay {
    /// None: only an administrator replays them.
    Nothing,
    /// Those that failed for this reason.
    FailedFor(Reason),
    /// All.
    Everything,
}

/// Items are prepared in batches of so many: one question to the directory and one transaction each.
const BATCH: usize = 250;

/// A candidate whose rows are known, and the copies that wait for them to be recorded.
struct Ready {
    prepared: Prepared,
    copies: Option<Copies>,
}

struct Copies {
    message: Arc<Message>,
    partial: Option<(PartialReason, String)>,
    space: Arc<super::memory::Space>,
    /// The mailboxes in whose queues a place is reserved.
    admitted: Vec<Mailbox>,
    /// The mailboxes of ours that get theirs by way of the ledger, and the states of their rows.
    left: Vec<(Mailbox, DeliveryState)>,
}

impl Preparer {
    /// Prepares items until there are no more.
    pub(super) async fn prepare_all(&self, mut items: mpsc::Receiver<Vec<Candidate>>) -> Result<(), RunError> {
        while let Some(candidates) = items.recv().await {
            self.prepare(candidates).await?;
        }
        Ok(())
    }

    /// Prepares candidates, batch by batch.
    pub(super) async fn prepare(&self, candidates: Vec<Candidate>) -> Result<(), RunError> {
        let mut candidates = candidates.into_iter().peekable();
        while candidates.peek().is_some() {
            let batch: Vec<Candidate> = candidates.by_ref().take(BATCH).collect();
            self.prepare_batch(batch).await?;
        }
        Ok(())
    }

    async fn prepare_batch(&self, mut batch: Vec<Candidate>) -> Result<(), RunError> {
        self.sharing.count_helpers().await?;
        self.ask_for_awaited(&mut batch).await?;
        let screened: Vec<Screened> =
            batch.iter().map(|candidate| rows::screen(candidate, self.pipeline.settings.max_item_size)).collect();
        let importable: Vec<&Item> = batch
            .iter()
            .zip(&screened)
            .filter(|(_, screened)| matches!(screened, Screened::Importable))
            .filter_map(|(candidate, _)| candidate.item.as_ref().ok())
            .collect();
        let resolutions = self.resolve(&importable).await;
        // All at once, and not item by item: it is a transaction.
        let resolved = resolutions.iter().flat_map(Resolution::mailboxes).map(|(mailbox, _)| mailbox);
        self.sharing.take(resolved).await?;
        let mut resolutions = resolutions.into_iter();

        let mut ready = Vec::with_capacity(batch.len());
        for (candidate, screened) in batch.into_iter().zip(screened) {
            match screened {
                Screened::Held(reason, detail) => ready.push(self.hold(&candidate, reason, detail)),
                Screened::Awaiting(detail) => ready.push(await_attachments(&candidate, detail)),
                Screened::Importable => {
                    let resolution = resolutions.next().unwrap_or_default();
                    self.import(candidate, resolution, &mut ready).await?;
                }
            }
        }
        self.record(ready).await
    }

    /// Asks again for attachments that an earlier run awaited, several at the same time; after `attachment_wait` they are
    /// missing.
    async fn ask_for_awaited(&self, batch: &mut [Candidate]) -> Result<(), RunError> {
        let settings = &self.pipeline.settings;
        let mut awaiting = Vec::new();
        for candidate in batch {
            if candidate.record.is_some() && candidate.awaited().is_some() {
                awaiting.push(candidate);
            }
        }
        let (wait, now) = (settings.attachment_wait, self.pipeline.now());
        let is_due = awaiting.iter().any(|candidate| rows::waited_enough(candidate.staged_at, wait, now));
        // What counts as missing is left out for good. So the source must be up, and the clock that tells the wait be right.
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
        let waited = certain.is_some_and(|now| rows::waited_enough(candidate.staged_at, wait, now));
        for (index, declared) in item.attachments.iter().enumerate() {
            let Some(record) = candidate.attachments.get_mut(index) else { continue };
            if !matches!(record.state, AttachmentState::Awaited { .. }) {
                continue;
            }
            let at = AttachmentAt { item: item.id, key: candidate.key, index, window: candidate.window };
            let Fetched { record: answer, absence, .. } = match pipeline.ask_again(at, declared).await {
                // It stays awaited; why the run stops is told elsewhere.
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

    /// Asks the directory, again where it gives no answer for a passing reason.
    async fn resolve(&self, items: &[&Item]) -> Vec<Resolution> {
        let resolver = &self.pipeline.parts.resolver;
        let mut pauses = self.pipeline.settings.retry.pauses();
        let mut attempt = 1;
        loop {
            let answers = resolver.resolve(items).await;
            let passing =
                answers.iter().filter_map(|(_, error)| error.as_ref()).find_map(|error| match Fault::from(error) {
                    Fault::Retry { after } => Some((after, error)),
                    _ => None,
                });
            if let Some((after, error)) = passing
                && let Some(pause) = pauses.next()
                && self
                    .pipeline
                    .retrier
                    .pause("asking the user directory", attempt, after.unwrap_or(pause).max(pause), error)
                    .await
            {
                attempt += 1;
                continue;
            }
            return answers.into_iter().map(|(resolution, _)| resolution).collect();
        }
    }

    fn hold(&self, candidate: &Candidate, reason: Reason, detail: String) -> Ready {
        log_held(&self.run, candidate, reason, &detail);
        let row = rows::own_row(Target::Item, DeliveryState::Failed, Some(reason), detail);
        Ready { prepared: own_rows(candidate, ItemState::Prepared, vec![row]), copies: None }
    }

    async fn import(
        &self,
        mut candidate: Candidate,
        fresh: Resolution,
        ready: &mut Vec<Ready>,
    ) -> Result<(), RunError> {
        let history = &candidate.history;
        let resolution = match &history.resolution {
            Some(previous) => re_resolve(previous, fresh, history.copies_sent()),
            None => fresh,
        };
        let Ok(item) = candidate.item.as_ref() else {
            return Err(RunError::Broken("an item that can't be read is to be imported".to_owned()));
        };
        let rows = rows::resolved_rows(item, &resolution);
        for own in rows.own.iter().filter(|own| own.reason == Some(Reason::NoValidUser)) {
            log_held(&self.run, &candidate, Reason::NoValidUser, own.detail.as_deref().unwrap_or_default());
        }
        let mut prepared = own_rows(&candidate, ItemState::Prepared, rows.own);
        prepared.replaced.extend(self.replayed(&candidate));
        prepared.unmapped = rows.unmapped;
        prepared.resolution = Some(resolution);
        if rows.mailboxes.is_empty() {
            ready.push(Ready { prepared, copies: None });
            return Ok(());
        }

        let partial = rows::partial(&candidate);
        let content = self.content_of(&mut candidate, ready).await?;
        // What staging can't give back stays as it is, for a later run.
        let Some(Content { attachments, space }) = content else { return Ok(()) };
        let message = Arc::new(self.convert(&candidate, &attachments, &prepared)?);
        let identity = identity(&candidate, &attachments)?;
        prepared.identity = Some(identity);
        prepared.message = Some((CONVERTER_VERSION, message.manifest()));
        let mut copies = Copies { message, partial, space: Arc::new(space), admitted: Vec::new(), left: Vec::new() };
        let is_doubtful = self.doubt.covers(&candidate);
        let known: Vec<&str> = candidate
            .history
            .rows
            .iter()
            .map(|row| row.target.as_str())
            .filter(|target| !prepared.replaced.iter().any(|replaced| replaced == target))
            .collect();
        for (mailbox, by) in rows.mailboxes {
            let target = Target::Mailbox(mailbox.id.clone()).name();
            if known.contains(&target.as_str()) {
                continue;
            }
            let may_be_there = is_doubtful || candidate.history.was_given_up(&target);
            let state = if may_be_there { DeliveryState::Unknown } else { DeliveryState::Ready };
            prepared.deliveries.push(rows::copy_row(mailbox, by, identity, state));
        }
        self.admit(&mut prepared.deliveries, &mut copies).await?;
        ready.push(Ready { prepared, copies: Some(copies) });
        Ok(())
    }

    /// The candidate's content: what is in memory, else read back from staging. Where there is no space for it now, what is
    /// ready goes on first, so that nothing is held by whoever waits.
    async fn content_of(&self, candidate: &mut Candidate, ready: &mut Vec<Ready>) -> Result<Option<Content>, RunError> {
        if let Some(content) = candidate.content.take() {
            return Ok(Some(content));
        }
        let size = candidate.content_size();
        let space = match self.memory.try_read_back(size) {
            None => {
                self.record(std::mem::take(ready)).await?;
                self.memory.read_back(size).await
            }
            space => space,
        };
        let space = space.ok_or_else(|| RunError::Broken("the memory budget was closed".to_owned()))?;
        self.pipeline.read_content(candidate, space).await
    }

    fn convert(
        &self,
        candidate: &Candidate,
        attachments: &[StagedAttachment],
        prepared: &Prepared,
    ) -> Result<Message, RunError> {
        let (Ok(item), Some(resolution)) = (&candidate.item, &prepared.resolution) else {
            return Err(RunError::Broken("an item is converted before it is resolved".to_owned()));
        };
        Ok(convert(item, attachments, resolution, &self.pipeline.settings.placeholder_address_domain))
    }

    /// The targets of failed copies that this run sends again.
    fn replayed(&self, candidate: &Candidate) -> Vec<String> {
        let matches = |found: &Option<String>| match self.replay {
            Replay::Nothing => false,
            Replay::FailedFor(reason) => found.as_deref() == Some(reason.name()),
            Replay::Everything => true,
        };
        let failed = candidate.history.rows.iter().filter(|row| row.state == DeliveryState::Failed);
        failed.filter(|row| row.is_for_mailbox() && matches(&row.reason)).map(|row| row.target.clone()).collect()
    }

    /// Reserves places in the queues of the mailboxes that this process may send to. Copies for others stay in the ledger.
    async fn admit(&self, deliveries: &mut [NewDelivery], copies: &mut Copies) -> Result<(), RunError> {
        let mailboxes: Vec<Mailbox> =
            deliveries.iter().filter_map(|row| row.mailbox.as_ref()).map(|(mailbox, _)| mailbox.clone()).collect();
        let ours = self.sharing.take(&mailboxes).await?;
        let size = copies.message.size();
        for (mailbox, ours) in mailboxes.into_iter().zip(ours) {
            let row =
                deliveries.iter_mut().find(|row| row.mailbox.as_ref().is_some_and(|(other, _)| other.id == mailbox.id));
            let Some(row) = row else { continue };
            if !ours {
                row.detail = Some("another process is sending to this mailbox".to_owned());
            } else if row.state == DeliveryState::Ready && self.dispatch.reserve(&mailbox, size) {
                row.state = DeliveryState::Sending;
                row.holder = Some(self.pipeline.parts.holder.clone());
                row.converter = Some(CONVERTER_VERSION);
                copies.admitted.push(mailbox);
            } else {
                copies.left.push((mailbox, row.state));
            }
        }
        Ok(())
    }

    /// Records what became of a batch, then lets its copies go.
    async fn record(&self, ready: Vec<Ready>) -> Result<(), RunError> {
        if ready.is_empty() {
            return Ok(());
        }
        let pipeline = &self.pipeline;
        let (prepared, copies): (Vec<Prepared>, Vec<Option<Copies>>) =
            ready.into_iter().map(|ready| (ready.prepared, ready.copies)).unzip();
        let record = || pipeline.parts.ledger.record_prepared(&self.run, pipeline.now(), &prepared);
        let first = pipeline.retrier.run("recording items", record).await?;
        failpoint::pass(failpoint::INTENT_RECORDED);
        if let Some(metrics) = &pipeline.metrics {
            metrics.prepared(&prepared);
        }
        pipeline.progress.add_prepared(prepared.len(), prepared.iter().map(|item| item.deliveries.len()).sum());
        for (item, copies) in prepared.iter().zip(copies) {
            let Some(copies) = copies else { continue };
            let is_first = |mailbox: &Mailbox| first.contains(&(item.no, Target::Mailbox(mailbox.id.clone()).name()));
            for mailbox in &copies.admitted {
                let job = is_first(mailbox).then(|| Job {
                    no: item.no,
                    message: Arc::clone(&copies.message),
                    partial: copies.partial.clone(),
                    space: Arc::clone(&copies.space),
                });
                if job.is_none() {
                    self.dispatch.add_duplicates(mailbox);
                }
                if let Some(job) = self.dispatch.fill(mailbox, job) {
                    let unsent = settled(job.no, mailbox, DeliveryState::Ready, 0);
                    self.settler.tell(unsent, Some(job.space)).await;
                    self.dispatch.add_backlog(mailbox);
                }
            }
            for (mailbox, state) in &copies.left {
                if !is_first(mailbox) {
                    self.dispatch.add_duplicates(mailbox);
                } else if *state == DeliveryState::Unknown {
                    self.dispatch.add_look_ups(mailbox);
                } else {
                    self.dispatch.add_backlog(mailbox);
                }
            }
        }
        Ok(())
    }
}

/// The identity of a candidate whose attachments are read.
fn identity(candidate: &Candidate, attachments: &[StagedAttachment]) -> Result<Identity, RunError> {
    let Ok(item) = &candidate.item else {
        return Err(RunError::Broken("an item that can't be read has no identity".to_owned()));
    };
    Ok(crate::convert::identity_of(item, attachments))
}

fn await_attachments(candidate: &Candidate, detail: String) -> Ready {
    tracing::info!(event = "attachment_awaited", item.id = %candidate.key, "{detail}");
    let row = rows::own_row(Target::Item, DeliveryState::Pending, None, detail);
    Ready { prepared: own_rows(candidate, ItemState::AwaitingAttachments, vec![row]), copies: None }
}

/// An item's rows of its own take the place of those that an earlier run made; what is still pending is so since then.
fn own_rows(candidate: &Candidate, state: ItemState, mut deliveries: Vec<NewDelivery>) -> Prepared {
    let replaced: Vec<_> = candidate.history.rows.iter().filter(|row| !row.is_for_mailbox()).collect();
    for row in deliveries.iter_mut().filter(|row| row.state == DeliveryState::Pending) {
        let earlier =
            |other: &&&DeliveryRow| other.state == DeliveryState::Pending && other.target == row.target.name();
        row.since = replaced.iter().find(earlier).map(|earlier| earlier.created);
    }
    Prepared {
        no: candidate.no,
        state,
        resolution: None,
        identity: None,
        message: None,
        attachments: candidate.history.attachments_changed.then(|| candidate.attachments.clone()),
        deliveries,
        replaced: replaced.iter().map(|row| row.target.clone()).collect(),
        unmapped: Vec::new(),
    }
}

fn log_held(run: &RunId, candidate: &Candidate, reason: Reason, detail: &str) {
    let id = candidate.item.as_ref().ok().map(|item| item.id.0);
    tracing::info!(
        event = "item_failed",
        run.id = %run,
        item.id = id,
        item.key = %candidate.key,
        reason = reason.name(),
        "an item is held: {detail}"
    );
}
