//! What a command is given, and how it ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::app::{self, App, BuildError, LedgerUse, TablesUse, files};
use crate::clock::SystemClock;
use crate::config::{Config, NeededSecrets};
use crate::daemon::ConfigLoader;
use crate::ledger::{Ledger, RunId, RunRecord};
use crate::lifecycle::{Signals, stop_on_signal};
use crate::telemetry::{self, LogFormat};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done.
    Done,
    /// The run failed, left something pending, or a mailbox refused something.
    Failed,
    /// The command's words are wrong.
    Usage,
    /// The configuration or the mapping is wrong or missing (`EX_CONFIG` of sysexits.h).
    Configuration,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Configuration => 78,
        })
    }
}

/// What a command is given.
pub(super) struct Context {
    pub(super) config_path: PathBuf,
    pub(super) log_format: LogFormat,
    pub(super) environment: BTreeMap<String, String>,
}

/// Why a command could not do its work.
pub(super) enum CommandError {
    /// All that is wrong with the configuration or the tables, line by line.
    Configuration(String),
    /// The command's words don't fit together.
    Usage(String),
    /// Anything else.
    Other(anyhow::Error),
}

/// Wrong tables are an error of the configuration only as [`BuildError::Files`]: whoever reads tables by themselves says what they are.
impl<E: Into<anyhow::Error>> From<E> for CommandError {
    fn from(error: E) -> Self {
        match error.into().downcast() {
            Ok(BuildError::Files(problems)) => Self::Configuration(problems.to_string()),
            Ok(BuildError::Ledger(error)) => Self::Other(error.into()),
            Ok(BuildError::Other(error)) | Err(error) => Self::Other(error),
        }
    }
}

pub(super) type CommandResult = Result<Exit, CommandError>;

impl Context {
    /// Reads the configuration; of its secrets, those that the command uses must be readable.
    pub(super) fn config(&self, needed: NeededSecrets) -> Result<Arc<Config>, CommandError> {
        let config = load(&self.config_path, &self.environment, needed).map_err(CommandError::Configuration)?;
        Ok(Arc::new(config))
    }

    /// Reads the configuration and begins to log as it says.
    pub(super) fn begin(&self) -> Result<Arc<Config>, CommandError> {
        self.begin_needing(NeededSecrets::All)
    }

    /// The same, for a command that uses few secrets or none.
    pub(super) fn begin_needing(&self, needed: NeededSecrets) -> Result<Arc<Config>, CommandError> {
        let config = self.config(needed)?;
        telemetry::begin(self.log_format, config.log.level);
        for warning in &config.warnings {
            tracing::warn!(event = "configuration_warning", "{}", warning.in_file(&config.path));
        }
        Ok(config)
    }

    /// Builds the program.
    pub(super) async fn app(
        &self,
        config: &Arc<Config>,
        ledger: LedgerUse,
        tables: TablesUse,
    ) -> Result<App, CommandError> {
        let clock = Arc::new(SystemClock);
        Ok(App::build(Arc::clone(config), &self.environment, clock, ledger, tables).await?)
    }

    /// Reads the configuration again, for a daemon that reloads it.
    pub(super) fn loader(&self) -> ConfigLoader {
        let (path, environment) = (self.config_path.clone(), self.environment.clone());
        Box::new(move || load(&path, &environment, NeededSecrets::All))
    }

    /// Opens the ledger alone, for commands that only read it.
    pub(super) async fn ledger(&self, config: &Config) -> Result<Ledger, CommandError> {
        Ok(app::open_ledger(&config.ledger.url, LedgerUse::Existing).await?)
    }
}

/// Reads the configuration. Where it is wrong, the tables that it names are looked through too, so that everything is reported at once.
fn load(path: &Path, environment: &BTreeMap<String, String>, needed: NeededSecrets) -> Result<Config, String> {
    Config::load(path, environment, needed).map_err(|problems| match files::read_tables(problems.tables()) {
        Ok(_) => problems.to_string(),
        Err(tables) => format!("{problems}\n{tables}"),
    })
}

/// The run that was named, where one was; it must be there.
pub(super) async fn named_run(ledger: &Ledger, id: Option<&str>) -> Result<Option<RunRecord>, CommandError> {
    let Some(id) = id else { return Ok(None) };
    match ledger.run(&RunId(id.to_owned())).await? {
        Some(run) => Ok(Some(run)),
        None => Err(CommandError::Usage(format!("there is no run {id}; `report --list` names them"))),
    }
}

/// Cancelled at the first signal to stop; the second ends the process at once. To be called before anything that may take
/// long.
pub(super) fn stop_on_signals() -> Result<CancellationToken, CommandError> {
    let stop = CancellationToken::new();
    stop_on_signal(Signals::listen()?, stop.clone());
    Ok(stop)
}

/// A step before anything is begun, which may wait long for the ledger: a signal to stop ends it.
pub(super) async fn unless_stopped<T>(
    stop: &CancellationToken,
    beginning: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    stop.run_until_cancelled(beginning)
        .await
        .unwrap_or_else(|| Err(anyhow::anyhow!("stopped before anything was begun").into()))
}

/// Runs a command's asynchronous part.
pub(super) fn block_on(task: impl Future<Output = CommandResult>) -> CommandResult {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("whatsapp-archiver").build()?;
    let result = runtime.block_on(task);
    // A connection that hangs must not keep a finished command from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    result
}
