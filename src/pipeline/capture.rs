//! Captures: the items of a page that the ledger doesn't know yet, as it records them and as they are prepared.

use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::candidate::{Candidate, Content, History};
use crate::digest::Digest;
use crate::item::read::Malformed;
use crate::item::read::peek_id;
use crate::item::{Item, ItemKey};
use crate::ledger::{AttachmentRecord, AttachmentState, ItemNo, Ledger, LedgerError, NewItem};
use crate::window::Window;

/// An item in a page: what names it, and where it lies.
pub(super) struct Found {
    pub(super) key: ItemKey,
    pub(super) range: Range<usize>,
}

/// An item of a page that the ledger doesn't know.
pub(super) struct Capture {
    new: NewItem,
    candidate: Candidate,
}

impl Capture {
    /// The capture at `found`, of these bytes, that was read as `item` now.
    pub(super) fn new(
        Found { key, range }: Found,
        raw: &[u8],
        item: Result<Item, Malformed>,
        (attachments, content): (Vec<AttachmentRecord>, Option<Content>),
        window: Window,
        now: DateTime<Utc>,
    ) -> Self {
        let read = item.as_ref().ok();
        let new = NewItem {
            key,
            id: read.map(|item| item.id).or_else(|| peek_id(raw)),
            message_id: read.map(|item| item.message_id.clone()),
            owner: read.and_then(|item| item.owner.as_ref()).map(|owner| owner.value.clone()),
            offset: range.start as u64,
            length: range.len() as u64,
            attachments: attachments.clone(),
        };
        let candidate = Candidate {
            no: ItemNo(0),
            key,
            window,
            staged_at: now,
            item,
            attachments,
            content,
            history: History::default(),
            record: None,
        };
        Self { new, candidate }
    }

    /// Found only because the window reads back before its beginning.
    pub(super) fn is_late(&self, window: Window) -> bool {
        let received = self.candidate.item.as_ref().ok().and_then(|item| item.received);
        received.is_some_and(|received| received < window.from)
    }

    /// What of its attachments was staged beside the page, in bytes.
    pub(super) fn bytes_beside(&self) -> u64 {
        let beside = self.new.attachments.iter().filter(|attachment| attachment.state != AttachmentState::Inline);
        beside.map(|attachment| attachment.size).sum()
    }
}

/// The captures as the ledger records them, and as they are prepared.
pub(super) fn split(captures: Vec<Capture>) -> (Vec<NewItem>, Vec<Candidate>) {
    captures.into_iter().map(|capture| (capture.new, capture.candidate)).unzip()
}

/// The items of a page that the ledger doesn't know; of the same capture twice the first.
pub(super) async fn unknown(ledger: &Ledger, body: &Bytes, items: &[Range<usize>]) -> Result<Vec<Found>, LedgerError> {
    let key = |range: &Range<usize>| ItemKey(Digest::of(body.get(range.clone()).unwrap_or_default()));
    let keys: Vec<ItemKey> = items.iter().map(key).collect();
    let mut known = ledger.known(&keys).await?;
    let found = keys.into_iter().zip(items).map(|(key, range)| Found { key, range: range.clone() });
    Ok(found.filter(|found| known.insert(found.key)).collect())
}

/// The candidates under the numbers that the ledger gave them.
pub(super) fn numbered(candidates: Vec<Candidate>, numbers: Vec<ItemNo>) -> Vec<Candidate> {
    candidates.into_iter().zip(numbers).map(|(candidate, no)| Candidate { no, ..candidate }).collect()
}
