//! Texts that recur in row after row (mailboxes, addresses, owners, what is said of a participant), each kept once under a number.
//!
//! A name never changes and never goes, so a number that was seen once is right for ever: the numbers are remembered here, and
//! most rows are written and read without asking the database.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::{Any, AnyConnection};

use super::sql::{self, Dialect, list_of_placeholders, query_of, query_of_many, rows_of_placeholders};
use super::{Ledger, LedgerError};

/// So many names are remembered at the most; then all are forgotten, and those that recur are soon back.
const MAX_REMEMBERED: usize = 20_000;

/// Names of one statement.
const CHUNK: usize = 400;

/// Names that this process has seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(Arc<Mutex<Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    numbers: HashMap<Arc<str>, i64>,
    names: HashMap<i64, Arc<str>>,
}

impl Names {
    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        // What is remembered is right, whoever panicked while it was there.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, found: &[(Arc<str>, i64)]) {
        let mut remembered = self.remembered();
        if remembered.names.len() + found.len() > MAX_REMEMBERED {
            *remembered = Remembered::default();
        }
        for (name, number) in found.iter().take(MAX_REMEMBERED) {
            remembered.numbers.insert(Arc::clone(name), *number);
            remembered.names.insert(*number, Arc::clone(name));
        }
    }

    /// Forgets everything: the database holds another ledger now.
    pub(super) fn forget(&self) {
        *self.remembered() = Remembered::default();
    }
}

/// The numbers of names.
#[derive(Debug, Default)]
pub(super) struct Numbers(HashMap<Arc<str>, i64>);

impl From<Vec<(Arc<str>, i64)>> for Numbers {
    fn from(found: Vec<(Arc<str>, i64)>) -> Self {
        Self(found.into_iter().collect())
    }
}

impl Numbers {
    /// The number of a name that was among those asked for.
    pub(super) fn of(&self, name: &str) -> Result<i64, LedgerError> {
        self.0.get(name).copied().ok_or_else(|| LedgerError::Damaged(format!("the name {name:?} has no number")))
    }
}

impl Ledger {
    /// The numbers of names; new ones get theirs, durably, before this returns. Not within a transaction: several processes would
    /// wait for each other's names.
    pub(super) async fn numbers_of<N: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Numbers, LedgerError> {
        let mut numbers = HashMap::new();
        let mut missing = BTreeSet::new();
        {
            let remembered = self.names.remembered();
            for name in names {
                match remembered.numbers.get_key_value(name.as_ref()) {
                    Some((name, number)) => drop(numbers.insert(Arc::clone(name), *number)),
                    None => drop(missing.insert(name.as_ref().to_owned())),
                }
            }
        }
        if !missing.is_empty() {
            let mut transaction = self.begin().await?;
            self.dialect.wait_for_turn(&mut transaction).await?;
            let missing = missing.iter().map(String::as_str).collect();
            let found = intern(&mut transaction, self.dialect, &missing).await?;
            transaction.commit().await?;
            self.names.remember(&found);
            numbers.extend(found);
        }
        Ok(Numbers(numbers))
    }

    /// The names of these numbers.
    pub(super) async fn names_of(&self, wanted: &BTreeSet<i64>) -> Result<HashMap<i64, Arc<str>>, LedgerError> {
        let mut found = HashMap::with_capacity(wanted.len());
        let mut missing = Vec::new();
        {
            let remembered = self.names.remembered();
            for number in wanted {
                match remembered.names.get(number) {
                    Some(name) => drop(found.insert(*number, Arc::clone(name))),
                    None => missing.push(*number),
                }
            }
        }
        for chunk in missing.chunks(CHUNK) {
            let list = list_of_placeholders(1, chunk.len());
            let statement = format!("SELECT name, name_no FROM names WHERE name_no IN {list}");
            let mut query = query_of_many(self.dialect, statement);
            for number in chunk {
                query = query.bind(*number);
            }
            let read = query.fetch_all(&self.pool).await?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
            self.names.remember(&read);
            found.extend(read.into_iter().map(|(name, number)| (number, name)));
        }
        Ok(found)
    }
}

fn read(row: &sqlx::any::AnyRow) -> Result<(Arc<str>, i64), LedgerError> {
    Ok((Arc::from(sql::get::<String>(row, "name")?), sql::get(row, "name_no")?))
}

/// The numbers of names; new ones get theirs. Nobody else may give any meanwhile.
pub(super) async fn intern(
    connection: &mut AnyConnection,
    dialect: Dialect,
    names: &BTreeSet<&str>,
) -> Result<Vec<(Arc<str>, i64)>, LedgerError> {
    let names: Vec<&str> = names.iter().copied().collect();
    let mut found = Vec::with_capacity(names.len());
    for chunk in names.chunks(CHUNK) {
        let known = known(connection, dialect, chunk).await?;
        let is_known: BTreeSet<&str> = known.iter().map(|(name, _)| name.as_ref()).collect();
        let new: Vec<&str> = chunk.iter().copied().filter(|name| !is_known.contains(name)).collect();
        if !new.is_empty() {
            let row = query_of("SELECT COALESCE(MAX(name_no), 0) + 1 AS next FROM names".to_owned());
            let next: i64 = sql::get(&row.fetch_one(&mut *connection).await?, "next")?;
            let given: Vec<(Arc<str>, i64)> = new.iter().map(|name| Arc::from(*name)).zip(next..).collect();
            let statement = format!("INSERT INTO names (name, name_no) VALUES {}", rows_of_placeholders(new.len(), 2));
            let mut query = query_of_many(dialect, statement);
            for (name, number) in &given {
                query = query.bind(name.to_string()).bind(*number);
            }
            query.execute(&mut *connection).await?;
            found.extend(given);
        }
        found.extend(known);
    }
    Ok(found)
}

async fn known(
    connection: &mut AnyConnection,
    dialect: Dialect,
    names: &[&str],
) -> Result<Vec<(Arc<str>, i64)>, LedgerError> {
    let list = list_of_placeholders(1, names.len());
    let mut query = query_of_many(dialect, format!("SELECT name, name_no FROM names WHERE name IN {list}"));
    for name in names {
        query = query.bind((*name).to_owned());
    }
    query.fetch_all(connection).await?.iter().map(read).collect()
}

impl Dialect {
    /// Has the transaction wait until no other one of its kind is under way. On SQLite there is one writer at a time anyway.
    pub(super) async fn wait_for_turn(self, transaction: &mut sqlx::Transaction<'_, Any>) -> Result<(), LedgerError> {
        if let Some(statement) = self.turn() {
            sqlx::query(statement).execute(&mut **transaction).await?;
        }
        Ok(())
    }
}
