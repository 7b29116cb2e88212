//! The command line: what it takes, and which file does it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::telemetry::{self, LogFormat};

mod administrator;
mod backfill;
mod check;
mod completions;
mod config_schema;
mod consent_url;
mod context;
mod convert;
mod examples;
mod export;
mod failures;
mod format;
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

use context::{CommandError, Context, Exit};

/// The configuration's place where nothing else is said.
const DEFAULT_CONFIG: &str = "/etc/whatsapp-archiver/config.toml";

/// Where the options that every command has stand in its help: after its own.
const LAST: usize = 900;

/// Archives an organisation's WhatsApp items from TeleMessage into its mailboxes, exactly once.
#[derive(Debug, Parser)]
#[command(name = "whatsapp-archiver", version, about, max_term_width = 100, after_help = examples::PROGRAM)]
struct Arguments {
    /// The configuration file
    #[arg(
        short, long, global = true, env = "WHATSAPP_ARCHIVER_CONFIG", default_value = DEFAULT_CONFIG, value_name = "FILE",
        display_order = LAST
    )]
    config: PathBuf,

    /// The format of log lines [default: json, or text when standard error is a terminal]
    #[arg(long, global = true, value_name = "FORMAT", display_order = LAST)]
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
    /// Print the link with which an administrator grants the application its permissions
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
    /// Print a completion script for a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions(completions::Arguments),
    /// Print the configuration's JSON schema, for completion in editors and for linters
    #[command(after_help = examples::CONFIG_SCHEMA)]
    ConfigSchema,
    /// Print the manual page, or write the pages of all commands
    #[command(after_help = examples::MAN)]
    Man(man::Arguments),
}

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
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Export(arguments) => export::run(&context, &arguments),
        Command::Prove(arguments) => prove::run(&context, &arguments),
        Command::Mapping(command) => mapping::run(&command),
        Command::ConsentUrl => consent_url::run(&context),
        Command::RebuildLedger => rebuild_ledger::run(&context),
        Command::Ledger(command) => ledger::run(&context, &command),
        Command::Health => health::run(&context),
        Command::Init(arguments) => init::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments, Arguments::command()),
        Command::ConfigSchema => config_schema::run(),
        Command::Man(arguments) => man::run(&arguments, Arguments::command()),
    };
    result.unwrap_or_else(|error| report(&error, is_logged)).into()
}

impl Command {
    /// Whether its standard error is the log of a run, which programs read.
    fn logs_a_run(&self) -> bool {
        matches!(self, Self::Run(_) | Self::Backfill(_) | Self::Retry(_) | Self::RebuildLedger)
    }
}

/// Reports an error with its causes: to whoever typed the command, or as a line of the log.
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
