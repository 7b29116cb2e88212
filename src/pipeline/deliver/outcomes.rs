//! What became of a copy, for the log and the ledger.

use super::{Deliverer, Job};
use crate::ledger::{Delivery, DeliveryState, ItemNo, Outcome, PartialReason, RowReason, UNREADABLE};
use crate::mailbox::{ImportError, RemoteId};
use crate::reason::Reason;
use crate::resolution::Mailbox;

impl Deliverer {
    pub(super) async fn imported(&self, mailbox: &Mailbox, job: &Job, remote: RemoteId, attempts: u32) {
        self.arrived(mailbox, job, remote, job.converted.partial.clone(), attempts).await;
    }

    /// A copy that is there without files which its mailbox refuses.
    pub(super) async fn imported_without(
        &self,
        mailbox: &Mailbox,
        job: &Job,
        remote: RemoteId,
        refused: String,
        attempts: u32,
    ) {
        tracing::warn!(event = "attachment_rejected", mailbox = %mailbox.address, item.no = job.no.0, error = %refused, "a mailbox has a copy but permanently refuses one of its files; the file is in staging: `export` it if somebody needs it");
        let detail = match &job.converted.partial {
            Some((_, left_out)) => format!("{refused}; {left_out}"),
            None => refused,
        };
        self.arrived(mailbox, job, remote, Some((PartialReason::AttachmentRejected, detail)), attempts).await;
    }

    async fn arrived(
        &self,
        mailbox: &Mailbox,
        job: &Job,
        remote: RemoteId,
        partial: Option<(PartialReason, String)>,
        attempts: u32,
    ) {
        let (state, reason, detail) = match partial {
            None => (DeliveryState::Imported, None, None),
            Some((reason, detail)) => {
                (DeliveryState::PartiallyImported, Some(RowReason::Partial(reason)), Some(detail))
            }
        };
        tracing::debug!(event = "delivery_imported", mailbox = %mailbox.address, item.no = job.no.0, outcome = state.name(), "a copy is imported");
        let message = &job.converted.message;
        let found_as = message.identities.map(|identities| identities.sent_as);
        let outcome = outcome(job.no, mailbox, state, attempts);
        let outcome = Outcome { reason, detail, bytes: message.size(), remote_id: Some(remote.0), found_as, ..outcome };
        self.recorder.record(outcome).await;
    }

    /// A copy of unknown outcome: looked up once the mailbox has settled, before anything is sent again.
    pub(super) async fn unknown(&self, mailbox: &Mailbox, job: &Job, error: &ImportError) {
        tracing::warn!(event = "outcome_unknown", mailbox = %mailbox.address, item.no = job.no.0, error = %error, "a copy is looked up before it is sent again");
        let outcome = Outcome {
            detail: Some(self.in_words(error)),
            settle_at: Some(self.pipeline.settled_at()),
            ..outcome(job.no, mailbox, DeliveryState::Unknown, 1)
        };
        self.recorder.record(outcome).await;
        self.scheduler.add_look_ups(mailbox);
    }

    pub(super) async fn deferred(&self, mailbox: &Mailbox, job: &Job, error: &ImportError) {
        tracing::error!(event = "delivery_held", mailbox = %mailbox.address, item.no = job.no.0, error = %error, "a copy is deferred to a later run; correct what the error names, `check --mailbox ADDRESS` tries the mailbox");
        let outcome = outcome(job.no, mailbox, DeliveryState::Pending, 1);
        self.recorder.record(Outcome { detail: Some(self.in_words(error)), ..outcome }).await;
    }

    pub(super) async fn rejected(&self, mailbox: &Mailbox, job: &Job, reason: Reason, error: &ImportError) {
        tracing::error!(event = "delivery_failed", mailbox = %mailbox.address, item.no = job.no.0, reason = reason.name(), error = %error, "a mailbox permanently refuses a copy; its item is held: fix what the error names, then `retry --reason mailbox_rejected`");
        let outcome = outcome(job.no, mailbox, DeliveryState::Failed, 1);
        let outcome =
            Outcome { reason: Some(RowReason::Failed(reason)), detail: Some(self.in_words(error)), ..outcome };
        self.recorder.record(outcome).await;
    }

    /// An error as reports have it. The log names the folders of this machine too.
    fn in_words(&self, error: &ImportError) -> String {
        self.pipeline.settings.local_paths.taken_out(&error.to_string())
    }

    /// A copy whose item staging doesn't give back: it stays as open as it was, for a later run.
    pub(super) async fn unreadable(&self, mailbox: &Mailbox, delivery: &Delivery) {
        if delivery.state == DeliveryState::Ready {
            let outcome = outcome(delivery.no, mailbox, DeliveryState::Pending, 0);
            self.recorder.record(Outcome { detail: Some(UNREADABLE.to_owned()), ..outcome }).await;
        }
    }

    /// Takes back the claim of copies that were certainly not sent.
    pub(super) async fn unsent(&self, mailbox: &Mailbox, jobs: Vec<Job>, state: DeliveryState, detail: &str) {
        for job in jobs {
            let outcome = Outcome { detail: Some(detail.to_owned()), ..outcome(job.no, mailbox, state, 1) };
            self.recorder.record(outcome).await;
        }
    }
}

/// An outcome with nothing to say.
pub(super) fn outcome(no: ItemNo, mailbox: &Mailbox, state: DeliveryState, attempts: u32) -> Outcome {
    Outcome {
        no,
        mailbox: mailbox.id.clone(),
        state,
        reason: None,
        detail: None,
        attempts,
        settle_at: None,
        remote_id: None,
        found_as: None,
        bytes: 0,
    }
}
