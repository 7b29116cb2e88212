//! A place where the program runs, with a receiver of its webhook, and somebody who looks at its page and metrics.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use whatsapp_archiver::clock::{SharedClock, SystemClock};
use whatsapp_archiver::config::{Config, NeededSecrets};
use whatsapp_archiver::http::{HttpClient, HttpOptions, Remote};
use whatsapp_archiver::ledger::Ledger;
use whatsapp_archiver::metrics::Metrics;
use whatsapp_archiver::serve::metrics::{Exposition, MetricsPage};
use whatsapp_archiver::serve::{Health, Served, serve};

use super::shown::{self, Shown};
use crate::siege::heard::Heard;
use crate::siege::mailboxes::Town;
use crate::siege::site::{self, Census, Site, Staged};

type Posts = Arc<Mutex<Vec<Value>>>;

async fn receive(State(posts): State<Posts>, body: String) {
    posts.lock().unwrap().push(serde_json::from_str(&body).unwrap());
}

pub(super) struct Place {
    pub(super) site: Site,
    posts: Posts,
}

impl Place {
    pub(super) async fn new(town: Town, staged: Staged) -> Self {
        Self::of(&site::census(40, "outage", 3), town, staged).await
    }

    pub(super) async fn of(census: &Census, town: Town, staged: Staged) -> Self {
        let posts = Posts::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let webhook = format!("http://{}/", listener.local_addr().unwrap());
        let router = axum::Router::new().route("/", post(receive)).with_state(Arc::clone(&posts));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let site = Site::new(census, town, staged);
        site.write("webhook", &webhook);
        site.change_configuration("level = \"debug\"", "level = \"info\"\n[notify]\nwebhook = { file = \"webhook\" }");
        Self { site, posts }
    }

    /// A run of the program, and what can be seen after it.
    pub(super) async fn run(&self, environment: &[(&str, String)]) -> Shown {
        let mut command = self.site.run_once();
        command.envs(environment.iter().map(|(name, value)| (*name, value.as_str())));
        let heard = Heard::of(command).await;
        let woken = heard.woken().into_iter().cloned().collect();
        self.shown(woken).await
    }

    /// The daemon.
    pub(super) fn daemon(&self) -> Daemon {
        let mut command = self.site.command(&["run"]);
        let mut process = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let stderr = process.stderr.take().unwrap();
        let (sender, lines) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap_or_default());
            }
        });
        Daemon { process, lines, log: Vec::new() }
    }

    /// What can be seen now, beside this log.
    pub(super) async fn shown(&self, log: Vec<Value>) -> Shown {
        let ledger = Ledger::open_existing(self.site.ledger()).await.unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let scrape = MetricsPage::of(Arc::default()).render(&ledger, clock.now(), Exposition::OpenMetrics).await;
        let page = self.page(ledger, clock).await;
        let posts = self.posts.lock().unwrap().clone();
        Shown { log, page: shown::words(&page), metrics: shown::wrong_metrics(&scrape), posts }
    }

    /// The status page.
    async fn page(&self, ledger: Ledger, clock: SharedClock) -> String {
        let config =
            Config::load(&self.site.directory.path().join("config.toml"), &BTreeMap::new(), NeededSecrets::All)
                .unwrap();
        let schedule = config.schedule.clone();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = Served {
            ledger,
            schedule: tokio::sync::watch::Sender::new(schedule).subscribe(),
            clock: Arc::clone(&clock),
            metrics: Arc::new(Metrics::new()),
            health: Arc::new(Health::new(clock)),
            token: None,
        };
        let serving = tokio::spawn(serve(listener, served, stop.clone()));
        let client = HttpClient::build(&HttpOptions::default()).unwrap();
        let request = client.get(format!("http://{address}/").parse().unwrap());
        let reply = client.send(Remote::Health, request, 1 << 22).await.unwrap();
        stop.cancel();
        serving.await.unwrap().unwrap();
        String::from_utf8(reply.body.to_vec()).unwrap()
    }
}

/// The daemon as a process, and what wakes somebody in its log.
pub(super) struct Daemon {
    process: Child,
    lines: tokio::sync::mpsc::UnboundedReceiver<Value>,
    log: Vec<Value>,
}

impl Daemon {
    pub(super) async fn wait_for(&mut self, event: &str) {
        loop {
            let line =
                tokio::time::timeout(Duration::from_mins(1), self.lines.recv()).await.expect(event).expect(event);
            let is_it = line["event"] == event;
            if line["level"] == "WARN" || line["level"] == "ERROR" {
                self.log.push(line);
            }
            if is_it {
                return;
            }
        }
    }

    pub(super) fn end(mut self) -> Vec<Value> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.log
    }
}
