//! Attachments that trail, are gone, or are not what was declared.

use std::time::Duration;

use super::world::{ANA, World, counts, to_ana, whatsapp_ids};
use crate::servers::telemessage::{Fault, MediaFault};

const PDF: &[u8] = b"%PDF-1.4 one page";

#[tokio::test]
async fn a_late_attachment_is_waited_for_and_imported_whole() {
    let world = World::new().await;
    world.server.add([to_ana(1).attachment("terms.pdf", "application/pdf", PDF), to_ana(2)]);
    for _ in 0..4 {
        world.server.fail_attachment(1, 0, Fault::Status(404));
    }
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([1, 0, 0, 0, 1], "incomplete"));
    assert_eq!(world.held(ANA), whatsapp_ids([2]));

    world.clock.advance(Duration::from_mins(15));
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([1, 0, 0, 0, 0], "complete"));
    assert_eq!(report.deliveries.carried_over, 1);
    let found = &world.door.mailboxes()[ANA][0];
    assert_eq!(found.files, [("terms.pdf".to_owned(), PDF.to_vec())]);
    assert_eq!(world.held(ANA), whatsapp_ids([1, 2]));
}

#[tokio::test]
async fn an_attachment_that_never_comes_is_left_out_after_the_wait() {
    let world = World::new().await;
    world.server.add([to_ana(1).attachment("terms.pdf", "application/pdf", PDF)]);
    for _ in 0..12 {
        world.server.fail_attachment(1, 0, Fault::Status(404));
    }
    assert_eq!(counts(&world.run().await), [0, 0, 0, 0, 1]);
    world.clock.advance(Duration::from_hours(12));
    assert_eq!(counts(&world.run().await), [0, 0, 0, 0, 1], "half of the wait is not enough");
    world.clock.advance(Duration::from_hours(12));
    let report = world.run().await;
    assert_eq!(counts(&report), [0, 1, 0, 0, 0]);
    assert_eq!(report.partial_by_reason["attachment_missing"], 1);
    assert_eq!(world.door.mailboxes()[ANA][0].files, []);
}

#[tokio::test]
async fn an_attachment_that_is_gone_is_not_waited_for() {
    let world = World::new().await;
    world.server.add([to_ana(1).attachment("terms.pdf", "application/pdf", PDF)]);
    world.server.fail_attachment(1, 0, Fault::Status(410));
    let report = world.run().await;
    assert_eq!(counts(&report), [0, 1, 0, 0, 0]);
    assert_eq!(report.partial_by_reason["attachment_missing"], 1);
}

#[tokio::test]
async fn wrong_bytes_are_fetched_again_before_they_count_as_corrupt() {
    let world = World::new().await;
    world.server.add([
        to_ana(1).attachment("mends.pdf", "application/pdf", PDF),
        to_ana(2).attachment("stays.pdf", "application/pdf", PDF),
    ]);
    world.server.fail_attachment(1, 0, MediaFault::WrongBytes);
    for _ in 0..3 {
        world.server.fail_attachment(2, 0, MediaFault::WrongBytes);
    }
    let report = world.run().await;
    assert_eq!(counts(&report), [1, 1, 0, 0, 0]);
    assert_eq!(report.partial_by_reason["attachment_corrupt"], 1);
    let files: Vec<usize> = world.door.mailboxes()[ANA].iter().map(|found| found.files.len()).collect();
    assert_eq!(files, [1, 0]);
}

#[tokio::test]
async fn a_large_attachment_that_breaks_off_is_fetched_again() {
    let mut world = World::new().await;
    world.settings.max_item_size = 100_000;
    let large = vec![b'x'; 3_000_000];
    world.server.add([to_ana(1).attachment("large.bin", "application/octet-stream", large), to_ana(2)]);
    world.server.fail_attachment(1, 0, MediaFault::BreakOff);
    let report = world.run().await;
    assert_eq!(counts(&report), [1, 0, 0, 1, 0]);
    assert_eq!(report.failed_by_reason["size_exceeded"], 1);
    assert!(report.bytes.downloaded > 3_000_000, "it is staged whole");
}

#[tokio::test]
async fn an_attachment_beyond_every_limit_is_not_staged_and_holds_its_item() {
    let mut world = World::new().await;
    world.settings.max_item_size = 10_000;
    world.settings.max_attachment_size = 100_000;
    world.server.add([to_ana(1).attachment("huge.bin", "application/octet-stream", vec![b'x'; 100_001]), to_ana(2)]);
    let report = world.run().await;
    assert_eq!(counts(&report), [1, 0, 0, 1, 0]);
    assert_eq!(report.failed_by_reason["size_exceeded"], 1);
}
