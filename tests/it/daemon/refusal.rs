//! A refused credential: accounts are locked by repetition, so it is left alone until it changes or its time comes.

use chrono::Duration;

use super::bench::{ANA, Bench, at, numbered};
use crate::servers::telemessage::Fault;

const DAILY: &str = r#"at = "02:00""#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_not_tried_again_before_it_changes_or_its_time_comes() {
    let bench = Bench::new(at(10, 2, 0), DAILY);
    bench.server.add([numbered(1, at(9, 12, 0)), numbered(2, at(11, 12, 0))]);
    bench.server.set_password("changed by them");
    let mut daemon = bench.start().await;
    assert_eq!(bench.log_ins(), 1);

    // Neither time nor a restart leads to another try.
    for hour in 3..=12 {
        assert_eq!(bench.pass_until(at(10, hour, 0), &mut daemon).await, at(11, 2, 0));
    }
    daemon.stop().await;
    let mut daemon = bench.start().await;
    bench.pass_until(at(11, 1, 59), &mut daemon).await;
    assert_eq!(bench.log_ins(), 1);
    let status = bench.status().await;
    assert_eq!(status.next_run, at(11, 2, 0), "the page tells the same");
    assert!(status.remotes["source"].detail.as_deref().unwrap().contains("source.password"), "{status}");

    // The next scheduled time is one try.
    bench.pass_until(at(11, 2, 0), &mut daemon).await;
    bench.pass_until(at(11, 12, 0), &mut daemon).await;
    assert_eq!(bench.log_ins(), 2);

    // A wrong one in its place is one try, too; the right one ends it.
    bench.files.write("password", "wrong again");
    bench.look(&mut daemon).await;
    assert_eq!(bench.pass_until(at(11, 20, 0), &mut daemon).await, at(12, 2, 0));
    assert_eq!(bench.log_ins(), 3);
    bench.files.write("password", "changed by them");
    bench.look(&mut daemon).await;
    assert_eq!(bench.log_ins(), 4);
    assert_eq!(bench.files.archived(ANA), [1, 2]);
    assert!(bench.status().await.remotes["source"].ok);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_of_another_kind_does_not_make_it_forgotten() {
    let bench = Bench::new(at(10, 2, 0), DAILY);
    bench.server.set_password("changed by them");
    let mut daemon = bench.start().await;

    // At the scheduled time the archive is away, so that nobody learns whether the credential is good now.
    bench.server.set_outage(Some(Fault::Status(503)));
    let due = bench.pass_until(at(11, 2, 0), &mut daemon).await;
    assert!(due > bench.now() + Duration::minutes(10), "no tight loop");
    bench.server.set_outage(None);
    bench.pass_until(due, &mut daemon).await;
    assert_eq!(bench.log_ins(), 3, "refused, away, refused");
    assert_eq!(bench.rest(&mut [&mut daemon]).await, at(12, 2, 0));

    // A changed credential that meets an archive that is away waits as any failed run does.
    bench.server.set_outage(Some(Fault::Status(503)));
    bench.files.write("password", "changed by them");
    let due = bench.look(&mut daemon).await;
    assert!(due > bench.now() + Duration::minutes(10), "no tight loop");
    assert_eq!(bench.log_ins(), 4);
    bench.server.set_outage(None);
    bench.pass_until(due, &mut daemon).await;
    assert_eq!(bench.status().await.state.to_string(), "idle");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_gone_is_no_tight_loop() {
    let bench = Bench::new(at(10, 2, 0), DAILY);
    bench.server.set_password("changed by them");
    let mut daemon = bench.start().await;
    std::fs::remove_file(bench.files.path("password")).unwrap();
    let due = bench.look(&mut daemon).await;
    assert_eq!((bench.runs().await.len(), bench.log_ins()), (2, 1));
    assert!(due > bench.now() + Duration::minutes(10), "it waits as after any failure");
    bench.files.write("password", "changed by them");
    bench.pass_until(due, &mut daemon).await;
    assert_eq!(bench.log_ins(), 2);
    assert_eq!(bench.status().await.state.to_string(), "idle");
    daemon.stop().await;
}
