//! Whether the file of an SQLite ledger is whole, as far as SQLite can tell.

use std::fs;
use std::io;
use std::time::Instant;

use super::Finding;
use crate::config::{Config, LedgerUrl};
use crate::ledger::check_pages;

/// Reads every page of an SQLite ledger, which takes as long as reading the whole file. Where there is
/// none yet, it says so if it is to.
pub async fn whole(config: &Config, says_missing: bool) -> Option<Finding> {
    const WHAT: &str = "database file";
    let LedgerUrl::Sqlite(path) = &config.ledger.url else { return None };
    let size = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.len() > 0 => metadata.len(),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let why = format!("{}: {error}", path.display());
            return Some(Finding::wrong(WHAT, why, "let the user of the daemon reach ledger.url"));
        }
        _ => {
            let none = format!(
                "there is none at {}: the first run makes it. If this archive has run before, is ledger.url right, and \
                 its disk mounted?",
                path.display()
            );
            return says_missing.then(|| Finding::not_tried(WHAT, none));
        }
    };
    let begun = Instant::now();
    Some(match check_pages(path).await {
        Ok(()) => {
            let (mib, taken) = (size.div_ceil(1 << 20), begun.elapsed().as_millis());
            Finding::ok(WHAT, format!("its pages fit together ({mib} MiB, {taken} ms)"))
        }
        Err(error) => Finding::wrong(
            WHAT,
            error.to_string(),
            "stop the daemon, keep a copy of the file, and restore or rebuild it",
        ),
    })
}
