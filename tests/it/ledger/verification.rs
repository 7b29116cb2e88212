//! What a verification may change: copies that are missing are of unknown outcome again.

use whatsapp_archiver::ledger::{DeliveryState, NewItem, QueueOf};

use super::{
    Database, at, begin, copy, holder, identity, mailbox, new_item, outcome, page, prepared, run_id, sender, window,
};

/// The copies of two items for two mailboxes are imported; another one waits in the first.
pub(super) async fn missing_copies_are_unknown_again_unless_their_items_are_purged(database: Database) {
    let ledger = database.open().await;
    begin(&ledger, 1).await;
    let items: Vec<NewItem> = (0..3).map(new_item).collect();
    let numbers = page(&ledger, 1, &items, at(60)).await;
    let rows = |index: usize| match index {
        2 => vec![copy(1, 2, DeliveryState::Ready, None)],
        _ => [1, 2].map(|to| copy(to, index, DeliveryState::Sending, Some(holder(1)))).to_vec(),
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
    let told: Vec<_> = unknown.iter().map(|copy| (copy.no, copy.settle_at, copy.created)).collect();
    assert_eq!(told, [(numbers[0], Some(at(9)), at(5))]);
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
