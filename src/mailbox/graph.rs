//! Mailboxes of Exchange Online, through Microsoft Graph.
//!
//! Two ways in: *create-message* writes a message as properties (a finished one, not a draft, only because its flags are
//! set at its creation), *import-mime* hands the MIME form over (beta). Either way the reply is compared with what was
//! sent before it counts as a success, and a copy in the wrong form is taken back.
//!
//! Nothing is repeated here but what finishes a message that is already there, and nothing waits but for the budgets of
//! [`Throttle`], a few seconds at most unless a message is half there. A message that was created without all its attachments is an unknown outcome:
//! [`recover`](Destination::recover) completes it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use futures_util::stream;

use super::{Destination, DestinationLimits, ImportError, RemoteId, SendPermit, Verdict};
use crate::convert::{Manifest, Message};
use crate::graph::Graph;
use crate::identity::MessageId;
use crate::resolution::{Mailbox, MailboxId};
use crate::throttle::Throttle;

mod calls;
mod copies;
mod create_message;
mod created;
mod fault;
mod folder;
mod import_mime;
mod inventory;
mod payload;
mod properties;
mod recover;
pub mod self_test;
mod upload;
mod verify;

use calls::Calls;
use folder::Folders;

/// The application permission that folders, look-ups and create-message need.
const PERMISSION: &str = "Mail.ReadWrite";

/// How a message gets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As properties, in one POST of JSON; large attachments follow.
    CreateMessage,
    /// As MIME (beta).
    ImportMime,
}

impl Method {
    /// The method's name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateMessage => "create-message",
            Self::ImportMime => "import-mime",
        }
    }

    /// The application permission without which it can't work.
    pub fn permission(self) -> &'static str {
        match self {
            Self::CreateMessage => PERMISSION,
            Self::ImportMime => "Mail-Advanced.ReadWrite.All",
        }
    }
}

/// How copies are made.
#[derive(Debug, Clone)]
pub struct GraphSettings {
    /// The archive folder's name (`mailbox.folder`).
    pub folder: String,
    /// How a message gets in (`mailbox.method`).
    pub method: Method,
    /// How long a new message may take to be found by its Message-ID (`mailbox.settle`).
    pub settle: Duration,
    /// The message class of every copy, by which searches find them; `None` leaves the ordinary one.
    pub message_class: Option<String>,
}

/// The mailboxes of Exchange Online.
#[derive(Debug)]
pub struct GraphMailboxes {
    calls: Calls,
    settings: GraphSettings,
    folders: Folders,
    /// Where another `from` than the mailbox's own was refused.
    own_from_only: Mutex<HashSet<MailboxId>>,
}

impl GraphMailboxes {
    /// The destination through `graph`, within the budgets of `throttle`.
    pub fn new(graph: Graph, throttle: Arc<Throttle>, settings: GraphSettings) -> Self {
        let folders = Folders::new(settings.folder.clone(), Arc::clone(graph.clock()));
        Self { calls: Calls::new(graph, throttle), settings, folders, own_from_only: Mutex::default() }
    }

    /// How a message gets in.
    pub fn method(&self) -> Method {
        self.settings.method
    }

    /// Imports one message; where the archive folder turns out to be gone, once more into a new one.
    async fn import_one(
        &self,
        mailbox: &MailboxId,
        message: &Message,
        permit: &SendPermit,
    ) -> Result<Sent, ImportError> {
        let folder = self.folder(mailbox).await?;
        let result = self.send(mailbox, &folder, message, permit).await;
        if !matches!(&result, Err(SendError::FolderGone(_))) {
            return result.map_err(SendError::into_import_error);
        }
        tracing::info!(event = "folder_recreated", mailbox = %mailbox, "the archive folder is gone; it is created again");
        self.folders.forget(mailbox, &folder).await;
        let folder = self.folder(mailbox).await?;
        self.send(mailbox, &folder, message, permit).await.map_err(SendError::into_import_error)
    }

    async fn send(
        &self,
        mailbox: &MailboxId,
        folder: &str,
        message: &Message,
        permit: &SendPermit,
    ) -> Result<Sent, SendError> {
        match self.settings.method {
            Method::CreateMessage => {
                let id = self.create_message(mailbox, folder, message, permit).await?;
                Ok(Sent { id, method: Method::CreateMessage })
            }
            Method::ImportMime => self.import_mime(mailbox, folder, message, permit).await,
        }
    }

    async fn folder(&self, mailbox: &MailboxId) -> Result<Arc<str>, ImportError> {
        self.folders.id(&self.calls, mailbox).await.map_err(|error| fault::of_read(&error, PERMISSION))
    }

    fn takes_own_from_only(&self, mailbox: &MailboxId) -> bool {
        self.own_from_only.lock().unwrap_or_else(PoisonError::into_inner).contains(mailbox)
    }

    fn remember_own_from_only(&self, mailbox: &MailboxId) {
        self.own_from_only.lock().unwrap_or_else(PoisonError::into_inner).insert(mailbox.clone());
    }
}

/// A message that was imported.
#[derive(Debug)]
struct Sent {
    id: RemoteId,
    /// How it got in: what is too large for import-mime does as properties.
    method: Method,
}

/// Why a message was not imported.
#[derive(Debug)]
enum SendError {
    /// The archive folder is gone; certainly nothing was made.
    FolderGone(ImportError),
    /// Anything else.
    Other(ImportError),
}

impl SendError {
    fn into_import_error(self) -> ImportError {
        match self {
            Self::FolderGone(error) | Self::Other(error) => error,
        }
    }
}

impl From<ImportError> for SendError {
    fn from(error: ImportError) -> Self {
        Self::Other(error)
    }
}

#[async_trait]
impl Destination for GraphMailboxes {
    fn name(&self) -> String {
        let origin = self.calls.graph().endpoints().graph().origin().ascii_serialization();
        format!("Microsoft Graph at {origin} ({})", self.settings.method.name())
    }

    fn is_reached_by_id(&self) -> bool {
        true
    }

    /// More mailboxes than requests at the same time, so that those that wait for their own limit don't keep others out; and small
    /// batches, because what was claimed has to be looked up when the process dies.
    fn limits(&self) -> DestinationLimits {
        let limits = self.calls.throttle().limits();
        DestinationLimits {
            batch_messages: limits.per_mailbox.saturating_mul(4),
            batch_bytes: 16 * 1024 * 1024,
            mailboxes: limits.concurrency.saturating_mul(2),
        }
    }

    fn settle(&self) -> Duration {
        self.settings.settle
    }

    fn closed_until(&self, mailbox: &Mailbox) -> Option<DateTime<Utc>> {
        self.calls.throttle().closed_until(&mailbox.id)
    }

    async fn import(
        &self,
        mailbox: &Mailbox,
        messages: &[Arc<Message>],
        permit: &SendPermit,
    ) -> Vec<Result<RemoteId, ImportError>> {
        if messages.is_empty() {
            return Vec::new();
        }
        // Asked for once, so that a mailbox that can't be used costs one call and not one for each message.
        if let Err(error) = self.folder(&mailbox.id).await {
            return messages.iter().map(|_| Err(error.clone())).collect();
        }
        let at_once = self.calls.throttle().limits().per_mailbox;
        let sends: Vec<_> = messages.iter().map(|message| self.import_one(&mailbox.id, message, permit)).collect();
        stream::iter(sends).buffered(at_once).map(|sent| sent.map(|sent| sent.id)).collect().await
    }

    async fn recover(
        &self,
        mailbox: &Mailbox,
        message: &Message,
        permit: &SendPermit,
    ) -> Result<Option<RemoteId>, ImportError> {
        self.find_and_complete(&mailbox.id, message, permit).await
    }

    /// Each copy takes requests of its own: few of them are asked for again where one fails.
    fn verify_batch(&self) -> u32 {
        50
    }

    async fn verify(&self, mailbox: &Mailbox, sent: &[Manifest]) -> Result<Vec<Verdict>, ImportError> {
        self.compare(&mailbox.id, sent).await
    }

    async fn count(&self, mailbox: &Mailbox, ids: &[MessageId]) -> Result<Vec<usize>, ImportError> {
        self.count_copies(&mailbox.id, ids).await
    }

    async fn inventory(&self, mailbox: &Mailbox) -> Result<Vec<MessageId>, ImportError> {
        self.list(&mailbox.id).await
    }
}
