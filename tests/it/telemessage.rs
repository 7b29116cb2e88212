//! The TeleMessage source against the wire-level server: every row of the contract.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeZone as _, Utc};
use futures_util::TryStreamExt as _;
use reqwest::Url;
use secrecy::SecretString;
use whatsapp_archiver::clock::{ManualClock, SharedClock};
use whatsapp_archiver::http::{HttpClient, HttpOptions};
use whatsapp_archiver::source::telemessage::{TeleMessage, TeleMessageSettings};
use whatsapp_archiver::source::{Cursor, Page, Source as _, SourceError};
use whatsapp_archiver::window::Window;

use crate::servers::telemessage::{
    ATTACHMENT_PATH, ArchivedItem, CLOUD_ARCHIVER, MESSAGES_PATH, PASSWORD, PHONE_ARCHIVER, TeleMessageServer, USERNAME,
};

mod attachments;
mod kinds;
mod list;
mod log_in;

/// What a source takes for the password.
type Password = Arc<Mutex<Result<String, String>>>;

/// The archive, its clock, and a source that reads it.
struct Bench {
    clock: Arc<ManualClock>,
    server: TeleMessageServer,
    password: Password,
    source: TeleMessage,
}

fn midnight() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 21, 0, 0, 0).unwrap()
}

/// An instant of the day that [`day`] is, in milliseconds.
fn at(millis: i64) -> DateTime<Utc> {
    midnight() + chrono::Duration::milliseconds(millis)
}

fn day() -> Window {
    Window { from: midnight(), to: midnight() + chrono::Duration::days(1) }
}

fn source_at(base_url: &str, clock: SharedClock, password: Password, options: &HttpOptions) -> TeleMessage {
    let settings = TeleMessageSettings {
        base_url: Url::parse(base_url).unwrap(),
        messages_path: MESSAGES_PATH.to_owned(),
        attachment_path: ATTACHMENT_PATH.to_owned(),
        username: USERNAME.to_owned(),
        password: Arc::new(move || password.lock().unwrap().clone().map(SecretString::from)),
        source_types: vec![PHONE_ARCHIVER.to_owned(), CLOUD_ARCHIVER.to_owned()],
        page_size: 500,
    };
    TeleMessage::new(HttpClient::build(options).unwrap(), clock, settings).unwrap()
}

impl Bench {
    /// An empty archive, two days after [`midnight`].
    fn new() -> Self {
        Self::with_options(&HttpOptions::default())
    }

    /// A source that waits a quarter of a second at most: for answers that never come.
    fn impatient() -> Self {
        let moment = Duration::from_millis(250);
        Self::with_options(&HttpOptions { read_timeout: moment, request_timeout: moment, ..HttpOptions::default() })
    }

    fn with_options(options: &HttpOptions) -> Self {
        let clock = Arc::new(ManualClock::standing(midnight() + chrono::Duration::days(2)));
        let server = TeleMessageServer::start(Arc::<ManualClock>::clone(&clock));
        let password = Arc::new(Mutex::new(Ok(PASSWORD.to_owned())));
        let source = source_at(&server.base_url(), Arc::<ManualClock>::clone(&clock), Arc::clone(&password), options);
        Self { clock, server, password, source }
    }

    /// A bench with messages of these ids, one a second.
    fn with_messages(ids: impl IntoIterator<Item = i64>) -> Self {
        let bench = Self::new();
        bench.server.add(ids.into_iter().map(|id| ArchivedItem::message(id, at(id * 1000))));
        bench
    }

    fn clock(&self) -> SharedClock {
        Arc::<ManualClock>::clone(&self.clock)
    }

    async fn page(&self, cursor: i64, limit: usize) -> Result<Page, SourceError> {
        self.source.page(day(), Cursor(cursor), limit).await
    }

    async fn page_error(&self) -> SourceError {
        self.page(0, 500).await.expect_err("the page fails")
    }

    /// The bytes of an attachment, or the error of the stream.
    async fn bytes(&self, item: i64, index: usize) -> Result<Vec<u8>, SourceError> {
        let attachment = self.source.attachment(whatsapp_archiver::item::ItemId(item), index).await?;
        let pieces: Vec<_> = attachment.bytes.try_collect().await?;
        Ok(pieces.concat())
    }
}

/// The items of a page, as they were sent.
fn items(page: &Page) -> Vec<&str> {
    page.items.iter().map(|range| std::str::from_utf8(&page.body[range.clone()]).unwrap()).collect()
}

/// An error as logs may show it.
fn shown(error: &SourceError) -> String {
    format!("{error} {error:?}")
}
