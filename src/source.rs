//! Where items come from: pages of raw items, and the attachments that are not in them.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;

use self::page::PageError;
use crate::http::not_before;
use crate::item::ItemId;
use crate::window::Window;

pub mod directory;
pub(crate) mod export_file;
pub mod page;
pub mod telemessage;

/// A position in the source's order of items: exclusive, ascending. TeleMessage's `lastId`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cursor(pub i64);

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One page of a window.
#[derive(Debug, Clone)]
pub struct Page {
    /// The page as it was sent, decoded from any content coding.
    pub body: Bytes,
    /// Where in `body` each item lies.
    pub items: Vec<Range<usize>>,
    /// The cursor after this page.
    pub next: Cursor,
    /// How many different items lie between the cursor that it was asked for with and `next`: what reading has got further by.
    pub passed: usize,
    /// Whether the window ends with this page.
    pub end: bool,
}

/// The bytes of one attachment, as they come.
pub struct AttachmentStream {
    /// The length that the source announced (`Content-Length`), in bytes.
    pub length: Option<u64>,
    /// Set where the bytes read like an error response. They can be an attachment all the same: believed only
    /// where the declared digest doesn't match them, or where none is declared.
    pub suspected_error: Option<SourceError>,
    pub bytes: BoxStream<'static, Result<Bytes, SourceError>>,
}

/// A source of items.
#[async_trait]
pub trait Source: Send + Sync {
    /// The source's name in logs and messages: `TeleMessage at https://…`.
    fn name(&self) -> String;

    /// Proves that the source can be read with the configured credential, without reading an item. Returns the source's own time,
    /// where it tells one.
    async fn log_in(&self) -> Result<Option<DateTime<Utc>>, SourceError>;

    /// The page of `window` after `cursor`, of at most `limit` items. `next` is past `cursor` unless the page is the last.
    async fn page(&self, window: Window, cursor: Cursor, limit: usize) -> Result<Page, SourceError>;

    /// The attachment `index` of an item whose bytes are not inline.
    async fn attachment(&self, item: ItemId, index: usize) -> Result<AttachmentStream, SourceError>;

    /// Where in a page that this source gave, and that was staged, each item lies: the same places as in [`Page::items`].
    fn split(&self, body: &[u8]) -> Result<Vec<Range<usize>>, PageError> {
        page::split_page(body).map(|(_, items)| items)
    }

    /// What lies at the source and is not read, each with the reason, as it was when the run began.
    async fn passed_over(&self) -> Vec<String> {
        Vec::new()
    }

    /// The most items that a page should have.
    fn page_size(&self) -> usize;

    /// Whether the source can be read by windows of receiving time. One that can't is read whole in each run.
    fn has_windows(&self) -> bool {
        true
    }
}

/// What went wrong at the source. What is done about it is decided in `fault`.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The source refuses the credential. Never repeated within a run: accounts are locked out by repetition.
    #[error("{source_name} refuses the credential of {credential}: {detail}")]
    Refused {
        source_name: String,
        /// Whose credential, and which key of the configuration holds it.
        credential: String,
        detail: String,
    },
    #[error("the source asks for a pause: {detail}{}", not_before(*until))]
    Throttled {
        after: Option<Duration>,
        /// When that ends, where it is too long to be waited for.
        until: Option<DateTime<Utc>>,
        detail: String,
    },
    /// The source can't be reached or fails; it may well answer later.
    #[error("the source is not available: {0}")]
    Unavailable(String),
    /// The session ended within a window (`invalidToken`); the window goes on from its last durable cursor.
    #[error("the source ended the session (invalidToken)")]
    SessionEnded,
    /// A page is too large, cut short or not JSON: a smaller one may do.
    #[error("the page after cursor {cursor} can't be read: {detail}")]
    PageUnreadable {
        /// The cursor that the page was asked for with.
        cursor: Cursor,
        /// What is wrong with it.
        detail: String,
    },
    /// The source breaks its contract, so that going on could lose items.
    #[error("the source breaks its contract: {0}")]
    Contract(String),
    /// The attachment is not there (yet): media can trail.
    #[error("the attachment is not there (yet): {0}")]
    AttachmentNotFound(String),
    /// The attachment is gone for good.
    #[error("the attachment is gone: {0}")]
    AttachmentGone(String),
    #[error("unexpected answer of the source: {0}")]
    Unexpected(String),
}
