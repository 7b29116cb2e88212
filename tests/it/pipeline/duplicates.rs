//! One copy per mailbox, whoever captured the message.

use std::time::Duration;

use super::destination::Act;
use super::world::{
    ANA, BEN, CLEO, World, ana, ben, cleo, counts, in_window, message, stranger, whatsapp_id, whatsapp_ids,
};
use crate::servers::telemessage::{ArchivedItem, Who};

/// Message 1, from Ben to Ana and Cleo, as `owner` captured it.
fn captured_by(owner: &Who, id: i64) -> ArchivedItem {
    message(id).between(owner, &ben(), &[ana(), cleo()]).field("messageId", whatsapp_id(1)).group("g-1", "Desk")
}

#[tokio::test]
async fn two_owners_captures_are_one_copy_in_each_mailbox() {
    let world = World::new().await;
    world.server.add([captured_by(&ana(), 1), captured_by(&ben(), 2), captured_by(&cleo(), 3)]);
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([3, 0, 6, 0, 0], "complete"));
    for mailbox in [ANA, BEN, CLEO] {
        assert_eq!(world.held(mailbox), whatsapp_ids([1]));
    }
}

#[tokio::test]
async fn a_duplicate_is_skipped_only_when_the_first_copy_is_in() {
    let world = World::new().await;
    world.server.add([captured_by(&ana(), 1), captured_by(&ben(), 2)]);
    world.destination.always(CLEO, Some(Act::Forbid));
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([2, 0, 2, 0, 2], "incomplete"));

    world.destination.always(CLEO, None);
    world.clock.advance(Duration::from_mins(15));
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([1, 0, 1, 0, 0], "complete"));
    assert_eq!(world.held(CLEO), whatsapp_ids([1]));
}

#[tokio::test]
async fn the_next_capture_takes_over_when_the_first_is_rejected() {
    let world = World::new().await;
    world.server.add([captured_by(&ana(), 1), captured_by(&ben(), 2), captured_by(&cleo(), 3)]);
    world.destination.next(CLEO, Act::Reject);
    let report = world.run().await;
    assert_eq!(counts(&report), [3, 0, 5, 1, 0]);
    assert_eq!(report.failed_by_reason["mailbox_rejected"], 1);
    assert_eq!(world.held(CLEO), whatsapp_ids([1]));
}

#[tokio::test]
async fn a_message_that_is_always_rejected_is_tried_once_a_capture() {
    let world = World::new().await;
    world.server.add([captured_by(&ana(), 1), captured_by(&ben(), 2), captured_by(&cleo(), 3)]);
    world.destination.always(CLEO, Some(Act::Reject));
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([2, 0, 4, 3, 0], "complete"));
    assert_eq!(world.destination.sent_to(CLEO), 3);
    assert_eq!(world.held(CLEO), [""; 0]);
}

#[tokio::test]
async fn an_alias_is_the_same_mailbox() {
    let mut world = World::new().await;
    world.users.add_alias("a.berg@contoso.example", ANA);
    world.mapping = format!("15550100,{ANA}\n15550101,a.berg@contoso.example\n");
    world.server.add([message(1)]);
    let report = world.run().await;
    assert_eq!(counts(&report), [1, 0, 0, 0, 0]);
    assert_eq!(world.held(ANA), whatsapp_ids([1]));
}

#[tokio::test]
async fn look_alikes_are_both_kept() {
    let world = World::new().await;
    let call = |id| {
        let call = ArchivedItem::call(id, in_window(id), "VOICE", "1", chrono::Duration::seconds(60));
        call.between(&ana(), &stranger(), &[ana()])
    };
    world.server.add([call(1), call(2)]);
    assert_eq!(counts(&world.run().await), [2, 0, 0, 0, 0]);
    assert_eq!(world.held(ANA), whatsapp_ids([1, 2]));
}
