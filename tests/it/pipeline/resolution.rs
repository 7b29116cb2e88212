//! Whose mailboxes: the directory that is silent, owners that are nobody, mappings that are fixed, pending for too long.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use whatsapp_archiver::clock::Clock as _;
use whatsapp_archiver::ledger::{DeliveryState, Holder, ItemSelection, RunStatus};
use whatsapp_archiver::pipeline::{ReplayPreview, RunError, RunRequest};
use whatsapp_archiver::reason::Reason;

use super::destination::Act;
use super::world::{ANA, BEN, CLEO, World, ana, ben, counts, message, stranger, to_ana, to_ben, whatsapp_ids};
use crate::servers::telemessage::{ArchivedItem, who};

#[tokio::test]
async fn a_silent_directory_leaves_a_copy_pending_that_is_settled_later_with_the_same_bytes() {
    let world = World::new().await;
    world.server.add([message(1), to_ana(2)]);
    world.users.set_silent(BEN, true);
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([2, 0, 0, 0, 1], "incomplete"));
    assert_eq!(world.held(BEN), [""; 0]);

    world.users.set_silent(BEN, false);
    world.clock.advance(Duration::from_mins(15));
    let report = world.run().await;
    assert_eq!((counts(&report), report.deliveries.carried_over), ([1, 0, 0, 0, 0], 1));
    assert_eq!((world.held(ANA), world.held(BEN)), (whatsapp_ids([1, 2]), whatsapp_ids([1])));
    assert_eq!(world.destination.mimes(BEN)[0], world.destination.mimes(ANA)[0], "all copies are the same bytes");
}

/// The directory answers by now, but staging has lost the item.
#[tokio::test]
async fn an_item_that_staging_does_not_give_back_leaves_the_next_run_incomplete() {
    let mut world = World::new().await;
    world.server.add([message(1)]);
    world.users.set_silent(BEN, true);
    world.run().await;
    world.users.set_silent(BEN, false);
    let staging = world.scripted_staging();
    staging.loses_pages.store(true, Ordering::SeqCst);
    assert_eq!(world.run_next_day().await.status.name(), "incomplete");
    staging.loses_pages.store(false, Ordering::SeqCst);
    let report = world.run_next_day().await;
    assert_eq!((counts(&report), report.status.name()), ([1, 0, 0, 0, 0], "complete"));
}

/// One mailbox that asks for an hour's pause when it is looked at.
#[tokio::test]
async fn a_user_whose_look_up_asks_for_a_long_pause_holds_nobody_up() {
    let world = World::new().await;
    world.server.add([message(1), to_ana(2)]);
    world.users.throttle(BEN, Duration::from_hours(1));
    let before = world.clock.now();
    let report = world.run().await;
    assert!(world.clock.now() - before < chrono::Duration::minutes(5), "{}", world.clock.now() - before);
    assert_eq!((counts(&report), report.status.name()), ([2, 0, 0, 0, 1], "incomplete"));
    assert_eq!(world.held(ANA), whatsapp_ids([1, 2]));
    assert_eq!(world.held(BEN), [""; 0]);
}

/// Pauses that are short enough to wait for, but without end.
#[tokio::test]
async fn a_user_who_asks_for_pauses_without_end_is_waited_for_once() {
    const PAGE: i64 = 20;
    let mut world = World::new().await;
    world.page_size = PAGE as usize;
    world.users.throttle(ANA, Duration::from_mins(1));
    // So that Ana is in each batch.
    world.server.add((1..=5 * PAGE).flat_map(|id| [to_ana(2 * id), to_ben(2 * id + 1)]));
    let before = world.clock.now();
    assert_eq!(counts(&world.run().await), [100, 0, 0, 0, 100]);
    let lasted = world.clock.now() - before;
    assert!(lasted > chrono::Duration::minutes(2) && lasted < chrono::Duration::minutes(4), "{lasted}");

    // Those that wait don't hold up what is new.
    world.clock.advance(Duration::from_hours(24));
    let now = world.clock.now() - chrono::Duration::minutes(30);
    world.server.add([ArchivedItem::message(900, now).between(&ben(), &stranger(), &[ben()])]);
    let before = world.clock.now();
    assert_eq!(counts(&world.run().await), [1, 0, 0, 0, 100]);
    let lasted = world.clock.now() - before;
    assert!(lasted < chrono::Duration::minutes(1), "{lasted}");

    world.users.answer_again();
    let report = world.run_next_day().await;
    assert_eq!((counts(&report), report.status.name()), ([100, 0, 0, 0, 0], "complete"));
    assert_eq!((world.held(ANA).len(), world.held(BEN).len()), (100, 101));
}

#[tokio::test]
async fn many_users_who_ask_for_pauses_hold_up_a_run_no_longer_than_one() {
    const USERS: i64 = 30;
    let mut world = World::new().await;
    world.page_size = 1;
    for user in 1..=USERS {
        let address = format!("user{user}@contoso.example");
        writeln!(world.mapping, "155502{user:02},{address}").unwrap();
        world.users.add(&[&address]);
        world.users.throttle(&address, Duration::from_mins(2));
    }
    world.server.add((1..=USERS).map(|user| {
        let user_number = who(&format!("155502{user:02}"));
        message(user).between(&user_number, &stranger(), &[user_number.clone(), ben()])
    }));
    let before = world.clock.now();
    assert_eq!(counts(&world.run().await), [USERS as u64, 0, 0, 0, USERS as u64]);
    let lasted = world.clock.now() - before;
    assert!(lasted < chrono::Duration::minutes(10), "{lasted}");
    assert_eq!(world.held(BEN), whatsapp_ids(1..=USERS));
    world.users.answer_again();
    assert_eq!(counts(&world.run_next_day().await), [USERS as u64, 0, 0, 0, 0]);
}

#[tokio::test]
async fn an_owner_who_is_nobody_has_a_row_beside_the_others_copies() {
    let world = World::new().await;
    world.server.add([
        message(1).between(&stranger(), &stranger(), &[ana()]),
        message(2).between(&stranger(), &stranger(), &[stranger()]),
        message(3).between(&ana(), &stranger(), &[ana()]),
    ]);
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([2, 0, 0, 2, 0], "complete"));
    assert_eq!(report.failed_by_reason["no_valid_user"], 2);
    let rows = world.rows(Some(&report.run), DeliveryState::Failed).await;
    assert_eq!(rows.iter().map(|row| row.item.unwrap()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(world.held(ANA), whatsapp_ids([1, 3]));
}

#[tokio::test]
async fn a_replay_after_the_mapping_was_corrected_adds_only_what_is_missing() {
    let mut world = World::new().await;
    let fred = message(1).between(&stranger(), &stranger(), &[ana()]);
    world.server.add([fred, message(2).between(&stranger(), &stranger(), &[stranger()]), message(3)]);
    world.run().await;
    let sent = world.destination.sent_to(ANA) + world.destination.sent_to(BEN);

    // Ana's number leads elsewhere by now: what was imported is not routed again.
    world.mapping = format!("15550100,{CLEO}\n15550101,{BEN}\n15559999,fred@contoso.example\n");
    world.users.add(&["fred@contoso.example"]);
    let report = world.retry(ItemSelection { reason: Some(Reason::NoValidUser), ..ItemSelection::default() }).await;
    assert_eq!((counts(&report), report.status.name()), ([2, 0, 0, 0, 0], "complete"));
    assert_eq!(world.held("fred@contoso.example"), whatsapp_ids([1, 2]));
    assert_eq!((world.held(ANA), world.held(BEN)), (whatsapp_ids([1, 3]), whatsapp_ids([3])));
    assert_eq!(world.held(CLEO), [""; 0]);
    assert_eq!(world.destination.sent_to(ANA) + world.destination.sent_to(BEN), sent);
    assert_eq!(world.destination.mimes("fred@contoso.example")[0], world.destination.mimes(ANA)[0]);
    assert!(world.rows(None, DeliveryState::Failed).await.is_empty(), "nothing is open any more");

    let again = world.retry(ItemSelection::default()).await;
    assert_eq!(counts(&again), [0; 5], "a second replay finds nothing to do");
}

#[tokio::test]
async fn a_replay_adds_the_copies_of_a_recipient_who_is_mapped_later() {
    const FRED: &str = "fred@contoso.example";
    let mut world = World::new().await;
    world.server.add([
        message(1).between(&ana(), &stranger(), &[ana()]),
        message(2).between(&ana(), &ben(), &[ana(), stranger()]),
        message(3).between(&ana(), &ben(), &[ana(), who("15558888")]),
        message(4),
    ]);
    world.run().await;
    let sent = world.destination.sent_to(ANA) + world.destination.sent_to(BEN);
    let no_valid_user = ItemSelection { reason: Some(Reason::NoValidUser), ..ItemSelection::default() };
    let nothing = world.preview(&no_valid_user).await;
    assert_eq!(nothing, ReplayPreview::default(), "nobody is mapped anew");

    world.mapping.push_str(&format!("15559999,{FRED}\n"));
    world.users.add(&[FRED]);
    let preview = world.preview(&no_valid_user).await;
    assert_eq!(preview, ReplayPreview { items: 2, copies: 2 });
    assert_eq!(world.held(FRED), [""; 0], "looking sends nothing");
    let stop = CancellationToken::new();
    stop.cancel();
    let stopped = world.pipeline(Holder::new(), stop).preview_replay(&no_valid_user).await;
    assert!(matches!(stopped, Err(RunError::Stopped)), "what is stopped says nothing of what there is: {stopped:?}");
    let report = world.retry(no_valid_user.clone()).await;
    assert_eq!((counts(&report), report.status.name()), ([2, 0, 0, 0, 0], "complete"));
    assert_eq!(world.held(FRED), whatsapp_ids([1, 2]));
    assert_eq!(world.destination.sent_to(ANA) + world.destination.sent_to(BEN), sent, "nobody else gets another copy");
    assert_eq!(world.destination.mimes(FRED)[0], world.destination.mimes(ANA)[0], "all copies are the same bytes");

    assert_eq!(counts(&world.retry(no_valid_user.clone()).await), [0; 5]);
    assert_eq!(world.preview(&no_valid_user).await, ReplayPreview::default());
}

#[tokio::test]
async fn a_replayed_recipient_of_whom_the_directory_says_nothing_is_pending() {
    const FRED: &str = "fred@contoso.example";
    let mut world = World::new().await;
    world.server.add([message(1).between(&ana(), &stranger(), &[ana()])]);
    world.run().await;
    world.mapping.push_str(&format!("15559999,{FRED}\n"));
    world.users.add(&[FRED]);
    world.users.set_silent(FRED, true);
    let report = world.retry(ItemSelection::default()).await;
    assert_eq!((counts(&report), report.status.name()), ([0, 0, 0, 0, 1], "incomplete"));
    world.users.set_silent(FRED, false);
    assert_eq!(counts(&world.run_next_day().await), [1, 0, 0, 0, 0]);
    assert_eq!(world.held(FRED), whatsapp_ids([1]));
}

#[tokio::test]
async fn what_is_pending_for_too_long_fails_and_can_be_replayed() {
    let world = World::new().await;
    world.server.add([to_ana(1), message(2).between(&ben(), &stranger(), &[ben()])]);
    world.destination.always(ANA, Some(Act::Down));
    world.users.set_silent(BEN, true);
    assert_eq!(counts(&world.run().await), [0, 0, 0, 0, 2]);
    for _ in 0..6 {
        assert_eq!(counts(&world.run_next_day().await), [0, 0, 0, 0, 2]);
    }
    let oldest = world.ledger.open_counts().await.unwrap().oldest_pending.unwrap();
    assert!(oldest < super::world::start() + chrono::Duration::hours(1), "pending since the first run: {oldest}");
    world.clock.advance(Duration::from_hours(24));
    let report = world.run_next_day().await;
    assert_eq!(counts(&report), [0, 0, 0, 2, 0]);
    assert_eq!(report.failed_by_reason["mailbox_unavailable"], 2);
    assert_eq!(counts(&world.run_next_day().await), [0; 5], "what has failed is tried no more");

    world.destination.always(ANA, None);
    world.users.set_silent(BEN, false);
    let report = world.retry(ItemSelection::default()).await;
    assert_eq!(counts(&report), [2, 0, 0, 0, 0]);
    assert_eq!((world.held(ANA), world.held(BEN)), (whatsapp_ids([1]), whatsapp_ids([2])));
}

#[tokio::test]
async fn a_rejected_copy_is_replayed_only_when_it_is_asked_for() {
    let world = World::new().await;
    world.server.add([message(1)]);
    world.destination.next(ANA, Act::Reject);
    assert_eq!(counts(&world.run().await), [1, 0, 0, 1, 0]);
    assert_eq!(counts(&world.run_next_day().await), [0; 5]);
    let other = ItemSelection { reason: Some(Reason::NoValidUser), ..ItemSelection::default() };
    assert_eq!(counts(&world.retry(other).await), [0; 5]);
    let rejected = ItemSelection { reason: Some(Reason::MailboxRejected), ..ItemSelection::default() };
    assert_eq!(counts(&world.retry(rejected).await), [1, 0, 0, 0, 0]);
    assert_eq!((world.held(ANA), world.held(BEN)), (whatsapp_ids([1]), whatsapp_ids([1])));
}

#[tokio::test]
async fn a_run_that_is_stopped_waits_for_no_answer_of_the_directory() {
    let world = World::new().await;
    world.server.add([message(1)]);
    let stop = CancellationToken::new();
    let asked = world.users.hang();
    let stopping = async {
        asked.cancelled().await;
        stop.cancel();
    };
    let (finished, ()) = tokio::join!(world.run_until(stop.clone(), RunRequest::Regular), stopping);
    assert!(!finished.is_ok_and(|finished| finished.report.status == RunStatus::Complete));
    world.users.go_on();
    world.clock.advance(Duration::from_mins(15));
    world.run().await;
    assert_eq!((world.held(ANA), world.held(BEN)), (whatsapp_ids([1]), whatsapp_ids([1])));
}
