//! The items of windows, through their pages.

use whatsapp_archiver::ledger::{AttachmentRecord, AttachmentState, ItemNo, ItemRecord, Ledger, NewItem};
use whatsapp_archiver::window::Window;

use super::{Database, at, begin, new_item, page_of};

/// Windows A and B, whose pages came by turns, and C, which came last.
fn windows() -> [Window; 3] {
    [0, 100, 200].map(|from| Window { from: at(from), to: at(from + 100) })
}

/// 60 pages of one to three items; every fourth item has an attachment. Returns each window's items.
async fn fill(ledger: &Ledger) -> [Vec<ItemNo>; 3] {
    begin(ledger, 1).await;
    let mut items = [const { Vec::new() }; 3];
    let mut next = 0;
    for page in 0..60 {
        let of = if page < 50 { page % 2 } else { 2 };
        let new: Vec<NewItem> = (0..=page % 3)
            .map(|_| {
                next += 1;
                let attachment = AttachmentRecord { state: AttachmentState::Inline, size: 1, digest: None };
                let attachments = if next % 4 == 0 { vec![attachment] } else { Vec::new() };
                NewItem { attachments, ..new_item(next) }
            })
            .collect();
        items[of].extend(page_of(ledger, 1, windows()[of], &new, at(60)).await.unwrap());
    }
    items
}

async fn windows_are_walked(database: Database) {
    let ledger = database.open().await;
    let items = fill(&ledger).await;
    let [a, b, c] = windows();
    let numbers = |found: &[ItemRecord]| found.iter().map(|item| item.no).collect::<Vec<_>>();
    let of = |wanted: &[usize]| {
        let mut all: Vec<ItemNo> = wanted.iter().flat_map(|window| items[*window].clone()).collect();
        all.sort_unstable();
        all
    };
    let whole = Window { from: a.from, to: c.to };
    let inside = Window { from: at(99), to: at(101) };
    let none = Window { from: at(300), to: at(400) };
    for (window, expected) in
        [(a, of(&[0])), (b, of(&[1])), (c, of(&[2])), (whole, of(&[0, 1, 2])), (inside, of(&[0, 1])), (none, of(&[]))]
    {
        for limit in [1, 2, 7, 1000] {
            let mut walked = Vec::new();
            loop {
                let after = walked.last().copied().unwrap_or(ItemNo(0));
                let found = ledger.items_of_window(window, after, limit).await.unwrap();
                assert!(found.len() <= limit as usize && found.iter().all(|item| item.window.from < window.to));
                if found.is_empty() {
                    break;
                }
                walked.extend(numbers(&found));
            }
            assert_eq!(walked, expected, "{window:?} by {limit}");
        }
    }
    for (window, of) in [(a, 0), (b, 1), (c, 2)] {
        let expected: Vec<ItemNo> = items[of].iter().copied().filter(|no| no.0 % 4 == 0).collect();
        let first = ledger.items_with_attachments(window, ItemNo(0), 4).await.unwrap();
        assert_eq!(numbers(&first), expected[..4]);
        let rest = ledger.items_with_attachments(window, expected[3], 1000).await.unwrap();
        assert_eq!(numbers(&rest), expected[4..]);
        assert!(ledger.items_with_attachments(window, *expected.last().unwrap(), 9).await.unwrap().is_empty());
    }
    // Another window is no other part of this one.
    assert!(ledger.items_with_attachments(inside, ItemNo(0), 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn windows_are_walked_on_sqlite() {
    windows_are_walked(Database::sqlite()).await;
}

#[tokio::test]
async fn windows_are_walked_on_postgres() {
    windows_are_walked(Database::postgres()).await;
}
