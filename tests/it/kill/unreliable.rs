//! A disk whose every operation fails: it can't be synchronised, is full, read-only, or breaks. A small library that is
//! loaded before the C library makes it fail, so that the ledger's SQLite meets it too.

use std::path::PathBuf;
use std::process::Output;
use std::sync::LazyLock;

use super::{Trial, reported};
use crate::preload;

/// The library, built once for this process.
pub(super) fn library() -> &'static PathBuf {
    static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| preload::library("kill/unreliable_disk.c"));
    &LIBRARY
}

/// A fault: the operation, its error number, and the part of the path that it is for.
type Fault = (&'static str, u8, &'static str);

const EIO: u8 = 5;
const ENOSPC: u8 = 28;
const EROFS: u8 = 30;

const AREAS: [&str; 4] = ["/staging/", "/mailboxes/", "ledger.db", "ledger.db-wal"];
const ERRORS: [(&str, u8); 6] =
    [("sync", EIO), ("write", ENOSPC), ("write", EIO), ("create", EROFS), ("create", ENOSPC), ("name", EIO)];

fn run(trial: &Trial, fault: Fault, skip: u32, times: u32) -> Output {
    let (operation, error, part) = fault;
    let mut command = trial.command(&["run", "--once"]);
    command.env("DISK_FAULT", format!("{operation}:{error}:{part}:{skip}:{times}"));
    command.env("LD_PRELOAD", library()).output().unwrap()
}

/// A run on a disk that fails, then runs on one that works.
async fn survives(seed: u64, fault: Fault, skip: u32, times: u32) {
    let trial = Trial::new(seed);
    let what = format!("seed {seed}: {fault:?} after {skip}, {times} times");
    let output = run(&trial, fault, skip, times);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{what}: {}", reported(&output));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{what}: {}", reported(&output));
    trial.finish(&what).await;
}

/// The ledger gives no names but those that its library gives.
fn has_meaning(fault: &Fault) -> bool {
    !(fault.0 == "name" && fault.2.contains("ledger"))
}

fn faults() -> impl Iterator<Item = Fault> {
    let all = AREAS.into_iter().flat_map(|area| ERRORS.map(|(operation, error)| (operation, error, area)));
    all.filter(has_meaning)
}

#[tokio::test]
async fn a_disk_that_fails_once_or_for_good_loses_nothing() {
    // Every other one here, all of them in the long test.
    for (seed, fault) in (0..).zip(faults().step_by(2)) {
        let (skip, times) = [(0, u32::MAX), (9, 3), (2, 1), (5, u32::MAX)][seed as usize % 4];
        survives(seed, fault, skip, times).await;
    }
}

#[tokio::test]
async fn a_ledger_that_cannot_be_synchronised_stops_everything() {
    let trial = Trial::new(4);
    let output = run(&trial, ("sync", EIO, "ledger.db-wal"), 1, u32::MAX);
    assert_eq!(output.status.code(), Some(1), "{}", reported(&output));
    assert!(!trial.directory.path().join("mailboxes").exists(), "nothing is sent that can't be recorded");
    trial.finish("the ledger could not be synchronised").await;
}

#[tokio::test]
async fn staging_that_cannot_be_synchronised_sends_nothing() {
    let trial = Trial::new(5);
    let output = run(&trial, ("sync", EIO, "/staging/windows/"), 0, u32::MAX);
    assert_eq!(output.status.code(), Some(1), "{}", reported(&output));
    assert!(!trial.directory.path().join("mailboxes").exists(), "nothing is sent that isn't staged");
    trial.finish("staging could not be synchronised").await;
}

#[tokio::test]
#[ignore = "every fault at many moments takes minutes: tests/long.sh"]
async fn a_disk_that_fails_at_many_moments_loses_nothing() {
    let mut seed = 1000;
    for fault in faults() {
        for (skip, times) in [(0, 1), (1, 1), (3, 2), (7, 1), (15, 4), (30, 1), (60, 9), (0, u32::MAX), (20, u32::MAX)]
        {
            survives(seed, fault, skip, times).await;
            seed += 1;
        }
    }
    println!("siege: {} runs on a disk that fails (seeds from 1000), nothing lost, nothing doubled", seed - 1000);
}
