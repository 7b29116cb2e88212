//! Requests and answers, in a form that can be looked at and made up.

use axum::body::Body;
use axum::response::Response;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

/// The largest body that is read, in bytes.
const MAX_BODY: usize = 128 * 1024 * 1024;

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path as it came, without the query.
    pub(crate) path: String,
    /// Its segments, decoded.
    pub(crate) segments: Vec<String>,
    /// The query, decoded.
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether it came in a batch.
    pub(crate) in_batch: bool,
}

impl Request {
    pub(crate) async fn read(request: axum::extract::Request<Body>) -> Self {
        let (parts, body) = request.into_parts();
        let headers = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        let body = axum::body::to_bytes(body, MAX_BODY).await.unwrap_or_default();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        Self { headers: headers.collect(), body: body.to_vec(), ..Self::of(parts.method.as_str(), target) }
    }

    /// A request without headers or body; `target` is a path and maybe a query.
    pub(crate) fn of(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // A plus sign is a space in a query, as Graph's own servers read it.
            (decode(name), decode(&value.replace('+', " ")))
        };
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            segments: path.trim_matches('/').split('/').map(decode).collect(),
            query: query.split('&').filter(|text| !text.is_empty()).map(pair).collect(),
            headers: Vec::new(),
            body: Vec::new(),
            in_batch: false,
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        Self { status, headers: vec![("content-type", "application/json".to_owned())], body }
    }

    pub(crate) fn bytes(body: Vec<u8>) -> Self {
        Self { status: 200, headers: vec![("content-type", "application/octet-stream".to_owned())], body }
    }

    /// An error as Graph writes it.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &json!({ "error": { "code": code, "message": message } }))
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Changes the JSON of the body.
    pub(crate) fn change(&mut self, change: fn(&mut Value)) {
        let mut body: Value = serde_json::from_slice(&self.body).unwrap();
        change(&mut body);
        self.body = body.to_string().into_bytes();
    }

    pub(crate) fn into_response(self) -> Response {
        let mut response = Response::builder().status(self.status).header("request-id", "0a0b0c0d-request");
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(Body::from(self.body)).unwrap()
    }
}
