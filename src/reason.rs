//! Why an item, or a copy of it, is not imported: a closed list, whose names stand in reports, logs and metrics.

use serde::{Deserialize, Serialize};

/// Why an item, or a copy of it, is not imported. A closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No participant, or not the owner, is a valid user.
    NoValidUser,
    /// Over `mailbox.max_item_size`, or an attachment over `source.max_attachment_size`.
    SizeExceeded,
    /// The content is encrypted.
    Encrypted,
    /// The item can't be read.
    Malformed,
    /// The mailbox refused the message for good.
    MailboxRejected,
    /// The mailbox could not be used for `retry.give_up`.
    MailboxUnavailable,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 6] = [
        Self::NoValidUser,
        Self::SizeExceeded,
        Self::Encrypted,
        Self::Malformed,
        Self::MailboxRejected,
        Self::MailboxUnavailable,
    ];

    /// The reason's name in reports, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoValidUser => "no_valid_user",
            Self::SizeExceeded => "size_exceeded",
            Self::Encrypted => "encrypted",
            Self::Malformed => "malformed",
            Self::MailboxRejected => "mailbox_rejected",
            Self::MailboxUnavailable => "mailbox_unavailable",
        }
    }

    /// The reason of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Those that somebody should fix: a mailbox did not take a copy.
    pub fn of_mailboxes() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|reason| !reason.is_by_rule())
    }

    /// Whether a rule of the archive keeps the item out, so that a run with such items is a success.
    fn is_by_rule(self) -> bool {
        matches!(self, Self::NoValidUser | Self::SizeExceeded | Self::Encrypted | Self::Malformed)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
