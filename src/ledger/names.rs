//! Texts that recur in row after row (mailboxes, addresses, owners, what is said of a participant), each kept once under a number.
//!
//! A name never changes and never goes, so the numbers are remembered here, and most rows are written and read without a look at the
//! names. One thing can make what is remembered wrong: a database server whose stand-in takes over without the last commits, and then
//! gives their numbers to other names. Therefore each name carries a random mark of the transaction that gave it its number. Numbers are
//! given by one transaction after the other: where the mark of the newest name that is remembered is still there, so are all names before
//! it. Whoever uses remembered numbers asks for that one row: in the transaction that writes them, or once they are read.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use sqlx::AnyConnection;

use super::sql::{self, Dialect, list_of_placeholders, query_of_many, rows_of_placeholders};
use super::{Ledger, LedgerError};

mod remembered;

pub(super) use remembered::{Names, Numbers};

use remembered::{Given, newest};

/// Names of one statement.
const CHUNK: usize = 400;

impl Ledger {
    /// The numbers of names; new ones get theirs, durably, before this returns. Not within a transaction: several processes would
    /// wait for each other's names. The transaction that writes them begins with [`Self::confirm`].
    pub(super) async fn numbers_of<N: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Numbers, LedgerError> {
        let mut numbers = Numbers::default();
        let mut missing = BTreeSet::new();
        {
            let remembered = self.names.remembered();
            numbers.newest = remembered.newest;
            for name in names {
                match remembered.numbers.get_key_value(name.as_ref()) {
                    Some((name, number)) => drop(numbers.of.insert(Arc::clone(name), *number)),
                    None => drop(missing.insert(name.as_ref().to_owned())),
                }
            }
        }
        if missing.is_empty() {
            return Ok(numbers);
        }
        let before = numbers.newest;
        let mut missing: Vec<&str> = missing.iter().map(String::as_str).collect();
        // Most are there. To look for them nobody waits for a turn.
        let mut connection = self.pool.acquire().await?;
        let mut found = self.or_forget(look_up(&mut connection, self.dialect, &missing, before).await)?;
        drop(connection);
        numbers.add(&found);
        missing.retain(|name| !numbers.of.contains_key(*name));
        if !missing.is_empty() {
            let mut transaction = self.begin().await?;
            self.dialect.wait_for_turn(&mut transaction).await?;
            let given = self.or_forget(give(&mut transaction, self.dialect, &missing, numbers.newest).await)?;
            transaction.commit().await?;
            numbers.add(&given);
            found.extend(given);
        }
        self.names.remember(&found, before);
        Ok(numbers)
    }

    /// Fails where the database isn't any more what it was when these numbers were found in it. Whatever is written by them is written
    /// in this transaction.
    pub(super) async fn confirm(&self, connection: &mut AnyConnection, numbers: &Numbers) -> Result<(), LedgerError> {
        let Some(newest) = numbers.newest else { return Ok(()) };
        let row = sqlx::query("SELECT mark FROM names WHERE name_no = $1").bind(newest.number);
        let mark = row.fetch_optional(connection).await?.map(|row| sql::get::<i64>(&row, "mark")).transpose()?;
        self.or_forget(if mark == Some(newest.mark) { Ok(()) } else { Err(LedgerError::CommitsLost) })
    }

    /// The names of these numbers.
    pub(super) async fn names_of(&self, wanted: &BTreeSet<i64>) -> Result<HashMap<i64, Arc<str>>, LedgerError> {
        let mut found = HashMap::with_capacity(wanted.len());
        let mut missing = Vec::new();
        let before = {
            let remembered = self.names.remembered();
            for number in wanted {
                match remembered.names.get(number) {
                    Some(name) => drop(found.insert(*number, Arc::clone(name))),
                    None => missing.push(*number),
                }
            }
            remembered.newest
        };
        if missing.is_empty() {
            if !found.is_empty() {
                let mut connection = self.pool.acquire().await?;
                self.confirm(&mut connection, &Numbers { newest: before, ..Numbers::default() }).await?;
            }
            return Ok(found);
        }
        let (mut read, mut seen) = (Vec::new(), before);
        for chunk in missing.chunks(CHUNK) {
            let list = list_of_placeholders(1, chunk.len());
            let mut query = query_of_many(self.dialect, beside_newest(&format!("name_no IN {list}"), seen));
            for number in chunk {
                query = query.bind(*number);
            }
            let rows = query.fetch_all(&self.pool).await?;
            let rows = self.or_forget(rows_beside(&rows, seen))?;
            seen = rows.iter().fold(seen, |seen, (_, given)| newest(seen, *given));
            read.extend(rows);
        }
        self.names.remember(&read, before);
        found.extend(read.into_iter().map(|(name, given)| (given.number, name)));
        Ok(found)
    }

    /// Forgets the names where what is remembered of them is wrong.
    fn or_forget<T>(&self, result: Result<T, LedgerError>) -> Result<T, LedgerError> {
        if matches!(result, Err(LedgerError::CommitsLost)) {
            self.names.forget();
        }
        result
    }
}

/// A statement for names, and for the mark of the newest one: all as of one instant.
fn beside_newest(condition: &str, newest: Option<Given>) -> String {
    let select = "SELECT name, name_no, mark, CAST(0 AS BIGINT) AS is_newest FROM names WHERE";
    match newest {
        None => format!("{select} {condition}"),
        Some(Given { number, .. }) => {
            format!(
                "{select} {condition} UNION ALL SELECT '', name_no, mark, CAST(1 AS BIGINT) FROM names WHERE name_no = {number}"
            )
        }
    }
}

/// What such a statement found. Fails where the newest name isn't there any more.
fn rows_beside(rows: &[sqlx::any::AnyRow], newest: Option<Given>) -> Result<Vec<(Arc<str>, Given)>, LedgerError> {
    let mut found = Vec::with_capacity(rows.len());
    let mut is_there = newest.is_none();
    for row in rows {
        let given = Given { number: sql::get(row, "name_no")?, mark: sql::get(row, "mark")? };
        if sql::get::<i64>(row, "is_newest")? == 1 {
            is_there = Some(given) == newest;
        } else {
            found.push((Arc::from(sql::get::<String>(row, "name")?), given));
        }
    }
    if is_there { Ok(found) } else { Err(LedgerError::CommitsLost) }
}

/// The names that are there already, in a database that `seen` is in.
async fn look_up(
    connection: &mut AnyConnection,
    dialect: Dialect,
    names: &[&str],
    mut seen: Option<Given>,
) -> Result<Vec<(Arc<str>, Given)>, LedgerError> {
    let mut found = Vec::with_capacity(names.len());
    for chunk in names.chunks(CHUNK) {
        let list = list_of_placeholders(1, chunk.len());
        let mut query = query_of_many(dialect, beside_newest(&format!("name IN {list}"), seen));
        for name in chunk {
            query = query.bind(*name);
        }
        let rows = rows_beside(&query.fetch_all(&mut *connection).await?, seen)?;
        seen = rows.iter().fold(seen, |seen, (_, given)| newest(seen, *given));
        found.extend(rows);
    }
    Ok(found)
}

/// The numbers of names; those that are not there get theirs. Nobody else may give any meanwhile.
async fn give(
    connection: &mut AnyConnection,
    dialect: Dialect,
    names: &[&str],
    seen: Option<Given>,
) -> Result<Vec<(Arc<str>, Given)>, LedgerError> {
    let mut found = look_up(connection, dialect, names, seen).await?;
    let is_there: BTreeSet<&str> = found.iter().map(|(name, _)| name.as_ref()).collect();
    let new: Vec<&str> = names.iter().copied().filter(|name| !is_there.contains(name)).collect();
    if new.is_empty() {
        return Ok(found);
    }
    let row = sqlx::query("SELECT COALESCE(MAX(name_no), 0) + 1 AS next FROM names");
    let next: i64 = sql::get(&row.fetch_one(&mut *connection).await?, "next")?;
    let mark = new_mark();
    let given = |number| Given { number, mark };
    let new: Vec<(Arc<str>, Given)> = new.into_iter().map(Arc::from).zip((next..).map(given)).collect();
    for chunk in new.chunks(CHUNK) {
        let places = rows_of_placeholders(chunk.len(), 3);
        let mut query = query_of_many(dialect, format!("INSERT INTO names (name, name_no, mark) VALUES {places}"));
        for (name, given) in chunk {
            query = query.bind(name.to_string()).bind(given.number).bind(given.mark);
        }
        query.execute(&mut *connection).await?;
    }
    found.extend(new);
    Ok(found)
}

/// The numbers of names, for the one transaction that moves rows of an older ledger.
pub(super) async fn intern(
    connection: &mut AnyConnection,
    dialect: Dialect,
    names: &BTreeSet<&str>,
) -> Result<Numbers, LedgerError> {
    let names: Vec<&str> = names.iter().copied().collect();
    let found = give(connection, dialect, &names, None).await?;
    Ok(Numbers::found(found.into_iter().map(|(name, given)| (name, given.number))))
}

/// A mark that no other transaction has.
pub(super) fn new_mark() -> i64 {
    uuid::Uuid::now_v7().as_u64_pair().1.cast_signed()
}

impl Dialect {
    /// Keeps each name from coming twice, and finds it. PostgreSQL's usual index takes no text beyond 2,700 bytes.
    pub(super) fn unique_names(self) -> &'static str {
        match self {
            Self::Sqlite => "CREATE UNIQUE INDEX names_by_name ON names (name)",
            Self::Postgres => "ALTER TABLE names ADD CONSTRAINT names_by_name EXCLUDE USING HASH (name WITH =)",
        }
    }
}
