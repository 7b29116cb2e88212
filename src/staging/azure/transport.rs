//! Lets the Azure library send through the program's own client: its connections, time-outs, roots and proxies, its count
//! of requests, and its errors, which show no query.

use std::collections::HashMap;

use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::{HeaderName, HeaderValue, Headers};
use azure_core::http::{AsyncRawResponse, Body, Request, StatusCode};
use futures_util::TryStreamExt as _;
use reqwest::header::HeaderMap;

use crate::http::{HttpClient, HttpError, Remote};

/// The program's client as the Azure library sees it.
#[derive(Debug)]
pub(super) struct Sender {
    http: HttpClient,
}

impl Sender {
    pub(super) fn new(http: HttpClient) -> Self {
        Self { http }
    }
}

#[async_trait]
impl azure_core::http::HttpClient for Sender {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let method = reqwest::Method::from_bytes(request.method().as_ref().as_bytes())
            .map_err(|invalid| Error::new(ErrorKind::Other, invalid))?;
        let mut ours = self.http.request(method, request.url().clone());
        for (name, value) in request.headers().iter() {
            ours = ours.header(name.as_str(), value.as_str());
        }
        ours = match request.body() {
            Body::Bytes(bytes) => ours.body(bytes.clone()),
            Body::SeekableStream(_) => {
                return Err(Error::with_message(ErrorKind::Other, "bodies are sent as bytes alone"));
            }
        };
        let reply = self.http.stream(Remote::Staging, ours).await.map_err(error)?;
        let status = StatusCode::from(reply.status.as_u16());
        Ok(AsyncRawResponse::new(status, headers(&reply.headers), Box::pin(reply.body.map_err(error))))
    }
}

fn error(error: HttpError) -> Error {
    let kind = if error.is_certainly_unsent() { ErrorKind::Connection } else { ErrorKind::Io };
    Error::new(kind, error)
}

/// The headers that are text; no other one has a meaning here.
fn headers(headers: &HeaderMap) -> Headers {
    let text = headers.iter().filter_map(|(name, value)| Some((name, value.to_str().ok()?)));
    let owned = |(name, value): (&reqwest::header::HeaderName, &str)| {
        (HeaderName::from(name.as_str().to_owned()), HeaderValue::from(value.to_owned()))
    };
    Headers::from(text.map(owned).collect::<HashMap<_, _>>())
}
