//! Pulling: windows page by page, each page staged before its items are recorded, recorded before the cursor moves.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use chrono::{DateTime, Duration, SecondsFormat, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;

use super::attachments::AttachmentAt;
use super::candidate::{Candidate, Content};
use super::capture::{self, Capture, Found};
use super::leases::Leases;
use super::load::inline_attachments;
use super::message_cache::MessageCache;
use super::{Pipeline, RunError, RunRequest, prepare};
use crate::convert::StagedAttachment;
use crate::digest::Digest;
use crate::failpoint;
use crate::fault::Fault;
use crate::fault::tried::SayTried as _;
use crate::item::{Item, ItemKey};
use crate::ledger::{AttachmentRecord, AttachmentState, ItemNo, PageRecord, RunId, StoredWindow};
use crate::metrics::CountedPage;
use crate::schedule::{self, Begin, PLAUSIBLE_SKEW, PlannedWindow};
use crate::source::{Cursor, Page, SourceError};
use crate::staging::BlobName;
use crate::window::Window;

/// What pulling needs beside the pipeline.
pub(super) struct Puller {
    pub(super) pipeline: Pipeline,
    pub(super) run: RunId,
    pub(super) leases: Arc<Leases>,
    pub(super) cache: Arc<MessageCache>,
    /// Where new items go.
    pub(super) items: mpsc::Sender<Vec<Candidate>>,
    /// How many staged pages a rebuild could not read.
    pub(super) unreadable_pages: Arc<AtomicU64>,
}

impl Pipeline {
    /// Where reading ends now.
    fn horizon(&self, source_time: Option<DateTime<Utc>>) -> DateTime<Utc> {
        self.settings.schedule.horizon(self.now(), source_time)
    }

    /// The present, by the earlier of our clock and the source's; nothing where the source doesn't answer now.
    pub(super) async fn present_at_the_source(&self) -> Option<DateTime<Utc>> {
        let theirs = self.deps.source.log_in().await.ok()?;
        Some(schedule::earlier(self.now(), theirs))
    }
}

/// No window is to be read. That is fine where a run follows another one at once, or two clocks differ by a little; else one of them is
/// behind, and nothing new is read for as long.
fn nothing_to_read(watermark: DateTime<Utc>, horizon: DateTime<Utc>, settle: Duration) -> Result<(), RunError> {
    // With `settle`, which may be longer than it was: what was read lies in the past by any clock that is right.
    if watermark - (horizon + settle) > Duration::minutes(1) {
        return Err(RunError::ClockBehind { watermark, horizon });
    }
    tracing::info!(event = "nothing_to_read", watermark = %watermark, "everything up to now was read already");
    Ok(())
}

/// A window being read.
struct Reading {
    stored: StoredWindow,
    /// A regular window's cursor is durable, and its end moves the watermark.
    regular: bool,
    page_size: usize,
    /// When this run began on it.
    began: DateTime<Utc>,
}

impl Puller {
    /// Pulls what a request is about.
    pub(super) async fn pull(self, request: RunRequest) -> Result<(), RunError> {
        match request {
            RunRequest::Regular => self.pull_regular().await,
            RunRequest::Backfill(window) => self.pull_backfill(window).await,
            RunRequest::Retry(_) | RunRequest::Restore => Ok(()),
            RunRequest::Rebuild => self.read_staging().await,
        }
    }

    /// Reads from the watermark to now: first the window that an earlier run left unfinished.
    async fn pull_regular(&self) -> Result<(), RunError> {
        let pipeline = &self.pipeline;
        let ledger = &pipeline.deps.ledger;
        let source_time = pipeline.retrier.run("logging in at the source", || pipeline.deps.source.log_in()).await?;
        if clocks_differ(pipeline.now(), source_time) {
            pipeline.source_health.note_clocks_differ();
        }
        let mut begin = None;
        let mut end = None;
        if let Some(open) = ledger.open_window().await? {
            begin = Some(open.window.from);
            end = Some(open.window.to);
            ledger.set_run_window(&self.run, open.window).await?;
            self.read_window(open, true).await?;
        }
        let watermark = ledger.watermark().await?;
        if watermark.is_none() {
            self.refuse_future_begin(source_time)?;
        }
        for planned in self.plan(watermark, source_time).await? {
            let whole = Window { from: *begin.get_or_insert(planned.window.from), to: planned.window.to };
            end = Some(planned.window.to);
            ledger.set_run_window(&self.run, whole).await?;
            let stored =
                StoredWindow { window: planned.window, read_from: planned.read_from, cursor: Cursor::default() };
            let mark = BlobName::regular_window(planned.window);
            let put = || pipeline.deps.staging.put(&mark, Bytes::new());
            pipeline.retrier.run("marking a window", put).await?;
            ledger.begin_window(&self.run, &stored).await?;
            self.read_window(stored, true).await?;
        }
        match watermark {
            Some(watermark) if end.is_none() => {
                nothing_to_read(watermark, pipeline.horizon(source_time), pipeline.settings.schedule.settle)
            }
            _ => Ok(()),
        }
    }

    /// Fails where the first window is to begin in the future: it would move the watermark past everything that is there to be read.
    fn refuse_future_begin(&self, source_time: Option<DateTime<Utc>>) -> Result<(), RunError> {
        let present = schedule::earlier(self.pipeline.now(), source_time);
        match self.pipeline.settings.schedule.begin {
            Begin::At(start_from) if start_from > present => Err(RunError::BeginsInTheFuture { start_from, present }),
            _ => Ok(()),
        }
    }

    /// The windows to read. A source without windows is read whole in each run, whatever its span is called.
    async fn plan(
        &self,
        watermark: Option<DateTime<Utc>>,
        source_time: Option<DateTime<Utc>>,
    ) -> Result<Vec<PlannedWindow>, RunError> {
        let pipeline = &self.pipeline;
        let schedule = &pipeline.settings.schedule;
        let now = pipeline.now();
        if pipeline.deps.source.has_windows() {
            let first_start = pipeline.deps.ledger.first_start_before(&self.run).await?;
            return Ok(schedule.windows(watermark, pipeline.horizon(source_time), first_start));
        }
        let begin = || Some(schedule.windows(None, now, None).first()?.window.from);
        let from = watermark.or_else(begin).unwrap_or(now).min(now);
        let to = now.max(from + Duration::milliseconds(1));
        Ok(vec![PlannedWindow { window: Window { from, to }, read_from: from }])
    }

    /// Reads a stated window, in steps of 24 hours.
    async fn pull_backfill(&self, whole: Window) -> Result<(), RunError> {
        let pipeline = &self.pipeline;
        pipeline.retrier.run("logging in at the source", || pipeline.deps.source.log_in()).await?;
        pipeline.deps.ledger.set_run_window(&self.run, whole).await?;
        for planned in schedule::steps(whole) {
            let stored =
                StoredWindow { window: planned.window, read_from: planned.read_from, cursor: Cursor::default() };
            self.read_window(stored, false).await?;
        }
        Ok(())
    }

    /// Reads a window from its cursor to its end; a regular one moves the watermark then.
    async fn read_window(&self, stored: StoredWindow, regular: bool) -> Result<(), RunError> {
        let pipeline = &self.pipeline;
        let (page_size, began) = (pipeline.deps.source.page_size(), pipeline.now());
        let mut reading = Reading { stored, regular, page_size, began };
        tracing::info!(
            event = "window_started",
            window.from = %shown(reading.stored.window.from),
            window.to = %shown(reading.stored.window.to),
            cursor = reading.stored.cursor.0,
            "reading a window"
        );
        loop {
            if pipeline.stop.is_cancelled() {
                return Err(RunError::Stopped);
            }
            let page = self.fetch_page(&mut reading).await?;
            let (next, end) = (page.next, page.end);
            self.take_page(&reading, page).await?;
            reading.stored.cursor = next;
            if end {
                break;
            }
        }
        failpoint::pass(failpoint::WINDOW_READ);
        if reading.regular {
            pipeline.deps.ledger.finish_window(reading.stored.window).await?;
        }
        tracing::info!(event = "window_read", cursor = reading.stored.cursor.0, "the window was read to its end");
        Ok(())
    }

    /// Fetches the page after the cursor. One that can't be read is asked for again with half the limit, down to one item,
    /// so that one item can't block a day.
    async fn fetch_page(&self, reading: &mut Reading) -> Result<Page, RunError> {
        let pipeline = &self.pipeline;
        let StoredWindow { window, read_from, cursor } = reading.stored;
        let asked = Window { from: read_from, to: window.to };
        let mut pauses = pipeline.settings.retry.pauses();
        let (mut attempt, began) = (1, pipeline.now());
        loop {
            let page = pipeline.deps.source.page(asked, cursor, reading.page_size);
            let page = pipeline.stop.run_until_cancelled(page).await.ok_or(RunError::Stopped)?;
            let error = match page {
                Ok(page) => {
                    // A page that could be read at a smaller size says nothing of those after it.
                    reading.page_size = (reading.page_size * 2).min(pipeline.deps.source.page_size());
                    return Ok(page);
                }
                Err(error) => error,
            };
            let failed = |error: SourceError| RunError::SourceAt { window, cursor, error };
            let Fault::Retry { after } = Fault::from(&error) else { return Err(failed(error)) };
            let halve = matches!(error, SourceError::PageUnreadable { .. } | SourceError::Unavailable(_));
            if halve && reading.page_size > 1 {
                reading.page_size /= 2;
                if matches!(error, SourceError::PageUnreadable { .. }) {
                    tracing::warn!(event = "page_halved", cursor = cursor.0, limit = reading.page_size, error = %error, "asking for a smaller page");
                    continue;
                }
            }
            if let Some(until) = pipeline.retrier.is_too_long(after) {
                return Err(failed(error.not_before(until)));
            }
            let Some(pause) = pauses.next() else {
                return Err(failed(error.after(pipeline.retrier.tried(attempt, began))));
            };
            if !pipeline.retrier.pause("reading a page", attempt, after.unwrap_or(pause).max(pause), &error).await {
                return Err(RunError::Stopped);
            }
            attempt += 1;
        }
    }

    /// 1. Tells new items from known ones. 2. Stages the page, where anything in it is new. 3. Stages attachments.
    /// 4. Records items, counts and cursor. 5. Hands the items on.
    async fn take_page(&self, reading: &Reading, page: Page) -> Result<(), RunError> {
        let pipeline = &self.pipeline;
        let window = reading.stored.window;
        let unknown = capture::unknown(&pipeline.deps.ledger, &page.body, &page.items).await?;
        // A clock that was set back meanwhile makes no time impossible that had passed before.
        let now = pipeline.now().max(reading.began);
        let mut staged = None;
        let mut captures = Vec::new();
        if !unknown.is_empty() {
            let name = BlobName::page(window, reading.stored.cursor, Digest::of(&page.body));
            pipeline.retrier.run("staging a page", || pipeline.deps.staging.put(&name, page.body.clone())).await?;
            failpoint::pass(failpoint::PAGE_STAGED);
            captures = self.read_items(window, now, &page.body, unknown).await?;
            staged = Some(name);
        }

        let repeated = page.items.len() - captures.len();
        let has_overlap = reading.regular && pipeline.deps.source.has_windows();
        let late = if has_overlap { captures.iter().filter(|capture| capture.is_late(window)).count() } else { 0 };
        let bytes = page.body.len() as u64 + captures.iter().map(Capture::bytes_beside).sum::<u64>();
        let (records, candidates) = capture::split(captures);
        let numbers = pipeline
            .deps
            .ledger
            .record_page(&PageRecord {
                run: &self.run,
                window,
                page: staged.as_ref(),
                next: page.next,
                moves_cursor: reading.regular,
                items: &records,
                repeated: repeated as u64,
                late: late as u64,
                bytes,
                holder: &pipeline.deps.holder,
                claim_until: self.leases.claim_until(),
                now,
            })
            .await?;
        failpoint::pass(failpoint::PAGE_RECORDED);
        tracing::info!(
            event = "page_staged",
            cursor = page.next.0,
            items.new = candidates.len(),
            items.repeated = repeated,
            bytes,
            "a page is staged and recorded"
        );
        if let Some(metrics) = &pipeline.metrics {
            let staged_bytes = if staged.is_some() { bytes } else { 0 };
            metrics.page_recorded(CountedPage { new: candidates.len(), late, repeated, staged_bytes });
        }
        if candidates.is_empty() {
            pipeline.progress.add_known(page.passed);
            return Ok(());
        }
        // While its items wait to be prepared, its bytes need not.
        drop(page);
        self.hand_on(candidates, numbers).await
    }

    /// Hands captures on to be prepared.
    pub(super) async fn hand_on(&self, candidates: Vec<Candidate>, numbers: Vec<ItemNo>) -> Result<(), RunError> {
        self.pipeline.progress.add_items(candidates.len());
        for batch in prepare::batches(capture::numbered(candidates, numbers)) {
            // Why preparing ended is the run's error.
            self.items.send(batch).await.map_err(|_| RunError::Stopped)?;
        }
        Ok(())
    }

    /// Reads a page's new items and stages their attachments, several at the same time, in order.
    async fn read_items(
        &self,
        window: Window,
        now: DateTime<Utc>,
        body: &Bytes,
        unknown: Vec<Found>,
    ) -> Result<Vec<Capture>, RunError> {
        let downloads = self.pipeline.settings.downloads.max(1);
        futures_util::stream::iter(unknown)
            .map(|found| self.read_item(window, now, body, found))
            .buffered(downloads)
            .try_collect()
            .await
    }

    async fn read_item(
        &self,
        window: Window,
        now: DateTime<Utc>,
        body: &Bytes,
        found: Found,
    ) -> Result<Capture, RunError> {
        let raw = body.get(found.range.clone()).unwrap_or_default();
        let item = Item::read(raw, now);
        let attachments = match &item {
            Ok(item) => {
                super::unrecognized::warn(item, found.key);
                self.take_attachments(window, found.key, item, raw).await?
            }
            Err(_) => (Vec::new(), None),
        };
        Ok(Capture::new(found, raw, item, attachments, window, now))
    }

    /// Stages an item's attachments, and keeps their bytes where there is space for them.
    async fn take_attachments(
        &self,
        window: Window,
        key: ItemKey,
        item: &Item,
        raw: &[u8],
    ) -> Result<(Vec<AttachmentRecord>, Option<Content>), RunError> {
        let mut records = Vec::with_capacity(item.attachments.len());
        let mut bodies = Vec::with_capacity(item.attachments.len());
        let mut size = item.text.len() as u64;
        for (index, (declared, inline)) in item.attachments.iter().zip(inline_attachments(item, raw)).enumerate() {
            let fetched = if let Some(inline) = inline {
                inline
            } else {
                let at = AttachmentAt { item: item.id, key, index, window };
                self.pipeline.stage_attachment(at, declared).await?
            };
            size += fetched.record.size;
            records.push(fetched.record);
            bodies.push(fetched.bytes);
            if size > self.pipeline.settings.max_item_size {
                // It won't be imported, so its bytes need not be in memory.
                bodies.fill(None);
            }
        }
        let content = keep(&records, bodies).filter(|attachments| !attachments.is_empty()).and_then(|attachments| {
            let room = self.cache.try_room(size)?;
            Some(Content { attachments, room })
        });
        Ok((records, content))
    }
}

/// The attachments for conversion, where all the bytes that it needs are in memory.
fn keep(records: &[AttachmentRecord], bodies: Vec<Option<Bytes>>) -> Option<Vec<StagedAttachment>> {
    records
        .iter()
        .zip(bodies)
        .map(|(record, bytes)| match (&record.state, bytes, record.digest) {
            (AttachmentState::Inline | AttachmentState::Staged { .. }, Some(bytes), Some(digest)) => {
                Some(StagedAttachment::Present { bytes, digest })
            }
            (AttachmentState::Inline | AttachmentState::Staged { .. }, ..) => None,
            (other, ..) => Some(super::load::absent(other)),
        })
        .collect()
}

/// Whether our clock and the source's differ, and says so. The earlier one counts, so that nothing is passed over.
fn clocks_differ(now: DateTime<Utc>, source_time: Option<DateTime<Utc>>) -> bool {
    let Some(theirs) = source_time.filter(|theirs| (*theirs - now).abs() > PLAUSIBLE_SKEW) else { return false };
    tracing::error!(
        event = "clocks_differ",
        clock.ours = %shown(now),
        clock.source = %shown(theirs),
        "the clocks of this machine and of the source differ by more than an hour; the earlier one counts, and nothing is purged, until that is fixed"
    );
    true
}

/// An instant in the log: no finer than the ledger keeps it.
fn shown(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Millis, true)
}
