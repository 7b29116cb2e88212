//! `[mailbox]`: where copies go.

use std::path::PathBuf;
use std::time::Duration;

use super::Secret;

/// Where copies go.
#[derive(Debug, Clone)]
pub struct MailboxConfig {
    /// Which door to the mailboxes it is.
    pub kind: MailboxKind,
    /// The folder's name: not empty, without control characters or slashes.
    pub folder: String,
    /// The largest item that is imported, in bytes of its text and attachments; one of exactly this size is imported.
    pub max_item_size: u64,
    /// The domain of the addresses that stand for participants without any.
    pub placeholder_address_domain: String,
}

/// The kinds of doors to mailboxes.
#[derive(Debug, Clone)]
pub enum MailboxKind {
    /// Exchange Online, through Microsoft Graph.
    Graph(GraphConfig),
    /// A server that speaks IMAP.
    Imap(ImapConfig),
    /// Maildir folders on the local disk.
    Maildir {
        /// The folder that holds one folder a mailbox.
        path: PathBuf,
    },
}

/// How Microsoft Graph is used. `[microsoft]` is there then.
#[derive(Debug, Clone)]
pub struct GraphConfig {
    /// How a message is made.
    pub method: GraphMethod,
    /// How many requests a mailbox gets at the same time.
    pub per_mailbox: usize,
    /// How many requests are sent at the same time, to all mailboxes together.
    pub concurrency: usize,
    /// How long after an attempt of unknown outcome an "absent" is believed.
    pub settle: Duration,
    /// How many requests a mailbox gets in ten minutes.
    pub requests_per_10m: u64,
    /// How many bytes a mailbox gets in five minutes.
    pub upload_per_5m: u64,
}

/// How a message is made in Exchange Online.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphMethod {
    /// `POST …/messages` with JSON (v1.0).
    CreateMessage,
    /// `POST …/importMime` (beta).
    ImportMime,
}

/// How an IMAP server is used.
#[derive(Debug, Clone)]
pub struct ImapConfig {
    /// The server: a host name or an IP address.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: ImapTls,
    /// How the daemon logs in.
    pub auth: ImapAuth,
    /// The login for a mailbox.
    pub login: LoginTemplate,
    /// How many connections are open at the same time.
    pub connections: usize,
}

/// How a connection to an IMAP server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImapTls {
    /// TLS from the first byte.
    Implicit,
    /// TLS after STARTTLS, and never without.
    StartTls,
    /// None: a loopback address only.
    None,
}

/// How the daemon logs in to an IMAP server.
#[derive(Debug, Clone)]
pub enum ImapAuth {
    /// XOAUTH2 with the sign-in of `[microsoft]`, which is there then.
    XOAuth2,
    /// A password: of a master user, as the login template says.
    Password(Secret),
}

/// The login for a mailbox: text with `{mailbox}` in it at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginTemplate(String);

impl LoginTemplate {
    const PLACE: &str = "{mailbox}";

    /// The template of a text; `None` where the text doesn't hold `{mailbox}`, because then every mailbox would be the same.
    pub fn new(text: &str) -> Option<Self> {
        text.contains(Self::PLACE).then(|| Self(text.to_owned()))
    }

    /// The login for the mailbox with this address.
    pub fn login(&self, address: &str) -> String {
        self.0.replace(Self::PLACE, address)
    }
}
