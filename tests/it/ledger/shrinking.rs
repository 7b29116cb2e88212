//! Shrinking: what goes of which items, what stays, and that both databases agree.

use sqlx::{AnyPool, Row as _};
use whatsapp_archiver::item::Participant;
use whatsapp_archiver::ledger::{
    AttachmentRecord, AttachmentState, DeliveryState, HeldSelection, Imported, ItemNo, ItemRecord, ItemSelection,
    Ledger, LedgerError, NewDelivery, NewItem, Prepared, RunStatus, Shrunk, Target,
};
use whatsapp_archiver::reason::Reason;
use whatsapp_archiver::resolution::{Resolution, Resolved, ResolvedTo};
use whatsapp_archiver::window::Window;

use super::{
    Database, at, begin, copy, identity, mailbox, named_by, new_item, outcome, page_of, prepared, run_id, sender,
    window,
};

/// A later window.
fn later() -> Window {
    Window { from: at(0), to: at(86_400) }
}

/// Who has mailbox 1, a stranger, and somebody of whom the directory said nothing.
fn resolution() -> Resolution {
    let mut resolution = named_by("mapping file: +1••100", mailbox(1));
    let without = [
        ResolvedTo::NoValidUser { detail: "not mapped".to_owned() },
        ResolvedTo::Unanswered { detail: "request 4711".to_owned() },
    ];
    resolution.0.extend(without.into_iter().zip(["15550199", "15550198"]).map(|(outcome, number)| Resolved {
        participant: Participant::phone(number),
        outcome,
        rule: None,
        late: false,
    }));
    resolution
}

/// A row of the item's own.
fn failed(reason: Reason) -> NewDelivery {
    NewDelivery {
        target: Target::Item,
        mailbox: None,
        identities: None,
        state: DeliveryState::Failed,
        reason: Some(reason),
        ..copy(1, 1, DeliveryState::Failed)
    }
}

/// An item is imported, the second is another capture of its message, the third is held, the fourth is sent at the moment.
struct Filled {
    ledger: Ledger,
    items: Vec<ItemNo>,
}

async fn filled(database: &Database) -> Filled {
    let ledger = database.open().await;
    begin(&ledger, 1).await;
    let attachment = AttachmentRecord { state: AttachmentState::Inline, size: 1, digest: None };
    let new: Vec<NewItem> =
        (0..4).map(|number| NewItem { attachments: vec![attachment.clone()], ..new_item(number) }).collect();
    let items = page_of(&ledger, 1, window(), &new, at(60)).await.unwrap();
    let sent = |of| vec![copy(1, of, DeliveryState::Ready)];
    let with = |no, deliveries| Prepared { resolution: Some(resolution()), ..prepared(no, deliveries) };
    let all = [
        with(items[0], sent(7)),
        with(items[1], sent(7)),
        with(items[2], vec![failed(Reason::Encrypted)]),
        with(items[3], sent(8)),
    ];
    ledger.record_prepared(&run_id(1), at(1), &all).await.unwrap();
    let done = [outcome(items[0], 1, DeliveryState::Imported), outcome(items[1], 1, DeliveryState::SkippedDuplicate)];
    ledger.record(&sender(1), &done, &[]).await.unwrap();
    Filled { ledger, items }
}

impl Filled {
    async fn ends(&self) {
        self.ledger.finish_run(&run_id(1), RunStatus::Complete, at(9), None, "{}").await.unwrap();
    }

    async fn is_purged(&self) {
        let sent = [outcome(self.items[3], 1, DeliveryState::Imported)];
        self.ledger.record(&sender(1), &sent, &[]).await.unwrap();
        assert!(self.ledger.begin_purge(window()).await.unwrap());
        self.ledger.finish_purge(window(), at(10)).await.unwrap();
    }

    async fn shrink(&self, after: i64, limit: u32) -> Option<Shrunk> {
        self.ledger.shrink_items(window(), at(30), ItemNo(after), limit).await.unwrap()
    }

    async fn item(&self, place: usize) -> ItemRecord {
        self.ledger.items(&[self.items[place]]).await.unwrap().remove(&self.items[place]).unwrap()
    }

    async fn shrinkable(&self) -> Vec<Window> {
        self.ledger.shrinkable_windows(at(0), None, 9).await.unwrap()
    }
}

/// The rows of a table, as text.
async fn table(database: &Database, query: &'static str) -> Vec<String> {
    sqlx::any::install_default_drivers();
    let pool = AnyPool::connect(&database.url).await.unwrap();
    let rows = sqlx::query(query).fetch_all(&pool).await.unwrap();
    pool.close().await;
    rows.iter().map(|row| row.get::<String, _>(0)).collect()
}

const DELIVERIES: &str = "SELECT item_no || ' ' || target_no || ' ' || first || ' ' || state || ' ' || run_no AS told
    FROM delivery_rows ORDER BY item_no, target_no";
const MESSAGES: &str = "SELECT CAST(item_no AS TEXT) AS told FROM messages ORDER BY item_no";

async fn an_item_that_is_final_loses_its_details_and_nothing_else(database: Database) {
    let it = filled(&database).await;
    let before = [it.item(0).await, it.item(1).await, it.item(2).await];
    it.is_purged().await;
    it.ends().await;
    let deliveries = table(&database, DELIVERIES).await;
    assert_eq!(table(&database, MESSAGES).await.len(), 4);

    assert_eq!(it.shrink(0, 2).await, Some(Shrunk { last: it.items[1], items: 2, left_until: None }));
    assert_eq!(
        it.shrink(0, 2).await,
        Some(Shrunk { last: it.items[3], items: 1, left_until: None }),
        "what is held is passed over"
    );
    assert_eq!(it.shrink(0, 2).await, None, "and nothing is shrunk twice");

    assert_eq!(table(&database, DELIVERIES).await, deliveries);
    assert_eq!(table(&database, MESSAGES).await, [it.items[2].0.to_string()]);
    let [imported, duplicate, held] = [it.item(0).await, it.item(1).await, it.item(2).await];
    assert_eq!(imported.resolution, Some(named_by("mapping file: +1••100", mailbox(1))), "who has the mailbox");
    assert_eq!(duplicate.resolution, None, "nobody looks for the mailbox of a copy that was never sent");
    assert_eq!(held.resolution, Some(resolution()));
    assert_eq!((imported.attachments.len(), duplicate.attachments.len(), held.attachments.len()), (0, 0, 1));
    for (now, then) in [imported, duplicate, held].iter().zip(&before) {
        assert_eq!((now.key, now.id, &now.page, now.offset), (then.key, then.id, &then.page, then.offset));
    }
    assert!(it.ledger.knows(&mailbox(1).id, identity(7)).await.unwrap());
    let known = it.ledger.known_copies(&mailbox(1).id, None, None, 9).await.unwrap();
    let ids: Vec<_> = known
        .iter()
        .map(|copy| match &copy.imported {
            Some(Imported::Shrunk(id)) => id.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    let mut expected = vec![identity(7).message_id(), identity(8).message_id()];
    expected.sort();
    assert_eq!(ids, expected);
}

async fn what_may_change_stays_whole(database: Database) {
    let it = filled(&database).await;
    let untouched = async |why: &str| {
        let step = it.shrink(0, 9).await.unwrap();
        assert_eq!((step.items, step.left_until), (0, Some(at(1))), "{why}");
        assert_eq!(table(&database, MESSAGES).await.len(), 4, "{why}");
        assert!(it.item(0).await.resolution == Some(resolution()), "{why}");
    };
    assert!(it.shrinkable().await.is_empty());
    untouched("the window lies in staging").await;
    it.is_purged().await;
    assert_eq!(it.shrinkable().await, [window()]);
    assert!(it.ledger.shrinkable_windows(at(-1), None, 9).await.unwrap().is_empty(), "it ended a second too late");
    assert!(it.ledger.shrinkable_windows(at(0), Some(window()), 9).await.unwrap().is_empty());
    untouched("the run has no report yet").await;
    it.ends().await;
    let early = it.ledger.shrink_items(window(), at(0), ItemNo(0), 9).await.unwrap().unwrap();
    assert_eq!((early.items, early.left_until), (0, Some(at(1))), "their copies were planned a second later");
    it.ledger.finish_shrinking(window(), early.left_until).await.unwrap();
    assert!(it.shrinkable().await.is_empty());
    assert_eq!(it.ledger.shrinkable_windows(at(1), None, 9).await.unwrap(), [window()]);
    begin(&it.ledger, 2).await;
    page_of(&it.ledger, 2, window(), &[new_item(9)], at(60)).await.unwrap();
    assert!(it.shrinkable().await.is_empty());
    untouched("something is staged under the window anew").await;
}

async fn what_is_not_held_any_more_is_shrunk_later(database: Database) {
    let it = filled(&database).await;
    it.is_purged().await;
    it.ends().await;
    assert_eq!(it.shrink(0, 9).await.unwrap().items, 3);
    it.ledger.finish_shrinking(window(), None).await.unwrap();
    assert!(it.shrinkable().await.is_empty());

    let held = HeldSelection { reason: Some(Reason::Encrypted), ..HeldSelection::default() };
    assert_eq!(it.ledger.release(&held, None, "", at(12)).await.unwrap(), 1);
    let copies = it.ledger.obsolete_held_copies(ItemNo(0), 9).await.unwrap();
    assert_eq!(copies.iter().map(|copy| copy.no).collect::<Vec<_>>(), [it.items[2]]);
    assert_eq!(it.shrink(0, 9).await, None, "its copy is still there");
    it.ledger.forget_held_copy(it.items[2]).await.unwrap();
    assert_eq!(it.shrinkable().await, [window()]);
    assert_eq!(it.shrink(0, 9).await, Some(Shrunk { last: it.items[2], items: 1, left_until: None }));
    assert!(table(&database, MESSAGES).await.is_empty());
    assert_eq!(it.item(2).await.resolution, None);
}

/// Another look at a day finds an item that is new, so that the window is kept again: what was shrunk isn't there for all that.
async fn what_is_shrunk_stays_purged_when_its_window_is_staged_anew(database: Database) {
    let it = filled(&database).await;
    it.is_purged().await;
    it.ends().await;
    it.shrink(0, 9).await.unwrap();
    it.ledger.finish_shrinking(window(), None).await.unwrap();
    begin(&it.ledger, 2).await;
    let new = page_of(&it.ledger, 2, window(), &[new_item(9)], at(60)).await.unwrap();
    page_of(&it.ledger, 2, later(), &[new_item(10)], at(60)).await.unwrap();

    let numbers = |items: Vec<ItemRecord>| items.iter().map(|item| item.no).collect::<Vec<_>>();
    let staged = it.ledger.items_of_window(window(), ItemNo(0), 9).await.unwrap();
    assert_eq!(numbers(staged), [it.items[2], new[0]], "what is held, and what is new");
    let purged = it.ledger.purged_items(window(), ItemNo(0), 9).await.unwrap();
    assert_eq!(purged.iter().map(|item| item.no).collect::<Vec<_>>(), [it.items[0], it.items[1], it.items[3]]);
    assert!(it.ledger.is_purged(it.items[0]).await.unwrap() && !it.ledger.is_purged(it.items[2]).await.unwrap());
    let unresolved = it.ledger.unresolved_items(&ItemSelection::default(), ItemNo(0), 9).await.unwrap();
    assert!(unresolved.is_empty(), "a replay can't read them back: {unresolved:?}");
    let doubted = it.ledger.doubt_imported(&mailbox(1).id, &[identity(7), identity(8)], at(20), at(21)).await.unwrap();
    assert_eq!(doubted, 0, "nor can they be sent again");

    // Purged again, it has the new item to shrink, and no other.
    is_imported_and_purged(&it.ledger, new[0]).await;
    assert_eq!(it.shrinkable().await, [window()]);
    assert_eq!(it.shrink(0, 9).await, Some(Shrunk { last: new[0], items: 1, left_until: None }));
}

/// The new item is imported, its run ends, and its window is purged.
async fn is_imported_and_purged(ledger: &Ledger, item: ItemNo) {
    let row = copy(2, 9, DeliveryState::Ready);
    ledger.record_prepared(&run_id(2), at(22), &[prepared(item, vec![row])]).await.unwrap();
    ledger.record(&sender(2), &[outcome(item, 2, DeliveryState::Imported)], &[]).await.unwrap();
    ledger.finish_run(&run_id(2), RunStatus::Complete, at(23), None, "{}").await.unwrap();
    assert!(ledger.begin_purge(window()).await.unwrap());
    ledger.finish_purge(window(), at(24)).await.unwrap();
}

async fn a_manifest_that_is_missing_for_no_reason_is_damage(database: Database) {
    let it = filled(&database).await;
    it.is_purged().await;
    it.ends().await;
    let pool = AnyPool::connect(&database.url).await.unwrap();
    sqlx::query("DELETE FROM messages").execute(&pool).await.unwrap();
    let known = it.ledger.known_copies(&mailbox(1).id, None, None, 9).await;
    assert!(matches!(&known, Err(LedgerError::Damaged(what)) if what.contains("no manifest")), "{known:?}");
}

/// Each case in both databases.
macro_rules! in_both {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $case() {
                super::$case(crate::ledger::Database::sqlite()).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $case() {
                super::$case(crate::ledger::Database::postgres()).await;
            })+
        }
    };
}

in_both!(
    an_item_that_is_final_loses_its_details_and_nothing_else,
    what_may_change_stays_whole,
    what_is_not_held_any_more_is_shrunk_later,
    what_is_shrunk_stays_purged_when_its_window_is_staged_anew,
    a_manifest_that_is_missing_for_no_reason_is_damage,
);
