//! How often something was tried before it was given up, or until when it is to be left alone, in the words of its error.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

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

    /// The same error of a remote that asks for a pause, with the end of that in its words.
    #[must_use]
    fn not_before(self, _until: DateTime<Utc>) -> Self {
        self
    }
}

fn said(detail: &str, tried: Tried) -> String {
    format!("{detail} ({tried})")
}

/// What stands before the end of a pause.
const NOT_BEFORE: &str = ", not before ";

/// The end of the pause that an error's words name, where they name one.
pub fn pause_end(words: &str) -> Option<DateTime<Utc>> {
    let (_, rest) = words.rsplit_once(NOT_BEFORE)?;
    let end = rest.split_inclusive('Z').next()?;
    DateTime::parse_from_rfc3339(end).ok().map(|end| end.to_utc())
}

fn until(detail: &str, until: DateTime<Utc>) -> String {
    format!("{detail}{NOT_BEFORE}{}", until.to_rfc3339_opts(SecondsFormat::Secs, true))
}

impl SayTried for SourceError {
    fn after(self, tried: Tried) -> Self {
        match self {
            Self::Throttled { after, detail } => Self::Throttled { after, detail: said(&detail, tried) },
            Self::Unavailable(detail) => Self::Unavailable(said(&detail, tried)),
            Self::PageUnreadable { cursor, detail } => Self::PageUnreadable { cursor, detail: said(&detail, tried) },
            other => other,
        }
    }

    fn not_before(self, end: DateTime<Utc>) -> Self {
        match self {
            Self::Throttled { after, detail } => Self::Throttled { after, detail: until(&detail, end) },
            other => other,
        }
    }
}

impl SayTried for StagingError {
    fn not_before(self, end: DateTime<Utc>) -> Self {
        match self {
            Self::Throttled { after, detail } => Self::Throttled { after, detail: until(&detail, end) },
            other => other,
        }
    }

    fn after(self, tried: Tried) -> Self {
        match self {
            Self::Throttled { after, detail } => Self::Throttled { after, detail: said(&detail, tried) },
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

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    #[test]
    fn words_tell_the_end_of_a_pause() {
        let end = Utc.with_ymd_and_hms(2026, 11, 22, 3, 0, 0).unwrap();
        let error = SourceError::Throttled { after: None, detail: "slow down, not before noon".to_owned() };
        let words = format!("it stopped: {}; the next run goes on from there", error.not_before(end));
        assert_eq!(pause_end(&words), Some(end));
        for words in ["", "slow down", "slow down, not before noon", "slow down, not before 2026-11-22"] {
            assert_eq!(pause_end(words), None, "{words}");
        }
    }
}
