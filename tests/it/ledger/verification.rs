//! What a verification may change: copies that are missing are of unknown outcome again.

use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::task::JoinHandle;
use whatsapp_archiver::ledger::{DeliveryState, Ledger, LedgerError, NewItem, QueueOf, Target};

use super::{Database, at, begin, copy, identity, mailbox, new_item, outcome, page, prepared, run_id, sender, window};

/// The copies of two items for two mailboxes are imported; another one waits in the first.
pub(super) async fn missing_copies_are_unknown_again_unless_their_items_are_purged(database: Database) {
    let ledger = database.open().await;
    begin(&ledger, 1).await;
    let items: Vec<NewItem> = (0..3).map(new_item).collect();
    let numbers = page(&ledger, 1, &items, at(60)).await;
    let rows = |index: usize| match index {
        2 => vec![copy(1, 2, DeliveryState::Ready)],
        _ => [1, 2].map(|to| copy(to, index, DeliveryState::Ready)).to_vec(),
    };
    let all: Vec<_> = numbers.iter().enumerate().map(|(index, no)| prepared(*no, rows(index))).collect();
    ledger.record_prepared(&run_id(1), at(1), &all).await.unwrap();
    let done: Vec<_> =
        [1, 2].iter().flat_map(|to| numbers[..2].iter().map(|no| outcome(*no, *to, DeliveryState::Imported))).collect();
    ledger.record(&sender(1), &done, &[]).await.unwrap();

    let missing: Vec<_> = (0..250).map(identity).filter(|it| *it != identity(1)).collect();
    assert_eq!(
        ledger.doubt_imported(&mailbox(1).id, &missing, at(5), at(9)).await.unwrap(),
        1,
        "what waits is not doubted"
    );
    assert_eq!(ledger.doubt_imported(&mailbox(1).id, &missing, at(5), at(9)).await.unwrap(), 0);
    let queue =
        async |to: usize| ledger.queue(&run_id(1), &mailbox(to).id, QueueOf::Unknown, super::ItemNo(0), 9).await;
    let unknown = queue(1).await.unwrap();
    let told: Vec<_> = unknown.iter().map(|copy| (copy.no, copy.settle_at)).collect();
    assert_eq!(told, [(numbers[0], Some(at(9)))]);
    let row = &ledger.rows_of(&numbers[..1]).await.unwrap()[0];
    assert_eq!((row.target.clone(), row.created), (Target::Mailbox(mailbox(1).id), at(5)));
    assert!(queue(2).await.unwrap().is_empty());

    let rest = [outcome(numbers[0], 1, DeliveryState::Imported), outcome(numbers[2], 1, DeliveryState::Imported)];
    ledger.record(&sender(1), &rest, &[]).await.unwrap();
    assert!(ledger.begin_purge(window()).await.unwrap());
    assert_eq!(
        ledger.doubt_imported(&mailbox(1).id, &missing, at(5), at(9)).await.unwrap(),
        0,
        "they are being purged"
    );
    ledger.finish_purge(window(), at(10)).await.unwrap();
    assert_eq!(ledger.doubt_imported(&mailbox(1).id, &missing, at(5), at(9)).await.unwrap(), 0);
}

/// A ledger on PostgreSQL whose only copy is imported, and two more sessions in its database.
async fn with_an_imported_copy() -> (Ledger, [PgConnection; 2]) {
    let database = Database::postgres();
    let ledger = database.open().await;
    begin(&ledger, 1).await;
    let numbers = page(&ledger, 1, &[new_item(0)], at(60)).await;
    let sending = prepared(numbers[0], vec![copy(1, 0, DeliveryState::Ready)]);
    ledger.record_prepared(&run_id(1), at(1), &[sending]).await.unwrap();
    ledger.record(&sender(1), &[outcome(numbers[0], 1, DeliveryState::Imported)], &[]).await.unwrap();
    let session = async || PgConnection::connect(&database.url).await.unwrap();
    let sessions = [session().await, session().await];
    (ledger, sessions)
}

fn doubt(ledger: &Ledger) -> JoinHandle<Result<u64, LedgerError>> {
    let ledger = ledger.clone();
    tokio::spawn(async move { ledger.doubt_imported(&mailbox(1).id, &[identity(0)], at(5), at(9)).await })
}

fn purge(ledger: &Ledger) -> JoinHandle<Result<bool, LedgerError>> {
    let ledger = ledger.clone();
    tokio::spawn(async move { ledger.begin_purge(window()).await })
}

/// Returns when this has ended, or so many sessions of the database wait for a lock.
async fn until_waiting<T>(session: &mut PgConnection, sessions: i64, work: &JoinHandle<T>) {
    let waiting = "SELECT COUNT(*) AS waiting FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while !work.is_finished()
        && sqlx::query(waiting).fetch_one(&mut *session).await.unwrap().get::<i64, _>("waiting") < sessions
    {
        tokio::task::yield_now().await;
    }
}

/// What two come to of which the first waits for rows that somebody else has, and the second begins meanwhile.
async fn one_beside_the_other<A, B>(
    [mut session, mut watch]: [PgConnection; 2],
    rows: &'static str,
    first: impl FnOnce() -> JoinHandle<Result<A, LedgerError>>,
    second: impl FnOnce() -> JoinHandle<Result<B, LedgerError>>,
) -> (A, B) {
    let mut held = session.begin().await.unwrap();
    sqlx::query(rows).fetch_all(&mut *held).await.unwrap();
    let first = first();
    until_waiting(&mut watch, 1, &first).await;
    let second = second();
    until_waiting(&mut watch, 2, &second).await;
    held.rollback().await.unwrap();
    (first.await.unwrap().unwrap(), second.await.unwrap().unwrap())
}

/// A purge has begun, and comes to the row of its window, which somebody else has; meanwhile the copy is found to be missing.
#[tokio::test]
async fn a_purge_that_has_begun_is_not_passed_by_a_doubt() {
    let (ledger, sessions) = with_an_imported_copy().await;
    let rows = "SELECT 1 FROM staged_windows FOR UPDATE";
    assert_eq!(one_beside_the_other(sessions, rows, || purge(&ledger), || doubt(&ledger)).await, (true, 0));
}

/// A copy is being doubted, and comes to its row, which somebody else has; meanwhile a purge begins.
#[tokio::test]
async fn a_doubt_that_has_begun_is_not_passed_by_a_purge() {
    let (ledger, sessions) = with_an_imported_copy().await;
    let rows = "SELECT 1 FROM delivery_rows FOR UPDATE";
    assert_eq!(one_beside_the_other(sessions, rows, || doubt(&ledger), || purge(&ledger)).await, (1, false));
}
