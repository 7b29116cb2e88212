//! The remotes, by the names that metrics, logs and the status page give them.

use std::fmt;

/// The remotes, as metrics, logs and the status page name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Remote {
    /// TeleMessage.
    Source,
    /// Azure Blob Storage.
    Staging,
    Directory,
    Mailbox,
    /// The token endpoint.
    SignIn,
    /// The webhook of `[notify]`.
    Notify,
    /// The daemon itself, asked for its health.
    Health,
}

impl Remote {
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Staging => "staging",
            Self::Directory => "directory",
            Self::Mailbox => "mailbox",
            Self::SignIn => "sign_in",
            Self::Notify => "notify",
            Self::Health => "health",
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
