//! The command line: what it takes, and which file does it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::app::{App, BuildError, LedgerUse, files};
use crate::clock::SystemClock;
use crate::config::{Config, NeededSecrets};
use crate::ledger::{Ledger, RunId, RunRecord};
use crate::telemetry::{self, LogFormat};

mod administrator;
mod backfill;
mod check;
mod completions;
mod config_schema;
mod consent_url;
mod convert;
mod examples;
mod export;
mod failures;
mod health;
mod init;
mod instant;
mod item_name;
mod layout;
mod ledger;
mod man;
mod mapping;
mod output;
mod owner_only;
mod progress_bar;
mod prove;
mod rebuild_ledger;
mod release;
mod report;
mod retry;
mod run;
mod status;
mod verify;
mod verify_report;

/// The configuration's place where nothing else is said.
const DEFAULT_CONFIG: &str = "/etc/whatsapp-archiver/config.toml";

/// Archives an organisation's WhatsApp items from TeleMessage into its mailboxes, exactly once.
#[derive(Debug, Parser)]
#[command(name = "whatsapp-archiver", version, about, max_term_width = 100, after_help = examples::PROGRAM)]
struct Arguments {
    /// The configuration file
    #[arg(short, long, global = true, env = "WHATSAPP_ARCHIVER_CONFIG", default_value = DEFAULT_CONFIG, value_name = "FILE")]
    config: PathBuf,

    /// The format of log lines [default: json, or text when standard error is a terminal]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon: schedule and HTTP endpoints, until SIGTERM or SIGINT
    #[command(after_help = examples::RUN)]
    Run(run::Arguments),
    /// Run over a given window, in steps of 24 hours, without moving the watermark
    #[command(after_help = examples::BACKFILL)]
    Backfill(backfill::Arguments),
    /// Check configuration and mapping; with --online each remote in turn
    #[command(after_help = examples::CHECK)]
    Check(check::Arguments),
    /// Show the state: last and next run, watermark, held items, oldest pending
    Status(status::Arguments),
    /// Show the completeness report of a run
    #[command(after_help = examples::REPORT)]
    Report(report::Arguments),
    /// List what is not imported and why
    #[command(after_help = examples::FAILURES)]
    Failures(failures::Arguments),
    /// Replay held or failed items from staging
    #[command(after_help = examples::RETRY)]
    Retry(retry::Arguments),
    /// Release held items: they can no longer be replayed, and their originals may be purged
    #[command(after_help = examples::RELEASE)]
    Release(release::Arguments),
    /// Check the signatures and the chain of reports, offline
    VerifyReport(verify_report::Arguments),
    /// Prove that each imported message is in its mailbox, unaltered, once
    #[command(after_help = examples::VERIFY)]
    Verify(verify::Arguments),
    /// Convert `RawMessage` JSON to .eml files, without any network
    #[command(after_help = examples::CONVERT)]
    Convert(convert::Arguments),
    /// Export the messages of a window as files, from staging, imported or not
    #[command(after_help = examples::EXPORT)]
    Export(export::Arguments),
    /// Gather everything that proves one message, in one zip
    #[command(after_help = examples::PROVE)]
    Prove(prove::Arguments),
    /// Work with mapping files
    #[command(subcommand)]
    Mapping(mapping::Command),
    /// Print the link by which an administrator grants the application its permissions
    ConsentUrl,
    /// Rebuild a lost ledger from staging and the mailboxes
    RebuildLedger,
    /// Move the ledger to another database
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Exit with status 0 when the local daemon is ready (for a container's health check)
    Health,
    /// Write a commented configuration to start from
    Init(init::Arguments),
    /// Print a script with which a shell completes the command line
    #[command(after_help = examples::COMPLETIONS)]
    Completions(completions::Arguments),
    /// Print the JSON schema of the configuration, with which editors complete it and linters check it
    #[command(after_help = examples::CONFIG_SCHEMA)]
    ConfigSchema,
    /// Print the manual page, or write the pages of all commands
    #[command(after_help = examples::MAN)]
    Man(man::Arguments),
}

/// Shown phone numbers.
#[derive(Debug, Clone, Copy, Args)]
struct ShowNumbers {
    /// Show phone numbers in full
    #[arg(long)]
    show_numbers: bool,
}

impl ShowNumbers {
    fn numbers(self) -> crate::report::lists::Numbers {
        use crate::report::lists::Numbers;
        if self.show_numbers { Numbers::Shown } else { Numbers::Masked }
    }
}

/// How a list or a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a terminal
    Table,
    /// JSON
    Json,
    /// CSV, of what is not imported
    Csv,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
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
struct Context {
    config_path: PathBuf,
    log_format: LogFormat,
    environment: BTreeMap<String, String>,
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    /// Already reported in full, line by line.
    #[error("{0}")]
    Configuration(String),
    /// The command's words don't fit together.
    #[error("{0}")]
    Usage(String),
    /// Anything else.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl From<BuildError> for CommandError {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Files(problems) => Self::Configuration(problems.to_string()),
            BuildError::Other(error) => Self::Other(error),
        }
    }
}

type CommandResult = Result<Exit, CommandError>;

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Manual pages and completions are for everybody.
    if !matches!(arguments.command, Command::Man(_) | Command::Completions(_)) {
        owner_only::begin();
    }
    let context = Context {
        config_path: arguments.config,
        log_format: arguments.log_format.unwrap_or_else(LogFormat::fitting),
        environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
    };
    let is_logged = context.log_format == LogFormat::Json && arguments.command.logs_a_run();
    let result = match arguments.command {
        Command::Run(arguments) => run::run(&context, &arguments),
        Command::Backfill(arguments) => backfill::run(&context, &arguments),
        Command::Check(arguments) => check::run(&context, &arguments),
        Command::Status(arguments) => status::run(&context, &arguments),
        Command::Report(arguments) => report::run(&context, &arguments),
        Command::Failures(arguments) => failures::run(&context, &arguments),
        Command::Retry(arguments) => retry::run(&context, &arguments),
        Command::Release(arguments) => release::run(&context, &arguments),
        Command::VerifyReport(arguments) => verify_report::run(&arguments),
        Command::Verify(arguments) => verify::run(&context, &arguments),
        Command::Convert(arguments) => convert::run(&context, &arguments),
        Command::Export(arguments) => export::run(&context, &arguments),
        Command::Prove(arguments) => prove::run(&context, &arguments),
        Command::Mapping(command) => mapping::run(&context, &command),
        Command::ConsentUrl => consent_url::run(&context),
        Command::RebuildLedger => rebuild_ledger::run(&context),
        Command::Ledger(command) => ledger::run(&context, &command),
        Command::Health => health::run(&context),
        Command::Init(arguments) => init::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::ConfigSchema => config_schema::run(),
        Command::Man(arguments) => man::run(&arguments),
    };
    result.unwrap_or_else(|error| report(&error, is_logged)).into()
}

impl Command {
    /// Whether its standard error is the log of a run, which programs read.
    fn logs_a_run(&self) -> bool {
        matches!(self, Self::Run(_) | Self::Backfill(_) | Self::Retry(_) | Self::RebuildLedger)
    }
}

/// Tells of an error with its causes: whoever typed the command, or as a line of the log.
fn report(error: &CommandError, is_logged: bool) -> Exit {
    let (exit, text) = match error {
        CommandError::Configuration(problems) => (Exit::Configuration, problems.clone()),
        CommandError::Usage(text) => (Exit::Usage, format!("error: {text}")),
        CommandError::Other(error) => (Exit::Failed, format!("error: {}", with_causes(error))),
    };
    if is_logged {
        // Where the configuration can't be read, nobody has begun to log.
        telemetry::begin(LogFormat::Json, tracing::Level::ERROR);
    }
    if is_logged && tracing::enabled!(tracing::Level::ERROR) {
        let words = text.strip_prefix("error: ").unwrap_or(&text);
        tracing::error!(
            event = "command_failed",
            error = words,
            "the command could not do its work: correct what the error names"
        );
    } else {
        eprintln!("{text}");
    }
    exit
}

fn with_causes(error: &anyhow::Error) -> String {
    let mut message = error.to_string();
    let mut text = message.clone();
    for cause in error.chain().skip(1) {
        // Many errors repeat their cause already.
        let cause = cause.to_string();
        if !message.contains(&cause) {
            text.push_str(&format!("\n  because: {cause}"));
        }
        message = cause;
    }
    text
}

impl Context {
    /// Reads the configuration; of its secrets, those that the command uses must be readable.
    fn config(&self, needed: NeededSecrets) -> Result<Arc<Config>, CommandError> {
        let config = load(&self.config_path, &self.environment, needed).map_err(CommandError::Configuration)?;
        Ok(Arc::new(config))
    }

    /// Reads the configuration and begins to log as it says.
    fn begin(&self) -> Result<Arc<Config>, CommandError> {
        self.begin_needing(NeededSecrets::All)
    }

    /// The same, for a command that uses few secrets or none.
    fn begin_needing(&self, needed: NeededSecrets) -> Result<Arc<Config>, CommandError> {
        let config = self.config(needed)?;
        telemetry::begin(self.log_format, config.log.level);
        for warning in &config.warnings {
            tracing::warn!(event = "configuration_warning", "{}", warning.in_file(&config.path));
        }
        Ok(config)
    }

    /// Builds the program, on the ledger that is there.
    async fn app(&self, config: &Arc<Config>) -> Result<App, CommandError> {
        self.app_on(config, LedgerUse::Existing).await
    }

    /// Builds the program, on the ledger that the command may use.
    async fn app_on(&self, config: &Arc<Config>, wanted: LedgerUse) -> Result<App, CommandError> {
        Ok(App::build_on(Arc::clone(config), &self.environment, Arc::new(SystemClock), wanted).await?)
    }

    /// The same for a command that resolves nobody: mapping and user list aren't looked at.
    async fn app_without_tables(&self, config: &Arc<Config>) -> Result<App, CommandError> {
        Ok(App::build_without_tables(Arc::clone(config), &self.environment, Arc::new(SystemClock)).await?)
    }

    /// Reads the configuration again, for a daemon that reloads it.
    fn loader(&self) -> crate::daemon::Loader {
        let (path, environment) = (self.config_path.clone(), self.environment.clone());
        Box::new(move || load(&path, &environment, NeededSecrets::All))
    }

    /// Opens the ledger alone, for commands that only read it.
    async fn ledger(&self, config: &Config) -> Result<Ledger, CommandError> {
        Ok(crate::app::open_ledger(&config.ledger.url, LedgerUse::Existing).await.map_err(anyhow::Error::from)?)
    }
}

/// Reads the configuration. Where it is wrong, the tables that it names are looked through too, so that everything is reported at once.
fn load(path: &Path, environment: &BTreeMap<String, String>, needed: NeededSecrets) -> Result<Config, String> {
    Config::load_needing(path, environment, needed).map_err(|problems| match files::read_tables(problems.tables()) {
        Ok(_) => problems.to_string(),
        Err(tables) => format!("{problems}\n{tables}"),
    })
}

/// The run that was named, where one was; it must be there.
async fn named_run(ledger: &Ledger, id: Option<&str>) -> Result<Option<RunRecord>, CommandError> {
    let Some(id) = id else { return Ok(None) };
    match ledger.run(&RunId(id.to_owned())).await.map_err(anyhow::Error::from)? {
        Some(run) => Ok(Some(run)),
        None => Err(CommandError::Usage(format!("there is no run {id}; `report --list` names them"))),
    }
}

/// Runs a command's asynchronous part.
fn block_on(task: impl Future<Output = CommandResult>) -> CommandResult {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("whatsapp-archiver")
        .build()
        .map_err(anyhow::Error::from)?;
    let result = runtime.block_on(task);
    // A connection that hangs must not keep a finished command from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    result
}
