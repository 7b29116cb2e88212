//! Several processes on one ledger at the same time, killed in turn: a run and its successor, a run and a replay beside it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};

use whatsapp_archiver::clock::{Clock as _, SystemClock};
use whatsapp_archiver::failpoint;
use whatsapp_archiver::ledger::Ledger;

use super::mailboxes::Town;
use super::population::Dice;
use super::replicas::{Daemon, until_stored};
use super::site::{Site, Staged, census};
use crate::kill::{kill_at, reported};
use crate::servers::graph::GraphServer;
use crate::servers::postgres::Postgres;

/// A process at work.
struct Process {
    child: Child,
    log: Receiver<String>,
}

impl Process {
    fn start(site: &Site, arguments: &[&str]) -> Self {
        let mut child = site.command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (written, log) = mpsc::channel();
        // Read all the time: a process that can't write its log stands still, perhaps with the ledger in its hand.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(written.send(line))));
        Self { child, log }
    }

    /// Lets it write so many lines of log, or end.
    fn advance(&mut self, lines: usize) {
        self.log.iter().take(lines).for_each(drop);
    }

    /// Kills it. False where it had ended.
    fn kill(mut self) -> bool {
        let ended = self.child.try_wait().unwrap().is_some();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        !ended
    }
}

/// Starts processes, each while the one before is at work, and kills them in turn: so many.
fn kill_in_turn(site: &Site, seed: u64, kills: usize) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let mut story = Vec::new();
    let mut older = Process::start(site, &["run", "--once"]);
    for _ in 0..kills {
        older.advance(1 + dice.below(80));
        let arguments: &[&str] = if dice.one_in(2) { &["retry"] } else { &["run", "--once"] };
        let mut newer = Process::start(site, arguments);
        let (watches_newer, lines) = (dice.one_in(2), 1 + dice.below(60));
        if watches_newer {
            // One that waits for the other to end its reading writes nothing until then.
            newer.advance(lines.min(4));
        } else {
            older.advance(lines);
        }
        let killed = older.kill();
        story.push(format!(
            "{arguments:?} beside it, {lines} lines of the {}: killed {killed}",
            if watches_newer { "newer" } else { "older" }
        ));
        older = newer;
    }
    older.kill();
    story
}

fn site(seed: u64) -> Site {
    let town = Town::graph(GraphServer::start(), ["create-message", "import-mime"][seed as usize % 2]);
    Site::new(&census(60, "two", seed), town, Staged::Locally)
}

async fn killed_on_one_file(seed: u64, kills: usize) {
    let site = site(seed);
    let story = kill_in_turn(&site, seed, kills);
    site.finish(&format!("SQLite, seed {seed}: {story:#?}")).await;
}

async fn killed_on_one_server(seed: u64, kills: usize) {
    let site = site(seed).with_ledger(Postgres::shared().new_database(), Staged::Locally);
    let story = kill_in_turn(&site, seed, kills);
    let what = format!("PostgreSQL, seed {seed}: {story:#?}");
    // Here nobody knows that a process is dead before its leases run out.
    site.run_until_done(10, &what);
    let ledger = Ledger::open(site.ledger()).await.unwrap();
    while ledger.run_under_way(SystemClock.now()).await.unwrap().is_some() {
        site.run();
    }
    site.run_until_done(3, &what);
    site.judge(&what).await;
}

/// The run after a kill takes everything over that the killed one left open: it says `complete` only where nothing is open.
#[tokio::test]
async fn a_process_that_starts_again_on_postgres_leaves_nothing_open() {
    for (seed, point, count) in [(0, failpoint::INTENT_RECORDED, 3), (1, failpoint::BATCH_IMPORTED, 2)] {
        let site = site(seed).with_ledger(Postgres::shared().new_database(), Staged::Locally);
        let what = format!("PostgreSQL, killed at {point}:{count}");
        assert!(kill_at(site.run_once(), point, count), "{what}");
        let next = site.run();
        let ledger = Ledger::open(site.ledger()).await.unwrap();
        let open = ledger.open_counts().await.unwrap().pending;
        assert!(next.status.success() && open == 0, "{what}: {open} open, {}", reported(&next));
        site.judge(&what).await;
    }
}

/// Without its name, the daemon would wait for an hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_starts_again_under_its_name_waits_for_no_lease() {
    let mut site = site(0).with_ledger(Postgres::shared().new_database(), Staged::Locally);
    site.change_configuration("lease = \"10s\"", "lease = \"1h\"");
    site.environment.push(("WHATSAPP_ARCHIVER__LEDGER__REPLICA", "archiver-0"));
    assert!(kill_at(site.command(&["run"]), failpoint::INTENT_RECORDED, 3));
    let copies = site.population.expected.values().map(Vec::len).sum();
    let daemon = Daemon::start(&site);
    tokio::task::block_in_place(|| until_stored(&site, copies));
    daemon.kill();
    site.judge_mailboxes("killed and started again");
}

#[tokio::test]
async fn a_run_that_begins_beside_another_sends_a_part_of_it() {
    let site = site(0).with_ledger(Postgres::shared().new_database(), Staged::Locally);
    let graph = site.town.tenant();
    graph.hold();
    let mut first = Process::start(&site, &["run", "--once"]);
    graph.wait_for_in_flight(1).await;
    let mut second = Process::start(&site, &["run", "--once"]);
    assert!(second.log.iter().any(|line| line.contains("\"help_started\"")), "it follows");
    graph.release();
    for process in [&mut first, &mut second] {
        assert!(process.child.wait().unwrap().success());
    }
    site.judge("two runs beside each other").await;
}

#[tokio::test]
async fn two_at_a_time_on_sqlite() {
    for seed in 0..4 {
        killed_on_one_file(seed, 3).await;
    }
}

#[tokio::test]
async fn two_at_a_time_on_postgres() {
    killed_on_one_server(0, 3).await;
}

#[tokio::test]
#[ignore = "hundreds of processes take minutes: tests/long.sh"]
async fn hundreds_of_processes_two_at_a_time() {
    for seed in 100..150 {
        killed_on_one_file(seed, 6).await;
    }
    for seed in 200..210 {
        killed_on_one_server(seed, 4).await;
    }
    println!(
        "siege: 300 processes on one SQLite ledger, 40 on one PostgreSQL ledger, two at a time, killed in turn (seeds 100-149, 200-209)"
    );
}
