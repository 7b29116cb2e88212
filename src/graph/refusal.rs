//! Why a call has no usable reply.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::http::{Reply, retry_after};
use crate::sign_in::SignInError;

/// The longest part of a remote message that is kept, in characters.
const MAX_MESSAGE: usize = 300;

/// What an administrator is to do where Graph refuses for want of a permission.
pub fn permission_advice(permission: &str) -> String {
    let rbac = match permission {
        "Mail.ReadWrite" => ", or give it the RBAC role Application Mail.ReadWrite for this mailbox",
        _ => "",
    };
    format!("grant the application {permission}, with an administrator's consent{rbac}")
}

/// Why a call has no usable reply.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// There is no token, so nothing was sent.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// The mailbox's budget is used up for a while, so nothing was sent.
    #[error("the mailbox's limits are used up for {} s", .0.as_secs())]
    LimitUsedUp(Duration),
    /// The call certainly did not arrive.
    #[error("{0}")]
    NotSent(String),
    /// The call may have arrived and may have had its effect.
    #[error("{0}")]
    NoReply(String),
    /// Graph refused, or failed.
    #[error("{0}")]
    Refused(Refusal),
    /// A success whose reply can't be read: the call had its effect.
    #[error("a reply that can't be read: {0}")]
    Unreadable(String),
    /// A success whose reply is larger than this call takes: it had its effect.
    #[error("a reply that is too large: {0}")]
    TooLarge(String),
    /// An unexpected error, before anything was sent.
    #[error("{0}")]
    Unexpected(String),
}

impl CallError {
    /// The refusal, if it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether Graph refused with this code.
    pub fn is(&self, code: &str) -> bool {
        self.refusal().is_some_and(|refusal| refusal.is(code))
    }
}

/// A reply that isn't a success.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub status: StatusCode,
    /// Graph's code, such as `ErrorItemNotFound`; empty where there is none.
    pub code: String,
    /// Graph's message, truncated.
    pub message: String,
    /// The pause it asks for.
    pub after: Option<Duration>,
    /// Ids for Microsoft's support: ours and Graph's.
    ids: String,
}

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    error: ErrorBody,
}

#[derive(Deserialize, Default)]
struct ErrorBody {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Refusal {
    pub(super) fn read(reply: &Reply, client_request_id: &str, now: DateTime<Utc>) -> Self {
        let graphs = request_id(&reply.headers).unwrap_or("none");
        Self {
            ids: format!("request-id {graphs}, client-request-id {client_request_id}"),
            ..Self::of(reply.status, &reply.headers, &reply.body, now)
        }
    }

    /// The refusal in a part of a batch.
    pub(crate) fn of(status: StatusCode, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Self {
        let Body { error } = serde_json::from_slice(body).unwrap_or_default();
        let cut = |text: &str| -> String {
            text.chars().filter(|character| !character.is_control()).take(MAX_MESSAGE).collect()
        };
        Self {
            status,
            code: cut(&error.code),
            message: cut(&error.message),
            after: retry_after(headers, now),
            ids: format!("request-id {}", request_id(headers).unwrap_or("none")),
        }
    }

    pub(super) fn without_body(status: StatusCode, detail: String) -> Self {
        Self { status, code: String::new(), message: detail, after: None, ids: "request-id none".to_owned() }
    }

    /// Whether Graph named this code.
    pub fn is(&self, code: &str) -> bool {
        self.code.eq_ignore_ascii_case(code)
    }

    /// Whether Graph named one of these codes.
    pub fn is_any(&self, codes: &[&str]) -> bool {
        codes.iter().any(|code| self.is(code))
    }

    /// Whether Graph asks for a pause and certainly did nothing.
    pub fn is_throttling(&self) -> bool {
        let named = self.is_any(&["ApplicationThrottled", "TooManyRequests"]);
        self.status == StatusCode::TOO_MANY_REQUESTS || (self.status.is_client_error() && named)
    }

    /// Whether Graph, or what lies behind it, is overloaded (503, 504).
    pub fn is_overload(&self) -> bool {
        matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status.as_u16())?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        write!(f, " ({})", self.ids)
    }
}

/// Graph's id of a request.
pub(super) fn request_id(headers: &HeaderMap) -> Option<&str> {
    headers.get("request-id").and_then(|id| id.to_str().ok())
}
