//! TeleMessage's archive API on the wire: an archive of items behind HTTP on this machine, which follows the contract and
//! fails on command.
//!
//! It runs in a thread and a runtime of its own, so that tests with and without a runtime, and other processes, can talk to
//! it. Time is the injected clock's: it decides which items show up already, and what `timeStamp` says.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use axum::Router;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use tokio::sync::oneshot;
use whatsapp_archiver::clock::SharedClock;

mod answer;
mod fault;
mod item;

use fault::Chance;
pub(crate) use fault::{Fault, MediaFault, PageFault};
pub(crate) use item::{ArchivedItem, CLOUD_ARCHIVER, PHONE_ARCHIVER, Who, who};

/// The account's user name.
pub(crate) const USERNAME: &str = "archive-admin@contoso.example";
/// The account's password at the start.
pub(crate) const PASSWORD: &str = "corr:ect hörse";

/// The path of the list.
pub(crate) const MESSAGES_PATH: &str = "/basicsecured/api/rest/archive/getmessages";
/// The path of attachments.
pub(crate) const ATTACHMENT_PATH: &str = "/basicsecured/api/rest/archive/attachment";

/// The server. It ends when it is dropped.
pub(crate) struct TeleMessageServer {
    address: SocketAddr,
    archive: Arc<Archive>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the server holds.
struct Archive {
    clock: SharedClock,
    state: Mutex<State>,
}

struct State {
    password: String,
    gzip: bool,
    /// By id; the same id may be there in several versions.
    items: Vec<ArchivedItem>,
    page_faults: VecDeque<PageFault>,
    /// By item and index.
    media_faults: BTreeMap<(i64, usize), VecDeque<MediaFault>>,
    outage: Option<Fault>,
    /// Spoils answers by chance, the one that nothing else spoils.
    chance: Option<Chance>,
    /// The time that the server goes by, where it isn't the clock's.
    held_time: Option<DateTime<Utc>>,
    requests: Vec<Request>,
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) asked: Asked,
    pub(crate) authorization: Option<String>,
    pub(crate) user_agent: String,
    pub(crate) accept_encoding: String,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A page; the log-in where `limit` is 0.
    Page(PageRequest),
    /// An attachment of an item.
    Media(i64, usize),
    /// Something else, by method and path.
    Other(String),
}

/// The body of a list request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PageRequest {
    pub(crate) source_types: Vec<String>,
    pub(crate) from_date: i64,
    pub(crate) to_date: i64,
    pub(crate) last_id: i64,
    pub(crate) limit: usize,
}

impl TeleMessageServer {
    /// Starts an empty archive on a free port of this machine.
    pub(crate) fn start(clock: SharedClock) -> Self {
        let state = State {
            password: PASSWORD.to_owned(),
            gzip: true,
            items: Vec::new(),
            page_faults: VecDeque::new(),
            media_faults: BTreeMap::new(),
            outage: None,
            chance: None,
            held_time: None,
            requests: Vec::new(),
        };
        let archive = Arc::new(Archive { clock, state: Mutex::new(state) });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket without blocking");
        let address = listener.local_addr().expect("the address of a bound socket");
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&archive);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener for the runtime");
                let router = Router::new()
                    .route(MESSAGES_PATH, post(answer::list))
                    .route(ATTACHMENT_PATH, get(answer::attachment))
                    .fallback(answer::other)
                    .with_state(serving);
                tokio::select! {
                    served = axum::serve(listener, router) => served.expect("the server runs"),
                    _ = stopped => {}
                }
            });
        });
        Self { address, archive, stop: Some(stop), thread: Some(thread) }
    }

    /// The value of `source.base_url`.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds items; their order doesn't matter.
    pub(crate) fn add(&self, items: impl IntoIterator<Item = ArchivedItem>) {
        let mut state = self.state();
        state.items.extend(items);
        state.items.sort_by_key(|item| item.id);
    }

    /// How many items it holds.
    pub(crate) fn items(&self) -> u64 {
        self.state().items.len() as u64
    }

    /// The attachments that are fetched, by item and index.
    pub(crate) fn attachments(&self) -> Vec<(i64, usize)> {
        let state = self.state();
        let of = |item: &ArchivedItem| -> Vec<(i64, usize)> {
            let fetched = item.media.iter().enumerate().filter(|(_, media)| media.is_some());
            fetched.map(|(index, _)| (item.id, index)).collect()
        };
        state.items.iter().flat_map(of).collect()
    }

    /// Spoils one answer in `sides` by chance, and the same ones with the same seed.
    pub(crate) fn fail_by_chance(&self, seed: u64, sides: u32) {
        self.state().chance = Some(Chance::new(seed, sides));
    }

    /// How many answers chance has spoilt.
    pub(crate) fn failed_by_chance(&self) -> usize {
        self.state().chance.as_ref().map_or(0, |chance| chance.spoilt)
    }

    /// How many faults nobody has met yet.
    pub(crate) fn faults_left(&self) -> usize {
        let state = self.state();
        state.page_faults.len() + state.media_faults.values().map(VecDeque::len).sum::<usize>()
    }

    /// Fails no more.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.page_faults.clear();
        state.media_faults.clear();
        state.outage = None;
        state.chance = None;
    }

    /// Changes the password.
    pub(crate) fn set_password(&self, password: &str) {
        password.clone_into(&mut self.state().password);
    }

    /// Whether answers are gzipped where the client accepts that; they are at the start.
    pub(crate) fn set_gzip(&self, gzip: bool) {
        self.state().gzip = gzip;
    }

    /// Spoils the next answer of the list that isn't spoilt yet.
    pub(crate) fn fail_page(&self, fault: impl Into<PageFault>) {
        self.state().page_faults.push_back(fault.into());
    }

    /// Spoils the next answer for this attachment that isn't spoilt yet.
    pub(crate) fn fail_attachment(&self, item: i64, index: usize, fault: impl Into<MediaFault>) {
        self.state().media_faults.entry((item, index)).or_default().push_back(fault.into());
    }

    /// Spoils every answer, until `None` ends that.
    pub(crate) fn set_outage(&self, fault: Option<Fault>) {
        self.state().outage = fault;
    }

    /// The server's time stands still, until it is let go.
    pub(crate) fn hold_time(&self) {
        let now = self.archive.clock.now();
        self.state().held_time = Some(now);
    }

    /// The server's time is the clock's again.
    pub(crate) fn let_time_go(&self) {
        self.state().held_time = None;
    }

    /// The requests so far, in order of arrival.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// The list requests so far, log-ins included.
    pub(crate) fn page_requests(&self) -> Vec<PageRequest> {
        let pages = self.requests().into_iter().filter_map(|request| match request.asked {
            Asked::Page(page) => Some(page),
            Asked::Media(..) | Asked::Other(_) => None,
        });
        pages.collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.archive.state()
    }
}

impl Drop for TeleMessageServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended by itself, by a failure that it showed.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Archive {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether a request has the credential of the account.
    fn admits(&self, authorization: Option<&str>) -> bool {
        let expected = format!("Basic {}", STANDARD.encode(format!("{USERNAME}:{}", self.password)));
        authorization == Some(expected.as_str())
    }
}
