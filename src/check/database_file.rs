//! Whether the file of an SQLite ledger is whole, as far as SQLite can tell.

use std::fs;
use std::time::Instant;

use super::Finding;
use crate::config::{Config, LedgerUrl};
use crate::ledger::check_pages;

/// Reads every page of an SQLite ledger; nothing where there is none yet. It takes as long as reading the whole file.
pub async fn whole(config: &Config) -> Option<Finding> {
    const WHAT: &str = "database file";
    let LedgerUrl::Sqlite(path) = &config.ledger.url else { return None };
    let size = fs::metadata(path).ok().filter(|metadata| metadata.is_file() && metadata.len() > 0)?.len();
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
