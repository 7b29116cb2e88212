//! Microsoft Graph and the Microsoft log-in as far as this program uses them, on the wire: a model of a tenant behind a real
//! HTTP server, which keeps the published rules and limits and fails on command.
//!
//! It runs on a thread of its own, so that synchronous tests and the real binary in another process can use it. What a
//! well-behaved client must never do is collected in [`GraphServer::violations`].

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use tokio::sync::{oneshot, watch};
use whatsapp_archiver::clock::{Clock as _, SharedClock, SystemClock};

pub(crate) mod client;
pub(crate) mod fault;
mod http;
mod limits;
pub(crate) mod login;
mod mailbox;
mod messages;
mod query;
mod routes;
mod uploads;
pub(crate) mod world;

pub(crate) use fault::{Act, Fault, RetryAfter};
pub(crate) use world::{StoredAttachment, StoredMessage, UserSpec, World};

use http::{Answer, Request};

/// The tenant, the application and its secret that the server knows.
pub(crate) const TENANT: &str = "contoso.example";
pub(crate) const CLIENT_ID: &str = "5f0c1d1e-0000-4000-8000-00000000a9b9";
pub(crate) const CLIENT_SECRET: &str = "correct-horse~battery";

/// A running server; it ends when this is dropped.
pub(crate) struct GraphServer {
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    origin: String,
    world: Mutex<World>,
    /// How many requests are under way, all mailboxes taken together.
    in_flight: watch::Sender<usize>,
    /// Requests wait here while it is `true`.
    held: watch::Sender<bool>,
    /// How long each request takes at least.
    delay: Mutex<Duration>,
}

impl GraphServer {
    /// A server with the machine's clock.
    pub(crate) fn start() -> Self {
        Self::start_at(Arc::new(SystemClock))
    }

    /// A server that counts time on `clock`.
    pub(crate) fn start_at(clock: SharedClock) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            world: Mutex::new(World::new(origin.clone(), clock)),
            origin,
            in_flight: watch::Sender::new(0),
            held: watch::Sender::new(false),
            delay: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let state = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let app = axum::Router::new().fallback(handle).with_state(state);
                tokio::select! {
                    served = axum::serve(listener, app).into_future() => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self { shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Its origin: for `microsoft.login_url` and `microsoft.graph_url`.
    pub(crate) fn origin(&self) -> &str {
        &self.shared.origin
    }

    /// Looks at the tenant, or changes it.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        work(&mut self.shared.world.lock().unwrap())
    }

    /// Adds a user with a mailbox, `name@contoso.example`, and returns the user's id.
    pub(crate) fn add_user(&self, name: &str) -> String {
        self.with(|world| world.add_user(UserSpec::named(name)))
    }

    /// Fails as commanded.
    pub(crate) fn fail(&self, fault: Fault) {
        self.with(|world| world.faults.push(fault));
    }

    /// Fails no more.
    pub(crate) fn heal(&self) {
        self.with(|world| world.faults.clear());
    }

    /// How many commands to fail no request has met yet.
    pub(crate) fn faults_unmet(&self) -> usize {
        self.with(|world| world.faults.iter().filter(|fault| !fault.was_met()).count())
    }

    /// The requests so far, as `GET /v1.0/users/…` with their status.
    pub(crate) fn log(&self) -> Vec<String> {
        self.with(|world| world.log.iter().map(ToString::to_string).collect())
    }

    /// Forgets the requests so far.
    pub(crate) fn clear_log(&self) {
        self.with(|world| world.log.clear());
    }

    /// What a well-behaved client doesn't do.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.with(|world| world.violations.clone())
    }

    /// Lets requests wait, all of them, until [`GraphServer::release`].
    pub(crate) fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// Takes so long for each request, by the machine's clock: for measurements.
    pub(crate) fn delay(&self, delay: Duration) {
        *self.shared.delay.lock().unwrap() = delay;
    }

    /// Lets the waiting requests go on.
    pub(crate) fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// How many requests are under way.
    pub(crate) fn in_flight(&self) -> usize {
        *self.shared.in_flight.borrow()
    }

    /// Returns when `count` requests are under way.
    pub(crate) async fn wait_for_in_flight(&self, count: usize) {
        self.shared.in_flight.subscribe().wait_for(|now| *now >= count).await.unwrap();
    }
}

impl Drop for GraphServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.release();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One place among the requests under way, given back even when the connection is dropped.
struct Place {
    shared: Arc<Shared>,
    mailbox: Option<String>,
}

impl Place {
    fn take(shared: &Arc<Shared>, mailbox: Option<String>) -> Self {
        shared.in_flight.send_modify(|count| *count += 1);
        Self { shared: Arc::clone(shared), mailbox }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.in_flight.send_modify(|count| *count -= 1);
        if let Some(mailbox) = &self.mailbox {
            self.shared.world.lock().unwrap().limits.leave(mailbox);
        }
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: axum::extract::Request<Body>) -> Response {
    let request = Request::read(request).await;
    let (mailbox, refused) = {
        let mut world = shared.world.lock().unwrap();
        let mailbox = world.mailbox_of(&request);
        let refused = world.arrive(&request, mailbox.as_deref());
        (mailbox, refused)
    };
    let place = Place::take(&shared, mailbox);
    let mut held = shared.held.subscribe();
    held.wait_for(|held| !held).await.unwrap();
    let delay = *shared.delay.lock().unwrap();
    if !delay.is_zero() {
        SystemClock.sleep(delay).await;
    }
    let (answer, dropped) = {
        let mut world = shared.world.lock().unwrap();
        let (answer, dropped) = match refused {
            Some(answer) => (answer, false),
            None => world.serve(&request),
        };
        world.log(&request, &answer, dropped);
        (answer, dropped)
    };
    drop(place);
    if dropped {
        // Ends the connection's task, and so the connection, without a reply and without a word.
        std::panic::resume_unwind(Box::new("dropped on command"));
    }
    answer.into_response()
}

impl World {
    /// Serves a request: fails as commanded, or answers. The flag tells that the connection is to be dropped.
    fn serve(&mut self, request: &Request) -> (Answer, bool) {
        match self.next_act(request) {
            None => (self.answer(request), false),
            Some(act) => self.perform(act, request),
        }
    }

    fn perform(&mut self, act: Act, request: &Request) -> (Answer, bool) {
        match act {
            Act::Reply { status, code, retry_after } => {
                let answer = Answer::error(status, code, "commanded");
                (fault::with_retry_after(answer, retry_after, self.now()), false)
            }
            Act::Drop => (Answer::empty(0), true),
            Act::CommitThen(act) => {
                let committed = self.answer(request);
                // Where nothing was done, nothing is lost.
                if committed.status >= 300 { (committed, false) } else { self.perform(*act, request) }
            }
            Act::First(change) => {
                change(self);
                (self.answer(request), false)
            }
            Act::Alter(change) => {
                let mut answer = self.answer(request);
                answer.change(change);
                (answer, false)
            }
        }
    }
}

/// What a client must send with every call: an id of its own, never the same twice, and the wish for immutable ids.
fn check_headers(request: &Request, seen: &mut HashSet<String>, violations: &mut Vec<String>) {
    let mut violation = |text: &str| violations.push(format!("{text}: {} {}", request.method, request.path));
    match request.header("client-request-id") {
        None => violation("no client-request-id"),
        Some(id) if !seen.insert(id.to_owned()) => violation("the same client-request-id again"),
        Some(_) => {}
    }
    if request.header("prefer") != Some(r#"IdType="ImmutableId""#) {
        violation("no wish for immutable ids");
    }
}
