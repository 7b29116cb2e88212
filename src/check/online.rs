//! Asks each remote in turn. What others need comes first: where the sign-in fails, those that need it are not tried, so that
//! one cause is one line.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::finding::{Finding, RETENTION};
use crate::app::{App, files};
use crate::config::{AzureAuth, Config, ImapAuthConfig, MailboxKind, StagingKind, UsersKind};
use crate::digest::Digest;
use crate::fault::remedy::{self, Kinds};
use crate::mailbox::graph::self_test::{check_imap_permission, check_permissions};
use crate::resolution::Mailbox;
use crate::resolve::users::Answer;
use crate::sign_in::Audience;
use crate::staging::{BlobName, Policies, Staging, StagingError};

/// Asks each remote in turn, and a mailbox too where one is named.
pub async fn online(app: &App, mailbox: Option<&str>) -> Vec<Finding> {
    let mut findings = vec![source(app).await];
    let needs = Needs::of(&app.config);
    let refused = sign_in(app, &needs).await;
    let is_signed_in = refused.is_none();
    findings.extend(refused);
    if needs.staging && !is_signed_in {
        findings.push(needs_sign_in("staging"));
    } else {
        let kinds = Kinds::of(&app.config);
        let staged = staging(app.remotes.staging.as_ref(), kinds, &app.presence.holder.0).await;
        let is_usable = staged.iter().all(Finding::is_ok);
        findings.extend(staged);
        if is_usable {
            findings.push(ledger(app).await);
        }
    }
    let needs_it = |needs: bool, what: &str| (needs && !is_signed_in).then(|| needs_sign_in(what));
    let user = if let Some(untried) = needs_it(needs.users, "directory") {
        findings.push(untried);
        None
    } else {
        let (found, user) = users(app, mailbox).await;
        if is_signed_in {
            findings.extend(permissions(app, user.as_ref()).await);
        }
        findings.push(found);
        user
    };
    if let Some(untried) = needs_it(needs.mailboxes, "mailboxes") {
        findings.push(untried);
        return findings;
    }
    match &user {
        Some(user) => findings.extend(mailbox_test(app, user).await),
        None if mailbox.is_none() => findings.push(mailboxes(app).await),
        None => {}
    }
    findings
}

/// Which parts need the sign-in to Microsoft.
struct Needs {
    staging: bool,
    users: bool,
    mailboxes: bool,
    audience: Option<Audience>,
}

impl Needs {
    fn of(config: &Config) -> Self {
        let staging =
            matches!(&config.staging.kind, StagingKind::Azure(azure) if matches!(azure.auth, AzureAuth::Entra));
        let users = matches!(config.users.kind, UsersKind::Graph);
        let imap =
            matches!(&config.mailbox.kind, MailboxKind::Imap(imap) if matches!(imap.auth, ImapAuthConfig::XOAuth2));
        let graph = matches!(config.mailbox.kind, MailboxKind::Graph(_));
        let audiences = [(users || graph, Audience::Graph), (imap, Audience::Outlook), (staging, Audience::Storage)];
        let audience = audiences.into_iter().find_map(|(needed, audience)| needed.then_some(audience));
        Self { staging, users, mailboxes: imap || graph, audience }
    }
}

/// What is wrong with the sign-in, where something is.
async fn sign_in(app: &App, needs: &Needs) -> Option<Finding> {
    let (sign_in, audience) = (app.remotes.sign_in.as_ref()?, needs.audience?);
    let error = sign_in.token_for(audience).await.err()?;
    let (detail, remedy) = remedy::of_sign_in(&error);
    Some(Finding::wrong("sign in", detail, &remedy))
}

fn needs_sign_in(what: &str) -> Finding {
    Finding::not_tried(what, "it needs the sign-in, which fails: see above".to_owned())
}

async fn source(app: &App) -> Finding {
    let source = &app.remotes.source;
    match source.log_in().await {
        Err(error) => Finding::wrong("source", error.to_string(), Kinds::of(&app.config).of_source(&error)),
        Ok(time) => {
            let skew = time.map_or(Duration::ZERO, |time| (time - app.clock.now()).abs().to_std().unwrap_or_default());
            let detail = format!("{}: logged in", source.name());
            if skew > Duration::from_mins(5) {
                return Finding::warning(
                    "source",
                    format!("{detail}; its clock and ours differ by {} s: check NTP", skew.as_secs()),
                );
            }
            Finding::ok("source", detail)
        }
    }
}

/// Whether staging can be used, and whether what is staged can be overwritten or removed. `prober` makes the probe's name its own.
pub async fn staging(staging: &dyn Staging, kinds: Kinds, prober: &str) -> Vec<Finding> {
    let name = staging.name();
    match probe(staging, prober).await {
        Ok((rewriting, removal)) => vec![
            Finding::ok(
                "staging",
                match removal {
                    Attempt::Done => format!("{name}: a probe was written, read and deleted"),
                    Attempt::Refused(_) => format!("{name}: a probe was written and read"),
                },
            ),
            retention(&rewriting, &removal, staging.policies().await),
        ],
        Err(error) => vec![Finding::wrong("staging", error.to_string(), kinds.of_staging(&error))],
    }
}

/// What became of a probe that was to be overwritten or removed.
enum Attempt {
    Done,
    /// A retention policy kept it, in the service's words.
    Refused(String),
}

impl Attempt {
    fn of(result: Result<(), StagingError>) -> Result<Self, StagingError> {
        match result {
            Ok(()) => Ok(Self::Done),
            Err(StagingError::Immutable { detail, .. }) => Ok(Self::Refused(detail)),
            Err(error) => Err(error),
        }
    }
}

/// What the tries and the service say together. A policy that didn't keep the probe is worth a look.
fn retention(rewriting: &Attempt, removal: &Attempt, policies: Result<Option<Policies>, StagingError>) -> Finding {
    let service = match policies {
        Ok(None) => String::new(),
        Ok(Some(policies)) => format!("; {}", said_of(policies)),
        Err(error) => format!("; which policies the container has can't be read ({error})"),
    };
    let (can, kept) = match (rewriting, removal) {
        (Attempt::Refused(_), Attempt::Refused(detail)) => {
            return Finding::ok(
                RETENTION,
                format!(
                    "what is staged can be neither overwritten nor removed: a policy kept the probe ({detail}){service}"
                ),
            );
        }
        (Attempt::Done, Attempt::Refused(detail)) => {
            ("overwritten by whoever has this access", format!(", but not removed ({detail})"))
        }
        (Attempt::Refused(detail), Attempt::Done) => {
            ("removed by whoever has this access", format!(", but not overwritten ({detail})"))
        }
        (Attempt::Done, Attempt::Done) => {
            ("overwritten and removed by whoever has this access", ": no policy kept the probe".to_owned())
        }
    };
    let how = "docs/operations.md says how to set a policy";
    Finding::warning(RETENTION, format!("what is staged can be {can}{kept}{service} ({how})"))
}

/// The policies of a container, in words.
fn said_of(policies: Policies) -> String {
    let Policies { time_based, legal_hold, versions } = policies;
    let has: Vec<&str> = [
        (time_based, "a time-based retention policy"),
        (legal_hold, "a legal hold"),
        (versions, "immutability by versions, where earlier versions stay"),
    ]
    .into_iter()
    .filter_map(|(is, words)| is.then_some(words))
    .collect();
    if has.is_empty() {
        return "the container has no policy".to_owned();
    }
    format!("the container has {}", has.join(", "))
}

/// Whether the staging area is this ledger's, or nobody's yet.
async fn ledger(app: &App) -> Finding {
    const WHAT: &str = "ledger";
    let has_ledger = app.has_own_ledger();
    match app.pipeline(CancellationToken::new()).check_ledger_fits().await {
        Ok(()) if !has_ledger => Finding::not_tried(
            WHAT,
            format!("there is none yet at {}; the first `run` makes it", files::ledger_place(&app.config.ledger.url)),
        ),
        Ok(()) => {
            Finding::ok(WHAT, format!("{}: it answers, and the staging area is no other ledger's", app.ledger.id()))
        }
        Err(error) if error.is_about_ownership() => {
            Finding::wrong(WHAT, error.to_string(), "fix ledger.url; docs/operations.md says what to do after a loss")
        }
        Err(error) => {
            Finding::wrong(WHAT, format!("the owner of the staging area can't be determined: {error}"), "see staging")
        }
    }
}

/// Writes a probe, reads it, and tries to overwrite and to remove it.
async fn probe(staging: &dyn Staging, prober: &str) -> Result<(Attempt, Attempt), StagingError> {
    const SIZE: u64 = 64 * 1024;
    staging.prepare().await?;
    let text = format!("probe of {prober}");
    let id = Digest::of(text.as_bytes()).short(16);
    let name = BlobName::probe(&id);
    let bytes = Bytes::from(text);
    staging.put(&name, bytes.clone()).await?;
    let read = staging.get(&name, SIZE).await?;
    // With the same bytes: the next check writes this probe again, and may find it where nobody could remove it.
    let rewriting = Attempt::of(staging.rewrite_probe(&id, bytes.clone()).await)?;
    let removal = Attempt::of(staging.remove(&name).await)?;
    if read == bytes {
        return Ok((rewriting, removal));
    }
    Err(StagingError::Damaged { name, detail: "other bytes came back".to_owned() })
}

/// Signs in, and names the permission that is missing.
async fn permissions(app: &App, mailbox: Option<&Mailbox>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let users = matches!(app.config.users.kind, UsersKind::Graph);
    let method = match &app.config.mailbox.kind {
        MailboxKind::Graph(graph) => Some(graph.method),
        MailboxKind::Imap(_) | MailboxKind::Maildir { .. } => None,
    };
    if let Some(graph) = app.remotes.graph.as_ref().filter(|_| users || method.is_some()) {
        findings.extend(check_permissions(graph, users, method, mailbox).await);
    }
    if let (Some(sign_in), MailboxKind::Imap(imap)) = (&app.remotes.sign_in, &app.config.mailbox.kind)
        && matches!(imap.auth, ImapAuthConfig::XOAuth2)
    {
        findings.extend(check_imap_permission(sign_in).await);
    }
    findings.into_iter().map(Finding::from).collect()
}

/// Whether the directory answers, and whose mailbox the address is.
async fn users(app: &App, mailbox: Option<&str>) -> (Finding, Option<Mailbox>) {
    const WHAT: &str = "directory";
    let directory = &app.remotes.users;
    // Without a mailbox, an address that nobody has shows that the directory answers.
    let address = mailbox.unwrap_or("nobody@whatsapp-archiver.invalid").to_owned();
    let finding = match directory.look_up(std::slice::from_ref(&address)).await.pop() {
        Some(Ok(Answer::Valid(user))) => {
            let detail = format!("{}: {address} is a valid user with the mailbox {}", directory.name(), user.address);
            return (Finding::ok(WHAT, detail), mailbox.is_some().then_some(user));
        }
        Some(Ok(Answer::NotValid { detail })) if mailbox.is_some() => {
            let remedy = "name a user with a mailbox, or give this one a licence";
            Finding::wrong(WHAT, format!("{address} is not a valid user: {detail}"), remedy)
        }
        Some(Ok(Answer::NotValid { .. })) => Finding::ok(WHAT, format!("{} answers", directory.name())),
        Some(Err(error)) => Finding::wrong(WHAT, error.to_string(), remedy::of_directory(&error)),
        None => Finding::wrong(WHAT, "it gave no answer".to_owned(), "try again; report it if it persists"),
    };
    (finding, None)
}

/// What can be checked of the mailboxes without one to try.
async fn mailboxes(app: &App) -> Finding {
    const WHAT: &str = "mailboxes";
    const UNTRIED: &str = "no import is tried without --mailbox ADDR";
    let MailboxKind::Maildir { path } = &app.config.mailbox.kind else {
        return Finding::not_tried(WHAT, UNTRIED.to_owned());
    };
    match write_probe(path) {
        // It is made with the first copy. A ledger that doesn't answer has a line of its own.
        Ok(()) if !path.exists() && matches!(app.ledger.has_imported().await, Ok(true)) => Finding::wrong(
            WHAT,
            format!("{} is not there, though this ledger has copies in it", path.display()),
            "is its disk mounted? Otherwise put back what was there, or `verify --restore` after the next run",
        ),
        Ok(()) => Finding::ok(WHAT, format!("{} can be written to; {UNTRIED}", path.display())),
        Err(error) => Finding::wrong(
            WHAT,
            format!("{} can't be written to: {error}", path.display()),
            "check mailbox.path, and that the daemon's user can create files there",
        ),
    }
}

/// Makes a file in a folder, or in the nearest one above that is there, and removes it.
fn write_probe(folder: &Path) -> io::Result<()> {
    let is_absent = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
    let there = folder.ancestors().find(|folder| !folder.symlink_metadata().is_err_and(is_absent)).unwrap_or(folder);
    let probe = there.join(format!(".whatsapp-archiver-probe-{}", std::process::id()));
    File::create_new(&probe)?;
    fs::remove_file(&probe)
}

/// The live self-test of a mailbox.
async fn mailbox_test(app: &App, mailbox: &Mailbox) -> Vec<Finding> {
    app.remotes.self_test.self_test(mailbox).await.into_iter().map(Finding::from).collect()
}
