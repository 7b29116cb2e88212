//! Deliveries: one row for each item and mailbox, or one of the item's own where it fails before that.
//!
//! | State | Meaning |
//! |---|---|
//! | `ready` | certainly not sent; to be sent in the run of the row |
//! | `sending` | the intent is recorded; its holder may have sent it |
//! | `unknown` | may be there: looked up, from `settle_at` on, before it is sent again |
//! | `pending` | certainly not sent; waits for a later run |
//! | `imported`, `partially_imported`, `skipped_duplicate`, `failed` | its outcome |

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

use super::names::Numbers;
use super::sql;
use super::{ItemNo, LedgerError, RunId};
use crate::convert::Manifest;
use crate::identity::{Identities, Identity};
use crate::reason::Reason;
use crate::resolution::{Mailbox, MailboxId, ResolvedBy};

mod known;
mod queue;
pub(super) mod remote_id;
mod rows;
mod transitions;

pub(super) use queue::{mailboxes_of, read_mailbox};
pub(super) use transitions::{insert, remove};

/// A row without its outcome. The partial index of open rows has the same list: SQLite uses it for no other.
pub(super) const OPEN: &str = "state IN ('ready', 'sending', 'unknown', 'pending')";

/// All deliveries with their items, in words.
pub(super) const WITH_ITEMS: &str =
    "deliveries_in_words AS deliveries JOIN items_in_words AS items ON items.item_no = deliveries.item_no";

/// The numbers of the runs whose processes are at work.
fn live_runs(now: DateTime<Utc>) -> String {
    format!(
        "(SELECT runs.run_no FROM runs JOIN leases ON leases.resource = 'run:' || runs.run_id AND leases.until > {}
          WHERE runs.status = 'running')",
        sql::millis(now)
    )
}

/// What a delivery is of: a copy for a mailbox, or the item's own row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A copy for a mailbox.
    Mailbox(MailboxId),
    /// A participant whom the directory did not answer for; the participant's key.
    Participant(String),
    /// The owner, who is no valid user though others are.
    Owner,
    /// The item as a whole.
    Item,
}

const MAILBOX: &str = "mailbox:";
const PARTICIPANT: &str = "participant:";
const OWNER: &str = "owner";
const ITEM: &str = "item";

impl Target {
    /// The target's name in the ledger.
    pub fn name(&self) -> String {
        match self {
            Self::Mailbox(id) => format!("{MAILBOX}{id}"),
            Self::Participant(key) => format!("{PARTICIPANT}{key}"),
            Self::Owner => OWNER.to_owned(),
            Self::Item => ITEM.to_owned(),
        }
    }

    /// What is kept of it under a number: a mailbox's id, else the whole name.
    pub(super) fn own_name(&self) -> Cow<'_, str> {
        match self {
            Self::Mailbox(id) => Cow::Borrowed(&id.0),
            other => Cow::Owned(other.name()),
        }
    }

    /// The number that stands for it in a row: less than nothing where it isn't a mailbox.
    fn number(&self, numbers: &Numbers) -> Result<i64, LedgerError> {
        let number = numbers.of(&self.own_name())?;
        Ok(if matches!(self, Self::Mailbox(_)) { number } else { -number })
    }

    fn from_name(name: &str) -> Result<Self, LedgerError> {
        if let Some(id) = name.strip_prefix(MAILBOX) {
            return Ok(Self::Mailbox(MailboxId(id.to_owned())));
        }
        if let Some(key) = name.strip_prefix(PARTICIPANT) {
            return Ok(Self::Participant(key.to_owned()));
        }
        match name {
            OWNER => Ok(Self::Owner),
            ITEM => Ok(Self::Item),
            _ => Err(LedgerError::Damaged(format!("a delivery to the unknown target {name:?}"))),
        }
    }

    fn read(row: &AnyRow) -> Result<Self, LedgerError> {
        Self::from_name(&sql::get::<String>(row, "target")?)
    }
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    Ready,
    Sending,
    Unknown,
    Pending,
    Imported,
    PartiallyImported,
    SkippedDuplicate,
    Failed,
}

impl DeliveryState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Ready,
        Self::Sending,
        Self::Unknown,
        Self::Pending,
        Self::Imported,
        Self::PartiallyImported,
        Self::SkippedDuplicate,
        Self::Failed,
    ];

    /// The state's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Sending => "sending",
            Self::Unknown => "unknown",
            Self::Pending => "pending",
            Self::Imported => "imported",
            Self::PartiallyImported => "partially_imported",
            Self::SkippedDuplicate => "skipped_duplicate",
            Self::Failed => "failed",
        }
    }

    /// Whether the delivery has its outcome.
    pub fn has_outcome(self) -> bool {
        !matches!(self, Self::Ready | Self::Sending | Self::Unknown | Self::Pending)
    }

    pub(super) fn from_name(name: &str) -> Result<Self, LedgerError> {
        Self::ALL
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or_else(|| LedgerError::Damaged(format!("a delivery in the unknown state {name:?}")))
    }
}

/// Why an import is partial. A closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartialReason {
    /// The source doesn't have an attachment.
    AttachmentMissing,
    /// An attachment's bytes aren't those that were declared.
    AttachmentCorrupt,
    /// The mailbox refused an attachment.
    AttachmentRejected,
}

impl PartialReason {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::AttachmentMissing, Self::AttachmentCorrupt, Self::AttachmentRejected];

    /// The reason's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::AttachmentMissing => "attachment_missing",
            Self::AttachmentCorrupt => "attachment_corrupt",
            Self::AttachmentRejected => "attachment_rejected",
        }
    }
}

/// Why a row failed, or is partial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowReason {
    /// Of a row that failed.
    Failed(Reason),
    /// Of a copy that lacks a file.
    Partial(PartialReason),
}

impl RowReason {
    /// The reason's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed(reason) => reason.name(),
            Self::Partial(reason) => reason.name(),
        }
    }

    fn from_name(name: &str) -> Result<Self, LedgerError> {
        let partial = || PartialReason::ALL.into_iter().find(|reason| reason.name() == name).map(Self::Partial);
        let found = Reason::from_name(name).map(Self::Failed).or_else(partial);
        found.ok_or_else(|| LedgerError::Damaged(format!("a delivery for the unknown reason {name:?}")))
    }
}

/// A row to add.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// What it is of.
    pub target: Target,
    /// The mailbox, for a copy.
    pub mailbox: Option<(Mailbox, ResolvedBy)>,
    /// The identities of the message, for a copy.
    pub identities: Option<Identities>,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why it failed, or (for a copy that is not sent yet) nothing.
    pub reason: Option<Reason>,
    /// For the administrator.
    pub detail: Option<String>,
    /// Since when it is pending, where it takes the place of a row that was; else it is made now.
    pub since: Option<DateTime<Utc>>,
}

/// A copy to be sent, looked up or recognised as a duplicate.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The item.
    pub no: ItemNo,
    /// The identity of the message.
    pub identity: Identity,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// From when on an "absent" is to be believed.
    pub settle_at: Option<DateTime<Utc>>,
}

impl Delivery {
    fn read(row: &AnyRow) -> Result<Self, LedgerError> {
        Ok(Self {
            no: ItemNo(sql::get(row, "item_no")?),
            identity: Identity(sql::digest(row, "identity")?),
            state: DeliveryState::from_name(&sql::get::<String>(row, "state")?)?,
            attempts: u32::try_from(sql::get::<i64>(row, "attempts")?).unwrap_or(u32::MAX),
            settle_at: sql::optional_instant(row, "settle_at")?,
        })
    }
}

/// A row of an item, in short.
#[derive(Debug, Clone)]
pub struct DeliveryRow {
    /// The item.
    pub no: ItemNo,
    /// What it is of.
    pub target: Target,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why it failed.
    pub reason: Option<RowReason>,
    /// When it was made.
    pub created: DateTime<Utc>,
}

impl DeliveryRow {
    /// Whether it is of a copy for a mailbox.
    pub fn is_for_mailbox(&self) -> bool {
        matches!(self.target, Target::Mailbox(_))
    }
}

/// Which of a mailbox's copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueOf {
    /// First copies, certainly not sent.
    Ready,
    /// First copies that may be there.
    Unknown,
    /// Duplicates, which wait for the first copy of their message.
    Duplicates,
}

/// Which copies of a mailbox are left open for a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// What was certainly not sent.
    Unsent,
    /// That, and what may be there, which stays unknown.
    Open,
    /// The same, but of what may be there only what had another reason until now.
    MoreOpen,
}

impl Left {
    /// The condition of their rows; `$1` is the reason.
    const fn rows(self) -> &'static str {
        match self {
            Self::Unsent => "state = 'ready'",
            Self::Open => "state = 'ready' OR state = 'unknown'",
            Self::MoreOpen => "state = 'ready' OR state = 'unknown' AND (detail IS NULL OR detail <> $1)",
        }
    }
}

/// Copies that a process is about to send to a mailbox.
#[derive(Debug, Clone)]
pub struct Claim {
    pub mailbox: MailboxId,
    pub items: Vec<ItemNo>,
    /// What those items were converted to of which that isn't recorded for certain.
    pub messages: Vec<(ItemNo, Manifest)>,
}

/// What became of a copy.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The item.
    pub no: ItemNo,
    pub mailbox: MailboxId,
    /// Where it stands now.
    pub state: DeliveryState,
    /// Why it failed, or why the import is partial.
    pub reason: Option<RowReason>,
    /// For the administrator.
    pub detail: Option<String>,
    /// Tries made since the last outcome.
    pub attempts: u32,
    /// From when on an "absent" is to be believed, where the outcome is unknown.
    pub settle_at: Option<DateTime<Utc>>,
    /// The destination's id of the copy.
    pub remote_id: Option<String>,
    /// What the Message-ID is made of under which it was found.
    pub found_as: Option<Identity>,
    /// Bytes imported.
    pub bytes: u64,
}

/// Open rows in the account of another run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenElsewhere {
    /// The run that has them.
    pub run: RunId,
    /// Whether that run's process is at work, as far as its lease tells.
    pub is_under_way: bool,
    /// How many.
    pub rows: u64,
}

/// What is open in the whole ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenCounts {
    /// Rows without an outcome.
    pub pending: u64,
    /// When the oldest of them was made.
    pub oldest_pending: Option<DateTime<Utc>>,
    /// Items that failed and can be replayed.
    pub held: u64,
}
