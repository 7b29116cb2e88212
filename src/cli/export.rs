//! `export`: the messages of a window as files, from staging, imported or not.

use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use clap::Args;
use tokio_util::sync::CancellationToken;

use self::sink::{Counts, Sink};
use self::walk::{Exported, Walk};
use super::context::{CommandError, CommandResult, Context, Exit, block_on};
use super::instant::Moment;
use super::{administrator, instant, output};
use crate::app::{App, LedgerUse, TablesUse};
use crate::config::NeededSecrets;
use crate::export::{By, Exporter, Filters, Finished, Format, MANIFEST, Options, Selection, Value};
use crate::ledger::ActionKind;
use crate::output_text::is_blank;

mod sink;
mod walk;

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
    /// Only messages from the archive of this person: a number, a whole name, or an e-mail address (may be repeated)
    #[arg(long, value_name = "WHO", value_parser = parse_value)]
    owner: Vec<String>,
    /// Only messages in which this person takes part: a number, a whole name, or an e-mail address (may be repeated)
    #[arg(long, value_name = "WHO", value_parser = parse_value)]
    participant: Vec<String>,
    /// Only messages that belong in this mailbox: an address that it has or had (may be repeated)
    #[arg(long, value_name = "ADDRESS", value_parser = parse_value)]
    mailbox: Vec<String>,
    /// Only messages of this chat: the id of a group, any name that the chat has in the window, TeleMessage's thread id, or
    /// the first Message-ID in `References` (may be repeated)
    #[arg(long, value_name = "THREAD", value_parser = parse_value)]
    thread: Vec<String>,
    /// The time zone in which days begin and times are shown, such as Europe/London
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = instant::time_zone)]
    time_zone: Tz,
    /// eml: one file per message; mbox: one file; rsmf: one file per chat and day, for review platforms;
    /// html: one page per chat and day, to read and print
    #[arg(long, value_parser = parse_format, required_unless_present = "dry_run")]
    format: Option<Format>,
    /// The largest RSMF file, such as 200MB; a chat and day with more is split into several
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_file_size: Option<u64>,
    /// The directory that the files are written to
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Write nothing: say how many messages there are, and which values of the filters nothing fits
    #[arg(long)]
    dry_run: bool,
}

/// What a file's header, people and manifest need beside messages, with room to spare.
const MIN_FILE_SIZE: u64 = 1024 * 1024;

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

fn parse_value(value: &str) -> Result<String, String> {
    if is_blank(value) { Err("it is empty".to_owned()) } else { Ok(value.to_owned()) }
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
    let filters = Filters::new(arguments.selection()?);
    if arguments.max_file_size.is_some() && arguments.format != Some(Format::Rsmf) {
        return Err(CommandError::Usage("--max-file-size is for --format rsmf".to_owned()));
    }
    let config = context.begin_needing(NeededSecrets::Of(&["ledger", "staging"]))?;
    block_on(async {
        let app = context.app(&config, LedgerUse::Existing, TablesUse::NobodyIsResolved).await?;
        // Another ledger knows nothing of what lies there: nothing exported would look like nothing captured.
        app.pipeline(CancellationToken::new()).check_staging_owner().await?;
        match (&arguments.format, &arguments.out) {
            (Some(format), Some(out)) if !arguments.dry_run => {
                let Arguments { time_zone, max_file_size, .. } = *arguments;
                let options = Options { format: *format, time_zone, max_file_size };
                export(context, &app, filters, &options, out).await
            }
            _ => preview(&app, filters).await,
        }
    })
}

async fn export(context: &Context, app: &App, filters: Filters, options: &Options, out: &Path) -> CommandResult {
    let files = Exporter::new(options, out)?;
    // Recorded before and after: an export that is broken off has shown its messages, too.
    let what = format!("{} in {}, {}", options.format.name(), options.time_zone, filters.selection().description());
    administrator::acts(context, &app.ledger, ActionKind::Export, &format!("begun: {what}")).await?;
    let exported = Walk::new(app, filters, Sink::Files(Box::new(files))).run().await?;
    let Some(Finished { summary, manifest, oversized }) = &exported.finished else { return Ok(Exit::Failed) };
    let messages = output::counted(summary.messages, "message", "messages");
    let left_out = output::counted(exported.left_out, "item", "items");
    let counts = format!("{messages}, {left_out} left out; {MANIFEST} {manifest}");
    administrator::acts(context, &app.ledger, ActionKind::Export, &format!("done: {counts}; {what}")).await?;
    output::print(&format!(
        "{messages} in {} below {}; {} of the same messages; {left_out} left out\n{MANIFEST} has SHA-256 {manifest}\n",
        output::counted(summary.files, "file", "files"),
        out.display(),
        output::counted(summary.duplicates, "further capture", "further captures"),
    ))?;
    for path in oversized {
        eprintln!("{path} is larger than --max-file-size: one message alone is; it can't be split");
    }
    let is_whole = warn_of_filters(&exported) && oversized.is_empty();
    // What a rule keeps out is normal.
    Ok(if exported.unexported == 0 && is_whole { Exit::Done } else { Exit::Failed })
}

/// Says what would be exported.
async fn preview(app: &App, filters: Filters) -> CommandResult {
    let exported = Walk::new(app, filters, Sink::Counts(Counts::default())).run().await?;
    output::print(&format!(
        "{} and {} of the same messages would be exported, {} left out; nothing was written\n",
        output::counted(exported.summary.messages, "message", "messages"),
        output::counted(exported.summary.duplicates, "further capture", "further captures"),
        output::counted(exported.left_out, "item", "items"),
    ))?;
    let is_whole = warn_of_filters(&exported);
    Ok(if exported.unexported == 0 && is_whole { Exit::Done } else { Exit::Failed })
}

/// Names the values that nothing fits, and those that fit more than one may mean. Whether there are none of the former.
fn warn_of_filters(exported: &Exported) -> bool {
    for (value, count) in exported.filters.shared_names() {
        let (what, instead) = match value.filter {
            "thread" => ("chats", "an id"),
            _ => ("people", "a number or an address"),
        };
        eprintln!("{} is the name of {count} {what}, and all of them are meant: {instead} names one", value.shown());
    }
    let without_match = exported.filters.without_match();
    for value in &without_match {
        eprintln!("{} fits nothing in this window: {}", value.shown(), hint(value));
    }
    if without_match.is_empty() && exported.summary.messages == 0 && exported.filters.are_given() {
        eprintln!("each filter fits something in this window, and no message that can be exported fits all of them");
    }
    without_match.is_empty()
}

fn hint(value: &Value) -> &'static str {
    match value.filter {
        "owner" => "no archive is of such a number, whole name or address",
        "participant" => "nobody who takes part has such a number, whole name or address",
        "mailbox" => "no item belongs in a mailbox that has or had such an address",
        _ => "no chat has such an id or whole name",
    }
}
