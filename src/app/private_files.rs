//! What the program keeps on this machine that nobody else may read: messages, and who wrote to whom.
//!
//! It makes its files for their owner alone. Those of an older version, or copied here by hand, may be open to every user
//! of the machine: they are closed when something begins to record. A directory that is closed closes all within it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::config::{Config, LedgerUrl, MailboxKind, StagingKind};

const OTHERS: u32 = 0o007;
const CLOSED_DIRECTORY: u32 = 0o700;
const CLOSED_FILE: u32 = 0o600;

/// The places that the program fills itself, each with the key that names it.
pub fn of(config: &Config) -> Vec<(&'static str, &Path)> {
    let mut found: Vec<(&'static str, &Path)> = Vec::new();
    if let StagingKind::Local { path } = &config.staging.kind {
        found.push(("staging.path", path));
    }
    if let MailboxKind::Maildir { path } = &config.mailbox.kind {
        found.push(("mailbox.path", path));
    }
    if let LedgerUrl::Sqlite(path) = &config.ledger.url {
        found.push(("ledger.url", path));
    }
    found
}

/// Closes those that are open to every user, and logs each. One that belongs to somebody else is only logged.
pub(super) fn close(config: &Config) {
    for (key, path) in of(config) {
        close_one(key, path);
        if key == "ledger.url" {
            // SQLite's own files beside it.
            for suffix in ["-wal", "-shm"] {
                close_one(key, &PathBuf::from(format!("{}{suffix}", path.display())));
            }
        }
    }
}

fn close_one(key: &str, path: &Path) {
    // What isn't there is made closed.
    let Ok(metadata) = fs::metadata(path) else { return };
    let found = metadata.permissions().mode() & 0o7777;
    if found & OTHERS == 0 {
        return;
    }
    let closed = if metadata.is_dir() { CLOSED_DIRECTORY } else { CLOSED_FILE };
    let (shown, found, closed_mode) = (path.display(), format!("{found:04o}"), format!("{closed:04o}"));
    match fs::set_permissions(path, Permissions::from_mode(closed)) {
        Ok(()) => tracing::warn!(
            event = "permissions_repaired",
            path = %shown,
            key,
            found,
            mode = closed_mode,
            "every user of this machine could read this; it is for its owner alone now"
        ),
        Err(error) => tracing::warn!(
            event = "permissions_open",
            path = %shown,
            key,
            found,
            error = %error,
            "every user of this machine may read this, and it can't be changed: let its owner run chmod {closed_mode}"
        ),
    }
}
