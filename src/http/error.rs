//! What became of a request that has no usable reply. Shows the scheme, host and path of its URL, never the query (which
//! holds signatures and numbers) and never a credential.

use std::error::Error;

use reqwest::{StatusCode, Url};

use super::remote::Remote;

/// Why a request has no usable reply.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HttpError {
    /// There was no connection, so the request certainly did not arrive.
    #[error("no connection to {url}: {cause}")]
    NotSent {
        url: String,
        /// Why, down to the first cause.
        cause: String,
    },
    /// The connection broke or time ran out before the reply began. The request may have arrived.
    #[error("no reply from {url}: {cause}")]
    OutcomeUnknown {
        url: String,
        /// Whether time ran out, rather than the connection.
        timed_out: bool,
        /// Why, down to the first cause.
        cause: String,
    },
    /// The reply's body is over the cap.
    #[error("the reply of {url} (status {status}) is larger than {cap} bytes")]
    BodyTooLarge {
        url: String,
        status: StatusCode,
        /// The cap, in bytes.
        cap: u64,
    },
    /// The reply's body is cut short, or can't be decoded.
    #[error("the reply of {url} (status {status}) broke off: {cause}")]
    BodyBroken {
        url: String,
        status: StatusCode,
        /// Whether time ran out, rather than the connection.
        timed_out: bool,
        /// Why, down to the first cause.
        cause: String,
    },
    /// The client or the request can't be built, so nothing was sent.
    #[error("the request can't be sent: {detail}")]
    Invalid { detail: String },
}

impl HttpError {
    /// Whether the request certainly did not arrive.
    pub fn is_certainly_unsent(&self) -> bool {
        matches!(self, Self::NotSent { .. } | Self::Invalid { .. })
    }

    /// Whether time ran out after the connection was made.
    pub fn timed_out(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { timed_out: true, .. } | Self::BodyBroken { timed_out: true, .. })
    }

    /// The status of the reply, where one began.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::BodyTooLarge { status, .. } | Self::BodyBroken { status, .. } => Some(*status),
            Self::NotSent { .. } | Self::OutcomeUnknown { .. } | Self::Invalid { .. } => None,
        }
    }

    /// A short name for metrics, one of a closed list.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotSent { .. } => "not_sent",
            Self::OutcomeUnknown { timed_out: true, .. } => "timed_out",
            Self::OutcomeUnknown { .. } => "dropped",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyBroken { .. } => "body_broken",
            Self::Invalid { .. } => "invalid",
        }
    }
}

/// The error of a request whose reply never began.
pub(super) fn of_request(url: String, error: &reqwest::Error) -> HttpError {
    let cause = causes(error);
    if error.is_builder() {
        HttpError::Invalid { detail: cause }
    } else if error.is_connect() {
        HttpError::NotSent { url, cause }
    } else {
        HttpError::OutcomeUnknown { url, timed_out: error.is_timeout(), cause }
    }
}

/// The error of a reply whose body does not end as it should.
pub(super) fn of_body(url: String, status: StatusCode, error: &reqwest::Error) -> HttpError {
    HttpError::BodyBroken { url, status, timed_out: error.is_timeout(), cause: causes(error) }
}

/// The error of a client or request that can't be built.
pub(super) fn unusable(error: &reqwest::Error) -> HttpError {
    HttpError::Invalid { detail: causes(error) }
}

/// The chain of causes below `error`, whose own text shows the whole URL. Its own kind where there is nothing below.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut causes: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = match cause.downcast_ref::<reqwest::Error>() {
            Some(nested) => kind(nested).to_owned(),
            None => cause.to_string(),
        };
        // Wrappers often repeat what they wrap.
        if causes.last() != Some(&text) {
            causes.push(text);
        }
        next = cause.source();
    }
    if causes.is_empty() { kind(error).to_owned() } else { causes.join(": ") }
}

fn kind(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "time ran out"
    } else if error.is_builder() {
        "it can't be built"
    } else if error.is_decode() {
        "the body can't be decoded"
    } else if error.is_body() {
        "the body broke off"
    } else {
        "the exchange failed"
    }
}

/// The URL as it may be shown. The path of a webhook is a secret as well.
pub(super) fn redacted(remote: Remote, url: &Url) -> String {
    let origin = url.origin().ascii_serialization();
    if remote == Remote::Notify { format!("{origin}/…") } else { format!("{origin}{}", url.path()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_has_neither_query_nor_credential_nor_fragment() {
        let url = Url::parse("https://ana:secret@archive.example:8443/a/b?sig=secret#secret").unwrap();
        assert_eq!(redacted(Remote::Source, &url), "https://archive.example:8443/a/b");
        assert_eq!(redacted(Remote::Notify, &url), "https://archive.example:8443/…");
    }

    #[test]
    fn only_what_never_left_is_certainly_unsent() {
        let url = || "https://archive.example/".to_owned();
        let cause = || "because".to_owned();
        assert!(HttpError::NotSent { url: url(), cause: cause() }.is_certainly_unsent());
        assert!(HttpError::Invalid { detail: cause() }.is_certainly_unsent());
        let dropped = HttpError::OutcomeUnknown { url: url(), timed_out: false, cause: cause() };
        assert!(!dropped.is_certainly_unsent());
        let status = StatusCode::CREATED;
        assert!(!HttpError::BodyBroken { url: url(), status, timed_out: false, cause: cause() }.is_certainly_unsent());
        assert!(!HttpError::BodyTooLarge { url: url(), status, cap: 1 }.is_certainly_unsent());
    }
}
