//! A peer that asks for a pause of an hour: whoever it is about waits, the others have what is theirs, and the run ends.

use std::time::{Duration, Instant};

use whatsapp_archiver::clock::{Clock as _, SystemClock};

use super::time::Time;
use super::{files_for, microsoft_section};
use crate::daemon::bench::{ANA, Files, archive_of, numbered};
use crate::daemon::process::Ended;
use crate::servers::graph::{Act, Fault, GraphServer, RetryAfter};
use crate::servers::telemessage::{self, MediaFault};

const BEN: &str = "ben.ito@contoso.example";
const ITEMS: usize = 5;

/// An hour takes a minute, so that whoever waits for it takes too long.
fn run(files: &Files) -> Ended {
    let begun = Instant::now();
    let ended = Time::faster(60).start(files, &["run", "--once"]).end();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    ended
}

fn finished(ended: &Ended) -> (&str, u64) {
    let line = ended.events("run_finished")[0];
    (line["run.status"].as_str().unwrap(), line["deliveries.pending"].as_u64().unwrap())
}

#[test]
fn one_attachment_that_is_to_be_asked_for_in_an_hour_holds_up_its_own_item_alone() {
    let server = archive_of(0);
    let received = SystemClock.now() - chrono::Duration::minutes(30);
    server.add([numbered(1, received).attachment("a.bin", "application/octet-stream", vec![7; 1000])]);
    server.add((2..=20).map(|number| numbered(number, received + chrono::Duration::seconds(number))));
    for _ in 0..100 {
        server.fail_attachment(1, 0, MediaFault::Answer(telemessage::Fault::RetryAfter(429, "3600".to_owned())));
    }
    let files = files_for(&server, "24h", "");
    files.change_config("attempts = 1", "attempts = 6");
    files.change_config("[ledger]", "[ledger]\nlease = \"1h\"");
    assert_eq!(finished(&run(&files)).0, "incomplete");
    assert_eq!(files.archived(ANA), (2..=20).collect::<Vec<i64>>());
    server.heal();
    assert_eq!(finished(&run(&files)), ("complete", 0));
    assert_eq!(files.archived(ANA), (1..=20).collect::<Vec<i64>>());
}

/// A tenant in which Ana and Ben have mailboxes, and Ana's id.
fn tenant() -> (GraphServer, String) {
    let graph = GraphServer::start();
    graph.add_user("ben.ito");
    let ana = graph.add_user("ana.berg");
    (graph, ana)
}

/// How many copies Ana has, and Ben.
fn copies(graph: &GraphServer) -> [usize; 2] {
    let mailboxes = crate::oracle::read_graph(graph);
    [ANA, BEN].map(|address| mailboxes[address].len())
}

/// Runs while the tenant asks for that pause; then with newer messages, while it still does; then when all is well.
fn assert_only_ana_waits(fault: impl FnOnce(String) -> Fault) {
    let (graph, ana) = tenant();
    let server = archive_of(ITEMS as i64);
    let files = files_for(&server, "24h", &microsoft_section(graph.origin()));
    files.change_config("attempts = 1", "attempts = 6");
    files.write_mapping(&[("15550100", ANA), ("15550101", BEN)]);
    files.change_config("kind = \"list\"\n                path = \"users.csv\"", "kind = \"graph\"");
    files.change_config(
        "kind = \"maildir\"\n                path = \"mailboxes/\"",
        "kind = \"graph\"\nsettle = \"1m\"",
    );
    files.change_config("[ledger]", "[ledger]\nlease = \"10m\"");
    graph.fail(fault(ana));
    assert_eq!(finished(&run(&files)), ("incomplete", ITEMS as u64));
    assert_eq!(copies(&graph), [0, ITEMS]);

    server.add([numbered(100, SystemClock.now())]);
    assert_eq!(finished(&run(&files)).0, "incomplete");
    assert_eq!(copies(&graph), [0, ITEMS + 1], "newer messages come");

    graph.heal();
    assert_eq!(finished(&run(&files)), ("complete", 0));
    assert_eq!(copies(&graph), [ITEMS + 1; 2]);
}

fn in_an_hour() -> Act {
    Act::throttle(RetryAfter::Seconds(3600))
}

#[test]
fn one_mailbox_that_asks_for_an_hour_holds_up_its_own_copies_alone() {
    assert_only_ana_waits(|ana| Fault::always(format!("{ana}/mailFolders"), in_an_hour()).of("POST"));
}

#[test]
fn one_user_who_is_to_be_looked_up_in_an_hour_holds_up_their_own_copies_alone() {
    assert_only_ana_waits(|_| Fault::always(ANA, in_an_hour()).of("GET"));
}
