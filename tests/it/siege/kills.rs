//! The process is killed at every named point and at random moments, while it speaks to servers: TeleMessage on the wire,
//! Azurite, and Dovecot or Graph.

use std::sync::Arc;

use whatsapp_archiver::failpoint;

use super::mailboxes::Town;
use super::population::Dice;
use super::site::{Site, Staged, census};
use crate::kill::{kill_after, kill_at};
use crate::servers::dovecot::Dovecot;
use crate::servers::graph::GraphServer;

const MESSAGES: i64 = 60;

/// The mailboxes that trials take in turn.
fn town(turn: usize, dovecot: &Arc<Dovecot>) -> Town {
    match turn % 3 {
        0 => Town::dovecot(dovecot),
        1 => Town::graph(GraphServer::start(), "create-message"),
        _ => Town::graph(GraphServer::start(), "import-mime"),
    }
}

fn site(turn: usize, seed: u64, dovecot: &Arc<Dovecot>) -> Site {
    Site::new(&census(MESSAGES, &format!("s{seed}"), seed), town(turn, dovecot), Staged::at_azurite())
}

/// Kills a place's runs at these points. Each of them is passed.
async fn killed_at(turn: usize, dovecot: &Arc<Dovecot>, points: &[(&str, u32)]) {
    let site = site(turn, turn as u64, dovecot);
    let what = format!("{}, killed at {points:?}", site.town.name());
    for (point, count) in points {
        assert!(kill_at(site.run_once(), point, *count), "{what}: {point}:{count} is passed");
    }
    site.finish(&what).await;
}

/// At every point, in an order in which each kill leaves something to do for the next.
const EVERY_POINT: [(&str, u32); 7] = [
    (failpoint::PAGE_STAGED, 1),
    (failpoint::PAGE_RECORDED, 1),
    (failpoint::INTENT_RECORDED, 1),
    (failpoint::BATCH_IMPORTED, 1),
    (failpoint::OUTCOMES_RECORDED, 1),
    (failpoint::WINDOW_READ, 1),
    (failpoint::ACCOUNT_FROZEN, 1),
];

#[test]
fn every_point_is_besieged() {
    let mut besieged = EVERY_POINT.map(|(point, _)| point);
    let mut all = failpoint::ALL;
    besieged.sort_unstable();
    all.sort_unstable();
    assert_eq!(besieged, all);
}

#[tokio::test]
async fn killed_at_every_point_in_front_of_dovecot() {
    killed_at(0, &Town::new_dovecot(), &EVERY_POINT).await;
}

#[tokio::test]
async fn killed_at_every_point_in_front_of_graph() {
    let dovecot = Town::new_dovecot();
    killed_at(1, &dovecot, &EVERY_POINT).await;
    killed_at(2, &dovecot, &EVERY_POINT).await;
}

/// Kills runs of one place after a random number of log lines, `kills` times at the most; how often it was.
async fn killed_at_random(turn: usize, seed: u64, kills: u32, dovecot: &Arc<Dovecot>) -> u32 {
    let site = site(turn, seed, dovecot);
    let mut dice = Dice::new(seed);
    let mut moments = Vec::new();
    let mut killed = 0;
    // The log of the first run is long; that of one after it is as long as what was left to do.
    let mut most = 200;
    while killed < kills && most > 4 {
        let lines = 1 + dice.below(most);
        moments.push(lines);
        if kill_after(site.run_once(), lines) {
            killed += 1;
        } else {
            most = lines / 2;
        }
    }
    site.finish(&format!("{}, seed {seed}, killed after {moments:?} lines of log", site.town.name())).await;
    killed
}

#[tokio::test]
async fn killed_at_random_moments() {
    let dovecot = Town::new_dovecot();
    let mut killed = 0;
    for (turn, seed) in (0..3).zip(300..) {
        killed += killed_at_random(turn, seed, 4, &dovecot).await;
    }
    assert!(killed >= 9, "{killed} kills");
}

#[tokio::test]
#[ignore = "a thousand kills take many minutes: tests/long.sh"]
async fn killed_a_thousand_times_in_front_of_servers() {
    let dovecot = Town::new_dovecot();
    let mut killed = 0;
    let mut places = 0;
    for (turn, seed) in (0..).zip(10_000..) {
        killed += killed_at_random(turn, seed, 10, &dovecot).await;
        places += 1;
        if killed >= 1000 {
            break;
        }
    }
    println!(
        "siege: {killed} kills at random moments in {places} places (seeds from 10000), each item once in each mailbox"
    );
}
