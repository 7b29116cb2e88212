//! Looks at a ledger's database before it is used: the true cause where it can't be opened, and whether its pages are whole.

use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, Connection as _, Executor as _, Row as _};

use super::sql::Dialect;
use super::{LedgerError, address, database_error};
use crate::clock::{Clock as _, SystemClock};

/// How long a database may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause before a file that another process has locked is tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// The most findings that SQLite reports of a damaged file: each may be long.
const MAX_FINDINGS: usize = 5;

/// Makes one connection and gives it up. A pool would try again until its time is up, and then say only that.
pub(super) async fn connect_once(url: &str, options: &AnyConnectOptions, dialect: Dialect) -> Result<(), LedgerError> {
    let connect = async || {
        let mut connection = AnyConnection::connect_with(options).await?;
        for statement in dialect.session() {
            connection.execute(*statement).await?;
        }
        connection.close().await
    };
    let connecting = async {
        loop {
            match connect().await {
                // Of two processes that make a file at once, SQLite lets one only set its journal, and the other doesn't wait.
                Err(error) if database_error::is_busy(&error) => SystemClock.sleep(BUSY_PAUSE).await,
                result => break result,
            }
        }
    };
    let Ok(result) = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await else {
        let detail = format!("the database doesn't answer within {} s", CONNECT_TIMEOUT.as_secs());
        return Err(LedgerError::Open { url: address::redacted(url), detail });
    };
    result.map_err(|error| refusal(url, &error))
}

/// Reads every page of an SQLite ledger and compares what they say of each other, tables with their indexes too, without
/// changing anything.
///
/// # Errors
///
/// [`LedgerError::Damaged`] where something is wrong with them.
pub async fn check_pages(path: &Path) -> Result<(), LedgerError> {
    let url = format!("sqlite://{}", path.display());
    let failed = |error: sqlx::Error| refusal(&url, &error);
    sqlx::any::install_default_drivers();
    let options = AnyConnectOptions::from_str(&format!("{url}?mode=ro")).map_err(failed)?;
    let mut connection = AnyConnection::connect_with(&options).await.map_err(failed)?;
    let rows = sqlx::query("PRAGMA integrity_check(5)").fetch_all(&mut connection).await;
    // What was found is found, whatever becomes of the connection.
    let _ = connection.close().await;
    let rows = rows.map_err(failed)?;
    let findings: Vec<String> =
        rows.iter().take(MAX_FINDINGS).map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed)?;
    if findings == ["ok"] {
        return Ok(());
    }
    let findings = findings.join("; ").replace(['\r', '\n'], " ");
    Err(LedgerError::Damaged(format!("{}: {findings}", path.display())))
}

fn refusal(url: &str, error: &sqlx::Error) -> LedgerError {
    if database_error::is_damage(error) {
        return LedgerError::Damaged(format!("{} ({})", address::redacted(url), database_error::in_words(error)));
    }
    // SQLite says only that it can't.
    let cause = address::file_of(url).and_then(|path| cause_of(&path)).map(|cause| format!(" ({cause})"));
    LedgerError::Open {
        url: address::redacted(url),
        detail: format!("{}{}", database_error::in_words(error), cause.unwrap_or_default()),
    }
}

/// Why a file can't be opened, where the system says so.
fn cause_of(path: &Path) -> Option<String> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Some("it is a directory".to_owned()),
        Ok(metadata) if !metadata.is_file() => Some("it is not a regular file".to_owned()),
        Ok(_) => std::fs::File::open(path).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}
