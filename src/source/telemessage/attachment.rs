//! The answer to a request for an attachment: its bytes, or an error.
//!
//! An error may come as 200 with a JSON envelope, and an attachment may be a JSON file. So a short JSON answer that reads
//! like an error is handed on as bytes with the suspicion beside them; the digest decides.

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap};

use super::verdict::{Verdicts, scrubbed};
use crate::http::{HttpError, StreamingReply};
use crate::source::page::split_page;
use crate::source::{AttachmentStream, SourceError};

/// The longest answer that may be an envelope, in bytes.
const MAX_ENVELOPE_BYTES: usize = 64 << 10;

type Body = BoxStream<'static, Result<Bytes, HttpError>>;

/// The attachment in an answer of status 200.
pub(super) async fn stream_of(reply: StreamingReply, verdicts: &Verdicts<'_>) -> AttachmentStream {
    let StreamingReply { headers, length, body, sent, .. } = reply;
    let (suspected_error, body) = if content_type(&headers).is_some_and(is_json) {
        let (head, rest) = peek(body).await;
        let envelope = rest.is_none().then(|| split_page(&head).ok()).flatten();
        let error = envelope.and_then(|(envelope, _)| verdicts.of_envelope(&scrubbed(envelope, &sent), &headers));
        (error, stream::iter([Ok(head)]).chain(stream::iter(rest).flatten()).boxed())
    } else {
        (None, body)
    };
    let bytes = body.map_err(|error| SourceError::Unavailable(error.to_string())).boxed();
    AttachmentStream { length, suspected_error, bytes }
}

/// The error in an answer of any other status. A body that breaks off, or is too long for an envelope, adds nothing.
pub(super) async fn error_of(status: StatusCode, reply: StreamingReply, verdicts: &Verdicts<'_>) -> SourceError {
    let (head, _) = peek(reply.body).await;
    verdicts.of_status(status, &reply.headers, &head)
}

/// Reads a body until it ends or is longer than an envelope. What is still to come follows, `None` where nothing is.
async fn peek(mut body: Body) -> (Bytes, Option<Body>) {
    let mut head = BytesMut::new();
    while head.len() <= MAX_ENVELOPE_BYTES {
        match body.next().await {
            Some(Ok(piece)) => head.extend_from_slice(&piece),
            Some(Err(error)) => return (head.freeze(), Some(stream::iter([Err(error)]).boxed())),
            None => return (head.freeze(), None),
        }
    }
    (head.freeze(), Some(body))
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE)?.to_str().ok()
}

/// Whether a media type, parameters and case aside, is JSON.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_recognised_whatever_its_parameters() {
        assert!(is_json("application/json"));
        assert!(is_json("Application/JSON ; charset=utf-8"));
        assert!(!is_json("application/json5"));
        assert!(!is_json("image/jpeg"));
    }

    fn body(pieces: Vec<Bytes>) -> Body {
        stream::iter(pieces.into_iter().map(Ok)).boxed()
    }

    #[tokio::test]
    async fn a_peek_is_bounded_and_loses_nothing() {
        let pieces =
            vec![Bytes::from(vec![b'a'; MAX_ENVELOPE_BYTES]), Bytes::from_static(b"b"), Bytes::from_static(b"c")];
        let (head, rest) = peek(body(pieces)).await;
        assert_eq!(head.len(), MAX_ENVELOPE_BYTES + 1);
        let rest: Vec<Bytes> = rest.unwrap().try_collect().await.unwrap();
        assert_eq!(rest, [Bytes::from_static(b"c")]);

        let (head, rest) = peek(body(vec![Bytes::from_static(b"{}")])).await;
        assert_eq!(head, Bytes::from_static(b"{}"));
        assert!(rest.is_none());
    }
}
