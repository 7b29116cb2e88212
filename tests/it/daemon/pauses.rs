//! A source that asks for a pause of hours: the run ends and says until when, and the next one begins no earlier.

use super::bench::{ANA, Bench, at, numbered};
use crate::servers::telemessage::{Fault, PageFault};

const DAILY: &str = r#"at = "02:00""#;

/// The daemon meets this pause of two hours at the log-in, or after so many answers as they should be.
async fn assert_is_left_alone(answers: usize) {
    let bench = Bench::new(at(10, 2, 0), DAILY);
    bench.files.change_config("attempts = 1", "attempts = 6");
    bench.server.add([numbered(1, at(9, 12, 0))]);
    (0..answers).for_each(|_| bench.server.fail_page(PageFault::Wrapped));
    bench.server.fail_page(Fault::RetryAfter(429, "7200".to_owned()));
    let daemon = bench.start().await;
    assert!(bench.now() < at(10, 2, 1), "the run has ended: {}", bench.now());
    assert_eq!(bench.server.page_requests().len(), answers + 1);
    let status = bench.status().await;
    let error = status.failure.unwrap().error;
    assert!(error.contains("asks for a pause") && error.contains(", not before 2026-11-10T04:00:"), "{error}");

    // Neither time nor a restart leads to another try.
    daemon.stop().await;
    let mut daemon = bench.start().await;
    assert!(bench.pass_until(at(10, 3, 59), &mut daemon).await >= at(10, 4, 0));
    assert_eq!(bench.server.page_requests().len(), answers + 1);
    assert!(bench.status().await.next_run >= at(10, 4, 0), "the page tells the same");
    bench.pass_until(at(10, 4, 1), &mut daemon).await;
    assert_eq!(bench.files.archived(ANA), [1]);
    assert_eq!(bench.status().await.next_run, at(11, 2, 0));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_that_is_to_be_tried_in_hours_keeps_no_run_open() {
    assert_is_left_alone(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_to_be_asked_for_in_hours_keeps_no_run_open() {
    assert_is_left_alone(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_that_a_clock_ahead_noted_is_not_waited_for() {
    let bench = Bench::new(at(10, 2, 0), DAILY);
    bench.files.change_config("attempts = 1", "attempts = 6");
    bench.server.add([numbered(1, at(9, 12, 0))]);
    bench.clock.set_ahead(chrono::Duration::days(30));
    bench.server.fail_page(Fault::RetryAfter(429, "7200".to_owned()));
    let mut daemon = bench.start().await;
    let error = bench.status().await.failure.unwrap().error;
    assert!(error.contains(", not before 2026-12-10T04:00:"), "{error}");
    bench.clock.set_ahead(chrono::Duration::zero());
    let due = bench.look(&mut daemon).await;
    assert!(due <= at(11, 2, 0), "{due}");
    bench.pass_until(due, &mut daemon).await;
    assert_eq!(bench.files.archived(ANA), [1]);
    daemon.stop().await;
}
