//! How much faster several daemons on one ledger send than one, and what a daemon that is killed leaves of unknown outcome.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tempfile::TempDir;
use whatsapp_archiver::clock::{Clock as _, SystemClock};

use super::mailboxes::Town;
use super::population::Population;
use super::site::{Site, Staged, hours_ago};
use crate::oracle::{Copy, Expected};
use crate::servers::graph::GraphServer;
use crate::servers::postgres::Postgres;
use crate::servers::telemessage::{ArchivedItem, who};

const MAILBOXES: usize = 60;

/// Requests that one daemon has under way at the most (`mailbox.concurrency`).
const PLACES: usize = 6;

/// How long Graph takes for each request.
const DELAY: Duration = Duration::from_millis(100);

/// Copies that are claimed at a time, in all mailboxes that a daemon is at.
const MAX_CLAIMED: usize = 2 * PLACES * 16;

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(10);

/// A daemon, killed when this is dropped.
pub(super) struct Daemon(pub(super) Child);

impl Daemon {
    pub(super) fn start(site: &Site) -> Self {
        Self(command(site, "run").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    pub(super) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program, or another build of it that the environment names in `ARCHIVER`.
fn command(site: &Site, argument: &str) -> Command {
    let Some(program) = std::env::var_os("ARCHIVER") else { return site.command(&[argument]) };
    let mut command = Command::new(PathBuf::from(program));
    command.arg("--config").arg(site.directory.path().join("config.toml")).arg(argument).stdin(Stdio::null());
    command
}

/// So many messages, each with one copy, the mailboxes in turn.
fn population(messages: usize, first: DateTime<Utc>) -> Population {
    let number = |person: usize| format!("1555010{person:04}");
    let address = |person: usize| format!("replica{person}@contoso.example");
    let mapping: Vec<String> = (0..MAILBOXES).map(|person| format!("{},{}", number(person), address(person))).collect();
    let mut expected = Expected::new();
    let items = (1..=messages).map(|message| {
        let (owner, text) = (message % MAILBOXES, format!("message {message}"));
        let copy = Copy { whatsapp_id: format!("3EB0{message:012X}"), text: text.clone(), files: Vec::new() };
        expected.entry(address(owner)).or_default().push(copy);
        let received = first + chrono::Duration::milliseconds(message as i64);
        let owner = who(&number(owner));
        ArchivedItem::message(message as i64, received)
            .between(&owner, &who("15559999"), std::slice::from_ref(&owner))
            .text(&Copy::marked(&text))
    });
    let items = items.collect();
    for copies in expected.values_mut() {
        copies.sort();
    }
    Population {
        employees: (0..MAILBOXES).map(address).collect(),
        items,
        expected,
        duplicates: 0,
        mapping: format!("External User ID,Microsoft 365 User Mailbox\n{}\n", mapping.join("\n")),
    }
}

/// Daemons' place, with its ledger at this URL.
pub(super) fn site(messages: usize, ledger: String) -> Site {
    let server = GraphServer::start();
    server.delay(DELAY);
    let people = population(messages, hours_ago(SystemClock.now()));
    let town = Town::graph(server, "create-message");
    let site = Site::of(people, town, Arc::new(SystemClock), TempDir::new().unwrap());
    let site = site.with_ledger(ledger, Staged::Locally);
    let method = "method = \"create-message\"\n";
    site.change_configuration(method, &format!("{method}concurrency = {PLACES}\n"));
    site.change_configuration("page_size = 16", "page_size = 200");
    site.change_configuration("level = \"debug\"", "level = \"warn\"");
    site
}

pub(super) fn stored(site: &Site) -> usize {
    site.town.tenant().with(|world| world.mailboxes.values().map(|mailbox| mailbox.messages.len()).sum())
}

pub(super) fn until_stored(site: &Site, count: usize) -> Instant {
    let begun = Instant::now();
    while stored(site) < count {
        assert!(begun.elapsed() < PATIENCE, "{} of {count} copies arrived", stored(site));
        std::thread::sleep(Duration::from_millis(5));
    }
    Instant::now()
}

/// How long so many daemons, started together, take from the first copy to the last.
fn drain(daemons: usize, messages: usize) -> Duration {
    let site = site(messages, Postgres::shared().new_database());
    let running: Vec<Daemon> = (0..daemons).map(|_| Daemon::start(&site)).collect();
    let first = until_stored(&site, 1);
    let took = until_stored(&site, messages) - first;
    // Whoever would double something does so at the end.
    std::thread::sleep(DELAY * 5);
    drop(running);
    site.judge_mailboxes(&format!("{daemons} daemons"));
    let throttled = site.town.tenant().log().iter().filter(|request| request.ends_with(" 429")).count();
    assert_eq!(throttled, 0, "no mailbox has more requests at a time than it takes, over all daemons");
    took
}

/// How the one run of a ledger ended, once it has: its status, and how many copies it left pending.
async fn ended(ledger: &str) -> (String, i64) {
    let pool = sqlx::PgPool::connect(ledger).await.unwrap();
    let begun = Instant::now();
    loop {
        let ended = "SELECT status, report FROM runs WHERE status <> 'running' ORDER BY started";
        // The daemons make the tables.
        let ended: Vec<(String, String)> = sqlx::query_as(ended).fetch_all(&pool).await.unwrap_or_default();
        if let Some((status, report)) = ended.first() {
            let report: serde_json::Value = serde_json::from_str(report).unwrap();
            return (status.clone(), report["deliveries"]["pending"].as_i64().unwrap());
        }
        assert!(begun.elapsed() < PATIENCE, "the run goes on");
        SystemClock.sleep(Duration::from_millis(50)).await;
    }
}

/// Copies that may be there: they are looked up before they are sent again.
async fn of_unknown_outcome(ledger: &str) -> usize {
    let pool = sqlx::PgPool::connect(ledger).await.unwrap();
    let counted =
        sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM deliveries_in_words WHERE state IN ('sending', 'unknown')");
    usize::try_from(counted.fetch_one(&pool).await.unwrap()).unwrap()
}

pub(super) fn number_of(variable: &str, or: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(or)
}

#[test]
#[ignore = "measures for minutes: tests/long.sh"]
fn replicas_share_a_run() {
    let (trials, messages) = (number_of("TRIALS", 3), number_of("MESSAGES", 3000));
    let mut rates = vec![Vec::new(); 3];
    for _ in 0..trials {
        for daemons in 1..=3 {
            let copies = f64::from(u32::try_from(messages).unwrap());
            let rate = copies / drain(daemons, messages).as_secs_f64();
            println!("replicas: {daemons} daemons, {messages} copies: {rate:.1}/s");
            rates[daemons - 1].push(rate);
        }
    }
    for rates in &mut rates {
        rates.sort_by(f64::total_cmp);
    }
    let median = |daemons: usize| rates[daemons - 1][trials / 2];
    for daemons in 1..=3 {
        println!(
            "siege: {daemons} daemons on one PostgreSQL ledger, {MAILBOXES} mailboxes, {PLACES} places each, {} ms a request: \
             {:.1}/s ({:.1} to {:.1}), {:.2} times one",
            DELAY.as_millis(),
            median(daemons),
            rates[daemons - 1][0],
            rates[daemons - 1][trials - 1],
            median(daemons) / median(1)
        );
    }
    assert!(median(2) >= 1.9 * median(1) && median(3) >= 2.7 * median(1), "{rates:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures for minutes: tests/long.sh"]
async fn three_healthy_daemons_leave_nothing_pending() {
    let (trials, messages) = (number_of("TRIALS", 6), number_of("MESSAGES", 1050));
    let (mut incomplete, mut pending) = (0, 0);
    for trial in 1..=trials {
        let site = site(messages, Postgres::shared().new_database());
        let running: Vec<Daemon> = (0..3).map(|_| Daemon::start(&site)).collect();
        let (status, left) = ended(site.ledger()).await;
        println!("replicas: trial {trial}: {status}, {left} of {messages} pending");
        incomplete += usize::from(status != "complete");
        pending += left;
        if left == 0 {
            site.judge_mailboxes("three daemons");
        }
        drop(running);
    }
    println!(
        "siege: 3 healthy daemons, {trials} runs of {messages} copies: {incomplete} runs were incomplete, {pending} copies were pending"
    );
    assert!(std::env::var_os("ARCHIVER").is_some() || (incomplete == 0 && pending == 0));
}

/// How long so many `run --once`, started together, take from the first copy to the last.
fn drain_once(processes: usize, messages: usize) -> Duration {
    let site = site(messages, Postgres::shared().new_database());
    let start =
        || Daemon(command(&site, "run").arg("--once").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let running: Vec<Daemon> = (0..processes).map(|_| start()).collect();
    let first = until_stored(&site, 1);
    let took = until_stored(&site, messages) - first;
    for mut process in running {
        assert!(process.0.wait().unwrap().success());
    }
    site.judge_mailboxes(&format!("{processes} times run --once"));
    took
}

#[test]
#[ignore = "measures for minutes: tests/long.sh"]
fn two_single_runs_beside_each_other_share() {
    let messages = number_of("MESSAGES", 1500);
    let (one, two) = (drain_once(1, messages).as_secs_f64(), drain_once(2, messages).as_secs_f64());
    println!("siege: 2 `run --once` beside each other, {messages} copies: {:.2} times as fast as one", one / two);
    assert!(std::env::var_os("ARCHIVER").is_some() || two * 1.5 < one, "{one:.1} s alone, {two:.1} s together");
}

#[tokio::test]
#[ignore = "waits for a lease to run out: tests/long.sh"]
async fn what_a_kill_leaves_to_be_looked_up() {
    let messages = number_of("MESSAGES", 3000);
    let site = site(messages, Postgres::shared().new_database());
    let daemon = Daemon::start(&site);
    until_stored(&site, messages / 3);
    daemon.kill();
    let unknown = of_unknown_outcome(site.ledger()).await;
    println!(
        "siege: {messages} copies to {MAILBOXES} mailboxes, killed after a third: {unknown} are of unknown outcome"
    );
    let next = Daemon::start(&site);
    until_stored(&site, messages);
    std::thread::sleep(DELAY * 5);
    drop(next);
    site.judge_mailboxes("killed in mid-run");
    if std::env::var_os("ARCHIVER").is_none() {
        assert!(unknown <= MAX_CLAIMED, "{unknown} copies were in flight");
    }
}
