//! The ledger: what happened to every item, in every mailbox. The one place that remembers.
//!
//! SQLite in WAL mode (embedded) and PostgreSQL (shared) are spoken to with the same SQL, through one mechanism: a
//! process works on what it holds a lease for, and every change of state is one transaction. A call that returned has
//! made its change durable.
//!
//! ```text
//! runs ── windows (cursor)                 what was read, and how far
//!   └──── pages                            one row a page of items
//!   └──── items (what was staged, where)   one row a capture
//!           ├── messages (manifest)        one row a conversion
//!           └── deliveries (state)         one row a mailbox, or one of the item's own where it fails before that
//! ```

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use sqlx::{Any, AnyPool, Transaction};

mod account;
mod actions;
mod address;
mod captures;
mod clocks;
mod commit;
mod compaction;
mod copy;
mod daemon;
mod database_error;
mod database_file;
mod deliveries;
mod encoding;
mod error;
mod existing;
mod followers;
mod ids;
mod items;
mod leases;
mod mapping_rules;
mod messages;
mod meta;
mod names;
mod open;
mod pending;
mod presence;
mod probe;
mod proof;
mod purged;
mod rebuilding;
mod release;
mod reports;
mod retention;
mod runs;
mod schema;
mod shrinking;
mod silence;
mod sql;
mod superseded;
mod verification;
mod windows;

pub use account::{AccountCounts, Failure, FailureFilter, ListPlace, Unmapped};
pub use actions::{ActionKind, AdminAction};
pub use captures::{Capture, GroupDay, NeverCaptured, Reference, Relation};
pub use copy::CopyError;
pub use daemon::DaemonSeen;
pub use deliveries::{
    Claim, Delivery, DeliveryRow, DeliveryState, Left, NewDelivery, OpenCounts, OpenElsewhere, Outcome, PartialReason,
    QueueOf, RowReason, Target,
};
pub use error::LedgerError;
pub(crate) use existing::refuse_only_its_log;
pub use followers::Sender;
pub use ids::{ItemNo, RunId};
pub use items::{
    AttachmentRecord, AttachmentState, ItemRecord, ItemSelection, ItemState, NewItem, PageRecord, Prepared,
};
pub use leases::{Holder, Lease};
pub use mapping_rules::MappingRule;
pub use pending::{CauseGroup, MAILBOX_GONE, MAILBOX_NOT_CONFIRMED, OpenGroup, PendingCause, UNREADABLE};
pub use presence::Presence;
pub use probe::check_pages;
pub use proof::{CopyFacts, ItemName};
pub use purged::PurgedItem;
pub use release::HeldSelection;
pub use reports::{ChainLink, DrawnReport, ReportEntry};
pub use retention::HeldCopy;
pub use runs::{FailureKind, RunFailure, RunKind, RunRecord, RunStatus};
pub use shrinking::Shrunk;
pub use silence::{OwnerDays, ReadSpan};
pub use verification::{Imported, ImportedCopy, KnownCopy};
pub use windows::StoredWindow;

use database_file::DatabaseFile;
use names::Names;
use sql::Dialect;

/// An open ledger. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    pool: AnyPool,
    /// Where everything is written. On SQLite a single connection: a commit invalidates the page cache of every connection but its own.
    writer: AnyPool,
    dialect: Dialect,
    id: String,
    /// Where the processes that live beside an SQLite ledger lock a file each.
    presence: Option<PathBuf>,
    /// The file of an SQLite ledger.
    file: Option<DatabaseFile>,
    names: Names,
}

impl Ledger {
    /// When the ledger was made; nothing where its id doesn't say.
    pub fn made(&self) -> Option<DateTime<Utc>> {
        let (seconds, nanos) = uuid::Uuid::parse_str(&self.id).ok()?.get_timestamp()?.to_unix();
        DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
    }

    /// The ledger's own id, by which a staging area recognises the ledger it belongs to.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it ends with this process.
    pub fn is_in_memory(&self) -> bool {
        self.dialect == Dialect::Sqlite && self.presence.is_none()
    }

    /// Closes all connections. What was written is durable already.
    pub async fn close(&self) {
        self.writer.close().await;
        self.pool.close().await;
    }

    /// A transaction that writes. On SQLite it takes the write lock at once: one that first reads and then writes
    /// would fail where another writer came between.
    async fn begin(&self) -> Result<Transaction<'static, Any>, LedgerError> {
        Ok(self.writer()?.begin_with(self.dialect.begin()).await?)
    }

    /// Where to write. Fails where the file that was opened isn't there any more: what is written to it would be lost.
    fn writer(&self) -> Result<&AnyPool, LedgerError> {
        if let Some(file) = &self.file {
            file.check()?;
        }
        Ok(&self.writer)
    }
}
