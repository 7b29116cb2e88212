//! More than anybody asked for: memory and log stay bounded, the rest goes on, and whoever asks the program to end is obeyed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use whatsapp_archiver::clock::{Clock as _, SystemClock};

use super::{files_for, microsoft_section, until};
use crate::daemon::bench::{ANA, Files, archive_of, numbered};
use crate::daemon::process::{self, Ended, Process};
use crate::servers::plain_http;
use crate::servers::telemessage::{ArchivedItem, PageFault, Who, who};

/// Far less than what comes would take; an ordinary run takes some 60 MiB.
const MAX_MEMORY: u64 = 256 << 10;

/// The most lines, and bytes, of the log of a run.
const MAX_LINES: usize = 60;
const MAX_LOG: usize = 60_000;

/// Runs once within the bounds.
fn bounded_run(files: &Files) -> Ended {
    let process = Process::start(files, &["run", "--once"]);
    let memory = process.watch_memory();
    let ended = process.end();
    let (peak, bytes) = (memory.join().unwrap(), ended.log.iter().map(|line| line.to_string().len()).sum::<usize>());
    assert!((1..MAX_MEMORY).contains(&peak), "{peak} KiB");
    assert!(ended.log.len() <= MAX_LINES && bytes <= MAX_LOG, "{} lines, {bytes} bytes", ended.log.len());
    ended
}

#[test]
fn a_page_of_half_a_million_entries_is_bounded_and_told() {
    let server = archive_of(8);
    server.fail_page(PageFault::Wrapped);
    let entries = vec!["{\"a\":0}"; 520_000].join(",");
    (0..12).for_each(|_| server.fail_page(PageFault::WithItem(entries.clone())));
    let files = files_for(&server, "24h", "");
    files.change_config("page_size = 50", "page_size = 8");
    let ended = bounded_run(&files);
    assert_eq!(ended.status.code(), Some(1));
    let finished = ended.events("run_finished")[0];
    assert!(finished["error"].as_str().unwrap().contains("more than 10000 items"), "{finished}");

    server.heal();
    process::command_output(&files, &["run", "--once"]);
    assert_eq!(files.archived(ANA), (1..=8).collect::<Vec<i64>>());
}

fn received() -> chrono::DateTime<chrono::Utc> {
    SystemClock.now() - chrono::Duration::minutes(10)
}

fn people(count: usize, name: &str) -> Vec<Who> {
    let person = |n| who(&format!("1777{n:08}")).with_email(&format!("{name}{n}@contoso.example"));
    (0..count).map(person).collect()
}

#[test]
fn an_item_of_300_000_recipients_fails_alone() {
    let server = archive_of(8);
    let recipients: Vec<String> = (0..300_000).map(|n| format!(r#"{{"value":"1777{n:08}","type":"PHONE"}}"#)).collect();
    let item = numbered(900, received()).field("recipients", "THEM").json();
    let item = item.replace("\"THEM\"", &format!("[{}]", recipients.join(",")));
    server.add([ArchivedItem::verbatim(900, received(), &item)]);
    let files = files_for(&server, "24h", "");
    let ended = bounded_run(&files);
    assert_eq!(ended.status.code(), Some(0), "{:#?}", ended.log);
    let told = ended.events("item_failed");
    assert!(told.len() == 1 && told[0].to_string().contains("300000 recipients"), "{told:?}");
    assert_eq!(files.archived(ANA), (1..=8).collect::<Vec<i64>>());
}

/// A Microsoft Graph that knows nobody, and takes its time to say so.
fn slow_graph() -> (String, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&asked);
    let address = plain_http::http_server(move |request| {
        if request.path.ends_with("/token") {
            return (200, Vec::new(), json!({"access_token": "a-token", "expires_in": 3600}).to_string());
        }
        count.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_secs(1));
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let parts: Vec<Value> = body["requests"].as_array().into_iter().flatten().map(nobody).collect();
        (200, vec![("content-type", "application/json".to_owned())], json!({"responses": parts}).to_string())
    });
    (address, asked)
}

fn nobody(part: &Value) -> Value {
    json!({"id": part["id"], "status": 404, "headers": {}, "body": {"error": {"code": "Request_ResourceNotFound", "message": ""}}})
}

#[test]
fn a_stop_in_the_middle_of_20_000_slow_look_ups_takes_seconds() {
    let server = archive_of(0);
    let ana = who("15550100");
    for (number, name) in [(1, "first"), (2, "second")] {
        server.add([ArchivedItem::message(number, received()).between(&ana, &ana, &people(9_990, name))]);
    }
    let (graph, asked) = slow_graph();
    let files = files_for(&server, "24h", &microsoft_section(&format!("http://{graph}")));
    files.change_config("kind = \"list\"\n                path = \"users.csv\"", "kind = \"graph\"");
    files.change_config("automatic = false", "automatic = true");
    let mut daemon = Process::start(&files, &["run"]);
    daemon.wait_for("page_staged");
    until("people are looked up", || asked.load(Ordering::SeqCst) >= 8);
    let ended = daemon.end_by("TERM");
    assert!(ended.status.success());
    assert!(ended.after < Duration::from_secs(10), "{:?}", ended.after);
    assert!(ended.events("stopped_at_once").is_empty(), "the run ended by itself");
    assert!(asked.load(Ordering::SeqCst) < 900, "it was in the middle");
}
