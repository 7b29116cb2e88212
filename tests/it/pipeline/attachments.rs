//! Attachments that trail, are gone, or are not what was declared.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use whatsapp_archiver::clock::Clock as _;
use whatsapp_archiver::item::ItemId;
use whatsapp_archiver::pipeline::{RunError, RunRequest};
use whatsapp_archiver::source::telemessage::TeleMessage;
use whatsapp_archiver::source::{AttachmentStream, Cursor, Page, Source, SourceError};
use whatsapp_archiver::window::Window;

use super::world::{ANA, World, counts, to_ana, whatsapp_ids};
use crate::servers::telemessage::{ArchivedItem, Asked, Fault, MediaFault};

const PDF: &[u8] = b"%PDF-1.4 one page";

/// More than the world's runs ask for an attachment.
const ALWAYS: usize = 200;

/// A message with an attachment that isn't inline.
fn with_pdf(id: i64) -> ArchivedItem {
    to_ana(id).attachment("terms.pdf", "application/pdf", PDF)
}

/// A message with an attachment that is staged as a stream.
fn with_large(id: i64) -> ArchivedItem {
    to_ana(id).attachment("large.bin", "application/octet-stream", vec![b'x'; 3_000_000])
}

fn fail_always(world: &World, item: i64, fault: &Fault) {
    for _ in 0..ALWAYS {
        world.server.fail_attachment(item, 0, fault.clone());
    }
}

/// How often an attachment was asked for.
fn asked_for(world: &World, item: i64) -> usize {
    world.server.requests().iter().filter(|request| request.asked == Asked::Media(item, 0)).count()
}

#[tokio::test]
async fn a_late_attachment_is_waited_for_and_imported_whole() {
    let world = World::new().await;
    world.server.add([to_ana(1).attachment("terms.pdf", "application/pdf", PDF), to_ana(2)]);
    world.server.fail_attachment(1, 0, Fault::Status(404));
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([1, 0, 0, 0, 1], "incomplete"));
    assert_eq!(asked_for(&world, 1), 1, "\"not there yet\" is an answer, not a failure to try again");
    assert_eq!(world.held(ANA), whatsapp_ids([2]));

    world.clock.advance(Duration::from_mins(15));
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([1, 0, 0, 0, 0], "complete"));
    assert_eq!(report.deliveries.carried_over, 1);
    let found = &world.destination.mailboxes()[ANA][0];
    assert_eq!(found.files, [("terms.pdf".to_owned(), PDF.to_vec())]);
    assert_eq!(world.held(ANA), whatsapp_ids([1, 2]));
}

#[tokio::test]
async fn a_source_that_asks_for_a_long_pause_for_attachments_holds_no_message_up() {
    let world = World::new().await;
    world.server.add((1..=8).map(with_pdf).chain([to_ana(9)]));
    for item in 1..=8 {
        fail_always(&world, item, &Fault::RetryAfter(429, "3600".to_owned()));
    }
    let before = world.clock.now();
    let report = world.run().await;
    assert!(world.clock.now() - before < chrono::Duration::minutes(5), "{}", world.clock.now() - before);
    assert_eq!((counts(&report), report.status.name()), ([1, 0, 0, 0, 8], "incomplete"));
    assert_eq!(world.held(ANA), whatsapp_ids([9]));
    let asked: usize = (1..=8).map(|item| asked_for(&world, item)).sum();
    assert!(asked <= 8, "asked {asked} times: a source that asks for a pause is left alone");
}

/// TeleMessage whose attachments never come; the token tells when one was asked for.
struct NeverCome(TeleMessage, CancellationToken);

#[async_trait]
impl Source for NeverCome {
    fn name(&self) -> String {
        self.0.name()
    }

    async fn log_in(&self) -> Result<Option<DateTime<Utc>>, SourceError> {
        self.0.log_in().await
    }

    async fn page(&self, window: Window, cursor: Cursor, limit: usize) -> Result<Page, SourceError> {
        self.0.page(window, cursor, limit).await
    }

    async fn attachment(&self, _: ItemId, _: usize) -> Result<AttachmentStream, SourceError> {
        self.1.cancel();
        std::future::pending().await
    }

    fn page_size(&self) -> usize {
        self.0.page_size()
    }
}

#[tokio::test]
async fn a_run_that_is_stopped_waits_for_no_download() {
    let mut world = World::new().await;
    world.server.add([with_pdf(1), to_ana(2)]);
    let (asked, stop) = (CancellationToken::new(), CancellationToken::new());
    world.source = Some(Arc::new(NeverCome(world.telemessage(), asked.clone())));
    let stopping = async {
        asked.cancelled().await;
        stop.cancel();
    };
    let stopped = async { tokio::join!(world.run_until(stop.clone(), RunRequest::Regular), stopping).0 };
    let finished = tokio::time::timeout(Duration::from_mins(1), stopped).await.expect("the run ends").unwrap();
    assert!(matches!(finished.error, Some(RunError::Stopped)), "{:?}", finished.error);

    world.source = None;
    world.clock.advance(Duration::from_mins(15));
    assert_eq!(counts(&world.run().await), [2, 0, 0, 0, 0]);
    assert_eq!(world.destination.mailboxes()[ANA][0].files, [("terms.pdf".to_owned(), PDF.to_vec())]);
}

#[tokio::test]
async fn an_attachment_that_never_comes_is_left_out_after_the_wait() {
    let world = World::new().await;
    world.server.add([to_ana(1).attachment("terms.pdf", "application/pdf", PDF)]);
    for _ in 0..3 {
        world.server.fail_attachment(1, 0, Fault::Status(404));
    }
    assert_eq!(counts(&world.run().await), [0, 0, 0, 0, 1]);
    world.clock.advance(Duration::from_hours(12));
    assert_eq!(counts(&world.run().await), [0, 0, 0, 0, 1], "half of the wait is not enough");
    world.clock.advance(Duration::from_hours(12));
    let report = world.run().await;
    assert_eq!(counts(&report), [0, 1, 0, 0, 0]);
    assert_eq!(report.partial_by_reason["attachment_missing"], 1);
    assert_eq!(world.destination.mailboxes()[ANA][0].files, []);
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
        to_ana(1).attachment("fixes.pdf", "application/pdf", PDF),
        to_ana(2).attachment("stays.pdf", "application/pdf", PDF),
    ]);
    world.server.fail_attachment(1, 0, MediaFault::WrongBytes);
    for _ in 0..3 {
        world.server.fail_attachment(2, 0, MediaFault::WrongBytes);
    }
    let report = world.run().await;
    assert_eq!(counts(&report), [1, 1, 0, 0, 0]);
    assert_eq!(report.partial_by_reason["attachment_corrupt"], 1);
    let files: Vec<usize> = world.destination.mailboxes()[ANA].iter().map(|found| found.files.len()).collect();
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

#[tokio::test]
async fn one_attachment_that_the_source_fails_to_give_blocks_nothing() {
    let world = World::new().await;
    world.server.add([with_pdf(1), with_pdf(2), to_ana(3)]);
    fail_always(&world, 1, &Fault::Status(500));
    let report = world.run().await;
    assert_eq!((counts(&report), report.status.name()), ([2, 0, 0, 0, 1], "incomplete"));
    assert_eq!(asked_for(&world, 1), 4, "as often as [retry] says");

    // Later runs ask once, until the wait is over.
    world.clock.advance(Duration::from_hours(12));
    assert_eq!(counts(&world.run().await), [0, 0, 0, 0, 1]);
    assert_eq!(asked_for(&world, 1), 5);
    world.clock.advance(Duration::from_hours(12));
    let report = world.run().await;
    assert_eq!(counts(&report), [0, 1, 0, 0, 0]);
    assert_eq!(report.partial_by_reason["attachment_missing"], 1);
    assert_eq!(world.held(ANA), whatsapp_ids([1, 2, 3]));
}

#[tokio::test]
async fn an_outage_strips_nothing_of_its_attachments() {
    let world = World::new().await;
    world.server.add([with_pdf(1), to_ana(2)]);
    fail_always(&world, 1, &Fault::Status(404));
    assert_eq!(counts(&world.run().await), [1, 0, 0, 0, 1]);
    world.clock.advance(Duration::from_hours(48));
    world.server.set_outage(Some(Fault::Status(500)));
    let finished = world.run_request(RunRequest::Regular).await;
    assert!(finished.error.is_some(), "the log-in fails");
    assert_eq!(counts(&finished.report)[1], 0, "what can't be asked for isn't missing");
    assert_eq!(world.held(ANA), whatsapp_ids([2]));
    world.server.set_outage(None);
    assert_eq!(counts(&world.run().await), [0, 1, 0, 0, 0]);
}

#[tokio::test]
async fn several_unavailable_attachments_in_a_row_are_an_outage() {
    let world = World::new().await;
    world.server.add((1..=6).map(with_pdf));
    for item in 1..=6 {
        for _ in 0..4 {
            world.server.fail_attachment(item, 0, Fault::Status(503));
        }
    }
    let finished = world.run_request(RunRequest::Regular).await;
    assert!(matches!(finished.error, Some(RunError::Source(SourceError::Unavailable(_)))), "{:?}", finished.error);
    assert_eq!(counts(&finished.report), [0, 0, 0, 0, 0], "its page is read again");
    for item in 1..=6 {
        assert!(asked_for(&world, item) <= 4);
    }
    // What is left of the faults is used up, too few in a row for an outage.
    let mut report = world.run_request(RunRequest::Regular).await.report;
    while counts(&report) == [0, 0, 0, 0, 0] {
        report = world.run_request(RunRequest::Regular).await.report;
    }
    world.clock.advance(Duration::from_mins(15));
    world.run().await;
    assert_eq!(world.held(ANA), whatsapp_ids(1..=6));
    assert!(world.destination.mailboxes()[ANA].iter().all(|found| found.files.len() == 1));
}

#[tokio::test]
async fn an_answer_that_is_unexpected_never_counts_as_missing() {
    let world = World::new().await;
    world.server.add([with_pdf(1), to_ana(2)]);
    fail_always(&world, 1, &Fault::Status(418));
    assert_eq!(counts(&world.run().await), [1, 0, 0, 0, 1]);
    for _ in 0..3 {
        assert_eq!(counts(&world.run_next_day().await), [0, 0, 0, 0, 1]);
    }
}

#[tokio::test]
async fn a_redirect_of_an_attachment_ends_the_run() {
    let world = World::new().await;
    world.server.add([with_pdf(1), to_ana(2)]);
    world.server.fail_attachment(1, 0, Fault::Redirect("https://elsewhere.example/".to_owned()));
    let finished = world.run_request(RunRequest::Regular).await;
    assert!(matches!(finished.error, Some(RunError::Source(SourceError::Contract(_)))), "{:?}", finished.error);
    assert_eq!(counts(&world.run().await), [2, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_wrong_clock_of_ours_makes_nothing_missing() {
    let mut world = World::new().await;
    world.settings.attachment_wait = Duration::from_hours(24 * 30);
    world.server.add([with_pdf(1)]);
    fail_always(&world, 1, &Fault::Status(404));
    assert_eq!(counts(&world.run().await), [0, 0, 0, 0, 1]);
    world.server.hold_time();
    world.clock.advance(Duration::from_hours(24 * 31));
    assert_eq!(counts(&world.run().await), [0, 0, 0, 0, 1], "by the source's clock it is the same day");
    world.server.let_time_go();
    assert_eq!(counts(&world.run().await), [0, 1, 0, 0, 0]);
}

/// Its item was staged in the future, by that clock.
#[tokio::test]
async fn a_clock_that_was_ahead_makes_nothing_awaited_for_longer() {
    let mut world = World::new().await;
    world.settings.attachment_wait = Duration::from_hours(48);
    let right = world.clock.now();
    world.server.add([with_pdf(1)]);
    fail_always(&world, 1, &Fault::Status(404));
    world.server.hold_time();
    world.clock.advance(Duration::from_hours(24 * 400));
    assert_eq!(counts(&world.run().await), [0, 0, 0, 0, 1]);
    world.server.let_time_go();
    world.clock.set(right + chrono::Duration::hours(47));
    assert_eq!(counts(&world.run().await), [0, 0, 0, 0, 1]);
    world.clock.advance(Duration::from_hours(1));
    assert_eq!(counts(&world.run().await), [0, 1, 0, 0, 0]);
    assert_eq!(world.held(ANA), whatsapp_ids([1]));
}

#[tokio::test]
async fn without_a_wait_an_attachment_is_missing_in_the_same_run() {
    let mut world = World::new().await;
    world.settings.attachment_wait = Duration::ZERO;
    world.server.add([with_pdf(1), to_ana(2)]);
    fail_always(&world, 1, &Fault::Status(404));
    assert_eq!(counts(&world.run().await), [1, 1, 0, 0, 0]);
    assert_eq!(counts(&world.run().await), [0; 5], "and nothing is left to do");
}

#[tokio::test]
async fn staging_that_fails_in_a_stream_is_tried_again() {
    let mut world = World::new().await;
    world.settings.max_item_size = 100_000;
    let staging = world.scripted_staging();
    staging.failing_streams.store(3, Ordering::SeqCst);
    world.server.add([with_large(1), to_ana(2)]);
    assert_eq!(counts(&world.run().await), [1, 0, 0, 1, 0]);
    assert_eq!(staging.streams.load(Ordering::SeqCst), 4);
    assert_eq!(staging.attachments().await, ["0"]);
}

#[tokio::test]
async fn runs_that_fail_dont_fill_staging() {
    for digest in [true, false] {
        let mut world = World::new().await;
        world.settings.max_item_size = 100_000;
        let staging = world.scripted_staging();
        let bytes = vec![b'x'; 3_000_000];
        let large = if digest {
            with_large(1)
        } else {
            to_ana(1).attachment_without_digest("large.bin", "application/octet-stream", bytes)
        };
        world.server.add([large, with_pdf(2)]);
        staging.refuses_small.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            let finished = world.run_request(RunRequest::Regular).await;
            assert!(matches!(finished.error, Some(RunError::Staging(_))), "{:?}", finished.error);
        }
        staging.refuses_small.store(false, Ordering::SeqCst);
        assert_eq!(counts(&world.run().await), [1, 0, 0, 1, 0]);
        assert_eq!(staging.attachments().await, ["0", "0"], "one each");
        if digest {
            assert_eq!(staging.streams.load(Ordering::SeqCst), 1, "what lies there isn't sent again");
        }
    }
}

#[tokio::test]
async fn wrong_bytes_that_may_not_be_removed_are_left_there() {
    let mut world = World::new().await;
    world.settings.max_item_size = 100_000;
    let staging = world.scripted_staging();
    staging.immutable.store(true, Ordering::SeqCst);
    world.server.add([with_large(1), to_ana(2)]);
    world.server.fail_attachment(1, 0, MediaFault::WrongBytes);
    assert_eq!(counts(&world.run().await), [1, 0, 0, 1, 0]);
    assert_eq!(staging.attachments().await, ["0", "0.1"]);
}

#[tokio::test]
async fn a_source_that_breaks_off_a_stream_for_good_is_the_sources_failure() {
    let mut world = World::new().await;
    world.settings.max_item_size = 100_000;
    world.server.add([with_large(1), to_ana(2)]);
    for _ in 0..4 {
        world.server.fail_attachment(1, 0, MediaFault::BreakOff);
    }
    let report = world.run().await;
    assert_eq!(counts(&report), [1, 0, 0, 0, 1]);
    world.clock.advance(Duration::from_mins(15));
    assert_eq!(counts(&world.run().await), [0, 0, 0, 1, 0], "it is staged whole, and too large for a mailbox");
}
