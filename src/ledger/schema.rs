//! The ledger's schema: versioned, forward-only. A newer one is refused.

use sqlx::{AnyPool, Row as _};

use super::deliveries::remote_id;
use super::sql::{Dialect, query_of};
use super::{LedgerError, sql};

mod versions;

use versions::MIGRATIONS;

/// The names of all tables but `meta`.
pub(super) const TABLES: &[&str] = &[
    "account_rows",
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

/// Brings the schema up to date and returns the ledger's id, which is made with the first version.
pub(super) async fn migrate(pool: &AnyPool, dialect: Dialect) -> Result<String, LedgerError> {
    let mut transaction = pool.begin_with(dialect.begin()).await?;
    dialect.wait_for_turn(&mut transaction).await?;
    let meta = "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)";
    sqlx::query(meta).execute(&mut *transaction).await?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let row = sqlx::query("SELECT value FROM meta WHERE name = 'schema'").fetch_optional(&mut *transaction).await?;
    let found: i64 = match row {
        None => 0,
        Some(row) => {
            let text: String = row.try_get("value")?;
            text.parse().map_err(|_| LedgerError::Damaged(format!("schema version {text:?} is not a number")))?
        }
    };
    if found > known {
        return Err(LedgerError::Newer { found, known });
    }
    let full_remote_id = remote_id::full(dialect, "copies.remote_id", "COALESCE(copies.sent_as, copies.identity)");
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or_default()) {
        for statement in *migration {
            let statement = statement.replace("FULL_REMOTE_ID", &full_remote_id);
            query_of(dialect.schema(&statement)).execute(&mut *transaction).await?;
        }
    }
    let remember = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    sqlx::query(remember).bind("ledger_id").bind(uuid::Uuid::now_v7().to_string()).execute(&mut *transaction).await?;
    sqlx::query(
        "INSERT INTO meta (name, value) VALUES ('schema', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(known.to_string())
    .execute(&mut *transaction)
    .await?;
    let row = sqlx::query("SELECT value FROM meta WHERE name = 'ledger_id'").fetch_one(&mut *transaction).await?;
    let id = sql::get(&row, "value")?;
    transaction.commit().await?;
    Ok(id)
}
