//! Peers that never fall silent and never get done: each holds up what is its own, for a bounded time, and a run that doesn't get
//! further is told of.

use std::time::{Duration, Instant};

use whatsapp_archiver::clock::{Clock as _, SystemClock};

use super::time::Time;
use super::{files_for, get, http_section, until};
use crate::daemon::bench::{ANA, Files, archive_of, numbered};
use crate::daemon::process::{self, Ended, Process};
use crate::servers::imap_script::{ImapScript, Script};
use crate::servers::telemessage::{Fault, MediaFault, PageFault};

/// A minute passes in a second.
const FASTER: u32 = 60;

#[test]
fn an_attachment_that_drips_holds_up_its_own_item_alone() {
    let server = archive_of(0);
    let received = |number: i64| SystemClock.now() - chrono::Duration::minutes(30) + chrono::Duration::seconds(number);
    let bytes = vec![7; 100_000];
    server.add([numbered(1, received(1)).attachment("a.bin", "application/octet-stream", bytes)]);
    server.add((2..=20).map(|number| numbered(number, received(number))));
    for _ in 0..100 {
        server.fail_attachment(1, 0, MediaFault::Drip);
    }
    let files = files_for(&server, "24h", "");
    files.change_config("[ledger]", "[ledger]\nlease = \"1h\"");
    let ended = Time::faster(FASTER).start(&files, &["run", "--once"]).end();
    assert_eq!(files.archived(ANA), (2..=20).collect::<Vec<i64>>());
    let told = ended.events("attachment_unavailable");
    assert!(told.iter().any(|line| line["item.id"] == 1 && line["error"].to_string().contains("too slow")), "{told:?}");
    assert_eq!(ended.events("run_finished")[0]["run.status"], "incomplete");

    server.heal();
    process::command_output(&files, &["run", "--once"]);
    assert_eq!(files.archived(ANA), (1..=20).collect::<Vec<i64>>());
}

/// A program whose copies go to this IMAP server.
fn files_to(imap: &ImapScript, source: &str) -> Files {
    let files = Files::new();
    files.write_mapping(&[("15550100", ANA), ("15550101", "ben.ito@contoso.example")]);
    files.write_config(source, "settle = \"0s\"", crate::daemon::bench::LOCAL_STAGING);
    files.change_config(
        "kind = \"maildir\"\n                path = \"mailboxes/\"",
        &format!(
            "kind = \"imap\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nauth = \"password\"\n\
             password = {{ file = \"password\" }}\nlogin = \"{{mailbox}}*archiver\"",
            imap.port
        ),
    );
    files.change_config("[ledger]", "[ledger]\nlease = \"10m\"");
    files
}

/// Runs while the first connection that gets there is talked to without end; then again.
async fn assert_holds_up_one_mailbox(place: &'static str) {
    const ITEMS: usize = 10;
    let script = Script {
        capabilities: "IMAP4rev1 AUTH=PLAIN SASL-IR LITERAL+ UIDPLUS",
        drips_at: Some(place),
        drips: 1,
        ..Script::default()
    };
    let (server, imap) = (archive_of(ITEMS as i64), ImapScript::start(script).await);
    let files = files_to(&imap, &server.base_url());
    let run = |files: &Files| -> Ended {
        tokio::task::block_in_place(|| Time::faster(FASTER).start(files, &["run", "--once"]).end())
    };
    let begun = Instant::now();
    let ended = run(&files);
    assert!(begun.elapsed() < Duration::from_secs(30), "{place}: {:?}", begun.elapsed());
    let finished = ended.events("run_finished")[0];
    assert_eq!(finished["run.status"], "incomplete", "{place}: {finished}");
    assert_eq!(finished["deliveries.pending"], ITEMS, "{place}: the others are not held up: {finished}");
    assert_eq!(imap.kept(), ITEMS, "{place}");
    let ended = run(&files);
    assert_eq!(ended.events("run_finished")[0]["run.status"], "complete", "{place}: {:#?}", ended.log);
    assert_eq!(imap.kept(), 2 * ITEMS, "{place}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_greeting_that_drips_holds_up_one_mailbox_alone() {
    assert_holds_up_one_mailbox("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_that_drips_holds_up_one_mailbox_alone() {
    assert_holds_up_one_mailbox("AUTHENTICATE").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_drips_holds_up_one_mailbox_alone() {
    assert_holds_up_one_mailbox("APPEND").await;
}

/// The source answers with half a page each time, for longer than a run may stand still.
#[test]
fn a_run_that_gets_no_further_is_told_of_and_is_not_ready() {
    let server = archive_of(30);
    server.fail_page(PageFault::Wrapped);
    (0..1000).for_each(|_| server.fail_page(PageFault::Stall));
    let (address, http) = http_section();
    let files = files_for(&server, "24h", &http);
    files.change_config("attempts = 1", "attempts = 100\ninitial = \"1s\"\nmax = \"2s\"");
    files.change_config("[ledger]", "[ledger]\nlease = \"1h\"");
    let mut daemon: Process = Time::faster(120).start(&files, &["run"]);
    let stalled = daemon.wait_for("run_stalled");
    assert!(stalled["level"] == "WARN" && stalled["seconds"].as_i64().unwrap() >= 600, "{stalled}");
    let gauge = |value: u8| get(address, "/metrics").1.contains(&format!("whatsapp_archiver_run_stalled {value}\n"));
    until("the metric says so", || gauge(1));
    assert_eq!((get(address, "/readyz").0, get(address, "/livez").0), (503, 200));

    server.heal();
    daemon.wait_for("run_goes_on");
    assert_eq!(daemon.wait_for("run_finished")["run.status"], "complete");
    until("it is ready again", || gauge(0) && get(address, "/readyz").0 == 200);
    assert_eq!(files.archived(ANA).len(), 30);
    assert!(daemon.end_by("TERM").status.success());
}

/// The overlap is read again, one known item a minute.
#[test]
fn a_source_that_says_slowly_what_is_known_is_told_of() {
    let server = archive_of(30);
    let (address, http) = http_section();
    let files = files_for(&server, "15m", &http);
    files.change_config("attempts = 1", "attempts = 3");
    files.change_config("page_size = 50", "page_size = 1");
    files.change_config("[ledger]", "[ledger]\nlease = \"1h\"");
    process::command_output(&files, &["run", "--once"]);
    // The log-in, then each page.
    (0..31).for_each(|_| {
        server.fail_page(PageFault::Wrapped);
        server.fail_page(Fault::RetryAfter(429, "60".to_owned()));
    });
    let mut daemon: Process = Time::faster(120).start(&files, &["run"]);
    daemon.wait_for("run_started");
    let stalled = daemon.wait_for_line("stall before the end", |line| {
        line["event"] == "run_stalled" || line["event"] == "run_finished"
    });
    assert_eq!(stalled["event"], "run_stalled", "{stalled}");
    until("it isn't ready", || get(address, "/readyz").0 == 503);
    assert_eq!(daemon.wait_for("run_finished")["run.status"], "complete");
    until("it is ready again", || get(address, "/readyz").0 == 200);
    assert_eq!(files.archived(ANA), (1..=30).collect::<Vec<i64>>());
    assert!(daemon.end_by("TERM").status.success());
}
