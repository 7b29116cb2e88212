//! Copying a ledger into another database, of the same or the other kind.
//!
//! 1. The source is locked against writing, and must not be in use. The target must be empty, and is marked as unfinished.
//! 2. Table by table is copied, then counted on both sides.
//! 3. The source is marked as superseded, in the transaction that locked it; then the target's mark is taken away.
//!
//! At no time can both be opened for work: an unfinished copy and a superseded ledger are refused. A copy that was
//! broken off is begun again by the same command.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use sqlx::any::AnyRow;
use sqlx::query::Query;
use sqlx::{Any, Row as _, Transaction};

use super::sql::{self, Dialect, MAX_STATEMENT_ROWS, millis, query_of, query_of_many, rows_of_placeholders};
use super::superseded::{SUPERSEDED, UNFINISHED};
use super::{Ledger, LedgerError, meta, presence, schema};

/// Why a ledger was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// One of the two failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The source is in use.
    #[error("the ledger is in use: {0}; stop the daemon and anything else that uses it, then try again")]
    InUse(String),
    /// The target holds something.
    #[error("the target is not empty ({0}); a ledger is only copied into a new database")]
    NotEmpty(String),
    /// The target is the source.
    #[error("the target is this ledger itself")]
    Same,
    /// The two don't hold the same number of rows.
    #[error("table {table} has {source_rows} rows here and {target_rows} in the copy; the copy is not used")]
    Different { table: String, source_rows: i64, target_rows: i64 },
}

impl From<sqlx::Error> for CopyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error.into())
    }
}

/// What a table's column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Real,
    Text,
    Bytes,
}

impl Kind {
    fn of(declared: &str) -> Result<Self, LedgerError> {
        match declared.to_ascii_lowercase().as_str() {
            "bigint" | "integer" => Ok(Self::Integer),
            "double precision" => Ok(Self::Real),
            "text" => Ok(Self::Text),
            "blob" | "bytea" => Ok(Self::Bytes),
            other => Err(LedgerError::Damaged(format!("a column of the type {other:?} can't be copied"))),
        }
    }
}

/// A table of the ledger.
struct Table {
    name: &'static str,
    columns: Vec<(String, Kind)>,
}

impl Ledger {
    /// Copies this ledger into `target`, which must be empty, and marks it as superseded by `to`, the target's address without
    /// secrets. Returns each table with its number of rows. Both must be opened with [`Ledger::open_for_copy`].
    pub async fn copy_to(
        &self,
        target: &Self,
        to: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<(&'static str, u64)>, CopyError> {
        let mut source = self.begin().await?;
        self.dialect.lift_bounds(&mut source).await?;
        self.lock(&mut source).await?;
        let unfinished = target.get_meta(UNFINISHED).await?;
        let is_ours = unfinished.as_deref() == Some(self.id());
        if meta::get(&mut source, UNFINISHED).await?.is_some() {
            return Err(LedgerError::UnfinishedCopy.into());
        }
        if let Some(by) = meta::get(&mut source, SUPERSEDED).await? {
            // Only the target's mark was left to be taken away.
            if is_ours && by == to {
                let counts = compare(&mut source, target).await?;
                target.set_meta(UNFINISHED, None).await?;
                return Ok(counts);
            }
            return Err(LedgerError::Superseded { by }.into());
        }
        self.refuse_use(&mut source, now).await?;
        if target.id() == self.id() && unfinished.is_none() {
            return Err(CopyError::Same);
        }
        if !is_ours {
            target.refuse_content(unfinished.as_deref()).await?;
            target.set_meta(UNFINISHED, Some(self.id())).await?;
        }
        for table in target.tables().await? {
            copy_table(&mut source, target, &table).await?;
        }
        copy_meta(&mut source, target).await?;
        let counts = compare(&mut source, target).await?;
        meta::set(&mut source, SUPERSEDED, to).await?;
        source.commit().await?;
        target.set_meta(UNFINISHED, None).await?;
        target.names.forget();
        Ok(counts)
    }

    /// Keeps everybody else from writing until the transaction ends. (On SQLite, it does so by itself.)
    async fn lock(&self, transaction: &mut Transaction<'_, Any>) -> Result<(), LedgerError> {
        if self.dialect == Dialect::Postgres {
            let tables: Vec<&str> = schema::TABLES.iter().copied().chain(["meta"]).collect();
            let statement = format!("LOCK TABLE {} IN EXCLUSIVE MODE", tables.join(", "));
            query_of(statement).execute(&mut **transaction).await?;
        }
        Ok(())
    }

    async fn refuse_use(&self, source: &mut Transaction<'_, Any>, now: DateTime<Utc>) -> Result<(), CopyError> {
        let present = self.presence.as_deref().map_or(Ok(0), presence::present)?;
        if present > 0 {
            return Err(CopyError::InUse(format!("{present} processes have it open")));
        }
        let row = sqlx::query("SELECT COUNT(*) AS held FROM leases WHERE until > $1").bind(millis(now));
        let held: i64 = sql::get(&row.fetch_one(&mut **source).await?, "held")?;
        if held > 0 {
            return Err(CopyError::InUse(format!("{held} leases are in force")));
        }
        Ok(())
    }

    /// Fails where this ledger is anything but new.
    async fn refuse_content(&self, unfinished: Option<&str>) -> Result<(), CopyError> {
        if let Some(other) = unfinished {
            return Err(CopyError::NotEmpty(format!("it is an unfinished copy of another ledger, {other}")));
        }
        for name in schema::TABLES.iter().copied() {
            let rows = count(&mut *self.pool.acquire().await?, name).await?;
            if rows > 0 {
                return Err(CopyError::NotEmpty(format!("its table {name} has {rows} rows")));
            }
        }
        let row = sqlx::query("SELECT COUNT(*) AS found FROM meta WHERE name NOT IN ('schema', 'ledger_id')");
        let found: i64 = sql::get(&row.fetch_one(&self.pool).await?, "found")?;
        if found > 0 {
            return Err(CopyError::NotEmpty(format!("it remembers {found} things already")));
        }
        Ok(())
    }

    /// The tables, with their columns as the database has them.
    async fn tables(&self) -> Result<Vec<Table>, LedgerError> {
        let statement = match self.dialect {
            Dialect::Sqlite => "SELECT name, type AS declared FROM pragma_table_info($1) ORDER BY cid",
            Dialect::Postgres => {
                "SELECT CAST(column_name AS TEXT) AS name, CAST(data_type AS TEXT) AS declared
                 FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1
                 ORDER BY ordinal_position"
            }
        };
        let mut tables = Vec::new();
        for name in schema::TABLES.iter().copied() {
            let rows = sqlx::query(statement).bind(name).fetch_all(&self.pool).await?;
            let columns = rows
                .iter()
                .map(|row| Ok((sql::get::<String>(row, "name")?, Kind::of(&sql::get::<String>(row, "declared")?)?)));
            tables.push(Table { name, columns: columns.collect::<Result<_, LedgerError>>()? });
        }
        Ok(tables)
    }
}

/// Copies a table in one transaction of the target; what an earlier attempt left there is removed.
async fn copy_table(source: &mut Transaction<'_, Any>, target: &Ledger, table: &Table) -> Result<(), LedgerError> {
    let mut transaction = target.begin().await?;
    target.dialect.lift_bounds(&mut transaction).await?;
    query_of(format!("DELETE FROM {}", table.name)).execute(&mut *transaction).await?;
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(", ");
    let mut rows = query_of(format!("SELECT {names} FROM {}", table.name)).fetch(&mut **source);
    let mut batch: Vec<AnyRow> = Vec::with_capacity(MAX_STATEMENT_ROWS);
    loop {
        let row = rows.try_next().await?;
        let ended = row.is_none();
        batch.extend(row);
        if batch.len() == MAX_STATEMENT_ROWS || ended && !batch.is_empty() {
            let places = rows_of_placeholders(batch.len(), table.columns.len());
            let statement = format!("INSERT INTO {} ({names}) VALUES {places}", table.name);
            let mut query = query_of_many(target.dialect, statement);
            for row in &batch {
                for (place, (_, kind)) in table.columns.iter().enumerate() {
                    query = bind(query, row, place, *kind)?;
                }
            }
            query.execute(&mut *transaction).await?;
            batch.clear();
        }
        if ended {
            break;
        }
    }
    transaction.commit().await?;
    Ok(())
}

type Insert<'q> = Query<'q, Any, sqlx::any::AnyArguments>;

fn bind<'q>(query: Insert<'q>, row: &AnyRow, place: usize, kind: Kind) -> Result<Insert<'q>, LedgerError> {
    Ok(match kind {
        Kind::Integer => query.bind(row.try_get::<Option<i64>, _>(place)?),
        Kind::Real => query.bind(row.try_get::<Option<f64>, _>(place)?),
        Kind::Text => query.bind(row.try_get::<Option<String>, _>(place)?),
        Kind::Bytes => query.bind(row.try_get::<Option<Vec<u8>>, _>(place)?),
    })
}

/// Copies what is remembered under names: the ledger's id among it, by which the staging area knows it.
async fn copy_meta(source: &mut Transaction<'_, Any>, target: &Ledger) -> Result<(), LedgerError> {
    let rows = sqlx::query("SELECT name, value FROM meta WHERE name <> 'schema'").fetch_all(&mut **source).await?;
    for row in &rows {
        let (name, value): (String, String) = (sql::get(row, "name")?, sql::get(row, "value")?);
        target.set_meta(&name, Some(&value)).await?;
    }
    Ok(())
}

async fn compare(source: &mut Transaction<'_, Any>, target: &Ledger) -> Result<Vec<(&'static str, u64)>, CopyError> {
    let mut counts = Vec::new();
    for table in schema::TABLES.iter().copied() {
        let source_rows = count(&mut *source, table).await?;
        let target_rows = count(&mut *target.pool.acquire().await?, table).await?;
        if source_rows != target_rows {
            return Err(CopyError::Different { table: table.to_owned(), source_rows, target_rows });
        }
        counts.push((table, u64::try_from(source_rows).unwrap_or_default()));
    }
    Ok(counts)
}

async fn count(connection: &mut sqlx::AnyConnection, table: &str) -> Result<i64, LedgerError> {
    let row = query_of(format!("SELECT COUNT(*) AS found FROM {table}")).fetch_one(connection).await?;
    sql::get(&row, "found")
}
