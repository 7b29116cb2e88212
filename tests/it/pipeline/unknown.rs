//! Unknown outcomes are looked up before anything is sent again, and certain ones cost no look-up.

use std::time::Duration;

use whatsapp_archiver::pipeline::Order;
use whatsapp_archiver::window::Window;

use super::door::{Act, Asked};
use super::world::{
    ANA, BEN, World, counts, in_window, message, start, to_ana, to_ana_at, to_ben, whatsapp_id, whatsapp_ids,
};

#[tokio::test]
async fn a_copy_whose_answer_was_lost_is_found_and_not_sent_again() {
    let world = World::new().await;
    world.server.add([to_ana(1), to_ana(2)]);
    world.door.next(ANA, Act::TakeAndLoseTheAnswer);
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([2, 0, 0, 0, 0], "complete"));
    assert_eq!(world.held(ANA), whatsapp_ids([1, 2]));
    assert_eq!((world.door.sent_to(ANA), world.door.look_ups()), (2, 1));
}

#[tokio::test]
async fn an_absent_copy_is_sent_again_only_when_the_mailbox_has_settled() {
    let world = World::new().await;
    world.server.add([to_ana(1)]);
    world.door.next(ANA, Act::LoseTheRequest);
    let report = world.run().await;
    assert_eq!(counts(&report), [1, 0, 0, 0, 0]);
    assert_eq!(world.held(ANA), whatsapp_ids([1]));
    let calls = world.door.calls();
    let asked: Vec<&Asked> = calls.iter().map(|call| &call.asked).collect();
    assert_eq!(asked, [&Asked::Import(1), &Asked::LookUp, &Asked::Import(1)]);
    assert!(calls[1].at - calls[0].at >= chrono::Duration::minutes(2), "{calls:?}");
}

#[tokio::test]
async fn a_look_up_without_an_answer_says_nothing() {
    let world = World::new().await;
    world.server.add([to_ana(1), to_ana(2)]);
    world.door.next(ANA, Act::TakeAndLoseTheAnswer);
    world.door.next(ANA, Act::LoseTheRequest);
    world.door.fail_look_ups(Some(Act::Down));
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([0, 0, 0, 0, 2], "incomplete"));
    assert_eq!(world.door.look_ups(), 4, "as often as retry.attempts says, for the mailbox and not for each copy");
    assert_eq!(world.door.sent_to(ANA), 2);

    world.door.fail_look_ups(None);
    world.clock.advance(Duration::from_mins(15));
    let report = world.run().await;
    assert_eq!(counts(&report), [2, 0, 0, 0, 0]);
    assert_eq!(world.held(ANA), whatsapp_ids([1, 2]));
    assert_eq!(world.door.sent_to(ANA), 3);
}

#[tokio::test]
async fn what_a_process_that_died_was_sending_is_looked_up() {
    let world = World::new().await;
    world.server.add([to_ana(1), message(2)]);
    world.door.shut();
    world.run_and_die_at_the_door();
    world.door.reopen();
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([3, 0, 0, 0, 0], "complete"));
    assert_eq!(world.held(ANA), whatsapp_ids([1, 2]));
    assert_eq!(world.held(BEN), whatsapp_ids([2]));
    assert!(world.door.look_ups() > 0);
}

#[tokio::test]
async fn certain_outcomes_cost_no_look_up() {
    let world = World::new().await;
    world.server.add((1..=5).map(to_ana));
    for act in [Act::Throttle(Duration::from_secs(5)), Act::Down, Act::Reject, Act::Surprise] {
        world.door.next(ANA, act);
    }
    let report = world.run().await;
    assert_eq!(counts(&report)[3..], [1, 1]);
    assert_eq!(world.run_next_day().await.deliveries.imported, 1);
    assert_eq!(world.held(ANA).len(), 4);
    assert_eq!(world.door.look_ups(), 0);
}

#[tokio::test]
async fn a_backfill_of_time_before_the_ledger_looks_up_every_send() {
    let world = World::new().await;
    world.run().await;
    let day = chrono::Duration::days(1);
    world.server.add((1..=6).map(|id| to_ana_at(id, in_window(id) - day * 2)));
    let watermark = world.ledger.watermark().await.unwrap();
    let finished = world.order(Order::Backfill(Window { from: start() - day * 4, to: start() - day })).await;
    assert!(finished.error.is_none(), "{:?}", finished.error);
    assert_eq!((counts(&finished.report), finished.report.status.name()), ([6, 0, 0, 0, 0], "complete"));
    assert_eq!(world.door.look_ups(), 6);
    assert_eq!(world.held(ANA), whatsapp_ids(1..=6));
    assert_eq!(world.ledger.watermark().await.unwrap(), watermark, "a backfill leaves the watermark alone");

    // Within the ledger's own time, it knows what was sent.
    world.server.add([to_ana(9)]);
    let report = world.order(Order::Backfill(Window { from: start() - day, to: start() })).await.report;
    assert_eq!(report.deliveries.imported, 1);
    assert_eq!(world.door.look_ups(), 6);
}

/// Neither a message that kills the server that takes it, nor a mailbox that never answers, keeps a run from its end.
#[tokio::test]
async fn a_copy_that_never_gets_an_answer_is_left_pending() {
    let world = World::new().await;
    world.server.add([to_ana(1), to_ana(2), to_ana(3)]);
    world.door.set_poison(Some(&whatsapp_id(2)));
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([2, 0, 0, 0, 1], "incomplete"));
    assert_eq!(world.held(ANA), whatsapp_ids([1, 3]));
    assert_eq!(world.door.sent_to(ANA), 2 + 4, "as often as retry.attempts says");

    world.door.set_poison(None);
    let report = world.run_next_day().await;
    assert_eq!(counts(&report), [1, 0, 0, 0, 0]);
    assert_eq!(world.held(ANA), whatsapp_ids([1, 2, 3]));
}

#[tokio::test]
async fn a_mailbox_that_never_answers_is_left_alone() {
    let world = World::new().await;
    world.server.add((1..=60).map(to_ana).chain([to_ben(61)]));
    world.door.always(ANA, Some(Act::LoseTheRequest));
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([1, 0, 0, 0, 60], "incomplete"));
    assert!(world.door.sent_to(ANA) <= 5 * 4, "no more than a few batches: {}", world.door.sent_to(ANA));

    world.door.always(ANA, None);
    let report = world.run_next_day().await;
    assert_eq!(counts(&report), [60, 0, 0, 0, 0]);
    assert_eq!(world.held(ANA), whatsapp_ids(1..=60));
}
