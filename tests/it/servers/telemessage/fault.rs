//! What the server can be told to do wrong. Each fault corrupts one answer.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// A fault of any answer.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// A status, with an HTML body.
    Status(u16),
    /// A status, with an envelope that has a result code.
    StatusAndCode(u16, i64),
    /// 200, with an envelope that has a result code.
    Code(i64),
    /// The same, as the one element of an array.
    WrappedCode(i64),
    /// A status with this `Retry-After`.
    RetryAfter(u16, String),
    /// A result code with this `Retry-After`.
    CodeAndRetryAfter(i64, String),
    /// The connection is dropped before the answer begins.
    Drop,
    /// No answer, for as long as the client waits.
    Silence,
    /// A redirect to this URL.
    Redirect(String),
}

/// A fault of a page.
#[derive(Debug, Clone)]
pub(crate) enum PageFault {
    Answer(Fault),
    /// The connection is dropped halfway through the body.
    BreakOff,
    /// Silence halfway through the body, for as long as the client waits.
    Stall,
    /// The JSON ends halfway, and the answer ends well.
    Truncated,
    /// What is said to be gzip and isn't.
    BadGzip,
    /// HTML with status 200.
    NotJson,
    /// JSON that is no list response.
    ForeignJson,
    /// The page, with as much white space as makes it this long.
    Padded(usize),
    /// The page as the one element of an array.
    Wrapped,
    /// The page with this in place of `lastId`, and without the end.
    LastId(Option<i64>),
    /// Items whose ids can't be read, this `lastId`, and not the end.
    Unnumbered(i64),
    /// These items, this `lastId`, and not the end.
    Items(Vec<String>, i64),
    /// `invalidToken: true`.
    InvalidToken,
    /// The page with this as its first item.
    WithItem(String),
    /// The page with each of its items twice.
    Doubled,
}

/// A fault of an attachment.
#[derive(Debug, Clone)]
pub(crate) enum MediaFault {
    Answer(Fault),
    /// The connection is dropped halfway through the bytes.
    BreakOff,
    /// Silence halfway through the bytes, for as long as the client waits.
    Stall,
    /// Half of the bytes, then now and then a byte, for as long as the client waits.
    Drip,
    /// Other bytes of the same length.
    WrongBytes,
    /// A `Content-Length` that is this much more than the bytes.
    LengthOff(usize),
}

/// Chance, which spoils some answers: what passes, and comes back rarely enough for a few tries.
#[derive(Debug)]
pub(super) struct Chance {
    dice: TestRng,
    sides: u32,
    pub(super) spoilt: usize,
}

impl Chance {
    pub(super) fn new(seed: u64, sides: u32) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Self { dice: TestRng::from_seed(RngAlgorithm::ChaCha, &bytes), sides, spoilt: 0 }
    }

    pub(super) fn page_fault(&mut self) -> Option<PageFault> {
        let choice = self.throw()?;
        Some(match choice % 6 {
            0 => PageFault::BreakOff,
            1 => PageFault::Truncated,
            2 => PageFault::BadGzip,
            _ => PageFault::Answer(Self::answer(choice)),
        })
    }

    pub(super) fn media_fault(&mut self) -> Option<MediaFault> {
        let choice = self.throw()?;
        Some(match choice % 4 {
            0 => MediaFault::BreakOff,
            1 => MediaFault::WrongBytes,
            _ => MediaFault::Answer(Self::answer(choice)),
        })
    }

    fn answer(choice: u32) -> Fault {
        [Fault::Status(500), Fault::Status(503), Fault::Code(400), Fault::Drop, Fault::RetryAfter(429, "0".to_owned())]
            [choice as usize / 12 % 5]
            .clone()
    }

    /// A choice of the fault, where this answer is to have one.
    fn throw(&mut self) -> Option<u32> {
        if !self.dice.next_u32().is_multiple_of(self.sides) {
            return None;
        }
        self.spoilt += 1;
        Some(self.dice.next_u32())
    }
}

impl From<Fault> for PageFault {
    fn from(fault: Fault) -> Self {
        Self::Answer(fault)
    }
}

impl From<Fault> for MediaFault {
    fn from(fault: Fault) -> Self {
        Self::Answer(fault)
    }
}

impl Fault {
    /// The answer that this fault makes of any.
    pub(super) async fn answer(&self) -> Response {
        match self {
            Self::Status(status) => (code(*status), [html()], "<html><body>Oh no</body></html>").into_response(),
            Self::StatusAndCode(status, result_code) => {
                (code(*status), [json()], envelope(*result_code)).into_response()
            }
            Self::Code(result_code) => ([json()], envelope(*result_code)).into_response(),
            Self::WrappedCode(result_code) => ([json()], format!("[{}]", envelope(*result_code))).into_response(),
            Self::RetryAfter(status, value) => (code(*status), [retry_after(value)]).into_response(),
            Self::CodeAndRetryAfter(result_code, value) => {
                ([json(), retry_after(value)], envelope(*result_code)).into_response()
            }
            Self::Drop => drop_the_connection(),
            Self::Silence => std::future::pending().await,
            Self::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to.clone())]).into_response(),
        }
    }
}

/// Ends the task that serves this connection, and with it the connection. The panic hook stays silent.
pub(super) fn drop_the_connection() -> ! {
    std::panic::resume_unwind(Box::new("the connection is dropped on command"))
}

/// What comes after half of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    BreakOff,
    Stall,
    Drip,
}

/// The first half of `body`, announced whole.
pub(super) fn half(mut headers: HeaderMap, body: &Bytes, then: Then) -> Response {
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let first = body.slice(..body.len() / 2);
    let rest = stream::repeat(Bytes::from_static(b"x")).then(move |drop| async move {
        // One more turn for the connection, in which it sends the first half.
        tokio::task::yield_now().await;
        match then {
            Then::BreakOff => Err(std::io::Error::other("broken off on command")),
            Then::Stall => std::future::pending().await,
            Then::Drip => {
                let pause = std::time::Duration::from_millis(20);
                tokio::time::interval_at(tokio::time::Instant::now() + pause, pause).tick().await;
                Ok(drop)
            }
        }
    });
    let pieces = stream::iter([Ok(first)]).chain(rest);
    (headers, Body::from_stream(pieces)).into_response()
}

/// `body`, announced `more` bytes longer than it is.
pub(super) fn with_length_off(mut headers: HeaderMap, body: Bytes, more: usize) -> Response {
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len() + more));
    (headers, Body::from_stream(stream::iter([Ok::<_, std::io::Error>(body)]))).into_response()
}

fn envelope(result_code: i64) -> String {
    format!(
        r#"{{"resultCode":{result_code},"resultDescription":"Failed for 15550100","invalidToken":false,"messages":null}}"#
    )
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("a test names a status that exists")
}

pub(super) fn json() -> (header::HeaderName, String) {
    (header::CONTENT_TYPE, "application/json;charset=UTF-8".to_owned())
}

pub(super) fn html() -> (header::HeaderName, String) {
    (header::CONTENT_TYPE, "text/html".to_owned())
}

fn retry_after(value: &str) -> (header::HeaderName, String) {
    (header::RETRY_AFTER, value.to_owned())
}
