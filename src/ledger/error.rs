//! What went wrong with the ledger, and what to do about it.

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::database_error;

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
        "there is no ledger at {place}{detail}. Nothing was created or changed. If this is the right place and nothing has run \
         yet, `run` creates one; otherwise check ledger.url and whether its disk is mounted. If the ledger is lost, restore it, or \
         rebuild it with `rebuild-ledger`"
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
         still save the old one. Put the database file back; only if it is lost for good, move the log away, and run \
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
    #[error("the ledger failed: {}", database_error::in_words(.0))]
    Database(sqlx::Error),
    /// PostgreSQL was told to commit, didn't answer, and can't say what became of that.
    #[error(
        "the ledger did not answer when it was told to commit, so that what was to be recorded may be recorded or not: {}. The next run \
         goes on from what is recorded",
        database_error::in_words(.0)
    )]
    CommitUnknown(sqlx::Error),
    /// What it holds isn't what was written.
    #[error("the ledger is damaged: {0}; restore it, or rebuild it with `rebuild-ledger`")]
    Damaged(String),
    /// It lost what was committed to it while the program had it open.
    #[error(
        "the ledger no longer holds what was committed to it: a standby server that took over lacks the last commits. Nothing was \
         written; the next attempt reads everything again. Have the primary confirm a commit only once the standby has it"
    )]
    CommitsLost,
    /// This machine's clock isn't the database server's.
    #[error(
        "this machine's clock shows {ours}, the database server's shows {theirs}: leases are compared by the clock, so with \
         more than {most} s between them two processes could send the same copies. Correct the clock that is wrong"
    )]
    ClocksDiffer {
        /// What this machine's clock shows.
        ours: DateTime<Utc>,
        /// What the server's shows.
        theirs: DateTime<Utc>,
        /// How far they may be apart, in seconds.
        most: i64,
    },
    /// It was copied into another database, which took its place.
    #[error(
        "this ledger was copied to {by}, which took its place: set ledger.url to that address. Whatever was sent from this one would be \
         unknown there, and would be sent again"
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
        if database_error::is_damage(&error) {
            Self::Damaged(database_error::in_words(&error))
        } else {
            Self::Database(error)
        }
    }
}
