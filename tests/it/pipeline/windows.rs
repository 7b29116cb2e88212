//! Windows, pages and cursors: durable before forward.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use whatsapp_archiver::clock::Clock as _;
use whatsapp_archiver::item::ItemId;
use whatsapp_archiver::ledger::{Imported, RunKind, RunStatus};
use whatsapp_archiver::pipeline::{RunError, RunRequest};
use whatsapp_archiver::resolution::MailboxId;
use whatsapp_archiver::source::telemessage::TeleMessage;
use whatsapp_archiver::source::{AttachmentStream, Cursor, Page, Source, SourceError};
use whatsapp_archiver::window::Window;

use super::world::{ANA, World, counts, start, to_ana, to_ana_at, whatsapp_ids};
use crate::servers::telemessage::PageFault;

/// TeleMessage that is out of order after so many pages.
struct EndsAfter(TeleMessage, AtomicUsize);

#[async_trait]
impl Source for EndsAfter {
    fn name(&self) -> String {
        self.0.name()
    }

    async fn log_in(&self) -> Result<Option<DateTime<Utc>>, SourceError> {
        self.0.log_in().await
    }

    async fn page(&self, window: Window, cursor: Cursor, limit: usize) -> Result<Page, SourceError> {
        if self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return Err(SourceError::Contract("out of order".to_owned()));
        }
        self.0.page(window, cursor, limit).await
    }

    async fn attachment(&self, item: ItemId, index: usize) -> Result<AttachmentStream, SourceError> {
        self.0.attachment(item, index).await
    }

    fn page_size(&self) -> usize {
        self.0.page_size()
    }
}

#[tokio::test]
async fn a_run_that_failed_goes_on_at_its_cursor() {
    let mut world = World::new().await;
    world.page_size = 10;
    world.server.add((1..=45).map(to_ana));
    world.source = Some(Arc::new(EndsAfter(world.telemessage(), AtomicUsize::new(2))));
    let finished = world.run_request(RunRequest::Regular).await;
    assert!(matches!(finished.error, Some(RunError::SourceAt { cursor: Cursor(20), .. })), "{:?}", finished.error);
    assert_eq!(finished.report.items.available_from_source, 20);
    assert_eq!(world.ledger.watermark().await.unwrap(), None);
    assert_eq!(world.held(ANA), whatsapp_ids(1..=20), "what was staged is delivered all the same");

    world.source = None;
    let asked = world.server.page_requests().len();
    world.clock.advance(Duration::from_mins(15));
    let report = world.run().await;
    let cursors: Vec<i64> = world.server.page_requests()[asked..].iter().map(|page| page.last_id).collect();
    assert_eq!(cursors[1..4], [20, 30, 40], "after the log-in, from where the failed run stopped");
    assert_eq!(report.items.available_from_source, 25);
    assert_eq!(world.held(ANA), whatsapp_ids(1..=45));
    // The unfinished window was finished, and the quarter of an hour since was read after it.
    let expected = start() + chrono::Duration::minutes(15) - chrono::Duration::minutes(5);
    assert_eq!(world.ledger.watermark().await.unwrap(), Some(expected));
}

#[tokio::test]
async fn windows_leave_no_gap_and_the_overlap_finds_what_was_late() {
    let world = World::new().await;
    let late = to_ana(2).visible_from(start() + chrono::Duration::hours(5));
    world.server.add([to_ana(1), late]);
    let report = world.run().await;
    assert_eq!((report.items.available_from_source, report.items.late), (1, 0));
    let first = report.window.unwrap();
    assert_eq!(first.to, start() - chrono::Duration::minutes(5));

    world.server.add([to_ana_at(3, first.to)]);
    let report = world.run_next_day().await;
    assert_eq!(report.window.unwrap().from, first.to);
    let items = report.items;
    assert_eq!((items.available_from_source, items.late, items.repeated_by_source), (2, 1, 1));
    assert_eq!(world.held(ANA), whatsapp_ids([1, 2, 3]));
}

#[tokio::test]
async fn downtime_is_caught_up_in_steps_of_a_day() {
    let world = World::new().await;
    world.run().await;
    world.clock.advance(Duration::from_hours(24 * 4));
    let asked = world.server.page_requests().len();
    let report = world.run().await;
    let hours: Vec<i64> = world.server.page_requests()[asked..]
        .iter()
        .filter(|page| page.limit > 0)
        .map(|page| (page.to_date - page.from_date) / 3_600_000)
        .collect();
    assert_eq!(hours, [48, 24, 24, 24], "the first with the overlap");
    let window = report.window.unwrap();
    assert_eq!((window.to - window.from).num_hours(), 96);
}

#[tokio::test]
async fn a_page_that_cannot_be_read_is_asked_for_in_halves() {
    let mut world = World::new().await;
    world.page_size = 8;
    world.server.add((1..=12).map(to_ana));
    world.server.fail_page(PageFault::Wrapped); // the log-in
    for _ in 0..3 {
        world.server.fail_page(PageFault::Truncated);
    }
    world.run().await;
    let limits: Vec<usize> = world.server.page_requests().iter().map(|page| page.limit).skip(1).collect();
    assert_eq!(limits, [8, 4, 2, 1, 2, 4, 8], "and by and by in whole ones again");
    assert_eq!(world.held(ANA), whatsapp_ids(1..=12));
}

#[tokio::test]
async fn a_session_that_ends_is_begun_again_at_the_same_cursor() {
    let mut world = World::new().await;
    world.page_size = 5;
    world.server.add((1..=10).map(to_ana));
    world.server.fail_page(PageFault::Wrapped); // the log-in
    world.server.fail_page(PageFault::Wrapped); // the first page
    world.server.fail_page(PageFault::InvalidToken);
    let report = world.run().await;
    assert_eq!(counts(&report), [10, 0, 0, 0, 0]);
    assert_eq!(report.items.repeated_by_source, 0);
    assert_eq!(world.held(ANA), whatsapp_ids(1..=10));
}

#[tokio::test]
async fn an_item_that_comes_twice_in_a_page_is_one() {
    let world = World::new().await;
    world.server.add([to_ana(1), to_ana(2)]);
    world.server.fail_page(PageFault::Wrapped); // the log-in
    world.server.fail_page(PageFault::Doubled);
    let report = world.run().await;
    assert_eq!((report.items.available_from_source, report.items.repeated_by_source), (2, 2));
    assert_eq!(counts(&report), [2, 0, 0, 0, 0]);
}

/// A run that reads nothing because a clock is behind is no success, though nothing of it is pending.
#[tokio::test]
async fn a_clock_behind_what_was_read_fails_the_run() {
    let world = World::new().await;
    world.server.add([to_ana(1)]);
    world.run().await;
    let at_once = world.run().await;
    assert_eq!(at_once.status.name(), "complete", "nothing is behind");
    let watermark = world.ledger.watermark().await.unwrap();

    world.clock.set(start() - chrono::Duration::days(400));
    let finished = world.run_request(RunRequest::Regular).await;
    assert_eq!((finished.report.status.name(), finished.report.window), ("failed", None));
    let error = finished.error.unwrap().to_string();
    assert!(error.contains("Correct the clock that is behind") && !error.contains("Some("), "{error}");
    assert_eq!(world.ledger.watermark().await.unwrap(), watermark);
    let success = world.ledger.latest_run(&[RunKind::Regular], &[RunStatus::Complete]).await.unwrap().unwrap();
    assert_eq!(success.id, at_once.run, "the last success is what it was");

    world.clock.set(start() + chrono::Duration::days(1));
    let report = world.run().await;
    assert_eq!((report.status.name(), report.window.map(|window| window.from)), ("complete", watermark));
}

#[tokio::test]
async fn a_server_whose_clock_is_behind_ends_the_window() {
    let world = World::new().await;
    // The server's time is the clock's; a source that is an hour behind says so at the log-in.
    world.source_behind(chrono::Duration::hours(1)).await;
}

impl World {
    /// A run against a source whose clock is `behind` ends its window there.
    async fn source_behind(mut self, behind: chrono::Duration) {
        struct Behind(TeleMessage, chrono::Duration);
        #[async_trait]
        impl Source for Behind {
            fn name(&self) -> String {
                self.0.name()
            }
            async fn log_in(&self) -> Result<Option<DateTime<Utc>>, SourceError> {
                Ok(self.0.log_in().await?.map(|time| time - self.1))
            }
            async fn page(&self, window: Window, cursor: Cursor, limit: usize) -> Result<Page, SourceError> {
                self.0.page(window, cursor, limit).await
            }
            async fn attachment(&self, item: ItemId, index: usize) -> Result<AttachmentStream, SourceError> {
                self.0.attachment(item, index).await
            }
            fn page_size(&self) -> usize {
                self.0.page_size()
            }
        }
        self.source = Some(Arc::new(Behind(self.telemessage(), behind)));
        let now = self.clock.now();
        let window = self.run().await.window.unwrap();
        assert_eq!(window.to, now - behind - chrono::Duration::minutes(5));
    }
}

/// The windows that lie in staging.
async fn staged_windows(world: &World) -> usize {
    world.ledger.purgeable_windows(world.clock.now(), 100).await.unwrap().len()
}

#[tokio::test]
async fn a_clock_that_runs_ahead_purges_nothing() {
    let mut world = World::new().await;
    world.retain = Some(Duration::from_hours(24 * 30));
    world.server.add([to_ana(1)]);
    world.run().await;
    assert_eq!(staged_windows(&world).await, 1);
    world.server.hold_time();
    world.clock.advance(Duration::from_hours(24 * 31));
    world.run().await;
    assert_eq!(staged_windows(&world).await, 1, "by the source's clock it is the same day");
    world.server.let_time_go();
    world.run().await;
    assert_eq!(staged_windows(&world).await, 0);
}

#[tokio::test]
async fn a_clock_that_runs_ahead_shrinks_nothing() {
    const DAY: Duration = Duration::from_hours(24);
    let mut world = World::new().await;
    world.retain = Some(30 * DAY);
    world.ledger_retain = Some(60 * DAY);
    world.server.add([to_ana(1)]);
    world.run().await;
    world.clock.advance(31 * DAY);
    world.run().await;
    assert_eq!(staged_windows(&world).await, 0, "it is purged");
    let whole = async || world.ledger.shrinkable_windows(world.clock.now(), None, 100).await.unwrap().len();
    assert_eq!(whole().await, 1);

    world.server.hold_time();
    world.clock.advance(31 * DAY);
    world.run().await;
    assert_eq!(whole().await, 1, "by the source's clock it is the same day");
    world.server.let_time_go();
    world.run().await;
    let later = world.ledger.shrinkable_windows(start(), None, 100).await.unwrap();
    assert!(later.is_empty(), "{later:?}");
}

/// Of Ana's copies, in the order of their identities: whether it is known what was sent.
async fn known(world: &World) -> Vec<bool> {
    let ana = MailboxId(format!("id of {ANA}"));
    let copies = world.ledger.known_copies(&ana, None, None, 100).await.unwrap();
    let mut known: Vec<bool> =
        copies.iter().map(|copy| matches!(copy.imported.as_ref().unwrap(), Imported::Known(_))).collect();
    known.sort_unstable();
    known
}

#[tokio::test]
async fn a_day_that_is_read_again_is_as_old_as_its_copies() {
    const DAY: Duration = Duration::from_hours(24);
    let mut world = World::new().await;
    (world.retain, world.ledger_retain) = (Some(30 * DAY), Some(60 * DAY));
    world.server.add([to_ana(1)]);
    world.run().await;
    world.clock.advance(59 * DAY);
    world.run().await;
    world.clock.advance(DAY);
    world.run().await;
    assert_eq!(known(&world).await, [true], "its window ended 60 days ago, and the run that read it began later");
    world.clock.advance(DAY);
    world.run().await;
    assert_eq!(known(&world).await, [false]);

    world.server.add([to_ana(2)]);
    let day = Window { from: start() - chrono::Duration::days(1), to: start() };
    world.run_request(RunRequest::Backfill(day)).await;
    for days in [1_u32, 58] {
        world.clock.advance(days * DAY);
        world.run().await;
        assert_eq!(known(&world).await, [false, true], "after {days} days");
    }
    assert!(world.ledger.purgeable_windows(start(), 9).await.unwrap().is_empty(), "the day is purged");
    world.clock.advance(2 * DAY);
    world.run().await;
    assert_eq!(known(&world).await, [false, false]);
}
