//! Files that other users of this machine can read or change, and shouldn't: secrets and what shows who wrote to whom,
//! and the tables that say where copies go. Nothing is changed here.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Finding;
use crate::app::private_files;
use crate::config::{
    AzureAuth, Config, ImapAuthConfig, LedgerUrl, MailboxKind, SignInConfig, SourceKind, StagingKind, UsersKind,
};
use crate::secret::Secret;

const READABLE: u32 = 0o004;
const WRITABLE: u32 = 0o002;
const WRITABLE_BY_GROUP: u32 = 0o020;
/// In such a folder, only the owner of a file may remove or rename it.
const STICKY: u32 = 0o1000;

/// Where container runtimes put secrets, each for one container alone, whatever their mode says.
const OF_THE_CONTAINER: [&str; 2] = ["/run/secrets", "/var/run/secrets"];

/// A warning for each file that is open to everybody.
pub fn of(config: &Config) -> Vec<Finding> {
    let secrets = secrets(config).into_iter().filter_map(|secret| Some((secret.key(), secret.path()?)));
    let secrets = secrets.filter(|(_, path)| !OF_THE_CONTAINER.iter().any(|folder| path.starts_with(folder)));
    let open = secrets.filter_map(|(key, path)| warning(key, path, READABLE | WRITABLE));
    open.chain(private_files::of(config).into_iter().filter_map(|(key, path)| warning(key, path, READABLE | WRITABLE)))
        .chain(tables(config).into_iter().filter_map(|(key, path)| warning(key, path, WRITABLE | WRITABLE_BY_GROUP)))
        .chain(open_folders(config))
        .collect()
}

/// A warning for each folder above a table in which others may put another file in its place.
fn open_folders(config: &Config) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (key, path) in tables(config) {
        let Ok(path) = path.canonicalize() else { continue };
        for folder in path.ancestors().skip(1) {
            let Ok(metadata) = folder.metadata() else { continue };
            let mode = metadata.permissions().mode();
            let open = mode & (WRITABLE | WRITABLE_BY_GROUP);
            if mode & STICKY == 0 && open != 0 && seen.insert(folder.to_owned()) {
                let detail = format!(
                    "the folder {} has mode {:04o}: {} may put another file in the place of {key}, which says where \
                     copies go; chmod {}",
                    folder.display(),
                    mode & 0o7777,
                    who(open),
                    without_writing(open)
                );
                found.push(Finding::warning("file modes", detail));
            }
        }
    }
    found
}

/// Who has one of these permissions.
fn who(open: u32) -> &'static str {
    if open & (READABLE | WRITABLE) == 0 { "its group" } else { "every user of this machine" }
}

/// What `chmod` takes the writing of others away by.
fn without_writing(open: u32) -> &'static str {
    if open & WRITABLE == 0 { "g-w" } else { "go-w" }
}

/// Every secret that the configuration names.
fn secrets(config: &Config) -> Vec<&Secret> {
    let mut found: Vec<&Secret> = Vec::new();
    if let SourceKind::TeleMessage(account) = &config.source.kind {
        found.push(&account.password);
    }
    if let StagingKind::Azure(azure) = &config.staging.kind
        && let AzureAuth::Sas(sas) = &azure.auth
    {
        found.push(sas);
    }
    match config.microsoft.as_ref().map(|microsoft| &microsoft.sign_in) {
        Some(SignInConfig::ClientSecret { secret, .. }) => found.push(secret),
        Some(SignInConfig::Certificate { certificate, .. }) => found.push(certificate),
        _ => {}
    }
    if let MailboxKind::Imap(imap) = &config.mailbox.kind
        && let ImapAuthConfig::Password(password) = &imap.auth
    {
        found.push(password);
    }
    if let LedgerUrl::Postgres { password: Some(password), .. } = &config.ledger.url {
        found.push(password);
    }
    found.extend(config.http.iter().filter_map(|http| http.token.as_ref()));
    found.extend(&config.report.signing_key);
    found.extend(&config.notify.webhook);
    found
}

/// What says where copies go: whoever may write it reads everybody's messages.
fn tables(config: &Config) -> Vec<(&'static str, &Path)> {
    let mut found: Vec<(&'static str, &Path)> = Vec::new();
    found.extend(config.mapping.custom.as_deref().map(|path| ("mapping.custom", path)));
    if let UsersKind::List { path } = &config.users.kind {
        found.push(("users.path", path));
    }
    found.push(("the configuration", &config.path));
    found
}

/// A warning where others have one of the permissions in `mask`. What isn't there has none.
fn warning(key: &str, path: &Path, mask: u32) -> Option<Finding> {
    let metadata = std::fs::metadata(path).ok()?;
    let open = metadata.permissions().mode() & mask;
    if open == 0 {
        return None;
    }
    let may = if open & (WRITABLE | WRITABLE_BY_GROUP) == 0 { "read" } else { "change" };
    let detail = format!(
        "{} ({key}) has mode {:04o}: {} may {may} it; chmod {}",
        path.display(),
        metadata.permissions().mode() & 0o7777,
        who(open),
        remedy(&metadata, mask, open)
    );
    Some(Finding::warning("file modes", detail))
}

fn remedy(metadata: &Metadata, mask: u32, open: u32) -> &'static str {
    if mask & READABLE == 0 {
        without_writing(open)
    } else if metadata.is_dir() {
        "0700"
    } else {
        "0600"
    }
}
