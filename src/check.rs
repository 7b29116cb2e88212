//! The checks of `check --online`: each remote in turn, one line each.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::app::App;
use crate::digest::Digest;
use crate::resolve::users::Answer;
use crate::sign_in::Audience;
use crate::staging::{BlobName, Staging, StagingError};

/// One line of a check: ok, or what is wrong and what to do.
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
    Wrong,
}

impl Finding {
    /// All is well.
    pub fn ok(what: &str, detail: String) -> Self {
        Self { what: what.to_owned(), level: Level::Ok, detail, remedy: None }
    }

    /// It works, and should be looked at.
    pub fn warning(what: &str, detail: String) -> Self {
        Self { what: what.to_owned(), level: Level::Warning, detail, remedy: None }
    }

    /// It doesn't work.
    pub fn wrong(what: &str, detail: String, remedy: &str) -> Self {
        Self { what: what.to_owned(), level: Level::Wrong, detail, remedy: Some(remedy.to_owned()) }
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
            Level::Wrong => "WRONG",
        };
        write!(f, "{:<15} {level:<8} {}", self.what, self.detail)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n{:<15} to do    {remedy}", ""),
            None => Ok(()),
        }
    }
}

/// Asks each remote in turn, and a mailbox too where one is named.
pub async fn online(app: &App, mailbox: Option<&str>) -> Vec<Finding> {
    let mut findings = vec![source(app).await, staging(app).await];
    findings.extend(sign_in(app).await);
    findings.push(users(app, mailbox).await);
    if let Some(address) = mailbox {
        findings.extend(self_test(app, address).await);
    }
    findings
}

async fn source(app: &App) -> Finding {
    let source = &app.remotes.source;
    match source.log_in().await {
        Err(error) => Finding::wrong(
            "source",
            error.to_string(),
            "check [source]: base_url, username, password, and that this machine may reach it",
        ),
        Ok(time) => {
            let skew = time.map_or(Duration::ZERO, |time| (time - app.clock.now()).abs().to_std().unwrap_or_default());
            let told = format!("{}: logged in", source.name());
            if skew > Duration::from_mins(5) {
                return Finding::warning(
                    "source",
                    format!("{told}; its clock and ours differ by {} s: check NTP", skew.as_secs()),
                );
            }
            Finding::ok("source", told)
        }
    }
}

async fn staging(app: &App) -> Finding {
    let staging = app.remotes.staging.as_ref();
    match probe(staging, app).await {
        Ok(()) => Finding::ok("staging", format!("{}: a probe was written, read and deleted", staging.name())),
        Err(error) => {
            let error = error.to_string();
            Finding::wrong(
                "staging",
                error,
                "check [staging]: endpoint, container, and the right to create, read, write, list and delete",
            )
        }
    }
}

async fn probe(staging: &dyn Staging, app: &App) -> Result<(), StagingError> {
    const SIZE: u64 = 64 * 1024;
    staging.prepare().await?;
    let text = format!("probe of {}", app.presence.holder.0);
    let name = BlobName::probe(&Digest::of(text.as_bytes()).short(16));
    let bytes = Bytes::from(text);
    staging.put(&name, bytes.clone()).await?;
    let read = staging.get(&name, SIZE).await?;
    staging.remove(&name).await?;
    if read == bytes { Ok(()) } else { Err(StagingError::Damaged { name, detail: "other bytes came back".to_owned() }) }
}

async fn sign_in(app: &App) -> Vec<Finding> {
    let Some(sign_in) = &app.remotes.sign_in else { return Vec::new() };
    match sign_in.token_for(Audience::Graph).await {
        Err(error) => vec![Finding::wrong(
            "sign-in",
            error.to_string(),
            "check [microsoft]: tenant_id, client_id and the credential",
        )],
        Ok(token) => {
            let roles = token.roles();
            vec![Finding::ok("sign-in", format!("signed in; permissions in the token: {}", roles.join(", ")))]
        }
    }
}

async fn users(app: &App, mailbox: Option<&str>) -> Finding {
    let directory = &app.remotes.users;
    let address = mailbox.map_or_else(|| "nobody@whatsapp-archiver.invalid".to_owned(), str::to_owned);
    match directory.look_up(std::slice::from_ref(&address)).await.pop() {
        Some(Ok(Answer::Valid(mailbox))) => Finding::ok(
            "directory",
            format!("{}: {address} is a valid user, mailbox {}", directory.name(), mailbox.address),
        ),
        Some(Ok(Answer::NotValid { detail })) if mailbox.is_some() => Finding::wrong(
            "directory",
            format!("{address} is not a valid user: {detail}"),
            "name a user with a mailbox, or give this one a licence",
        ),
        Some(Ok(Answer::NotValid { .. })) => Finding::ok("directory", format!("{} answers", directory.name())),
        Some(Err(error)) => Finding::wrong(
            "directory",
            error.to_string(),
            "grant User.Read.All (application) and consent to it: see consent-url",
        ),
        None => Finding::wrong("directory", "it gave no answer".to_owned(), "report this"),
    }
}

async fn self_test(app: &App, address: &str) -> Vec<Finding> {
    let Some(Ok(Answer::Valid(mailbox))) = app.remotes.users.look_up(&[address.to_owned()]).await.pop() else {
        return Vec::new();
    };
    let text = format!("{}: {} can be imported into", app.remotes.door.name(), mailbox.address);
    vec![Finding::ok("mailbox", text)]
}
