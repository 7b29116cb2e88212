//! Opening a ledger, and bringing it up to date.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyPool, ConnectOptions as _, Connection as _, Executor as _};

use super::database_file::DatabaseFile;
use super::names::Names;
use super::sql::Dialect;
use super::{Ledger, LedgerError, address, compaction, database_error, existing, presence, probe, schema};

/// How long a caller waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

impl Ledger {
    /// Opens the ledger at `url` (`sqlite://…` or `postgres://…`), creating an SQLite file that is missing, and brings
    /// its schema up to date. Fails where it was written by a newer version, or another ledger has taken its place.
    pub async fn open(url: &str) -> Result<Self, LedgerError> {
        let ledger = Self::open_for_copy(url).await?;
        ledger.refuse_unusable().await?;
        Ok(ledger)
    }

    /// An empty ledger that ends with this process and leaves nothing behind.
    pub async fn open_in_memory() -> Result<Self, LedgerError> {
        Self::open(address::IN_MEMORY).await
    }

    /// Opens a ledger that is there already. Where there is none, nothing is made.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Missing`], beside what [`open`](Self::open) fails with.
    pub async fn open_existing(url: &str) -> Result<Self, LedgerError> {
        let ledger = Self::open_existing_for_copy(url).await?;
        ledger.refuse_unusable().await?;
        Ok(ledger)
    }

    /// Opens a ledger that is there already and is to be copied: also one that another has replaced.
    pub async fn open_existing_for_copy(url: &str) -> Result<Self, LedgerError> {
        existing::require_file(url)?;
        let pool = connect(url).await?;
        if !existing::has_tables(&pool, Dialect::of(url)).await? {
            pool.close().await;
            return Err(LedgerError::Missing { place: address::redacted(url), detail: ", only an empty database" });
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
        let writer = match dialect {
            // Opened when something is first written: most commands only read.
            Dialect::Sqlite if !address::is_in_memory(url) => {
                pool_options(url, 1, &["PRAGMA cache_size = -8192"]).connect_lazy_with(options_of(url)?)
            }
            Dialect::Sqlite | Dialect::Postgres => pool.clone(),
        };
        Ok(Self { pool, writer, dialect, id, presence, file, names: Names::default() })
    }
}

/// Connects to a ledger's database; a missing SQLite file is created.
pub(super) async fn connect(url: &str) -> Result<AnyPool, LedgerError> {
    sqlx::any::install_default_drivers();
    database_error::hide_password(url);
    if !address::is_in_memory(url) {
        probe::connect_once(url, &options_of(url)?, Dialect::of(url)).await?;
    }
    let pool = pool_options(url, Dialect::of(url).connections(), &[]).connect_with(options_of(url)?);
    pool.await.map_err(|error| cannot_open(url, &error))
}

/// So many connections at the most, each with these settings beside those of all.
fn pool_options(url: &str, connections: u32, settings: &'static [&'static str]) -> AnyPoolOptions {
    let dialect = Dialect::of(url);
    AnyPoolOptions::new()
        // What lies in memory is its one connection's own.
        .max_connections(if address::is_in_memory(url) { 1 } else { connections })
        .min_connections(u32::from(address::is_in_memory(url)))
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // Who waits for longer is told an error; a line of the library's own says less.
        .acquire_slow_threshold(ACQUIRE_TIMEOUT)
        // A file's connection is there as long as the process. To ask each time costs a wait for its thread.
        .test_before_acquire(dialect == Dialect::Postgres)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                for statement in dialect.session().iter().chain(settings) {
                    connection.execute(*statement).await?;
                }
                Ok(())
            })
        })
        // A transaction that could be neither committed nor rolled back (the disk is full) would be in the way of the next.
        .after_release(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
}

fn options_of(url: &str) -> Result<AnyConnectOptions, LedgerError> {
    let options = AnyConnectOptions::from_str(&Dialect::of(url).connect_url(url));
    Ok(options.map_err(|error| cannot_open(url, &error))?.disable_statement_logging())
}

fn cannot_open(url: &str, error: &sqlx::Error) -> LedgerError {
    LedgerError::Open { url: address::redacted(url), detail: database_error::in_words(error) }
}
