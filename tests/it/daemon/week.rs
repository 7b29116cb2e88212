//! A week of daily runs, with days on which the daemon or the archive was away: everything arrives, once.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};
use whatsapp_archiver::ledger::RunStatus;
use whatsapp_archiver::report::Report;

use super::bench::{ANA, Bench, at, numbered};
use crate::servers::telemessage::{ArchivedItem, Fault};

/// A generator of numbers that are the same each time (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        i64::try_from((mixed ^ (mixed >> 31)) % bound.unsigned_abs()).unwrap()
    }
}

/// Items received at any time of the days, in the order of their numbers; every other one shows up to a day late.
fn items_of(from: DateTime<Utc>, to: DateTime<Utc>, count: i64) -> Vec<ArchivedItem> {
    let mut dice = Dice(20_261_121);
    let span = (to - from).num_milliseconds();
    let mut times: Vec<i64> = (0..count).map(|_| dice.below(span)).collect();
    times.sort_unstable();
    let mut item = |(number, offset): (i64, i64)| {
        let received = from + Duration::milliseconds(offset);
        let late = if number % 2 == 0 { 0 } else { dice.below(Duration::hours(24).num_milliseconds()) };
        numbered(number, received).visible_from(received + Duration::milliseconds(late))
    };
    (1..).zip(times).map(&mut item).collect()
}

/// The items that a run with this report found late: it is the first one that could see them, though they belong before it.
fn late_in(items: &[ArchivedItem], reports: &[Report], this: &Report) -> u64 {
    let sees = |report: &Report, item: &ArchivedItem| {
        report.window.is_some_and(|window| {
            item.received < window.to
                && item.visible_from <= report.started
                && item.received >= window.from - Duration::hours(24)
        })
    };
    let late = items.iter().filter(|item| {
        sees(this, item)
            && this.window.is_some_and(|window| item.received < window.from)
            && item.received >= at(9, 1, 55)
            && !reports.iter().any(|other| other.started < this.started && sees(other, item))
    });
    late.count() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_week_with_outages_loses_nothing_and_doubles_nothing() {
    let bench = Bench::new(at(10, 2, 0), r#"at = "02:00""#);
    let items = items_of(at(8, 0, 0), at(20, 0, 0), 400);
    bench.server.add(items.clone());

    // Three days as they should be.
    let mut daemon = bench.start().await;
    assert_eq!(bench.watermark().await, Some(at(10, 1, 55)), "the first run was at once");
    for day in 11..=12 {
        let due = bench.rest(&mut [&mut daemon]).await;
        assert_eq!(due, at(day, 2, 0));
        assert_eq!(bench.pass_until(due, &mut daemon).await, at(day + 1, 2, 0));
        assert_eq!(bench.watermark().await, Some(at(day, 1, 55)));
    }

    // The daemon is away for two days. It is overdue when it comes back, and catches up in steps of a day.
    daemon.stop().await;
    bench.time.pass_until(at(14, 13, 37));
    let asked_before = bench.server.page_requests().len();
    let mut daemon = bench.start().await;
    let asked: Vec<_> = bench.server.page_requests().split_off(asked_before);
    let mut spans: Vec<(i64, i64)> = Vec::new();
    for request in asked.iter().filter(|request| request.limit > 0) {
        let span = (request.from_date, request.to_date);
        assert!(spans.last() == Some(&span) || request.last_id == 0, "each window begins at cursor 0");
        spans.push(span);
        spans.dedup();
    }
    let expected = [(at(11, 1, 55), at(13, 1, 55)), (at(13, 1, 55), at(14, 1, 55)), (at(14, 1, 55), at(14, 13, 32))];
    assert_eq!(spans, expected.map(|(from, to)| (from.timestamp_millis(), to.timestamp_millis())));
    assert_eq!(bench.rest(&mut [&mut daemon]).await, at(15, 2, 0), "then it keeps to its time of day again");

    // The archive is away for two days. Failed runs are tried again after 15 minutes, doubling, up to 4 hours.
    bench.pass_until(at(15, 2, 0), &mut daemon).await;
    bench.server.set_outage(Some(Fault::Status(503)));
    let mut due = bench.pass_until(at(16, 2, 0), &mut daemon).await;
    let mut pauses = Vec::new();
    while due < at(18, 2, 0) {
        pauses.push((due - bench.now()).num_minutes());
        due = bench.pass_until(due, &mut daemon).await;
        assert_eq!(bench.watermark().await, Some(at(15, 1, 55)), "what was not read is not passed over");
    }
    assert_eq!(pauses[..6], [15, 30, 60, 120, 240, 240]);
    assert!(pauses[6..].iter().all(|pause| *pause == 240), "{pauses:?}");
    bench.server.set_outage(None);
    let failed = bench.status().await;
    assert_eq!(failed.state.to_string(), "failed");
    assert!(failed.remotes["source"].detail.is_some());
    due = bench.pass_until(due, &mut daemon).await;
    assert_eq!(due, at(19, 2, 0));
    assert!(bench.status().await.remotes["source"].ok);

    for day in 19..=21 {
        bench.pass_until(at(day, 2, 0), &mut daemon).await;
    }
    daemon.stop().await;
    assert_eq!(bench.watermark().await, Some(at(21, 1, 55)));

    // Everything since the beginning of the first window is there, once.
    let begin = at(9, 1, 55);
    let expected: Vec<i64> = items.iter().filter(|item| item.received >= begin).map(|item| item.id).collect();
    assert_eq!(bench.files.archived(ANA), expected);
    assert!(expected.len() < items.len(), "some items are older than the first window");

    let (runs, ledger) = (bench.runs().await, bench.ledger().await);
    let mut reports = Vec::new();
    for run in &runs {
        reports.push(Report::of(&ledger, run).await.unwrap());
    }
    let read: Vec<Report> = reports.iter().filter(|report| report.status == RunStatus::Complete).cloned().collect();
    let found: u64 = read.iter().map(|report| report.items.available_from_source).sum();
    assert_eq!(found, expected.len() as u64);
    for report in &read {
        assert_eq!(report.items.late, late_in(&items, &read, report), "run at {}", report.started);
    }
    assert!(read.iter().map(|report| report.items.late).sum::<u64>() > 50);
    let ends: BTreeSet<_> = read.iter().filter_map(|report| report.window).map(|window| window.to).collect();
    assert_eq!(ends.len(), read.len(), "no run read what another had finished");
}
