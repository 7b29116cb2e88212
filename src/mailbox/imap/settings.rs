//! What an administrator says of an IMAP server, and who signs in to it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::secret::SecretReader;

use crate::http::request_timeout;
use crate::mailbox::ImportError;

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// TLS from the first byte (usually port 993).
    Implicit,
    /// TLS after STARTTLS (usually port 143); a server that doesn't offer it is refused.
    StartTls,
    /// None: for a server on a loopback address alone.
    None,
}

/// Gives access tokens (RFC 6750) for XOAUTH2.
#[async_trait]
pub trait AccessTokens: Send + Sync {
    /// A token that is valid now. The error says why nothing can be sent at present, and holds no secret.
    async fn token(&self) -> Result<SecretString, ImportError>;

    /// The server refused this token: it is not given again.
    fn invalidate(&self, refused: &SecretString);
}

/// How to prove who signs in.
#[derive(Clone)]
pub enum ImapAuth {
    /// An access token, through XOAUTH2.
    XOAuth2(Arc<dyn AccessTokens>),
    /// A password, through PLAIN (RFC 4616) or LOGIN.
    Password(SecretReader),
}

impl std::fmt::Debug for ImapAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::XOAuth2(_) => "XOAuth2",
            Self::Password(_) => "Password",
        })
    }
}

/// How long is waited. Each is shorter than the ledger's lease.
#[derive(Debug, Clone, Copy)]
pub struct ImapTimeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the next byte of a server that owes an answer.
    pub silence: Duration,
    /// For a whole sign-in, from the connection on.
    pub sign_in: Duration,
    /// For the end of a command, however much the server says before it; more for what takes time by its size.
    pub command: Duration,
    /// How long a session that nobody uses is kept.
    pub idle: Duration,
}

impl ImapTimeouts {
    /// The ordinary ones, where work is leased for `lease`.
    pub fn within(lease: Duration) -> Self {
        let longest = request_timeout(lease);
        let timeouts = Self::default();
        Self { connect: timeouts.connect.min(longest), silence: timeouts.silence.min(longest), ..timeouts }
    }
}

impl Default for ImapTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(45),
            sign_in: Duration::from_mins(1),
            // A search of a large mailbox may take minutes.
            command: Duration::from_mins(5),
            // Well under the half hour after which servers hang up (RFC 9051, 5.4).
            idle: Duration::from_mins(1),
        }
    }
}

/// An IMAP server and how to use it.
#[derive(Debug, Clone)]
pub struct ImapSettings {
    /// The server's name or address.
    pub host: String,
    pub port: u16,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// How to prove who signs in.
    pub auth: ImapAuth,
    /// Who signs in: `{mailbox}` stands for the mailbox's address (`{mailbox}*master` for a Dovecot master user).
    pub login: String,
    /// The archive folder's name: one level.
    pub folder: String,
    /// The most connections at the same time.
    pub connections: usize,
    /// Certificates (PEM) trusted in addition to the platform's roots.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// How long is waited.
    pub timeouts: ImapTimeouts,
    /// How long after an attempt of unknown outcome an "absent" is to be believed.
    pub settle: Duration,
}

impl ImapSettings {
    /// Who signs in for a mailbox.
    pub(super) fn login_for(&self, address: &str) -> String {
        self.login.replace("{mailbox}", address)
    }
}

/// The settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The host is neither a name nor an address.
    #[error("mailbox.host: {host:?} is neither a host name nor an address")]
    Host { host: String },
    /// The roots of trust can't be read.
    #[error("no roots of trust for TLS: {detail}")]
    Roots {
        /// Why.
        detail: String,
    },
}
