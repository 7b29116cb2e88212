//! Where raw items lie, byte for byte, before anything else happens to them.
//!
//! ```text
//! windows/<window>/pages/<cursor>-<sha256>.json     a page, as it was sent
//! windows/<window>/attachments/<item key>/<index>   an attachment, as it was sent; `<index>.<n>` a further try of it,
//!                                                   `<index>.wrong` why the last try is wrong, where no digest says so
//! regular-windows/<window>                          a mark: this window was begun by the schedule, so those before it were read
//! held/<item key>/item.json, held/<item key>/<index>   copies of what must outlive its window
//! reports/<run>.json, reports/<run>.json.sig        the account of a run, and its signature
//! ledger-id                                         which ledger this staging area belongs to
//! ledger-successors/<number>                        which ledger took it over, for the n-th time; the last one counts
//! ```

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;

use crate::digest::Digest;
use crate::http::not_before;
use crate::item::ItemKey;
use crate::source::Cursor;
use crate::window::Window;

pub mod azure;
pub mod contents;
pub mod local;

/// The name of a staged blob: segments of `[A-Za-z0-9._-]`, separated by `/`. Made here alone, so no name can leave the staging area.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobName(String);

impl BlobName {
    pub fn page(window: Window, cursor: Cursor, digest: Digest) -> Self {
        Self(format!("windows/{}/pages/{:020}-{digest}.json", window.staging_name(), cursor.0))
    }

    /// An attachment of an item. `attempt` distinguishes the tries, of which only the last is right (0 is the first).
    pub fn attachment(window: Window, item: ItemKey, index: usize, attempt: u32) -> Self {
        let suffix = if attempt == 0 { String::new() } else { format!(".{attempt}") };
        Self(format!("windows/{}/attachments/{item}/{index}{suffix}", window.staging_name()))
    }

    /// The mark that the last try of an attachment is wrong, and why.
    pub fn wrong_attachment(window: Window, item: ItemKey, index: usize) -> Self {
        Self(format!("windows/{}/attachments/{item}/{index}.wrong", window.staging_name()))
    }

    /// What the names of [`BlobName::regular_window`] begin with.
    pub const REGULAR_WINDOWS: &str = "regular-windows/";

    /// The mark of a window that the schedule began. It outlives the window.
    pub fn regular_window(window: Window) -> Self {
        Self(format!("{}{}", Self::REGULAR_WINDOWS, window.staging_name()))
    }

    /// The copy of a held item's JSON, which outlives its window.
    pub fn held_item(item: ItemKey) -> Self {
        Self(format!("held/{item}/item.json"))
    }

    /// The copy of a held item's attachment, which outlives its window.
    pub fn held_attachment(item: ItemKey, index: usize) -> Self {
        Self(format!("held/{item}/{index}"))
    }

    /// What the names of all that is staged under a window begin with.
    pub fn window_prefix(window: Window) -> String {
        format!("windows/{}/", window.staging_name())
    }

    /// What the names of an item's attachments begin with.
    pub fn attachments_prefix(window: Window, item: ItemKey) -> String {
        format!("windows/{}/attachments/{item}/", window.staging_name())
    }

    /// What the names of a held item's copies begin with.
    pub fn held_prefix(item: ItemKey) -> String {
        format!("held/{item}/")
    }

    /// What the names of all accounts begin with.
    pub fn reports_prefix() -> &'static str {
        "reports/"
    }

    /// The account of a run.
    pub fn report(run: &str) -> Self {
        let safe =
            |character: char| if character.is_ascii_alphanumeric() || character == '-' { character } else { '_' };
        Self(format!("reports/{}.json", run.chars().map(safe).collect::<String>()))
    }

    /// The signature of the account of a run.
    pub fn report_signature(run: &str) -> Self {
        Self(format!("{}.sig", Self::report(run).0))
    }

    /// The same, where the name has the report of another ledger: this one is an older backup of it.
    pub fn report_beside(run: &str, sequence: i64) -> Self {
        Self::report(&format!("{run}-{sequence}"))
    }

    /// The signature of a report of that name.
    pub fn report_signature_beside(run: &str, sequence: i64) -> Self {
        Self::report_signature(&format!("{run}-{sequence}"))
    }

    /// A blob that a check writes, reads and deletes; `id` is hexadecimal.
    pub fn probe(id: &str) -> Self {
        Self(format!("probes/{}", id.chars().filter(char::is_ascii_hexdigit).collect::<String>()))
    }

    /// Which ledger this staging area belongs to.
    pub fn ledger_id() -> Self {
        Self("ledger-id".to_owned())
    }

    /// What the names of [`BlobName::successor`] begin with.
    pub const SUCCESSORS: &str = "ledger-successors/";

    /// Which ledger took the staging area over, for the n-th time.
    pub fn successor(number: u32) -> Self {
        Self(format!("{}{number:06}", Self::SUCCESSORS))
    }

    /// The number of a [`BlobName::successor`]; `None` for other names.
    pub fn succession(&self) -> Option<u32> {
        self.0.strip_prefix(Self::SUCCESSORS)?.parse().ok()
    }

    /// The name that a caller read from a ledger or a listing; `None` where it isn't one of ours.
    pub fn parse(name: &str) -> Option<Self> {
        let segment_is_safe = |segment: &str| {
            !segment.is_empty()
                && segment != "."
                && segment != ".."
                && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        };
        (name.len() <= 900 && name.split('/').all(segment_is_safe)).then(|| Self(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What was staged of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StagedStream {
    /// Its length in bytes.
    pub length: u64,
    pub digest: Digest,
}

/// The bytes of a stream on their way into staging. Its errors are the other side's.
pub type ByteStream<E> = BoxStream<'static, Result<Bytes, E>>;

/// A staging area. What a call that succeeded has put is durable. Nothing that is staged is ever overwritten.
#[async_trait]
pub trait Staging: Send + Sync {
    /// The staging area's name in logs and messages.
    fn name(&self) -> String;

    /// Makes the area usable: creates it where it is missing and that is allowed.
    async fn prepare(&self) -> Result<(), StagingError>;

    /// Puts `bytes`. A blob of that name with the same bytes is a success, with other bytes a [`StagingError::Conflict`].
    async fn put(&self, name: &BlobName, bytes: Bytes) -> Result<(), StagingError>;

    /// Puts a stream of at most `limit` bytes, without holding it in memory. Same rule for a blob that is there already. Nothing is left
    /// under `name` where the stream fails or is longer than `limit` ([`StagingError::TooLarge`]).
    async fn put_stream(
        &self,
        name: &BlobName,
        bytes: ByteStream<std::io::Error>,
        limit: u64,
    ) -> Result<StagedStream, StagingError>;

    /// The whole blob; [`StagingError::TooLarge`] where it has more than `limit` bytes.
    async fn get(&self, name: &BlobName, limit: u64) -> Result<Bytes, StagingError>;

    /// A part of the blob; [`StagingError::Damaged`] where it ends before the range does.
    async fn get_range(&self, name: &BlobName, range: Range<u64>) -> Result<Bytes, StagingError>;

    /// The blob as a stream.
    async fn open(&self, name: &BlobName) -> Result<ByteStream<StagingError>, StagingError>;

    /// The names that begin with `prefix` (which ends at a `/`, or is empty), sorted, with their sizes in bytes.
    async fn list(&self, prefix: &str) -> Result<Vec<(BlobName, u64)>, StagingError>;

    /// Copies a blob; the same rule as [`Staging::put`] for a target that is there.
    async fn copy(&self, from: &BlobName, to: &BlobName) -> Result<(), StagingError>;

    /// Removes a blob; one that isn't there is a success.
    async fn remove(&self, name: &BlobName) -> Result<(), StagingError>;

    /// Writes the probe of this id anew, over what it is now: the one blob that may be, to see whether a policy refuses it
    /// ([`StagingError::Immutable`]). Without such a request, by removing it first.
    async fn rewrite_probe(&self, id: &str, bytes: Bytes) -> Result<(), StagingError> {
        let name = BlobName::probe(id);
        self.remove(&name).await?;
        self.put(&name, bytes).await
    }

    /// Which policies the service says that the area has; nothing where it has no word for them.
    async fn policies(&self) -> Result<Option<Policies>, StagingError> {
        Ok(None)
    }
}

/// The policies of a container, as the service says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policies {
    /// A time-based retention policy of the container.
    pub time_based: bool,
    /// A legal hold on the container.
    pub legal_hold: bool,
    /// Immutability by versions: what is overwritten or removed stays, as an earlier version.
    pub versions: bool,
}

/// What went wrong in staging. What is done about it is decided in `fault`.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    #[error("{name} is not in staging")]
    NotFound { name: BlobName },
    /// A blob of this name has other bytes. What is staged is never overwritten.
    #[error("{name} is in staging with other content; it was left as it is")]
    Conflict { name: BlobName },
    /// More bytes than allowed.
    #[error("{name} is larger than {limit} bytes")]
    TooLarge {
        name: BlobName,
        /// The limit, in bytes.
        limit: u64,
    },
    /// What is staged isn't what was put.
    #[error("{name} is damaged in staging: {detail}")]
    Damaged { name: BlobName, detail: String },
    /// The stream that was to be staged broke off.
    #[error("the stream for {name} broke off: {detail}")]
    StreamBroken {
        name: BlobName,
        /// Why.
        #[source]
        detail: std::io::Error,
    },
    /// Staging refuses: a right, a credential or the container is missing.
    #[error("staging refuses: {0}")]
    Refused(String),
    #[error("staging asks for a pause: {detail}{}", not_before(*until))]
    Throttled {
        after: Option<Duration>,
        /// When that ends, where it is too long to be waited for.
        until: Option<DateTime<Utc>>,
        detail: String,
    },
    /// Staging can't be reached or fails; it may well answer later. A full disk is one of these.
    #[error("staging is not available: {0}")]
    Unavailable(String),
    /// A retention policy keeps the blob (an answer to [`Staging::remove`] and [`Staging::rewrite_probe`]).
    #[error("{name} is kept by a retention policy: {detail}")]
    Immutable { name: BlobName, detail: String },
}
