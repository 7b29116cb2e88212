//! TeleMessage's archive API over HTTPS.
//!
//! TeleMessage publishes no specification of this API. The contract spoken here is *modelled*: the form of items, the
//! enumerations, the names of the envelope, the result codes and the Basic scheme follow public sources (TeleMessage's own
//! client libraries, its documentation, and published analyses of stored messages); the paths, the request's fields and the
//! fields `id`, `messages`, `email`, `digest`, `event`, `location` and `quoted` are this project's. So the base URL and both paths
//! are configuration.
//!
//! One call is one request: what went wrong is said as a [`SourceError`], and nothing is tried again here, asked for in
//! smaller pages, or waited for. The credential goes to the configured origin alone, in a header that no log shows, and
//! is read anew for each request, since its file may change. No body is logged, and no error quotes one.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Duration, Utc};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderValue};
use reqwest::{RequestBuilder, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::{AttachmentStream, Cursor, Page, Source, SourceError};
use crate::clock::SharedClock;
use crate::http::{self, HttpClient, InsecureUrl, Remote, Reply, require_https_or_loopback};
use crate::item::ItemId;
use crate::secret::SecretReader;
use crate::window::Window;
use extent::Extent;
use verdict::{RequestKind, Verdicts};

mod attachment;
mod extent;
mod verdict;

/// The largest page, decoded, in bytes.
const MAX_PAGE_BYTES: u64 = 32 << 20;

/// The largest page of one item, decoded, in bytes.
const MAX_SINGLE_ITEM_BYTES: u64 = 64 << 20;

/// The largest answer to a log-in, which holds no items, in bytes.
const MAX_LOG_IN_BYTES: u64 = 1 << 20;

/// The most pages in a row without a number that can be read: beyond it, something is wrong with the source, not with items.
const MAX_BLIND_PAGES: u32 = 20;

/// The account, and where it is.
#[derive(Clone)]
pub struct TeleMessageSettings {
    /// The origin, with a path where the service lies below one.
    pub base_url: Url,
    /// The path of the list, below `base_url`.
    pub messages_path: String,
    /// The path of attachments, below `base_url`.
    pub attachment_path: String,
    pub username: String,
    pub password: SecretReader,
    /// The products to pull, as `sourceType` names them.
    pub source_types: Vec<String>,
    /// The most items that a page should have.
    pub page_size: usize,
}

/// Settings that no request can be made of.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The base URL is plain http to another machine.
    #[error("source.base_url: {0}")]
    Insecure(#[from] InsecureUrl),
    /// The base URL has parts that it can't have.
    #[error("source.base_url is an origin with an optional path: it can't have {0}")]
    NotABase(&'static str),
    /// A colon ends the user name in HTTP Basic (RFC 7617, 2).
    #[error("source.username can't have a colon or control characters")]
    Username,
}

/// TeleMessage's archive, as one account sees it.
pub struct TeleMessage {
    client: HttpClient,
    clock: SharedClock,
    settings: TeleMessageSettings,
    messages_url: Url,
    attachment_url: Url,
    /// Pages in a row that passed no number that can be read.
    blind_pages: AtomicU32,
}

/// The body of a list request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListRequest<'a> {
    source_types: &'a [String],
    from_date: i64,
    to_date: i64,
    last_id: i64,
    limit: usize,
}

impl TeleMessage {
    /// The archive that `settings` describe.
    pub fn new(client: HttpClient, clock: SharedClock, settings: TeleMessageSettings) -> Result<Self, SettingsError> {
        let base = &settings.base_url;
        require_https_or_loopback(base)?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(SettingsError::NotABase("a credential"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(SettingsError::NotABase("a query or a fragment"));
        }
        if settings.username.contains(|character: char| character == ':' || character.is_control()) {
            return Err(SettingsError::Username);
        }
        let messages_url = below(base, &settings.messages_path);
        let attachment_url = below(base, &settings.attachment_path);
        Ok(Self { client, clock, settings, messages_url, attachment_url, blind_pages: AtomicU32::new(0) })
    }

    /// Requests the list; returns the whole answer, whatever it says.
    async fn ask(&self, window: Window, cursor: Cursor, limit: usize, cap: u64) -> Result<Reply, SourceError> {
        let body = ListRequest {
            source_types: &self.settings.source_types,
            from_date: window.from.timestamp_millis(),
            to_date: window.to.timestamp_millis(),
            last_id: cursor.0,
            limit,
        };
        let request = self.client.post(self.messages_url.clone()).json(&body);
        let request = self.authorised(request)?.header(ACCEPT, "application/json");
        let asked = if limit == 0 { RequestKind::LogIn } else { RequestKind::Messages(cursor) };
        let verdicts = self.verdicts(asked);
        let reply = self.client.send(Remote::Source, request, cap).await;
        let reply = reply.map_err(|error| verdicts.of_transport(&error))?;
        match reply.status {
            StatusCode::OK => Ok(reply),
            status => Err(verdicts.of_status(status, &reply.headers, &reply.body)),
        }
    }

    /// Adds the credential, as it is now.
    fn authorised(&self, request: RequestBuilder) -> Result<RequestBuilder, SourceError> {
        let password = (self.settings.password)()
            .map_err(|detail| SourceError::Unavailable(format!("source.password can't be read: {detail}")))?;
        let pair = SecretString::from(format!("{}:{}", self.settings.username, password.expose_secret()));
        let value = SecretString::from(format!("Basic {}", STANDARD.encode(pair.expose_secret())));
        let mut value = HeaderValue::from_str(value.expose_secret())
            .map_err(|_| SourceError::Unexpected("the credential doesn't fit in a header".to_owned()))?;
        value.set_sensitive(true);
        Ok(request.header(AUTHORIZATION, value))
    }

    fn verdicts(&self, asked: RequestKind) -> Verdicts<'_> {
        Verdicts { source_name: self.name(), username: &self.settings.username, now: self.clock.now(), asked }
    }

    /// Fails after too many pages in a row that pass no number that can be read.
    fn note_numbers(&self, cursor: Cursor, passed: usize, end: bool) -> Result<(), SourceError> {
        if passed > 0 || end {
            self.blind_pages.store(0, Ordering::Relaxed);
        } else if self.blind_pages.fetch_add(1, Ordering::Relaxed) >= MAX_BLIND_PAGES {
            self.blind_pages.store(0, Ordering::Relaxed);
            return Err(SourceError::Contract(format!(
                "more than {MAX_BLIND_PAGES} pages in a row, up to cursor {cursor}, have no item up to their lastId whose id \
                 can be read"
            )));
        }
        Ok(())
    }
}

#[async_trait]
impl Source for TeleMessage {
    fn name(&self) -> String {
        format!("TeleMessage at {}", self.settings.base_url.origin().ascii_serialization())
    }

    async fn log_in(&self) -> Result<Option<DateTime<Utc>>, SourceError> {
        let now = self.clock.now();
        let window = Window { from: now - Duration::seconds(1), to: now };
        let reply = self.ask(window, Cursor::default(), 0, MAX_LOG_IN_BYTES).await?;
        let (envelope, _) = self.verdicts(RequestKind::LogIn).read(&reply)?;
        // Without any time of theirs, a clock of ours that jumped ahead would move the watermark past time that was not read.
        Ok(envelope.server_time().or_else(|| http::date(&reply.headers)))
    }

    async fn page(&self, window: Window, cursor: Cursor, limit: usize) -> Result<Page, SourceError> {
        // `limit: 0` is the log-in, and would be a page without end.
        let limit = limit.max(1);
        let cap = if limit == 1 { MAX_SINGLE_ITEM_BYTES } else { MAX_PAGE_BYTES };
        let reply = self.ask(window, cursor, limit, cap).await?;
        let (envelope, items) = self.verdicts(RequestKind::Messages(cursor)).read(&reply)?;
        let end = envelope.end_of_messages.unwrap_or_default();
        let extent = Extent::of(&reply.body, &items, end);
        let next = extent.next_cursor(cursor, &envelope)?;
        let passed = extent.passed(cursor, next);
        self.note_numbers(cursor, passed, end)?;
        Ok(Page { body: reply.body, items, next, passed, end })
    }

    async fn attachment(&self, item: ItemId, index: usize) -> Result<AttachmentStream, SourceError> {
        let mut url = self.attachment_url.clone();
        url.query_pairs_mut().append_pair("id", &item.to_string()).append_pair("index", &index.to_string());
        // Media is compressed already, and a coded body has no length to check it by.
        let request = self.authorised(self.client.get(url))?.header(ACCEPT_ENCODING, "identity");
        let verdicts = self.verdicts(RequestKind::Attachment(item, index));
        let reply = self.client.stream(Remote::Source, request).await;
        let reply = reply.map_err(|error| verdicts.of_transport(&error))?;
        match reply.status {
            StatusCode::OK => Ok(attachment::stream_of(reply, &verdicts).await),
            status => Err(attachment::error_of(status, reply, &verdicts).await),
        }
    }

    fn page_size(&self) -> usize {
        self.settings.page_size
    }
}

/// `path` below the path of `base`, however the two are joined.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{}", base.path().trim_end_matches('/'), path.trim_start_matches('/')));
    url
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::http::HttpOptions;

    fn settings(base_url: &str, username: &str) -> TeleMessageSettings {
        TeleMessageSettings {
            base_url: Url::parse(base_url).unwrap(),
            messages_path: "/list".to_owned(),
            attachment_path: "media".to_owned(),
            username: username.to_owned(),
            password: Arc::new(|| Ok(SecretString::from("secret"))),
            source_types: vec!["WHATSAPP_ARCHIVER".to_owned()],
            page_size: 500,
        }
    }

    fn archive(base_url: &str, username: &str) -> Result<TeleMessage, SettingsError> {
        let client = HttpClient::build(&HttpOptions::default()).unwrap();
        TeleMessage::new(client, Arc::new(SystemClock), settings(base_url, username))
    }

    #[test]
    fn paths_lie_below_the_base() {
        for base in ["https://archive.example/tenant", "https://archive.example/tenant/"] {
            let archive = archive(base, "ana").unwrap();
            assert_eq!(archive.messages_url.as_str(), "https://archive.example/tenant/list");
            assert_eq!(archive.attachment_url.as_str(), "https://archive.example/tenant/media");
        }
        assert_eq!(archive("https://archive.example", "ana").unwrap().messages_url.path(), "/list");
        assert_eq!(
            archive("https://archive.example:8443/x", "ana").unwrap().name(),
            "TeleMessage at https://archive.example:8443"
        );
    }

    #[test]
    fn settings_that_would_leak_or_mislead_are_refused() {
        assert!(matches!(archive("http://archive.example", "ana"), Err(SettingsError::Insecure(_))));
        assert!(matches!(archive("https://ana:pw@archive.example", "ana"), Err(SettingsError::NotABase(_))));
        assert!(matches!(archive("https://archive.example/?a=b", "ana"), Err(SettingsError::NotABase(_))));
        assert!(matches!(archive("https://archive.example", "ana:x"), Err(SettingsError::Username)));
    }
}
