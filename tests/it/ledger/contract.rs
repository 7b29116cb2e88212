//! What both databases promise, case by case.

use std::time::Duration;

use whatsapp_archiver::item::ItemId;
use whatsapp_archiver::ledger::{
    AttachmentRecord, AttachmentState, Claim, DeliveryState, FailureFilter, FailureKind, ItemNo, ItemSelection,
    ItemState, Lease, LedgerError, ListPlace, NewDelivery, NewItem, PageRecord, Prepared, QueueOf, RunFailure,
    RunStatus, StoredWindow, Target,
};
use whatsapp_archiver::reason::Reason;
use whatsapp_archiver::resolution::Resolution;
use whatsapp_archiver::source::Cursor;
use whatsapp_archiver::window::Window;

use super::{
    Database, at, begin, claim, copy, holder, identity, is_free_for, key, mailbox, named_by, new_item, outcome, page,
    prepared, run_id, sender, window,
};

/// The contract, against databases of one kind.
macro_rules! ledger_contract {
    ($kind:ident, $database:expr) => {
        mod $kind {
            #[tokio::test]
            async fn a_page_is_recorded_whole_and_its_items_are_known() {
                crate::ledger::contract::a_page_is_recorded_whole_and_its_items_are_known($database).await;
            }
            #[tokio::test]
            async fn what_is_written_is_read_back() {
                crate::ledger::contract::what_is_written_is_read_back($database).await;
            }
            #[tokio::test]
            async fn hundreds_of_rows_go_in_one_call() {
                crate::ledger::contract::hundreds_of_rows_go_in_one_call($database).await;
            }
            #[tokio::test]
            async fn references_are_open_until_their_message_is_captured() {
                crate::ledger::captures::references_are_open_until_their_message_is_captured($database).await;
            }
            #[tokio::test]
            async fn groups_with_several_owners_are_compared() {
                crate::ledger::captures::groups_with_several_owners_are_compared($database).await;
            }
            #[tokio::test]
            async fn the_watermark_never_moves_back() {
                crate::ledger::contract::the_watermark_never_moves_back($database).await;
            }
            #[tokio::test]
            async fn of_two_holders_one_has_the_lease() {
                crate::ledger::contract::of_two_holders_one_has_the_lease($database).await;
            }
            #[tokio::test]
            async fn a_lease_that_was_taken_over_is_reported() {
                crate::ledger::contract::a_lease_that_was_taken_over_is_reported($database).await;
            }
            #[tokio::test]
            async fn many_at_once_leave_one_first_copy() {
                crate::ledger::contract::many_at_once_leave_one_first_copy($database).await;
            }
            #[tokio::test]
            async fn items_are_claimed_by_one_process_at_a_time() {
                crate::ledger::claims::items_are_claimed_by_one_process_at_a_time($database).await;
            }
            #[tokio::test]
            async fn one_message_is_claimed_for_two_mailboxes_at_once() {
                crate::ledger::claims::one_message_is_claimed_for_two_mailboxes_at_once($database).await;
            }
            #[tokio::test]
            async fn what_a_run_was_sending_is_unknown_to_the_next() {
                crate::ledger::contract::what_a_run_was_sending_is_unknown_to_the_next($database).await;
            }
            #[tokio::test]
            async fn a_run_that_nobody_is_at_is_abandoned() {
                crate::ledger::contract::a_run_that_nobody_is_at_is_abandoned($database).await;
            }
            #[tokio::test]
            async fn an_account_is_frozen_with_its_lists() {
                crate::ledger::contract::an_account_is_frozen_with_its_lists($database).await;
            }
            #[tokio::test]
            async fn items_without_rows_are_accounted_for() {
                crate::ledger::contract::items_without_rows_are_accounted_for($database).await;
            }
            #[tokio::test]
            async fn values_are_remembered_and_forgotten() {
                crate::ledger::contract::values_are_remembered_and_forgotten($database).await;
            }
            #[tokio::test]
            async fn two_processes_open_a_new_ledger_at_once() {
                crate::ledger::contract::two_processes_open_a_new_ledger_at_once($database).await;
            }
            #[tokio::test]
            async fn missing_copies_are_unknown_again_unless_their_items_are_purged() {
                crate::ledger::verification::missing_copies_are_unknown_again_unless_their_items_are_purged($database)
                    .await;
            }
            #[test]
            fn it_does_what_a_simple_model_does() {
                crate::ledger::model::it_does_what_a_simple_model_does(&|| $database);
            }
        }
    };
}
pub(super) use ledger_contract;

pub(super) async fn a_page_is_recorded_whole_and_its_items_are_known(database: Database) {
    let ledger = database.open().await;
    begin(&ledger, 1).await;
    let stored = StoredWindow { window: window(), read_from: at(-90_000), cursor: Cursor(0) };
    ledger.begin_window(&run_id(1), &stored).await.unwrap();
    let numbers = page(&ledger, 1, &[new_item(1), new_item(2)], at(60)).await;
    assert_eq!(numbers.len(), 2);
    let known = ledger.known(&[key(1), key(2), key(3)]).await.unwrap();
    assert_eq!((known.len(), known.contains(&key(3))), (2, false));
    assert_eq!(ledger.open_window().await.unwrap().unwrap().cursor, Cursor(10));
    let run = ledger.run(&run_id(1)).await.unwrap().unwrap();
    assert_eq!((run.available, run.bytes_downloaded), (2, 7));

    // A page one of whose items is known already is refused whole: no item, no count and no cursor of it is there.
    let name =
        whatsapp_archiver::staging::BlobName::page(window(), Cursor(10), whatsapp_archiver::digest::Digest::of(b"x"));
    let (id, by) = (run_id(1), holder(1));
    let items = [new_item(3), new_item(1)];
    let again = PageRecord {
        run: &id,
        window: window(),
        page: Some(&name),
        next: Cursor(20),
        moves_cursor: true,
        items: &items,
        repeated: 0,
        late: 0,
        bytes: 7,
        holder: &by,
        claim_until: at(60),
        now: at(0),
    };
    assert!(matches!(ledger.record_page(&again).await, Err(LedgerError::Database(_))));
    assert!(ledger.known(&[key(3)]).await.unwrap().is_empty());
    assert_eq!(ledger.open_window().await.unwrap().unwrap().cursor, Cursor(10));
    assert_eq!(ledger.run(&run_id(1)).await.unwrap().unwrap().available, 2);

    // A cursor never moves back within its window.
    let late = PageRecord { next: Cursor(5), items: &[], ..again };
    ledger.record_page(&late).await.unwrap();
    assert_eq!(ledger.open_window().await.unwrap().unwrap().cursor, Cursor(10));
}

pub(super) async fn what_is_written_is_read_back(database: Database) {
    let ledger = database.open().await;
    begin(&ledger, 1).await;
    let attachments = vec![
        AttachmentRecord {
            state: AttachmentState::Staged { blob: "a/b".into() },
            size: u64::from(u32::MAX) + 1,
            digest: Some(key(9).0),
        },
        AttachmentRecord {
            state: AttachmentState::Awaited { detail: "404 – \"später\"".into() },
            size: 0,
            digest: None,
        },
    ];
    let bare = NewItem { id: None, message_id: None, owner: None, ..new_item(2) };
    let items = [NewItem { attachments: attachments.clone(), offset: 1 << 40, ..new_item(1) }, bare];
    let numbers = page(&ledger, 1, &items, at(60)).await;
    let read = ledger.items(&numbers).await.unwrap();
    let first = &read[&numbers[0]];
    assert_eq!((first.key, first.id, first.offset, first.length), (key(1), Some(ItemId(1)), 1 << 40, 2));
    assert_eq!((&first.attachments, first.window, first.staged_at), (&attachments, window(), at(0)));
    assert_eq!((first.state, &first.run), (ItemState::Staged, &run_id(1)));
    assert_eq!((read[&numbers[1]].id, read[&numbers[1]].resolution.is_none()), (None, true));

    let resolution: Resolution = serde_json::from_str(
        r#"[{"participant":{"value":"15550100","kind":"phone"},"outcome":"unanswered","detail":"x"}]"#,
    )
    .unwrap_or_default();
    let row = NewDelivery {
        detail: Some("Ünïcödé ‘quotes’ and \u{1F600}".into()), ..copy(1, 1, DeliveryState::Ready)
    };
    let with_resolution = Prepared { resolution: Some(resolution.clone()), ..prepared(numbers[0], vec![row]) };
    ledger.record_prepared(&run_id(1), at(5), &[with_resolution]).await.unwrap();
    let read = ledger.items(&numbers).await.unwrap();
    assert_eq!(read[&numbers[0]].resolution.as_ref(), Some(&resolution));
    assert_eq!((read[&numbers[0]].state, read[&numbers[1]].state), (ItemState::Prepared, ItemState::Staged));
    assert_eq!(read[&numbers[0]].attachments, attachments, "what isn't named stays");
    let queue = ledger.queue(&run_id(1), &mailbox(1).id, QueueOf::Ready, ItemNo(0), 10).await.unwrap();
    assert_eq!(queue[0].identity, identity(1));
    assert_eq!(ledger.rows_of(&numbers).await.unwrap()[0].created, at(5));

    let mut done = outcome(numbers[0], 1, DeliveryState::Unknown);
    (done.settle_at, done.detail, done.attempts, done.bytes) = (Some(at(99)), Some("lost".into()), 3, 1 << 33);
    ledger.record(&sender(1), &[done], &[]).await.unwrap();
    let queue = ledger.queue(&run_id(1), &mailbox(1).id, QueueOf::Unknown, ItemNo(0), 10).await.unwrap();
    assert_eq!((queue[0].settle_at, queue[0].attempts), (Some(at(99)), 3));
    assert_eq!(ledger.run(&run_id(1)).await.unwrap().unwrap().bytes_imported, 1 << 33);
}

pub(super) async fn hundreds_of_rows_go_in_one_call(database: Database) {
    let ledger = database.open().await;
    begin(&ledger, 1).await;
    let items: Vec<NewItem> = (0..333).map(new_item).collect();
    let numbers = page(&ledger, 1, &items, at(60)).await;
    assert!(numbers.is_sorted() && numbers.len() == 333);
    let keys: Vec<_> = (0..1100).map(key).collect();
    assert_eq!(ledger.known(&keys).await.unwrap().len(), 333);

    let row = |(index, no): (usize, &ItemNo)| {
        let rows = [1, 2].map(|to| copy(to, index % 300, DeliveryState::Ready));
        let resolution = Some(named_by(&format!("rule {}", index % 3), mailbox(1)));
        Prepared { unmapped: vec![format!("{}", index % 150)], resolution, ..prepared(*no, rows.to_vec()) }
    };
    let all: Vec<Prepared> = numbers.iter().enumerate().map(row).collect();
    let first = ledger.record_prepared(&run_id(1), at(1), &all).await.unwrap();
    assert_eq!(first.len(), 600, "33 messages came twice");
    ledger.freeze_mapping_rules(&run_id(1)).await.unwrap();
    let (rules, total) = ledger.mapping_rules(&run_id(1), 10).await.unwrap();
    assert_eq!((rules.len(), total, rules[0].deliveries, rules[0].mailbox.clone()), (3, 3, 111, mailbox(1).address));
    let (unmapped, total) = ledger.unmapped(&run_id(1), 10).await.unwrap();
    assert_eq!((total, unmapped[0].items), (150, 3));

    let done: Vec<_> = numbers[..300].iter().map(|no| outcome(*no, 1, DeliveryState::Imported)).collect();
    let claims: Vec<Claim> = numbers[..300].chunks(64).map(|items| claim(2, items)).collect();
    ledger.record(&sender(1), &done, &claims).await.unwrap();
    let account = ledger.account(&run_id(1)).await.unwrap();
    assert_eq!((account.of(DeliveryState::Imported), account.total()), (300, 666));
    let identities: Vec<_> = (0..300).map(identity).collect();
    let copies = ledger.first_copies(&mailbox(1).id, &identities).await.unwrap();
    assert!(copies.len() == 300 && copies.iter().all(|(_, state)| *state == DeliveryState::Imported));
    let waiting = ledger.queue(&run_id(1), &mailbox(1).id, QueueOf::Duplicates, ItemNo(0), 500).await.unwrap();
    assert_eq!(waiting.len(), 33);
    let taken: Vec<Lease> = (0..333).map(|to| Lease::Mailbox(mailbox(to).id)).collect();
    assert_eq!(ledger.lease(&holder(1), &taken, at(0), at(60)).await.unwrap(), [true; 333]);
    let boxes: Vec<_> = (0..333).map(|to| mailbox(to).id).collect();
    begin(&ledger, 2).await;
    ledger.adopt_deliveries(&run_id(2), &boxes, None, at(0), at(9)).await.unwrap();
    assert_eq!(ledger.account(&run_id(2)).await.unwrap().of(DeliveryState::Unknown), 300);
}

pub(super) async fn the_watermark_never_moves_back(database: Database) {
    let ledger = database.open().await;
    assert_eq!(ledger.watermark().await.unwrap(), None);
    for (to, expected) in [(100, 100), (50, 100), (100, 100), (101, 101)] {
        ledger.finish_window(Window { from: at(0), to: at(to) }).await.unwrap();
        assert_eq!(ledger.watermark().await.unwrap(), Some(at(expected)));
    }
    let years = Window { from: at(0), to: at(0) + chrono::Duration::days(366 * 80) };
    ledger.finish_window(years).await.unwrap();
    assert_eq!(ledger.watermark().await.unwrap(), Some(years.to));
}

pub(super) async fn of_two_holders_one_has_the_lease(database: Database) {
    let ledger = database.open().await;
    let wanted: Vec<Lease> = (0..20).map(|to| Lease::Mailbox(mailbox(to).id)).collect();
    let mut reversed = wanted.clone();
    reversed.reverse();
    let (one, other) = (holder(1), holder(2));
    let (ours, theirs) =
        tokio::join!(ledger.lease(&one, &wanted, at(0), at(60)), ledger.lease(&other, &reversed, at(0), at(60)));
    let (ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
    theirs.reverse();
    for (place, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert!(ours ^ theirs, "lease {place}: {ours} and {theirs}");
        assert_eq!(is_free_for(&ledger, 1, place, at(59)).await, *ours);
        assert_eq!(is_free_for(&ledger, 2, place, at(59)).await, *theirs);
    }
    assert!(is_free_for(&ledger, 3, 0, at(60)).await, "it has run out");
    assert_eq!(ledger.lease(&holder(3), &wanted, at(59), at(99)).await.unwrap(), [false; 20]);
    assert_eq!(ledger.lease(&holder(3), &wanted, at(60), at(99)).await.unwrap(), [true; 20]);
    ledger.release_lease(&holder(1), &wanted[0]).await.unwrap();
    assert!(!is_free_for(&ledger, 1, 0, at(61)).await, "only its own");
    ledger.release_leases(&holder(3)).await.unwrap();
    assert!(is_free_for(&ledger, 1, 0, at(61)).await);
}

pub(super) async fn a_lease_that_was_taken_over_is_reported(database: Database) {
    let ledger = database.open().await;
    let wanted = [Lease::Puller, Lease::Mailbox(mailbox(1).id)];
    ledger.lease(&holder(1), &wanted, at(0), at(60)).await.unwrap();
    ledger.renew_leases(&holder(1), 2, at(80)).await.unwrap();
    assert_eq!(ledger.lease(&holder(2), &wanted[1..], at(70), at(99)).await.unwrap(), [false]);
    assert_eq!(ledger.lease(&holder(2), &wanted[1..], at(80), at(99)).await.unwrap(), [true]);
    let lost = ledger.renew_leases(&holder(1), 2, at(120)).await;
    assert!(matches!(lost, Err(LedgerError::LeaseLost(_))), "{lost:?}");
}

pub(super) async fn many_at_once_leave_one_first_copy(database: Database) {
    let ledger = database.open().await;
    begin(&ledger, 1).await;
    let items: Vec<NewItem> = (0..8).map(new_item).collect();
    let numbers = page(&ledger, 1, &items, at(60)).await;
    let mut tasks = tokio::task::JoinSet::new();
    for no in numbers.clone() {
        let other = database.open().await;
        tasks.spawn(async move {
            let rows = (0..5).map(|of| copy(of, of, DeliveryState::Ready)).collect();
            other.record_prepared(&run_id(1), at(0), &[prepared(no, rows)]).await.unwrap().len()
        });
    }
    let firsts: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(firsts, 5, "one first copy in each of five mailboxes");
    assert_eq!(ledger.account(&run_id(1)).await.unwrap().total(), 40);
    for to in 0..5 {
        let waiting = ledger.queue(&run_id(1), &mailbox(to).id, QueueOf::Duplicates, ItemNo(0), 99).await.unwrap();
        assert_eq!(waiting.len(), 7);
    }
}

pub(super) async fn what_a_run_was_sending_is_unknown_to_the_next(database: Database) {
    use DeliveryState::{Imported, Pending, Ready, Sending, Unknown};
    let ledger = database.open().await;
    begin(&ledger, 1).await;
    begin(&ledger, 2).await;
    let items: Vec<NewItem> = (0..4).map(new_item).collect();
    let no = page(&ledger, 1, &items, at(60)).await;
    let row = |index: usize, state| prepared(no[index], vec![copy(1, index, state)]);
    let all = [row(0, Ready), row(1, Ready), row(2, Pending), row(3, Ready)];
    ledger.record_prepared(&run_id(1), at(0), &all).await.unwrap();
    ledger.record(&sender(1), &[], &[claim(1, &[no[0], no[3]])]).await.unwrap();
    ledger.record(&sender(1), &[outcome(no[3], 1, Imported)], &[]).await.unwrap();

    // The same process takes over what its own run left, as any other.
    ledger.adopt_deliveries(&run_id(2), &[mailbox(1).id], Some(&no[1..2]), at(0), at(9)).await.unwrap();
    assert_eq!(ledger.account(&run_id(2)).await.unwrap().total(), 1, "only the item that was named");
    ledger.adopt_deliveries(&run_id(2), &[mailbox(1).id], None, at(0), at(9)).await.unwrap();
    let unknown = ledger.queue(&run_id(2), &mailbox(1).id, QueueOf::Unknown, ItemNo(0), 9).await.unwrap();
    assert_eq!(unknown.iter().map(|row| (row.no, row.settle_at)).collect::<Vec<_>>(), [(no[0], Some(at(9)))]);
    let ready = ledger.queue(&run_id(2), &mailbox(1).id, QueueOf::Ready, ItemNo(0), 9).await.unwrap();
    assert_eq!(ready.iter().map(|row| row.no).collect::<Vec<_>>(), no[1..3]);
    assert_eq!(ledger.account(&run_id(1)).await.unwrap().of(Imported), 1, "what has its outcome stays");

    // What the first run tells late changes nothing, and it can't send any more.
    ledger.record(&sender(1), &[outcome(no[0], 1, Ready), outcome(no[1], 1, Imported)], &[]).await.unwrap();
    let account = ledger.account(&run_id(2)).await.unwrap();
    assert_eq!((account.of(Unknown), account.of(Ready)), (1, 2));
    let intend = |run: usize, index: usize| {
        let (ledger, items) = (ledger.clone(), [no[index]]);
        async move { ledger.record(&sender(run), &[], &[claim(1, &items)]).await }
    };
    assert!(matches!(intend(1, 1).await, Err(LedgerError::LeaseLost(_))));
    intend(2, 1).await.unwrap();
    assert!(matches!(intend(2, 1).await, Err(LedgerError::LeaseLost(_))), "an intent is made once");
    assert_eq!(ledger.account(&run_id(2)).await.unwrap().of(Sending), 1);
}

pub(super) async fn a_run_that_nobody_is_at_is_abandoned(database: Database) {
    let ledger = database.open().await;
    for run in 1..=3 {
        ledger.lease(&holder(run), &[Lease::Run(run_id(run))], at(0), at(60)).await.unwrap();
        begin(&ledger, run).await;
    }
    let abandoned = |now| {
        let ledger = ledger.clone();
        async move {
            let runs = ledger.abandoned_runs(Some(&run_id(3)), at(now)).await.unwrap();
            runs.into_iter().map(|run| run.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(abandoned(59).await, []);
    ledger.renew_leases(&holder(2), 1, at(90)).await.unwrap();
    assert_eq!(abandoned(60).await, [run_id(1)]);
    let failure =
        RunFailure { kind: FailureKind::Other, error: "its process ended".to_owned(), not_before: Some(at(70)) };
    ledger.finish_run(&run_id(1), RunStatus::Failed, at(61), Some(&failure), "{}").await.unwrap();
    assert_eq!(ledger.run(&run_id(1)).await.unwrap().unwrap().failure, Some(failure));
    assert_eq!(abandoned(60).await, []);
    assert_eq!(abandoned(90).await, [run_id(2)]);
    let runs: Vec<_> = ledger.runs(2).await.unwrap().into_iter().map(|run| run.id).collect();
    assert_eq!(runs, [run_id(3), run_id(2)], "newest first");
}

pub(super) async fn an_account_is_frozen_with_its_lists(database: Database) {
    use DeliveryState::{Failed, Pending, Ready, SkippedDuplicate};
    let ledger = database.open().await;
    begin(&ledger, 1).await;
    begin(&ledger, 2).await;
    let items: Vec<NewItem> = (0..3).map(new_item).collect();
    let no = page(&ledger, 1, &items, at(60)).await;
    let own = NewDelivery {
        target: Target::Item,
        mailbox: None,
        identities: None,
        reason: Some(Reason::Encrypted),
        detail: Some("it is".into()),
        ..copy(0, 0, Failed)
    };
    let all = [
        prepared(no[0], vec![own]),
        prepared(no[1], vec![copy(1, 1, Ready)]),
        prepared(no[2], vec![copy(1, 1, Ready)]),
    ];
    ledger.record_prepared(&run_id(1), at(0), &all).await.unwrap();
    ledger.record(&sender(1), &[outcome(no[2], 1, SkippedDuplicate)], &[]).await.unwrap();
    ledger.leave_pending(&run_id(1)).await.unwrap();
    ledger.freeze_account(&run_id(1)).await.unwrap();

    let list = |run: Option<usize>, states: Vec<DeliveryState>, reason| {
        let filter = FailureFilter { run: run.map(run_id), states, reason };
        let ledger = ledger.clone();
        async move { ledger.failures(&filter, &ListPlace::default(), 99).await.unwrap() }
    };
    let rows = list(Some(1), vec![], None).await;
    assert_eq!(rows.iter().map(|row| (row.no, row.state)).collect::<Vec<_>>(), [(no[0], Failed), (no[1], Pending)]);
    let shown = [rows[1].mailbox.as_deref(), rows[1].detail.as_deref()].map(Option::unwrap);
    assert_eq!(shown, ["m1@contoso.example", "the run ended before its turn"]);
    assert_eq!(list(Some(1), vec![Failed], Some(Reason::Encrypted)).await.len(), 1);
    assert_eq!(list(Some(1), vec![Failed], Some(Reason::Malformed)).await.len(), 0);
    assert_eq!(list(None, vec![], None).await.len(), 2);
    let page = FailureFilter { run: Some(run_id(1)), ..FailureFilter::default() };
    assert_eq!(ledger.failures(&page, &rows[0].place, 1).await.unwrap()[0].no, no[1]);

    // A page of what is open now goes on by what the last one ended with, not by how many rows there were.
    let open = FailureFilter::default();
    let first = ledger.failures(&open, &ListPlace::default(), 1).await.unwrap();
    assert_eq!(first[0].no, no[0]);
    let second = ledger.failures(&open, &first[0].place, 9).await.unwrap();
    assert_eq!(second.iter().map(|row| row.no).collect::<Vec<_>>(), [no[1]]);
    assert_eq!(ledger.failures(&open, &second[0].place, 9).await.unwrap(), []);

    // What a later run settles leaves the frozen lists alone.
    ledger.adopt_deliveries(&run_id(2), &[mailbox(1).id], None, at(0), at(9)).await.unwrap();
    ledger.record(&sender(2), &[outcome(no[1], 1, DeliveryState::Imported)], &[]).await.unwrap();
    assert_eq!(list(Some(1), vec![], None).await.len(), 2);
    assert_eq!(list(None, vec![], None).await.len(), 1);
    let account = ledger.account(&run_id(2)).await.unwrap();
    assert_eq!((account.total(), account.carried_over), (1, 1));
    assert_eq!(ledger.account(&run_id(1)).await.unwrap().failed_by_reason["encrypted"], 1);
    let open = ledger.open_counts().await.unwrap();
    assert_eq!((open.pending, open.oldest_pending, open.held), (0, None, 1));

    let selected = |selection: ItemSelection| {
        let ledger = ledger.clone();
        async move { ledger.select_items(&selection, ItemNo(0), 9).await.unwrap().len() }
    };
    assert_eq!(selected(ItemSelection::default()).await, 1);
    let all = ItemSelection { reason: Some(Reason::Encrypted), run: Some(run_id(1)), items: Some(vec![no[0]]) };
    assert_eq!(selected(all).await, 1);
    assert_eq!(selected(ItemSelection { run: Some(run_id(2)), ..ItemSelection::default() }).await, 0);
    assert_eq!(selected(ItemSelection { items: Some(vec![no[1]]), ..ItemSelection::default() }).await, 0);
}

pub(super) async fn items_without_rows_are_accounted_for(database: Database) {
    let ledger = database.open().await;
    begin(&ledger, 1).await;
    begin(&ledger, 2).await;
    let no = page(&ledger, 1, &[new_item(1), new_item(2)], at(60)).await;
    let done = prepared(no[0], vec![copy(1, 1, DeliveryState::Ready)]);
    ledger.record_prepared(&run_id(1), at(0), &[done]).await.unwrap();
    assert_eq!(ledger.unaccounted(&run_id(1)).await.unwrap(), (2, 1));
    ledger.account_for_unprepared(&run_id(1), at(7)).await.unwrap();
    ledger.account_for_unprepared(&run_id(1), at(8)).await.unwrap();
    assert_eq!(ledger.unaccounted(&run_id(1)).await.unwrap(), (2, 0));
    let rows = ledger.rows_of(&no).await.unwrap();
    assert_eq!((rows.len(), rows[1].created, &rows[1].target), (2, at(7), &Target::Item));

    // The next run prepares it, and the row gives way.
    let late = Prepared { replaced: vec![Target::Item], ..prepared(no[1], vec![copy(1, 2, DeliveryState::Ready)]) };
    ledger.record_prepared(&run_id(2), at(9), &[late]).await.unwrap();
    let targets: Vec<_> = ledger.rows_of(&no).await.unwrap().into_iter().map(|row| row.target).collect();
    assert_eq!(targets, [Target::Mailbox(mailbox(1).id), Target::Mailbox(mailbox(1).id)]);
    assert!(ledger.unanswered_items(&run_id(2), ItemNo(0), 9).await.unwrap().is_empty());
    // Only what was made before is given up, and nothing that is settled.
    ledger.leave_pending(&run_id(2)).await.unwrap();
    assert_eq!(ledger.give_up(&run_id(2), at(9)).await.unwrap(), 0);
    assert_eq!(ledger.give_up(&run_id(2), at(10)).await.unwrap(), 1);
    assert_eq!(ledger.account(&run_id(2)).await.unwrap().failed_by_reason["mailbox_unavailable"], 1);
}

pub(super) async fn values_are_remembered_and_forgotten(database: Database) {
    let ledger = database.open().await;
    assert_eq!(ledger.get_meta("x").await.unwrap(), None);
    for value in ["1", "2 – ü"] {
        ledger.set_meta("x", Some(value)).await.unwrap();
        assert_eq!(ledger.get_meta("x").await.unwrap().as_deref(), Some(value));
    }
    ledger.set_meta("x", None).await.unwrap();
    assert_eq!(ledger.get_meta("x").await.unwrap(), None);
    let id = ledger.id().to_owned();
    ledger.close().await;
    assert_eq!(database.open().await.id(), id, "a ledger keeps its id");
}

pub(super) async fn two_processes_open_a_new_ledger_at_once(database: Database) {
    let open = || tokio::time::timeout(Duration::from_mins(1), database.open());
    let (one, two, three) = tokio::join!(open(), open(), open());
    let (one, two, three) = (one.unwrap(), two.unwrap(), three.unwrap());
    assert!(one.id() == two.id() && two.id() == three.id());
}
