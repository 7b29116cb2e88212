//! The disk fails: a path that is no directory, a file that can't be made, a limit that is reached. What can't be written
//! is told, nothing is lost, and the next run on a fixed disk completes the work.

use std::fs;
use std::process::{Command, Output, Stdio};

use super::{Trial, reported};

fn fails(output: &Output, telling: &str) {
    assert_eq!(output.status.code(), Some(1), "{}", reported(output));
    let all = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(all.contains(telling), "it tells of {telling:?}: {}", reported(output));
    assert!(!all.contains("panicked"), "{}", reported(output));
}

#[tokio::test]
async fn mailboxes_that_cannot_be_made_leave_everything_pending() {
    let trial = Trial::new(1);
    let root = trial.directory.path().join("mailboxes");
    fs::write(&root, "a file").unwrap();
    fails(&trial.run(), "incomplete");
    fails(&trial.run(), "incomplete");
    fs::remove_file(&root).unwrap();
    trial.finish("the mailboxes' directory was a file").await;
}

#[tokio::test]
async fn one_mailbox_that_cannot_be_made_stalls_no_other() {
    let trial = Trial::new(2);
    let root = trial.directory.path().join("mailboxes");
    fs::create_dir(&root).unwrap();
    let (address, held) = trial.export.expected.iter().next().unwrap();
    let broken = root.join(address);
    fs::write(&broken, "a file").unwrap();
    fails(&trial.run(), "incomplete");
    fs::remove_file(&broken).unwrap();
    let found = crate::oracle::ids(&crate::oracle::read_maildirs(&root));
    let others: usize = found.values().map(Vec::len).sum();
    let all: usize = trial.export.expected.values().map(Vec::len).sum();
    assert_eq!(others, all - held.len());
    trial.finish("a mailbox was a file").await;
}

#[tokio::test]
async fn staging_that_cannot_be_made_fails_the_run_before_anything_is_imported() {
    let trial = Trial::new(3);
    let staging = trial.directory.path().join("staging");
    fs::write(&staging, "a file").unwrap();
    fails(&trial.run(), "staging");
    assert!(!trial.directory.path().join("mailboxes").exists());
    let report = trial.command(&["report"]).output().unwrap();
    assert!(String::from_utf8_lossy(&report.stdout).contains("failed"), "{}", reported(&report));
    fs::remove_file(&staging).unwrap();
    trial.finish("staging was a file").await;
}

#[tokio::test]
async fn a_ledger_that_cannot_be_written_stops_everything() {
    let trial = Trial::new(4);
    let log_of_writes = trial.directory.path().join("ledger.db-wal");
    fs::create_dir(&log_of_writes).unwrap();
    fails(&trial.run(), "ledger");
    assert!(!trial.directory.path().join("mailboxes").exists());
    fs::remove_dir(&log_of_writes).unwrap();
    trial.finish("the ledger could not be written").await;
}

/// A file that would get longer than so many kilobytes isn't written, as on a disk that is full.
fn run_with_full_disk(trial: &Trial, kilobytes: u32) -> Output {
    let program = trial.command(&["run", "--once"]);
    Command::new("bash")
        .arg("-c")
        .arg(format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$@\""))
        .arg("bash")
        .arg(program.get_program())
        .args(program.get_args())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[tokio::test]
async fn a_disk_that_is_full_loses_nothing() {
    for (seed, kilobytes) in [(5, 8), (6, 96), (7, 160), (8, 224), (9, 300)] {
        let trial = Trial::new(seed);
        let output = run_with_full_disk(&trial, kilobytes);
        assert_eq!(output.status.code(), Some(1), "{kilobytes} KB: {}", reported(&output));
        assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{}", reported(&output));
        trial.finish(&format!("the disk was full at {kilobytes} KB a file")).await;
    }
}
