//! One mailbox's trouble is its own; unexpected errors are deferred; a run that stops leaves nothing in the balance.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use whatsapp_archiver::clock::Clock as _;
use whatsapp_archiver::ledger::{DeliveryState, ItemSelection};
use whatsapp_archiver::mailbox::DestinationLimits;
use whatsapp_archiver::pipeline::{RunError, RunRequest};

use super::destination::Act;
use super::world::{
    ANA, BEN, CLEO, FEW, World, ana, cleo, counts, message, stranger, to_ana, to_ana_at, to_ben, whatsapp_ids,
};
use crate::servers::telemessage::Fault;

const ONE_AT_A_TIME: DestinationLimits = DestinationLimits { mailboxes: 1, ..FEW };

#[tokio::test]
async fn a_mailbox_that_asks_for_hours_keeps_no_run_open() {
    // Whichever of them is worked on first.
    for (slow, other) in [(ANA, BEN), (BEN, ANA)] {
        let world = World::with_limits(ONE_AT_A_TIME).await;
        world.server.add((1..=40).flat_map(|id| [to_ana(2 * id), to_ben(2 * id + 1)]));
        world.destination.always(slow, Some(Act::Throttle(Duration::from_hours(2))));
        let begun = world.clock.now();
        let report = world.run().await;
        assert_eq!((counts(&report), report.status.name()), ([40, 0, 0, 0, 40], "incomplete"));
        assert_eq!((world.held(slow).len(), world.held(other).len()), (0, 40));
        assert!(world.clock.now() - begun < chrono::Duration::minutes(10));
        assert_eq!(world.destination.most_at_work(), 1, "the door's limit holds");

        // Newer messages of others come meanwhile, and what waits is taken up by the run after the pause.
        world.clock.advance(Duration::from_mins(20));
        world.server.add([to_ana_at(1001, world.clock.now() - chrono::Duration::minutes(10))]);
        let report = world.run().await;
        assert_eq!((report.status.name(), report.items.available_from_source), ("incomplete", 1));
        world.destination.always(slow, None);
        world.clock.advance(Duration::from_hours(2));
        let report = world.run().await;
        assert_eq!((report.status.name(), report.deliveries.pending), ("complete", 0));
        assert_eq!(world.held(ANA).len() + world.held(BEN).len(), 81);
    }
}

#[tokio::test]
async fn a_pause_of_a_minute_is_waited_for_in_the_same_run() {
    let world = World::with_limits(ONE_AT_A_TIME).await;
    world.server.add([to_ana(1), to_ben(2)]);
    world.destination.next(ANA, Act::Throttle(Duration::from_mins(1)));
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([2, 0, 0, 0, 0], "complete"));
}

#[tokio::test]
async fn a_mailbox_that_the_destination_knows_to_be_closed_is_not_asked() {
    for (closed, other) in [(ANA, BEN), (BEN, ANA)] {
        let world = World::with_limits(ONE_AT_A_TIME).await;
        world.server.add([to_ana(1), to_ben(2)]);
        let open = world.clock.now() + chrono::Duration::hours(3);
        world.destination.close(closed, open);
        let report = world.run().await;
        assert_eq!((counts(&report), report.status.name()), ([1, 0, 0, 0, 1], "incomplete"));
        assert_eq!((world.destination.sent_to(closed), world.held(other).len()), (0, 1));
        world.clock.set(open);
        assert_eq!(counts(&world.run().await), [1, 0, 0, 0, 0]);
        assert_eq!(world.destination.sent_to(closed), 1);
    }
}

#[tokio::test]
async fn a_mailbox_that_is_down_is_left_alone_and_tried_by_the_next_run() {
    let world = World::new().await;
    world.server.add((1..=20).flat_map(|id| [to_ana(2 * id), to_ben(2 * id + 1)]));
    world.destination.always(ANA, Some(Act::Down));
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([20, 0, 0, 0, 20], "incomplete"));
    assert!(world.destination.sent_to(ANA) <= 4 * 4, "four attempts of a batch of four");

    world.destination.always(ANA, None);
    world.clock.advance(Duration::from_mins(15));
    let report = world.run().await;
    assert_eq!((counts(&report), report.deliveries.carried_over), ([20, 0, 0, 0, 0], 20));
    assert_eq!(world.held(ANA).len(), 20);
}

#[tokio::test]
async fn unexpected_errors_are_deferred_and_not_repeated() {
    let world = World::new().await;
    world.server.add((1..=30).map(to_ana));
    world.destination.always(ANA, Some(Act::Surprise));
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([0, 0, 0, 0, 30], "incomplete"));
    assert_eq!(world.destination.sent_to(ANA), 20, "after so many in a row the mailbox is left alone");
    world.destination.always(ANA, None);
    let report = world.run_next_day().await;
    assert_eq!(counts(&report), [30, 0, 0, 0, 0]);
    assert_eq!(world.held(ANA), whatsapp_ids(1..=30));
}

#[tokio::test]
async fn a_run_that_is_stopped_puts_back_what_it_did_not_send() {
    let mut world = World::with_limits(ONE_AT_A_TIME).await;
    world.page_size = 5;
    world.server.add((1..=40).map(|id| message(id).between(&ana(), &stranger(), &[ana(), cleo()])));
    let presence = world.ledger.join(world.clock.now()).await.unwrap();
    let stop = CancellationToken::new();
    world.destination.shut();
    let pipeline = world.pipeline(presence.holder.clone(), stop.clone());
    let (finished, ()) = tokio::join!(pipeline.run(RunRequest::Regular), async {
        world.destination.until_asked().await;
        stop.cancel();
        world.destination.reopen();
    });
    let finished = finished.unwrap();
    world.audit(&finished.report).await;
    assert!(matches!(finished.error, Some(RunError::Stopped)), "{:?}", finished.error);
    assert!(finished.report.deliveries.imported < 40 && finished.report.deliveries.pending > 0);

    // The same process goes on, as the daemon does: nothing is stuck, and nothing needs to be looked up.
    let pipeline = world.pipeline(presence.holder.clone(), CancellationToken::new());
    let finished = pipeline.run(RunRequest::Regular).await.unwrap();
    assert!(finished.error.is_none(), "{:?}", finished.error);
    assert_eq!(finished.report.status.name(), "complete");
    assert_eq!(world.held(ANA), whatsapp_ids(1..=40));
    assert_eq!(world.held(CLEO), whatsapp_ids(1..=40));
    assert_eq!(world.destination.look_ups(), 0);
}

#[tokio::test]
async fn a_credential_that_is_refused_has_a_report_and_is_not_repeated() {
    let world = World::new().await;
    world.server.add([to_ana(1)]);
    world.server.set_password("another");
    let finished = world.run_request(RunRequest::Regular).await;
    assert!(matches!(finished.error, Some(RunError::Source(_))), "{:?}", finished.error);
    assert_eq!((finished.report.status.name(), counts(&finished.report)), ("failed", [0; 5]));
    assert_eq!(world.server.requests().len(), 1);
    assert_eq!(world.ledger.watermark().await.unwrap(), None);
}

#[tokio::test]
async fn a_source_that_is_down_fails_the_run_and_not_what_earlier_runs_left() {
    let world = World::new().await;
    world.server.add([to_ana(1)]);
    world.destination.always(ANA, Some(Act::Down));
    world.run().await;
    world.destination.always(ANA, None);
    world.server.set_outage(Some(Fault::Status(500)));
    let finished = world.run_request(RunRequest::Regular).await;
    assert!(finished.error.is_some());
    world.server.set_outage(None);
    world.clock.advance(Duration::from_mins(15));
    world.run().await;
    assert_eq!(world.held(ANA), whatsapp_ids([1]));
}

#[tokio::test]
async fn an_item_that_staging_lost_stops_no_other() {
    let mut world = World::new().await;
    world.page_size = 1;
    world.server.add([to_ana(1), to_ana(2), to_ben(3)]);
    for mailbox in [ANA, BEN] {
        world.destination.always(mailbox, Some(Act::Down));
    }
    assert_eq!(counts(&world.run().await), [0, 0, 0, 0, 3]);
    let pages = pages_of(&world);
    assert_eq!(pages.len(), 3);
    std::fs::write(&pages[0], b"{}").unwrap();

    for mailbox in [ANA, BEN] {
        world.destination.always(mailbox, None);
    }
    let report = world.run_next_day().await;
    assert_eq!((counts(&report), report.status.name()), ([2, 0, 0, 0, 1], "incomplete"));
    assert_eq!((world.held(ANA), world.held(BEN)), (whatsapp_ids([2]), whatsapp_ids([3])));
    let pending = world.rows(Some(&report.run), DeliveryState::Pending).await;
    assert_eq!(pending[0].item, Some(1));
    assert_eq!(counts(&world.retry(ItemSelection::default()).await)[4], 1, "a replay goes on beside it too");
}

#[tokio::test]
async fn a_staging_area_that_asks_for_a_long_pause_keeps_no_run_open() {
    let mut world = World::new().await;
    let staging = world.scripted_staging();
    world.server.add([to_ana(1)]);
    staging.pause.store(300, Ordering::SeqCst);
    let before = world.clock.now();
    let finished = world.run_request(RunRequest::Regular).await;
    assert!(world.clock.now() - before < chrono::Duration::minutes(1), "{}", world.clock.now() - before);
    let error = finished.error.unwrap();
    assert!(matches!(error, RunError::Staging(_)), "{error}");
    assert!(error.to_string().ends_with("slow down, not before 2026-11-22T02:05:00Z"), "{error}");

    staging.pause.store(60, Ordering::SeqCst);
    let before = world.clock.now();
    assert!(world.run_request(RunRequest::Regular).await.error.is_some());
    assert!(world.clock.now() - before >= chrono::Duration::minutes(3), "a short pause is waited for");
    staging.pause.store(0, Ordering::SeqCst);
    world.run().await;
    assert_eq!(world.held(ANA), whatsapp_ids([1]));
}

/// The staged pages, in order.
fn pages_of(world: &World) -> Vec<std::path::PathBuf> {
    let windows = std::fs::read_dir(world.directory.path().join("staging/windows")).unwrap();
    let pages = windows.flat_map(|window| std::fs::read_dir(window.unwrap().path().join("pages")).unwrap());
    let mut pages: Vec<_> = pages.map(|page| page.unwrap().path()).collect();
    pages.sort();
    pages
}

#[tokio::test]
async fn a_file_that_a_mailbox_refuses_makes_the_import_partial() {
    let world = World::new().await;
    world.server.add([to_ana(1), to_ana(2)]);
    world.destination.next(ANA, Act::TakeWithoutAFile);
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([1, 1, 0, 0, 0], "complete"));
    assert_eq!(report.partial_by_reason["attachment_rejected"], 1);
    assert_eq!(world.held(ANA), whatsapp_ids([1, 2]));
}

#[tokio::test]
async fn copies_that_meet_with_surprises_do_not_hold_up_those_after_them() {
    let world = World::new().await;
    world.server.add((1..=12).map(to_ana));
    for _ in 1..=9 {
        world.destination.next(ANA, Act::Surprise);
    }
    assert_eq!(counts(&world.run().await), [3, 0, 0, 0, 9]);
    assert_eq!(world.held(ANA), whatsapp_ids(10..=12));
}
