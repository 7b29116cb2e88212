//! An item on its way from staging to its deliveries.

use chrono::{DateTime, Utc};

use super::message_cache::Room;
use crate::convert::StagedAttachment;
use crate::item::read::Malformed;
use crate::item::{Item, ItemKey};
use crate::ledger::{
    AttachmentRecord, AttachmentState, DeliveryRow, DeliveryState, ItemNo, ItemRecord, RowReason, Target,
};
use crate::reason::Reason;
use crate::resolution::Resolution;
use crate::window::Window;

/// An item to be prepared; when it was read and found importable, a `Candidate<Item>`.
#[derive(Debug)]
pub(super) struct Candidate<I = Result<Item, Malformed>> {
    pub(super) no: ItemNo,
    pub(super) key: ItemKey,
    pub(super) window: Window,
    pub(super) staged_at: DateTime<Utc>,
    pub(super) item: I,
    pub(super) attachments: Vec<AttachmentRecord>,
    /// The item's content, where it is in memory.
    pub(super) content: Option<Content>,
    /// What an earlier run made of it.
    pub(super) history: History,
    /// Where to read it back from.
    pub(super) record: Option<ItemRecord>,
}

/// The bytes of an item's attachments, and the room that they take.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) attachments: Vec<StagedAttachment>,
    pub(super) room: Room,
}

/// What an earlier run made of an item.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) resolution: Option<Resolution>,
    pub(super) rows: Vec<DeliveryRow>,
    /// The attachments' record changed since it was last recorded.
    pub(super) attachments_changed: bool,
}

impl History {
    /// Whether a copy may have been sent: any row for a mailbox that isn't certain not to have been.
    pub(super) fn copies_sent(&self) -> bool {
        self.rows.iter().any(|row| row.is_for_mailbox() && row.state != DeliveryState::Failed)
    }

    /// Whether a copy was given up, perhaps before it could be looked up.
    pub(super) fn was_given_up(&self, target: &Target) -> bool {
        let given_up = Some(RowReason::Failed(Reason::MailboxUnavailable));
        self.rows.iter().any(|row| row.target == *target && row.reason == given_up)
    }
}

impl<I> Candidate<I> {
    /// The candidate without its item, and the item.
    pub(super) fn split(self) -> (Candidate<()>, I) {
        let Self { no, key, window, staged_at, item, attachments, content, history, record } = self;
        (Candidate { no, key, window, staged_at, item: (), attachments, content, history, record }, item)
    }

    /// The same candidate with another item.
    pub(super) fn with_item<J>(self, item: J) -> Candidate<J> {
        let Self { no, key, window, staged_at, attachments, content, history, record, .. } = self;
        Candidate { no, key, window, staged_at, item, attachments, content, history, record }
    }

    /// The length of the attachments as they really are, in bytes.
    pub(super) fn attached_size(&self) -> u64 {
        self.attachments.iter().map(|attachment| attachment.size).sum()
    }

    /// An attachment that may still come.
    pub(super) fn awaited(&self) -> Option<(usize, &str)> {
        self.attachments.iter().enumerate().find_map(|(index, attachment)| match &attachment.state {
            AttachmentState::Awaited { detail } => Some((index, detail.as_str())),
            _ => None,
        })
    }
}
