//! Trying a destination out on a live mailbox: a message is imported, read back, looked for, and deleted for good.
//!
//! The archive folder is made where it is missing; nothing else is left behind. What can't be deleted is reported.

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};

use super::{Destination, ImportError, SendPermit, Verdict};
use crate::convert::Message;
use crate::identity::MessageId;
use crate::resolution::Mailbox;

pub(super) mod sample;

/// A destination that can be tried out.
#[async_trait]
pub trait SelfTest: Send + Sync {
    /// Tries it out on a mailbox.
    async fn self_test(&self, mailbox: &Mailbox) -> Vec<Finding>;
}

/// One line of a self-test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was tried.
    pub what: String,
    /// What was seen, or what is wrong.
    pub result: Result<String, Problem>,
    /// Whether what was seen works and should be looked at.
    pub is_warning: bool,
}

/// What is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl Finding {
    /// Something that is as it should be.
    pub fn good(what: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { what: what.into(), result: Ok(seen.into()), is_warning: false }
    }

    /// Something that works, and should be looked at.
    pub fn warning(what: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { is_warning: true, ..Self::good(what, seen) }
    }

    /// Something that is not.
    pub fn bad(what: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            result: Err(Problem { problem: problem.into(), remedy: remedy.into() }),
            is_warning: false,
        }
    }

    /// Whether it is as it should be.
    pub fn is_good(&self) -> bool {
        self.result.is_ok()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Ok(seen) if self.is_warning => write!(f, "warning: {}: {seen}", self.what),
            Ok(seen) => write!(f, "ok: {}: {seen}", self.what),
            Err(Problem { problem, remedy }) => write!(f, "wrong: {}: {problem}. {remedy}", self.what),
        }
    }
}

/// A destination that gives back the bytes that it was given, and can take a message of its own back.
#[async_trait]
pub(super) trait ByteExact: Destination {
    /// Deletes a message that was just made for a test, and no other, for good. Nothing is wrong where there is none.
    async fn take_back(&self, mailbox: &Mailbox, id: &MessageId) -> Result<(), ImportError>;
}

/// Tries a byte-exact destination out.
pub(super) async fn try_out(destination: &dyn ByteExact, mailbox: &Mailbox, now: DateTime<Utc>) -> Vec<Finding> {
    let message = sample::message((now - TimeDelta::days(400)).trunc_subsecs(0));
    let id = message.mail.message_id.clone();
    let mut findings = match import(destination, mailbox, &message).await {
        Ok(()) => vec![
            Finding::good("import", format!("a message of {} bytes", message.size())),
            read_back(destination, mailbox, &message).await,
            look_up(destination, mailbox, &message).await,
        ],
        // Only after an unknown outcome there can be something to take back.
        Err(error @ ImportError::OutcomeUnknown(_)) => vec![Finding::bad("import", error.to_string(), remedy(&error))],
        Err(error) => return vec![Finding::bad("import", error.to_string(), remedy(&error))],
    };
    findings.push(match destination.take_back(mailbox, &id).await {
        Ok(()) => is_gone(destination, mailbox, &message).await,
        Err(error) => by_hand(&error.to_string()),
    });
    findings
}

async fn import(destination: &dyn ByteExact, mailbox: &Mailbox, message: &Message) -> Result<(), ImportError> {
    let sent = std::sync::Arc::new(Message::new(message.mail.clone()));
    let result = destination.import(mailbox, &[sent], &SendPermit::always()).await.pop();
    result.unwrap_or_else(|| Err(ImportError::Unexpected("no answer".to_owned()))).map(drop)
}

async fn read_back(destination: &dyn ByteExact, mailbox: &Mailbox, message: &Message) -> Finding {
    const WHAT: &str = "read back";
    match destination.verify(mailbox, &[message.manifest()]).await.map(|mut verdicts| verdicts.pop()) {
        Ok(Some(Verdict::Intact)) => Finding::good(WHAT, "there once, byte for byte"),
        Ok(Some(Verdict::Altered { detail })) => Finding::bad(
            WHAT,
            format!("not as it was sent: {detail}"),
            "`verify` will call copies in this mailbox altered; look for a filter or an add-in that changes mail",
        ),
        Ok(verdict) => {
            let remedy = "Look for a rule that moves or copies mail, and try again";
            Finding::bad(WHAT, format!("not there once: {verdict:?}"), remedy)
        }
        Err(error) => Finding::bad(WHAT, error.to_string(), remedy(&error)),
    }
}

async fn look_up(destination: &dyn ByteExact, mailbox: &Mailbox, message: &Message) -> Finding {
    const WHAT: &str = "look-up by Message-ID";
    match destination.recover(mailbox, message, &SendPermit::always()).await {
        Ok(Some(_)) => Finding::good(WHAT, "found"),
        Ok(None) => Finding::bad(WHAT, "not found", "Don't use this server: copies would be doubled after a crash"),
        Err(error) => Finding::bad(WHAT, error.to_string(), remedy(&error)),
    }
}

async fn is_gone(destination: &dyn ByteExact, mailbox: &Mailbox, message: &Message) -> Finding {
    match destination.recover(mailbox, message, &SendPermit::always()).await {
        Ok(None) => Finding::good("clean up", "the message is deleted for good"),
        Ok(Some(_)) => by_hand("the message is still there"),
        Err(error) => by_hand(&error.to_string()),
    }
}

fn by_hand(problem: &str) -> Finding {
    Finding::bad("clean up", problem, "Delete the message with \"self-test\" in its subject by hand")
}

fn remedy(error: &ImportError) -> &'static str {
    match error {
        ImportError::Forbidden(_) => "Grant what is missing, or correct [mailbox], and try again",
        ImportError::Throttled { .. } | ImportError::Unavailable(_) => "Try again later",
        ImportError::OutcomeUnknown(_) => {
            "Try again later, and delete what may still come with \"self-test\" in its subject by hand"
        }
        ImportError::Rejected(_) | ImportError::Incomplete { .. } | ImportError::Unexpected(_) => {
            "Look into the server's log"
        }
    }
}
