//! What sections ask of each other.

use std::path::Path;

use super::form::Invalid;
use super::place::Place;
use super::problem::Problem;
use super::reader::Section;
use super::{
    AzureAuth, Cloud, GraphMethod, ImapAuthConfig, LedgerConfig, MailboxConfig, MailboxKind, MicrosoftConfig,
    Retention, SourceConfig, SourceKind, StagingConfig, StagingKind, UsersConfig, UsersKind,
};
use crate::http::request_timeout;

/// The problem of a `mailbox.settle` that believes "absent" while the attempt itself may still be under way. A server on this
/// machine is a trial's, whose requests nobody delays.
pub(super) fn settles_too_early(
    mailbox: Option<&MailboxConfig>,
    microsoft: Option<&MicrosoftConfig>,
    ledger: Option<&LedgerConfig>,
) -> Option<Problem> {
    let (settle, is_trial) = match &mailbox?.kind {
        MailboxKind::Graph(graph) => {
            (graph.settle, microsoft?.graph_url.host_str().is_some_and(crate::http::is_loopback))
        }
        // Nothing is handed to the connection without the lease, and what was is given up by the system after as long.
        MailboxKind::Imap(imap) => (imap.settle, crate::http::is_loopback(&imap.host)),
        MailboxKind::Maildir { .. } => return None,
    };
    let least = request_timeout(ledger?.lease);
    let what = format!(
        "too short: an attempt can last {} s (two thirds of ledger.lease, 45 s at most), and a copy that arrives \
         after it was believed to be absent would be duplicated",
        least.as_secs_f32().ceil()
    );
    let is_too_short = settle < least && !is_trial;
    is_too_short.then(|| Problem::new(Place::File, "mailbox.settle", what).instead("settle = \"2m\""))
}

/// The problem of a ledger that forgets the details of items that are in staging still.
pub(super) fn forgets_too_early(staging: Option<&StagingConfig>, ledger: Option<&LedgerConfig>) -> Option<Problem> {
    let (staged, kept) = (staging?.retain, ledger?.retain);
    let what = format!(
        "{kept} is shorter than staging.retain ({staged}): what lies in staging can be replayed, exported and proved only with its \
         details in the ledger"
    );
    let instead = match staged {
        Retention::Forever => "retain = \"forever\", or a staging.retain that ends before it".to_owned(),
        Retention::For(_) => format!("retain = \"{staged}\" or longer, or \"forever\""),
    };
    (kept < staged).then(|| Problem::new(Place::File, "ledger.retain", what).instead(instead))
}

/// The problem of an `import-mime` outside the global cloud, where Graph doesn't have it.
pub(super) fn imports_mime_elsewhere(
    mailbox: Option<&MailboxConfig>,
    microsoft: Option<&MicrosoftConfig>,
) -> Option<Problem> {
    let MailboxKind::Graph(graph) = &mailbox?.kind else { return None };
    let is_elsewhere = graph.method == GraphMethod::ImportMime && microsoft?.cloud != Cloud::Global;
    is_elsewhere.then(|| {
        let what = "\"import-mime\" is offered in the global cloud only, and microsoft.cloud names another".to_owned();
        Problem::new(Place::File, "mailbox.method", what)
            .instead("method = \"create-message\", or mailbox.kind = \"imap\"")
    })
}

/// The problems of folders that lie in each other: what one of them holds would be taken for the other's.
pub(super) fn folders_in_each_other(
    source: Option<&SourceConfig>,
    staging: Option<&StagingConfig>,
    mailbox: Option<&MailboxConfig>,
) -> Vec<Problem> {
    let mut folders: Vec<(&'static str, &Path)> = Vec::new();
    if let Some(SourceKind::Directory { path }) = source.map(|source| &source.kind) {
        folders.push(("source.path", path));
    }
    if let Some(StagingKind::Local { path }) = staging.map(|staging| &staging.kind) {
        folders.push(("staging.path", path));
    }
    if let Some(MailboxKind::Maildir { path }) = mailbox.map(|mailbox| &mailbox.kind) {
        folders.push(("mailbox.path", path));
    }
    let mut problems = Vec::new();
    while let Some((key, folder)) = folders.pop() {
        for (other_key, other) in &folders {
            if folder.starts_with(other) || other.starts_with(folder) {
                let what = format!("{} and {other_key}, {}, lie in each other", folder.display(), other.display());
                problems.push(Problem::new(Place::File, key, what).instead("folders beside each other"));
            }
        }
    }
    problems
}

/// The sections that may need `[microsoft]`; those that are wrong in themselves are left out.
pub(super) struct Needs<'a> {
    pub(super) staging: Option<&'a StagingConfig>,
    pub(super) users: Option<&'a UsersConfig>,
    pub(super) mailbox: Option<&'a MailboxConfig>,
}

impl Needs<'_> {
    /// What needs the sign-in of `[microsoft]`, as it is written.
    fn named(&self) -> Vec<&'static str> {
        let staging = self.staging.map(|staging| &staging.kind);
        let mailbox = self.mailbox.map(|mailbox| &mailbox.kind);
        let mut named = Vec::new();
        if matches!(self.users.map(|users| &users.kind), Some(UsersKind::Graph)) {
            named.push("users.kind = \"graph\"");
        }
        match mailbox {
            Some(MailboxKind::Graph(_)) => named.push("mailbox.kind = \"graph\""),
            Some(MailboxKind::Imap(imap)) if matches!(imap.auth, ImapAuthConfig::XOAuth2) => {
                named.push("mailbox.auth = \"xoauth2\"");
            }
            _ => {}
        }
        if matches!(staging, Some(StagingKind::Azure(azure)) if matches!(azure.auth, AzureAuth::Entra)) {
            named.push("staging.auth = \"entra\"");
        }
        named
    }

    /// The problem of a `[microsoft]` that isn't there, if anything needs it.
    pub(super) fn missing_microsoft(&self) -> Option<Problem> {
        let named = self.named();
        let what = format!("this section is missing, and needed by {}", named.join(" and "));
        let instead = "[microsoft] with tenant_id, client_id, sign_in and what that needs";
        (!named.is_empty()).then(|| Problem::new(Place::File, "[microsoft]", what).instead(instead))
    }

    /// Warns of what a national cloud lacks. `section` is `[microsoft]`.
    pub(super) fn warn_of_cloud(&self, microsoft: &MicrosoftConfig, section: &mut Section<'_>) {
        let cloud = microsoft.cloud;
        if let Some(MailboxKind::Graph(graph)) = self.mailbox.map(|mailbox| &mailbox.kind)
            && graph.method == GraphMethod::CreateMessage
            && !cloud.has_upload_sessions()
        {
            let what = "Graph takes no attachment of 3 MB or more in this cloud; such items will be rejected";
            section.warn("cloud", Invalid::with(what, "mailbox.kind = \"imap\", where that matters"));
        }
        if let Some(StagingKind::Azure(azure)) = self.staging.map(|staging| &staging.kind) {
            let host = azure.endpoint.host_str().unwrap_or_default();
            let lies_in = |other: &Cloud| host.ends_with(other.blob_suffix());
            if !lies_in(&cloud) && Cloud::ALL.iter().any(lies_in) {
                let what = "staging.endpoint lies in another cloud";
                section.warn("cloud", Invalid::with(what, format!("an endpoint that ends in {}", cloud.blob_suffix())));
            }
        }
    }
}
