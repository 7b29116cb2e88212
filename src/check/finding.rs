//! One line of a check.

use std::fmt;

/// What the finding about overwriting and removing staged blobs is called.
pub(super) const RETENTION: &str = "retention";

/// One line of a check: ok, not tried, or what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    what: String,
    level: Level,
    detail: String,
    remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Ok,
    Warning,
    NotTried,
    Wrong,
}

impl Finding {
    /// Where the detail begins on its line, in columns.
    pub const DETAIL: usize = 38;

    /// All is well.
    pub fn ok(what: &str, detail: String) -> Self {
        Self { what: what.to_owned(), level: Level::Ok, detail, remedy: None }
    }

    /// It works, and should be looked at.
    pub fn warning(what: &str, detail: String) -> Self {
        Self { what: what.to_owned(), level: Level::Warning, detail, remedy: None }
    }

    /// It was not looked at.
    pub fn not_tried(what: &str, detail: String) -> Self {
        Self { what: what.to_owned(), level: Level::NotTried, detail, remedy: None }
    }

    /// It doesn't work.
    pub fn wrong(what: &str, detail: String, remedy: &str) -> Self {
        Self { what: what.to_owned(), level: Level::Wrong, detail, remedy: Some(remedy.to_owned()) }
    }

    /// What was found out about overwriting and removing staged blobs, where that was tried: the next report of the chain has it.
    pub fn retention(&self) -> Option<&str> {
        (self.what == RETENTION).then_some(self.detail.as_str())
    }

    /// Whether nothing is wrong.
    pub fn is_ok(&self) -> bool {
        self.level != Level::Wrong
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::NotTried => "untried",
            Level::Wrong => "WRONG",
        };
        write!(f, "{:<28} {level:<8} {}", self.what, self.detail)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n{:<28} to do    {remedy}", ""),
            None => Ok(()),
        }
    }
}
