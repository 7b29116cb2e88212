//! Unknown outcomes are looked up before anything is sent again, and certain ones cost no look-up.

use std::cell::Cell;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use whatsapp_archiver::clock::Clock as _;
use whatsapp_archiver::ledger::{ItemNo, ItemSelection, QueueOf};
use whatsapp_archiver::pipeline::RunRequest;
use whatsapp_archiver::resolution::MailboxId;
use whatsapp_archiver::window::Window;

use super::destination::{Act, Asked};
use super::world::{
    ANA, BEN, CLEO, World, counts, in_window, message, start, to_ana, to_ana_at, to_ben, whatsapp_id, whatsapp_ids,
};

#[tokio::test]
async fn a_copy_whose_answer_was_lost_is_found_and_not_sent_again() {
    let world = World::new().await;
    world.server.add([to_ana(1), to_ana(2)]);
    world.destination.next(ANA, Act::TakeAndLoseTheAnswer);
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([2, 0, 0, 0, 0], "complete"));
    assert_eq!(world.held(ANA), whatsapp_ids([1, 2]));
    assert_eq!((world.destination.sent_to(ANA), world.destination.look_ups()), (2, 1));
}

#[tokio::test]
async fn an_absent_copy_is_sent_again_only_when_the_mailbox_has_settled() {
    let world = World::new().await;
    world.server.add([to_ana(1)]);
    world.destination.next(ANA, Act::LoseTheRequest);
    let report = world.run().await;
    assert_eq!(counts(&report), [1, 0, 0, 0, 0]);
    assert_eq!(world.held(ANA), whatsapp_ids([1]));
    let calls = world.destination.calls();
    let asked: Vec<&Asked> = calls.iter().map(|call| &call.asked).collect();
    assert_eq!(asked, [&Asked::Import(1), &Asked::LookUp, &Asked::Import(1)]);
    assert!(calls[1].at - calls[0].at >= chrono::Duration::minutes(2), "{calls:?}");
}

#[tokio::test]
async fn a_look_up_without_an_answer_says_nothing() {
    let world = World::new().await;
    world.server.add([to_ana(1), to_ana(2)]);
    world.destination.next(ANA, Act::TakeAndLoseTheAnswer);
    world.destination.next(ANA, Act::LoseTheRequest);
    world.destination.fail_look_ups(Some(Act::Down));
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([0, 0, 0, 0, 2], "incomplete"));
    assert_eq!(
        world.destination.look_ups(),
        3,
        "with the lost answer, as many as retry.attempts says, and not for each copy"
    );
    assert_eq!(world.destination.sent_to(ANA), 2);

    world.destination.fail_look_ups(None);
    world.clock.advance(Duration::from_mins(15));
    let report = world.run().await;
    assert_eq!(counts(&report), [2, 0, 0, 0, 0]);
    assert_eq!(world.held(ANA), whatsapp_ids([1, 2]));
    assert_eq!(world.destination.sent_to(ANA), 3);
}

#[tokio::test]
async fn what_a_process_that_died_was_sending_is_looked_up() {
    let world = World::new().await;
    world.server.add([to_ana(1), message(2)]);
    world.destination.shut();
    world.run_and_die_while_sending();
    world.destination.reopen();
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([3, 0, 0, 0, 0], "complete"));
    assert_eq!(world.held(ANA), whatsapp_ids([1, 2]));
    assert_eq!(world.held(BEN), whatsapp_ids([2]));
    assert!(world.destination.look_ups() > 0);
}

#[tokio::test]
async fn certain_outcomes_cost_no_look_up() {
    let world = World::new().await;
    world.server.add((1..=5).map(to_ana));
    for act in [Act::Throttle(Duration::from_secs(5)), Act::Down, Act::Reject, Act::Surprise] {
        world.destination.next(ANA, act);
    }
    let report = world.run().await;
    assert_eq!(counts(&report)[3..], [1, 1]);
    assert_eq!(world.run_next_day().await.deliveries.imported, 1);
    assert_eq!(world.held(ANA).len(), 4);
    assert_eq!(world.destination.look_ups(), 0);
}

#[tokio::test]
async fn a_backfill_of_time_before_the_ledger_looks_up_every_send() {
    let world = World::new().await;
    world.run().await;
    let day = chrono::Duration::days(1);
    world.server.add((1..=6).map(|id| to_ana_at(id, in_window(id) - day * 2)));
    let watermark = world.ledger.watermark().await.unwrap();
    let finished = world.run_request(RunRequest::Backfill(Window { from: start() - day * 4, to: start() - day })).await;
    assert!(finished.error.is_none(), "{:?}", finished.error);
    assert_eq!((counts(&finished.report), finished.report.status.name()), ([6, 0, 0, 0, 0], "complete"));
    assert_eq!(world.destination.look_ups(), 6);
    assert_eq!(world.held(ANA), whatsapp_ids(1..=6));
    assert_eq!(world.ledger.watermark().await.unwrap(), watermark, "a backfill leaves the watermark alone");

    // Within the ledger's own time, it knows what was sent.
    world.server.add([to_ana(9)]);
    let report = world.run_request(RunRequest::Backfill(Window { from: start() - day, to: start() })).await.report;
    assert_eq!(report.deliveries.imported, 1);
    assert_eq!(world.destination.look_ups(), 6);
}

#[tokio::test]
async fn a_copy_that_is_lost_each_time_holds_nothing_up() {
    let world = World::new().await;
    world.server.add([to_ana(1), to_ben(2)]);
    world.destination.always(ANA, Some(Act::LoseTheRequest));
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([1, 0, 0, 0, 1], "incomplete"));
    assert_eq!(world.held(BEN), whatsapp_ids([2]));
    assert_eq!(world.destination.sent_to(ANA), 3, "after that it is left to a later run");

    world.destination.always(ANA, None);
    let report = world.run_next_day().await;
    assert_eq!((counts(&report), report.status.name()), ([1, 0, 0, 0, 0], "complete"));
    assert_eq!(world.held(ANA), whatsapp_ids([1]));
}

#[tokio::test]
async fn a_mailbox_of_which_nothing_is_heard_is_given_time_and_then_left_alone() {
    let world = World::new().await;
    world.server.add((1..=40).map(to_ana));
    world.destination.always(ANA, Some(Act::LoseTheRequest));
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([0, 0, 0, 0, 40], "incomplete"));
    assert!(world.destination.sent_to(ANA) <= 16, "no more than a batch a try: {}", world.destination.sent_to(ANA));

    world.destination.always(ANA, None);
    assert_eq!(counts(&world.run_next_day().await), [40, 0, 0, 0, 0]);
    assert_eq!(world.held(ANA), whatsapp_ids(1..=40));
}

#[tokio::test]
async fn what_could_not_be_looked_up_is_given_up_and_looked_up_before_it_is_replayed() {
    let world = with_an_unknown_copy().await;
    world.clock.advance(Duration::from_hours(8 * 24));
    let report = world.run().await;
    assert_eq!(counts(&report), [0, 0, 0, 1, 0]);
    assert_eq!(report.given_up(), 1);

    world.destination.fail_look_ups(None);
    assert_eq!(counts(&world.retry(ItemSelection::default()).await), [1, 0, 0, 0, 0]);
    assert_eq!((world.held(ANA), world.destination.sent_to(ANA)), (whatsapp_ids([1]), 1));
}

#[tokio::test]
async fn a_clock_that_is_ahead_gives_nothing_up() {
    let world = with_an_unknown_copy().await;
    world.server.hold_time();
    world.clock.advance(Duration::from_hours(400 * 24));
    let report = world.run().await;
    assert_eq!((counts(&report), report.given_up()), ([0, 0, 0, 0, 1], 0));
}

/// A world in which Ana was sent a copy whose answer was lost, and can't be looked up.
async fn with_an_unknown_copy() -> World {
    let world = World::new().await;
    world.server.add([to_ana(1)]);
    world.destination.next(ANA, Act::TakeAndLoseTheAnswer);
    world.destination.fail_look_ups(Some(Act::Forbid));
    assert_eq!(counts(&world.run().await), [0, 0, 0, 0, 1]);
    world
}

/// A world in which Ana has a copy that was never found again, and so was given up.
async fn with_a_copy_given_up() -> World {
    let world = with_an_unknown_copy().await;
    world.clock.advance(Duration::from_hours(8 * 24));
    assert_eq!(world.run().await.given_up(), 1);
    world
}

/// Copies for Ana of the latest run that may be there.
async fn unknown_copies(world: &World) -> usize {
    let Some(run) = world.ledger.runs(1).await.unwrap().pop() else { return 0 };
    let ana = MailboxId(format!("id of {ANA}"));
    world.ledger.queue(&run.id, &ana, QueueOf::Unknown, ItemNo(0), 9).await.unwrap().len()
}

/// Returns when a copy for Ana may be there.
async fn until_unknown(world: &World) {
    while unknown_copies(world).await == 0 {
        tokio::task::yield_now().await;
    }
}

/// A run that is stopped while it waits for a mailbox to settle.
async fn stopped_before_it_settled(world: &World) {
    let stop = CancellationToken::new();
    let (finished, ()) = tokio::join!(world.run_until(stop.clone(), RunRequest::Regular), async {
        until_unknown(world).await;
        let_it_go_on().await;
        stop.cancel();
    });
    finished.unwrap();
}

/// Lets the run do whatever it does without time passing.
async fn let_it_go_on() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_copy_that_was_given_up_is_looked_up_also_after_the_mapping_led_elsewhere() {
    let mut world = with_a_copy_given_up().await;
    world.destination.fail_look_ups(None);
    let right = std::mem::replace(&mut world.mapping, format!("15550100,{CLEO}\n15550101,{BEN}\n"));
    world.retry(ItemSelection::default()).await;
    assert_eq!(world.held(CLEO), whatsapp_ids([1]));
    world.mapping = right;
    world.retry(ItemSelection::default()).await;
    assert_eq!(world.held(ANA), whatsapp_ids([1]), "once, as before");
}

#[tokio::test]
async fn a_stop_before_the_mailbox_has_settled_proves_no_absence() {
    let world = World::new().await;
    world.destination.settle_after(Duration::from_mins(20));
    world.server.add([to_ana(1)]);
    world.destination.next(ANA, Act::LoseTheRequest);
    stopped_before_it_settled(&world).await;
    assert_eq!(unknown_copies(&world).await, 1, "it is looked up by the next run");
    assert_eq!(world.destination.sent_to(ANA), 1);
}

#[tokio::test]
async fn a_clock_that_is_set_ahead_proves_no_absence() {
    let world = World::new().await;
    world.destination.settle_after(Duration::from_mins(20));
    world.server.add([to_ana(1)]);
    world.destination.next(ANA, Act::LoseTheRequest);
    let early_calls = Cell::new(0);
    let time_passes = async {
        until_unknown(&world).await;
        world.clock.set(world.clock.now() + chrono::Duration::hours(1));
        let_it_go_on().await;
        early_calls.set(world.destination.calls().len());
        loop {
            // More than once: the run may begin to wait a little later.
            world.clock.advance(Duration::from_mins(20));
            let_it_go_on().await;
        }
    };
    let report = tokio::select! {
        report = world.run() => report,
        () = time_passes => unreachable!("it goes on until the run ends"),
    };
    assert_eq!((counts(&report), world.held(ANA)), ([1, 0, 0, 0, 0], whatsapp_ids([1])));
    assert_eq!(
        early_calls.get(),
        1,
        "after the clock was set it is neither looked up nor sent before twenty minutes have really passed"
    );
}

#[tokio::test]
async fn what_a_clock_that_was_ahead_noted_is_waited_for_no_longer_than_ever() {
    let world = World::new().await;
    // What is noted lies as far ahead as if the clock were right again.
    world.destination.settle_after(Duration::from_hours(10));
    world.server.add([to_ana(1)]);
    world.destination.next(ANA, Act::LoseTheRequest);
    stopped_before_it_settled(&world).await;
    world.destination.settle_after(Duration::from_mins(5));
    let before = world.clock.now();
    let report = world.run().await;
    assert_eq!((counts(&report), world.held(ANA)), ([1, 0, 0, 0, 0], whatsapp_ids([1])));
    let waited = world.clock.now() - before;
    assert!(waited < chrono::Duration::minutes(10), "once, and not until the noted time: {waited}");
}

#[tokio::test]
async fn a_duplicate_of_a_copy_that_was_given_up_is_looked_up_too() {
    let world = with_a_copy_given_up().await;

    // Another capture of the same message comes late.
    world.destination.fail_look_ups(None);
    world.server.add([to_ana_at(100, world.clock.now()).field("messageId", whatsapp_id(1))]);
    assert_eq!(counts(&world.run_next_day().await), [1, 0, 0, 0, 0]);
    assert_eq!((world.held(ANA), world.destination.sent_to(ANA)), (whatsapp_ids([1]), 1));
}
