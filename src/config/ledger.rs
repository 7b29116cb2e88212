//! `[ledger]`: where it is recorded what happened to every item.

use std::path::PathBuf;
use std::time::Duration;

use super::Secret;
use super::Url;

/// Where it is recorded what happened to every item.
#[derive(Debug, Clone)]
pub struct LedgerConfig {
    /// Which database it is.
    pub url: LedgerUrl,
    /// How long a dead replica's work waits; at least ten seconds.
    pub lease: Duration,
}

/// The databases of a ledger.
#[derive(Debug, Clone)]
pub enum LedgerUrl {
    /// A file of SQLite.
    Sqlite(PathBuf),
    /// PostgreSQL.
    Postgres {
        /// Its address, without a password.
        url: Url,
        /// The user's password.
        password: Option<Secret>,
    },
}
