//! The configuration: one TOML file, every problem of it reported at once.
//!
//! What [`Config::load`] returns is checked and ready to use: nobody after it asks whether a value makes sense, or
//! whether two of them contradict each other. It opens no connection, and reads no file besides the configuration, the
//! secrets that it names, and `network.ca_file`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::schedule::Schedule;

mod address;
mod agreement;
mod document;
mod example;
mod excerpt;
mod form;
mod http;
mod json_schema;
mod ledger;
mod lines;
mod log;
mod mailbox;
mod mapping;
mod microsoft;
mod network;
mod notify;
mod place;
mod problem;
pub(crate) mod quantity;
mod reader;
mod report;
mod retention;
mod retry;
mod schedule;
mod schema;
mod sections;
mod source;
mod staging;
mod users;

pub use example::{EXAMPLE, EXAMPLE_MAPPING};
pub use excerpt::Excerpt;
pub use http::HttpConfig;
pub use json_schema::json_schema;
pub use ledger::{LedgerConfig, LedgerUrl, MAX_LEASE};
pub use log::LogConfig;
pub use mailbox::{
    GraphConfig, GraphMethod, ImapAuthConfig, ImapConfig, ImapTls, LoginTemplate, MailboxConfig, MailboxKind,
};
pub use mapping::MappingConfig;
pub use microsoft::{Cloud, MicrosoftConfig, SignInConfig};
pub(crate) use network::MAX_CA_FILE;
pub use network::NetworkConfig;
pub use notify::NotifyConfig;
pub use place::Place;
pub use problem::{ConfigProblems, NamedTables, Problem};
pub use reader::NeededSecrets;
pub use report::ReportConfig;
pub use reqwest::Url;
pub use retention::Retention;
pub use retry::RetryConfig;
pub use source::{SourceConfig, SourceKind, TeleMessageConfig};
pub use staging::{AzureAuth, AzureConfig, StagingConfig, StagingKind};
pub use users::{UsersConfig, UsersKind};

use crate::bounded_file::{self, Unreadable};
use agreement::Needs;
use reader::Reader;
use sections::SECTIONS;

/// A configuration that is checked and ready to use.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that it was read from.
    pub path: PathBuf,
    /// The SHA-256 of that file's bytes.
    pub sha256: Digest,
    /// Where items come from.
    pub source: SourceConfig,
    /// When runs start.
    pub schedule: Schedule,
    /// Where raw items lie.
    pub staging: StagingConfig,
    /// How participants are mapped to addresses.
    pub mapping: MappingConfig,
    /// Who is a valid user.
    pub users: UsersConfig,
    /// The tenant; there wherever another section needs it.
    pub microsoft: Option<MicrosoftConfig>,
    /// Where copies go.
    pub mailbox: MailboxConfig,
    /// Where it is recorded what happened.
    pub ledger: LedgerConfig,
    /// The status pages; `None`: none are served.
    pub http: Option<HttpConfig>,
    /// The account of a run.
    pub report: ReportConfig,
    /// Whom the daemon calls for help.
    pub notify: NotifyConfig,
    /// What all connections share.
    pub network: NetworkConfig,
    /// How often something that failed is tried again.
    pub retry: RetryConfig,
    /// What is logged.
    pub log: LogConfig,
    /// What is not wrong but worth knowing: shown by `check`, logged at the start.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Reads the configuration file, with what the environment overrides. Secrets that aren't needed need not be readable.
    pub fn load(
        path: &Path,
        environment: &BTreeMap<String, String>,
        needed: NeededSecrets,
    ) -> Result<Self, ConfigProblems> {
        let text = read_file(path)?;
        Self::read(&text, path, environment, needed)
    }

    /// Reads a configuration from the text of the file at `path`, to whose directory relative paths are relative.
    pub fn from_text(text: &str, path: &Path, environment: &BTreeMap<String, String>) -> Result<Self, ConfigProblems> {
        Self::read(text, path, environment, NeededSecrets::All)
    }

    fn read(
        text: &str,
        path: &Path,
        environment: &BTreeMap<String, String>,
        needed: NeededSecrets,
    ) -> Result<Self, ConfigProblems> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let directory = absolute.parent().unwrap_or(Path::new("/")).to_owned();
        let problems = |problems| ConfigProblems::new(path, problems);
        let mut reader = reader::open(text, directory, environment, SECTIONS, needed).map_err(problems)?;
        let config = read_sections(&mut reader, path, Digest::of(text.as_bytes()));
        match config {
            Some(config) if reader.problems.is_empty() => Ok(Self { warnings: reader.warnings, ..config }),
            _ => Err(ConfigProblems::new(path, reader.problems).with(reader.warnings, reader.tables)),
        }
    }

    /// The administrator's tables.
    pub fn tables(&self) -> NamedTables {
        named_tables(Some(&self.mapping), Some(&self.users))
    }
}

/// Reads every section, also after one of them is wrong. `None` only with a problem reported.
fn read_sections(reader: &mut Reader<'_>, path: &Path, sha256: Digest) -> Option<Config> {
    let has_http = reader.has(&http::SCHEMA);
    let source = source::read(&mut reader.section(&source::SCHEMA));
    let schedule = schedule::read(&mut reader.section(&schedule::SCHEMA));
    let staging = staging::read(&mut reader.section(&staging::SCHEMA));
    let mapping = mapping::read(&mut reader.section(&mapping::SCHEMA));
    let users = users::read(&mut reader.section(&users::SCHEMA));
    reader.tables = named_tables(mapping.as_ref(), users.as_ref());
    let mailbox = mailbox::read(&mut reader.section(&mailbox::SCHEMA));
    let needs = Needs { staging: staging.as_ref(), users: users.as_ref(), mailbox: mailbox.as_ref() };
    let microsoft = read_microsoft(reader, &needs);
    let ledger = ledger::read(&mut reader.section(&ledger::SCHEMA));
    let too_early = agreement::settles_too_early(mailbox.as_ref(), microsoft.as_ref(), ledger.as_ref());
    reader.problems.extend(too_early);
    reader.problems.extend(agreement::forgets_too_early(staging.as_ref(), ledger.as_ref()));
    reader.problems.extend(agreement::imports_mime_elsewhere(mailbox.as_ref(), microsoft.as_ref()));
    let folders = agreement::folders_in_each_other(source.as_ref(), staging.as_ref(), mailbox.as_ref());
    reader.problems.extend(folders);
    let http = has_http.then(|| http::read(&mut reader.section(&http::SCHEMA))).flatten();
    let report = report::read(&mut reader.section(&report::SCHEMA));
    let notify = notify::read(&mut reader.section(&notify::SCHEMA));
    let network = network::read(&mut reader.section(&network::SCHEMA));
    let retry = retry::read(&mut reader.section(&retry::SCHEMA));
    let log = log::read(&mut reader.section(&log::SCHEMA));
    Some(Config {
        path: path.to_owned(),
        sha256,
        source: source?,
        schedule: schedule?,
        staging: staging?,
        mapping: mapping?,
        users: users?,
        microsoft,
        mailbox: mailbox?,
        ledger: ledger?,
        http: if has_http { Some(http?) } else { None },
        report: report?,
        notify,
        network,
        retry: retry?,
        log: log?,
        warnings: Vec::new(),
    })
}

fn named_tables(mapping: Option<&MappingConfig>, users: Option<&UsersConfig>) -> NamedTables {
    let users = users.and_then(|users| match &users.kind {
        UsersKind::List { path } => Some(path.clone()),
        UsersKind::Graph => None,
    });
    NamedTables { mapping: mapping.and_then(|mapping| mapping.custom.clone()), users }
}

fn read_microsoft(reader: &mut Reader<'_>, needs: &Needs<'_>) -> Option<MicrosoftConfig> {
    if !reader.has(&microsoft::SCHEMA) {
        reader.problems.extend(needs.missing_microsoft());
        return None;
    }
    let mut section = reader.section(&microsoft::SCHEMA);
    let microsoft = microsoft::read(&mut section);
    if let Some(microsoft) = &microsoft {
        needs.warn_of_cloud(microsoft, &mut section);
    }
    microsoft
}

/// The text of the file at `path`.
fn read_file(path: &Path) -> Result<String, ConfigProblems> {
    const MAX_FILE_BYTES: u32 = 1 << 20;
    let instead = "the path of a configuration; `whatsapp-archiver init DIR` writes one to start from";
    let problem = |what: String| ConfigProblems::new(path, vec![Problem::new(Place::File, "", what).instead(instead)]);
    let bytes = bounded_file::read(path, MAX_FILE_BYTES).map_err(|unreadable| match unreadable {
        Unreadable::Io(error) => problem(format!("the configuration can't be read: {error}")),
        Unreadable::TooLarge(_) => problem("the file is larger than 1 MiB, so it is hardly a configuration".to_owned()),
    })?;
    String::from_utf8(bytes).map_err(|_| problem("the file is not text in UTF-8".to_owned()))
}
