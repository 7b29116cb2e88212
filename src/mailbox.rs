//! Where copies go: the destination.
//!
//! A destination sends what it is given and reports what happened. It neither retries nor decides, and sleeps only for a mailbox's
//! own limits. It distinguishes a certain outcome from an unknown one, and the pipeline has the unknown ones looked up
//! before it sends again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::convert::{Manifest, Message};
use crate::identity::MessageId;
use crate::resolution::Mailbox;
use crate::send_permit::NotPermitted;
use crate::sign_in::SignInError;

pub mod folder_name;
pub mod graph;
pub mod imap;
pub mod maildir;
pub mod self_test;

pub use crate::send_permit::SendPermit;

/// The destination's own id of a copy in a mailbox: an immutable id, a UID with its validity, a file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RemoteId(pub String);

/// How much a destination takes at once.
#[derive(Debug, Clone, Copy)]
pub struct DestinationLimits {
    /// The most messages in one call of [`Destination::import`].
    pub batch_messages: usize,
    /// The most bytes of messages in one call, unless a single message is larger.
    pub batch_bytes: u64,
    /// The most mailboxes that are worked on at the same time.
    pub mailboxes: usize,
}

/// What [`Destination::verify`] found of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// There, unaltered, once.
    Intact,
    /// Nowhere in the mailbox.
    Missing,
    /// More than once.
    Doubled {
        /// How often.
        copies: usize,
    },
    /// There, and as it was sent but for files that are not there.
    LacksFiles {
        /// How many are there.
        there: usize,
        /// How many were sent.
        sent: usize,
    },
    /// There, but not as it was sent.
    Altered {
        /// What differs.
        detail: String,
    },
}

/// The service that has the mailboxes.
#[async_trait]
pub trait Destination: Send + Sync {
    /// The destination's name in logs and messages.
    fn name(&self) -> String;

    /// Whether a mailbox is reached by its id, whatever its address is by now. Else it is reached by its address, which may be somebody
    /// else's some day.
    fn is_reached_by_id(&self) -> bool {
        false
    }

    /// How much it takes at once.
    fn limits(&self) -> DestinationLimits;

    /// How long after an attempt of unknown outcome an "absent" of [`Destination::recover`] is to be believed.
    fn settle(&self) -> Duration;

    /// Until when the mailbox takes nothing, where the destination knows: a limit is used up, or the server asked for a pause.
    /// A caller that checks this first can work on other mailboxes meanwhile; [`Destination::import`] waits for a
    /// short pause, and otherwise returns [`ImportError::Throttled`].
    fn closed_until(&self, _mailbox: &Mailbox) -> Option<DateTime<Utc>> {
        None
    }

    /// Imports messages into one mailbox, in the archive folder, which is created when it is missing. One result for
    /// each message, in the same order. A success is durable. `permit` is checked before each request that creates something:
    /// what it doesn't allow is certainly not sent ([`ImportError::Unavailable`]).
    async fn import(
        &self,
        mailbox: &Mailbox,
        messages: &[Arc<Message>],
        permit: &SendPermit,
    ) -> Vec<Result<RemoteId, ImportError>>;

    /// Looks for a message in the whole mailbox, after an unknown outcome. One that is there incompletely is completed, as
    /// long as `permit` allows it. `None`: it is not there. An error says nothing about the copy: its outcome stays unknown.
    async fn recover(
        &self,
        mailbox: &Mailbox,
        message: &Message,
        permit: &SendPermit,
    ) -> Result<Option<RemoteId>, ImportError>;

    /// Which of these messages certainly aren't in the mailbox, as [`recover`](Self::recover) would find one by one: for
    /// destinations that need not search the whole mailbox for each of them. The others may be there or not.
    async fn absent(&self, _mailbox: &Mailbox, _ids: &[MessageId]) -> Result<HashSet<MessageId>, ImportError> {
        Ok(HashSet::new())
    }

    /// How many messages [`verify`](Self::verify) and [`count`](Self::count) are given at a time. What fails is asked for again as a whole.
    fn verify_batch(&self) -> u32 {
        2000
    }

    /// Compares what is in the mailbox with what was sent. One verdict for each manifest, in the same order.
    async fn verify(&self, mailbox: &Mailbox, sent: &[Manifest]) -> Result<Vec<Verdict>, ImportError>;

    /// How often each of these messages is in the whole mailbox, whatever it looks like there: for those of which nothing is known to
    /// compare with. One number for each, in the same order.
    async fn count(&self, mailbox: &Mailbox, ids: &[MessageId]) -> Result<Vec<usize>, ImportError>;

    /// The Message-IDs of ours in the archive folder, as often as they are there.
    async fn inventory(&self, mailbox: &Mailbox) -> Result<Vec<MessageId>, ImportError>;
}

/// Why a copy is not (known to be) in a mailbox. What is done about it is decided in `fault`.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ImportError {
    /// It may be there, or not: the answer was lost. It is looked up before it is sent again.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(String),
    /// Not sent: the mailbox or its server asks for a pause.
    #[error("the mailbox asks for a pause: {detail}")]
    Throttled {
        /// The pause it asked for.
        after: Option<Duration>,
        /// What it said.
        detail: String,
    },
    /// Certainly not there: the mailbox can't be reached or fails; it may well work later.
    #[error("the mailbox is not available: {0}")]
    Unavailable(String),
    /// Certainly not there: a permission is missing. A matter of configuration; the copy stays pending.
    #[error("the mailbox refuses access: {0}")]
    Forbidden(String),
    /// Certainly not there: the mailbox refuses this message for good.
    #[error("the mailbox rejects the message: {0}")]
    Rejected(String),
    /// It is there, without files that the mailbox refuses for good: a partial import.
    #[error("the message is there without a file that the mailbox refuses: {detail}")]
    Incomplete {
        /// The copy.
        remote: RemoteId,
        /// Which files, and why.
        detail: String,
    },
    /// An unexpected answer; the copy is deferred.
    #[error("unexpected answer of the mailbox: {0}")]
    Unexpected(String),
}

impl From<&SignInError> for ImportError {
    /// What a failed sign-in means for a message: it was certainly not sent.
    fn from(error: &SignInError) -> Self {
        match error {
            SignInError::Refused { .. } | SignInError::Unusable(_) => Self::Forbidden(error.to_string()),
            SignInError::Throttled { after, detail } => Self::Throttled { after: *after, detail: detail.clone() },
            SignInError::Unavailable(_) => Self::Unavailable(error.to_string()),
            SignInError::Unexpected(_) => Self::Unexpected(error.to_string()),
        }
    }
}

impl From<NotPermitted> for ImportError {
    /// What was not allowed was certainly not sent.
    fn from(error: NotPermitted) -> Self {
        Self::Unavailable(error.to_string())
    }
}
