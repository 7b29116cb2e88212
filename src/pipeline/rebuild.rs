//! Rebuilding a lost ledger from staging and the mailboxes.
//!
//! 1. Staged pages are read in the order in which they were staged, and their items recorded and prepared as if they had
//!    just come; then what is held beyond its window. Every copy is recorded as of unknown outcome.
//! 2. What the next run begins with is recorded: never later than what was certainly read.
//! 3. The staging area is taken over. Until here any other run of any ledger on it is refused, and nothing was sent.
//! 4. Each copy is looked up in its mailbox. What is there is imported; what is absent is sent.
//!
//! Broken off anywhere, it is begun again: what is recorded is a repeat, and what may have been sent is looked up.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::capture::{self, Capture};
use super::deliver::Deliverer;
use super::load::inline_attachments;
use super::pull::Puller;
use super::{Pipeline, RunError};
use crate::digest::Digest;
use crate::failpoint;
use crate::item::read::peek_received;
use crate::item::{AttachmentDeclaration, Item, ItemKey};
use crate::ledger::{AttachmentRecord, AttachmentState, PageRecord};
use crate::source::Cursor;
use crate::staging::contents::{Attempt, Held, StagedFile, StagedPage};
use crate::staging::{BlobName, StagingError};
use crate::window::Window;

/// The largest page that is read, in bytes: more than any source stages.
const MAX_PAGE: u64 = 256 << 20;

/// The longest reason of [`BlobName::wrong_attachment`] that is read, in bytes.
const MAX_REASON: u64 = 64 << 10;

/// An item's staged attachments, by their index: the blobs of its tries in their order, and why the last is wrong.
type Files = BTreeMap<usize, Tries>;

#[derive(Debug, Default)]
struct Tries {
    blobs: Vec<BlobName>,
    wrong: Option<BlobName>,
}

/// Where items lie.
struct StagedBlob<'a> {
    window: Window,
    blob: &'a BlobName,
    body: &'a Bytes,
}

impl Puller {
    /// Records everything that is staged, and from where the next run reads on.
    pub(super) async fn read_staging(&self) -> Result<(), RunError> {
        let pipeline = &self.pipeline;
        let staging = &pipeline.deps.staging;
        // A process that waited while another one rebuilt the same ledger finds it in use now.
        if !pipeline.deps.ledger.is_rebuildable().await? {
            return Err(RunError::NotRebuildable);
        }
        let list = |prefix: &'static str| pipeline.retrier.run("listing staging", move || staging.list(prefix));
        let marks = pipeline.regular_windows().await?;
        let mut windows: BTreeMap<(DateTime<Utc>, DateTime<Utc>), Vec<StagedPage>> = BTreeMap::new();
        for page in list("windows/").await?.iter().filter_map(|(name, _)| StagedPage::parse(name)) {
            windows.entry((page.window.from, page.window.to)).or_default().push(page);
        }
        if let (Some((&(from, _), _)), Some(to)) = (windows.first_key_value(), windows.keys().map(|(_, to)| *to).max())
        {
            pipeline.deps.ledger.set_run_window(&self.run, Window { from, to }).await?;
        }
        let mut unreadable = Vec::new();
        let mut unreadable_pages = 0;
        for (&(from, to), pages) in &mut windows {
            pages.sort_by_key(|page| (page.cursor, page.digest));
            let failed = self.read_staged_window(Window { from, to }, pages).await?;
            if failed > 0 {
                unreadable.push(Window { from, to });
                unreadable_pages += failed;
            }
        }
        self.read_held(list("held/").await?.into_iter().map(|(name, _)| name)).await?;

        let with_pages: Vec<Window> = windows.keys().map(|&(from, to)| Window { from, to }).collect();
        let now = pipeline.now();
        let watermark = watermark(&marks, &unreadable);
        // What is older may have been purged.
        let kept = pipeline.cutoff().unwrap_or(DateTime::<Utc>::MIN_UTC);
        let knows_from = knows_from(&marks, &with_pages, &unreadable, now).max(kept);
        let rebuilt_until = marks.iter().map(|window| window.from).max();
        pipeline.deps.ledger.finish_rebuilding(knows_from, rebuilt_until, watermark).await?;
        tracing::info!(
            event = "staging_read",
            windows = windows.len(),
            watermark = watermark.map(tracing::field::display),
            knows_from = %knows_from,
            "everything that is staged is recorded"
        );
        self.unreadable_pages.store(unreadable_pages, Ordering::Relaxed);
        Ok(())
    }

    /// Records a window's pages; returns how many could not be read.
    async fn read_staged_window(&self, window: Window, pages: &[StagedPage]) -> Result<u64, RunError> {
        let pipeline = &self.pipeline;
        let staging = &pipeline.deps.staging;
        let prefix = format!("windows/{}/attachments/", window.staging_name());
        let names = pipeline.retrier.run("listing staging", || staging.list(&prefix)).await?;
        let files = by_item(names.iter().filter_map(|(name, _)| StagedFile::parse(name)));
        let mut failed = 0;
        for page in pages {
            if pipeline.stop.is_cancelled() {
                return Err(RunError::Stopped);
            }
            match self.read_staged_page(page).await? {
                Ok((body, items)) => {
                    let place = StagedBlob { window, blob: &page.name, body: &body };
                    self.take_staged(&place, &items, &files).await?;
                    failpoint::pass(failpoint::PAGE_RECORDED);
                }
                Err(detail) => {
                    tracing::error!(event = "page_unreadable", page = %page.name, error = %detail, "a staged page can't be read; its window is read again from the source");
                    failed += 1;
                }
            }
        }
        Ok(failed)
    }

    /// A page and where its items lie; or what is wrong with it.
    async fn read_staged_page(
        &self,
        page: &StagedPage,
    ) -> Result<Result<(Bytes, Vec<std::ops::Range<usize>>), String>, RunError> {
        let deps = &self.pipeline.deps;
        let get = || deps.staging.get(&page.name, MAX_PAGE);
        let body = match self.pipeline.retrier.run("reading a staged page", get).await {
            Ok(body) => body,
            Err(
                error @ (StagingError::NotFound { .. } | StagingError::Damaged { .. } | StagingError::TooLarge { .. }),
            ) => return Ok(Err(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        if Digest::of(&body) != page.digest {
            return Ok(Err("its SHA-256 is not the one in its name".to_owned()));
        }
        Ok(deps.source.split(&body).map(|items| (body, items)).map_err(|error| error.to_string()))
    }

    /// Records items that are held and whose window is purged.
    async fn read_held(&self, names: impl Iterator<Item = BlobName>) -> Result<(), RunError> {
        let mut items: BTreeMap<ItemKey, Files> = BTreeMap::new();
        for name in names {
            match Held::parse(&name) {
                Some(Held::Item(key)) => drop(items.entry(key).or_default()),
                Some(Held::Attachment(key, index)) => {
                    items.entry(key).or_default().entry(index).or_default().blobs.push(name);
                }
                None => {}
            }
        }
        let deps = &self.pipeline.deps;
        let keys: Vec<ItemKey> = items.keys().copied().collect();
        let known = deps.ledger.known(&keys).await?;
        for (key, files) in items.into_iter().filter(|(key, _)| !known.contains(key)) {
            if self.pipeline.stop.is_cancelled() {
                return Err(RunError::Stopped);
            }
            let blob = BlobName::held_item(key);
            let get = || deps.staging.get(&blob, MAX_PAGE);
            let body = match self.pipeline.retrier.run("reading a held item", get).await {
                // An attachment alone: its item has its outcome, and is being cleared away.
                Err(StagingError::NotFound { .. }) => continue,
                other => other?,
            };
            if Digest::of(&body) != key.0 {
                tracing::error!(event = "held_item_damaged", item.key = %key, "a held item's SHA-256 is not the one in its name; it is left out");
                continue;
            }
            // Its window is not known any more; its receiving time is.
            let now = self.pipeline.now();
            let from = peek_received(&body, now).unwrap_or(now);
            let window = Window { from, to: from + chrono::Duration::milliseconds(1) };
            let place = StagedBlob { window, blob: &blob, body: &body };
            let whole = 0..body.len();
            self.take_staged(&place, std::slice::from_ref(&whole), &HashMap::from([(key, files)])).await?;
        }
        Ok(())
    }

    /// Records the items of a page that the ledger doesn't know yet, and hands them on.
    async fn take_staged(
        &self,
        place: &StagedBlob<'_>,
        items: &[std::ops::Range<usize>],
        files: &HashMap<ItemKey, Files>,
    ) -> Result<(), RunError> {
        let (deps, retrier) = (&self.pipeline.deps, &self.pipeline.retrier);
        // When it was staged is not on record. Now is later, so that what could be read then can be read now.
        let now = self.pipeline.now().max(place.window.to);
        let mut captures = Vec::new();
        for found in capture::unknown(&deps.ledger, place.body, items).await? {
            let raw = place.body.get(found.range.clone()).unwrap_or_default();
            let item = Item::read(raw, now);
            let attachments = match &item {
                Ok(item) => self.staged_attachments(item, raw, files.get(&found.key)).await?,
                Err(_) => Vec::new(),
            };
            captures.push(Capture::new(found, raw, item, (attachments, None), place.window, now));
        }
        let (records, candidates) = capture::split(captures);
        let page = PageRecord {
            run: &self.run,
            window: place.window,
            page: Some(place.blob),
            next: Cursor::default(),
            moves_cursor: false,
            items: &records,
            repeated: (items.len() - candidates.len()) as u64,
            late: 0,
            bytes: 0,
            holder: &deps.holder,
            claim_until: self.leases.claim_until(),
            now,
        };
        let numbers = retrier.run("recording a page", || deps.ledger.record_page(&page)).await?;
        self.hand_on(candidates, numbers).await
    }

    /// The records of an item's attachments as they lie in staging. What isn't there is asked for by the next run.
    async fn staged_attachments(
        &self,
        item: &Item,
        raw: &[u8],
        files: Option<&Files>,
    ) -> Result<Vec<AttachmentRecord>, RunError> {
        let mut records = Vec::with_capacity(item.attachments.len());
        for (index, (declared, inline)) in item.attachments.iter().zip(inline_attachments(item, raw)).enumerate() {
            let tries = files.and_then(|files| files.get(&index)).filter(|tries| !tries.blobs.is_empty());
            records.push(match (inline, tries) {
                (Some(inline), _) => inline.record,
                (None, Some(tries)) => self.staged_attachment(declared, tries).await?,
                (None, None) => not_staged(),
            });
        }
        Ok(records)
    }

    /// Of the tries of an attachment the one of the declared digest, else the last.
    async fn staged_attachment(
        &self,
        declared: &AttachmentDeclaration,
        tries: &Tries,
    ) -> Result<AttachmentRecord, RunError> {
        let mut last = None;
        for blob in tries.blobs.iter().rev() {
            let (size, digest) = self.pipeline.length_and_digest(blob).await?;
            if declared.digest.is_none() || declared.digest == Some(digest) {
                let state = match &tries.wrong {
                    Some(wrong) if declared.digest.is_none() => {
                        let detail = self.reason(wrong).await?;
                        AttachmentState::Corrupt { blob: blob.as_str().to_owned(), detail }
                    }
                    _ => AttachmentState::Staged { blob: blob.as_str().to_owned() },
                };
                return Ok(AttachmentRecord { state, size, digest: Some(digest) });
            }
            last.get_or_insert((blob, size, digest));
        }
        let (Some((blob, size, digest)), Some(expected)) = (last, declared.digest) else {
            return Ok(not_staged());
        };
        let detail = format!("its SHA-256 is {digest}, declared was {expected}");
        let state = AttachmentState::Corrupt { blob: blob.as_str().to_owned(), detail };
        Ok(AttachmentRecord { state, size, digest: Some(digest) })
    }

    async fn reason(&self, blob: &BlobName) -> Result<String, RunError> {
        let staging = &self.pipeline.deps.staging;
        let get = || staging.get(blob, MAX_REASON);
        let bytes = self.pipeline.retrier.run("reading a staged attachment", get).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Pipeline {
    /// Takes the staging area over, then looks up and sends, where everything before went well.
    pub(super) async fn deliver_rebuilt(
        &self,
        deliverer: Deliverer,
        recorded: bool,
        filled: CancellationToken,
    ) -> Result<(), RunError> {
        if !recorded || self.stop.is_cancelled() {
            return Ok(());
        }
        // An "absent" counts only when what the lost ledger's process sent last has settled.
        let noted = self.settled_at();
        self.take_over_staging().await?;
        failpoint::pass(failpoint::STAGING_TAKEN_OVER);
        for settled in self.waits_until_settled(noted) {
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                () = self.deps.clock.sleep_until(settled) => {}
            }
        }
        deliverer.deliver_all(filled).await
    }
}

fn not_staged() -> AttachmentRecord {
    let state = AttachmentState::Awaited { detail: "it is not in staging".to_owned() };
    AttachmentRecord { state, size: 0, digest: None }
}

/// A window's attachments by their items.
fn by_item(staged: impl Iterator<Item = StagedFile>) -> HashMap<ItemKey, Files> {
    let mut staged: Vec<StagedFile> = staged.collect();
    staged.sort_by_key(|file| file.attempt);
    let mut files: HashMap<ItemKey, Files> = HashMap::new();
    for file in staged {
        let tries = files.entry(file.item).or_default().entry(file.index).or_default();
        match file.attempt {
            Attempt::Bytes(_) => tries.blobs.push(file.name),
            Attempt::WrongBytes => tries.wrong = Some(file.name),
        }
    }
    files
}

/// Where the next run begins: with the last window that the schedule began, because all before it were read to their ends; and
/// with the first one of which something can't be read. Without any, as a new installation does.
fn watermark(marks: &[Window], unreadable: &[Window]) -> Option<DateTime<Utc>> {
    let last = marks.iter().map(|window| window.from).max()?;
    unreadable.iter().map(|window| window.from).chain([last]).min()
}

/// From when on all that was received is in staging: from the end of the oldest window in a row of windows that have pages, up to
/// the last one that was begun. (The oldest itself may be half purged, and one without pages may be purged whole.)
fn knows_from(marks: &[Window], with_pages: &[Window], unreadable: &[Window], now: DateTime<Utc>) -> DateTime<Utc> {
    let mut marks = marks.to_vec();
    marks.sort_by_key(|window| std::cmp::Reverse(window.from));
    let is_whole = |window: &Window| with_pages.contains(window) && !unreadable.contains(window);
    let mut known: Option<Window> = None;
    for window in marks {
        let follows = known.is_none_or(|later| window.to >= later.from);
        match known {
            // The last one may have been begun and nothing more.
            None if !is_whole(&window) => return window.from.min(now),
            Some(_) if !follows || !is_whole(&window) => break,
            _ => known = Some(window),
        }
    }
    known.map_or(now, |oldest| oldest.to.min(now))
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    fn day(number: u32) -> Window {
        let from = Utc.with_ymd_and_hms(2026, 11, number, 2, 0, 0).unwrap();
        Window { from, to: from + chrono::Duration::hours(24) }
    }

    fn now() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 11, 22, 3, 0, 0).unwrap()
    }

    #[test]
    fn reading_goes_on_where_it_was_certain() {
        assert_eq!(watermark(&[], &[]), None);
        assert_eq!(watermark(&[], &[day(3)]), None);
        assert_eq!(watermark(&[day(20), day(19)], &[]), Some(day(20).from));
        assert_eq!(watermark(&[day(20), day(19)], &[day(18), day(19)]), Some(day(18).from));
    }

    #[test]
    fn only_an_unbroken_row_of_windows_is_known() {
        let marks = [day(17), day(18), day(19), day(20)];
        assert_eq!(knows_from(&marks, &marks, &[], now()), day(17).to);
        assert_eq!(knows_from(&marks, &[day(17), day(19), day(20)], &[], now()), day(19).to);
        assert_eq!(knows_from(&marks, &marks, &[day(18)], now()), day(19).to);
        assert_eq!(knows_from(&marks, &marks[..3], &[], now()), day(20).from);
        assert_eq!(knows_from(&[day(17), day(19), day(20)], &marks, &[], now()), day(19).to);
        assert_eq!(knows_from(&[], &marks, &[], now()), now());
        assert_eq!(knows_from(&[day(22)], &[day(22)], &[], now()), now());
    }
}
