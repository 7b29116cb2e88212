//! `prove`: everything that proves one message, in one zip.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use tokio_util::sync::CancellationToken;

use super::context::{CommandError, CommandResult, Context, Exit, block_on};
use super::{administrator, item_name, output};
use crate::app::files::{self, read_bounded};
use crate::app::{LedgerUse, TablesUse};
use crate::config::NeededSecrets;
use crate::identity::MessageId;
use crate::ledger::{ActionKind, ItemName};
use crate::prove::ProofError;
use crate::prove::gather::Prover;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").args(["message_id", "item"]).required(true)))]
pub(super) struct Arguments {
    /// The Message-ID of the copies, or WhatsApp's own id of the message
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// TeleMessage's number of the item; or `#` and the number that `failures` shows of an item that can't be read, or the
    /// SHA-256 of the item's bytes
    #[arg(long, value_name = "ID", allow_negative_numbers = true, value_parser = item_name::read)]
    item: Option<ItemName>,
    /// Include the staged page, which ties the item to the signed report and contains other people's messages
    #[arg(long)]
    with_page: bool,
    /// Leave the page out (the default)
    #[arg(long, conflicts_with = "with_page")]
    without_page: bool,
    /// The file to write; VERIFY.md in it says how to check it
    #[arg(long, value_name = "FILE.zip")]
    out: PathBuf,
}

impl Arguments {
    fn sought(&self) -> Result<ItemName, CommandError> {
        match (&self.item, &self.message_id) {
            (Some(item), _) => Ok(item.clone()),
            (None, Some(id)) => {
                Ok(MessageId::parse(id).map_or_else(|| ItemName::WhatsApp(id.clone()), ItemName::MessageId))
            }
            (None, None) => Err(CommandError::Usage("name the message with --message-id or --item".to_owned())),
        }
    }
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let sought = arguments.sought()?;
    let config = context.begin_needing(NeededSecrets::Of(&["ledger", "staging", "report"]))?;
    let key = files::signing_key(&config)?.map(|key| key.public());
    let mapping = config.mapping.custom.as_deref().map(|path| read_bounded(path, "mapping.custom"));
    let mapping = mapping.transpose().map_err(|problem| CommandError::Configuration(problem.to_string()))?;
    block_on(async {
        let app = context.app(&config, LedgerUse::Existing, TablesUse::NobodyIsResolved).await?;
        app.pipeline(CancellationToken::new()).check_staging_owner().await?;
        let mut what = match &sought {
            ItemName::MessageId(id) => format!("message {id}"),
            ItemName::WhatsApp(id) => format!("message {id} of WhatsApp"),
            item => format!("item {}", item_name::shown(item)),
        };
        if arguments.with_page {
            what.push_str(", with its page");
        }
        administrator::acts(context, &app.ledger, ActionKind::Prove, &what).await?;
        let prover = Prover {
            ledger: &app.ledger,
            staging: &app.remotes.staging,
            placeholder_domain: &config.mailbox.placeholder_address_domain,
            mapping,
            key,
            with_pages: arguments.with_page,
        };
        let written = match prover.write(&sought, &arguments.out).await {
            Err(ProofError::Unknown) => return Err(CommandError::Usage(ProofError::Unknown.to_string())),
            written => written?,
        };
        let out = arguments.out.display();
        output::print(&format!(
            "{out}: {} and {}; VERIFY.md in it says how to check it\n",
            output::counted(written.captures as u64, "capture", "captures"),
            output::counted(written.copies as u64, "copy", "copies")
        ))?;
        if arguments.with_page {
            output::print(
                "page.json in it has other people's messages too: hand it to nobody who may not read them\n",
            )?;
        }
        Ok(Exit::Done)
    })
}
