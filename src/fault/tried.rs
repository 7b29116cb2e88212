//! How often something was tried before it was given up, or until when it is to be left alone, told by its error.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::ledger::LedgerError;
use crate::mailbox::ImportError;
use crate::source::SourceError;
use crate::staging::StagingError;

/// How often, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Tried {
    /// Tries in all.
    pub attempts: u32,
    /// From the first to the last.
    pub lasted: Duration,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tried {} times in {} s", self.attempts, self.lasted.as_secs())
    }
}

/// An error that can say how often it was met.
pub trait SayTried: Sized {
    /// The same error with that in its words, where it has words of its own; it keeps its source.
    #[must_use]
    fn after(self, _tried: Tried) -> Self {
        self
    }

    /// The same error of a remote that asks for a pause, with the end of that.
    #[must_use]
    fn not_before(self, _until: DateTime<Utc>) -> Self {
        self
    }
}

fn said(detail: &str, tried: Tried) -> String {
    format!("{detail} ({tried})")
}

impl SayTried for SourceError {
    fn after(self, tried: Tried) -> Self {
        match self {
            Self::Throttled { after, until, detail } => Self::Throttled { after, until, detail: said(&detail, tried) },
            Self::Unavailable(detail) => Self::Unavailable(said(&detail, tried)),
            Self::PageUnreadable { cursor, detail } => Self::PageUnreadable { cursor, detail: said(&detail, tried) },
            other => other,
        }
    }

    fn not_before(self, end: DateTime<Utc>) -> Self {
        match self {
            Self::Throttled { after, detail, .. } => Self::Throttled { after, until: Some(end), detail },
            other => other,
        }
    }
}

impl SayTried for StagingError {
    fn not_before(self, end: DateTime<Utc>) -> Self {
        match self {
            Self::Throttled { after, detail, .. } => Self::Throttled { after, until: Some(end), detail },
            other => other,
        }
    }

    fn after(self, tried: Tried) -> Self {
        match self {
            Self::Throttled { after, until, detail } => Self::Throttled { after, until, detail: said(&detail, tried) },
            Self::Unavailable(detail) => Self::Unavailable(said(&detail, tried)),
            other => other,
        }
    }
}

impl SayTried for ImportError {
    fn after(self, tried: Tried) -> Self {
        match self {
            Self::Throttled { after, detail } => Self::Throttled { after, detail: said(&detail, tried) },
            Self::Unavailable(detail) => Self::Unavailable(said(&detail, tried)),
            other => other,
        }
    }
}

impl SayTried for LedgerError {}
