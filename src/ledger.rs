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
use std::str::FromStr as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyPool, ConnectOptions as _, Connection as _, Executor as _, Row as _, Transaction};

mod account;
mod actions;
mod captures;
mod clocks;
mod compaction;
mod copy;
mod daemon;
mod database_file;
mod deliveries;
mod encoding;
mod existing;
mod followers;
mod items;
mod leases;
mod mapping_rules;
mod names;
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
mod silence;
mod sql;
mod stored_report;
mod verification;
mod words;

pub use account::{AccountCounts, Failure, FailureFilter, ListPlace, Unmapped};
pub use actions::{ActionKind, AdminAction};
pub use captures::{Capture, GroupDay, NeverCaptured, Reference, Relation};
pub use copy::CopyError;
pub use daemon::DaemonSeen;
pub use deliveries::{
    Claim, Delivery, DeliveryRow, DeliveryState, NewDelivery, OpenCounts, Outcome, PartialReason, QueueOf, RowReason,
    Target,
};
pub(crate) use existing::refuse_only_its_log;
pub use followers::Sender;
pub use items::{
    AttachmentRecord, AttachmentState, ItemRecord, ItemSelection, ItemState, NewItem, PageRecord, Prepared,
};
pub use leases::{Holder, Lease};
pub use mapping_rules::MappingRule;
pub use pending::{CauseGroup, OpenGroup, PendingCause, UNREADABLE};
pub use presence::Presence;
pub use probe::check_pages;
pub use proof::{CopyFacts, ItemName};
pub use purged::PurgedItem;
pub use release::HeldSelection;
pub use reports::{ChainLink, DrawnReport, ReportEntry};
pub use retention::HeldCopy;
pub use runs::{RunKind, RunRecord, RunStatus, StoredWindow};

pub use silence::{OwnerDays, ReadSpan, day_of, end_of_day};
pub use stored_report::StoredReport;
pub use verification::{ImportedCopy, KnownCopy};

use clocks::MAX_CLOCK_DIFFERENCE;
use database_file::DatabaseFile;
use names::Names;
use sql::Dialect;

/// The ledger's own number of an item: ascending in the order in which items were recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemNo(pub i64);

/// A run's id: a UUID of version 7, so that ids sort by time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What went wrong with the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It can't be opened.
    #[error(
        "the ledger {url} can't be opened: {detail}; check ledger.url, and that its directory exists and is writable"
    )]
    Open {
        /// Its URL, without a password.
        url: String,
        /// What the database said.
        detail: String,
    },
    /// There is none, and the caller may not make one.
    #[error(
        "there is no ledger at {place}{detail}. Nothing was made or changed. Where this is the right place and nothing has run \
         yet, `run` makes one; otherwise check ledger.url and whether its disk is mounted; a lost ledger is restored, or \
         rebuilt with `rebuild-ledger`"
    )]
    Missing {
        /// Where it was looked for, without a password.
        place: String,
        /// What is there instead, where anything is.
        detail: &'static str,
    },
    /// The database file is gone, and its write-ahead log is still there.
    #[error(
        "the ledger {place} is missing, but its write-ahead log {place}-wal is there: a new ledger would overwrite what may \
         still save the old one. Put the database file back; only where it is lost for good, move the log away, and use \
         `rebuild-ledger`"
    )]
    OnlyItsLog {
        /// The missing file.
        place: String,
    },
    /// A later version of this program wrote it.
    #[error(
        "the ledger was written by a newer version of this program (schema {found}, this one knows {known}); \
         run that version, or restore a ledger from before the upgrade"
    )]
    Newer {
        /// The ledger's schema version.
        found: i64,
        /// The newest one that this program knows.
        known: i64,
    },
    /// An SQLite file was deleted or replaced while it was open.
    #[error(
        "the ledger file {} was deleted or replaced while the program had it open ({detail}); nothing more is done with it. \
         Put the file back and start again, or run `rebuild-ledger`",
        path.display()
    )]
    FileGone {
        /// The file that was opened.
        path: PathBuf,
        /// What is there now.
        detail: String,
    },
    /// An older version's ledger that other processes are using.
    #[error(
        "the ledger is an older version's (schema {found}), and in use: {detail}. Stop all daemons and commands of the older version, on \
         all machines, then start again: the ledger is brought into the new form only while nobody uses it. Nothing was changed"
    )]
    OlderInUse {
        /// Its schema version.
        found: i64,
        /// What shows that.
        detail: String,
    },
    /// The database failed.
    #[error("the ledger failed: {}", words::of(.0))]
    Database(sqlx::Error),
    /// What it holds isn't what was written.
    #[error("the ledger is damaged: {0}; restore it, or rebuild it with `rebuild-ledger`")]
    Damaged(String),
    /// It lost what was committed to it while the program had it open.
    #[error(
        "the ledger doesn't hold any more what was committed to it: a database server that stands in for another one lacks its last \
         commits. Nothing was written; the next attempt reads everything anew. Have the server confirm a commit only once the other one has it"
    )]
    CommitsLost,
    /// This machine's clock isn't the database server's.
    #[error(
        "this machine's clock shows {ours}, the database server's shows {theirs}: leases are compared by the clock, so with \
         more than {MAX_CLOCK_DIFFERENCE} s between them two processes could send the same copies. Correct the clock that is wrong"
    )]
    ClocksDiffer {
        /// What this machine's clock shows.
        ours: DateTime<Utc>,
        /// What the server's shows.
        theirs: DateTime<Utc>,
    },
    /// It was copied into another database, which took its place.
    #[error(
        "this ledger was copied to {by}, which took its place: set ledger.url to that; whatever this one sent would be unknown there, \
         and sent again"
    )]
    Superseded {
        /// The other's address.
        by: String,
    },
    /// It is a copy that isn't finished.
    #[error(
        "this ledger is an unfinished copy of another; finish it with `ledger copy`, from the other one's configuration"
    )]
    UnfinishedCopy,
    /// A lease ran out while its work went on, so that another process may have taken it over.
    #[error("the lease of {0} was lost to another process")]
    LeaseLost(String),
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        if probe::is_damage(&error) { Self::Damaged(words::of(&error)) } else { Self::Database(error) }
    }
}

/// An open ledger. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    pool: AnyPool,
    dialect: Dialect,
    id: String,
    /// Where the processes that live beside an SQLite ledger lock a file each.
    presence: Option<PathBuf>,
    /// The file of an SQLite ledger.
    file: Option<DatabaseFile>,
    names: Names,
}

impl Ledger {
    /// Opens the ledger at `url` (`sqlite://…` or `postgres://…`), creating an SQLite file that is missing, and brings
    /// its schema up to date. Fails where it was written by a newer version, or another ledger has taken its place.
    pub async fn open(url: &str) -> Result<Self, LedgerError> {
        let ledger = Self::open_for_copy(url).await?;
        ledger.refuse_left().await?;
        Ok(ledger)
    }

    /// An empty ledger that ends with this process and leaves nothing behind.
    pub async fn open_in_memory() -> Result<Self, LedgerError> {
        Self::open(IN_MEMORY).await
    }

    /// Opens a ledger that is there already. Where there is none, nothing is made.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Missing`], beside what [`open`](Self::open) fails with.
    pub async fn open_existing(url: &str) -> Result<Self, LedgerError> {
        let ledger = Self::open_existing_for_copy(url).await?;
        ledger.refuse_left().await?;
        Ok(ledger)
    }

    /// Opens a ledger that is there already and is to be copied: also one that another has replaced.
    pub async fn open_existing_for_copy(url: &str) -> Result<Self, LedgerError> {
        existing::require_file(url)?;
        let pool = connect(url).await?;
        if !existing::has_tables(&pool, Dialect::of(url)).await? {
            pool.close().await;
            return Err(LedgerError::Missing { place: redacted(url), detail: ", only an empty database" });
        }
        Self::on(pool, url).await
    }

    /// Opens a ledger that is to be copied, or copied into: also one whose place another has taken.
    pub async fn open_for_copy(url: &str) -> Result<Self, LedgerError> {
        let pool = connect(url).await?;
        Self::on(pool, url).await
    }

    /// The ledger in a database, its schema brought up to date.
    async fn on(pool: AnyPool, url: &str) -> Result<Self, LedgerError> {
        let dialect = Dialect::of(url);
        let (presence, file) = (presence::directory_beside(url), DatabaseFile::opened(url));
        let id = schema::migrate(&pool, dialect, presence.as_deref()).await?;
        compaction::finish(&pool, dialect).await?;
        Ok(Self { pool, dialect, id, presence, file, names: Names::default() })
    }

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
        self.pool.close().await;
    }

    /// A transaction that writes. On SQLite it takes the write lock at once: one that first reads and then writes
    /// would fail where another writer came between.
    async fn begin(&self) -> Result<Transaction<'static, Any>, LedgerError> {
        if let Some(file) = &self.file {
            file.check()?;
        }
        Ok(self.pool.begin_with(self.dialect.begin()).await?)
    }

    /// A value that the program remembers under a name.
    pub async fn get_meta(&self, name: &str) -> Result<Option<String>, LedgerError> {
        let row =
            sqlx::query("SELECT value FROM meta WHERE name = $1").bind(name.to_owned()).fetch_optional(&self.pool);
        Ok(row.await?.map(|row| row.try_get("value")).transpose()?)
    }

    /// Remembers a value under a name; `None` forgets it.
    pub async fn set_meta(&self, name: &str, value: Option<&str>) -> Result<(), LedgerError> {
        match value {
            Some(value) => {
                sqlx::query(
                    "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                )
                .bind(name.to_owned())
                .bind(value.to_owned())
                .execute(&self.pool)
                .await?
            }
            None => sqlx::query("DELETE FROM meta WHERE name = $1").bind(name.to_owned()).execute(&self.pool).await?,
        };
        Ok(())
    }
}

/// The address of a ledger in memory.
const IN_MEMORY: &str = "sqlite::memory:?mode=rwc";

fn is_in_memory(url: &str) -> bool {
    url == IN_MEMORY
}

/// Connects to a ledger's database; a missing SQLite file is created.
async fn connect(url: &str) -> Result<AnyPool, LedgerError> {
    sqlx::any::install_default_drivers();
    words::hide_password(url);
    let open_error = |error: sqlx::Error| LedgerError::Open { url: redacted(url), detail: words::of(&error) };
    let dialect = Dialect::of(url);
    let options =
        AnyConnectOptions::from_str(&dialect.connect_url(url)).map_err(open_error)?.disable_statement_logging();
    if !is_in_memory(url) {
        probe::connect_once(url, &options, dialect).await?;
    }
    AnyPoolOptions::new()
        // What lies in memory is its one connection's own.
        .max_connections(if is_in_memory(url) { 1 } else { dialect.connections() })
        .min_connections(u32::from(is_in_memory(url)))
        .acquire_timeout(Duration::from_secs(30))
        // A file's connection is there as long as the process. To ask each time costs a wait for its thread.
        .test_before_acquire(dialect == Dialect::Postgres)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                for statement in dialect.session() {
                    connection.execute(*statement).await?;
                }
                Ok(())
            })
        })
        // A transaction that could be neither committed nor rolled back (the disk is full) would be in the way of the next.
        .after_release(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .connect_with(options)
        .await
        .map_err(open_error)
}

/// The URL without user name and password.
fn redacted(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => url.to_owned(),
    }
}
