//! Preparing: an item becomes rows, and copies in the queues of its mailboxes.
//!
//! 1. Attachments that an earlier run awaited are asked for again.
//! 2. The rules that need nobody's answer are applied ([`super::rows`]).
//! 3. The directory is asked whose mailboxes the rest belongs in, all items of a batch at once.
//! 4. Each is converted once, for all its mailboxes.
//! 5. Resolution, manifest and rows are recorded in one transaction: copies are `ready`.
//! 6. Their mailboxes are scheduled, and the message is kept for them while there is room.
//!
//! While a batch that was pulled is recorded, the next one is converted.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use super::candidate::{Candidate, Content};
use super::deliver::Deliverer;
use super::finder::Finder;
use super::leader::Followers;
use super::leases::Leases;
use super::look_ups::{Asking, Unanswered};
use super::message_cache::{Converted, MessageCache, Room};
use super::prior_sends::PriorSends;
use super::rows::{self, Screened};
use super::scheduler::{Lingering, Scheduler};
use super::{Pipeline, RunError};
use crate::convert::{Message, StagedAttachment, convert_as};
use crate::identity::{Identities, Identity};
use crate::item::{Item, ItemId};
use crate::ledger::{
    Capture, DeliveryRow, DeliveryState, ItemState, NewDelivery, PartialReason, Prepared, RowReason, RunId, Target,
};
use crate::reason::Reason;
use crate::resolution::{Mailbox, MailboxId, Resolution, ResolvedBy, re_resolve};

/// What preparing needs beside the pipeline.
pub(super) struct Preparer {
    pub(super) pipeline: Pipeline,
    pub(super) run: RunId,
    pub(super) leases: Arc<Leases>,
    /// What the leader knows of the processes that follow it.
    pub(super) followers: Arc<Followers>,
    pub(super) cache: Arc<MessageCache>,
    pub(super) scheduler: Arc<Scheduler>,
    /// Which copies are looked up before they are sent.
    pub(super) prior_sends: PriorSends,
    /// Which failed copies are sent again.
    pub(super) replay: Replay,
    /// For whom the directory gave no answer.
    pub(super) unanswered: Mutex<Unanswered>,
    /// Where the mailboxes are that earlier runs recorded.
    pub(super) finder: Finder,
    /// The batch that is being recorded while the next one is converted.
    pub(super) recording: Mutex<Option<JoinHandle<Result<(), RunError>>>>,
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

/// Candidates in batches.
pub(super) fn batches(candidates: Vec<Candidate>) -> impl Iterator<Item = Vec<Candidate>> {
    let mut candidates = candidates.into_iter();
    std::iter::from_fn(move || {
        let batch: Vec<Candidate> = candidates.by_ref().take(BATCH).collect();
        (!batch.is_empty()).then_some(batch)
    })
}

/// What becomes of an item, and its message where it has copies.
struct Ready {
    prepared: Prepared,
    message: Option<Converted>,
}

impl From<Prepared> for Ready {
    fn from(prepared: Prepared) -> Self {
        Self { prepared, message: None }
    }
}

impl Preparer {
    /// Prepares what `deliverer` sends.
    pub(super) fn new(
        deliverer: &Deliverer,
        followers: Arc<Followers>,
        prior_sends: PriorSends,
        replay: Replay,
    ) -> Self {
        Self {
            pipeline: deliverer.pipeline.clone(),
            run: deliverer.sender.run.clone(),
            leases: Arc::clone(&deliverer.leases),
            followers,
            cache: Arc::clone(&deliverer.cache),
            scheduler: Arc::clone(&deliverer.scheduler),
            prior_sends,
            replay,
            unanswered: Mutex::default(),
            finder: Finder::new(&deliverer.pipeline),
            recording: Mutex::default(),
        }
    }

    /// Prepares pulled items, batch by batch, until there are no more.
    pub(super) async fn prepare_all(self: &Arc<Self>, items: mpsc::Receiver<Vec<Candidate>>) -> Result<(), RunError> {
        let prepared = self.prepare_pulled(items).await;
        self.recorded().await.and(prepared)
    }

    async fn prepare_pulled(self: &Arc<Self>, mut items: mpsc::Receiver<Vec<Candidate>>) -> Result<(), RunError> {
        let lingering = self.scheduler.lingering();
        while let Some(batch) = self.hurrying(items.recv()).await {
            let ready = self.prepare_batch(batch, Asking::WithPauses, &lingering).await?;
            self.recorded().await?;
            let recorder = Arc::clone(self);
            let recording = self.pipeline.spawn(async move { recorder.record(ready).await });
            *self.recording.lock().await = Some(recording);
        }
        Ok(())
    }

    /// Returns when the batches before this one are recorded.
    pub(super) async fn recorded(&self) -> Result<(), RunError> {
        let recording = self.recording.lock().await.take();
        match recording {
            Some(recording) => recording.await?,
            None => Ok(()),
        }
    }

    /// Prepares candidates, and returns when they are recorded.
    pub(super) async fn prepare(&self, candidates: Vec<Candidate>, asking: Asking) -> Result<(), RunError> {
        let lingering = self.scheduler.lingering();
        for batch in batches(candidates) {
            let ready = self.prepare_batch(batch, asking, &lingering).await?;
            self.record(ready).await?;
        }
        Ok(())
    }

    /// What becomes of a batch, to be recorded.
    async fn prepare_batch(
        &self,
        mut batch: Vec<Candidate>,
        asking: Asking,
        lingering: &Lingering<'_>,
    ) -> Result<Vec<Ready>, RunError> {
        if self.cache.is_full() {
            self.scheduler.hurry();
            self.recorded().await?;
            self.cache.wait_for_room(&*self.pipeline.deps.clock, &self.pipeline.stop).await;
        }
        self.followers.poll_if_due().await?;
        self.ask_for_awaited(&mut batch).await?;
        let mut ready: Vec<Ready> = Vec::with_capacity(batch.len());
        let mut importable = Vec::with_capacity(batch.len());
        for candidate in batch {
            let capture = candidate.item.as_ref().ok().and_then(Capture::of);
            match rows::screen(candidate, self.pipeline.settings.max_item_size) {
                Screened::Rejected { candidate, id, reason, detail } => {
                    log_held(&candidate, id, reason, &detail);
                    let row = rows::own_row(Target::Item, DeliveryState::Failed, Some(reason), detail);
                    let prepared = own_rows(&candidate, ItemState::Prepared, vec![row]);
                    ready.push(Prepared { capture, ..prepared }.into());
                }
                Screened::Awaiting(candidate, detail) => {
                    tracing::info!(event = "attachment_awaited", item.id = candidate.item.id.0, item.key = %candidate.key, "{detail}");
                    let row = rows::own_row(Target::Item, DeliveryState::Pending, None, detail);
                    let prepared = own_rows(&candidate, ItemState::AwaitingAttachments, vec![row]);
                    ready.push(Prepared { capture, ..prepared }.into());
                }
                Screened::Importable(candidate) => importable.push((*candidate, capture)),
            }
        }
        let items: Vec<&Item> = importable.iter().map(|(candidate, _)| &candidate.item).collect();
        let mut unanswered = self.unanswered.lock().await;
        let resolutions = self.hurrying(unanswered.resolve(&self.pipeline, &items, asking)).await?;
        drop(unanswered);
        let earlier = importable.iter().zip(&resolutions);
        let earlier: Vec<Mailbox> = earlier.flat_map(|((item, _), fresh)| to_be_found(item, fresh)).collect();
        self.hurrying(self.finder.find(&earlier)).await;
        lingering.begin_batch();
        for ((candidate, capture), resolution) in importable.into_iter().zip(resolutions) {
            if let Some(imported) = self.import(candidate, capture, resolution, &mut ready).await? {
                ready.push(imported);
            }
        }
        Ok(ready)
    }

    /// Awaits a future; unless it is ready at once, no mailbox waits for more copies meanwhile.
    async fn hurrying<T>(&self, waited_for: impl Future<Output = T>) -> T {
        let mut waited_for = pin!(waited_for);
        if let Some(result) = waited_for.as_mut().now_or_never() {
            return result;
        }
        self.scheduler.hurry();
        waited_for.await
    }

    /// Whether one of the mailboxes has a copy under an identity of version 1.
    async fn is_known(&self, mailboxes: &[(Mailbox, ResolvedBy)], identity: Identity) -> Result<bool, RunError> {
        self.recorded().await?;
        for (mailbox, _) in mailboxes {
            if self.pipeline.deps.ledger.knows(&mailbox.id, identity).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The message of an item for these mailboxes. Where one of them has a copy of an earlier capture under the identity of version 1,
    /// it has the Message-ID of that.
    async fn converted(
        &self,
        candidate: &Candidate<Item>,
        attachments: &[StagedAttachment],
        resolution: &Resolution,
        mailboxes: &[(Mailbox, ResolvedBy)],
    ) -> Result<Message, RunError> {
        let domain = &self.pipeline.settings.placeholder_address_domain;
        let recorded = candidate.record.as_ref().and_then(|record| record.identity);
        let convert = |recorded| convert_as(&candidate.item, attachments, resolution, domain, recorded);
        let message = convert(recorded);
        match message.identities.and_then(|identities| identities.version_1) {
            Some(earlier) if recorded.is_none() && self.is_known(mailboxes, earlier).await? => {
                Ok(convert(Some(earlier)))
            }
            _ => Ok(message),
        }
    }

    /// What becomes of an importable item whose participants are resolved; nothing where staging can't give it back now.
    async fn import(
        &self,
        mut candidate: Candidate<Item>,
        capture: Option<Capture>,
        fresh: Resolution,
        ready: &mut Vec<Ready>,
    ) -> Result<Option<Ready>, RunError> {
        let history = &candidate.history;
        let (resolution, present) = match &history.resolution {
            Some(previous) => {
                let present = self.present(&candidate, &fresh).await;
                (re_resolve(previous, fresh, history.copies_sent()), present)
            }
            None => (fresh, HashMap::new()),
        };
        let mut rows = rows::resolved_rows(&candidate.item, &resolution);
        for (mailbox, _) in &mut rows.mailboxes {
            if let Some(now) = present.get(&mailbox.id) {
                mailbox.clone_from(now);
            }
        }
        for own in rows.own.iter().filter(|own| own.reason == Some(Reason::NoValidUser)) {
            let detail = own.detail.as_deref().unwrap_or_default();
            log_held(&candidate, Some(candidate.item.id), Reason::NoValidUser, detail);
        }
        let mut prepared = own_rows(&candidate, ItemState::Prepared, rows.own);
        prepared.unmapped = rows.unmapped;
        prepared.capture = capture;
        if rows.mailboxes.is_empty() {
            prepared.replaced.extend(self.replayed(&candidate, &[]));
            prepared.resolution = Some(resolution);
            return Ok(Some(prepared.into()));
        }

        let content = match candidate.content.take() {
            Some(content) => Some(content),
            None => self.read_content(&candidate, ready).await?,
        };
        // What staging can't give back stays as it is, for a later run.
        let Some(Content { attachments, room }) = content else { return Ok(None) };
        let message = self.converted(&candidate, &attachments, &resolution, &rows.mailboxes).await?;
        let identities = message.identities;
        let mailboxes = self.as_recorded(rows.mailboxes, &resolution, identities).await?;
        prepared.replaced.extend(self.replayed(&candidate, &mailboxes));
        prepared.identity = identities.map(|identities| identities.sent_as);
        prepared.message = Some(message.manifest());
        prepared.resolution = Some(resolution);
        let copies = self.new_copies(&candidate, mailboxes, &prepared.replaced, identities);
        prepared.deliveries.extend(copies);
        let partial = rows::partial(&candidate.attachments);
        if let Some((reason, detail)) = &partial {
            log_left_out(&candidate, *reason, detail);
        }
        let message = Converted::new(message, partial, room);
        Ok(Some(Ready { prepared, message: Some(message) }))
    }

    /// The mailboxes of an item that was resolved before, at their present addresses.
    async fn present(&self, candidate: &Candidate<Item>, fresh: &Resolution) -> HashMap<MailboxId, Mailbox> {
        let recorded = to_be_found(candidate, fresh);
        let found = self.finder.find(&recorded).await;
        let found = recorded.iter().zip(found).map(|(recorded, found)| self.at_present(recorded, found));
        let fresh = fresh.mailboxes().into_iter().map(|(mailbox, _)| mailbox.clone());
        found.chain(fresh).map(|mailbox| (mailbox.id.clone(), mailbox)).collect()
    }

    /// The rows of the copies that an item doesn't have yet, or that are made anew.
    fn new_copies(
        &self,
        candidate: &Candidate<Item>,
        mailboxes: Vec<(Mailbox, ResolvedBy)>,
        replaced: &[Target],
        identities: Option<Identities>,
    ) -> Vec<NewDelivery> {
        let is_doubtful = self.prior_sends.may_include(candidate);
        let has_row = |target: &Target| candidate.history.rows.iter().any(|row| row.target == *target);
        let copy = |(mailbox, by): (Mailbox, ResolvedBy)| {
            let target = Target::Mailbox(mailbox.id.clone());
            if has_row(&target) && !replaced.contains(&target) {
                return None;
            }
            let may_be_there = is_doubtful || candidate.history.was_given_up(&target);
            let state = if may_be_there { DeliveryState::Unknown } else { DeliveryState::Ready };
            Some(rows::copy_row(mailbox, by, identities, state))
        };
        mailboxes.into_iter().filter_map(copy).collect()
    }

    /// An item's content, read back from staging. Room is waited for only where there is something to read; what is ready goes on
    /// before that, so that whoever waits holds nothing.
    async fn read_content(
        &self,
        candidate: &Candidate<Item>,
        ready: &mut Vec<Ready>,
    ) -> Result<Option<Content>, RunError> {
        let size = candidate.item.text.len() as u64 + candidate.attached_size();
        let room = match self.cache.try_room(size) {
            Some(room) => room,
            None if candidate.attachments.iter().any(super::load::is_staged) => {
                self.recorded().await?;
                self.record(std::mem::take(ready)).await?;
                self.scheduler.hurry();
                self.cache.room(size).await
            }
            None => Room::none(),
        };
        self.hurrying(self.pipeline.read_content(candidate, room)).await
    }

    /// The targets of failed copies that this run makes anew, for these mailboxes or for others. A copy that was given up may lie in its
    /// mailbox: where it isn't for that any more, its row stays, so that it is looked up should it ever be.
    fn replayed(&self, candidate: &Candidate<Item>, mailboxes: &[(Mailbox, ResolvedBy)]) -> Vec<Target> {
        let matches = |found: Option<RowReason>| match self.replay {
            Replay::Nothing => false,
            Replay::FailedFor(reason) => found == Some(RowReason::Failed(reason)),
            Replay::Everything => true,
        };
        let failed = candidate.history.rows.iter().filter(|row| row.state == DeliveryState::Failed);
        let is_for = |target: &Target| {
            mailboxes.iter().any(|(mailbox, _)| matches!(target, Target::Mailbox(id) if *id == mailbox.id))
        };
        let is_made_anew = |row: &&DeliveryRow| {
            let is_certain = is_for(&row.target) || !candidate.history.was_given_up(&row.target);
            row.is_for_mailbox() && matches(row.reason) && is_certain
        };
        failed.filter(is_made_anew).map(|row| row.target.clone()).collect()
    }

    /// Records what became of a batch; from then on its copies are in the queues of their mailboxes.
    async fn record(&self, ready: Vec<Ready>) -> Result<(), RunError> {
        if ready.is_empty() {
            return Ok(());
        }
        let pipeline = &self.pipeline;
        let (prepared, messages): (Vec<Prepared>, Vec<Option<Converted>>) =
            ready.into_iter().map(|ready| (ready.prepared, ready.message)).unzip();
        let record = || pipeline.deps.ledger.record_prepared(&self.run, pipeline.now(), &prepared);
        let first = pipeline.retrier.run("recording items", record).await?;
        if let Some(metrics) = &pipeline.metrics {
            metrics.prepared(&prepared);
        }
        pipeline.progress.add_prepared(prepared.len(), prepared.iter().map(|item| item.deliveries.len()).sum());
        for (item, message) in prepared.iter().zip(messages) {
            let is_first = |row: &&NewDelivery| first.contains(&(item.no, row.target.clone()));
            if let Some(message) = message.filter(Converted::has_room) {
                let copies = item.deliveries.iter().filter(|row| row.mailbox.is_some()).filter(is_first).count();
                self.cache.put(item.no, message, copies);
            }
            for row in &item.deliveries {
                let Some((mailbox, _)) = &row.mailbox else { continue };
                self.scheduler.found_at(mailbox);
                if !is_first(&row) {
                    self.scheduler.add_duplicates(mailbox);
                } else if row.state == DeliveryState::Unknown {
                    self.scheduler.add_look_ups(mailbox);
                } else {
                    self.scheduler.add_ready(mailbox, 1);
                }
            }
        }
        Ok(())
    }
}

fn log_left_out(candidate: &Candidate<Item>, reason: PartialReason, detail: &str) {
    tracing::warn!(
        event = "attachment_left_out",
        item.id = candidate.item.id.0,
        item.no = candidate.no.0,
        reason = reason.name(),
        error = detail,
        "an item is imported without one of its attachments, and its copies say so; if TeleMessage delivers a complete version later, that is imported too"
    );
}

/// The mailboxes of an earlier resolution that stay an item's though nobody resolves to them now, and for which a row may be made:
/// they are at their recorded addresses only where the directory finds them there.
fn to_be_found(candidate: &Candidate<Item>, fresh: &Resolution) -> Vec<Mailbox> {
    let history = &candidate.history;
    let Some(previous) = history.resolution.as_ref().filter(|_| history.copies_sent()) else { return Vec::new() };
    let fresh: HashSet<&MailboxId> = fresh.mailboxes().into_iter().map(|(mailbox, _)| &mailbox.id).collect();
    let may_get_a_row = |mailbox: &Mailbox| {
        let of = |row: &&DeliveryRow| matches!(&row.target, Target::Mailbox(id) if *id == mailbox.id);
        history.rows.iter().find(of).is_none_or(|row| row.state == DeliveryState::Failed)
    };
    let kept = previous.mailboxes().into_iter().map(|(mailbox, _)| mailbox);
    kept.filter(|mailbox| !fresh.contains(&mailbox.id) && may_get_a_row(mailbox)).cloned().collect()
}

/// An item's rows of its own take the place of those that an earlier run made; what is still pending is so since then.
fn own_rows<I>(candidate: &Candidate<I>, state: ItemState, mut deliveries: Vec<NewDelivery>) -> Prepared {
    let replaced: Vec<_> = candidate.history.rows.iter().filter(|row| !row.is_for_mailbox()).collect();
    for row in deliveries.iter_mut().filter(|row| row.state == DeliveryState::Pending) {
        let earlier = |other: &&&DeliveryRow| other.state == DeliveryState::Pending && other.target == row.target;
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
        capture: None,
    }
}

fn log_held<I>(candidate: &Candidate<I>, id: Option<ItemId>, reason: Reason, detail: &str) {
    tracing::info!(
        event = "item_failed",
        item.id = id.map(|id| id.0),
        item.no = candidate.no.0,
        item.key = %candidate.key,
        reason = reason.name(),
        "an item is held: {detail}"
    );
}
