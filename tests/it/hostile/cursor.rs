//! A source that says wrongly where its next page begins.

use whatsapp_archiver::clock::{Clock as _, SystemClock};

use super::files_for;
use crate::daemon::bench::{ANA, Files, archive_of, numbered};
use crate::daemon::process::{self, Process};
use crate::servers::telemessage::{PageFault, TeleMessageServer};

/// Small pages.
fn files(server: &TeleMessageServer) -> Files {
    let files = files_for(server, "24h", "");
    files.change_config("page_size = 50", "page_size = 3");
    files
}

#[test]
fn a_last_id_far_beyond_its_page_passes_over_nothing() {
    let server = archive_of(20);
    // The log-in and two pages as they should be.
    for fault in [PageFault::Wrapped, PageFault::Wrapped, PageFault::Wrapped, PageFault::LastId(Some(i64::MAX))] {
        server.fail_page(fault);
    }
    let files = files(&server);
    process::command_output(&files, &["run", "--once"]);
    assert_eq!(server.faults_left(), 0, "the fault was met");
    assert_eq!(files.archived(ANA), (1..=20).collect::<Vec<i64>>());
    assert_eq!(server.page_requests().len(), 8, "the log-in and each page, once");
}

/// Runs once while each page is spoilt like this, the n-th one with n; then once more, when all is well.
fn assert_ends_soon(items: i64, fault: impl Fn(i64) -> PageFault, says: &str) {
    let server = archive_of(items);
    server.fail_page(PageFault::Wrapped);
    (1..=1000).for_each(|page| server.fail_page(fault(page)));
    let files = files(&server);
    let ended = Process::start(&files, &["run", "--once"]).end();
    assert_eq!(ended.status.code(), Some(1));
    let asked = server.page_requests().len();
    assert!(asked < 40, "{asked} requests");
    let finished = ended.events("run_finished")[0];
    assert_eq!(finished["run.status"], "failed");
    let error = finished["error"].as_str().unwrap();
    assert!(error.contains("breaks its contract") && error.contains(says), "{error}");

    server.heal();
    server.add([numbered(900, SystemClock.now() - chrono::Duration::minutes(20))]);
    process::command_output(&files, &["run", "--once"]);
    assert_eq!(files.archived(ANA), (1..=items).chain([900]).collect::<Vec<i64>>());
}

#[test]
fn pages_of_nothing_that_never_end_are_left() {
    assert_ends_soon(0, |page| PageFault::LastId(Some(page)), "no items");
}

/// It can be read, and may be known: only its number says that reading gets no further.
const FAR_AWAY: &str = r#"{"id":9007199254740991,"body":[]}"#;

#[test]
fn one_item_that_comes_again_and_again_is_left() {
    let page = |page| PageFault::Items(vec![FAR_AWAY.to_owned()], page);
    assert_ends_soon(5, page, "no item up to its lastId");
}

#[test]
fn one_item_that_comes_again_and_again_beside_one_without_a_number_is_left() {
    let page = |page| PageFault::Items(vec![FAR_AWAY.to_owned(), r#"{"id":"none"}"#.to_owned()], page);
    assert_ends_soon(5, page, "pages in a row");
}

#[test]
fn pages_without_numbers_that_never_end_are_left() {
    assert_ends_soon(5, PageFault::Unnumbered, "pages in a row");
}
