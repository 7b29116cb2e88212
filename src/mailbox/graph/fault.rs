//! What a call that failed means for a copy: certainly not there, or unknown; and what an administrator can do.

use reqwest::StatusCode;

use crate::graph::{CallError, Refusal, permission_advice};
use crate::mailbox::ImportError;

/// The mailbox can't be used, or is no more.
const NO_MAILBOX: [&str; 5] = [
    "MailboxNotEnabledForRESTAPI",
    "MailboxNotHostedInExchangeOnline",
    "ErrorNonExistentMailbox",
    "ErrorInvalidUser",
    "Request_ResourceNotFound",
];

/// The mailbox is full.
const FULL: [&str; 3] = ["ErrorQuotaExceeded", "ErrorMailboxStoreUnavailableQuota", "ErrorStorageQuotaExceeded"];

/// The mailbox refuses this message for what it is.
const REJECTED: [&str; 10] = [
    "ErrorMessageSizeExceeded",
    "ErrorAttachmentSizeLimitExceeded",
    "ErrorDataSizeLimitExceeded",
    "ErrorInvalidRecipients",
    "ErrorMimeContentInvalid",
    "ErrorMimeContentInvalidBase64String",
    "ErrorMimeContentConversionFailed",
    "ErrorContentConversionFailed",
    "InvalidInternetMessageHeader",
    "InvalidInternetMessageHeaderCollection",
];

/// Refusals that mean: the folder is not there.
const FOLDER_GONE: [&str; 3] = ["ErrorItemNotFound", "ErrorFolderNotFound", "ErrorParentFolderNotFound"];

/// A call that makes something failed. Without a certain refusal, it may have been made.
pub(super) fn of_write(error: &CallError, permission: &str) -> ImportError {
    match error {
        CallError::NoReply(_) | CallError::Unreadable(_) | CallError::TooLarge(_) => {
            ImportError::OutcomeUnknown(error.to_string())
        }
        CallError::Refused(refusal) if is_uncertain(refusal) => ImportError::OutcomeUnknown(refusal.to_string()),
        _ => of_certain(error, permission),
    }
}

/// A call that only reads, or whose effect is the same when repeated, failed.
pub(super) fn of_read(error: &CallError, permission: &str) -> ImportError {
    match error {
        CallError::NoReply(_) => ImportError::Unavailable(error.to_string()),
        CallError::Refused(refusal) if is_uncertain(refusal) => match refusal.after {
            after @ Some(_) => ImportError::Throttled { after, detail: refusal.to_string() },
            None => ImportError::Unavailable(refusal.to_string()),
        },
        _ => of_certain(error, permission),
    }
}

/// A message is there, but not all of it: whatever stopped it, the copy is neither there nor absent.
pub(super) fn of_completion(error: &CallError, permission: &str) -> ImportError {
    let why = of_read(error, permission);
    ImportError::OutcomeUnknown(format!("the message is there without all its attachments: {why}"))
}

/// Whether the mailbox refuses a file for good, for what it is.
pub(super) fn is_file_refused(error: &CallError) -> bool {
    error.refusal().is_some_and(|refusal| matches!(refused(refusal, ""), ImportError::Rejected(_)))
}

/// Whether a refusal says that the folder is not there.
pub(super) fn is_folder_gone(error: &CallError) -> bool {
    error.refusal().is_some_and(|refusal| refusal.status == StatusCode::NOT_FOUND && refusal.is_any(&FOLDER_GONE))
}

fn is_uncertain(refusal: &Refusal) -> bool {
    let failed = refusal.status.is_server_error() && !refusal.is_any(&FULL);
    failed || refusal.status == StatusCode::REQUEST_TIMEOUT
}

fn of_certain(error: &CallError, permission: &str) -> ImportError {
    match error {
        CallError::SignIn(error) => ImportError::from(error),
        CallError::LimitUsedUp(after) => ImportError::Throttled { after: Some(*after), detail: error.to_string() },
        CallError::NotSent(detail) => ImportError::Unavailable(detail.clone()),
        CallError::Refused(refusal) => refused(refusal, permission),
        CallError::NoReply(_) | CallError::Unreadable(_) | CallError::TooLarge(_) | CallError::Unexpected(_) => {
            ImportError::Unexpected(error.to_string())
        }
    }
}

fn refused(refusal: &Refusal, permission: &str) -> ImportError {
    if refusal.is_throttling() {
        return ImportError::Throttled { after: refusal.after, detail: refusal.to_string() };
    }
    if refusal.is_any(&FULL) {
        return ImportError::Forbidden(format!("the mailbox is full; give it more room: {refusal}"));
    }
    if refusal.is_any(&NO_MAILBOX) {
        let advice = "there is no mailbox that can be used; give the user a licence, or fix the mapping";
        return ImportError::Forbidden(format!("{advice}: {refusal}"));
    }
    if refusal.status == StatusCode::PAYLOAD_TOO_LARGE || refusal.is_any(&REJECTED) {
        return ImportError::Rejected(refusal.to_string());
    }
    match refusal.status {
        StatusCode::UNAUTHORIZED => {
            ImportError::Forbidden(format!("the access token is refused, a new one too: {refusal}"))
        }
        StatusCode::FORBIDDEN => ImportError::Forbidden(format!("{}: {refusal}", permission_advice(permission))),
        _ => ImportError::Unexpected(refusal.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    fn refusal(status: u16, code: &str) -> CallError {
        let body = format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#);
        let status = StatusCode::from_u16(status).unwrap();
        CallError::Refused(Refusal::of(status, &HeaderMap::new(), body.as_bytes(), chrono::DateTime::UNIX_EPOCH))
    }

    fn kind(error: &ImportError) -> &'static str {
        match error {
            ImportError::OutcomeUnknown(_) => "unknown",
            ImportError::Throttled { .. } => "throttled",
            ImportError::Unavailable(_) => "unavailable",
            ImportError::Forbidden(_) => "forbidden",
            ImportError::Rejected(_) => "rejected",
            ImportError::Incomplete { .. } => "incomplete",
            ImportError::Unexpected(_) => "unexpected",
        }
    }

    #[test]
    fn what_each_refusal_means_for_writing_and_reading() {
        for (status, code, write, read) in [
            (429, "ApplicationThrottled", "throttled", "throttled"),
            (500, "generalException", "unknown", "unavailable"),
            (503, "ApplicationThrottled", "unknown", "unavailable"),
            (400, "ApplicationThrottled", "throttled", "throttled"),
            (503, "serviceNotAvailable", "unknown", "unavailable"),
            (504, "", "unknown", "unavailable"),
            (507, "ErrorQuotaExceeded", "forbidden", "forbidden"),
            (408, "", "unknown", "unavailable"),
            (401, "InvalidAuthenticationToken", "forbidden", "forbidden"),
            (403, "ErrorAccessDenied", "forbidden", "forbidden"),
            (404, "MailboxNotEnabledForRESTAPI", "forbidden", "forbidden"),
            (413, "", "rejected", "rejected"),
            (400, "ErrorInvalidRecipients", "rejected", "rejected"),
            (400, "SomethingNew", "unexpected", "unexpected"),
            (302, "", "unexpected", "unexpected"),
        ] {
            let error = refusal(status, code);
            assert_eq!(kind(&of_write(&error, "P")), write, "{status} {code}");
            assert_eq!(kind(&of_read(&error, "P")), read, "{status} {code}");
            assert_eq!(kind(&of_completion(&error, "P")), "unknown", "{status} {code}");
        }
    }

    #[test]
    fn what_never_left_is_certain_and_what_had_no_answer_is_not() {
        assert_eq!(kind(&of_write(&CallError::NotSent(String::new()), "P")), "unavailable");
        assert_eq!(kind(&of_write(&CallError::NoReply(String::new()), "P")), "unknown");
        assert_eq!(kind(&of_write(&CallError::Unreadable(String::new()), "P")), "unknown");
        assert_eq!(kind(&of_read(&CallError::NoReply(String::new()), "P")), "unavailable");
    }

    #[test]
    fn the_missing_permission_is_named() {
        let error = of_write(&refusal(403, "ErrorAccessDenied"), "Mail.ReadWrite").to_string();
        assert!(error.contains("grant the application Mail.ReadWrite"), "{error}");
        assert!(error.contains("Application Mail.ReadWrite"), "{error}");
    }
}
