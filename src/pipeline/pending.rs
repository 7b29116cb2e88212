//! The end of a run in the log: what it left pending, once for each cause, with the harm and the remedy.

use chrono::SecondsFormat;

use super::{RunError, RunFinished};
use crate::ledger::{Ledger, LedgerError, PendingCause, PendingGroup, RunKind};
use crate::report::Report;
use crate::report::reason::{meaning_of, remedy_of};

/// Most causes of a run that have a line of their own: the others share one for each kind of cause.
const MAX_GROUPS: u32 = 5;

/// Logs that a run ended, and what it left pending.
pub(super) async fn log_end(ledger: &Ledger, finished: &RunFinished) -> Result<(), LedgerError> {
    let RunFinished { report, error, pending: causes, remedy } = finished;
    if report.deliveries.pending > 0 {
        let groups = ledger.pending_groups(&report.run, MAX_GROUPS).await?;
        groups.iter().for_each(log_group);
        for (cause, deliveries) in causes {
            let shown: u64 = groups.iter().filter(|group| group.cause == *cause).map(|group| group.deliveries).sum();
            if *deliveries > shown {
                log_others(*cause, deliveries - shown);
            }
        }
    }
    match error {
        Some(error) => log_failed(report, error, &harm(ledger, report).await?, *remedy),
        None => log_finished(report, causes),
    }
    Ok(())
}

/// A level is a constant of its line: this writes a line once for both of the levels that it may have.
macro_rules! log {
    ($condition:expr => $level:ident, $otherwise:ident; $($line:tt)+) => {
        if $condition {
            tracing::$level!($($line)+);
        } else {
            tracing::$otherwise!($($line)+);
        }
    };
}

fn log_group(group: &PendingGroup) {
    let PendingGroup { cause, deliveries, mailboxes, mailbox, detail } = group;
    let (detail, mailbox) = (detail.as_deref(), mailbox.as_deref());
    let mailboxes = mailbox.map(|_| *mailboxes);
    let (name, meaning, remedy) = (cause.name(), meaning_of(cause.name()), remedy_of(cause.name()));
    log!(*cause == PendingCause::AttachmentAwaited => info, warn;
        event = "copies_pending",
        cause = name,
        deliveries,
        mailboxes,
        mailbox,
        error = detail,
        "{deliveries} pending: {meaning}; {remedy}"
    );
}

/// What is pending for the same kind of cause, with other errors than those that have a line.
fn log_others(cause: PendingCause, deliveries: u64) {
    let (name, meaning, remedy) = (cause.name(), meaning_of(cause.name()), remedy_of(cause.name()));
    let is_awaited = cause == PendingCause::AttachmentAwaited;
    let others = if is_awaited { "" } else { ", with other errors (`failures` lists them)" };
    log!(is_awaited => info, warn;
        event = "copies_pending",
        cause = name,
        deliveries,
        "{deliveries} more pending{others}: {meaning}; {remedy}"
    );
}

/// What a failed run leaves undone.
async fn harm(ledger: &Ledger, report: &Report) -> Result<String, LedgerError> {
    let pending = match report.deliveries.pending {
        0 => String::new(),
        1 => "1 delivery is pending; ".to_owned(),
        many => format!("{many} deliveries are pending; "),
    };
    if report.kind != RunKind::Regular.name() {
        return Ok(pending);
    }
    let unread = match ledger.watermark().await? {
        Some(read) => {
            format!("what was received since {} is not archived yet; ", read.to_rfc3339_opts(SecondsFormat::Secs, true))
        }
        None => "nothing is archived yet; ".to_owned(),
    };
    Ok(unread + &pending)
}

fn log_failed(report: &Report, error: &RunError, harm: &str, remedy: Option<&str>) {
    let seconds = seconds_of(report);
    let remedy = remedy.map(|remedy| format!("{remedy}; ")).unwrap_or_default();
    let message = format!("{harm}{remedy}what was staged is kept, and the next run goes on from there");
    // Whoever stops the program knows it.
    let is_stopped = matches!(error, RunError::Stopped);
    let end = if is_stopped { "was stopped" } else { "failed" };
    log!(is_stopped => warn, error;
        event = "run_finished",
        run.status = report.status.name(),
        run.seconds = seconds,
        deliveries.pending = report.deliveries.pending,
        error = %error,
        "the run {end}: {message}"
    );
}

fn seconds_of(report: &Report) -> i64 {
    report.finished.map_or(0, |finished| (finished - report.started).num_seconds())
}

fn log_finished(report: &Report, causes: &[(PendingCause, u64)]) {
    let (counts, seconds) = (&report.deliveries, seconds_of(report));
    let of = |cause| causes.iter().find(|(of, _)| *of == cause).map_or(0, |(_, count)| *count);
    // What only waits for an attachment needs nobody.
    let needs_somebody = counts.pending > of(PendingCause::AttachmentAwaited);
    let message = if needs_somebody {
        "the run ended and left copies pending; later runs go on with them"
    } else {
        "the run ended"
    };
    log!(needs_somebody => warn, info;
        event = "run_finished",
        run.status = report.status.name(),
        run.seconds = seconds,
        items.available = report.items.available_from_source,
        deliveries.available = counts.available_for_import,
        deliveries.imported = counts.imported,
        deliveries.partially_imported = counts.partially_imported,
        deliveries.skipped_duplicate = counts.skipped_duplicate,
        deliveries.failed = counts.failed,
        deliveries.pending = counts.pending,
        pending.directory = of(PendingCause::Directory),
        pending.mailbox = of(PendingCause::Mailbox),
        pending.outcome_unknown = of(PendingCause::OutcomeUnknown),
        pending.attachment_awaited = of(PendingCause::AttachmentAwaited),
        pending.staging = of(PendingCause::Staging),
        pending.not_sent = of(PendingCause::NotSent),
        "{message}"
    );
}
