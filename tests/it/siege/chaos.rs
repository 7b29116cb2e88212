//! Three daemons on one PostgreSQL ledger that are killed, stopped beyond their leases and started again, while the database
//! crashes beside them. Nothing may be lost or doubled, and no run may say `complete` while a copy is open.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::Row as _;
use whatsapp_archiver::clock::{Clock as _, SystemClock};

use super::population::Dice;
use super::replicas::{Daemon, number_of, site, stored};
use super::site::Site;
use crate::servers::postgres::Postgres;

const DAEMONS: usize = 3;

/// The lease is ten seconds: some stops are beyond it.
const MAX_STOP_SECONDS: usize = 16;

fn signal(daemon: &Daemon, name: &str) {
    Command::new("kill").args([&format!("-{name}"), &daemon.0.id().to_string()]).status().unwrap();
}

/// Ended runs that say `complete`, seen in one look at the ledger where nothing runs and copies are open.
async fn false_ends(pool: &sqlx::PgPool) -> Result<Vec<String>, sqlx::Error> {
    let looked = "SELECT run_id FROM runs WHERE status = 'complete' AND run_no = (SELECT MAX(run_no) FROM runs)
        AND NOT EXISTS (SELECT 1 FROM runs WHERE status = 'running')
        AND EXISTS (SELECT 1 FROM deliveries_in_words WHERE state IN ('ready', 'sending', 'unknown', 'pending'))";
    sqlx::query(looked).fetch_all(pool).await?.iter().map(|row| row.try_get("run_id")).collect()
}

/// Looks at the ledger ten times a second until it is told to end.
async fn watch(ledger: String, ended: Arc<AtomicBool>) -> Vec<String> {
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect_lazy(&ledger).unwrap();
    let mut found = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        // The database may be down at the moment.
        found.extend(false_ends(&pool).await.unwrap_or_default());
        SystemClock.sleep(Duration::from_millis(100)).await;
    }
    found.dedup();
    found
}

/// What befalls the daemons and the database for so long.
fn torment(site: &Site, postgres: &Postgres, seed: u64, time: Duration) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let begun = Instant::now();
    let mut daemons: Vec<Daemon> = (0..DAEMONS).map(|_| Daemon::start(site)).collect();
    let mut story = Vec::new();
    while begun.elapsed() < time {
        std::thread::sleep(Duration::from_millis(200 + dice.below(3000) as u64));
        let which = dice.below(DAEMONS);
        let what = match dice.below(8) {
            0..4 => {
                daemons.remove(which).kill();
                daemons.push(Daemon::start(site));
                format!("daemon {which} killed and started again")
            }
            4..7 => {
                let seconds = 1 + dice.below(MAX_STOP_SECONDS);
                signal(&daemons[which], "STOP");
                std::thread::sleep(Duration::from_secs(seconds as u64));
                signal(&daemons[which], "CONT");
                format!("daemon {which} stood still for {seconds} s")
            }
            _ => {
                postgres.crash(site.ledger());
                "the database crashed".to_owned()
            }
        };
        story.push(format!("{:.1} s: {what}; {} copies are there", begun.elapsed().as_secs_f32(), stored(site)));
    }
    story
}

async fn trial(seed: u64, copies: usize, time: Duration) {
    let postgres = Postgres::alone();
    let site = site(copies, postgres.new_database());
    site.change_configuration("settle = \"1ms\"", "settle = \"2s\"");
    site.change_configuration("[ledger]", "[schedule]\nevery = \"1m\"\n[ledger]");
    let ended = Arc::new(AtomicBool::new(false));
    let watching = tokio::spawn(watch(site.ledger().to_owned(), Arc::clone(&ended)));
    let story = tokio::task::block_in_place(|| torment(&site, &postgres, seed, time));
    ended.store(true, Ordering::Relaxed);
    let false_ends = watching.await.unwrap();
    let what = format!("chaos, seed {seed}: {story:#?}");
    let left = copies - stored(&site);
    // The killed daemons' leases have to run out first.
    tokio::task::block_in_place(|| {
        site.run_until_done(20, &what);
        site.run_until_done(1, &what);
    });
    site.judge(&what).await;
    assert!(false_ends.is_empty(), "{what}: complete with open copies: {false_ends:?}");
    println!(
        "siege: chaos, seed {seed}: {} kills, stops and crashes in {} s; {left} of {copies} copies were left for the next run, none \
         is lost or doubled",
        story.len(),
        time.as_secs()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a quarter of an hour: tests/long.sh"]
async fn three_daemons_are_killed_stopped_and_cut_off_and_nothing_is_lost_or_doubled() {
    let (first, trials) = (number_of("SEED", 1) as u64, number_of("TRIALS", 10) as u64);
    let (copies, time) = (number_of("MESSAGES", 3000), Duration::from_secs(number_of("SECONDS", 90) as u64));
    for seed in first..first + trials {
        trial(seed, copies, time).await;
    }
}
