//! Why a run could not go on, and what somebody can do about it.

use chrono::{DateTime, Utc};
use tokio::task::JoinError;

use crate::fault::remedy::{self, Kinds};
use crate::ledger::{FailureKind, LedgerError, RunFailure};
use crate::panics::TaskEnded;
use crate::report::chain::ChainError;
use crate::source::{Cursor, SourceError};
use crate::staging::StagingError;
use crate::window::Window;

/// Why a run could not go on. What was staged and recorded stays, and the next run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The source failed at a cursor.
    #[error("reading the window {window} stopped at cursor {cursor}: {error}; the next run continues from there")]
    SourceAt {
        window: Window,
        /// The cursor after the last page that was recorded.
        cursor: Cursor,
        /// What went wrong.
        #[source]
        error: SourceError,
    },
    /// Staging failed.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The staging area belongs to another ledger.
    #[error(
        "{staging} belongs to another ledger ({theirs}; this one is {ours}): with this ledger, everything would be imported a second time. \
         Set ledger.url to the ledger that was used with it, run `rebuild-ledger`, or use an empty staging area"
    )]
    ForeignStaging {
        /// The staging area.
        staging: String,
        /// The ledger that it belongs to.
        theirs: String,
        /// The ledger in use.
        ours: String,
    },
    /// What this ledger staged isn't there any more.
    #[error(
        "{staging} is empty, but this ledger has staged items there: it was emptied, isn't mounted, or is the wrong one. Put \
         back what was there or correct [staging]; to continue without it permanently, write a file or blob named `ledger-id` with the \
         text {ledger} there"
    )]
    StagingGone {
        /// The staging area.
        staging: String,
        /// The id of the ledger in use.
        ledger: String,
    },
    /// The ledger is older than what it staged.
    #[error(
        "this ledger is older than {staging}: it knows nothing of the window {window} that was staged with it. It was restored from a \
         backup, and would import what was sent since a second time. Set ledger.url to a new ledger and run `rebuild-ledger`"
    )]
    OlderLedger {
        /// The staging area.
        staging: String,
        /// A window that the ledger doesn't know.
        window: Window,
    },
    /// The present is before what was read already.
    #[error(
        "there is nothing to read: everything received before {watermark} was read, and the earlier of this machine's clock and the \
         source's permits reading only up to {horizon} (schedule.settle before the time that it shows). Correct the clock that is behind"
    )]
    ClockBehind {
        /// The end of the last window that was read.
        watermark: DateTime<Utc>,
        /// Where a window would end.
        horizon: DateTime<Utc>,
    },
    /// The first window would begin in the future.
    #[error(
        "schedule.start_from lies in the future: the first window would begin at {start_from}, and nothing before it would ever be read. \
         It is {present} now, by the earlier of this machine's clock and the source's. Correct start_from, or the clock"
    )]
    BeginsInTheFuture {
        /// Where the first window is to begin.
        start_from: DateTime<Utc>,
        /// The present.
        present: DateTime<Utc>,
    },
    /// The ledger that is to be rebuilt is in use.
    #[error(
        "this ledger is in use: only a new one can be rebuilt. If this one is damaged, move it away (an SQLite file together with \
         those beside it; rename a PostgreSQL database) and start again"
    )]
    NotRebuildable,
    /// A rebuild found staged pages that can't be read. The ledger can be used.
    #[error(
        "{pages} staged pages can't be read (the log names them); the ledger is rebuilt from all others, and the next run \
         reads the windows of these again, as far as the source still has them"
    )]
    UnreadablePages {
        /// How many.
        pages: u64,
    },
    /// The program was asked to stop.
    #[error("the run was stopped before its end; the next one goes on from there")]
    Stopped,
    /// The process of the run ended before the run did; the account was closed by another one.
    #[error("its process ended before the run did")]
    ProcessGone,
    /// The account doesn't add up.
    #[error("the books don't balance: {0}")]
    Unbalanced(String),
    /// A report could not be written.
    #[error(transparent)]
    Report(#[from] ChainError),
    /// A task of the program panicked.
    #[error(transparent)]
    Task(#[from] TaskEnded),
}

impl From<JoinError> for RunError {
    fn from(error: JoinError) -> Self {
        Self::Task(error.into())
    }
}

impl RunError {
    /// Whether the staging area and the ledger don't belong together, so that nothing may be written to the area.
    pub fn is_about_ownership(&self) -> bool {
        matches!(self, Self::ForeignStaging { .. } | Self::StagingGone { .. } | Self::OlderLedger { .. })
    }

    /// The failure as the ledger keeps it, with these words for it.
    pub(super) fn to_failure(&self, error: String) -> RunFailure {
        let kind = match self {
            Self::Stopped => FailureKind::Stopped,
            Self::Unbalanced(_) => FailureKind::Unbalanced,
            _ => FailureKind::Other,
        };
        RunFailure { kind, error, not_before: self.pause_end() }
    }

    /// When the remote may be asked again that the run could not wait for.
    fn pause_end(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Source(SourceError::Throttled { until, .. })
            | Self::SourceAt { error: SourceError::Throttled { until, .. }, .. }
            | Self::Staging(StagingError::Throttled { until, .. })
            | Self::Report(ChainError::Staging(StagingError::Throttled { until, .. })) => *until,
            _ => None,
        }
    }

    /// What somebody can do about it; nothing where the error says it, or where nothing has to be done.
    pub(super) fn remedy(&self, kinds: Kinds) -> Option<&'static str> {
        Some(match self {
            Self::Source(error) | Self::SourceAt { error, .. } => kinds.of_source(error),
            Self::Staging(error) | Self::Report(ChainError::Staging(error)) => kinds.of_staging(error),
            Self::Ledger(error) | Self::Report(ChainError::Ledger(error)) => return remedy::of_ledger(error),
            Self::ProcessGone => "find out why it ended (out of memory, evicted, killed)",
            Self::Unbalanced(_) => "keep the ledger, the staging area and the log as they are, and report this",
            Self::Task(_) => "report this, with the log",
            Self::ForeignStaging { .. }
            | Self::StagingGone { .. }
            | Self::OlderLedger { .. }
            | Self::ClockBehind { .. }
            | Self::BeginsInTheFuture { .. }
            | Self::NotRebuildable
            | Self::UnreadablePages { .. }
            | Self::Report(_)
            | Self::Stopped => return None,
        })
    }
}
