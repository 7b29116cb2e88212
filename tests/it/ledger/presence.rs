//! Beside an SQLite ledger, the work of a process that has gone is anybody's at once.

use std::fs;

use whatsapp_archiver::ledger::{Holder, Lease, Ledger, LedgerError};

use super::{Database, at, begin, new_item, page, run_id};
use crate::servers::postgres::Postgres;

#[tokio::test]
async fn a_process_that_has_gone_holds_nothing() {
    let database = Database::sqlite();
    let ledger = database.open().await;
    let living = ledger.join(at(0)).await.unwrap();
    let folder = format!("{}-processes", database.url.strip_prefix("sqlite://").unwrap());

    // A file that nobody locks is what a process leaves that was killed.
    let gone = Holder("gone".to_owned());
    fs::write(format!("{folder}/gone"), "").unwrap();
    let lease = |name: &str| Lease::Mailbox(whatsapp_archiver::resolution::MailboxId(name.to_owned()));
    ledger.lease(&gone, &[lease("a")], at(0), at(600)).await.unwrap();
    ledger.lease(&living.holder, &[lease("b")], at(0), at(600)).await.unwrap();
    begin(&ledger, 1).await;
    let items = page(&ledger, 1, &[new_item(1)], at(600)).await;
    sqlx::query("UPDATE item_rows SET claim_holder = 'gone'").execute(&pool(&database).await).await.unwrap();

    let next = ledger.join(at(1)).await.unwrap();
    assert_eq!(ledger.lease(&next.holder, &[lease("a"), lease("b")], at(1), at(60)).await.unwrap(), [true, false]);
    let claimed = ledger.claim_items(&next.holder, &run_id(2), at(1), at(60), 9).await.unwrap();
    assert_eq!(claimed.iter().map(|item| item.no).collect::<Vec<_>>(), items);

    // However a process ends, what it didn't give back is free, and its file goes with the next one.
    drop((living, next));
    let last = ledger.join(at(2)).await.unwrap();
    assert_eq!(ledger.lease(&last.holder, &[lease("a"), lease("b")], at(2), at(60)).await.unwrap(), [true, true]);
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
}

/// A process whose clock was 400 days ahead is killed on another machine.
#[tokio::test]
async fn a_lease_of_a_clock_that_was_far_ahead_holds_nobody_up() {
    let database = Database { url: Postgres::shared().new_database(), _directory: None };
    let ledger = database.open().await;
    let now = ledger.server_time().await.unwrap().unwrap();
    let lease = |name: &str| Lease::Mailbox(whatsapp_archiver::resolution::MailboxId(name.to_owned()));
    let (gone, living) = (Holder("gone".to_owned()), Holder("living".to_owned()));
    let days = chrono::Duration::days(400);
    ledger.lease(&gone, &[lease("a"), Lease::Puller], now + days, now + days).await.unwrap();
    ledger.lease(&living, &[lease("b")], now, now + chrono::Duration::hours(1)).await.unwrap();
    begin(&ledger, 1).await;
    let items = page(&ledger, 1, &[new_item(1)], now + days).await;

    // One whose clock is behind takes nothing that is in force.
    let wanted = [lease("a"), lease("b"), Lease::Puller];
    for (behind, name) in [(chrono::Duration::hours(30), "behind"), (chrono::Duration::zero(), "right")] {
        let (now, until) = (now - behind, now - behind + chrono::Duration::seconds(60));
        let next = ledger.join(now).await.unwrap();
        assert_eq!(ledger.lease(&next.holder, &wanted, now, until).await.unwrap(), [true, false, true], "{name}");
        let claimed = ledger.claim_items(&next.holder, &run_id(2), now, until, 9).await.unwrap();
        assert_eq!(claimed.iter().map(|item| item.no).collect::<Vec<_>>(), items, "{name}");
        ledger.release_leases(&next.holder).await.unwrap();
    }
}

async fn pool(database: &Database) -> sqlx::AnyPool {
    sqlx::any::install_default_drivers();
    sqlx::AnyPool::connect(&database.url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_starts_at_once_opens_one_new_ledger() {
    for _ in 0..40 {
        let database = Database::sqlite();
        let opening = (0..6).map(|_| {
            let url = database.url.clone();
            tokio::spawn(async move { Ledger::open(&url).await })
        });
        let mut ids = Vec::new();
        for opened in futures_util::future::join_all(opening).await {
            ids.push(opened.unwrap().unwrap().id().to_owned());
        }
        ids.dedup();
        assert_eq!(ids.len(), 1);
    }
}

#[tokio::test]
async fn a_replica_that_starts_again_takes_its_own_work_over() {
    let ledger = Database::postgres().open().await;
    let lease = |name: &str| [Lease::Mailbox(whatsapp_archiver::resolution::MailboxId(name.to_owned()))];
    let mut holders = Vec::new();
    for (replica, mailbox) in [("one", "a"), ("two", "b")] {
        let holder = ledger.join(at(0)).await.unwrap().holder;
        ledger.succeed(replica, &holder, at(0)).await.unwrap();
        assert_eq!(ledger.lease(&holder, &lease(mailbox), at(0), at(600)).await.unwrap(), [true]);
        holders.push(holder);
    }
    let again = ledger.join(at(1)).await.unwrap().holder;
    assert_eq!(ledger.lease(&again, &lease("a"), at(1), at(60)).await.unwrap(), [false], "not without its name");
    ledger.succeed("one", &again, at(1)).await.unwrap();
    assert_eq!(ledger.lease(&again, &lease("a"), at(1), at(60)).await.unwrap(), [true]);
    assert_eq!(ledger.lease(&again, &lease("b"), at(1), at(60)).await.unwrap(), [false], "another replica's");
    let lost = ledger.renew_leases(&holders[0], 1, at(600)).await;
    assert!(matches!(lost, Err(LedgerError::LeaseLost(_))), "the one before stops, were it alive after all: {lost:?}");
}

#[tokio::test]
async fn a_crash_of_the_server_forgets_nothing() {
    let server = Postgres::alone();
    let url = server.new_database();
    let ledger = Ledger::open(&url).await.unwrap();
    begin(&ledger, 1).await;
    server.crash(&url);
    drop(ledger);
    // The server's own default would keep the last commits in memory for a while.
    let recovered = loop {
        match Ledger::open(&url).await {
            Ok(ledger) => break ledger,
            Err(LedgerError::Open { .. } | LedgerError::Database(_)) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(recovered.runs(9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_ledger_on_a_server_has_no_files_of_presence() {
    let ledger = Database::postgres().open().await;
    let (one, other) = (ledger.join(at(0)).await.unwrap(), ledger.join(at(0)).await.unwrap());
    assert_ne!(one.holder, other.holder);
}

#[test]
fn a_process_that_begins_is_never_taken_for_a_dead_one() {
    let database = Database::sqlite();
    let folder = format!("{}-processes", database.url.strip_prefix("sqlite://").unwrap());
    // Everybody who joins clears away what dead processes left, while the others are just beginning.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let ledger = database.open().await;
                    for _ in 0..40 {
                        let presence = ledger.join(at(0)).await.unwrap();
                        assert!(fs::exists(format!("{folder}/{}", presence.holder.0)).unwrap());
                    }
                });
            });
        }
    });
}
