//! Seeded mixtures of all faults, of all servers, over several runs and restarts; then the sky clears.

use std::fmt::Debug;
use std::sync::Arc;

use whatsapp_archiver::clock::ManualClock;

use super::indoors::{self, Census, Indoors};
use super::mailboxes::Town;
use super::population::Dice;
use super::site::Staged;
use crate::servers::azure_wire::{self, AzureWire};
use crate::servers::azurite::Azurite;
use crate::servers::dovecot::Dovecot;
use crate::servers::graph::{self, GraphServer, RetryAfter};
use crate::servers::imap_proxy::{ImapProxy, Network};
use crate::servers::telemessage::{self, MediaFault, PageFault};

/// What is thrown at one archive.
struct Storm {
    dice: Dice,
    /// What was thrown, in order.
    thrown: Vec<String>,
}

impl Storm {
    fn one_of<T: Clone + Debug>(&mut self, choices: &[T]) -> T {
        let chosen = choices[self.dice.below(choices.len())].clone();
        self.thrown.push(format!("{chosen:?}"));
        chosen
    }

    fn answer(&mut self) -> telemessage::Fault {
        use telemessage::Fault;
        self.one_of(&[
            Fault::Status(500),
            Fault::Status(429),
            Fault::Status(401),
            Fault::RetryAfter(429, "11".to_owned()),
            Fault::RetryAfter(503, "2".to_owned()),
            Fault::Code(306),
            Fault::Code(400),
            Fault::WrappedCode(300),
            Fault::Drop,
        ])
    }

    fn page(&mut self) -> PageFault {
        let answer = self.answer();
        self.one_of(&[
            PageFault::Answer(answer.clone()),
            PageFault::Answer(answer),
            PageFault::BreakOff,
            PageFault::Truncated,
            PageFault::BadGzip,
            PageFault::NotJson,
            PageFault::InvalidToken,
            PageFault::Doubled,
            PageFault::LastId(None),
        ])
    }

    fn attachment(&mut self) -> MediaFault {
        let answer = self.answer();
        let trailing = MediaFault::Answer(telemessage::Fault::Status(404));
        self.one_of(&[MediaFault::Answer(answer), trailing, MediaFault::BreakOff, MediaFault::WrongBytes])
    }

    fn over_the_source(&mut self, source: &telemessage::TeleMessageServer) {
        for _ in 0..self.dice.below(5) {
            // Some pages come through.
            (0..self.dice.below(4)).for_each(|_| source.fail_page(PageFault::Wrapped));
            let fault = self.page();
            (0..=self.dice.below(3)).for_each(|_| source.fail_page(fault.clone()));
        }
        // Each attachment fails once at the most, because wrong bytes that come again and again are kept as they are.
        for (item, index) in source.attachments() {
            if self.dice.one_in(3) {
                let fault = self.attachment();
                source.fail_attachment(item, index, fault);
            }
        }
    }

    fn over_staging(&mut self, wire: &AzureWire) {
        use azure_wire::Fault;
        for _ in 0..self.dice.below(6) {
            let (method, part) = self.one_of(&[
                ("PUT", "pages%2F"),
                ("PUT", "attachments%2F"),
                ("PUT", "regular-windows"),
                ("PUT", ""),
                ("GET", "comp=list"),
                ("GET", ""),
            ]);
            let fault = self.one_of(&[
                Fault::error(503, "ServerBusy", "retry-after: 4\r\n", "busy"),
                Fault::error(500, "InternalError", "", "oops"),
                Fault::error(403, "AuthorizationFailure", "", "not now"),
                Fault::Lost,
                Fault::AnswerLost,
                Fault::AnswerCut(30),
            ]);
            (0..=self.dice.below(3)).for_each(|_| wire.fail(method, part, fault.clone()));
        }
    }

    fn over_a_tenant(&mut self, tenant: &GraphServer) {
        use graph::{Act, Fault};
        let ways = [
            ("POST", "/messages"),
            ("POST", "/importMime"),
            ("GET", "/messages"),
            ("GET", "/mailFolders"),
            ("POST", "/mailFolders"),
            ("POST", "$batch"),
        ];
        for _ in 0..self.dice.below(8) {
            let (method, path) = self.one_of(&ways);
            tenant.fail(Fault::once(method, path, Act::First(|_| {})).times(self.dice.below(6)));
            let after = |act| Act::CommitThen(Box::new(act));
            let act = self.one_of(&[
                Act::throttle(RetryAfter::Seconds(9)),
                Act::throttle(RetryAfter::Date(100)),
                Act::throttle(RetryAfter::None),
                Act::reply(503, "serviceNotAvailable"),
                Act::reply(504, ""),
                Act::reply(401, "InvalidAuthenticationToken"),
                Act::reply(403, "ErrorAccessDenied"),
                Act::reply(507, "ErrorQuotaExceeded"),
                Act::reply(400, "NobodyKnowsThis"),
                Act::Drop,
                Act::First(|world| world.login.revoke()),
                after(Act::Drop),
                after(Act::reply(503, "serviceNotAvailable")),
                after(Act::reply(504, "")),
                Act::Alter(|reply| *reply = serde_json::json!([1])),
            ]);
            tenant.fail(Fault::once(method, path, act).times(1 + self.dice.below(4)));
        }
    }

    fn over_a_network(&mut self, network: &ImapProxy) {
        let way = self.one_of(&[Network::LosesAnswers, Network::LosesMessages, Network::Down, Network::Works]);
        network.break_next(way, 1 + self.dice.below(9));
    }
}

/// The tenant, or the server and the network before it, in turn.
async fn town(seed: u64, dovecot: &Arc<Dovecot>, clock: &Arc<ManualClock>) -> (Town, ImapProxy) {
    let network = ImapProxy::before(dovecot.port).await;
    let tenant = || {
        let server = GraphServer::start_at(Arc::<ManualClock>::clone(clock));
        server.with(|world| world.settle = chrono::TimeDelta::seconds(45));
        server
    };
    let town = match seed % 3 {
        0 => Town::Dovecot { server: Arc::clone(dovecot), port: network.port },
        1 => Town::graph(tenant(), "create-message"),
        _ => Town::graph(tenant(), "import-mime"),
    };
    (town, network)
}

/// One archive in one storm.
async fn weather(seed: u64, dovecot: &Arc<Dovecot>) {
    let clock = indoors::clock();
    let (town, network) = town(seed, dovecot, &clock).await;
    let wire = AzureWire::to(Azurite::shared().port()).await;
    let census = Census { some_late: true, ..indoors::census(24, &format!("m{seed}"), seed) };
    let mut indoors = Indoors::new(&census, town, Staged::AtAzure(wire.port()), Arc::clone(&clock)).await;
    let mut storm = Storm { dice: Dice::new(seed), thrown: Vec::new() };
    for _ in 0..=storm.dice.below(3) {
        storm.over_the_source(&indoors.site.source);
        storm.over_staging(&wire);
        match &indoors.site.town {
            Town::Graph { server, .. } => storm.over_a_tenant(server),
            _ => storm.over_a_network(&network),
        }
        let finished = indoors.run().await;
        storm.thrown.push(format!("a run: {}", finished.report.status.name()));
        clock.advance(std::time::Duration::from_mins(1 + storm.dice.below(40) as u64));
        if storm.dice.one_in(2) {
            storm.thrown.push("a restart".to_owned());
            indoors.restart().await;
        }
    }
    indoors.site.source.heal();
    wire.heal();
    network.set(Network::Works).await;
    if let Town::Graph { server, .. } = &indoors.site.town {
        server.heal();
    }
    indoors.finish(&format!("seed {seed}: {:#?}", storm.thrown)).await;
}

async fn weathers(seeds: std::ops::Range<u64>) {
    let dovecot = Town::new_dovecot();
    for seed in seeds {
        println!("seed {seed}");
        weather(seed, &dovecot).await;
    }
}

#[tokio::test]
async fn a_dozen_storms() {
    weathers(0..12).await;
}

#[tokio::test]
#[ignore = "hundreds of storms take minutes: tests/long.sh"]
async fn hundreds_of_storms() {
    weathers(1000..1400).await;
    println!("siege: 400 seeded mixtures of faults (seeds 1000 to 1399), each item once in each mailbox");
}
