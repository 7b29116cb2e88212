//! `check`: configuration and mapping offline; with `--online` each remote in turn.

use clap::Args;

use super::context::{CommandResult, Context, Exit, block_on};
use super::layout::Width;
use super::{administrator, output};
use crate::app::{LedgerUse, TablesUse};
use crate::check::{self, Finding};
use crate::clock::{Clock as _, SystemClock};
use crate::ledger::ActionKind;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Also check each remote in turn
    #[arg(long)]
    online: bool,
    /// Import a test message into this mailbox, read it back and delete it
    #[arg(long, value_name = "ADDR")]
    mailbox: Option<String>,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let config = context.begin()?;
    let mut offline = vec![Finding::ok("configuration", config.path.display().to_string())];
    for warning in &config.warnings {
        offline.push(Finding::warning("configuration", warning.in_file(&config.path)));
    }
    offline.extend(check::schedule(&config, SystemClock.now()));
    offline.extend(check::tables::of(&config.tables()));
    offline.extend(check::keys(&config));
    offline.extend(check::credentials(&config, SystemClock.now()));
    offline.extend(check::file_modes::of(&config));
    let width = Width::of_output();
    let print = |finding: &Finding| output::print(&width.wrap(&format!("{finding}\n"), Finding::DETAIL));
    for finding in &offline {
        print(finding)?;
    }
    if !offline.iter().all(Finding::is_ok) {
        return Ok(Exit::Configuration);
    }
    block_on(async {
        let goes_online = arguments.online || arguments.mailbox.is_some();
        // Online, the line of the ledger says that there is none.
        if let Some(pages) = check::database_file::whole(&config, !goes_online).await {
            print(&pages)?;
            if !pages.is_ok() {
                return Ok(Exit::Failed);
            }
        }
        if !goes_online {
            return Ok(Exit::Done);
        }
        let app = context.app(&config, LedgerUse::ExistingOrEmpty, TablesUse::Read).await?;
        let mut all_well = true;
        let findings = check::online(&app, arguments.mailbox.as_deref()).await;
        for finding in findings {
            if let Some(retention) = finding.retention() {
                administrator::acts(context, &app.ledger, ActionKind::Check, retention).await?;
            }
            all_well &= finding.is_ok();
            print(&finding)?;
        }
        Ok(if all_well { Exit::Done } else { Exit::Failed })
    })
}
