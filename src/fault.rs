//! What a step's error means: the one table that classifies them.
//!
//! | Verdict | The pipeline |
//! |---|---|
//! | [`Retry`](Fault::Retry) | tries again within the run, as `[retry]` says; then the run fails (source, staging) or the delivery stays pending (directory, mailbox) |
//! | [`LookUp`](Fault::LookUp) | looks the copy up before anything is sent again |
//! | [`Defer`](Fault::Defer) | leaves it pending for a later run; every unexpected error is one of these |
//! | [`Reject`](Fault::Reject) | counts it as failed with its reason |
//! | [`Fatal`](Fault::Fatal) | ends the run |

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::http::Remote;
use crate::mailbox::ImportError;
use crate::resolve::users::DirectoryError;
use crate::source::SourceError;
use crate::staging::StagingError;

pub mod remedy;
pub mod tried;

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
    pub fn is_by_rule(self) -> bool {
        matches!(self, Self::NoValidUser | Self::SizeExceeded | Self::Encrypted | Self::Malformed)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What a fault means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Passing: worth another try, after the pause that the other side asked for.
    Retry {
        /// That pause.
        after: Option<Duration>,
    },
    /// The copy may have arrived.
    LookUp,
    /// Repeating it now would not help: it waits for a later run, or for an administrator.
    Defer,
    /// For good.
    Reject(Reason),
    /// The run can't go on.
    Fatal,
}

/// Whether a step's error is a remote's wish for fewer requests, and no failure.
pub fn is_throttling(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(SourceError::Throttled { .. }))
        || matches!(error.downcast_ref(), Some(StagingError::Throttled { .. }))
        || matches!(error.downcast_ref(), Some(DirectoryError::Throttled { .. }))
        || matches!(error.downcast_ref(), Some(ImportError::Throttled { .. }))
}

/// Whether a step's error is an attachment's, which may trail.
pub fn is_awaited(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(SourceError::AttachmentNotFound(_)))
}

/// The remote that a step's error is of; nothing for an error of the program's own.
pub fn remote_of(error: &(dyn std::error::Error + 'static)) -> Option<Remote> {
    let remotes = [
        (error.is::<SourceError>(), Remote::Source),
        (error.is::<StagingError>(), Remote::Staging),
        (error.is::<DirectoryError>(), Remote::Directory),
        (error.is::<ImportError>(), Remote::Mailbox),
    ];
    remotes.into_iter().find_map(|(is, remote)| is.then_some(remote))
}

impl From<&SourceError> for Fault {
    fn from(error: &SourceError) -> Self {
        match error {
            SourceError::Throttled { after, .. } => Self::Retry { after: *after },
            SourceError::Unavailable(_) | SourceError::SessionEnded | SourceError::PageUnreadable { .. } => {
                Self::Retry { after: None }
            }
            // "Not there yet" is an answer: the next run asks again.
            SourceError::AttachmentNotFound(_) | SourceError::AttachmentGone(_) | SourceError::Unexpected(_) => {
                Self::Defer
            }
            SourceError::Refused { .. } | SourceError::Contract(_) => Self::Fatal,
        }
    }
}

impl From<&StagingError> for Fault {
    fn from(error: &StagingError) -> Self {
        match error {
            StagingError::Throttled { after, .. } => Self::Retry { after: *after },
            StagingError::Unavailable(_) | StagingError::StreamBroken { .. } => Self::Retry { after: None },
            StagingError::NotFound { .. } | StagingError::Damaged { .. } | StagingError::Immutable { .. } => {
                Self::Defer
            }
            StagingError::TooLarge { .. } => Self::Reject(Reason::SizeExceeded),
            StagingError::Conflict { .. } | StagingError::Refused(_) => Self::Fatal,
        }
    }
}

impl From<&DirectoryError> for Fault {
    fn from(error: &DirectoryError) -> Self {
        match error {
            DirectoryError::Throttled { after, .. } => Self::Retry { after: *after },
            DirectoryError::Unavailable(_) => Self::Retry { after: None },
            DirectoryError::Forbidden(_) | DirectoryError::Unexpected(_) => Self::Defer,
        }
    }
}

impl From<&ImportError> for Fault {
    fn from(error: &ImportError) -> Self {
        match error {
            // What is incomplete is there: an outcome, and where it isn't taken for one, nothing to be sent again.
            ImportError::OutcomeUnknown(_) | ImportError::Incomplete { .. } => Self::LookUp,
            ImportError::Throttled { after, .. } => Self::Retry { after: *after },
            ImportError::Unavailable(_) => Self::Retry { after: None },
            ImportError::Forbidden(_) | ImportError::Unexpected(_) => Self::Defer,
            ImportError::Rejected(_) => Self::Reject(Reason::MailboxRejected),
        }
    }
}
