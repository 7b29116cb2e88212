//! Retention: what is due is purged, what is held outlives its window, and a purge that breaks anywhere loses nothing.

use whatsapp_archiver::clock::Clock as _;
use whatsapp_archiver::ledger::{HeldSelection, ItemSelection};
use whatsapp_archiver::pipeline::RunRequest;
use whatsapp_archiver::reason::Reason;

use crate::archive::{ANA, Archive, PETER, Sent};

/// A day with two imported messages and two held ones, of which one has an attachment each.
async fn one_day(retain: &str) -> Archive {
    let archive = Archive::new(None, retain).await;
    archive.sends(&[
        Sent { id: 1, owner: ANA, attachment: None },
        Sent { id: 2, owner: ANA, attachment: Some("for ana") },
        Sent { id: 3, owner: PETER, attachment: None },
        Sent { id: 4, owner: PETER, attachment: Some("for peter") },
    ]);
    let report = archive.day().await.report;
    assert_eq!((report.deliveries.imported, report.deliveries.failed), (2, 2));
    archive
}

fn is_whole(archive: &Archive) {
    let messages = archive.mailbox("peter.quist@contoso.example");
    assert_eq!(messages.len(), 2);
    let text: Vec<String> = messages.iter().map(|message| String::from_utf8_lossy(message).into_owned()).collect();
    assert!(text.iter().any(|message| message.contains("message 3")));
    assert!(text.iter().any(|message| message.contains("message 4") && message.contains("file.txt")));
    assert_eq!(archive.mailbox("ana.berg@contoso.example").len(), 2);
}

#[tokio::test]
async fn a_window_is_purged_when_its_time_has_come() {
    let archive = one_day("30d").await;
    assert_eq!(archive.staged("windows/").await.len(), 3);
    archive.days_pass(29);
    archive.day().await;
    assert_eq!(archive.staged("windows/").await.len(), 3, "it is a day too young");
    archive.days_pass(1);
    archive.day().await;
    assert_eq!(archive.staged("windows/").await, Vec::<String>::new());
    let held = archive.staged("held/").await;
    assert_eq!(held.len(), 3, "two items and an attachment: {held:?}");
    assert_eq!(archive.reports().len(), 3, "reports are kept");
    // Nothing is due any more, and nothing is read anew.
    archive.days_pass(1);
    let report = archive.day().await.report;
    assert_eq!(report.items.available_from_source, 0);
    assert_eq!(archive.staged("held/").await, held);
}

#[tokio::test]
async fn forever_keeps_everything() {
    let archive = one_day("forever").await;
    archive.days_pass(4000);
    archive.day().await;
    assert_eq!(archive.staged("windows/").await.len(), 3);
}

#[tokio::test]
async fn a_held_item_is_replayed_after_its_window_was_purged() {
    let mut archive = one_day("30d").await;
    archive.days_pass(31);
    archive.day().await;
    assert_eq!(archive.staged("windows/").await, Vec::<String>::new());
    archive.license_peter().await;
    let selection = ItemSelection { reason: Some(Reason::NoValidUser), ..ItemSelection::default() };
    let report = archive.run(RunRequest::Retry(selection)).await.report;
    assert_eq!((report.deliveries.imported, report.deliveries.failed), (2, 0));
    is_whole(&archive);
    // A later purge removes the copies, which nothing needs any more.
    assert_eq!(archive.staged("held/").await.len(), 3);
    archive.days_pass(1);
    archive.day().await;
    assert_eq!(archive.staged("held/").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_purge_that_breaks_anywhere_goes_on_where_it_ended() {
    // Each number of changes is a place to break at; the last one is past the end.
    for changes in 0.. {
        let mut archive = one_day("30d").await;
        archive.days_pass(31);
        archive.staging.breaks_after(changes);
        archive.day().await;
        archive.staging.heals();
        let done = archive.staged("windows/").await.is_empty();

        // In whatever state it is left, the held items can be replayed…
        archive.license_peter().await;
        if changes % 2 == 0 {
            archive.run(RunRequest::Retry(ItemSelection::default())).await;
            is_whole(&archive);
        }
        // …and the next run ends the purge; then they still can.
        archive.days_pass(1);
        archive.day().await;
        assert_eq!(archive.staged("windows/").await, Vec::<String>::new(), "after {changes} changes");
        archive.run(RunRequest::Retry(ItemSelection::default())).await;
        is_whole(&archive);
        archive.days_pass(1);
        archive.day().await;
        assert_eq!(archive.staged("held/").await, Vec::<String>::new(), "after {changes} changes");
        if done {
            assert!(changes >= 6, "three copies and three removals are at least six changes, not {changes}");
            return;
        }
    }
}

#[tokio::test]
async fn what_has_no_outcome_yet_keeps_its_window() {
    let archive = Archive::new(None, "1d").await;
    let mailboxes = archive.folder.path().join("mailboxes");
    std::fs::write(&mailboxes, "not a folder").unwrap();
    archive.sends(&[Sent { id: 1, owner: ANA, attachment: Some("for ana") }]);
    assert_eq!(archive.day().await.report.deliveries.pending, 1);
    for _ in 0..2 {
        archive.days_pass(2);
        assert_eq!(archive.day().await.report.deliveries.pending, 1);
        assert_eq!(archive.staged("windows/").await.len(), 2);
        assert_eq!(archive.staged("held/").await, Vec::<String>::new());
    }
    std::fs::remove_file(&mailboxes).unwrap();
    archive.day().await;
    assert_eq!(archive.staged("windows/").await, Vec::<String>::new(), "the same run imports it and purges its window");
    assert_eq!(archive.mailbox("ana.berg@contoso.example").len(), 1);
}

#[tokio::test]
async fn a_retention_policy_is_respected() {
    let archive = one_day("30d").await;
    archive.days_pass(31);
    archive.staging.set_immutable(true);
    archive.day().await;
    assert_eq!(archive.staged("windows/").await.len(), 3);
    assert_eq!(archive.staged("held/").await.len(), 3, "held items are copied before anything is removed");
    let cutoff = archive.clock.now() - chrono::Duration::days(30);
    let windows = archive.app.ledger.purgeable_windows(cutoff, 10).await.unwrap();
    assert!(
        !archive.app.ledger.note_purge_refused(windows[0], archive.clock.now()).await.unwrap(),
        "it is reported once"
    );
    archive.days_pass(1);
    archive.day().await;
    archive.staging.set_immutable(false);
    archive.days_pass(1);
    archive.day().await;
    assert_eq!(archive.staged("windows/").await, Vec::<String>::new());
}

#[tokio::test]
async fn what_was_released_goes_with_its_window_or_after_it() {
    for release_first in [true, false] {
        let archive = one_day("30d").await;
        let ledger = &archive.app.ledger;
        let everything =
            HeldSelection { before: Some(archive.clock.now() + chrono::Duration::days(1)), ..HeldSelection::default() };
        if release_first {
            assert_eq!(ledger.release(&everything, None, "", archive.clock.now()).await.unwrap(), 2);
        }
        archive.days_pass(31);
        archive.day().await;
        assert_eq!(archive.staged("held/").await.is_empty(), release_first);
        if !release_first {
            assert_eq!(ledger.release(&everything, None, "", archive.clock.now()).await.unwrap(), 2);
            archive.days_pass(1);
            archive.day().await;
            assert_eq!(archive.staged("held/").await, Vec::<String>::new());
        }
        assert_eq!(archive.staged("windows/").await, Vec::<String>::new());
    }
}
