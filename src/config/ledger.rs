//! `[ledger]`: where it is recorded what happened to every item.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Url;
use super::document::Value;
use super::form::{self, Invalid};
use super::reader::Section;
use super::retention::Retention;
use super::schema::{Key, SectionSchema, Shape};
use crate::secret::Secret;

/// Where it is recorded what happened to every item.
#[derive(Debug, Clone)]
pub struct LedgerConfig {
    pub url: LedgerUrl,
    /// How long a dead replica's work waits; from ten seconds to [`MAX_LEASE`].
    pub lease: Duration,
    /// The name of this replica, which no other has at the same time. On PostgreSQL alone.
    pub replica: Option<String>,
    /// How long the details of items are kept that are accounted for; never shorter than what lies in staging.
    pub retain: Retention,
}

/// The longest lease. One that ends later is taken for that of a clock which was ahead.
pub const MAX_LEASE: Duration = Duration::from_hours(23);

#[derive(Debug, Clone, PartialEq)]
pub enum LedgerUrl {
    /// A file of SQLite.
    Sqlite(PathBuf),
    Postgres {
        /// Its address, without a password.
        url: Url,
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
        Key::new("replica", Shape::Text, "\"archiver-0\""),
        Key::new("retain", Shape::DurationOrForever, "\"forever\"").default(),
    ],
};

pub(super) fn read(section: &mut Section<'_>) -> Option<LedgerConfig> {
    let directory = section.directory;
    let url = section.or_default("url", |it| url(it, directory));
    let lease = form::duration_to(MAX_LEASE, "23h", form::duration_from(Duration::from_secs(10), "10s"));
    let lease = section.or_default("lease", lease);
    let secret = section.secret("password");
    let replica = section.optional("replica", replica_name);
    let retain = section.or_default("retain", Retention::read);
    if matches!(url, Some(LedgerUrl::Sqlite(_))) {
        for key in ["password", "replica"] {
            if !section.has(key) {
                continue;
            }
            let what = "this key is for a postgres:// url, which is not what is chosen here";
            section.wrong(key, Invalid::with(what, format!("nothing, or {POSTGRES_EXAMPLE}")));
        }
    }
    let url = match url? {
        LedgerUrl::Postgres { url, .. } => LedgerUrl::Postgres { url, password: secret },
        sqlite @ LedgerUrl::Sqlite(_) => sqlite,
    };
    Some(LedgerConfig { url, lease: lease?, replica, retain: retain? })
}

fn replica_name(value: &Value) -> Result<String, Invalid> {
    const MAX_LENGTH: usize = 253;
    let name = form::text(value)?;
    let is_plain = |character: char| character.is_ascii_alphanumeric() || ".-_".contains(character);
    if name.len() > MAX_LENGTH || !name.chars().all(is_plain) {
        let what = "must be at most 253 letters, digits, dots, hyphens and underscores";
        return Err(Invalid::with(what, "replica = \"archiver-0\""));
    }
    Ok(name)
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
