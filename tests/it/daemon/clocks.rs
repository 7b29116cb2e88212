//! Clocks that are wrong: nothing is passed over, nothing doubled, and no run follows the other without a pause.

use std::sync::Arc;

use chrono::Duration;
use tokio_util::sync::CancellationToken;
use whatsapp_archiver::clock::{Clock as _, ManualClock, SystemClock};
use whatsapp_archiver::pipeline::RunRequest;

use super::bench::{ANA, Bench, RunningDaemon, at, numbered};
use crate::installation::{Archive, item};
use crate::servers::postgres::Postgres;

const DAILY: &str = r#"at = "02:00""#;

/// Items received every three hours of the month, each with its number.
fn add_items(bench: &Bench) -> Vec<i64> {
    let items: Vec<_> = (0..150).map(|n| numbered(n + 1, at(9, 2, 0) + Duration::hours(3 * n))).collect();
    let numbers = items.iter().map(|item| item.id).collect();
    bench.server.add(items);
    numbers
}

/// Lets days pass, hour by hour, as the daemon would notice them.
async fn pass_days(bench: &Bench, days: i64, daemon: &mut RunningDaemon) {
    for _ in 0..24 * days {
        bench.pass_until(bench.now() + Duration::hours(1), daemon).await;
        assert!(
            bench.watermark().await.is_none_or(|watermark| watermark < bench.now()),
            "nothing is read ahead of time"
        );
    }
}

fn received_before(numbers: &[i64], watermark: chrono::DateTime<chrono::Utc>) -> Vec<i64> {
    let received = |number: &&i64| at(9, 2, 0) + Duration::hours(3 * (**number - 1)) < watermark;
    numbers.iter().filter(received).copied().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_ahead_moves_the_watermark_past_nothing_unread() {
    let bench = Bench::new(at(10, 2, 0), DAILY);
    let numbers = add_items(&bench);
    let mut daemon = bench.start().await;

    bench.clock.set_ahead(Duration::days(30));
    bench.pass_until(at(10, 12, 0), &mut daemon).await;
    assert_eq!(bench.watermark().await, Some(at(10, 11, 55)), "the archive's time bounds the window");
    pass_days(&bench, 3, &mut daemon).await;
    let runs_while_ahead = bench.runs().await.len();
    assert_eq!(runs_while_ahead, 5, "one at the beginning, one as overdue, then one a day");

    bench.clock.set_ahead(Duration::zero());
    pass_days(&bench, 3, &mut daemon).await;
    assert_eq!(bench.runs().await.len() - runs_while_ahead, 4, "one as overdue, then one a day");
    let watermark = bench.watermark().await.unwrap();
    assert_eq!(watermark, at(16, 1, 55));
    assert_eq!(bench.files.archived(ANA), received_before(&numbers, watermark)[..]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_reads_nothing_twice_and_catches_up() {
    let bench = Bench::new(at(10, 2, 0), DAILY);
    let numbers = add_items(&bench);
    let mut daemon = bench.start().await;
    pass_days(&bench, 2, &mut daemon).await;
    let before = bench.runs().await.len();

    // Earlier than anything that the ledger knows.
    bench.clock.set_ahead(-Duration::days(5));
    pass_days(&bench, 2, &mut daemon).await;
    let behind = bench.runs().await.len() - before;
    // They fail, and are tried again with growing pauses: up to four hours.
    assert!((1..=16).contains(&behind), "{behind} runs in two days");
    assert_eq!(bench.watermark().await, Some(at(12, 1, 55)), "the watermark never goes back");
    assert_eq!(bench.files.archived(ANA), received_before(&numbers, at(12, 1, 55))[..]);

    bench.clock.set_ahead(Duration::zero());
    pass_days(&bench, 1, &mut daemon).await;
    let watermark = bench.watermark().await.unwrap();
    assert_eq!(watermark, at(15, 1, 55));
    assert_eq!(bench.files.archived(ANA), received_before(&numbers, watermark)[..]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_run_of_the_future_holds_nothing_up() {
    let bench = Bench::new(at(10, 2, 0), DAILY);
    let numbers = add_items(&bench);
    let mut daemon = bench.start().await;
    bench.clock.set_ahead(Duration::days(30));
    bench.server.set_outage(Some(crate::servers::telemessage::Fault::Status(503)));
    bench.pass_until(at(10, 12, 0), &mut daemon).await;
    bench.server.set_outage(None);
    bench.clock.set_ahead(Duration::zero());
    let due = bench.look(&mut daemon).await;
    assert_eq!(due, at(11, 2, 0), "as if that run had not been");
    bench.pass_until(due, &mut daemon).await;
    assert_eq!(bench.files.archived(ANA), received_before(&numbers, at(11, 1, 55))[..]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_a_clock_that_was_400_days_ahead_hides_no_later_one() {
    let bench = Bench::new(at(10, 2, 0), DAILY);
    add_items(&bench);
    let mut daemon = bench.start().await;
    bench.clock.set_ahead(Duration::days(400));
    bench.pass_until(at(10, 12, 0), &mut daemon).await;
    assert!(bench.last_report().await.started > at(30, 0, 0), "the clock's own time");
    bench.clock.set_ahead(Duration::zero());
    bench.pass_until(at(11, 2, 0), &mut daemon).await;
    let report = bench.last_report().await;
    assert_eq!((report.started, report.status.name()), (at(11, 2, 0), "complete"));

    bench.server.set_outage(Some(crate::servers::telemessage::Fault::Status(503)));
    bench.pass_until(at(12, 2, 0), &mut daemon).await;
    let last = bench.status().await.last_run.unwrap();
    assert_eq!(last.status.name(), "failed");
    daemon.stop().await;
}

/// Leases on a database server are compared by the clocks of all machines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_not_the_database_servers_begins_no_run() {
    let archive = Archive::new();
    archive.export("1.json", &[item(1, "message 1")]);
    archive.set_ledger(&Postgres::shared().new_database());
    for ahead in [Duration::seconds(60), -Duration::days(400)] {
        let app = archive.app_at(Arc::new(ManualClock::self_moving(SystemClock.now() + ahead))).await;
        let finished = app.pipeline(CancellationToken::new()).run(RunRequest::Regular).await.unwrap();
        let error = finished.error.expect("the run fails").to_string();
        assert!(
            error.contains("this machine's clock shows") && error.contains("the database server's shows"),
            "{error}"
        );
        assert_eq!(finished.report.status.name(), "failed");
    }
    assert!(archive.mails(crate::installation::ANA).is_empty());
    tokio::task::block_in_place(|| archive.run_to(0, &["run", "--once"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_earlier_of_two_clocks_counts() {
    let bench = Bench::new(at(10, 2, 0), DAILY);
    let numbers = add_items(&bench);
    bench.their_clock.set_ahead(-Duration::hours(7));
    let mut daemon = bench.start().await;
    assert_eq!(bench.watermark().await, Some(at(9, 18, 55)));
    bench.their_clock.set_ahead(Duration::hours(7));
    bench.pass_until(at(11, 2, 0), &mut daemon).await;
    assert_eq!(bench.watermark().await, Some(at(11, 1, 55)));
    // The window begins seven hours earlier than it would have, by their clock.
    let expected = received_before(&numbers, at(11, 1, 55));
    assert_eq!(bench.files.archived(ANA), expected[..]);
    daemon.stop().await;
}
