//! The answers: what the contract says, then what a fault makes of it.

use std::io::Write as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Query, Request as HttpRequest, State as Extract};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::fault::{self, Fault, MediaFault, PageFault, Then};
use super::item::{ArchivedItem, Media};
use super::{Archive, Asked, PageRequest, Request, State};

/// `POST …/getmessages`.
pub(super) async fn list(Extract(archive): Extract<Arc<Archive>>, headers: HeaderMap, body: Bytes) -> Response {
    let asked = serde_json::from_slice::<PageRequest>(&body);
    let recorded = match &asked {
        Ok(request) => Asked::Page(request.clone()),
        Err(error) => Asked::Other(format!("a list request that breaks the contract: {error}")),
    };
    let (fault, admitted) = {
        let mut state = archive.state();
        state.record(recorded, &headers);
        let fault = state.outage.clone().map(PageFault::Answer).or_else(|| state.page_faults.pop_front());
        let fault = fault.or_else(|| state.chance.as_mut()?.page_fault());
        (fault, state.admits(text(&headers, header::AUTHORIZATION).as_deref()))
    };
    if let Some(PageFault::Answer(fault)) = fault {
        return fault.answer().await;
    }
    let Ok(request) = asked else { return StatusCode::BAD_REQUEST.into_response() };
    if !admitted {
        return Fault::Status(401).answer().await;
    }
    let (page, gzip) = {
        let state = archive.state();
        (Page::of(&state, &request, state.held_time.unwrap_or_else(|| archive.clock.now())), state.gzip)
    };
    let gzip = gzip && text(&headers, header::ACCEPT_ENCODING).is_some_and(|accepted| accepted.contains("gzip"));
    corrupted_page(page, fault, gzip)
}

/// `GET …/attachment?id=…&index=…`.
pub(super) async fn attachment(
    Extract(archive): Extract<Arc<Archive>>,
    Query(query): Query<MediaQuery>,
    headers: HeaderMap,
) -> Response {
    let MediaQuery { id, index } = query;
    let (fault, admitted, media) = {
        let mut state = archive.state();
        state.record(Asked::Media(id, index), &headers);
        let fault = state.outage.clone().map(MediaFault::Answer);
        let fault = fault.or_else(|| state.media_faults.get_mut(&(id, index))?.pop_front());
        let fault = fault.or_else(|| state.chance.as_mut()?.media_fault());
        (fault, state.admits(text(&headers, header::AUTHORIZATION).as_deref()), state.media(id, index))
    };
    if let Some(MediaFault::Answer(fault)) = fault {
        return fault.answer().await;
    }
    if !admitted {
        return Fault::Status(401).answer().await;
    }
    let Some(Media { content_type, bytes }) = media else { return StatusCode::NOT_FOUND.into_response() };
    let content_type = HeaderValue::from_str(&content_type).expect("a test names a media type");
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]);
    match fault {
        None | Some(MediaFault::Answer(_)) => (headers, bytes).into_response(),
        Some(MediaFault::BreakOff) => fault::half(headers, &bytes, Then::BreakOff),
        Some(MediaFault::Stall) => fault::half(headers, &bytes, Then::Stall),
        Some(MediaFault::Drip) => fault::half(headers, &bytes, Then::Drip),
        Some(MediaFault::WrongBytes) => (headers, bytes.iter().map(|byte| !byte).collect::<Bytes>()).into_response(),
        Some(MediaFault::LengthOff(more)) => fault::with_length_off(headers, bytes, more),
    }
}

/// What the contract doesn't know.
pub(super) async fn other(Extract(archive): Extract<Arc<Archive>>, request: HttpRequest) -> Response {
    let asked = Asked::Other(format!("{} {}", request.method(), request.uri().path()));
    let outage = {
        let mut state = archive.state();
        state.record(asked, request.headers());
        state.outage.clone()
    };
    match outage {
        Some(fault) => fault.answer().await,
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[derive(serde::Deserialize)]
pub(super) struct MediaQuery {
    id: i64,
    index: usize,
}

/// A page before it is written.
struct Page {
    items: Vec<String>,
    last_id: Option<i64>,
    end: bool,
    invalid_token: bool,
    now: DateTime<Utc>,
}

impl Page {
    fn of(state: &State, request: &PageRequest, now: DateTime<Utc>) -> Self {
        let window = request.from_date..request.to_date;
        let belongs = |item: &&ArchivedItem| {
            window.contains(&item.received.timestamp_millis())
                && item.visible_from <= now
                && request.source_types.contains(&item.source_type)
        };
        let after_cursor = state.items.partition_point(|item| item.id <= request.last_id);
        let mut waiting = state.items.iter().skip(after_cursor).filter(belongs).peekable();
        let mut items = Vec::new();
        let mut last_id = request.last_id;
        while items.len() < request.limit {
            let Some(item) = waiting.next() else { break };
            last_id = item.id;
            items.push(item.json());
        }
        // All versions of an item are on one page: the cursor can't stand between them.
        while request.limit > 0 && waiting.peek().is_some_and(|item| item.id == last_id) {
            items.extend(waiting.next().map(ArchivedItem::json));
        }
        Self { items, last_id: Some(last_id), end: waiting.peek().is_none(), invalid_token: false, now }
    }

    fn json(&self) -> String {
        let now = self.now.timestamp_millis();
        format!(
            r#"{{"resultCode":0,"resultDescription":"Success","timeStamp":{now},"invalidToken":{},"lastId":{},"endOfMessages":{},"messages":[{}]}}"#,
            self.invalid_token,
            json!(self.last_id),
            self.end,
            self.items.join(","),
        )
    }
}

fn corrupted_page(mut page: Page, fault: Option<PageFault>, gzip: bool) -> Response {
    let whole = |json: String| json_answer(json.into(), gzip);
    match fault {
        None | Some(PageFault::Answer(_)) => whole(page.json()),
        Some(PageFault::BreakOff) => fault::half(json_headers(), &page.json().into(), Then::BreakOff),
        Some(PageFault::Stall) => fault::half(json_headers(), &page.json().into(), Then::Stall),
        Some(PageFault::Truncated) => {
            let json = page.json();
            whole(json.chars().take(json.chars().count() / 2).collect())
        }
        Some(PageFault::BadGzip) => ([(header::CONTENT_ENCODING, "gzip")], page.json()).into_response(),
        Some(PageFault::NotJson) => ([fault::html()], "<html><body>Maintenance</body></html>").into_response(),
        Some(PageFault::ForeignJson) => whole(r#"{"message":"Internal server error"}"#.to_owned()),
        Some(PageFault::Padded(length)) => {
            let json = page.json();
            whole(format!("{}{json}", " ".repeat(length.saturating_sub(json.len()))))
        }
        Some(PageFault::Wrapped) => whole(format!("[{}]", page.json())),
        Some(PageFault::LastId(last_id)) => {
            (page.last_id, page.end) = (last_id, false);
            whole(page.json())
        }
        Some(PageFault::Unnumbered(last_id)) => {
            page.items = vec![r#"{"id":"none"}"#.to_owned(); 2];
            (page.last_id, page.end) = (Some(last_id), false);
            whole(page.json())
        }
        Some(PageFault::Items(items, last_id)) => {
            (page.items, page.last_id, page.end) = (items, Some(last_id), false);
            whole(page.json())
        }
        Some(PageFault::InvalidToken) => {
            page.invalid_token = true;
            page.items.clear();
            whole(page.json())
        }
        Some(PageFault::WithItem(item)) => {
            page.items.insert(0, item);
            whole(page.json())
        }
        Some(PageFault::Doubled) => {
            page.items = page.items.iter().flat_map(|item| [item.clone(), item.clone()]).collect();
            whole(page.json())
        }
    }
}

fn json_headers() -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"))])
}

fn json_answer(json: Bytes, gzip: bool) -> Response {
    let mut headers = json_headers();
    if !gzip {
        return (headers, json).into_response();
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&json).expect("writing to memory");
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    (headers, Body::from(encoder.finish().expect("writing to memory"))).into_response()
}

impl State {
    fn record(&mut self, asked: Asked, headers: &HeaderMap) {
        self.requests.push(Request {
            asked,
            authorization: text(headers, header::AUTHORIZATION),
            user_agent: text(headers, header::USER_AGENT).unwrap_or_default(),
            accept_encoding: text(headers, header::ACCEPT_ENCODING).unwrap_or_default(),
        });
    }

    /// The attachment, of the newest version of the item.
    fn media(&self, id: i64, index: usize) -> Option<Media> {
        let after = self.items.partition_point(|item| item.id <= id);
        let item = self.items.get(after.checked_sub(1)?).filter(|item| item.id == id)?;
        item.media.get(index)?.clone()
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
