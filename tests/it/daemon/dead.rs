//! A daemon that has gone: whoever looks sees it, and since when a run is overdue.

use whatsapp_archiver::status::ConnectorState;

use super::bench::{ANA, Bench, Files, LOCAL_STAGING, at, numbered};
use super::process::{self, Process};
use crate::servers::telemessage::TeleMessageServer;

const DAILY: &str = r#"at = "02:00""#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overdue_run_stays_where_it_was_due() {
    let bench = Bench::new(at(10, 2, 0), DAILY);
    bench.server.add([numbered(1, at(9, 12, 0))]);
    let daemon = bench.start().await;
    let status = bench.status().await;
    assert_eq!((status.state, status.daemon.running, status.overdue_since), (ConnectorState::Idle, true, None));
    assert_eq!(status.daemon.last_seen, Some(at(10, 2, 0)));
    daemon.stop().await;
    let status = bench.status().await;
    assert_eq!((status.state, status.daemon.running, status.next_run), (ConnectorState::Stopped, false, at(11, 2, 0)));

    for day in [11, 12, 13] {
        bench.time.pass_until(at(day, 9, 0));
        let status = bench.status().await;
        assert_eq!((status.state, status.daemon.running), (ConnectorState::Overdue, false));
        assert_eq!((status.next_run, status.overdue_since), (at(11, 2, 0), Some(at(11, 2, 0))), "it doesn't slide");
        assert!(status.to_string().contains("OVERDUE: it was due at 2026-11-11T02:00:00Z"), "{status}");
        assert!(status.to_string().contains("NOT RUNNING, last seen 2026-11-10T02:00:00Z"), "{status}");
    }
    let daemon = bench.start().await;
    let status = bench.status().await;
    assert_eq!((status.state, status.overdue_since, bench.files.archived(ANA)), (ConnectorState::Idle, None, vec![1]));
    daemon.stop().await;
}

#[test]
fn a_killed_daemon_is_not_idle() {
    let server = TeleMessageServer::start(std::sync::Arc::new(whatsapp_archiver::clock::SystemClock));
    let files = Files::new();
    files.write_config(&server.base_url(), "every = \"24h\"", LOCAL_STAGING);
    let mut daemon = Process::start(&files, &["run"]);
    daemon.wait_for("run_finished");
    let status = process::command_json(&files, &["status", "--json"]);
    assert_eq!(status["daemon"]["running"], true, "{status}");
    daemon.end_by("KILL");
    let status = process::command_json(&files, &["status", "--json"]);
    assert_eq!((&status["state"], &status["daemon"]["running"]), (&"stopped".into(), &false.into()), "{status}");
    assert!(status["daemon"]["last_seen"].is_string());
    assert!(process::command_output(&files, &["status"]).contains("NOT RUNNING"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_failure_after_incomplete_runs_waits_a_quarter_of_an_hour() {
    use whatsapp_archiver::ledger::{FailureKind, Holder, RunFailure, RunId, RunKind, RunStatus};
    use whatsapp_archiver::status::next_run;
    let bench = Bench::new(at(10, 2, 0), DAILY);
    let ledger = bench.ledger().await;
    let schedule = bench.load().schedule.clone();
    let run = async |number: i64, status, failure: Option<&RunFailure>| {
        let id = RunId(format!("0000000{number}"));
        let started = at(10, 2, 0) + chrono::Duration::minutes(number);
        ledger.begin_run(&id, RunKind::Regular, &Holder::new(), "{}", started).await.unwrap();
        ledger.finish_run(&id, status, started, failure, "{}").await.unwrap();
        (next_run(&ledger, &schedule, at(10, 12, 0)).await.unwrap() - started).num_minutes()
    };
    let failure = |kind, error: &str| RunFailure { kind, error: error.to_owned(), not_before: None };
    let away = failure(FailureKind::Other, "the source is away");
    assert_eq!(run(1, RunStatus::Incomplete, None).await, 15);
    assert_eq!(run(2, RunStatus::Incomplete, None).await, 30);
    assert_eq!(run(3, RunStatus::Failed, Some(&away)).await, 15, "the first failure");
    assert_eq!(run(4, RunStatus::Failed, Some(&away)).await, 30);
    // A run that was asked to stop is no failure: by the schedule alone, it is due the next day.
    let stopped = failure(FailureKind::Stopped, "it was stopped");
    assert_eq!(run(5, RunStatus::Failed, Some(&stopped)).await, 24 * 60 - 5);
    assert_eq!(run(6, RunStatus::Failed, Some(&away)).await, 15);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_run_is_under_way_the_next_one_is_the_one_after_it() {
    use whatsapp_archiver::ledger::{Holder, Lease, RunId, RunKind};
    use whatsapp_archiver::status::Status;
    let bench = Bench::new(at(10, 2, 0), DAILY);
    bench.server.set_outage(Some(crate::servers::telemessage::Fault::Status(503)));
    bench.start().await.stop().await;
    assert_eq!(bench.status().await.state, ConnectorState::Failed);
    let ledger = bench.ledger().await;
    let schedule = bench.load().schedule.clone();
    let (running, holder) = (RunId("2".to_owned()), Holder::new());
    ledger.lease(&holder, &[Lease::Run(running.clone())], at(10, 2, 20), at(10, 9, 0)).await.unwrap();
    ledger.begin_run(&running, RunKind::Regular, &holder, "{}", at(10, 2, 20)).await.unwrap();
    let status = Status::of(&ledger, &schedule, at(10, 8, 0)).await.unwrap();
    assert_eq!((status.state, status.next_run, status.overdue_since), (ConnectorState::Running, at(11, 2, 0), None));
}
