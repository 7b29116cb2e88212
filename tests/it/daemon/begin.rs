//! Where the first window of all begins, and a run that doesn't get further.

use std::sync::Arc;
use std::time::Duration;

use whatsapp_archiver::serve::metrics::{Exposition, MetricsPage};

use super::bench::{ANA, Bench, at, numbered};
use crate::servers::telemessage::{Fault, PageFault};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_run_looks_back_as_far_as_configured() {
    let bench = Bench::new(at(10, 12, 0), "first_lookback = \"3d\"\nsettle = \"0s\"");
    bench.server.add([
        numbered(1, at(7, 11, 59)),
        numbered(2, at(7, 12, 0)),
        numbered(3, at(10, 11, 59)),
        numbered(4, at(10, 12, 0)),
    ]);
    let mut daemon = bench.start().await;
    assert_eq!(bench.files.archived(ANA), [2, 3], "the window is half-open");
    assert_eq!(
        bench.rest(&mut [&mut daemon]).await,
        at(11, 12, 0),
        "without a time of day: a day after the last start"
    );
    bench.pass_until(at(11, 12, 0), &mut daemon).await;
    assert_eq!(bench.files.archived(ANA), [2, 3, 4]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_runs_that_fail_do_not_move_the_beginning() {
    let bench = Bench::new(at(10, 12, 0), r#"at = "02:00""#);
    bench.server.add([numbered(1, at(9, 12, 0)), numbered(2, at(12, 0, 0))]);
    bench.server.set_outage(Some(Fault::Status(503)));
    let mut daemon = bench.start().await;
    while bench.now() < at(13, 0, 0) {
        let due = bench.rest(&mut [&mut daemon]).await;
        bench.pass_until(due, &mut daemon).await;
    }
    bench.server.set_outage(None);
    let due = bench.rest(&mut [&mut daemon]).await;
    bench.pass_until(due, &mut daemon).await;
    assert_eq!(bench.files.archived(ANA), [1, 2]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stated_beginning_is_read_from_in_steps_of_a_day() {
    let bench = Bench::new(at(10, 12, 0), "start_from = 2026-11-01T00:00:00Z\nsettle = \"0s\"");
    bench.server.add([numbered(1, at(1, 0, 0) - chrono::Duration::milliseconds(1)), numbered(2, at(1, 0, 0))]);
    let daemon = bench.start().await;
    assert_eq!(bench.files.archived(ANA), [2]);
    let asked: Vec<_> = bench.server.page_requests().into_iter().filter(|request| request.limit > 0).collect();
    assert_eq!(asked.len(), 10);
    assert!(asked.iter().all(|request| request.to_date - request.from_date <= 86_400_000));
    assert_eq!(bench.last_report().await.window.unwrap().from, at(1, 0, 0));
    daemon.stop().await;

    // A beginning that is still to come is waited for.
    let bench = Bench::new(at(10, 12, 0), "start_from = 2026-11-11T00:00:00Z\nsettle = \"0s\"");
    bench.server.add([numbered(1, at(10, 23, 0)), numbered(2, at(11, 1, 0))]);
    let mut daemon = bench.start().await;
    assert_eq!(bench.watermark().await, None);
    bench.pass_until(at(11, 12, 0), &mut daemon).await;
    assert_eq!(bench.files.archived(ANA), [2]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_makes_no_progress_is_reported_by_a_metric() {
    let bench = Bench::new(at(10, 2, 0), r#"at = "02:00""#);
    bench.server.add([numbered(1, at(9, 12, 0))]);
    // The log-in, and a page that breaks off in silence.
    for fault in [PageFault::Wrapped, PageFault::Stall] {
        bench.server.fail_page(fault);
    }
    let daemon = bench.start_on(&bench.clock).await;
    let ledger = bench.ledger().await;
    let page = MetricsPage::of(Arc::clone(&daemon.metrics));
    let stalled = async |value: u8| {
        let wanted = format!("whatsapp_archiver_run_stalled {value}\n");
        while !page.render(&ledger, bench.now(), Exposition::Text).await.contains(&wanted) {
            tokio::task::yield_now().await;
        }
    };
    let noticed = async {
        while bench.server.page_requests().len() < 2 {
            tokio::task::yield_now().await;
        }
        stalled(0).await;
        bench.time.pass_until(bench.now() + chrono::Duration::minutes(11));
        stalled(1).await;
    };
    tokio::time::timeout(Duration::from_mins(1), noticed).await.expect("the daemon notices");
}
