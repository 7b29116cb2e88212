//! The ledger's rows.

use super::{Case, Heard, Staged, Town, case, place};
use crate::kill::unreliable_disk;
use crate::servers::graph::GraphServer;

/// The disk of the ledger is full in the middle of a run.
async fn full_disk() -> Heard {
    for skip in [100, 200, 400, 800] {
        let heard = full_disk_after(skip).await;
        if heard.lines.iter().any(|line| line["event"] == "page_staged") {
            return heard;
        }
    }
    panic!("the disk is full before anything is staged");
}

/// The disk of the ledger is full after so many writes.
async fn full_disk_after(skip: u32) -> Heard {
    let site = place(Town::Maildirs, Staged::Locally);
    let mut command = site.run_once();
    command.env("DISK_FAULT", format!("write:28:ledger.db-wal:{skip}:{}", u32::MAX));
    command.env("LD_PRELOAD", unreliable_disk());
    Heard::of(command).await
}

/// Another process has taken the run over, as it does when this one stood still for too long. It finds that out when it renews
/// its leases, a few seconds later, while its requests are without an answer.
async fn another_process_took_over() -> Heard {
    let site = place(Town::graph(GraphServer::start(), "create-message"), Staged::Locally);
    let tenant = site.town.tenant();
    tenant.hold();
    let running = tokio::spawn(Heard::of(site.run_once()));
    tenant.wait_for_in_flight(1).await;
    let pool = sqlx::SqlitePool::connect(site.ledger()).await.unwrap();
    sqlx::query("UPDATE leases SET holder = 'another'").execute(&pool).await.unwrap();
    running.await.unwrap()
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "LedgerError::Database",
            "a full disk in the middle of a run",
            "run_not_accounted",
            &["the ledger failed", "full", "is its disk full"],
            || Box::pin(full_disk()),
        ),
        case(
            "LedgerError::LeaseLost",
            "a process that another took for dead",
            "run_finished",
            &["was lost to another process", "Nothing needs to be done unless it happens again"],
            || Box::pin(another_process_took_over()),
        ),
    ]
}
