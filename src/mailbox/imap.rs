//! Mailboxes of an IMAP server (RFC 9051, RFC 3501): Dovecot, Cyrus, Exchange Online, and any other.
//!
//! One session a mailbox, kept while it may be of use; many APPENDs under way at once, or many messages in one where the
//! server takes that. What is announced is used, and nothing that is announced is needed.
//!
//! ```text
//! pool ─▶ sign_in ─▶ transport      a session for a mailbox
//! delivery ─▶ batch ─▶ append       messages in
//! look_up, verify                   what is there
//! session ─▶ connection             a command, its answer; bytes
//! ```
//!
//! It does not retry what it can't be sure of, and it never changes or removes a message, but for a self-test's own.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::self_test::{ByteExact, Finding, SelfTest, try_out};
use super::{Destination, DestinationLimits, ImportError, RemoteId, SendPermit, Verdict};
use crate::clock::SharedClock;
use crate::convert::{Manifest, Message};
use crate::identity::MessageId;
use crate::resolution::Mailbox;

mod abilities;
mod append;
mod batch;
mod census;
mod connection;
mod delivery;
mod folder;
mod in_flight_limit;
mod look_up;
mod microsoft;
mod passwords;
mod pool;
mod refusal;
mod session;
mod settings;
mod sign_in;
mod take_back;
mod transport;
mod verify;

pub use microsoft::MicrosoftTokens;
pub use settings::{AccessTokens, ImapAuth, ImapSettings, ImapTimeouts, SettingsError, TlsMode};

use pool::Pool;
use transport::Endpoint;

/// The most messages that a call takes: several APPENDs of many messages, so that the round trip is paid once.
const MAX_BATCH_MESSAGES: usize = 200;
/// The most bytes that a call takes, unless a single message is larger.
const MAX_BATCH_BYTES: u64 = 4 * 1024 * 1024;

/// The mailboxes of one IMAP server.
pub struct Imap {
    pool: Pool,
}

impl Imap {
    /// The mailboxes of the server that `settings` names. Connects to nothing yet.
    pub fn new(settings: ImapSettings, clock: SharedClock) -> Result<Self, SettingsError> {
        let endpoint = Endpoint::new(&settings)?;
        Ok(Self { pool: Pool::new(endpoint, settings, clock) })
    }
}

#[async_trait]
impl Destination for Imap {
    fn name(&self) -> String {
        format!("IMAP at {}", self.pool.server())
    }

    fn limits(&self) -> DestinationLimits {
        DestinationLimits {
            batch_messages: MAX_BATCH_MESSAGES,
            batch_bytes: MAX_BATCH_BYTES,
            mailboxes: self.pool.connections(),
        }
    }

    fn settle(&self) -> Duration {
        self.pool.settings().settle
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
        match self.pool.check_out(mailbox).await {
            Ok(checkout) => delivery::deliver(checkout, messages, permit).await,
            Err(error) => vec![Err(error); messages.len()],
        }
    }

    async fn recover(
        &self,
        mailbox: &Mailbox,
        message: &Message,
        _permit: &SendPermit,
    ) -> Result<Option<RemoteId>, ImportError> {
        let mut checkout = self.pool.check_out(mailbox).await?;
        let layout = checkout.layout().await?;
        let found = look_up::find(&mut checkout.session, &layout, &message.mail.message_id).await?;
        checkout.check_in();
        Ok(found)
    }

    async fn absent(&self, mailbox: &Mailbox, ids: &[MessageId]) -> Result<HashSet<MessageId>, ImportError> {
        let counts = self.count(mailbox, ids).await?;
        Ok(ids.iter().zip(counts).filter(|(_, count)| *count == 0).map(|(id, _)| id.clone()).collect())
    }

    async fn verify(&self, mailbox: &Mailbox, sent: &[Manifest]) -> Result<Vec<Verdict>, ImportError> {
        if sent.is_empty() {
            return Ok(Vec::new());
        }
        let mut checkout = self.pool.check_out(mailbox).await?;
        let layout = checkout.layout().await?;
        let verdicts = verify::verify(&mut checkout.session, &layout, sent).await?;
        checkout.check_in();
        Ok(verdicts)
    }

    async fn count(&self, mailbox: &Mailbox, ids: &[MessageId]) -> Result<Vec<usize>, ImportError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut checkout = self.pool.check_out(mailbox).await?;
        let layout = checkout.layout().await?;
        let mut census = census::Census::new(&layout, ids);
        census.take(&mut checkout.session, &layout).await?;
        checkout.check_in();
        Ok(ids.iter().map(|id| census.count(id)).collect())
    }

    async fn inventory(&self, mailbox: &Mailbox) -> Result<Vec<MessageId>, ImportError> {
        let mut checkout = self.pool.check_out(mailbox).await?;
        let layout = checkout.layout().await?;
        let found = verify::inventory(&mut checkout.session, &layout).await?;
        checkout.check_in();
        Ok(found)
    }
}

#[async_trait]
impl ByteExact for Imap {
    async fn take_back(&self, mailbox: &Mailbox, id: &MessageId) -> Result<(), ImportError> {
        let mut checkout = self.pool.check_out(mailbox).await?;
        let layout = checkout.layout().await?;
        take_back::take_back(&mut checkout.session, &layout, id).await?;
        checkout.check_in();
        Ok(())
    }
}

#[async_trait]
impl SelfTest for Imap {
    async fn self_test(&self, mailbox: &Mailbox) -> Vec<Finding> {
        try_out(self, mailbox, self.pool.now()).await
    }
}
