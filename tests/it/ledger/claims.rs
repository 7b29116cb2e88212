//! Claims: of items, and of copies.

use whatsapp_archiver::ledger::{DeliveryState, ItemNo, LedgerError, NewItem, QueueOf};

use super::{Database, at, begin, claim, copy, holder, mailbox, new_item, page, prepared, run_id, sender};

pub(super) async fn items_are_claimed_by_one_process_at_a_time(database: Database) {
    let ledger = database.open().await;
    begin(&ledger, 1).await;
    let items: Vec<NewItem> = (0..30).map(new_item).collect();
    page(&ledger, 1, &items, at(60)).await;
    let claim = |by: usize, now: i64, limit| {
        let ledger = ledger.clone();
        async move { ledger.claim_items(&holder(by), &run_id(by), at(now), at(now + 60), limit).await.unwrap().len() }
    };
    assert_eq!(claim(2, 59, 99).await, 0, "their own process is at them");
    let (one, other) = tokio::join!(claim(2, 60, 20), claim(3, 60, 20));
    assert_eq!(one.max(other), 20);
    assert_eq!(one + other + claim(4, 60, 99).await, 30);
    ledger.renew_leases(&holder(2), 0, at(500)).await.unwrap();
    ledger.release_leases(&holder(3)).await.unwrap();
    ledger.release_leases(&holder(4)).await.unwrap();
    assert_eq!(claim(5, 130, 99).await, 30 - one, "claims are renewed and given back with the leases");
}

/// Several claims are recorded in one statement. A message that was read back from staging for two mailboxes comes with both.
pub(super) async fn one_message_is_claimed_for_two_mailboxes_at_once(database: Database) {
    let ledger = database.open().await;
    begin(&ledger, 1).await;
    let items = page(&ledger, 1, &[new_item(1), new_item(2)], at(60)).await;
    let copies = |of: usize| prepared(items[of], [1, 2].map(|to| copy(to, of, DeliveryState::Ready)).to_vec());
    ledger.record_prepared(&run_id(1), at(0), &[copies(0), copies(1)]).await.unwrap();
    let ready = async |to: usize| {
        let queue = ledger.queue(&run_id(1), &mailbox(to).id, QueueOf::Ready, ItemNo(0), 9).await.unwrap();
        queue.into_iter().map(|delivery| delivery.no).collect::<Vec<_>>()
    };
    ledger.record(&sender(1), &[], &[claim(1, &items), claim(2, &items[..1])]).await.unwrap();
    assert_eq!((ready(1).await, ready(2).await), (vec![], items[1..].to_vec()));

    // One that isn't ready any more is nobody's to send, and neither are those beside it.
    let lost = ledger.record(&sender(1), &[], &[claim(1, &items[1..]), claim(2, &items[1..])]).await;
    assert!(matches!(lost, Err(LedgerError::LeaseLost(_))), "{lost:?}");
    assert_eq!(ready(2).await, items[1..]);
}
