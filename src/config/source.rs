//! `[source]`: where items come from.

use std::path::PathBuf;
use std::time::Duration;

use super::Secret;
use super::Url;
use crate::item::Product;

/// Where items come from, and how they are asked for.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Which source it is.
    pub kind: SourceKind,
    /// Whose items are taken: at least one product, each once.
    pub products: Vec<Product>,
    /// The most items of one page.
    pub page_size: usize,
    /// How many attachments are downloaded at the same time.
    pub downloads: usize,
    /// The largest attachment that is staged, in bytes.
    pub max_attachment_size: u64,
    /// How long an attachment that is not there yet is waited for.
    pub attachment_wait: Duration,
}

/// The kinds of sources.
#[derive(Debug, Clone)]
pub enum SourceKind {
    /// TeleMessage's archive.
    TeleMessage(Box<TeleMessageConfig>),
    /// A folder of list responses.
    Directory {
        /// The folder.
        path: PathBuf,
    },
}

/// How TeleMessage's archive is reached.
#[derive(Debug, Clone)]
pub struct TeleMessageConfig {
    /// The base of the two addresses below, for messages: https, or http to a loopback address; no user, query or fragment.
    pub base_url: Url,
    /// Where lists of messages are asked for.
    pub messages_url: Url,
    /// Where attachments are asked for, without its query.
    pub attachment_url: Url,
    /// The account's user name; without a colon (RFC 7617).
    pub username: String,
    /// The account's password.
    pub password: Secret,
}
