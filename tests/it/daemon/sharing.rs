//! Several daemons on one ledger: one pulls at a time, and a scheduled time is one run.

use super::bench::{ANA, Bench, at, numbered};
use super::clock::MachineClock;
use crate::servers::telemessage::Fault;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_daemons_run_once_a_day_and_double_nothing() {
    let bench = Bench::new(at(10, 2, 0), r#"at = "02:00""#);
    bench.server.add((1..=200).map(|n| numbered(n, at(9, 2, 0) + chrono::Duration::minutes(30 * n))));
    let other_clock = MachineClock::right(&bench.time);
    let (mut one, mut other) = tokio::join!(bench.start_on(&bench.clock), bench.start_on(&other_clock));
    bench.rest(&mut [&mut one, &mut other]).await;
    assert_eq!(bench.runs().await.len(), 1);
    for day in 11..=13 {
        bench.time.pass_until(at(day, 2, 0));
        bench.rest(&mut [&mut one, &mut other]).await;
        // One that found the other at work looks again, and finds nothing to do.
        bench.time.pass_until(at(day, 2, 1));
        bench.rest(&mut [&mut one, &mut other]).await;
        assert_eq!(bench.watermark().await, Some(at(day, 1, 55)));
    }
    assert_eq!(bench.runs().await.len(), 4, "{:?}", bench.runs().await);
    assert_eq!(bench.files.archived(ANA), (1..=191).collect::<Vec<_>>());

    // One goes on alone; a run that failed is repeated by whoever is there.
    one.stop().await;
    bench.server.set_outage(Some(Fault::Status(503)));
    let due = bench.pass_until(at(14, 2, 0), &mut other).await;
    assert_eq!(due, at(14, 2, 15));
    bench.server.set_outage(None);
    bench.pass_until(due, &mut other).await;
    assert_eq!(bench.files.archived(ANA), (1..=200).collect::<Vec<_>>());
    other.stop().await;
}
