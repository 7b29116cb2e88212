//! The end of a run in the log: what it left pending, once for each cause, with the harm and the remedy.

use tracing::Level;

use crate::ledger::{Ledger, LedgerError, PendingCause, PendingGroup};
use crate::report::Report;

/// Most lines about one run: the sums are in its last one.
const MAX_LINES: u32 = 20;

/// Logs that a run ended, and what it left pending.
pub(super) async fn log_end(ledger: &Ledger, report: &Report) -> Result<(), LedgerError> {
    if report.deliveries.pending > 0 {
        for group in ledger.pending_groups(&report.run, MAX_LINES).await? {
            log_group(report, &group);
        }
    }
    let causes = ledger.pending_by_cause(Some(&report.run)).await?;
    log_finished(report, &causes);
    Ok(())
}

fn log_group(report: &Report, group: &PendingGroup) {
    let PendingGroup { cause, deliveries, mailboxes, .. } = group;
    let (detail, mailbox) = (group.detail.as_deref().unwrap_or_default(), group.mailbox.as_deref().unwrap_or_default());
    let (name, remedy) = (cause.name(), remedy(*cause));
    if *cause == PendingCause::AttachmentAwaited {
        tracing::info!(event = "copies_pending", run.id = %report.run, cause = name, deliveries, error = detail, "{deliveries} pending: {remedy}");
    } else {
        tracing::warn!(event = "copies_pending", run.id = %report.run, cause = name, deliveries, mailboxes, mailbox, error = detail, "{deliveries} pending: {remedy}");
    }
}

/// What somebody can do about it.
fn remedy(cause: PendingCause) -> &'static str {
    match cause {
        PendingCause::Directory => {
            "the user directory gave no answer for a participant; later runs ask again. Check its credential and its permission (`check --online`)"
        }
        PendingCause::Mailbox => {
            "the mailbox did not take them; later runs try again until retry.give_up. Check the mailbox, its licence, its size, and the permission to write to it (`check --mailbox`)"
        }
        PendingCause::OutcomeUnknown => {
            "they may have arrived; a later run looks them up before anything is sent again. Where this stays so, check that the mailbox can be read"
        }
        PendingCause::AttachmentAwaited => {
            "the source doesn't have an attachment yet; it is asked again until source.attachment_wait"
        }
        PendingCause::NotSent => "the run ended before their turn; the next one sends them",
    }
}

fn log_finished(report: &Report, causes: &[(PendingCause, u64)]) {
    let counts = &report.deliveries;
    let seconds = report.finished.map_or(0, |finished| (finished - report.started).num_seconds());
    if let Some(error) = &report.error {
        tracing::error!(event = "run_finished", run.id = %report.run, run.status = report.status.name(), run.seconds = seconds, error = %error, "the run failed; what was staged is kept, and the next run goes on from there");
        return;
    }
    let of = |cause| causes.iter().find(|(of, _)| *of == cause).map_or(0, |(_, count)| *count);
    // What only waits for an attachment needs nobody.
    let needs_somebody = counts.pending > of(PendingCause::AttachmentAwaited);
    let message = if needs_somebody {
        "the run ended and left copies pending; later runs go on with them"
    } else {
        "the run ended"
    };
    // A level is a constant of its line, so the line stands in a macro and is written once.
    macro_rules! finished {
        ($level:expr) => {
            tracing::event!(
                $level,
                event = "run_finished",
                run.id = %report.run,
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
                pending.not_sent = of(PendingCause::NotSent),
                "{message}"
            )
        };
    }
    if needs_somebody {
        finished!(Level::WARN);
    } else {
        finished!(Level::INFO);
    }
}
