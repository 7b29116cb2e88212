//! One run, sent by several processes: what its followers may record, and until when.

use whatsapp_archiver::ledger::{
    DeliveryState, ItemNo, Lease, Ledger, LedgerError, NewItem, QueueOf, RunStatus, Sender,
};

use super::{Database, at, begin, claim, copy, holder, mailbox, new_item, outcome, page, prepared, run_id, sender};

fn follower(number: usize) -> Sender {
    Sender { run: run_id(1), holder: holder(number), is_follower: true }
}

/// A run with three copies for one mailbox, whose process pulls; another follows it until `at(60)`.
async fn a_shared_run(database: &Database) -> (Ledger, Vec<ItemNo>) {
    let ledger = database.open().await;
    let leases = [Lease::Puller, Lease::Run(run_id(1))];
    ledger.lease(&holder(1), &leases, at(0), at(600)).await.unwrap();
    begin(&ledger, 1).await;
    let items: Vec<NewItem> = (0..3).map(new_item).collect();
    let numbers = page(&ledger, 1, &items, at(600)).await;
    let rows: Vec<_> = numbers
        .iter()
        .enumerate()
        .map(|(index, no)| prepared(*no, vec![copy(1, index, DeliveryState::Ready)]))
        .collect();
    ledger.record_prepared(&run_id(1), at(0), &rows).await.unwrap();
    let theirs = [follower(2).lease(), Lease::Mailbox(mailbox(1).id)];
    assert_eq!(ledger.lease(&holder(2), &theirs, at(0), at(60)).await.unwrap(), [true, true]);
    (ledger, numbers)
}

async fn intend(ledger: &Ledger, by: &Sender, no: ItemNo) -> Result<(), LedgerError> {
    ledger.record(by, &[], &[claim(1, &[no])]).await
}

fn is_refused(result: &Result<(), LedgerError>) -> bool {
    matches!(result, Err(LedgerError::LeaseLost(_)))
}

async fn a_follower_sends_on_the_run_s_account(database: Database) {
    let (ledger, no) = a_shared_run(&database).await;
    assert_eq!(ledger.run_to_follow(at(1)).await.unwrap().map(|run| run.id), Some(run_id(1)));
    assert_eq!(ledger.followers(&run_id(1), at(1)).await.unwrap(), 1);
    assert_eq!(ledger.mailboxes_to_share(&run_id(1)).await.unwrap(), [mailbox(1)]);
    assert!(ledger.are_shared(&run_id(1), &[mailbox(2).id, mailbox(1).id], at(1)).await.unwrap());
    assert!(!ledger.are_shared(&run_id(1), &[mailbox(2).id], at(1)).await.unwrap());
    assert!(is_refused(&intend(&ledger, &follower(3), no[0]).await), "one without the right");

    for no in &no {
        intend(&ledger, &follower(2), *no).await.unwrap();
        ledger.record(&follower(2), &[outcome(*no, 1, DeliveryState::Imported)], &[]).await.unwrap();
    }
    assert_eq!(ledger.account(&run_id(1)).await.unwrap().of(DeliveryState::Imported), 3);
    assert_eq!(ledger.mailboxes_to_share(&run_id(1)).await.unwrap(), []);
}

async fn what_a_silent_follower_was_sending_is_unknown(database: Database) {
    let (ledger, no) = a_shared_run(&database).await;
    intend(&ledger, &follower(2), no[0]).await.unwrap();
    ledger.take_over(&sender(1), &[], at(59), at(99)).await.unwrap();
    ledger.record(&follower(2), &[], &[]).await.unwrap();
    let wanted = [Lease::Mailbox(mailbox(1).id)];
    assert_eq!(ledger.lease(&holder(1), &wanted, at(60), at(600)).await.unwrap(), [true]);
    ledger.take_over(&sender(1), &[mailbox(1).id], at(60), at(99)).await.unwrap();
    assert_eq!(ledger.followers(&run_id(1), at(0)).await.unwrap(), 0);
    let unknown = ledger.queue(&run_id(1), &mailbox(1).id, QueueOf::Unknown, ItemNo(0), 9).await.unwrap();
    assert_eq!(unknown.iter().map(|row| (row.no, row.settle_at)).collect::<Vec<_>>(), [(no[0], Some(at(99)))]);

    // What it tells late is not recorded: this process may be sending already.
    intend(&ledger, &sender(1), no[0]).await.unwrap();
    assert!(is_refused(&ledger.record(&follower(2), &[outcome(no[0], 1, DeliveryState::Ready)], &[]).await));
    assert!(is_refused(&intend(&ledger, &follower(2), no[1]).await));
    ledger.take_over(&sender(1), &[mailbox(1).id], at(60), at(99)).await.unwrap();
    assert_eq!(ledger.account(&run_id(1)).await.unwrap().of(DeliveryState::Sending), 1, "its own intent stays");
}

async fn nothing_reaches_a_closed_account(database: Database) {
    let (ledger, no) = a_shared_run(&database).await;
    intend(&ledger, &follower(2), no[0]).await.unwrap();
    ledger.record(&sender(1), &[outcome(no[2], 1, DeliveryState::Imported)], &[]).await.unwrap();
    ledger.close_account(&run_id(1)).await.unwrap();
    // One that comes when the account is closed is no better off, nor is the run's own process, where it stood still meanwhile.
    ledger.lease(&holder(3), &[follower(3).lease()], at(1), at(60)).await.unwrap();
    for late in [follower(2), follower(3), sender(1)] {
        assert!(is_refused(&ledger.record(&late, &[outcome(no[0], 1, DeliveryState::Imported)], &[]).await));
        assert!(is_refused(&intend(&ledger, &late, no[1]).await));
    }
    let row = prepared(no[1], vec![copy(2, 1, DeliveryState::Ready)]);
    let late = ledger.record_prepared(&run_id(1), at(1), &[row]).await;
    assert!(matches!(late, Err(LedgerError::LeaseLost(_))), "{late:?}");

    ledger.finish_run(&run_id(1), RunStatus::Incomplete, at(2), None, "{}").await.unwrap();
    for late in [follower(3), sender(1)] {
        assert!(is_refused(&ledger.record(&late, &[outcome(no[0], 1, DeliveryState::Imported)], &[]).await));
    }
    assert_eq!(ledger.run_to_follow(at(2)).await.unwrap().map(|run| run.id), None);
    let account = ledger.account(&run_id(1)).await.unwrap();
    assert_eq!([DeliveryState::Imported, DeliveryState::Sending].map(|state| account.of(state)), [1, 1]);
}

#[tokio::test]
async fn a_follower_sends_on_the_run_s_account_in_both() {
    for database in [Database::sqlite(), Database::postgres()] {
        a_follower_sends_on_the_run_s_account(database).await;
    }
}

#[tokio::test]
async fn what_a_silent_follower_was_sending_is_unknown_in_both() {
    for database in [Database::sqlite(), Database::postgres()] {
        what_a_silent_follower_was_sending_is_unknown(database).await;
    }
}

#[tokio::test]
async fn nothing_reaches_a_closed_account_in_both() {
    for database in [Database::sqlite(), Database::postgres()] {
        nothing_reaches_a_closed_account(database).await;
    }
}
