//! Names that rows refer to by number.

use sqlx::{AnyPool, Row as _};
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::ledger::{DeliveryState, ItemNo, Ledger, LedgerError, NewDelivery, NewItem, Prepared, Target};
use whatsapp_archiver::resolution::Resolution;

use super::{Database, at, begin, copy, mailbox, new_item, outcome, page, page_of, prepared, run_id, sender, window};

fn item_of(number: usize, owner: &str) -> NewItem {
    NewItem { owner: Some(owner.to_owned()), ..new_item(number) }
}

fn without_user(detail: &str) -> Resolution {
    let outcome = serde_json::json!({"outcome": "no_valid_user", "detail": detail});
    let mut resolved = serde_json::json!({"participant": {"value": "15550100", "kind": "phone"}});
    resolved.as_object_mut().unwrap().extend(outcome.as_object().unwrap().clone());
    serde_json::from_value(serde_json::Value::Array(vec![resolved])).unwrap()
}

async fn pool(database: &Database) -> AnyPool {
    sqlx::any::install_default_drivers();
    AnyPool::connect(&database.url).await.unwrap()
}

async fn owner(pool: &AnyPool, no: ItemNo) -> String {
    let query = sqlx::query("SELECT owner FROM items_in_words WHERE item_no = $1").bind(no.0);
    query.fetch_one(pool).await.unwrap().get(0)
}

async fn execute(pool: &AnyPool, statement: &'static str) -> u64 {
    sqlx::query(statement).execute(pool).await.unwrap().rows_affected()
}

/// A process remembers names whose commits the database loses, and another process's names get their numbers: nothing is written by
/// the numbers that are remembered.
async fn remembered_names_that_were_lost_are_not_written(database: Database) {
    let (remembers, other) = (database.open().await, database.open().await);
    begin(&remembers, 1).await;
    let kept = page(&remembers, 1, &[item_of(1, "anna"), item_of(2, "anna")], at(60)).await;
    let lost = page(&remembers, 1, &[item_of(3, "bob")], at(60)).await;
    let pool = pool(&database).await;
    let forget = async || {
        execute(&pool, "DELETE FROM item_rows WHERE item_no > 2").await;
        execute(&pool, "DELETE FROM pages WHERE first_item > 2").await;
        assert!(execute(&pool, "DELETE FROM names WHERE name <> 'anna'").await > 0);
    };
    forget().await;
    let alices = page(&other, 1, &[item_of(4, "alice")], at(60)).await;
    assert_eq!(alices, lost);
    let refused = page_of(&remembers, 1, window(), &[item_of(5, "bob")], at(60)).await;
    assert!(matches!(refused, Err(LedgerError::CommitsLost)), "{refused:?}");
    let bobs = page(&remembers, 1, &[item_of(5, "bob")], at(60)).await;
    for (no, expected) in [(kept[0], "anna"), (alices[0], "alice"), (bobs[0], "bob")] {
        assert_eq!(owner(&pool, no).await, expected);
    }

    // Copies, and their outcomes: also where names that are new are asked for beside those that are remembered.
    let row = |to: usize| copy(to, to, DeliveryState::Ready);
    remembers.record_prepared(&run_id(1), at(0), &[prepared(kept[0], vec![row(1)])]).await.unwrap();
    execute(&pool, "DELETE FROM delivery_rows").await;
    forget().await;
    let other = database.open().await;
    page(&other, 1, &[item_of(4, "alice"), item_of(6, "ada"), item_of(7, "alan")], at(60)).await;
    let again = || [prepared(kept[0], vec![row(1), row(2)])];
    let refused = remembers.record_prepared(&run_id(1), at(0), &again()).await;
    assert!(matches!(refused, Err(LedgerError::CommitsLost)), "{refused:?}");
    remembers.record_prepared(&run_id(1), at(0), &again()).await.unwrap();
    let targets = |rows: Vec<whatsapp_archiver::ledger::DeliveryRow>| rows.into_iter().map(|row| row.target).collect();
    let found: Vec<Target> = targets(remembers.rows_of(&kept[..1]).await.unwrap());
    assert_eq!(found, [1, 2].map(|to| Target::Mailbox(mailbox(to).id)));
    execute(&pool, "UPDATE names SET mark = mark + 1 WHERE name_no = (SELECT MAX(name_no) FROM names)").await;
    let imported = [outcome(kept[0], 1, DeliveryState::Imported)];
    let refused = remembers.record(&sender(1), &imported, &[]).await;
    assert!(matches!(refused, Err(LedgerError::CommitsLost)), "{refused:?}");
    remembers.record(&sender(1), &imported, &[]).await.unwrap();
    assert_eq!(remembers.account(&run_id(1)).await.unwrap().of(DeliveryState::Imported), 1);
}

#[tokio::test]
async fn remembered_names_that_were_lost_are_not_written_on_sqlite() {
    remembered_names_that_were_lost_are_not_written(Database::sqlite()).await;
}

#[tokio::test]
async fn remembered_names_that_were_lost_are_not_written_on_postgres() {
    remembered_names_that_were_lost_are_not_written(Database::postgres()).await;
}

/// The same for what is read.
async fn remembered_names_that_were_lost_are_not_read(database: Database) {
    let remembers = database.open().await;
    begin(&remembers, 1).await;
    let no = page(&remembers, 1, &[new_item(1)], at(60)).await;
    let with = |detail: &str| Prepared { resolution: Some(without_user(detail)), ..prepared(no[0], Vec::new()) };
    remembers.record_prepared(&run_id(1), at(0), &[with("not mapped")]).await.unwrap();
    let read =
        async |ledger: &Ledger| ledger.items(&no).await.map(|mut items| items.remove(&no[0]).unwrap().resolution);
    assert_eq!(read(&remembers).await.unwrap(), Some(without_user("not mapped")));
    let pool = pool(&database).await;
    execute(&pool, "DELETE FROM names WHERE name = 'not mapped'").await;
    let other = database.open().await;
    other.record_prepared(&run_id(1), at(0), &[with("disabled")]).await.unwrap();
    let refused = read(&remembers).await;
    assert!(matches!(refused, Err(LedgerError::CommitsLost)), "{refused:?}");
    assert_eq!(read(&remembers).await.unwrap(), Some(without_user("disabled")));
}

#[tokio::test]
async fn remembered_names_that_were_lost_are_not_read_on_sqlite() {
    remembered_names_that_were_lost_are_not_read(Database::sqlite()).await;
}

#[tokio::test]
async fn remembered_names_that_were_lost_are_not_read_on_postgres() {
    remembered_names_that_were_lost_are_not_read(Database::postgres()).await;
}

/// 10,000 characters that no compression makes short enough for an index.
fn long(end: &str) -> String {
    let digests: String = (0..160).map(|number: i32| Digest::of(&number.to_be_bytes()).to_string()).collect();
    format!("{}{end}", &digests[..10_000 - end.len()])
}

async fn a_name_may_be_long(database: Database) {
    let ledger = database.open().await;
    begin(&ledger, 1).await;
    let names = [long("a"), long("b"), format!("Zoë {}", "ü".repeat(10_000))];
    let items: Vec<NewItem> = names.iter().enumerate().map(|(number, name)| item_of(number, name)).collect();
    let numbers = page(&ledger, 1, &items, at(60)).await;
    let again = database.open().await;
    let more = page(&again, 1, &[item_of(8, &names[1]), item_of(9, &names[2])], at(60)).await;
    let pool = pool(&database).await;
    for (no, name) in numbers.iter().chain(&more).zip(names.iter().chain(&names[1..])) {
        assert!(owner(&pool, *no).await == *name, "item {}", no.0);
    }
    let row = sqlx::query("SELECT COUNT(*) FROM names").fetch_one(&pool).await.unwrap();
    assert_eq!(row.get::<i64, _>(0), 3, "each is kept once");

    let all: Vec<Prepared> = numbers
        .iter()
        .zip(&names)
        .map(|(no, name)| {
            let own = NewDelivery {
                target: Target::Participant(name.clone()),
                mailbox: None,
                identities: None,
                ..copy(0, 0, DeliveryState::Pending)
            };
            let resolution = Some(without_user(name));
            Prepared { resolution, unmapped: vec![name.clone()], ..prepared(*no, vec![own]) }
        })
        .collect();
    ledger.record_prepared(&run_id(1), at(0), &all).await.unwrap();
    let found = again.items(&numbers).await.unwrap();
    let rows = again.rows_of(&numbers).await.unwrap();
    for ((no, name), row) in numbers.iter().zip(&names).zip(&rows) {
        assert!(found[no].resolution == Some(without_user(name)) && row.target == Target::Participant(name.clone()));
    }
    ledger.freeze_account(&run_id(1)).await.unwrap();
    ledger.note_owners(&run_id(1), at(0)).await.unwrap();
    assert_eq!(ledger.owners_without_items_since(i64::MAX).await.unwrap().len(), 2, "by their beginnings");
    let (unmapped, count) = ledger.unmapped(&run_id(1), 9).await.unwrap();
    assert_eq!((unmapped.len(), count), (2, 2));
}

#[tokio::test]
async fn a_name_may_be_long_on_sqlite() {
    a_name_may_be_long(Database::sqlite()).await;
}

#[tokio::test]
async fn a_name_may_be_long_on_postgres() {
    a_name_may_be_long(Database::postgres()).await;
}
