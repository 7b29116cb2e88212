//! `ledger copy`: moves the ledger between SQLite and PostgreSQL.

use std::path::PathBuf;

use clap::Subcommand;

use super::context::{CommandError, CommandResult, Context, Exit, block_on};
use super::{administrator, output};
use crate::app;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{LedgerUrl, NeededSecrets};
use crate::ledger::{ActionKind, Ledger};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Copy the ledger into a new database, of either kind; the old one can no longer be used
    Copy {
        /// `sqlite://path`, relative to the working directory, or `postgres://user@host/database`; a password comes from
        /// PGPASSWORD or ~/.pgpass
        #[arg(long, value_name = "URL")]
        to: String,
    },
}

pub(super) fn run(context: &Context, command: &Command) -> CommandResult {
    let Command::Copy { to } = command;
    let config = context.begin_needing(NeededSecrets::OfLedger)?;
    let here = std::env::current_dir()?;
    let url = LedgerUrl::parse(to, &here).map_err(|wrong| CommandError::Usage(format!("--to: {wrong}")))?;
    block_on(async {
        let source = app::ledger_address(&config.ledger.url)?;
        let address = app::ledger_address(&url)?;
        let source = Ledger::open_existing_for_copy(&source).await?;
        app::make_room_for_ledger(&url)?;
        let target = Ledger::open_for_copy(&address).await?;
        let shown = shown(&url);
        let counts = source.copy_to(&target, &shown, SystemClock.now()).await?;
        administrator::acts(context, &target, ActionKind::CopyLedger, &format!("to {shown}")).await?;
        target.close().await;
        source.close().await;
        for (table, rows) in &counts {
            output::print(&format!("{table:<14} {rows:>12} {}\n", if *rows == 1 { "row" } else { "rows" }))?;
        }
        output::print(&format!(
            "The ledger is copied, and this one is refused from now on.\nNext: set  ledger.url = \"{shown}\"  in {}, and start.\n",
            context.config_path.display()
        ))?;
        Ok(Exit::Done)
    })
}

/// The address as it stands in a configuration: it holds no secret.
fn shown(url: &LedgerUrl) -> String {
    match url {
        LedgerUrl::Sqlite(path) => format!("sqlite://{}", PathBuf::from(path).display()),
        LedgerUrl::Postgres { url, .. } => url.to_string(),
    }
}
