//! The configuration: one TOML file, every problem of it told at once.
//!
//! What [`Config::load`] returns is checked and ready to use: nobody after it asks whether a value makes sense, or
//! whether two of them contradict each other. It opens no connection, and reads no file besides the configuration, the
//! secrets that it names, and `network.ca_file`.

use std::path::PathBuf;

use crate::digest::Digest;

mod http;
mod ledger;
mod log;
mod mailbox;
mod mapping;
mod microsoft;
mod network;
mod notify;
mod problem;
mod report;
mod retry;
mod schedule;
mod secret;
mod source;
mod staging;
mod users;

pub use http::HttpConfig;
pub use ledger::{LedgerConfig, LedgerUrl};
pub use log::LogConfig;
pub use mailbox::{GraphConfig, GraphMethod, ImapAuth, ImapConfig, ImapTls, LoginTemplate, MailboxConfig, MailboxKind};
pub use mapping::MappingConfig;
pub use microsoft::{Cloud, MicrosoftConfig, SignInConfig};
pub use network::NetworkConfig;
pub use notify::NotifyConfig;
pub use problem::{ConfigProblems, Place, Problem};
pub use report::ReportConfig;
pub use reqwest::Url;
pub use retry::RetryConfig;
pub use schedule::{FirstWindow, ScheduleConfig};
pub use secret::{Secret, SecretError, SecretFault};
pub use source::{SourceConfig, SourceKind, TeleMessageConfig};
pub use staging::{AzureAuth, AzureConfig, Retention, StagingConfig, StagingKind};
pub use users::{UsersConfig, UsersKind};

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
    pub schedule: ScheduleConfig,
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
