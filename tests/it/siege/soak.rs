//! Much in one run, with answers of TeleMessage that fail by chance: each item once in each mailbox, in bounded memory and time.
//!
//! Staging and mailboxes are on the disk: a model of a tenant would hold in this process what is to be bounded in the
//! other, and Maildir is the destination that asks for the least, so that the program itself is what is measured.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::mailboxes::Town;
use super::site::{Site, Staged, census};
use crate::daemon::process::peak_in;

/// One answer in so many fails: two in a hundred.
const ONE_IN: u32 = 50;

/// The most memory that the program may ever have, in KiB.
const MAX_MEMORY: u64 = 128 * 1024;

/// The longest that two hundred thousand items may take, beside whatever else the machine does.
const MAX_SECONDS: f64 = 3600.0;

/// The daemon, at work.
struct Daemon {
    process: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Daemon {
    fn start(site: &Site) -> Self {
        let mut command = site.command(&["run"]);
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap()).lines();
        Self { process, log }
    }

    /// The next line of the log that tells one of these events.
    fn next(&mut self, events: &[&str]) -> Value {
        for line in self.log.by_ref() {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if events.iter().any(|event| line["event"] == *event) {
                return line;
            }
        }
        panic!("the daemon ended before {events:?}");
    }

    /// The most memory that it ever had, in KiB.
    fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        peak_in(&status).expect("Linux tells the peak")
    }

    fn end(mut self) {
        let asked = Command::new("kill").arg(self.process.id().to_string()).status().unwrap();
        assert!(asked.success());
        // What it says until its end must not fill the pipe.
        self.log.by_ref().map_while(Result::ok).for_each(drop);
        assert!(self.process.wait().unwrap().success());
    }
}

/// What a soak measured, at so many items.
#[derive(Debug, Clone, Copy)]
struct Measured {
    items: u64,
    seconds: f64,
    kib: u64,
}

/// Archives so many messages in one run. Measures at these numbers of items, and at the end.
async fn soak(messages: i64, seed: u64, marks: &[u64]) -> Vec<Measured> {
    let mut census = census(messages, "s", seed);
    (census.employees, census.largest_file) = (20, 3_000);
    let mut site = Site::new(&census, Town::Maildirs, Staged::Locally);
    site.environment = vec![("WHATSAPP_ARCHIVER__LOG__LEVEL", "info"), ("WHATSAPP_ARCHIVER__SOURCE__PAGE_SIZE", "500")];
    site.source.fail_by_chance(seed, ONE_IN);
    let mut measured: Vec<Measured> = Vec::new();
    let mut items = 0;
    let begun = Instant::now();
    let mut daemon = Daemon::start(&site);
    loop {
        let line = daemon.next(&["page_staged", "run_finished"]);
        let now = |items| Measured { items, seconds: begun.elapsed().as_secs_f64(), kib: daemon.peak_memory() };
        if line["event"] == "run_finished" {
            assert_eq!(line["run.status"], "complete", "{line}");
            measured.push(now(items));
            break;
        }
        items += line["items.new"].as_u64().unwrap();
        if marks.get(measured.len()).is_some_and(|mark| items >= *mark) {
            measured.push(now(items));
        }
    }
    daemon.end();
    let spoilt = site.source.failed_by_chance();
    assert!(spoilt > 3, "{spoilt} answers failed");
    println!("siege: soak of {items} items, seed {seed}, {spoilt} answers failed by chance: {measured:.1?}");
    site.finish(&format!("a soak of {messages} messages")).await;
    measured
}

fn is_within_bounds(measured: &[Measured]) {
    let last = measured.last().unwrap();
    assert!(last.kib <= MAX_MEMORY, "{measured:?}");
}

#[tokio::test]
async fn thousands_of_items_in_one_run() {
    let measured = soak(4_200, 1, &[]).await;
    assert!(measured[0].items >= 5_000, "{measured:?}");
    is_within_bounds(&measured);
}

#[tokio::test]
#[ignore = "two hundred thousand items take many minutes: tests/long.sh"]
async fn two_hundred_thousand_items_in_one_run() {
    let measured = soak(168_000, 2, &[50_000]).await;
    let [quarter, whole] = measured[..] else { panic!("{measured:?}") };
    assert!(whole.items >= 200_000, "{measured:?}");
    is_within_bounds(&measured);
    assert!(whole.kib <= quarter.kib + quarter.kib / 4, "memory does not grow with the volume: {measured:?}");
    // Benchmarks tell how fast it is, on a machine that does nothing else. It doesn't stand still on any.
    assert!(whole.seconds < MAX_SECONDS, "{measured:?}");
}
