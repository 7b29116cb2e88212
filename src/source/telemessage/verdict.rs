//! What an answer of TeleMessage means: one place for transport, HTTP statuses and result codes.
//!
//! | Signal | Verdict |
//! |---|---|
//! | 401, 403; codes 300, 301, 308, 309, beside whatever status | [`SourceError::Refused`] |
//! | `invalidToken` | [`SourceError::SessionEnded`] |
//! | 429; code 306; 503 with `Retry-After` | [`SourceError::Throttled`] |
//! | 408, 5xx; code 400; no connection, a drop | [`SourceError::Unavailable`] |
//! | a list that times out, breaks off, is over the cap or can't be split | [`SourceError::PageUnreadable`] |
//! | 404 on an attachment | [`SourceError::AttachmentNotFound`] |
//! | 410 and codes 48, 49 on an attachment | [`SourceError::AttachmentGone`] |
//! | a redirect | [`SourceError::Contract`] |
//! | anything else | [`SourceError::Unexpected`] |

use std::ops::Range;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};

use crate::http::{HttpError, Reply, retry_after};
use crate::item::ItemId;
use crate::item::phone_number::mask_numbers_in;
use crate::item::text::single_line;
use crate::scrub::Scrubber;
use crate::source::page::{Envelope, split_page};
use crate::source::{Cursor, SourceError};

/// What was requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestKind {
    LogIn,
    Messages(Cursor),
    Attachment(ItemId, usize),
}

/// Judges the answers to one request.
pub(super) struct Verdicts<'a> {
    pub(super) source_name: String,
    pub(super) username: &'a str,
    pub(super) now: DateTime<Utc>,
    pub(super) asked: RequestKind,
}

impl Verdicts<'_> {
    /// Of an exchange without a whole answer.
    pub(super) fn of_transport(&self, error: &HttpError) -> SourceError {
        if let Some(status) = error.status().filter(|status| *status != StatusCode::OK) {
            return self.of_status(status, &HeaderMap::new(), &[]);
        }
        let body_failed = matches!(error, HttpError::BodyTooLarge { .. } | HttpError::BodyBroken { .. });
        match (self.asked, error) {
            (_, HttpError::Invalid { .. }) => SourceError::Unexpected(error.to_string()),
            (RequestKind::Messages(cursor), _) if body_failed || error.timed_out() => {
                SourceError::PageUnreadable { cursor, detail: error.to_string() }
            }
            _ => SourceError::Unavailable(error.to_string()),
        }
    }

    /// Of a status other than 200. `body` may hold an envelope, which then says more.
    pub(super) fn of_status(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> SourceError {
        let envelope = split_page(body).map(|(envelope, _)| envelope).unwrap_or_default();
        let detail = self.detail(&format!("status {status}"), &envelope);
        let attachment = matches!(self.asked, RequestKind::Attachment(..));
        match status.as_u16() {
            _ if envelope.result_code.is_some_and(is_credential_code) => self.refused(detail),
            401 | 403 => self.refused(detail),
            429 => self.throttled(headers, detail),
            503 if headers.contains_key(RETRY_AFTER) => self.throttled(headers, detail),
            408 | 500..=599 => SourceError::Unavailable(detail),
            404 if attachment => SourceError::AttachmentNotFound(detail),
            410 if attachment => SourceError::AttachmentGone(detail),
            300..=399 => Self::redirected(headers, &detail),
            _ => self.of_envelope(&envelope, headers).unwrap_or(SourceError::Unexpected(detail)),
        }
    }

    /// Of an envelope; `None` where it reports success, or nothing.
    pub(super) fn of_envelope(&self, envelope: &Envelope, headers: &HeaderMap) -> Option<SourceError> {
        let code = envelope.result_code.unwrap_or_default();
        let detail = || self.detail(&format!("result code {code}"), envelope);
        let attachment = matches!(self.asked, RequestKind::Attachment(..));
        match code {
            code if is_credential_code(code) => Some(self.refused(detail())),
            _ if envelope.invalid_token => Some(SourceError::SessionEnded),
            0 => None,
            306 => Some(self.throttled(headers, detail())),
            400 => Some(SourceError::Unavailable(detail())),
            48 | 49 if attachment => Some(SourceError::AttachmentGone(detail())),
            _ => Some(SourceError::Unexpected(detail())),
        }
    }

    /// Reads the answer to a list request, whose status is 200: its envelope, and where its items lie.
    pub(super) fn read(&self, reply: &Reply) -> Result<(Envelope, Vec<Range<usize>>), SourceError> {
        let (envelope, items) = split_page(&reply.body).map_err(|error| self.unreadable(error.to_string()))?;
        let envelope = scrubbed(envelope, &reply.sent);
        match self.of_envelope(&envelope, &reply.headers) {
            Some(error) => Err(error),
            // JSON from something else, such as a gateway, is not an empty page.
            None if envelope.result_code.is_none() => Err(self.unreadable("it has no resultCode".to_owned())),
            None => Ok((envelope, items)),
        }
    }

    fn unreadable(&self, detail: String) -> SourceError {
        match self.asked {
            RequestKind::Messages(cursor) => SourceError::PageUnreadable { cursor, detail },
            RequestKind::LogIn | RequestKind::Attachment(..) => {
                SourceError::Unavailable(format!("the answer to {} can't be read: {detail}", self.subject()))
            }
        }
    }

    fn refused(&self, detail: String) -> SourceError {
        SourceError::Refused {
            source_name: self.source_name.clone(),
            credential: format!("{} (source.username and source.password)", self.username),
            detail,
        }
    }

    fn throttled(&self, headers: &HeaderMap, detail: String) -> SourceError {
        SourceError::Throttled { after: retry_after(headers, self.now), until: None, detail }
    }

    fn redirected(headers: &HeaderMap, detail: &str) -> SourceError {
        let target = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let origin = target.and_then(|target| reqwest::Url::parse(target).ok());
        let to = origin.map_or("another path".to_owned(), |url| url.origin().ascii_serialization());
        // It would be the same answer for the next page and the next attachment, and says nothing about what is there.
        SourceError::Contract(format!(
            "{detail}: a redirect to {to} is not followed, so that the credential stays where it belongs"
        ))
    }

    fn detail(&self, signal: &str, envelope: &Envelope) -> String {
        let said = envelope.result_description.as_deref().map(quotable).filter(|said| !said.is_empty());
        let said = said.map(|said| format!(" ({said})")).unwrap_or_default();
        let code = envelope.result_code.filter(|code| *code != 0 && !signal.starts_with("result code"));
        let code = code.map(|code| format!(", result code {code}")).unwrap_or_default();
        format!("{signal}{code}{said} for {}", self.subject())
    }

    fn subject(&self) -> String {
        match self.asked {
            RequestKind::LogIn => "the log-in".to_owned(),
            RequestKind::Messages(cursor) => format!("the page after cursor {cursor}"),
            RequestKind::Attachment(item, index) => format!("attachment {} of item {item}", index + 1),
        }
    }
}

/// The envelope of a reply with status 200, whose words may repeat what was sent.
pub(super) fn scrubbed(mut envelope: Envelope, sent: &Scrubber) -> Envelope {
    if let Some(description) = &mut envelope.result_description {
        *description = sent.scrub(description).into_owned();
    }
    envelope
}

/// Codes that refuse the credential. They win over whatever else an answer says: repetition locks accounts out.
fn is_credential_code(code: i64) -> bool {
    matches!(code, 300 | 301 | 308 | 309)
}

/// A description as it may stand in a log: short, on one line, without numbers that could be a phone's.
fn quotable(description: &str) -> String {
    const MAX_LENGTH: usize = 160;
    let short: String = description.trim().chars().take(MAX_LENGTH).collect();
    mask_numbers_in(&single_line(&short))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn verdicts(asked: RequestKind) -> Verdicts<'static> {
        Verdicts { source_name: "TeleMessage".to_owned(), username: "ana", now: DateTime::UNIX_EPOCH, asked }
    }

    fn coded(code: i64) -> Envelope {
        Envelope { result_code: Some(code), ..Envelope::default() }
    }

    #[test]
    fn a_credential_code_wins_over_every_other_sign() {
        let list = verdicts(RequestKind::Messages(Cursor(1)));
        let envelope = Envelope { invalid_token: true, ..coded(301) };
        assert!(matches!(list.of_envelope(&envelope, &HeaderMap::new()), Some(SourceError::Refused { .. })));
        for status in [StatusCode::BAD_REQUEST, StatusCode::TOO_MANY_REQUESTS, StatusCode::INTERNAL_SERVER_ERROR] {
            let verdict = list.of_status(status, &HeaderMap::new(), br#"[{"resultCode":308}]"#);
            assert!(matches!(verdict, SourceError::Refused { .. }), "{status}: {verdict}");
        }
    }

    #[test]
    fn a_status_outside_the_table_is_read_by_its_code() {
        let list = verdicts(RequestKind::Messages(Cursor(1)));
        let of = |body: &[u8]| list.of_status(StatusCode::BAD_REQUEST, &HeaderMap::new(), body);
        assert!(matches!(of(br#"{"resultCode":400}"#), SourceError::Unavailable(_)));
        assert!(matches!(of(br#"{"resultCode":306}"#), SourceError::Throttled { .. }));
        assert!(matches!(of(br#"{"resultCode":7}"#), SourceError::Unexpected(_)));
        assert!(matches!(of(b"<html>"), SourceError::Unexpected(_)));
    }

    #[test]
    fn gone_is_for_attachments_alone() {
        let list = verdicts(RequestKind::Messages(Cursor(1)));
        let attachment = verdicts(RequestKind::Attachment(ItemId(7), 0));
        for code in [48, 49] {
            let of = |verdicts: &Verdicts<'_>| verdicts.of_envelope(&coded(code), &HeaderMap::new());
            assert!(matches!(of(&attachment), Some(SourceError::AttachmentGone(_))));
            assert!(matches!(of(&list), Some(SourceError::Unexpected(_))));
        }
        for status in [StatusCode::NOT_FOUND, StatusCode::GONE] {
            assert!(matches!(list.of_status(status, &HeaderMap::new(), b""), SourceError::Unexpected(_)));
        }
    }

    #[test]
    fn a_pause_asked_for_with_503_is_a_pause() {
        let list = verdicts(RequestKind::Messages(Cursor(1)));
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("9"))]);
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let nine = Some(std::time::Duration::from_secs(9));
        assert!(matches!(list.of_status(status, &headers, b""), SourceError::Throttled { after, .. } if after == nine));
        assert!(matches!(list.of_status(status, &HeaderMap::new(), b""), SourceError::Unavailable(_)));
    }

    #[test]
    fn what_the_source_says_is_quoted_safely() {
        assert_eq!(quotable(" User 15550100\nis\tlocked, code 300 "), "User ••••• is locked, code 300");
        assert_eq!(quotable("+4915550100123"), "+•••••");
        assert_eq!(quotable("call +49 (155) 501-00123 now, 12 times"), "call +••••• now, 12 times");
        assert_eq!(quotable(&"x".repeat(1000)).len(), 160);
        let envelope = Envelope { result_description: Some("Locked".to_owned()), ..coded(309) };
        let error = verdicts(RequestKind::LogIn).of_envelope(&envelope, &HeaderMap::new()).unwrap();
        let shown = error.to_string();
        assert!(shown.contains("ana (source.username and source.password)"), "{shown}");
        assert!(shown.contains("result code 309 (Locked) for the log-in"), "{shown}");
    }
}
