//! What the reasons of an account mean to an administrator.

use crate::fault::Reason;
use crate::ledger::PartialReason;

/// What a reason means to an administrator.
pub(crate) fn meaning_of(reason: &str) -> &'static str {
    let failed = Reason::from_name(reason).map(|reason| match reason {
        Reason::NoValidUser => {
            "neither the mapping nor the e-mail property names a valid user; mend the mapping, then retry"
        }
        Reason::SizeExceeded => "over the largest size; it stays in staging whole",
        Reason::Encrypted => "the content is encrypted, and the key is not here",
        Reason::Malformed => "the item can't be read; its bytes stay in staging",
        Reason::MailboxRejected => "the mailbox refused this message for good",
        Reason::MailboxUnavailable => "the mailbox could not be used for too long",
    });
    let partial =
        PartialReason::ALL.into_iter().find(|partial| partial.name() == reason).map(|partial| match partial {
            PartialReason::AttachmentMissing => "the source doesn't have an attachment",
            PartialReason::AttachmentCorrupt => "an attachment's bytes aren't those that were declared",
            PartialReason::AttachmentRejected => "the mailbox refused an attachment",
        });
    failed.or(partial).unwrap_or_default()
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
        assert_eq!(meaning_of("unheard_of"), "");
    }
}
