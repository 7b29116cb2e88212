//! A run that has ended: what it left undone, and its end in the log: once for each cause, with the harm and the remedy.

use chrono::SecondsFormat;

use super::RunError;
use crate::ledger::{CauseGroup, Ledger, LedgerError, OpenElsewhere, PendingCause, RunKind};
use crate::reason::Reason;
use crate::report::Report;
use crate::report::reason::{meaning_of, remedy_of};

/// The most causes of a run that get a line each; the others share one line for each kind of cause.
const MAX_GROUPS: u32 = 5;

/// A run that has ended.
#[derive(Debug)]
pub struct RunFinished {
    pub report: Report,
    /// Why it failed, where it did.
    pub error: Option<RunError>,
    /// What it left undone.
    pub undone: Undone,
    /// What helps against the error, where that doesn't say it.
    pub remedy: Option<&'static str>,
}

/// What a run left undone.
#[derive(Debug, Default)]
pub struct Undone {
    /// Deliveries that are pending, by cause.
    pub pending: Vec<(PendingCause, u64)>,
    /// The most frequent errors for which they are.
    pub pending_groups: Vec<CauseGroup<PendingCause>>,
    /// The most frequent errors for which mailboxes have refused copies for good.
    pub refused_groups: Vec<CauseGroup<Reason>>,
    /// What it was to take over, and what is open in the accounts of other runs all the same.
    pub elsewhere: Vec<OpenElsewhere>,
}

impl Undone {
    /// What a run left, by its report; `elsewhere` is what it had to leave to other runs.
    pub async fn of(ledger: &Ledger, report: &Report, elsewhere: Vec<OpenElsewhere>) -> Result<Self, LedgerError> {
        let run = &report.run;
        let pending_groups = match report.deliveries.pending {
            0 => Vec::new(),
            _ => ledger.pending_groups(Some(run), MAX_GROUPS).await?,
        };
        let refused_groups = match report.refused() {
            0 => Vec::new(),
            _ => ledger.refused_groups(run, MAX_GROUPS).await?,
        };
        Ok(Self { pending: ledger.pending_by_cause(Some(run)).await?, pending_groups, refused_groups, elsewhere })
    }

    fn of_cause(&self, cause: PendingCause) -> u64 {
        self.pending.iter().find(|(of, _)| *of == cause).map_or(0, |(_, count)| *count)
    }

    /// How many deliveries are open in the accounts of other runs.
    pub fn copies_open(&self) -> u64 {
        self.elsewhere.iter().map(|open| open.rows).sum()
    }

    /// Deliveries that only wait for an attachment, which needs nobody.
    pub fn awaited(&self) -> u64 {
        self.of_cause(PendingCause::AttachmentAwaited)
    }
}

impl RunFinished {
    /// Whether it got past the log-in at the source.
    pub fn has_reached_source(&self) -> bool {
        self.report.kind.reads_source() && (self.report.window.is_some() || self.error.is_none())
    }

    /// Whether later runs go on with something other than waiting for attachments.
    pub fn leaves_work(&self) -> bool {
        self.report.deliveries.pending > self.undone.awaited() || !self.undone.elsewhere.is_empty()
    }

    /// Whether there is anything that somebody should look at: it failed, left work, or mailboxes have not taken copies.
    pub fn needs_somebody(&self) -> bool {
        self.error.is_some() || self.leaves_work() || self.report.refused() > 0
    }
}

/// Logs that a run ended, and what it left undone.
pub(super) async fn log_end(ledger: &Ledger, finished: &RunFinished) -> Result<(), LedgerError> {
    let RunFinished { report, error, undone, remedy } = finished;
    undone.pending_groups.iter().for_each(log_pending);
    for (cause, deliveries) in &undone.pending {
        let rest = deliveries.saturating_sub(shown(&undone.pending_groups, cause));
        if rest > 0 {
            log_other_pending(*cause, rest);
        }
    }
    undone.refused_groups.iter().for_each(log_refused);
    for reason in Reason::of_mailboxes() {
        let rest = failed(report, reason).saturating_sub(shown(&undone.refused_groups, &reason));
        if rest > 0 {
            log_other_refused(reason, rest);
        }
    }
    match error {
        Some(error) => log_failed(report, error, &harm(ledger, report).await?, *remedy),
        None => log_finished(finished),
    }
    Ok(())
}

/// Logs what stays open in the account of another run.
pub(super) fn log_left_open(open: &OpenElsewhere) {
    let OpenElsewhere { run, is_under_way, rows } = open;
    let why = if *is_under_way {
        "are those of another run, which is under way and sends them; should its process have gone, the next run takes them over when its \
         lease has run out"
    } else {
        "of an earlier run stay open, because another process had their mailboxes, or staging did not return their items; the next run \
         takes them over"
    };
    tracing::warn!(event = "copies_left_open", copies = rows, open.run = %run, "copies that this run is about {why}");
}

/// Deliveries of a cause that have a line.
fn shown<C: PartialEq>(groups: &[CauseGroup<C>], cause: &C) -> u64 {
    groups.iter().filter(|group| group.cause == *cause).map(|group| group.deliveries).sum()
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

fn log_pending(group: &CauseGroup<PendingCause>) {
    let CauseGroup { cause, deliveries, mailboxes, mailbox, detail } = group;
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
fn log_other_pending(cause: PendingCause, deliveries: u64) {
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

fn log_refused(group: &CauseGroup<Reason>) {
    let CauseGroup { cause, deliveries, mailboxes, mailbox, detail } = group;
    let (name, meaning, remedy) = (cause.name(), meaning_of(cause.name()), remedy_of(cause.name()));
    tracing::warn!(
        event = "copies_failed",
        reason = name,
        deliveries,
        mailboxes,
        mailbox = mailbox.as_deref(),
        error = detail.as_deref(),
        "{deliveries} failed: {meaning}; {remedy}"
    );
}

/// What failed for the same reason, with other errors than those that have a line.
fn log_other_refused(reason: Reason, deliveries: u64) {
    let (name, meaning, remedy) = (reason.name(), meaning_of(reason.name()), remedy_of(reason.name()));
    tracing::warn!(
        event = "copies_failed",
        reason = name,
        deliveries,
        "{deliveries} more failed, with other errors (`failures` lists them): {meaning}; {remedy}"
    );
}

/// What a failed run leaves undone.
async fn harm(ledger: &Ledger, report: &Report) -> Result<String, LedgerError> {
    let pending = match report.deliveries.pending {
        0 => String::new(),
        1 => "1 delivery is pending; ".to_owned(),
        many => format!("{many} deliveries are pending; "),
    };
    if report.kind != RunKind::Regular {
        return Ok(pending);
    }
    let unread = match ledger.watermark().await? {
        Some(read) => {
            format!("what was received since {} is not archived yet; ", read.to_rfc3339_opts(SecondsFormat::Secs, true))
        }
        None => "no period is archived in full yet; ".to_owned(),
    };
    Ok(unread + &pending)
}

fn log_failed(report: &Report, error: &RunError, harm: &str, remedy: Option<&str>) {
    let seconds = seconds_of(report);
    let remedy = remedy.map(|remedy| format!("{remedy}; ")).unwrap_or_default();
    let message = format!("{harm}{remedy}what was staged is kept, and the next run continues from there");
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

fn log_finished(finished: &RunFinished) {
    let RunFinished { report, undone, .. } = finished;
    let (counts, seconds) = (&report.deliveries, seconds_of(report));
    let of = |cause| undone.of_cause(cause);
    let message = match (finished.leaves_work(), report.refused()) {
        (true, 0) => "the run ended and left copies pending; later runs will continue with them",
        (true, _) => "the run ended and left copies pending, and mailboxes have not taken others for good",
        (false, 0) => "the run ended",
        (false, _) => "the run ended, and mailboxes have refused copies for good; no later run tries them by itself",
    };
    log!(finished.needs_somebody() => warn, info;
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
        failed.mailbox_rejected = failed(report, Reason::MailboxRejected),
        failed.mailbox_unavailable = failed(report, Reason::MailboxUnavailable),
        pending.directory = of(PendingCause::Directory),
        pending.mailbox = of(PendingCause::Mailbox),
        pending.mailbox_gone = of(PendingCause::MailboxGone),
        pending.outcome_unknown = of(PendingCause::OutcomeUnknown),
        pending.attachment_awaited = of(PendingCause::AttachmentAwaited),
        pending.staging = of(PendingCause::Staging),
        pending.not_sent = of(PendingCause::NotSent),
        "{message}"
    );
}

fn failed(report: &Report, reason: Reason) -> u64 {
    report.failed_by_reason.get(reason.name()).copied().unwrap_or_default()
}
