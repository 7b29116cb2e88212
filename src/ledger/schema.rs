//! The ledger's schema: versioned, forward-only. A newer one is refused.

use std::path::Path;

use sqlx::{Any, AnyPool, Transaction};

use super::deliveries::remote_id;
use super::sql::{self, Dialect, millis, query_of};
use super::{LedgerError, meta, names, presence};
use crate::clock::{Clock as _, SystemClock};

mod versions;

use versions::MIGRATIONS;

/// The names of all tables but `meta`.
pub(super) const TABLES: &[&str] = &[
    "account_rows",
    "account_rules",
    "actions",
    "capture_owners",
    "captures",
    "delivery_rows",
    "held_copies",
    "item_rows",
    "leases",
    "messages",
    "names",
    "open_references",
    "owner_days",
    "pages",
    "reports",
    "runs",
    "staged_windows",
    "unmapped",
    "windows",
];

/// The first version beside which a program of an earlier one can't go on: it would find neither rows nor indexes as it knows them.
const MIN_SHARED: i64 = 11;

/// Brings the schema up to date and returns the ledger's id, which is made with the first version. `presence` is the directory of the
/// processes' locks.
pub(super) async fn migrate(pool: &AnyPool, dialect: Dialect, presence: Option<&Path>) -> Result<String, LedgerError> {
    let mut transaction = pool.begin_with(dialect.begin()).await?;
    // Before the wait: another process may be bringing a large ledger into the new form.
    dialect.lift_bounds(&mut transaction).await?;
    dialect.wait_for_turn(&mut transaction).await?;
    let table = "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)";
    sqlx::query(table).execute(&mut *transaction).await?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let found: i64 = match meta::get(&mut transaction, "schema").await? {
        None => 0,
        Some(text) => {
            text.parse().map_err(|_| LedgerError::Damaged(format!("schema version {text:?} is not a number")))?
        }
    };
    if found > known {
        return Err(LedgerError::Newer { found, known });
    }
    if (1..MIN_SHARED).contains(&found) {
        refuse_use(&mut transaction, found, presence).await?;
    }
    let new_mark = names::new_mark().to_string();
    let full_remote_id = remote_id::full(dialect, "copies.remote_id", "COALESCE(copies.sent_as, copies.identity)");
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or_default()) {
        for statement in *migration {
            let statement = statement
                .replace("FULL_REMOTE_ID", &full_remote_id)
                .replace("UNIQUE_NAMES", dialect.unique_names())
                .replace("NEW_MARK", &new_mark);
            query_of(dialect.schema(&statement)).execute(&mut *transaction).await?;
        }
    }
    let remember = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    sqlx::query(remember).bind("ledger_id").bind(uuid::Uuid::now_v7().to_string()).execute(&mut *transaction).await?;
    meta::set(&mut transaction, "schema", &known.to_string()).await?;
    let id = meta::get(&mut transaction, "ledger_id").await?;
    let id = id.ok_or_else(|| LedgerError::Damaged("it has no id".to_owned()))?;
    transaction.commit().await?;
    Ok(id)
}

/// Fails where processes are at work on an older version's ledger. Beside an SQLite file it is known which are alive; elsewhere it is by
/// their leases, which those that died leave behind until they run out.
async fn refuse_use(
    transaction: &mut Transaction<'_, Any>,
    found: i64,
    presence: Option<&Path>,
) -> Result<(), LedgerError> {
    let in_use = |detail: String| Err(LedgerError::OlderInUse { found, detail });
    if let Some(directory) = presence {
        let alive = presence::present(directory)?;
        return if alive > 0 { in_use(format!("{alive} processes have it open")) } else { Ok(()) };
    }
    let row = sqlx::query("SELECT COUNT(*) AS held, MAX(until) AS until FROM leases WHERE until > $1")
        .bind(millis(SystemClock.now()))
        .fetch_one(&mut **transaction)
        .await?;
    match (sql::get::<i64>(&row, "held")?, sql::optional_instant(&row, "until")?) {
        (1.., Some(until)) => {
            let until = until.format("%Y-%m-%d %H:%M:%S UTC");
            in_use(format!("leases of it are in force, and run out at {until} where their process has died"))
        }
        _ => Ok(()),
    }
}
