//! Whether there is a ledger at a place. Nothing here makes or changes anything.

use std::path::Path;

use sqlx::{AnyPool, Row as _};

use super::sql::Dialect;
use super::{LedgerError, address};

/// Fails where the file of an SQLite ledger is missing or empty, before anything connects to it.
pub(super) fn require_file(url: &str) -> Result<(), LedgerError> {
    let Some(path) = address::file_of(url) else { return Ok(()) };
    refuse_only_its_log(&path)?;
    let detail = match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => ", only an empty file",
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "",
        // What else is wrong with it, SQLite says.
        _ => return Ok(()),
    };
    Err(LedgerError::Missing { place: address::redacted(url), detail })
}

/// Fails where a database file is missing and its write-ahead log isn't: whoever makes a new file throws the log away.
///
/// # Errors
///
/// [`LedgerError::OnlyItsLog`]
pub(crate) fn refuse_only_its_log(file: &Path) -> Result<(), LedgerError> {
    let is_missing = std::fs::metadata(file).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    let log = std::fs::metadata(format!("{}-wal", file.display()));
    if is_missing && log.is_ok_and(|log| log.len() > 0) {
        return Err(LedgerError::OnlyItsLog { place: file.display().to_string() });
    }
    Ok(())
}

/// Whether a database holds a ledger's tables.
pub(super) async fn has_tables(pool: &AnyPool, dialect: Dialect) -> Result<bool, LedgerError> {
    let row = sqlx::query(dialect.count_of_meta()).fetch_one(pool).await?;
    let tables: i64 = row.try_get("tables")?;
    Ok(tables > 0)
}
