//! What an answer of the service means to staging, and what to do about it.

use std::error::Error as _;
use std::fmt;

use azure_core::Error;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{RawResponse, StatusCode};
use azure_storage_blob::StorageError;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};

use super::sas;
use super::{BlobName, StagingError};
use crate::clock::SharedClock;
use crate::http::{HttpError, retry_after};
use crate::item::text::single_line;
use crate::secret::SecretReader;
use crate::sign_in::SignInError;

/// The most characters of the service's own words that are shown.
const MAX_CHARACTERS: usize = 400;

/// Whether the service answered with this error code.
pub(super) fn is(error: &Error, code: &str) -> bool {
    code_of(error) == Some(code)
}

/// Whether a blob was not created because its name is taken. `InvalidBlockList` is what an upload hears whose blocks
/// another upload to the same name has swept away with its commit.
pub(super) fn is_taken(error: &Error) -> bool {
    matches!(
        code_of(error),
        Some("BlobAlreadyExists" | "ConditionNotMet" | "InvalidBlockList" | "BlobImmutableDueToPolicy")
    )
}

fn code_of(error: &Error) -> Option<&str> {
    match error.kind() {
        ErrorKind::HttpResponse { error_code, .. } => error_code.as_deref(),
        _ => None,
    }
}

/// Classifies the errors of one container.
#[derive(Clone)]
pub(super) struct Faults {
    container: String,
    sas: Option<SecretReader>,
    clock: SharedClock,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("container", &self.container).finish_non_exhaustive()
    }
}

impl Faults {
    pub(super) fn new(container: &str, sas: Option<SecretReader>, clock: SharedClock) -> Self {
        Self { container: container.to_owned(), sas, clock }
    }

    /// What `error`, an answer about the blob `name`, means.
    pub(super) fn of(&self, error: Error, name: Option<&BlobName>) -> StagingError {
        match error.kind() {
            ErrorKind::HttpResponse { status, raw_response, .. } => {
                let (status, after) = (*status, raw_response.as_deref().and_then(|raw| self.pause(raw)));
                let code = code_of(&error).unwrap_or_default().to_owned();
                let words = self.words(status, &code, error);
                self.of_answer(status, &code, after, words, name)
            }
            _ => self.of_no_answer(&error),
        }
    }

    /// What an error of creating the container means.
    pub(super) fn of_creation(&self, error: Error) -> StagingError {
        match self.of(error, None) {
            StagingError::Refused(words) => StagingError::Refused(format!(
                "the container {} does not exist, and creating it is refused: create it, or grant the right to ({words})",
                self.container
            )),
            other => other,
        }
    }

    fn of_answer(
        &self,
        status: StatusCode,
        code: &str,
        after: Option<std::time::Duration>,
        words: String,
        name: Option<&BlobName>,
    ) -> StagingError {
        let refused = |advice: &str| StagingError::Refused(format!("{words}: {advice}"));
        match (u16::from(status), code, name) {
            (429 | 503, ..) => StagingError::Throttled { after, until: None, detail: words },
            (408 | 500.., ..) | (409, "ContainerBeingDeleted" | "AccountBeingCreated" | "PendingCopyOperation", _) => {
                StagingError::Unavailable(words)
            }
            (_, code, Some(name)) if code.contains("Immutable") || code.contains("LegalHold") => {
                StagingError::Immutable { name: name.clone(), detail: words }
            }
            (404, "ContainerNotFound", _) => {
                refused(&format!("create the container {}, or let the daemon do so (`check --online`)", self.container))
            }
            (404, _, Some(name)) => StagingError::NotFound { name: name.clone() },
            (412, "ConditionNotMet", Some(name)) => {
                StagingError::Unavailable(format!("{name} changed while it was read"))
            }
            (416, _, Some(name)) => {
                StagingError::Damaged { name: name.clone(), detail: "it ends before the range".to_owned() }
            }
            (401 | 403, ..) => refused(self.advice(code)),
            (300..=399, ..) | (404, _, None) => refused("correct staging.endpoint and staging.container"),
            (409, "BlobArchived" | "BlobBeingRehydrated", _) => {
                refused("it is in the archive tier: rehydrate it, and leave the container out of that lifecycle rule")
            }
            (409 | 412, code, _) if code.contains("Lease") => refused("somebody holds a lease on it: break the lease"),
            _ => refused("unexpected answer"),
        }
    }

    fn advice(&self, code: &str) -> &'static str {
        let with_sas = self.sas.is_some();
        match code {
            "AuthenticationFailed" if with_sas => {
                "staging.sas has expired, isn't valid yet, or isn't of this account; check this machine's clock, or put a new \
                 signature in its place"
            }
            "AuthenticationFailed" => "check staging.endpoint, microsoft.tenant_id and this machine's clock",
            "AuthorizationFailure" if with_sas => {
                "staging.sas may have expired or be of another account, or the account's firewall keeps this machine out: \
                 put a new signature in its place, or allow this machine's address or network"
            }
            "AuthorizationFailure" => {
                "the account's firewall may keep this machine out: allow its address or network, or use a private endpoint"
            }
            "AuthorizationSourceIPMismatch" => "staging.sas is not for this machine's address",
            "AuthorizationProtocolMismatch" => "staging.sas is for https alone: use https in staging.endpoint",
            "KeyBasedAuthenticationNotPermitted" => {
                "the account doesn't accept keys: use staging.auth = \"entra\", or a signature that a user delegates"
            }
            "AccountIsDisabled" => "the account is disabled: enable it",
            _ if with_sas => {
                "staging.sas lacks a right: read, add, create, write, delete and list are needed (sp=racwdl), on the container"
            }
            _ => {
                "a right is missing: give the application the role \"Storage Blob Data Contributor\" on the container or account"
            }
        }
    }

    /// Nothing was answered: the way there is broken, or nobody may go it.
    fn of_no_answer(&self, error: &Error) -> StagingError {
        let words = self.redacted(&chain(error));
        let causes = || std::iter::successors(error.source(), |&cause| cause.source());
        if let Some(sign_in) = causes().find_map(|cause| cause.downcast_ref::<SignInError>()) {
            return match sign_in {
                SignInError::Throttled { after, .. } => {
                    StagingError::Throttled { after: *after, until: None, detail: words }
                }
                SignInError::Unavailable(_) => StagingError::Unavailable(words),
                SignInError::Refused { .. } | SignInError::Unusable(_) | SignInError::Unexpected(_) => {
                    StagingError::Refused(words)
                }
            };
        }
        let is_invalid = causes().any(|cause| matches!(cause.downcast_ref(), Some(HttpError::Invalid { .. })));
        match error.kind() {
            ErrorKind::Credential => StagingError::Refused(words),
            _ if is_invalid => StagingError::Refused(words),
            _ => StagingError::Unavailable(words),
        }
    }

    /// What the service said: status, code, the first line of its message, and the id by which Microsoft finds the request.
    fn words(&self, status: StatusCode, code: &str, error: Error) -> String {
        let mut words = format!("HTTP status {}", u16::from(status));
        if !code.is_empty() {
            words = format!("{words}, {code}");
        }
        if let Ok(said) = StorageError::try_from(error) {
            let message = said.message.as_deref().and_then(|message| message.lines().next());
            let detail = said.authentication_error_detail;
            for line in message.into_iter().chain(detail.as_deref()) {
                words = format!("{words}: {}", single_line(line));
            }
            if let Some(id) = said.request_id {
                words = format!("{} (request {})", cut(&words), single_line(&id));
            }
        }
        self.redacted(cut(&words))
    }

    fn redacted(&self, text: &str) -> String {
        match &self.sas {
            Some(source) => sas::redacted(text, source),
            None => text.to_owned(),
        }
    }

    /// The pause that an answer asks for.
    fn pause(&self, answer: &RawResponse) -> Option<std::time::Duration> {
        let value = text(answer.headers(), "retry-after")?;
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(value).ok()?)]);
        retry_after(&headers, self.clock.now())
    }
}

fn text<'a>(headers: &'a Headers, name: &'static str) -> Option<&'a str> {
    headers.get_optional_str(&HeaderName::from_static(name))
}

fn cut(words: &str) -> &str {
    match words.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => words.get(..end).unwrap_or(words),
        None => words,
    }
}

/// The error and all that caused it: the library hides the cause of a request that found no way.
fn chain(error: &Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let mut words: Vec<String> = vec![error.to_string()];
    for cause in causes.map(ToString::to_string) {
        // Wrappers often repeat what they wrap.
        if words.last() != Some(&cause) {
            words.push(cause);
        }
    }
    words.join(": ")
}
