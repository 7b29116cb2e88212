//! The rows of the destinations: Exchange Online through Graph, an IMAP server, Maildirs.

use std::collections::VecDeque;

use super::{Case, Heard, Site, Staged, Town, case, place};
use crate::kill::unreliable_disk;
use crate::servers::graph::{Act, Fault, GraphServer, RetryAfter};
use crate::servers::imap_script::{ImapScript, OnAppend, Script};
use crate::siege::site;

/// More mailboxes than lines that may be logged.
const EMPLOYEES: usize = 50;

fn tenant(messages: i64, employees: usize, largest_file: usize) -> Site {
    let census = site::Census { employees, largest_file, ..site::census(messages, "rows", 3) };
    let site = Site::new(&census, Town::graph(GraphServer::start(), "create-message"), Staged::Locally);
    site.change_configuration("level = \"debug\"", "level = \"info\"");
    site
}

/// All mailboxes answer so.
async fn graph(method: &'static str, path: &str, act: Act) -> Heard {
    let site = tenant(60, EMPLOYEES, 5_000);
    site.town.tenant().fail(Fault::always(path, act).of(method));
    Heard::run(&site).await
}

async fn files_are_refused() -> Heard {
    let site = tenant(20, 3, 4_500_000);
    let act = Act::reply(413, "ErrorAttachmentSizeLimitExceeded");
    site.town.tenant().fail(Fault::always("createUploadSession", act).of("POST"));
    Heard::run(&site).await
}

/// Each pause is real, so these are few.
async fn throttled() -> Heard {
    let site = tenant(60, 4, 5_000);
    site.town.tenant().fail(Fault::always("/messages", Act::throttle(RetryAfter::Seconds(0))).of("POST"));
    Heard::run(&site).await
}

async fn nobody_knows_what_arrived() -> Heard {
    let site = tenant(60, EMPLOYEES, 5_000);
    site.town.tenant().fail(Fault::always("/messages", Act::Drop).of("POST"));
    site.town.tenant().fail(Fault::always("/messages", Act::Drop).of("GET"));
    Heard::run(&site).await
}

async fn imap(script: Script) -> Heard {
    let server = ImapScript::start(Script { capabilities: "IMAP4rev1 AUTH=PLAIN SASL-IR UIDPLUS", ..script }).await;
    let site = place(Town::Maildirs, Staged::Locally);
    let section = format!(
        "[mailbox]\nkind = \"imap\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nauth = \"password\"\n\
         password = {{ file = \"imap-password\" }}\nsettle = \"1ms\"\n",
        server.port
    );
    site.change_configuration("[mailbox]\nkind = \"maildir\"\npath = \"mailboxes/\"\n", &section);
    Heard::run(&site).await
}

async fn imap_appends(act: OnAppend) -> Heard {
    imap(Script::of_appends(vec![act; 5_000])).await
}

/// The disk of the mailboxes fails so.
async fn maildir(operation: &str, error: u8) -> Heard {
    let site = place(Town::Maildirs, Staged::Locally);
    let mut command = site.run_once();
    command.env("DISK_FAULT", format!("{operation}:{error}:/mailboxes/:0:{}", u32::MAX));
    command.env("LD_PRELOAD", unreliable_disk());
    Heard::of(command).await
}

const EIO: u8 = 5;
const EFBIG: u8 = 27;
const ENOSPC: u8 = 28;
const EROFS: u8 = 30;

fn graph_cases() -> Vec<Case> {
    const AGAIN: &str = "later runs try again";
    vec![
        case(
            "ImportError::OutcomeUnknown",
            "Graph: no answer, and none to look-ups",
            "copies_pending",
            &["\"cause\":\"outcome_unknown\"", "mailboxes", "looked up", "deliveries"],
            || Box::pin(nobody_knows_what_arrived()),
        ),
        case(
            "ImportError::Throttled",
            "Graph: 429",
            "copies_pending",
            &["\"cause\":\"mailbox\"", "asks for a pause", "mailboxes", "deliveries", AGAIN],
            || Box::pin(throttled()),
        ),
        case(
            "ImportError::Unavailable",
            "Graph: no answer for folders",
            "copies_pending",
            &["\"cause\":\"mailbox\"", "is not available", "mailboxes", "deliveries", AGAIN],
            || Box::pin(graph("GET", "/mailFolders", Act::Drop)),
        ),
        case(
            "ImportError::Forbidden",
            "Graph: 403",
            "copies_pending",
            &["\"cause\":\"mailbox\"", "refuses access", "grant the application Mail.ReadWrite", "mailboxes", AGAIN],
            || Box::pin(graph("POST", "/messages", Act::reply(403, "ErrorAccessDenied"))),
        ),
        case(
            "ImportError::Forbidden",
            "Graph: full",
            "copies_pending",
            &["\"cause\":\"mailbox\"", "the mailbox is full; give it more room", "mailboxes", AGAIN],
            || Box::pin(graph("POST", "/messages", Act::reply(507, "ErrorQuotaExceeded"))),
        ),
        case(
            "ImportError::Rejected",
            "Graph: too large",
            "delivery_failed",
            &[
                "rejects the message",
                "ErrorMessageSizeExceeded",
                "mailbox",
                "item.no",
                "retry --reason mailbox_rejected",
            ],
            || Box::pin(graph("POST", "/messages", Act::reply(413, "ErrorMessageSizeExceeded"))),
        ),
        case(
            "ImportError::Incomplete",
            "Graph: files that are refused",
            "attachment_rejected",
            &["ErrorAttachmentSizeLimitExceeded", "mailbox", "item.no", "export"],
            || Box::pin(files_are_refused()),
        ),
        case(
            "ImportError::Unexpected",
            "Graph: 400",
            "copies_pending",
            &["\"cause\":\"mailbox\"", "unexpected answer", "NobodyKnowsThis", "mailboxes", AGAIN],
            || Box::pin(graph("POST", "/messages", Act::reply(400, "NobodyKnowsThis"))),
        ),
    ]
}

fn imap_cases() -> Vec<Case> {
    const AGAIN: &str = "later runs try again";
    vec![
        case(
            "ImportError::OutcomeUnknown",
            "IMAP: hangs up",
            "outcome_unknown",
            &["mailbox", "item.no", "looked up before it is sent again"],
            || Box::pin(imap_appends(OnAppend::KeepAndHangUp)),
        ),
        case(
            "ImportError::Throttled",
            "IMAP: throttled",
            "copies_pending",
            &["\"cause\":\"mailbox\"", "asks for a pause", "mailboxes", AGAIN],
            || {
                let words = "NO Request is throttled. Suggested Backoff Time: 1 milliseconds";
                Box::pin(imap_appends(OnAppend::Answer(words)))
            },
        ),
        case(
            "ImportError::Unavailable",
            "IMAP: not available",
            "copies_pending",
            &["\"cause\":\"mailbox\"", "is not available", "mailboxes", AGAIN],
            || Box::pin(imap_appends(OnAppend::Answer("NO [UNAVAILABLE] Try later"))),
        ),
        case(
            "ImportError::Forbidden",
            "IMAP: a wrong password",
            "copies_pending",
            &["\"cause\":\"mailbox\"", "refuses access", "mailboxes", AGAIN],
            || {
                let refused = "NO [AUTHENTICATIONFAILED] Invalid credentials";
                Box::pin(imap(Script { sign_ins: VecDeque::from(vec![refused; 5_000]), ..Script::default() }))
            },
        ),
        case(
            "ImportError::Rejected",
            "IMAP: too large",
            "delivery_failed",
            &["rejects the message", "TOOBIG", "mailbox", "item.no", "retry --reason mailbox_rejected"],
            || Box::pin(imap_appends(OnAppend::Answer("NO [TOOBIG] Too large."))),
        ),
        case(
            "ImportError::Unexpected",
            "IMAP: unknown words",
            "copies_pending",
            &["\"cause\":\"mailbox\"", "unexpected answer", "mailboxes", AGAIN],
            || Box::pin(imap_appends(OnAppend::Answer("NO Nobody knows this"))),
        ),
    ]
}

fn maildir_cases() -> Vec<Case> {
    const AGAIN: &str = "later runs try again";
    vec![
        case(
            "ImportError::OutcomeUnknown",
            "Maildir: a disk that can't name files",
            "outcome_unknown",
            &["renamed, or not", "mailbox", "item.no", "looked up before it is sent again"],
            || Box::pin(maildir("name", EIO)),
        ),
        case(
            "ImportError::Unavailable",
            "Maildir: a full disk",
            "copies_pending",
            &["\"cause\":\"mailbox\"", "No space left on device", "mailboxes", AGAIN],
            || Box::pin(maildir("write", ENOSPC)),
        ),
        case(
            "ImportError::Forbidden",
            "Maildir: read-only",
            "copies_pending",
            &["\"cause\":\"mailbox\"", "Read-only file system", "mailboxes", AGAIN],
            || Box::pin(maildir("create", EROFS)),
        ),
        case(
            "ImportError::Unexpected",
            "Maildir: a limit on files",
            "copies_pending",
            &["\"cause\":\"mailbox\"", "unexpected answer", "File too large", "mailboxes", AGAIN],
            || Box::pin(maildir("write", EFBIG)),
        ),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    graph_cases().into_iter().chain(imap_cases()).chain(maildir_cases()).collect()
}
