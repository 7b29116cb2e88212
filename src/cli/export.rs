//! `export`: the messages of a window as files, from staging, imported or not.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{CommandError, CommandResult, Context, Exit, block_on, instant, output};
use crate::app::App;
use crate::convert::convert;
use crate::export::{Exporter, Format, Summary};
use crate::fault::Fault;
use crate::ledger::{ItemNo, ItemRecord};
use crate::pipeline::Loader;
use crate::staging::StagingError;
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

/// The longest overlap that windows may have been read with, whatever the configuration says now.
const LONGEST_OVERLAP: Duration = Duration::from_hours(31 * 24);

fn parse_format(name: &str) -> Result<Format, String> {
    let names: Vec<&str> = Format::ALL.into_iter().map(Format::name).collect();
    Format::from_name(name).ok_or_else(|| format!("one of {}", names.join(", ")))
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let window = instant::window(arguments.from, arguments.to).map_err(CommandError::Usage)?;
    let config = context.begin()?;
    block_on(async {
        let app = context.app(&config).await?;
        // Another ledger knows nothing of what lies there: nothing exported would look like nothing captured.
        app.pipeline(CancellationToken::new()).check_staging_owner().await.map_err(anyhow::Error::from)?;
        let exporter = Exporter::new(arguments.format, &arguments.out).map_err(anyhow::Error::from)?;
        let Exported { summary, left_out, purged } = export(&app, window, exporter).await?;
        for left in &left_out {
            eprintln!("left out: {}", left.why);
        }
        if purged > 0 {
            eprintln!(
                "up to {purged} items of this time are purged from staging (staging.retain): they can't be exported"
            );
        }
        output::print(&format!(
            "{} in {} below {}; {} of the same messages; {} left out\n",
            output::counted(summary.messages, "message", "messages"),
            output::counted(summary.files, "file", "files"),
            arguments.out.display(),
            output::counted(summary.duplicates, "further capture", "further captures"),
            output::counted(left_out.len() as u64, "item", "items")
        ))?;
        // What a rule keeps out is normal.
        Ok(if left_out.iter().all(|left| left.by_rule) { Exit::Done } else { Exit::Failed })
    })
}

/// What came of an export.
struct Exported {
    summary: Summary,
    left_out: Vec<LeftOut>,
    /// Items of the windows in question that staging doesn't have any more.
    purged: u64,
}

/// Where items that were received in a window may have been staged. A window reads back before its beginning, so that they
/// may lie under a later one; a source without windows is read whole at any time, so that they may lie under any later one.
fn staged_in(app: &App, received: Window) -> Window {
    let overlap = app.config.schedule.overlap.max(LONGEST_OVERLAP);
    let to = chrono::Duration::from_std(overlap).ok().and_then(|overlap| received.to.checked_add_signed(overlap));
    let to = to.filter(|_| app.remotes.source.has_windows());
    Window { from: received.from, to: to.unwrap_or(DateTime::<Utc>::MAX_UTC) }
}

/// Exports the items that were received in a window.
async fn export(app: &App, window: Window, exporter: Exporter) -> Result<Exported, CommandError> {
    let staged = staged_in(app, window);
    let loader = Loader::new(Arc::clone(&app.remotes.staging));
    let mut exporter = exporter;
    let mut left_out = Vec::new();
    let mut after = ItemNo(0);
    loop {
        let records = app.ledger.items_of_window(staged, after, ITEMS).await.map_err(anyhow::Error::from)?;
        let Some(last) = records.last() else { break };
        after = last.no;
        for record in records {
            exporter = add(app, &loader, &record, window, exporter, &mut left_out).await?;
        }
    }
    let summary = on_own_thread(move || exporter.finish()).await?;
    let purged = app.ledger.purged_items_of_window(staged).await.map_err(anyhow::Error::from)?;
    Ok(Exported { summary, left_out, purged })
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
    let (raw, item) = match loader.item(record).await {
        Ok(read) => read,
        Err(error) => return unreadable(&name, error, left_out).map(|()| exporter),
    };
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
    let attachments = match loader.attachments(record, &raw, &record.attachments).await {
        Ok(attachments) => attachments,
        Err(error) => return unreadable(&name, error, left_out).map(|()| exporter),
    };
    let resolution = record.resolution.clone().unwrap_or_default();
    let domain = app.config.mailbox.placeholder_address_domain.clone();
    on_own_thread(move || {
        let message = convert(&item, &attachments, &resolution, &domain);
        exporter.add(&item, &resolution, &message).map(|()| exporter)
    })
    .await
}

/// Leaves out an item that staging gives back damaged, or not at all; fails where it is staging that can't be read.
fn unreadable(name: &str, error: StagingError, left_out: &mut Vec<LeftOut>) -> Result<(), CommandError> {
    if Fault::from(&error) != Fault::Hold && !matches!(error, StagingError::TooLarge { .. }) {
        return Err(anyhow::Error::from(error).into());
    }
    left_out.push(LeftOut { why: format!("item {name}: {error}"), by_rule: false });
    Ok(())
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
