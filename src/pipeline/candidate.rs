//! An item on its way from staging to its deliveries.

use chrono::{DateTime, Utc};

use super::memory::Space;
use crate::convert::StagedAttachment;
use crate::fault::Reason;
use crate::item::read::Malformed;
use crate::item::{Item, ItemKey};
use crate::ledger::{AttachmentRecord, AttachmentState, DeliveryRow, DeliveryState, ItemNo, ItemRecord};
use crate::resolve::Resolution;
use crate::window::Window;

/// An item to be prepared.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) no: ItemNo,
    pub(super) key: ItemKey,
    pub(super) window: Window,
    pub(super) staged_at: DateTime<Utc>,
    pub(super) item: Result<Item, Malformed>,
    pub(super) attachments: Vec<AttachmentRecord>,
    /// The item's content, where it is in memory.
    pub(super) content: Option<Content>,
    /// What an earlier run made of it.
    pub(super) history: History,
    /// Where to read it back from.
    pub(super) record: Option<ItemRecord>,
}

/// The bytes of an item's attachments, and the space that they take.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) attachments: Vec<StagedAttachment>,
    pub(super) space: Space,
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
    pub(super) fn was_given_up(&self, target: &str) -> bool {
        let reason = Some(Reason::MailboxUnavailable.name());
        self.rows.iter().any(|row| row.target == target && row.reason.as_deref() == reason)
    }
}

impl Candidate {
    /// The length of the item's content in bytes: the UTF-8 bytes of its text and its attachments as they really are.
    pub(super) fn content_size(&self) -> u64 {
        let text = self.item.as_ref().map_or(0, |item| item.text.len() as u64);
        text + self.attachments.iter().map(|attachment| attachment.size).sum::<u64>()
    }

    /// An attachment that may still come.
    pub(super) fn awaited(&self) -> Option<(usize, &str)> {
        self.attachments.iter().enumerate().find_map(|(index, attachment)| match &attachment.state {
            AttachmentState::Awaited { detail } => Some((index, detail.as_str())),
            _ => None,
        })
    }
}
