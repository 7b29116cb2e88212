//! What `check` finds, one line each: offline here, each remote in turn in [`online`].

use std::fmt;

use chrono::{DateTime, Utc};

use crate::app::files::{self, WrongKey};
use crate::config::Config;
use crate::mailbox::self_test;
use crate::report::signature::SigningKey;
use crate::status::Credential;

pub mod database_file;
pub mod file_modes;
mod online;

pub use online::{online, staging};

/// What the finding about overwriting and removing staged blobs is called.
const RETENTION: &str = "retention";

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

/// The keys that the configuration names, as far as they can be judged without asking anybody.
pub fn keys(config: &Config) -> Vec<Finding> {
    let signing = files::signing_key(config).map(|key| {
        let summary = |key: SigningKey| format!("Ed25519, signed_with {}", key.public().fingerprint());
        key.map(|key| Finding::ok("signing key", summary(key)))
    });
    let certificate = files::certificate(config)
        .map(|is_there| is_there.then(|| Finding::ok("certificate", "an RSA key and its certificate".to_owned())));
    let or_wrong = |found: Result<Option<Finding>, WrongKey>, what: &str| {
        found.unwrap_or_else(|wrong| Some(wrong_key(what, &wrong)))
    };
    [or_wrong(signing, "signing key"), or_wrong(certificate, "certificate")].into_iter().flatten().collect()
}

/// When the credentials end, as far as they say so.
pub fn credentials(config: &Config, now: DateTime<Utc>) -> Vec<Finding> {
    const WHAT: &str = "credential";
    let judge = |credential: Credential| match (credential.ending(now), credential.expires) {
        (Some(ending), _) if ending.is_past => Finding::wrong(
            WHAT,
            ending.detail,
            "put the new one where the configuration names it; no restart is needed",
        ),
        (Some(ending), _) => Finding::warning(WHAT, ending.detail),
        (None, Some(end)) => Finding::ok(WHAT, format!("{} ends at {}", credential.credential, end.to_rfc3339())),
        (None, None) => Finding::not_tried(
            WHAT,
            format!("{} doesn't say when it ends: look where it was made", credential.credential),
        ),
    };
    crate::app::credentials::of(config).into_iter().map(|found| judge(found.credential)).collect()
}

fn wrong_key(what: &str, wrong: &WrongKey) -> Finding {
    let remedy = match wrong {
        WrongKey::Unreadable(error) => error.fault.remedy(),
        WrongKey::Signing(_) => "put a key where report.signing_key points: without one that works nothing is begun",
        WrongKey::Certificate(_) => "put certificate and private key, as PEM, where microsoft.certificate points",
    };
    Finding::wrong(what, wrong.to_string(), remedy)
}

impl From<self_test::Finding> for Finding {
    fn from(found: self_test::Finding) -> Self {
        match found.result {
            Ok(seen) if found.is_warning => Self::warning(&found.what, seen),
            Ok(seen) => Self::ok(&found.what, seen),
            Err(problem) => Self::wrong(&found.what, problem.problem, &problem.remedy),
        }
    }
}
