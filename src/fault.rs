//! What an error of a step or of the ledger means: the one table that classifies them.
//!
//! | Decision | The pipeline |
//! |---|---|
//! | [`Retry`](Fault::Retry) | tries again within the run, as `[retry]` says; then the run fails (source, staging) or the delivery stays pending (directory, mailbox) |
//! | [`LookUp`](Fault::LookUp) | looks the copy up before anything is sent again |
//! | [`Defer`](Fault::Defer) | leaves it pending for a later run; every unexpected error is one of these |
//! | [`Reject`](Fault::Reject) | counts it as failed with its reason |
//! | [`Fatal`](Fault::Fatal) | ends the run |

use std::time::Duration;

use crate::http::Remote;
use crate::ledger::LedgerError;
use crate::mailbox::ImportError;
use crate::reason::Reason;
use crate::resolve::users::DirectoryError;
use crate::source::SourceError;
use crate::staging::StagingError;

pub mod remedy;
pub mod tried;

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

/// A database that failed may answer again; everything else that a ledger says is about itself, and stays so.
impl From<&LedgerError> for Fault {
    fn from(error: &LedgerError) -> Self {
        match error {
            LedgerError::Database(_) | LedgerError::CommitsLost => Self::Retry { after: None },
            _ => Self::Fatal,
        }
    }
}
