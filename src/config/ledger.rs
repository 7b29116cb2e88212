//! `[ledger]`: where it is recorded what happened to every item.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::document::Value;
use super::form::{self, Invalid};
use super::reader::Section;
use super::schema::{Key, SectionSchema, Shape};
use super::{Secret, Url};

/// Where it is recorded what happened to every item.
#[derive(Debug, Clone)]
pub struct LedgerConfig {
    /// Which database it is.
    pub url: LedgerUrl,
    /// How long a dead replica's work waits; at least ten seconds.
    pub lease: Duration,
}

/// The databases of a ledger.
#[derive(Debug, Clone)]
pub enum LedgerUrl {
    /// A file of SQLite.
    Sqlite(PathBuf),
    /// PostgreSQL.
    Postgres {
        /// Its address, without a password.
        url: Url,
        /// The user's password.
        password: Option<Secret>,
    },
}

const SQLITE_EXAMPLE: &str = "url = \"sqlite:///var/lib/whatsapp-archiver/ledger.db\"";
const POSTGRES_EXAMPLE: &str =
    "url = \"postgres://archiver@db.contoso.example/archiver\", with password = { env = \"LEDGER_PASSWORD\" }";

pub(super) const SCHEMA: SectionSchema = SectionSchema {
    name: "ledger",
    keys: &[
        Key::new("url", Shape::Text, "\"sqlite:///var/lib/whatsapp-archiver/ledger.db\"").default(),
        Key::new("password", Shape::Secret, "{ env = \"LEDGER_PASSWORD\" }"),
        Key::new("lease", Shape::Duration, "\"60s\"").default(),
    ],
};

pub(super) fn read(section: &mut Section<'_>) -> Option<LedgerConfig> {
    let directory = section.directory;
    let url = section.or_default("url", |it| url(it, directory));
    let lease = section.or_default("lease", form::duration_from(Duration::from_secs(10), "10s"));
    let secret = section.secret("password");
    let url = match url {
        Some(LedgerUrl::Postgres { url, .. }) => Some(LedgerUrl::Postgres { url, password: secret }),
        Some(LedgerUrl::Sqlite(_)) if section.has("password") => {
            let what = "this key is for a postgres:// url, which is not what is chosen here";
            section.wrong("password", Invalid::with(what, format!("nothing, or {POSTGRES_EXAMPLE}")));
            None
        }
        other => other,
    };
    Some(LedgerConfig { url: url?, lease: lease? })
}

fn url(value: &Value, directory: &Path) -> Result<LedgerUrl, Invalid> {
    let text = form::text(value)?;
    let advice = if text.starts_with("postgres") { POSTGRES_EXAMPLE } else { SQLITE_EXAMPLE };
    LedgerUrl::parse(&text, directory).map_err(|what| Invalid::with(what, advice))
}

impl LedgerUrl {
    /// Reads `sqlite:///absolute/path`, `sqlite://relative/path`, `sqlite:relative/path` or `postgres://…`; a relative
    /// path is relative to `directory`. The error says what is wrong, and never shows the text: it may hold a password.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, &'static str> {
        match text.split_once(':') {
            Some(("sqlite", path)) => sqlite(path.strip_prefix("//").unwrap_or(path), directory),
            Some(("postgres" | "postgresql", _)) => postgres(text),
            _ => Err("must begin with sqlite:// or postgres://"),
        }
    }
}

fn sqlite(path: &str, directory: &Path) -> Result<LedgerUrl, &'static str> {
    if path.is_empty() || path.ends_with('/') {
        return Err("the name of the database's file is missing");
    }
    if path.contains([':', '?', '#', '%']) {
        return Err("the path must not hold `:`, `?`, `#` or `%`, and the ledger can't be kept in memory");
    }
    Ok(LedgerUrl::Sqlite(directory.join(path)))
}

fn postgres(text: &str) -> Result<LedgerUrl, &'static str> {
    let url = Url::parse(text).map_err(|_| "not an address of a PostgreSQL database")?;
    let holds_password = |name: &str| name.to_ascii_lowercase().contains("password");
    if url.password().is_some() || url.query_pairs().any(|(name, _)| holds_password(&name)) {
        return Err("a secret is never written here: take the password out, and name it in ledger.password");
    }
    Ok(LedgerUrl::Postgres { url, password: None })
}
