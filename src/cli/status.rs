//! `status`: the connectors page in the terminal.

use clap::Args;

use super::context::{CommandResult, Context, Exit, block_on};
use super::layout::Wide;
use super::output;
use crate::clock::{Clock as _, SystemClock};
use crate::config::NeededSecrets;
use crate::item::text::harmless_json;
use crate::status::Status;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// As JSON, the same as /api/status
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    wide: Wide,
}

/// Where the values of the list begin, in columns.
const VALUES: usize = 16;

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let config = context.begin_needing(NeededSecrets::OfLedger)?;
    block_on(async {
        let ledger = context.ledger(&config).await?;
        let status = Status::of(&ledger, &config.schedule, SystemClock.now()).await?;
        let text = if arguments.json {
            format!("{}\n", harmless_json(serde_json::to_string(&status)?))
        } else {
            arguments.wide.width().wrap(&status.to_string(), VALUES)
        };
        output::print(&text)?;
        Ok(Exit::Done)
    })
}
