//! What is imported and what a rule keeps out: size, encryption, items that can't be read, versions.

use std::path::Path;

use whatsapp_archiver::clock::Clock as _;
use whatsapp_archiver::ledger::{DeliveryState, ItemSelection};

use super::world::{ANA, BEN, World, ana, counts, message, stranger, to_ana, to_ana_at, whatsapp_id, whatsapp_ids};
use crate::servers::telemessage::ArchivedItem;

const LIMIT: usize = 10 * 1024 * 1024;

#[tokio::test]
async fn ten_mebibytes_are_imported_and_one_byte_more_is_not() {
    let world = World::new().await;
    let text = "ü".repeat(100);
    let file = |size: usize| vec![b'x'; size];
    world.server.add([
        to_ana(1).text(&text).attachment("exact.bin", "application/octet-stream", file(LIMIT - 200)),
        to_ana(2).text(&text).attachment("over.bin", "application/octet-stream", file(LIMIT - 199)),
        to_ana(3).text("").attachment_without_digest("far-over.bin", "application/octet-stream", file(LIMIT + 4096)),
    ]);
    let report = world.run().await;
    assert_eq!(counts(&report), [1, 0, 0, 2, 0]);
    assert_eq!(report.failed_by_reason["size_exceeded"], 2);
    assert_eq!(world.held(ANA), whatsapp_ids([1]));
    let found = &world.destination.mailboxes()[ANA][0];
    assert_eq!((said(&found.text), found.files[0].1.len()), (text.as_str(), LIMIT - 200));

    // An oversize item is staged whole all the same, and imported once the limit is raised.
    let staged = sizes_below(&world.directory.path().join("staging"));
    assert!(staged.contains(&(LIMIT as u64 - 199)) && staged.contains(&(LIMIT as u64 + 4096)), "{staged:?}");
    let requests = world.server.requests().len();
    let mut world = world;
    world.settings.max_item_size = 11 * 1024 * 1024;
    let report = world.retry(ItemSelection::default()).await;
    assert_eq!(counts(&report), [2, 0, 0, 0, 0]);
    assert_eq!(world.held(ANA), whatsapp_ids([1, 2, 3]));
    assert_eq!(world.server.requests().len(), requests, "what is staged is never asked for again");
}

/// What the sender wrote, of a message's plain text: `<name> wrote: <text>`, then an empty line and the details.
fn said(text: &str) -> &str {
    let opening = text.split("\n\n").next().unwrap();
    opening.split_once(" wrote: ").unwrap().1
}

fn sizes_below(directory: &Path) -> Vec<u64> {
    let mut sizes = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        if entry.path().is_dir() {
            sizes.extend(sizes_below(&entry.path()));
        } else {
            sizes.push(entry.metadata().unwrap().len());
        }
    }
    sizes
}

#[tokio::test]
async fn the_real_bytes_decide_and_not_the_declared_size() {
    let world = World::new().await;
    let declared = |size: u64| serde_json::json!([{ "name": "a.bin", "attachmentSize": size, "content": null }]);
    let lying = |id: i64, real: usize, size: u64| {
        to_ana(id)
            .attachment_without_digest("a.bin", "application/octet-stream", vec![b'x'; real])
            .field("attachment", declared(size))
    };
    world.server.add([lying(1, 1000, 99 << 30), lying(2, LIMIT + 1, 1)]);
    let report = world.run().await;
    assert_eq!(counts(&report), [1, 0, 0, 1, 0]);
    assert_eq!(world.held(ANA), whatsapp_ids([1]));
}

#[tokio::test]
async fn inline_bytes_count_as_decoded() {
    let mut world = World::new().await;
    world.settings.max_item_size = 1000;
    world.server.add([
        to_ana(1).text("1234567890").inline_attachment("a.bin", "application/octet-stream", &[7; 990]),
        to_ana(2).text("1234567890").inline_attachment("a.bin", "application/octet-stream", &[7; 991]),
    ]);
    let report = world.run().await;
    assert_eq!(counts(&report), [1, 0, 0, 1, 0]);
    assert_eq!(world.held(ANA), whatsapp_ids([1]));
}

#[tokio::test]
async fn an_item_that_cannot_be_read_is_alone_in_that() {
    let world = World::new().await;
    let broken = r#"{"id":2,"gatewayReceivedDate":"yesterday","body":7}"#;
    world.server.add([to_ana(1), ArchivedItem::verbatim(2, super::world::in_window(2), broken), to_ana(3)]);
    let report = world.run().await;
    assert_eq!(counts(&report), [2, 0, 0, 1, 0]);
    assert_eq!(report.failed_by_reason["malformed"], 1);
    assert_eq!(report.items.available_from_source, 3);
    assert_eq!(world.held(ANA), whatsapp_ids([1, 3]));
    let rows = world.rows(Some(&report.run), DeliveryState::Failed).await;
    assert_eq!((rows[0].item, rows[0].mailbox.as_deref()), (Some(2), None));
}

#[tokio::test]
async fn encrypted_content_is_accounted_for_and_not_imported() {
    let world = World::new().await;
    world.server.add([to_ana(1).encrypted(), to_ana(2)]);
    let report = world.run().await;
    assert_eq!(counts(&report), [1, 0, 0, 1, 0]);
    assert_eq!(report.failed_by_reason["encrypted"], 1);
    assert_eq!(world.held(ANA), whatsapp_ids([2]));
}

#[tokio::test]
async fn the_same_id_with_other_bytes_is_a_version_of_its_own() {
    let world = World::new().await;
    world.server.add([to_ana(1).text("before"), to_ana(1).text("after")]);
    let report = world.run().await;
    assert_eq!((report.items.available_from_source, report.items.repeated_by_source), (2, 0));
    let mailboxes = world.destination.mailboxes();
    let texts: Vec<&str> = mailboxes[ANA].iter().map(|found| said(&found.text)).collect();
    assert_eq!(texts, ["after", "before"]);

    // The same bytes once more are a repeat; a field that was filled since is a version, and the same message.
    world.server.add([to_ana(1).text("after").field("threadName", "filled late"), to_ana_at(5, world.clock.now())]);
    let report = world.run_next_day().await;
    assert_eq!((report.items.available_from_source, report.items.repeated_by_source), (2, 2));
    assert_eq!(counts(&report), [1, 0, 1, 0, 0]);
    assert_eq!(world.held(ANA), [whatsapp_id(1), whatsapp_id(1), whatsapp_id(5)]);
}

#[tokio::test]
async fn all_who_took_part_get_the_same_bytes() {
    let world = World::new().await;
    world.server.add([message(1), message(2).between(&stranger(), &stranger(), &[ana()])]);
    let report = world.run().await;
    assert_eq!(counts(&report), [3, 0, 0, 1, 0], "the stranger owns the second, and has a row for that");
    assert_eq!(world.held(ANA), whatsapp_ids([1, 2]));
    assert_eq!(world.held(BEN), whatsapp_ids([1]));
    assert_eq!(world.destination.mimes(BEN)[0], world.destination.mimes(ANA)[0]);
}

#[tokio::test]
async fn a_day_without_items_has_a_report() {
    let world = World::new().await;
    let report = world.run().await;
    assert_eq!(report.status.name(), "complete");
    assert_eq!((counts(&report), report.items.available_from_source), ([0; 5], 0));
}
