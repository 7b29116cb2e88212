//! The program is killed at every named point and at random moments, and its disk fails; then it runs again, and each
//! mailbox must hold exactly what belongs in it, and the books must balance.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use tempfile::TempDir;
use whatsapp_archiver::failpoint;

use crate::export_folder::ExportFolder;
use crate::oracle::{self, books};

mod disk;
mod panics;
mod power_cut;
mod unreliable;

const MESSAGES: i64 = 120;

/// An export, and the program's data beside it.
struct Trial {
    directory: TempDir,
    export: ExportFolder,
}

impl Trial {
    fn new(seed: u64) -> Self {
        assert!(has_fail_points(), "run these tests with --features fail-points");
        let directory = TempDir::new().unwrap();
        let export = ExportFolder::write(directory.path(), MESSAGES, seed);
        Self { directory, export }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_whatsapp-archiver"));
        command.arg("--config").arg(self.directory.path().join("config.toml")).args(arguments);
        command.env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    fn run(&self) -> Output {
        self.run_once().output().unwrap()
    }

    fn run_once(&self) -> Command {
        self.command(&["run", "--once"])
    }

    /// Runs until everything has its outcome, then judges.
    async fn finish(&self, what: &str) {
        let output = self.run();
        assert!(output.status.success(), "{what}: {}", reported(&output));
        let again = self.run();
        assert!(again.status.success(), "{what}: {}", reported(&again));
        self.judge(what).await;
    }

    /// Each mailbox holds what belongs in it, once; every item has its outcome; every copy is in one report.
    async fn judge(&self, what: &str) {
        let found = oracle::ids(&oracle::read_maildirs(&self.directory.path().join("mailboxes")));
        assert_eq!(found, self.export.expected, "{what}");
        let copies: usize = found.values().map(Vec::len).sum();
        let ledger = format!("sqlite://{}", self.directory.path().join("ledger.db").display());
        let books = books::audit(&ledger, what).await;
        assert_eq!(books.copies, copies as u64, "{what}: each copy counts in one report");
        assert_eq!(books.items, self.export.items, "{what}: each item counts in one report");
    }
}

/// The library that makes a process's disk fail, for `LD_PRELOAD`; `DISK_FAULT` says how.
pub(crate) fn unreliable_disk() -> &'static std::path::PathBuf {
    unreliable::library()
}

pub(crate) fn has_fail_points() -> bool {
    cfg!(feature = "fail-points")
}

/// Kills a process when a point is passed for the n-th time. False where it ended before that.
pub(crate) fn kill_at(mut command: Command, point: &str, count: u32) -> bool {
    let output = command.env("WHATSAPP_ARCHIVER_FAIL_AT", format!("{point}:{count}")).output().unwrap();
    assert!(matches!(output.status.code(), None | Some(0)), "{}", reported(&output));
    output.status.code().is_none()
}

/// Kills a process after its n-th line of log. False where it ended before that.
pub(crate) fn kill_after(mut command: Command, lines: usize) -> bool {
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
    let ended = log.by_ref().take(lines).map_while(Result::ok).count() < lines;
    process.kill().unwrap();
    process.wait().unwrap();
    !ended
}

pub(crate) fn reported(output: &Output) -> String {
    let log = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = log.lines().rev().take(12).collect();
    format!("{}\n{}\n{}", output.status, String::from_utf8_lossy(&output.stdout), last.join("\n"))
}

fn dice(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

async fn killed_at(point: &str) {
    for count in [1, 2, 5] {
        let trial = Trial::new(u64::from(count));
        let killed = kill_at(trial.run_once(), point, count);
        assert!(killed || count > 1, "the point {point} is passed in a run");
        trial.finish(&format!("{point}:{count}")).await;
    }
}

#[test]
fn every_point_has_its_test() {
    let tested = [
        failpoint::PAGE_STAGED,
        failpoint::PAGE_RECORDED,
        failpoint::WINDOW_READ,
        failpoint::INTENT_RECORDED,
        failpoint::BATCH_IMPORTED,
        failpoint::OUTCOMES_RECORDED,
        failpoint::ACCOUNT_FROZEN,
    ];
    assert_eq!(tested, failpoint::ALL);
}

#[tokio::test]
async fn killed_when_a_page_is_staged() {
    killed_at(failpoint::PAGE_STAGED).await;
}

#[tokio::test]
async fn killed_when_a_page_is_recorded() {
    killed_at(failpoint::PAGE_RECORDED).await;
}

#[tokio::test]
async fn killed_when_a_window_is_read() {
    killed_at(failpoint::WINDOW_READ).await;
}

#[tokio::test]
async fn killed_when_intents_are_recorded() {
    killed_at(failpoint::INTENT_RECORDED).await;
}

#[tokio::test]
async fn killed_when_a_batch_is_imported() {
    killed_at(failpoint::BATCH_IMPORTED).await;
}

#[tokio::test]
async fn killed_when_outcomes_are_recorded() {
    killed_at(failpoint::OUTCOMES_RECORDED).await;
}

#[tokio::test]
async fn killed_when_the_account_is_frozen() {
    killed_at(failpoint::ACCOUNT_FROZEN).await;
}

#[tokio::test]
async fn killed_again_while_it_recovers() {
    let trial = Trial::new(7);
    for (point, count) in [
        (failpoint::PAGE_STAGED, 3),
        (failpoint::BATCH_IMPORTED, 2),
        (failpoint::INTENT_RECORDED, 1),
        (failpoint::BATCH_IMPORTED, 1),
        (failpoint::OUTCOMES_RECORDED, 1),
        (failpoint::PAGE_RECORDED, 2),
        (failpoint::ACCOUNT_FROZEN, 1),
        (failpoint::ACCOUNT_FROZEN, 2),
    ] {
        kill_at(trial.run_once(), point, count);
    }
    trial.finish("killed again and again").await;
}

/// Kills runs of one export after a random number of log lines, `kills` times at the most.
async fn killed_at_random(seed: u64, kills: u32) {
    let trial = Trial::new(seed);
    let mut dice = dice(seed);
    let mut moments = Vec::new();
    for _ in 0..kills {
        let lines = 1 + dice.next_u32() as usize % 500;
        moments.push(lines);
        if !kill_after(trial.run_once(), lines) {
            break;
        }
    }
    trial.finish(&format!("seed {seed}, killed after {moments:?} lines of log")).await;
}

#[tokio::test]
async fn killed_at_random_moments() {
    for seed in 100..112 {
        killed_at_random(seed, 1).await;
    }
}

#[tokio::test]
async fn killed_at_random_moments_several_times() {
    for seed in 200..206 {
        killed_at_random(seed, 3).await;
    }
}

#[tokio::test]
#[ignore = "a thousand kills take minutes: tests/long.sh"]
async fn killed_a_thousand_times() {
    for seed in 1000..1250 {
        killed_at_random(seed, 4).await;
    }
}
