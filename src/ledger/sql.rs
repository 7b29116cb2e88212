//! What SQLite and PostgreSQL don't agree on, and statements over many rows.

use std::fmt::Write as _;

use chrono::{DateTime, TimeZone as _, Utc};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Transaction};

use super::LedgerError;
use crate::digest::Digest;
use crate::json_fault::JsonFault;
use crate::window::Window;

/// Which database a ledger lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    pub(super) fn of(url: &str) -> Self {
        if url.starts_with("postgres") { Self::Postgres } else { Self::Sqlite }
    }

    /// The URL to connect with: an SQLite file is created when it is missing.
    pub(super) fn connect_url(self, url: &str) -> String {
        match self {
            Self::Sqlite if !url.contains('?') => format!("{url}?mode=rwc"),
            _ => url.to_owned(),
        }
    }

    /// SQLite has one writer at a time anyway; a few more connections let readers go on beside it.
    pub(super) fn connections(self) -> u32 {
        match self {
            Self::Sqlite => 4,
            Self::Postgres => 8,
        }
    }

    /// Settings of each connection.
    pub(super) fn session(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &[
                "PRAGMA busy_timeout = 30000",
                "PRAGMA journal_mode = WAL",
                // A commit is on the disk when it returns: what is recorded must survive a power cut.
                "PRAGMA synchronous = FULL",
                "PRAGMA foreign_keys = ON",
                "PRAGMA temp_store = MEMORY",
                "PRAGMA cache_size = -2048",
                "PRAGMA wal_autocheckpoint = 4000",
            ],
            Self::Postgres => &[
                "SET TIME ZONE 'UTC'",
                // Whatever the server's default: a claim that a crash forgets is a copy that is sent twice.
                "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
                // A process that stands still within a transaction keeps everybody else from what it has locked, until the
                // server ends its session; the others wait for longer than that.
                "SET idle_in_transaction_session_timeout = '30s'",
                "SET lock_timeout = '60s'",
                // Far more than any statement takes.
                "SET statement_timeout = '15min'",
            ],
        }
    }

    /// Counts the ledger's first table: one where the database holds a ledger.
    pub(super) fn count_of_meta(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT COUNT(*) AS tables FROM sqlite_master WHERE type = 'table' AND name = 'meta'",
            Self::Postgres => {
                "SELECT COUNT(*) AS tables FROM information_schema.tables
                 WHERE table_schema = current_schema() AND table_name = 'meta'"
            }
        }
    }

    /// Ends a statement that reads a row nobody may change before the transaction's end. SQLite has one writer at a time.
    pub(super) fn share_lock(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR SHARE",
        }
    }

    pub(super) fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            // Whatever the server's default is: these statements count on seeing what others committed meanwhile.
            Self::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
    }

    /// Lifts the bounds on how long a transaction may take, for one that changes the form of the whole ledger, or copies it.
    pub(super) async fn lift_bounds(self, transaction: &mut Transaction<'_, Any>) -> Result<(), LedgerError> {
        if self == Self::Postgres {
            for statement in [
                "SET LOCAL idle_in_transaction_session_timeout = 0",
                "SET LOCAL lock_timeout = 0",
                "SET LOCAL statement_timeout = 0",
            ] {
                sqlx::query(statement).execute(&mut **transaction).await?;
            }
        }
        Ok(())
    }

    /// Has the transaction wait until no other one of its kind is under way: two processes that start at once must not both make the
    /// tables, nor give one number twice. SQLite has one writer at a time; on PostgreSQL the lock (its number is arbitrary, and ours)
    /// goes with the transaction.
    pub(super) async fn wait_for_turn(self, transaction: &mut Transaction<'_, Any>) -> Result<(), LedgerError> {
        if self == Self::Postgres {
            let lock = "SELECT CAST(pg_advisory_xact_lock(8201726593310447105) AS TEXT)";
            sqlx::query(lock).execute(&mut **transaction).await?;
        }
        Ok(())
    }

    /// Rows that another process is just claiming are passed over. SQLite has one writer at a time, so there are none.
    pub(super) fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }

    /// A statement with placeholders that this dialect is quick with. `$7` is a name to SQLite, which it looks for among all
    /// names before it, when it reads the statement and again for each value: a thousand values would cost a million looks.
    fn placeholders(self, statement: String) -> String {
        match self {
            Self::Sqlite => unnamed(&statement).unwrap_or(statement),
            Self::Postgres => statement,
        }
    }

    /// A statement that names the type of bytes, or how a table is kept, in this dialect's words.
    pub(super) fn schema(self, statement: &str) -> String {
        match self {
            Self::Sqlite => statement.to_owned(),
            Self::Postgres => statement
                .replace("BLOB", "BYTEA")
                .replace(" WITHOUT ROWID", "")
                .replace("INTEGER PRIMARY KEY", "BIGINT PRIMARY KEY"),
        }
    }
}

/// How many rows a statement over many rows has at the most: pages of 500 items and batches of 250 are made of full ones.
pub(super) const MAX_STATEMENT_ROWS: usize = 125;

/// Rows cut into pieces of few lengths, so that the statement of each length is prepared once: to read one takes longer than to carry
/// it out.
pub(super) fn pieces<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    const LENGTHS: [usize; 4] = [MAX_STATEMENT_ROWS, 25, 5, 1];
    std::iter::from_fn(move || {
        let (piece, rest) = LENGTHS.into_iter().find_map(|length| rows.split_at_checked(length))?;
        rows = rest;
        Some(piece)
    })
}

/// The number of rows with which a statement is prepared that is given so many, and for the rest rows that match nothing.
pub(super) fn padded(rows: usize) -> usize {
    [1, 4, 16, 64].into_iter().find(|length| rows <= *length).unwrap_or(MAX_STATEMENT_ROWS)
}

/// So many characters of a text go into an index: PostgreSQL's take 2,700 bytes.
pub(super) const MAX_INDEXED: usize = 500;

/// The number of the run whose id is the value of a placeholder.
pub(super) fn run_no(placeholder: usize) -> String {
    format!("(SELECT run_no FROM runs WHERE run_id = ${placeholder})")
}

/// The number of the mailbox whose id is the value of a placeholder.
pub(super) fn mailbox_no(placeholder: usize) -> String {
    format!("(SELECT name_no FROM names WHERE name = ${placeholder})")
}

/// `($1, $2), ($3, $4), …`: placeholders for `rows` rows of `columns` values.
pub(super) fn rows_of_placeholders(rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * (columns * 6 + 4));
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            if column > 0 {
                text.push_str(", ");
            }
            // It can't fail.
            let _ = write!(text, "${}", row * columns + column + 1);
        }
        text.push(')');
    }
    text
}

/// The same where the database must be told the types: `(CAST($1 AS …), …), …`.
pub(super) fn rows_of_typed_placeholders(rows: usize, types: &[&str]) -> String {
    let mut text = String::with_capacity(rows * (types.len() * 24 + 4));
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for (column, of) in types.iter().enumerate() {
            let separator = if column == 0 { "" } else { ", " };
            // It can't fail.
            let _ = write!(text, "{separator}CAST(${} AS {of})", row * types.len() + column + 1);
        }
        text.push(')');
    }
    text
}

/// `($n, $n+1, …)`: placeholders for one list of `count` values, numbered from `first`.
pub(super) fn list_of_placeholders(first: usize, count: usize) -> String {
    let names: Vec<String> = (first..first + count).map(|number| format!("${number}")).collect();
    format!("({})", names.join(", "))
}

/// A statement built from literals and placeholders alone. It is not kept prepared: there is one for every number of rows, and
/// a connection that kept a hundred of them would hold megabytes.
pub(super) fn query_of(statement: String) -> Query<'static, Any, AnyArguments> {
    sqlx::query(AssertSqlSafe(statement)).persistent(false)
}

/// The same, kept prepared: for a statement that has one text.
pub(super) fn prepared(statement: String) -> Query<'static, Any, AnyArguments> {
    sqlx::query(AssertSqlSafe(statement))
}

/// The same with many placeholders, in a form that the dialect is quick with.
pub(super) fn query_of_many(dialect: Dialect, statement: String) -> Query<'static, Any, AnyArguments> {
    query_of(dialect.placeholders(statement))
}

/// The same over one of [`pieces`], or over a [`padded`] number of rows: kept prepared.
pub(super) fn query_of_rows(dialect: Dialect, statement: String) -> Query<'static, Any, AnyArguments> {
    prepared(dialect.placeholders(statement))
}

/// The same statement with `?` for each placeholder; `None` where they are not `$1`, `$2`, … in this order, each once.
fn unnamed(statement: &str) -> Option<String> {
    let mut text = String::with_capacity(statement.len());
    let mut pieces = statement.split('$');
    text.push_str(pieces.next().unwrap_or_default());
    for (number, piece) in (1_usize..).zip(pieces) {
        let rest = piece.trim_start_matches(|letter: char| letter.is_ascii_digit());
        if piece.strip_suffix(rest)?.parse() != Ok(number) {
            return None;
        }
        text.push('?');
        text.push_str(rest);
    }
    Some(text)
}

/// A column's value.
pub(super) fn get<'r, T>(row: &'r AnyRow, column: &str) -> Result<T, LedgerError>
where
    T: sqlx::Decode<'r, sqlx::Any> + sqlx::Type<sqlx::Any>,
{
    Ok(sqlx::Row::try_get(row, column)?)
}

/// A column that counts, and so is never negative.
pub(super) fn count(row: &AnyRow, column: &str) -> Result<u64, LedgerError> {
    u64::try_from(get::<i64>(row, column)?).map_err(|_| LedgerError::Damaged(format!("{column} is negative")))
}

/// A column that holds a digest.
pub(super) fn digest(row: &AnyRow, column: &str) -> Result<Digest, LedgerError> {
    let bytes: Vec<u8> = get(row, column)?;
    let bytes: [u8; 32] =
        bytes.try_into().map_err(|_| LedgerError::Damaged(format!("column {column} does not hold a SHA-256")))?;
    Ok(Digest::from(bytes))
}

pub(super) fn optional_digest(row: &AnyRow, column: &str) -> Result<Option<Digest>, LedgerError> {
    get::<Option<Vec<u8>>>(row, column)?.map(|_| digest(row, column)).transpose()
}

/// An instant as the ledger keeps it: epoch milliseconds.
pub(super) fn millis(instant: DateTime<Utc>) -> i64 {
    instant.timestamp_millis()
}

/// A column that holds an instant.
pub(super) fn instant(row: &AnyRow, column: &str) -> Result<DateTime<Utc>, LedgerError> {
    from_millis(get(row, column)?, column)
}

/// The columns `window_from` and `window_to`.
pub(super) fn window(row: &AnyRow) -> Result<Window, LedgerError> {
    Ok(Window { from: instant(row, "window_from")?, to: instant(row, "window_to")? })
}

/// A column that may hold an instant.
pub(super) fn optional_instant(row: &AnyRow, column: &str) -> Result<Option<DateTime<Utc>>, LedgerError> {
    get::<Option<i64>>(row, column)?.map(|millis| from_millis(millis, column)).transpose()
}

fn from_millis(millis: i64, column: &str) -> Result<DateTime<Utc>, LedgerError> {
    let instant = Utc.timestamp_millis_opt(millis).single();
    instant.ok_or_else(|| LedgerError::Damaged(format!("column {column} holds the impossible time {millis}")))
}

/// A column that holds JSON.
pub(super) fn json<T: serde::de::DeserializeOwned>(text: &str, what: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text).map_err(|error| LedgerError::Damaged(format!("{what}: {}", JsonFault::from(error))))
}

/// JSON for a column. What the ledger keeps always has a JSON form; an error would be a mistake in this program.
pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|error| LedgerError::Damaged(format!("a value has no JSON form: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_through() {
        assert_eq!(rows_of_placeholders(2, 3), "($1, $2, $3), ($4, $5, $6)");
        assert_eq!(list_of_placeholders(3, 2), "($3, $4)");
        assert_eq!(
            rows_of_typed_placeholders(2, &["TEXT", "BLOB"]),
            "(CAST($1 AS TEXT), CAST($2 AS BLOB)), (CAST($3 AS TEXT), CAST($4 AS BLOB))"
        );
    }

    #[test]
    fn placeholders_in_order_need_no_names() {
        let of = |dialect: Dialect, statement: &str| dialect.placeholders(statement.to_owned());
        let statement = "UPDATE t SET a = $1 WHERE b IN ($2, $3)";
        assert_eq!(of(Dialect::Sqlite, statement), "UPDATE t SET a = ? WHERE b IN (?, ?)");
        assert_eq!(of(Dialect::Postgres, statement), statement);
        for named in ["a = $1 OR b = $1", "a = $2 AND b = $1", "a = $2", "a = $", "a = $b"] {
            assert_eq!(of(Dialect::Sqlite, named), named);
        }
        assert_eq!(of(Dialect::Sqlite, "a = 1"), "a = 1");
    }
}
