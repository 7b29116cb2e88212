//! What a database's error means, by its code, and what it says, without the password that it was sent: a server that asks for it in
//! clear may repeat it.

use std::sync::{LazyLock, PoisonError, RwLock};

use crate::scrub::Scrubber;

/// The passwords of the ledgers that this process has opened: an error doesn't know whose it is.
static SENT: LazyLock<RwLock<Scrubber>> = LazyLock::new(RwLock::default);

/// Takes the password of a ledger's URL out of whatever databases say from now on.
pub(super) fn hide_password(url: &str) {
    let password = reqwest::Url::parse(url).ok().and_then(|url| url.password().map(str::to_owned));
    let Some(password) = password else { return };
    let mut sent = SENT.write().unwrap_or_else(PoisonError::into_inner);
    sent.add(&percent_encoding::percent_decode_str(&password).decode_utf8_lossy());
}

/// An error in words.
pub(super) fn in_words(error: &sqlx::Error) -> String {
    let words = error.to_string();
    SENT.read().unwrap_or_else(PoisonError::into_inner).scrub(&words).into_owned()
}

/// Whether SQLite says that the file is damaged, or no database at all (`SQLITE_CORRUPT`, `SQLITE_NOTADB`).
pub(super) fn is_damage(error: &sqlx::Error) -> bool {
    matches!(sqlite_code(error), Some(11 | 26))
}

/// Whether SQLite says that another process has the file locked (`SQLITE_BUSY`).
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    sqlite_code(error) == Some(5)
}

/// SQLite's primary code. PostgreSQL's have five characters; the upper bits of SQLite's say more than is asked here.
fn sqlite_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code)?;
    Some(code.parse::<u32>().ok().filter(|_| code.len() < 5)? & 0xff)
}
