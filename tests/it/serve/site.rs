//! The endpoints on a port of their own, over a ledger with a past, and a client that asks them.

use std::net::SocketAddr;
use std::sync::Arc;

use chrono::{DateTime, NaiveTime, Utc};
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use whatsapp_archiver::clock::{Clock as _, ManualClock, SharedClock};
use whatsapp_archiver::http::{HttpClient, HttpOptions, Remote, Reply};
use whatsapp_archiver::ledger::Ledger;
use whatsapp_archiver::metrics::Metrics;
use whatsapp_archiver::schedule::{Begin, Schedule};
use whatsapp_archiver::secret::Secret;
use whatsapp_archiver::serve::{Health, Served, serve};

use super::seed::Seed;

const CAP: u64 = 64 * 1024 * 1024;

pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) schedule: Schedule,
    pub(crate) seed: Seed,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinHandle<std::io::Result<()>>,
    client: HttpClient,
    folder: tempfile::TempDir,
}

/// The present of all these tests.
pub(crate) fn now() -> DateTime<Utc> {
    "2026-11-22T09:30:00Z".parse().unwrap()
}

pub(crate) fn fixed(token: &str) -> Secret {
    Secret::variable("http.token", "STATUS_TOKEN", Some(token))
}

impl Site {
    /// Without a token.
    pub(crate) async fn open() -> Self {
        Self::start(None).await
    }

    /// With a token, on any free port.
    pub(crate) async fn start(token: Option<Secret>) -> Self {
        Self::start_at("127.0.0.1:0", token).await
    }

    pub(crate) async fn start_at(listen: &str, token: Option<Secret>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("ledger.db").display());
        let ledger = Ledger::open(&url).await.unwrap();
        let clock = Arc::new(ManualClock::self_moving(now()));
        let shared: SharedClock = Arc::<ManualClock>::clone(&clock);
        let (health, metrics) = (Arc::new(Health::new(Arc::clone(&shared))), Arc::new(Metrics::new()));
        let schedule = Schedule {
            every: chrono::Duration::hours(24),
            at: NaiveTime::from_hms_opt(2, 0, 0),
            overlap: chrono::Duration::hours(24),
            settle: chrono::Duration::minutes(5),
            begin: Begin::Lookback(chrono::Duration::hours(24)),
        };
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = Served {
            ledger: ledger.clone(),
            schedule: tokio::sync::watch::Sender::new(schedule.clone()).subscribe(),
            clock: shared,
            metrics: Arc::clone(&metrics),
            health: Arc::clone(&health),
            token,
        };
        let serving = tokio::spawn(serve(listener, served, stop.clone()));
        let client = HttpClient::build(&HttpOptions::default()).unwrap();
        let seed = Seed::new(ledger);
        Self { address, clock, health, metrics, schedule, seed, stop, serving, client, folder }
    }

    /// Where the ledger is.
    pub(crate) fn ledger_url(&self) -> String {
        format!("sqlite://{}", self.folder.path().join("ledger.db").display())
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask(Method::GET, path, &[], "").await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.ask(Method::GET, path, headers, "").await
    }

    pub(crate) async fn get_as(&self, path: &str, token: &str) -> Reply {
        self.get_with(path, &[("authorization", &format!("Bearer {token}"))]).await
    }

    /// Sends the sign-in form.
    pub(crate) async fn sign_in(&self, form: &str, headers: &[(&str, &str)]) -> Reply {
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        self.ask(Method::POST, "/sign-in", &all, form).await
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut request = self.client.request(method, self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.body(body.to_owned());
        }
        self.client.send(Remote::Health, request, CAP).await.unwrap()
    }

    /// The client itself, for what must be seen on its way.
    pub(crate) fn client(&self) -> &HttpClient {
        &self.client
    }

    pub(crate) fn elapsed(&self) -> chrono::Duration {
        self.clock.now() - now()
    }
}

pub(crate) fn text(reply: &Reply) -> String {
    String::from_utf8(reply.body.to_vec()).unwrap()
}

pub(crate) fn json(reply: &Reply) -> serde_json::Value {
    assert!(header(&reply.headers, "content-type").starts_with("application/json"));
    serde_json::from_slice(&reply.body).unwrap()
}

/// A header's value; empty where there is none.
pub(crate) fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}
