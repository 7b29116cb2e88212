//! `run`: the daemon, or one run now.

use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::context::{CommandError, CommandResult, Context, Exit, block_on, stop_on_signals, unless_stopped};
use super::{output, progress_bar};
use crate::app::{App, LedgerUse, TablesUse, files, gained};
use crate::config::{Config, MailboxConfig, MailboxKind};
use crate::daemon::Daemon;
use crate::lifecycle::Signals;
use crate::mailbox::maildir::Maildirs;
use crate::notify::{Notice, PostedWarnings};
use crate::pipeline::{Pipeline, RunFinished, RunRequest};
use crate::status::{self, Status};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Run once now, from the watermark, and print the report as a table
    #[arg(long)]
    once: bool,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    let config = context.begin()?;
    block_on(async { if arguments.once { once(context, &config).await } else { daemon(context, &config).await } })
}

async fn daemon(context: &Context, config: &Arc<Config>) -> CommandResult {
    let mut signals = Signals::listen()?;
    let start = async {
        let app = build(context, config).await?;
        app.succeed_predecessor().await?;
        Ok::<_, CommandError>(app)
    };
    // A database may keep it waiting, and nothing is under way yet that would have to be finished.
    let app = tokio::select! {
        app = start => app?,
        () = signals.stop() => return Ok(Exit::Done),
    };
    let daemon = Daemon::new(app, context.loader(), context.environment.clone(), CancellationToken::new());
    daemon.listen().await?;
    daemon.run(signals.into_requests()).await?;
    Ok(Exit::Done)
}

async fn once(context: &Context, config: &Arc<Config>) -> CommandResult {
    let stop = stop_on_signals()?;
    let app = unless_stopped(&stop, build(context, config)).await?;
    app.pipeline(stop.clone()).follow_until_turn().await?;
    let finished = run_request(&app, RunRequest::Regular, stop.clone()).await?;
    notify(&app, &finished, &stop).await?;
    let exit = output::report_finished(context, &finished)?;
    let copies = finished.report.deliveries.imported + finished.report.deliveries.partially_imported;
    if copies > 0 {
        output::print(&where_to_look(&app.config.mailbox))?;
    }
    Ok(exit)
}

/// Checks the keys first, because a run would find a wrong one only at its end, then builds the program.
async fn build(context: &Context, config: &Arc<Config>) -> Result<App, CommandError> {
    let keys = files::problems_of_keys(config);
    if !keys.is_empty() {
        let text: Vec<String> = keys.iter().map(ToString::to_string).collect();
        return Err(CommandError::Configuration(text.join("\n")));
    }
    context.app(config, LedgerUse::MadeIfMissing, TablesUse::Read).await
}

/// Posts what the run's end and the state give occasion to, as a daemon would.
async fn notify(app: &App, finished: &RunFinished, stop: &CancellationToken) -> Result<(), CommandError> {
    app.note_credentials().await?;
    let Some(notifier) = app.notifier() else { return Ok(()) };
    notifier.run_ended(finished, stop).await;
    let now = app.clock.now();
    let status = Status::of(&app.ledger, &app.config.schedule, now).await?;
    notifier.warn(&Notice::all(&status, now), &mut PostedWarnings::default(), stop).await;
    Ok(())
}

/// Where one of the copies can be seen, for copies that are files on this machine.
fn where_to_look(mailbox: &MailboxConfig) -> String {
    let MailboxKind::Maildir { path } = &mailbox.kind else { return String::new() };
    let sample = Maildirs::new(path.clone(), &mailbox.folder).ok().and_then(|maildirs| maildirs.sample());
    let Some(sample) = sample.and_then(|sample| sample.canonicalize().ok()) else { return String::new() };
    let here = std::env::current_dir().and_then(|here| here.canonicalize()).unwrap_or_default();
    let below = sample.strip_prefix(&here).ok().filter(|_| here.parent().is_some());
    let shown = below.unwrap_or(&sample).display().to_string();
    format!("One of the messages:           less '{}'\n", shown.replace('\'', "'\\''"))
}

/// Runs a request, with a progress bar on a terminal.
pub(super) async fn run_request(
    app: &App,
    request: RunRequest,
    stop: CancellationToken,
) -> Result<RunFinished, CommandError> {
    let pipeline = app.pipeline(stop);
    let done = CancellationToken::new();
    let bar = tokio::spawn(progress_bar::show(pipeline.progress(), Arc::clone(&app.clock), done.clone()));
    let finished = run_and_note(app, &pipeline, request).await;
    done.cancel();
    // The bar has nothing to say once it is over.
    let _ = bar.await;
    finished
}

async fn run_and_note(app: &App, pipeline: &Pipeline, request: RunRequest) -> Result<RunFinished, CommandError> {
    if app.record_inputs().await? {
        gained::report(&app.ledger, &app.resolver).await;
    }
    let finished = pipeline.run(request).await?;
    status::note_run(&app.ledger, &app.config.source, &finished, app.clock.now()).await?;
    Ok(finished)
}
