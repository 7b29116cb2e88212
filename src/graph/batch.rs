//! `$batch`: up to 20 GETs in one call. Each has its own status and is throttled on its own.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Call, CallError, Graph, Refusal, Version};
use crate::http::Remote;
use crate::scrub::Scrubber;

/// The most requests in one batch.
const MAX_BATCH: usize = 20;

/// Batches that are under way at the same time.
const MAX_CONCURRENT_BATCHES: usize = 8;

#[derive(Serialize)]
struct Requests {
    requests: Vec<Request>,
}

#[derive(Serialize)]
struct Request {
    id: String,
    method: &'static str,
    url: String,
}

#[derive(Deserialize)]
struct Responses {
    responses: Vec<Response>,
}

#[derive(Deserialize)]
struct Response {
    id: String,
    status: u16,
    #[serde(default)]
    headers: HashMap<String, serde_json::Value>,
    body: Option<Box<RawValue>>,
}

/// The JSON of a reply in a batch, or why there is none.
pub type Answer = Result<Bytes, CallError>;

impl Graph {
    /// Makes GETs of v1.0 URLs, batches side by side, each with its own answer, in the same order. A single one is sent
    /// without a batch.
    pub async fn get_all(&self, remote: Remote, urls: &[Url]) -> Vec<Answer> {
        let get = async |urls: &[Url]| match urls {
            [url] => vec![self.get_alone(remote, url).await],
            _ => self.get_batch(remote, urls).await,
        };
        let batches: Vec<Vec<Answer>> =
            stream::iter(urls.chunks(MAX_BATCH).map(get)).buffered(MAX_CONCURRENT_BATCHES).collect().await;
        batches.into_iter().flatten().collect()
    }

    async fn get_alone(&self, remote: Remote, url: &Url) -> Answer {
        Ok(self.call(remote, &Call::get(url.clone())).await?.body)
    }

    async fn get_batch(&self, remote: Remote, urls: &[Url]) -> Vec<Answer> {
        let (replies, sent) = match self.send_batch(remote, urls).await {
            Ok(replies) => replies,
            Err(error) => return urls.iter().map(|_| Err(error.clone())).collect(),
        };
        let received = replies.responses.len();
        let mut replies: HashMap<String, Response> =
            replies.responses.into_iter().map(|response| (response.id.clone(), response)).collect();
        if replies.len() < received {
            let twice = CallError::Unreadable("a batch with two answers for one of its requests".to_owned());
            return urls.iter().map(|_| Err(twice.clone())).collect();
        }
        let missing = || CallError::Unreadable("a batch without an answer for one of its requests".to_owned());
        (0..urls.len())
            .map(|index| self.answer(replies.remove(&index.to_string()).ok_or_else(missing)?, &sent))
            .collect()
    }

    async fn send_batch(&self, remote: Remote, urls: &[Url]) -> Result<(Responses, Scrubber), CallError> {
        let version = format!("/{}", Version::V1.path());
        let relative = |url: &Url| {
            let path = url.path().strip_prefix(&version).unwrap_or(url.path());
            url.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
        };
        let requests = urls
            .iter()
            .enumerate()
            .map(|(index, url)| Request { id: index.to_string(), method: "GET", url: relative(url) })
            .collect();
        let json = serde_json::to_vec(&Requests { requests })
            .map_err(|error| CallError::Unexpected(format!("a batch that can't be written: {error}")))?;
        let url = self.url(Version::V1, &["$batch"], &[])?;
        let reply = self.call(remote, &Call::post(url, json.into())).await?;
        Ok((super::read(&reply)?, reply.sent))
    }

    fn answer(&self, response: Response, sent: &Scrubber) -> Answer {
        let status = StatusCode::from_u16(response.status)
            .map_err(|_| CallError::Unreadable(format!("a batch with status {}", response.status)))?;
        let body = Bytes::from(response.body.map_or_else(String::new, |body| body.get().to_owned()));
        if status.is_success() {
            return Ok(body);
        }
        // The batch itself is no refusal, so nothing was taken out of it yet.
        let body = sent.scrub_bytes(&body).map_or(body, Bytes::from);
        let headers = headers(&response.headers, sent);
        Err(CallError::Refused(Refusal::of(status, &headers, &body, self.clock().now())))
    }
}

fn headers(fields: &HashMap<String, serde_json::Value>, sent: &Scrubber) -> HeaderMap {
    let field = |(name, value): (&String, &serde_json::Value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some((HeaderName::try_from(name.as_str()).ok()?, HeaderValue::try_from(&*sent.scrub(&text)).ok()?))
    };
    fields.iter().filter_map(field).collect()
}
