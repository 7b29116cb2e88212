//! Memory is bounded, and nobody waits for memory that they hold themselves.

use std::time::Duration;

use super::destination::Act;
use super::world::{ANA, BEN, World, ana, counts, message, stranger, whatsapp_ids};
use crate::servers::telemessage::ArchivedItem;

const LARGE: usize = 9 * 1024 * 1024;
/// One more than the memory has space for while nobody takes them.
const ITEMS: u8 = 3;

fn large(id: u8) -> ArchivedItem {
    let bytes = vec![id; LARGE];
    message(id.into()).attachment("large.bin", "application/octet-stream", bytes)
}

#[tokio::test]
async fn a_page_of_large_items_is_imported() {
    let world = World::new().await;
    world.server.add((1..=ITEMS).map(large));
    let report = world.run().await;
    assert_eq!(counts(&report), [u64::from(2 * ITEMS), 0, 0, 0, 0]);
    assert_eq!(world.held(ANA), whatsapp_ids(1..=ITEMS.into()));
    assert_eq!(world.held(BEN), whatsapp_ids(1..=ITEMS.into()));
}

#[tokio::test]
async fn large_items_that_wait_in_the_ledger_are_imported_one_by_one() {
    let world = World::new().await;
    world.server.add((1..=ITEMS).map(|id| large(id).between(&ana(), &stranger(), &[ana()])));
    world.destination.always(ANA, Some(Act::Down));
    let report = world.run().await;
    assert_eq!(counts(&report), [0, 0, 0, 0, u64::from(ITEMS)]);
    world.destination.always(ANA, None);
    world.destination.next(ANA, Act::LoseTheRequest);
    world.destination.next(ANA, Act::TakeAndLoseTheAnswer);
    world.clock.advance(Duration::from_mins(15));
    let report = world.run().await;
    assert_eq!(counts(&report), [u64::from(ITEMS), 0, 0, 0, 0]);
    assert_eq!(world.held(ANA), whatsapp_ids(1..=ITEMS.into()));
}

#[tokio::test]
async fn a_mailbox_that_waits_keeps_no_memory_from_the_others() {
    let world = World::new().await;
    world.server.add((1..=ITEMS).map(large));
    world.destination.next(ANA, Act::Throttle(Duration::from_hours(2)));
    let report = world.run().await;
    assert_eq!(counts(&report), [u64::from(ITEMS), 0, 0, 0, u64::from(ITEMS)]);
    world.clock.advance(Duration::from_hours(2));
    assert_eq!(counts(&world.run().await), [u64::from(ITEMS), 0, 0, 0, 0]);
}
