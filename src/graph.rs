//! Microsoft Graph on the wire: one authenticated call, and its refusal parsed.
//!
//! Every call carries an id of ours (`client-request-id`) and asks for immutable ids. A call that is refused with 401 is
//! sent once more with a new token; beyond that nothing is repeated here. Errors distinguish what certainly did not happen
//! from what may have. The caller decides what a refusal means.

use std::sync::Arc;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::clock::SharedClock;
use crate::http::{HttpClient, HttpError, Remote, Reply};
use crate::json_fault::JsonFault;
use crate::send_permit::SendPermit;
use crate::sign_in::{AccessToken, Audience, Endpoints, SignIn};

pub mod batch;
mod refusal;

pub use refusal::{CallError, Refusal, permission_advice};

/// The largest reply that is read unless a call says otherwise, in bytes.
const MAX_REPLY: u64 = 4 * 1024 * 1024;

/// What is not encoded in the value of a query parameter (RFC 3986, 2.3, and what `OData` uses as punctuation).
const QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'$').remove(b',').remove(b'/');

/// A version of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The production version.
    V1,
    Beta,
}

impl Version {
    fn path(self) -> &'static str {
        match self {
            Self::V1 => "v1.0",
            Self::Beta => "beta",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Call {
    method: Method,
    url: Url,
    body: Option<(&'static str, Bytes)>,
    largest_reply: u64,
    headers: HeaderMap,
    signed_in: bool,
    permit: Option<SendPermit>,
}

impl Call {
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// A POST of JSON.
    pub fn post(url: Url, json: Bytes) -> Self {
        Self { body: Some(("application/json", json)), ..Self::new(Method::POST, url) }
    }

    /// The same call of another URL.
    #[must_use]
    pub fn at(self, url: Url) -> Self {
        Self { url, ..self }
    }

    pub fn post_text(url: Url, text: Bytes) -> Self {
        Self { body: Some(("text/plain", text)), ..Self::new(Method::POST, url) }
    }

    /// A PUT of a part of a file to an upload session, whose URL is the permission: it carries no token.
    pub fn put_range(url: Url, part: Bytes, range: &str) -> Self {
        let mut call = Self { body: Some(("application/octet-stream", part)), ..Self::new(Method::PUT, url) };
        if let Ok(range) = HeaderValue::from_str(range) {
            call.headers.insert(reqwest::header::CONTENT_RANGE, range);
        }
        call.signed_in = false;
        call
    }

    /// A DELETE of an upload session, whose URL is the permission: it carries no token.
    pub fn cancel(url: Url) -> Self {
        Self { signed_in: false, ..Self::new(Method::DELETE, url) }
    }

    fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            body: None,
            largest_reply: MAX_REPLY,
            headers: HeaderMap::new(),
            signed_in: true,
            permit: None,
        }
    }

    /// The same call, whose reply may have so many bytes.
    #[must_use]
    pub fn with_largest_reply(self, bytes: u64) -> Self {
        Self { largest_reply: bytes, ..self }
    }

    /// The same call, which is not sent where `permit` doesn't allow it at that moment.
    #[must_use]
    pub fn only_with(self, permit: &SendPermit) -> Self {
        Self { permit: Some(permit.clone()), ..self }
    }

    /// The size of its body, in bytes.
    pub fn body_length(&self) -> u64 {
        self.body.as_ref().map_or(0, |(_, body)| body.len() as u64)
    }
}

/// Graph, as one application sees it.
#[derive(Debug, Clone)]
pub struct Graph {
    http: HttpClient,
    sign_in: Arc<SignIn>,
    clock: SharedClock,
}

impl Graph {
    /// Graph at the endpoint of `sign_in`.
    pub fn new(http: HttpClient, sign_in: Arc<SignIn>, clock: SharedClock) -> Self {
        Self { http, sign_in, clock }
    }

    /// Where it is.
    pub fn endpoints(&self) -> &Endpoints {
        self.sign_in.endpoints()
    }

    pub fn sign_in(&self) -> &Arc<SignIn> {
        &self.sign_in
    }

    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// A URL below a version; `path` holds one segment each, encoded here, and so do the values of `query`.
    pub fn url(&self, version: Version, path: &[&str], query: &[(&str, &str)]) -> Result<Url, CallError> {
        let mut url = self.endpoints().graph().clone();
        // A dot segment would escape from its position in the path.
        if path.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return Err(CallError::Unexpected(format!("{path:?} is not a path of Graph")));
        }
        url.path_segments_mut()
            .map_err(|()| CallError::Unexpected("Graph's origin takes no path".to_owned()))?
            .clear()
            .push(version.path())
            .extend(path);
        if !query.is_empty() {
            let pairs: Vec<String> =
                query.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY))).collect();
            url.set_query(Some(&pairs.join("&")));
        }
        Ok(url)
    }

    /// A link from a reply (`@odata.nextLink`), refused where it leads away from Graph: the token goes along.
    pub fn link(&self, text: &str) -> Result<Url, CallError> {
        let url = Url::parse(text).map_err(|_| CallError::Unexpected("a link that is no URL".to_owned()))?;
        if url.origin() != self.endpoints().graph().origin() {
            let origin = url.origin().ascii_serialization();
            return Err(CallError::Unexpected(format!("a link that leads away from Graph, to {origin}")));
        }
        Ok(url)
    }

    /// Makes a call; a reply that isn't a success is a [`CallError::Refused`].
    pub async fn call(&self, remote: Remote, call: &Call) -> Result<Reply, CallError> {
        if !call.signed_in {
            return self.send(remote, call, None).await;
        }
        let scope = self.endpoints().scope(Audience::Graph);
        let token = self.sign_in.token(&scope).await?;
        let result = self.send(remote, call, Some(&token)).await;
        let Err(CallError::Refused(refusal)) = &result else { return result };
        if refusal.status != StatusCode::UNAUTHORIZED {
            return result;
        }
        tracing::debug!(event = "token_refused", detail = %refusal, "signing in anew");
        self.sign_in.invalidate(&scope, &token);
        let token = self.sign_in.token(&scope).await?;
        self.send(remote, call, Some(&token)).await
    }

    async fn send(&self, remote: Remote, call: &Call, token: Option<&AccessToken>) -> Result<Reply, CallError> {
        let id = uuid::Uuid::now_v7().to_string();
        let request = self.request(call, token, &id)?;
        if let Some(permit) = &call.permit {
            permit.ask().map_err(|refused| CallError::NotSent(refused.to_string()))?;
        }
        match self.http.send(remote, request, call.largest_reply).await {
            Ok(reply) if reply.status.is_success() => {
                tracing::debug!(
                    event = "graph_answered",
                    client_request_id = %id,
                    request_id = refusal::request_id(&reply.headers).unwrap_or_default(),
                    status = reply.status.as_u16(),
                    method = %call.method,
                    "Graph answered"
                );
                Ok(reply)
            }
            Ok(reply) => Err(CallError::Refused(Refusal::read(&reply, &id, self.clock.now()))),
            Err(error) => Err(failed(&error, &id)),
        }
    }

    fn request(&self, call: &Call, token: Option<&AccessToken>, id: &str) -> Result<RequestBuilder, CallError> {
        let mut request = self.http.request(call.method.clone(), call.url.clone()).headers(call.headers.clone());
        request = request.header("client-request-id", id);
        if let Some(token) = token {
            request = request.header("Prefer", r#"IdType="ImmutableId""#);
            request = request.header("return-client-request-id", "true").header(AUTHORIZATION, token.authorization()?);
        }
        if let Some((content_type, body)) = &call.body {
            request = request.header(CONTENT_TYPE, *content_type).body(body.clone());
        }
        Ok(request)
    }
}

/// Reads the JSON of a reply.
pub fn read<T: DeserializeOwned>(reply: &Reply) -> Result<T, CallError> {
    serde_json::from_slice(&reply.body)
        .map_err(|error| CallError::Unreadable(format!("status {}: {}", reply.status.as_u16(), JsonFault::from(error))))
}

/// A text as an `OData` literal: in quotes, quotes doubled.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn failed(error: &HttpError, id: &str) -> CallError {
    let detail = format!("{error} (client-request-id {id})");
    match error.status() {
        Some(status) if status.is_success() && matches!(error, HttpError::BodyTooLarge { .. }) => {
            CallError::TooLarge(detail)
        }
        Some(status) if status.is_client_error() => CallError::Refused(Refusal::without_body(status, detail)),
        _ if error.is_certainly_unsent() => CallError::NotSent(detail),
        _ => CallError::NoReply(detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(literal("o'brien"), "'o''brien'");
    }

    #[test]
    fn a_query_value_is_encoded() {
        let encoded = utf8_percent_encode("mail eq 'a+b&c@x.example'", QUERY).to_string();
        assert_eq!(encoded, "mail%20eq%20%27a%2Bb%26c%40x.example%27");
    }
}
