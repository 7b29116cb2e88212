//! Users who leave, or whose address somebody else has: what waits for them waits, and each run says so.

use super::files_for;
use crate::daemon::bench::{ANA, Files, archive_of};
use crate::daemon::process::{Ended, Process};

const COPIES: i64 = 3;

fn run(files: &Files) -> Ended {
    Process::start(files, &["run", "--once"]).end()
}

/// A process died while it sent copies to Ana, which so may be there; and Ana isn't in the list of users any more. No run
/// changes anything in that, so nothing but the run itself is new.
#[test]
fn every_run_says_that_a_mailbox_is_lost_and_what_waits_for_it() {
    let server = archive_of(COPIES);
    let files = files_for(&server, "24h", "");
    let fail_point = [("WHATSAPP_ARCHIVER_FAIL_AT", "intent-recorded:1")];
    let died = Process::with_environment(&files, &["run", "--once"], &fail_point).end();
    assert_eq!(died.status.code(), None, "run this with --features fail-points");
    let users = std::fs::read_to_string(files.path("users.csv")).unwrap();
    files.write("users.csv", &users.replace(&format!("{ANA}\n"), ""));
    for number in 1..=3 {
        let ended = run(&files);
        assert_eq!(ended.status.code(), Some(1), "run {number}");
        let told = ended.events("mailbox_lost");
        assert_eq!(told.len(), 1, "run {number}: {:#?}", ended.log);
        assert_eq!((&told[0]["mailbox"], &told[0]["copies"]), (&ANA.into(), &COPIES.into()), "run {number}");
    }
    assert_eq!(files.archived(ANA), [0; 0]);

    files.write("users.csv", &users);
    let ended = run(&files);
    assert!(ended.status.success() && ended.events("mailbox_lost").is_empty(), "{:#?}", ended.log);
    assert_eq!(files.archived(ANA), (1..=COPIES).collect::<Vec<i64>>());
}
