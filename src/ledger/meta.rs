//! What the program remembers under a name.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::AnyConnection;

use super::{Ledger, LedgerError, sql};

impl Ledger {
    /// The value that is remembered under a name.
    pub async fn get_meta(&self, name: &str) -> Result<Option<String>, LedgerError> {
        get(&mut *self.pool.acquire().await?, name).await
    }

    /// Remembers a value under a name; `None` forgets it.
    pub async fn set_meta(&self, name: &str, value: Option<&str>) -> Result<(), LedgerError> {
        let mut connection = self.writer()?.acquire().await?;
        let Some(value) = value else {
            sqlx::query("DELETE FROM meta WHERE name = $1").bind(name).execute(&mut *connection).await?;
            return Ok(());
        };
        set(&mut connection, name, value).await
    }

    /// The value under a name, from JSON; nothing where it can't be read: another version of the program wrote it.
    pub async fn get_meta_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, LedgerError> {
        Ok(self.get_meta(name).await?.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Remembers a value under a name, as JSON.
    pub async fn set_meta_json(&self, name: &str, value: &impl Serialize) -> Result<(), LedgerError> {
        self.set_meta(name, Some(&sql::to_json(value)?)).await
    }

    pub(super) async fn get_meta_instant(&self, name: &str) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let Some(text) = self.get_meta(name).await? else { return Ok(None) };
        let instant = DateTime::parse_from_rfc3339(&text);
        let instant = instant.map_err(|error| LedgerError::Damaged(format!("the {name} {text:?}: {error}")))?;
        Ok(Some(instant.with_timezone(&Utc)))
    }
}

/// The value under a name, as a connection sees it.
pub(super) async fn get(connection: &mut AnyConnection, name: &str) -> Result<Option<String>, LedgerError> {
    let row = sqlx::query("SELECT value FROM meta WHERE name = $1").bind(name).fetch_optional(connection).await?;
    row.map(|row| sql::get(&row, "value")).transpose()
}

/// Remembers a value under a name, by a connection.
pub(super) async fn set(connection: &mut AnyConnection, name: &str, value: &str) -> Result<(), LedgerError> {
    let statement =
        "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    sqlx::query(statement).bind(name).bind(value).execute(connection).await?;
    Ok(())
}
