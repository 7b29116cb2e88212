//! Several processes on one ledger, and ledgers that don't belong to their staging area.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use whatsapp_archiver::clock::Clock as _;
use whatsapp_archiver::ledger::{
    Holder, ItemNo, ItemSelection, Lease, Ledger, LedgerError, OpenElsewhere, RunKind, RunStatus,
};
use whatsapp_archiver::pipeline::{RunError, RunRequest};
use whatsapp_archiver::resolution::MailboxId;

use super::destination::Act;
use super::world::{ANA, BEN, World, counts, to_ana, to_ana_at, to_ben, whatsapp_ids};

fn mailbox(address: &str) -> Lease {
    Lease::Mailbox(MailboxId(format!("id of {address}")))
}

#[tokio::test]
async fn a_foreign_staging_area_is_refused() {
    let mut world = World::new().await;
    world.server.add([to_ana(1)]);
    world.run().await;
    let url = format!("sqlite://{}", world.directory.path().join("another.db").display());
    world.ledger = Ledger::open(&url).await.unwrap();
    let finished = world.run_request(RunRequest::Regular).await;
    assert!(matches!(finished.error, Some(RunError::ForeignStaging { .. })), "{:?}", finished.error);
    assert_eq!(world.held(ANA), whatsapp_ids([1]));
    assert_eq!(world.destination.sent_to(ANA), 1);
}

#[tokio::test]
async fn a_mailbox_that_another_process_sends_to_is_left_to_it() {
    let world = World::new().await;
    world.server.add([to_ana(1), to_ben(2)]);
    let (other, now) = (Holder::new(), world.clock.now());
    world.ledger.lease(&other, &[mailbox(ANA)], now, now + chrono::Duration::hours(1)).await.unwrap();
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([1, 0, 0, 0, 1], "incomplete"));
    assert_eq!((world.destination.sent_to(ANA), world.held(BEN)), (0, whatsapp_ids([2])));

    world.ledger.release_leases(&other).await.unwrap();
    world.clock.advance(Duration::from_mins(15));
    assert_eq!(counts(&world.run().await), [1, 0, 0, 0, 0]);
    assert_eq!(world.held(ANA), whatsapp_ids([1]));
}

#[tokio::test]
async fn a_replay_beside_a_run_doubles_nothing_and_does_not_take_it_for_abandoned() {
    let world = World::new().await;
    world.server.add((1..=12).flat_map(|id| [to_ana(2 * id), to_ben(2 * id + 1)]));
    world.destination.always(BEN, Some(Act::Reject));
    world.run().await;
    world.destination.always(BEN, None);
    world.server.add((1..=12).map(|id| to_ana_at(100 + id, world.clock.now())));
    world.clock.advance(Duration::from_hours(24));
    world.destination.shut();
    let (regular, retry) = tokio::join!(world.run_until(CancellationToken::new(), RunRequest::Regular), async {
        world.destination.until_asked().await;
        let retry = world.run_until(CancellationToken::new(), RunRequest::Retry(ItemSelection::default()));
        let (retry, ()) = tokio::join!(retry, async {
            world.destination.until_asked().await;
            let running = world.ledger.latest_run(&[RunKind::Regular], &[RunStatus::Running]).await.unwrap();
            assert!(running.is_some(), "the run is under way, and nobody ended it");
            world.destination.reopen();
        });
        retry
    });
    let (regular, retry) = (regular.unwrap(), retry.unwrap());
    for finished in [&regular, &retry] {
        world.audit(&finished.report).await;
        assert!(finished.error.is_none(), "{:?}", finished.error);
        assert_eq!(finished.report.deliveries.imported, 12);
    }
    // Whichever ends first: the replay is about all that is open, the regular run about what nobody has.
    assert_eq!(regular.report.status, RunStatus::Complete);
    let has_left = |open: &OpenElsewhere| open.run == regular.report.run && open.is_under_way;
    assert!(retry.undone.elsewhere.iter().all(has_left), "{:?}", retry.undone);
    let is_complete = retry.undone.elsewhere.is_empty();
    assert_eq!(retry.report.status, if is_complete { RunStatus::Complete } else { RunStatus::Incomplete });
    assert_eq!(world.held(BEN), whatsapp_ids((1..=12).map(|id| 2 * id + 1)));
    let anas = (1..=12).map(|id| 2 * id).chain((1..=12).map(|id| 100 + id));
    assert_eq!(world.held(ANA), whatsapp_ids(anas));
}

/// Items 1 and 2 are pending for Ana, whose mailbox another process has; nobody has Ben's.
#[tokio::test]
async fn a_replay_is_complete_only_where_what_it_is_about_is_not_open_in_any_account() {
    let world = World::new().await;
    world.server.add([to_ana(1), to_ana(2), to_ben(3)]);
    for mailbox in [ANA, BEN] {
        world.destination.always(mailbox, Some(Act::Forbid));
    }
    let first = world.run().await;
    assert_eq!(counts(&first), [0, 0, 0, 0, 3]);
    for mailbox in [ANA, BEN] {
        world.destination.always(mailbox, None);
    }
    let (other, now) = (Holder::new(), world.clock.now());
    world.ledger.lease(&other, &[mailbox(ANA)], now, now + chrono::Duration::hours(1)).await.unwrap();

    let of_one = |id| ItemSelection { items: Some(vec![id]), ..ItemSelection::default() };
    let bens = world.run_request(RunRequest::Retry(of_one(ItemNo(3)))).await;
    assert_eq!((bens.report.status, world.held(BEN)), (RunStatus::Complete, whatsapp_ids([3])));
    for (selection, rows) in [(of_one(ItemNo(1)), 1), (ItemSelection::default(), 2)] {
        let retry = world.run_request(RunRequest::Retry(selection)).await;
        let expected = OpenElsewhere { run: first.run.clone(), is_under_way: false, rows };
        assert_eq!((retry.report.status, retry.undone.elsewhere), (RunStatus::Incomplete, vec![expected]));
    }
    world.ledger.release_leases(&other).await.unwrap();
    let retry = world.run_request(RunRequest::Retry(ItemSelection::default())).await;
    assert_eq!((retry.report.status, world.held(ANA)), (RunStatus::Complete, whatsapp_ids([1, 2])));
}

#[tokio::test]
async fn a_run_whose_lease_was_lost_sends_nothing_more() {
    let mut world = World::new().await;
    world.settings.lease = Duration::from_hours(1);
    world.server.add((1..=12).map(to_ana));
    world.destination.shut();
    let other = Holder::new();
    let (finished, ()) = tokio::join!(world.run_until(CancellationToken::new(), RunRequest::Regular), async {
        world.destination.until_asked().await;
        // The process sleeps for longer than its lease, and another one takes its place meanwhile.
        let later = world.clock.now() + chrono::Duration::minutes(61);
        let ours = world.ledger.lease(&other, &[mailbox(ANA)], later, later + chrono::Duration::hours(1)).await;
        assert_eq!(ours.unwrap(), [true]);
        world.clock.set(later);
        world.destination.reopen();
    });
    let finished = finished.unwrap();
    assert!(matches!(finished.error, Some(RunError::Ledger(LedgerError::LeaseLost(_)))), "{:?}", finished.error);
    assert_eq!(world.destination.sent_to(ANA), 4, "the batch under way and nothing after it");
    world.audit(&finished.report).await;

    world.ledger.release_leases(&other).await.unwrap();
    world.run().await;
    assert_eq!(world.held(ANA), whatsapp_ids(1..=12));
}

#[tokio::test]
async fn one_process_at_a_time_pulls() {
    let world = World::new().await;
    world.server.add((1..=10).map(to_ana));
    let runs = || world.run_until(CancellationToken::new(), RunRequest::Regular);
    let (one, other) = tokio::join!(runs(), runs());
    let (one, other) = (one.unwrap(), other.unwrap());
    assert!(one.error.is_none() && other.error.is_none(), "{:?} {:?}", one.error, other.error);
    let seen = [&one, &other].map(|finished| finished.report.items.available_from_source);
    assert_eq!(seen.iter().sum::<u64>(), 10);
    assert_eq!(world.held(ANA), whatsapp_ids(1..=10));
}
