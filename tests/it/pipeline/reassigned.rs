//! Addresses that are somebody else's by the time that an earlier run's copies are sent, looked up or replayed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use whatsapp_archiver::clock::Clock as _;
use whatsapp_archiver::ledger::{DeliveryState, ItemNo, ItemSelection, QueueOf, RunStatus};
use whatsapp_archiver::mailbox::DestinationLimits;
use whatsapp_archiver::pipeline::RunRequest;
use whatsapp_archiver::report::Report;
use whatsapp_archiver::resolution::MailboxId;

use super::destination::Act;
use super::follower::Gate;
use super::world::{
    ANA, BEN, FEW, World, ana, ben, counts, message, stranger, to_ana, to_ana_at, to_ben, whatsapp_ids,
};
use crate::servers::telemessage::ArchivedItem;

const RENAMED: &str = "benjamin@contoso.example";

/// A world in which a run left a copy for Ben pending, because this is what his mailbox did.
async fn left_by(act: Act) -> World {
    let world = World::new().await;
    world.server.add([to_ben(1)]);
    world.destination.always(BEN, Some(act));
    assert_eq!(counts(&world.run().await), [0, 0, 0, 0, 1]);
    world.destination.always(BEN, None);
    world
}

/// The causes and details of what is pending in the account of a run.
async fn pending(world: &World, report: &Report) -> Vec<(String, String)> {
    let rows = world.rows(Some(&report.run), DeliveryState::Pending).await;
    rows.into_iter().map(|row| (row.why().unwrap_or_default().to_owned(), row.detail.unwrap_or_default())).collect()
}

fn calls_at(world: &World, mailbox: &str) -> usize {
    world.destination.calls().iter().filter(|call| call.mailbox == mailbox).count()
}

#[tokio::test]
async fn nothing_pending_goes_to_whoever_has_the_address_now() {
    let world = left_by(Act::Forbid).await;
    let before = calls_at(&world, BEN);
    world.users.give_to_somebody_else(BEN);
    for _ in 0..2 {
        let report = world.run_next_day().await;
        assert_eq!((counts(&report), report.status), ([0, 0, 0, 0, 1], RunStatus::Incomplete));
        let gone =
            ("mailbox_gone".to_owned(), format!("the mailbox is not where it was: no user has the id id of {BEN}"));
        assert_eq!(pending(&world, &report).await, [gone]);
    }
    assert_eq!(calls_at(&world, BEN), before, "the new Ben's mailbox was not asked for anything");

    world.users.give_back(BEN);
    assert_eq!(counts(&world.run_next_day().await), [1, 0, 0, 0, 0]);
    assert_eq!(world.held(BEN), whatsapp_ids([1]));
}

#[tokio::test]
async fn what_may_be_there_is_not_looked_up_in_a_strangers_mailbox() {
    let world = World::new().await;
    world.server.add([to_ben(1)]);
    world.destination.fail_look_ups(Some(Act::Down));
    world.destination.next(BEN, Act::TakeAndLoseTheAnswer);
    assert_eq!(counts(&world.run().await), [0, 0, 0, 0, 1]);
    world.destination.fail_look_ups(None);
    let before = calls_at(&world, BEN);
    world.users.give_to_somebody_else(BEN);
    let report = world.run_next_day().await;
    assert_eq!(pending(&world, &report).await[0].0, "mailbox_gone");
    assert_eq!(calls_at(&world, BEN), before);
    let queue = whatsapp_archiver::ledger::QueueOf::Unknown;
    let id = whatsapp_archiver::resolution::MailboxId(format!("id of {BEN}"));
    let unknown = world.ledger.queue(&report.run, &id, queue, whatsapp_archiver::ledger::ItemNo(0), 9).await.unwrap();
    assert_eq!(unknown.len(), 1, "it is to be looked up before it is ever sent again");

    world.users.give_back(BEN);
    assert_eq!(counts(&world.run_next_day().await), [1, 0, 0, 0, 0]);
    assert_eq!(world.held(BEN), whatsapp_ids([1]), "it was there");
}

#[tokio::test]
async fn a_mailbox_that_was_renamed_gets_its_copies_where_it_is_now() {
    let world = left_by(Act::Forbid).await;
    world.users.rename(BEN, RENAMED);
    let report = world.run_next_day().await;
    assert_eq!((counts(&report), report.status), ([1, 0, 0, 0, 0], RunStatus::Complete));
    assert_eq!((world.held(BEN), world.held(RENAMED)), (Vec::new(), whatsapp_ids([1])));
}

#[tokio::test]
async fn without_an_answer_the_copies_wait() {
    let world = left_by(Act::Forbid).await;
    let before = calls_at(&world, BEN);
    world.users.set_silent(BEN, true);
    let report = world.run_next_day().await;
    assert_eq!((counts(&report), calls_at(&world, BEN)), ([0, 0, 0, 0, 1], before));
    let (cause, detail) = pending(&world, &report).await.remove(0);
    assert_eq!(cause, "directory");
    assert!(
        detail.starts_with("nobody says whether the mailbox is where it was: ") && detail.contains("no connection"),
        "{detail}"
    );

    world.users.set_silent(BEN, false);
    assert_eq!(counts(&world.run_next_day().await), [1, 0, 0, 0, 0]);
}

/// A message to both; Ben's mailbox refuses it for good, and Ana has hers, so that the item is never routed again.
#[tokio::test]
async fn a_replay_sends_nothing_to_whoever_has_the_address_now() {
    for act in [Act::Reject, Act::Forbid] {
        let world = World::new().await;
        world.server.add([message(1).between(&ana(), &stranger(), &[ana(), ben()])]);
        world.destination.always(BEN, Some(act));
        world.run().await;
        world.destination.always(BEN, None);
        // What is only pending is given up.
        world.clock.advance(Duration::from_hours(24 * 8));
        world.users.set_silent(BEN, true);
        world.run().await;
        world.users.set_silent(BEN, false);
        assert_eq!(world.rows(None, DeliveryState::Failed).await.len(), 1);

        world.users.give_to_somebody_else(BEN);
        let before = calls_at(&world, BEN);
        let report = world.retry(ItemSelection::default()).await;
        assert_eq!((counts(&report), report.status), ([0, 0, 0, 0, 1], RunStatus::Incomplete));
        assert_eq!(pending(&world, &report).await[0].0, "mailbox_gone");
        assert_eq!((calls_at(&world, BEN), world.held(ANA)), (before, whatsapp_ids([1])));

        world.users.rename(BEN, RENAMED);
        let report = world.retry(ItemSelection::default()).await;
        assert_eq!((counts(&report), world.held(RENAMED)), ([1, 0, 0, 0, 0], whatsapp_ids([1])));
    }
}

#[tokio::test]
async fn a_restoration_sends_nothing_to_whoever_has_the_address_now() {
    let world = World::new().await;
    world.server.add([to_ben(1)]);
    world.run().await;
    let id = whatsapp_archiver::resolution::MailboxId(format!("id of {BEN}"));
    let known = world.ledger.known_copies(&id, None, None, 9).await.unwrap();
    let now = whatsapp_archiver::clock::Clock::now(&*world.clock);
    assert_eq!(world.ledger.doubt_imported(&id, &[known[0].identity], now, now).await.unwrap(), 1);
    world.users.give_to_somebody_else(BEN);
    let before = calls_at(&world, BEN);
    let finished = world.run_request(RunRequest::Restore).await;
    assert_eq!((finished.report.status, calls_at(&world, BEN)), (RunStatus::Incomplete, before));
}

/// There is one place, and Ana's worker has it, when Ben is renamed: what was pending for him was found at his old address
/// before, what comes new is found at his new one, and whoever goes to his mailbox after that goes there.
#[tokio::test]
async fn whoever_goes_to_a_mailbox_goes_to_the_address_that_was_found_last() {
    let mut world = World::with_limits(DestinationLimits { mailboxes: 1, ..FEW }).await;
    world.server.add([to_ana(1), to_ben(2)]);
    for mailbox in [ANA, BEN] {
        world.destination.always(mailbox, Some(Act::Forbid));
    }
    assert_eq!(counts(&world.run().await), [0, 0, 0, 0, 2]);
    let before = calls_at(&world, BEN);
    for mailbox in [ANA, BEN] {
        world.destination.always(mailbox, None);
    }
    world.clock.advance(Duration::from_hours(24));
    let received = world.clock.now() - chrono::Duration::hours(12);
    world.server.add([ArchivedItem::message(3, received).between(&ben(), &stranger(), &[ben()])]);
    let gate = Arc::new(Semaphore::new(0));
    world.source = Some(Arc::new(Gate(world.telemessage(), Arc::clone(&gate))));
    world.destination.shut();
    let renaming = async {
        world.destination.until_asked().await;
        assert_eq!(world.destination.calls().last().unwrap().mailbox, ANA);
        world.users.rename(BEN, RENAMED);
        world.users.add_alias(BEN, RENAMED);
        gate.add_permits(100);
        until_ready(&world, BEN).await;
        world.destination.reopen();
    };
    let (report, ()) = tokio::join!(world.run(), renaming);
    assert_eq!((counts(&report), report.status), ([3, 0, 0, 0, 0], RunStatus::Complete));
    assert_eq!((world.held(BEN), world.held(RENAMED)), (Vec::new(), whatsapp_ids([2, 3])));
    assert_eq!(calls_at(&world, BEN), before);
}

/// Returns when the run that is under way has a copy that is ready for this mailbox, and what does the run has gone on from there.
async fn until_ready(world: &World, mailbox: &str) {
    let id = MailboxId(format!("id of {mailbox}"));
    let ready = async || {
        let run = world.ledger.runs(1).await.unwrap().remove(0);
        world.ledger.queue(&run.id, &id, QueueOf::Ready, ItemNo(0), 9).await.unwrap().len()
    };
    while ready().await == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        ready().await;
    }
}

/// The ordinary road: nobody is looked for again, on the first day or on the next.
#[tokio::test]
async fn what_is_resolved_in_a_run_is_not_asked_for_again() {
    let world = World::new().await;
    world.server.add([to_ana(1), to_ben(2)]);
    world.run().await;
    let tomorrow = whatsapp_archiver::clock::Clock::now(&*world.clock) + chrono::Duration::hours(12);
    world.server.add([to_ana_at(3, tomorrow)]);
    assert_eq!(counts(&world.run_next_day().await), [1, 0, 0, 0, 0]);
    assert_eq!(world.users.looked_for(), 0);
}
