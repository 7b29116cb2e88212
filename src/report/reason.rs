//! What the reasons of an account mean to an administrator.

use crate::ledger::{PartialReason, PendingCause};
use crate::reason::Reason;

/// What a reason, or the cause of what is pending, means to an administrator.
pub(crate) fn meaning_of(reason: &str) -> &'static str {
    let failed = Reason::from_name(reason).map(|reason| match reason {
        Reason::NoValidUser => "neither the mapping nor the e-mail property names a valid user",
        Reason::SizeExceeded => "over the size limit; it stays in staging in full",
        Reason::Encrypted => "the content is encrypted, and the archiver doesn't have the key",
        Reason::Malformed => "the item can't be read; its bytes stay in staging",
        Reason::MailboxRejected => "the mailbox refused this message for good",
        Reason::MailboxUnavailable => "the mailbox was unusable for too long",
    });
    let partial =
        PartialReason::ALL.into_iter().find(|partial| partial.name() == reason).map(|partial| match partial {
            PartialReason::AttachmentMissing => "the source doesn't have an attachment",
            PartialReason::AttachmentCorrupt => "an attachment's bytes aren't those that were declared",
            PartialReason::AttachmentRejected => "the mailbox refused an attachment",
        });
    let pending = PendingCause::ALL.into_iter().find(|cause| cause.name() == reason).map(|cause| match cause {
        PendingCause::Directory => "the user directory gave no answer for a participant, or for a mailbox",
        PendingCause::Mailbox => "the mailbox did not take the copy",
        PendingCause::MailboxGone => "the mailbox has gone; somebody else may have its address",
        PendingCause::OutcomeUnknown => "the copy may have arrived; it is looked up first",
        PendingCause::AttachmentAwaited => "the source doesn't have an attachment yet",
        PendingCause::Staging => "staging doesn't return the item as it was staged",
        PendingCause::NotSent => "the run ended before its turn",
    });
    failed.or(partial).or(pending).unwrap_or_default()
}

/// What an administrator can do about a reason, or about the cause of what is pending.
pub(crate) fn remedy_of(reason: &str) -> &'static str {
    let failed = Reason::from_name(reason).map(|reason| match reason {
        Reason::NoValidUser => "complete the mapping or license the mailbox, then: retry --reason no_valid_user",
        Reason::SizeExceeded => "export it for whoever needs it, or raise the limit",
        Reason::Encrypted => "ask TeleMessage's administrator why it is encrypted",
        Reason::Malformed => "report the staged bytes to TeleMessage",
        Reason::MailboxRejected => "remove what the detail names, then: retry --reason mailbox_rejected",
        Reason::MailboxUnavailable => "repair the mailbox, then: retry --reason mailbox_unavailable",
    });
    let pending = PendingCause::ALL.into_iter().find(|cause| cause.name() == reason).map(|cause| match cause {
        PendingCause::Directory => "later runs ask again; check --online tries its credential and its permission",
        PendingCause::Mailbox => "later runs try again; check --mailbox ADDRESS tries the mailbox",
        PendingCause::MailboxGone => {
            "bring the person's account back, or state the mailbox's former address in the user list; else nobody gets them"
        }
        PendingCause::OutcomeUnknown => "nothing, unless it lasts: then see that the mailbox can be read",
        PendingCause::AttachmentAwaited => "nothing: it is requested until source.attachment_wait has passed",
        PendingCause::Staging => {
            "bring back what was changed or removed there; the staging area's own audit log says who did it"
        }
        PendingCause::NotSent => "nothing: the next run sends it",
    });
    failed.or(pending).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_explained() {
        let partial = PartialReason::ALL.into_iter().map(PartialReason::name);
        for reason in Reason::ALL.into_iter().map(Reason::name).chain(partial) {
            assert!(!meaning_of(reason).is_empty(), "{reason}");
        }
        for name in Reason::ALL.into_iter().map(Reason::name).chain(PendingCause::ALL.map(PendingCause::name)) {
            assert!(!meaning_of(name).is_empty() && !remedy_of(name).is_empty(), "{name}");
        }
        assert_eq!((meaning_of("unheard_of"), remedy_of("unheard_of")), ("", ""));
    }
}
