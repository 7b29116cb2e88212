//! `export`: the messages of a window as files, from staging, imported or not.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::Args;

use super::{CommandError, CommandResult, Context, Exit, block_on, instant, output};
use crate::app::App;
use crate::convert::convert;
use crate::export::{Exporter, Format, Summary};
use crate::ledger::{ItemNo, ItemRecord};
use crate::pipeline::Loader;
use crate::window::Window;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The first receiving time: RFC 3339, or a date (its midnight, UTC)
    #[arg(long, value_parser = instant::parse)]
    from: DateTime<Utc>,
    /// The first receiving time that doesn't belong to the export
    #[arg(long, value_parser = instant::parse)]
    to: DateTime<Utc>,
    /// eml: one file a message; mbox: one file; rsmf: one file a chat and day, for review platforms
    #[arg(long, value_parser = parse_format)]
    format: Format,
    /// The directory that the files go to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// An item that is not exported.
struct LeftOut {
    why: String,
    /// It holds no message that could be exported.
    by_rule: bool,
}

/// Items that are read from the ledger at a time.
const ITEMS: u32 = 200;

/// An item whose content has more bytes than this is not exported: its message would not fit into memory.
const LARGEST: u64 = 512 * 1024 * 1024;

fn parse_format(name: &str) -> Result<Format, String> {
    let names: Vec<&str> = Format::ALL.into_iter().map(Format::name).collect();
    Format::from_name(name).ok_or_else(|| format!("one of {}", names.join(", ")))
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let window = instant::window(arguments.from, arguments.to).map_err(CommandError::Usage)?;
    let config = context.begin()?;
    block_on(async {
        let app = context.app(&config).await?;
        let exporter = Exporter::new(arguments.format, &arguments.out).map_err(anyhow::Error::from)?;
        let (summary, left_out) = export(&app, window, exporter).await?;
        for left in &left_out {
            eprintln!("left out: {}", left.why);
        }
        output::print(&format!(
            "{} messages in {} files below {}; {} further captures of the same messages; {} items left out\n",
            summary.messages,
            summary.files,
            arguments.out.display(),
            summary.duplicates,
            left_out.len()
        ))?;
        // What a rule keeps out is normal.
        Ok(if left_out.iter().all(|left| left.by_rule) { Exit::Done } else { Exit::Failed })
    })
}

/// Exports the items that were received in a window. Gives what was written, and why items were left out.
async fn export(app: &App, window: Window, exporter: Exporter) -> Result<(Summary, Vec<LeftOut>), CommandError> {
    let loader = Loader::new(Arc::clone(&app.remotes.staging));
    let mut exporter = exporter;
    let mut left_out = Vec::new();
    let mut after = ItemNo(0);
    loop {
        let records = app.ledger.items_of_window(window, after, ITEMS).await.map_err(anyhow::Error::from)?;
        let Some(last) = records.last() else { break };
        after = last.no;
        for record in records {
            exporter = add(app, &loader, &record, window, exporter, &mut left_out).await?;
        }
    }
    let summary = on_own_thread(move || exporter.finish()).await?;
    Ok((summary, left_out))
}

async fn add(
    app: &App,
    loader: &Loader,
    record: &ItemRecord,
    window: Window,
    mut exporter: Exporter,
    left_out: &mut Vec<LeftOut>,
) -> Result<Exporter, CommandError> {
    let name = record.id.map_or_else(|| record.key.to_string(), |id| id.to_string());
    let (raw, item) = loader.item(record).await.map_err(anyhow::Error::from)?;
    let item = match item {
        Ok(item) => item,
        // Its receiving time can't be told either, so it is told whenever its window overlaps.
        Err(error) => {
            left_out.push(LeftOut { why: format!("item {name}: {error}"), by_rule: true });
            return Ok(exporter);
        }
    };
    if !window.contains(item.received.unwrap_or(item.time.at)) {
        return Ok(exporter);
    }
    if item.encrypted {
        left_out.push(LeftOut { why: format!("item {name}: its content is encrypted"), by_rule: true });
        return Ok(exporter);
    }
    let size: u64 = record.attachments.iter().map(|attachment| attachment.size).sum();
    if size > LARGEST {
        let why = format!("item {name}: its attachments have {size} bytes; they lie in staging");
        left_out.push(LeftOut { why, by_rule: false });
        return Ok(exporter);
    }
    let attachments = loader.attachments(record, &raw, &record.attachments).await.map_err(anyhow::Error::from)?;
    let resolution = record.resolution.clone().unwrap_or_default();
    let domain = app.config.mailbox.placeholder_address_domain.clone();
    on_own_thread(move || {
        let message = convert(&item, &attachments, &resolution, &domain);
        exporter.add(&item, &resolution, &message).map(|()| exporter)
    })
    .await
}

/// Runs work that blocks on files where nobody waits for it.
async fn on_own_thread<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, CommandError>
where
    T: Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let done = tokio::task::spawn_blocking(work).await.map_err(anyhow::Error::from)?;
    Ok(done.map_err(anyhow::Error::from)?)
}
