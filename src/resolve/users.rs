//! The user directory: who is a valid user, and which mailbox is theirs.

use std::time::Duration;

use async_trait::async_trait;

use crate::resolution::{Mailbox, MailboxId};

pub mod graph;
pub mod list;

/// The directory's answer for one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A valid user with this mailbox.
    Valid(Mailbox),
    /// Certainly not a valid user.
    NotValid {
        /// Why, for the administrator.
        detail: String,
    },
}

/// Tells who is a valid user.
#[async_trait]
pub trait UserDirectory: Send + Sync {
    /// The directory's name in logs and messages.
    fn name(&self) -> String;

    /// Looks addresses up; one answer for each, in the same order. Addresses are compared without regard to case.
    async fn look_up(&self, addresses: &[String]) -> Vec<Result<Answer, DirectoryError>>;

    /// Ids that a mailbox had before it was renamed, as the administrator states. None where an id survives that, as
    /// Microsoft 365's do.
    fn former_ids(&self, _mailbox: &MailboxId) -> &[MailboxId] {
        &[]
    }

    /// All other addresses of a mailbox, as ids. One of them may have been its own id, or that of somebody else's mailbox
    /// whose address it took over: which of the two isn't known.
    fn other_ids(&self, _mailbox: &MailboxId) -> &[MailboxId] {
        &[]
    }

    /// Where mailboxes are now that were found before, by their ids; one answer for each, in the same order. Whoever has an address
    /// that one of them had may be somebody else. The directory is asked anew: nothing is answered from memory.
    async fn find_again(&self, mailboxes: &[Mailbox]) -> Vec<Result<Answer, DirectoryError>>;
}

/// Why the directory gave no answer. Cloned to everyone who waits for the same look-up.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DirectoryError {
    /// The directory asks for a pause.
    #[error("the user directory asks for a pause: {detail}")]
    Throttled {
        /// The pause it asked for.
        after: Option<Duration>,
        /// What it said.
        detail: String,
    },
    /// The directory can't be reached or fails; it may well answer later.
    #[error("the user directory is not available: {0}")]
    Unavailable(String),
    /// A permission or consent is missing: a matter of configuration, never "not a valid user".
    #[error("the user directory refuses: {0}")]
    Forbidden(String),
    /// Something unexpected.
    #[error("unexpected answer of the user directory: {0}")]
    Unexpected(String),
}
