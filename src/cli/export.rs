//! `export`: the messages of a window as files, from staging, imported or not.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::context::{CommandError, CommandResult, Context, Exit, block_on};
use super::instant::Moment;
use super::{administrator, instant, output};
use crate::app::{self, App};
use crate::config::NeededSecrets;
use crate::convert::convert_as;
use crate::export::{By, Exporter, Finished, Format, MANIFEST, Options, Row, Selection};
use crate::fault::Fault;
use crate::item::{Item, Participant};
use crate::ledger::{ActionKind, ItemNo, ItemRecord, PurgedItem};
use crate::pipeline::Loader;
use crate::staging::StagingError;
use crate::window::Window;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Start of the window: RFC 3339, or a date (its midnight in the time zone)
    #[arg(long, value_parser = Moment::parse)]
    from: Moment,
    /// End of the window, not included
    #[arg(long, value_parser = Moment::parse)]
    to: Moment,
    /// What --from and --to refer to: when items were received, or when messages were sent
    #[arg(long, value_name = "TIME", default_value = "received", value_parser = parse_by)]
    by: By,
    /// Only messages from the archive of this number, name or e-mail address (may be repeated)
    #[arg(long, value_name = "WHO")]
    owner: Vec<String>,
    /// Only messages in which this number, name or e-mail address takes part (may be repeated)
    #[arg(long, value_name = "WHO")]
    participant: Vec<String>,
    /// Only messages that belong in this mailbox (may be repeated)
    #[arg(long, value_name = "ADDRESS")]
    mailbox: Vec<String>,
    /// Only messages of this chat: the id or name of a group, TeleMessage's thread id, or the first Message-ID in
    /// `References` (may be repeated)
    #[arg(long, value_name = "THREAD")]
    thread: Vec<String>,
    /// The time zone in which days begin and times are shown, such as Europe/London
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = instant::time_zone)]
    time_zone: Tz,
    /// eml: one file per message; mbox: one file; rsmf: one file per chat and day, for review platforms;
    /// html: one page per chat and day, to read and print
    #[arg(long, value_parser = parse_format)]
    format: Format,
    /// The largest RSMF file, such as 200MB; a chat and day with more is split into several
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_file_size: Option<u64>,
    /// The directory that the files are written to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Items that are read from the ledger at a time.
const ITEMS_PER_QUERY: u32 = 200;

/// An item whose content has more bytes than this is not exported: its message would not fit into memory.
const MAX_CONTENT: u64 = 512 * 1024 * 1024;

/// What a file's header, people and manifest need beside messages, with room to spare.
const MIN_FILE_SIZE: u64 = 1024 * 1024;

/// The longest overlap that windows may have been read with, whatever the configuration says now.
const MAX_OVERLAP: chrono::Duration = chrono::Duration::days(31);

fn parse_format(name: &str) -> Result<Format, String> {
    let names: Vec<&str> = Format::ALL.into_iter().map(Format::name).collect();
    Format::from_name(name).ok_or_else(|| format!("one of {}", names.join(", ")))
}

fn parse_size(text: &str) -> Result<u64, String> {
    let size = crate::config::quantity::size(text)?;
    if size < MIN_FILE_SIZE { Err("at least 1 MiB".to_owned()) } else { Ok(size) }
}

fn parse_by(name: &str) -> Result<By, String> {
    By::ALL.into_iter().find(|by| by.name() == name).ok_or_else(|| "received or sent".to_owned())
}

impl Arguments {
    fn selection(&self) -> Result<Selection, CommandError> {
        let window = instant::window(self.from.at(self.time_zone), self.to.at(self.time_zone));
        Ok(Selection {
            by: self.by,
            window: window.map_err(CommandError::Usage)?,
            owners: self.owner.clone(),
            participants: self.participant.clone(),
            mailboxes: self.mailbox.clone(),
            threads: self.thread.clone(),
        })
    }
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let selection = arguments.selection()?;
    let Arguments { format, time_zone, max_file_size, .. } = *arguments;
    if max_file_size.is_some() && format != Format::Rsmf {
        return Err(CommandError::Usage("--max-file-size is for --format rsmf".to_owned()));
    }
    let options = Options { format, time_zone, max_file_size };
    let config = context.begin_needing(NeededSecrets::Of(&["ledger", "staging"]))?;
    block_on(async {
        let app = context.app_without_tables(&config).await?;
        // Another ledger knows nothing of what lies there: nothing exported would look like nothing captured.
        app.pipeline(CancellationToken::new()).check_staging_owner().await.map_err(anyhow::Error::from)?;
        let exporter = Exporter::new(&options, &arguments.out).map_err(anyhow::Error::from)?;
        // Recorded before and after: an export that is broken off has shown its messages, too.
        let what = format!("{} in {}, {}", options.format.name(), options.time_zone, selection.description());
        administrator::acts(context, &app.ledger, ActionKind::Export, &format!("begun: {what}")).await?;
        let Exported { finished, left_out, unexported } = Export::new(&app, &selection, exporter).run().await?;
        let Finished { summary, manifest, oversized } = finished;
        let counts = format!("{} messages, {left_out} items left out; {MANIFEST} {manifest}", summary.messages);
        administrator::acts(context, &app.ledger, ActionKind::Export, &format!("done: {counts}; {what}")).await?;
        output::print(&format!(
            "{} in {} below {}; {} of the same messages; {} left out\n{MANIFEST} has SHA-256 {manifest}\n",
            output::counted(summary.messages, "message", "messages"),
            output::counted(summary.files, "file", "files"),
            arguments.out.display(),
            output::counted(summary.duplicates, "further capture", "further captures"),
            output::counted(left_out, "item", "items")
        ))?;
        for path in &oversized {
            eprintln!("{path} is larger than --max-file-size: one message alone is; it can't be split");
        }
        // What a rule keeps out is normal.
        Ok(if unexported == 0 && oversized.is_empty() { Exit::Done } else { Exit::Failed })
    })
}

/// What came of an export.
struct Exported {
    finished: Finished,
    /// Items that are named in the manifest and not exported.
    left_out: u64,
    /// Of these, items that no rule keeps out.
    unexported: u64,
}

/// An export that is under way.
struct Export<'a> {
    app: &'a App,
    selection: &'a Selection,
    loader: Loader,
    exporter: Exporter,
    left_out: u64,
    unexported: u64,
}

/// Where items of a window of receiving times may have been staged. A window reads back before its beginning, so that they
/// may lie under a later one; a source without windows is read whole at any time, so that they may lie under any later one.
fn staged_in(app: &App, received: Window) -> Window {
    let overlap = app.config.schedule.overlap.max(MAX_OVERLAP);
    let to = received.to.checked_add_signed(overlap).filter(|_| app.remotes.source.has_windows());
    Window { from: received.from, to: to.unwrap_or(DateTime::<Utc>::MAX_UTC) }
}

impl<'a> Export<'a> {
    fn new(app: &'a App, selection: &'a Selection, exporter: Exporter) -> Self {
        let loader = Loader::new(Arc::clone(&app.remotes.staging));
        Self { app, selection, loader, exporter, left_out: 0, unexported: 0 }
    }

    async fn run(mut self) -> Result<Exported, CommandError> {
        let staged = staged_in(self.app, self.selection.received_in());
        let mut after = ItemNo(0);
        loop {
            let records =
                self.app.ledger.items_of_window(staged, after, ITEMS_PER_QUERY).await.map_err(anyhow::Error::from)?;
            let Some(last) = records.last() else { break };
            after = last.no;
            for record in records {
                self = self.add(&record).await?;
            }
        }
        self.name_purged(staged).await?;
        let Self { exporter, left_out, unexported, .. } = self;
        let finished = on_own_thread(move || exporter.finish()).await?;
        Ok(Exported { finished, left_out, unexported })
    }

    async fn add(mut self, record: &ItemRecord) -> Result<Self, CommandError> {
        let (raw, item) = match self.loader.item(record).await {
            Ok(read) => read,
            Err(error) => return self.unreadable(record, None, error),
        };
        let item = match item {
            Ok(item) => item,
            // Its receiving time can't be read either, so it is named whenever its window overlaps.
            Err(error) => {
                self.leave_out(record, None, &error.to_string(), true)?;
                return Ok(self);
            }
        };
        let resolution = record.resolution.clone().unwrap_or_default();
        if !self.selection.takes(&item, &resolution) {
            return Ok(self);
        }
        let size: u64 = record.attachments.iter().map(|attachment| attachment.size).sum();
        if item.encrypted {
            self.leave_out(record, Some(&item), "its content is encrypted", true)?;
            return Ok(self);
        }
        if size > MAX_CONTENT {
            let problem = format!("its attachments have {size} bytes; they are in staging");
            self.leave_out(record, Some(&item), &problem, false)?;
            return Ok(self);
        }
        let attachments = match self.loader.attachments(record, &raw, &record.attachments).await {
            Ok(attachments) => attachments,
            Err(error) => return self.unreadable(record, Some(&item), error),
        };
        let domain = self.app.config.mailbox.placeholder_address_domain.clone();
        let (mut exporter, identity) = (self.exporter, record.identity);
        self.exporter = on_own_thread(move || {
            let message = convert_as(&item, &attachments, &resolution, &domain, identity);
            exporter.add(&item, &resolution, &message).map(|()| exporter)
        })
        .await?;
        Ok(self)
    }

    /// Leaves out an item that staging gives back damaged, or not at all; fails where it is staging that can't be read.
    fn unreadable(
        mut self,
        record: &ItemRecord,
        item: Option<&Item>,
        error: StagingError,
    ) -> Result<Self, CommandError> {
        if Fault::from(&error) != Fault::Defer && !matches!(error, StagingError::TooLarge { .. }) {
            return Err(anyhow::Error::from(error).into());
        }
        self.leave_out(record, item, &error.to_string(), false)?;
        Ok(self)
    }

    fn leave_out(
        &mut self,
        record: &ItemRecord,
        item: Option<&Item>,
        problem: &str,
        by_rule: bool,
    ) -> Result<(), CommandError> {
        let name = record.id.map_or_else(|| record.key.to_string(), |id| id.to_string());
        eprintln!("left out: item {name}: {problem}");
        self.left_out += 1;
        self.unexported += u64::from(!by_rule);
        let row = Row {
            item: name,
            message_id: None,
            sent: item.map(|item| item.time.at),
            owner: item.and_then(|item| item.owner.as_ref()).map(|owner| owner.value.clone()),
            problem: Some(format!("not exported: {}", app::local_paths(&self.app.config).taken_out(problem))),
        };
        Ok(self.exporter.leave_out(&row).map_err(anyhow::Error::from)?)
    }

    /// Names the items that staging doesn't have any more. Of these only the owner is known.
    async fn name_purged(&mut self, staged: Window) -> Result<(), CommandError> {
        let (mut after, mut purged) = (ItemNo(0), 0);
        loop {
            let items =
                self.app.ledger.purged_items(staged, after, ITEMS_PER_QUERY).await.map_err(anyhow::Error::from)?;
            let Some(last) = items.last() else { break };
            after = last.no;
            for item in items {
                if !self.may_take(&item) {
                    continue;
                }
                purged += 1;
                let problem =
                    "not exported: purged from staging (staging.retain), so that its time and content are not known";
                let PurgedItem { name, owner, .. } = item;
                let row = Row { item: name, owner, problem: Some(problem.to_owned()), ..Row::default() };
                self.exporter.leave_out(&row).map_err(anyhow::Error::from)?;
            }
        }
        if purged > 0 {
            eprintln!(
                "{purged} items that may be of this time are purged from staging (staging.retain) and can't be exported; \
                 {MANIFEST} names them"
            );
        }
        Ok(())
    }

    /// Whether a purged item may belong to the export, going by its owner where that is a number. Whose LID it may be, only the item said.
    fn may_take(&self, item: &PurgedItem) -> bool {
        let owners = &self.selection.owners;
        let is_address = |owner: &String| owner.contains('@');
        let Some(owner) = &item.owner else { return true };
        let key = Participant::phone(owner.as_str());
        owners.is_empty()
            || key.phone_number().is_none()
            || owners.iter().any(|sought| is_address(sought) || Participant::phone(sought.as_str()).key() == key.key())
    }
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
