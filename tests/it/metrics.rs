//! What is counted, under which names and with which labels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use tokio_util::sync::CancellationToken;
use whatsapp_archiver::app::{App, LedgerUse, TablesUse};
use whatsapp_archiver::clock::SystemClock;
use whatsapp_archiver::config::{Config, NeededSecrets};
use whatsapp_archiver::http::{HttpClient, HttpOptions, Remote};
use whatsapp_archiver::item::ItemId;
use whatsapp_archiver::ledger::{DeliveryState, ItemNo, Outcome, PartialReason, RowReason, RunStatus};
use whatsapp_archiver::metrics::CountedPage;
use whatsapp_archiver::pipeline::RunRequest;
use whatsapp_archiver::reason::Reason;
use whatsapp_archiver::resolution::MailboxId;
use whatsapp_archiver::serve::metrics::{Exposition, MetricsPage};
use whatsapp_archiver::status::credential::{self, CredentialExpiry};

use crate::serve::seed::{Fate, SeedItem};
use crate::serve::site::{Site, header, now, text};

const DOCUMENTED: [(&str, &str, &[&str]); 38] = [
    ("items", "counter", &["outcome"]),
    ("deliveries", "counter", &["outcome", "reason"]),
    ("staged_bytes", "counter", &[]),
    ("imported_bytes", "counter", &[]),
    ("purged_windows", "counter", &[]),
    ("shrunk_items", "counter", &[]),
    ("run_stalled", "gauge", &[]),
    ("requests", "counter", &["remote", "status"]),
    ("request_seconds", "histogram", &["remote"]),
    ("throttled_seconds", "counter", &["remote"]),
    ("pending_deliveries", "gauge", &[]),
    ("held_items", "gauge", &[]),
    ("last_success_timestamp_seconds", "gauge", &[]),
    ("watermark_timestamp_seconds", "gauge", &[]),
    ("run_seconds", "gauge", &[]),
    ("build_info", "gauge", &["version", "revision"]),
    ("last_run_status", "gauge", &["status"]),
    ("last_run_timestamp_seconds", "gauge", &[]),
    ("remote_up", "gauge", &["remote"]),
    ("reload_ok", "gauge", &["input"]),
    ("held_items_by_reason", "gauge", &["reason"]),
    ("pending_deliveries_by_cause", "gauge", &["cause"]),
    ("oldest_pending_timestamp_seconds", "gauge", &[]),
    ("silent_owners", "gauge", &[]),
    ("source_silent", "gauge", &[]),
    ("books_balanced", "gauge", &[]),
    ("never_captured_messages", "gauge", &[]),
    ("owners_missing_captures", "gauge", &[]),
    ("many_items_failed", "gauge", &[]),
    ("never_captured_jump", "gauge", &[]),
    ("credential_expiry_timestamp_seconds", "gauge", &["credential"]),
    ("retries", "counter", &["remote"]),
    ("process_cpu_seconds", "counter", &[]),
    ("process_resident_memory_bytes", "gauge", &[]),
    ("process_virtual_memory_bytes", "gauge", &[]),
    ("process_open_fds", "gauge", &[]),
    ("process_max_fds", "gauge", &[]),
    ("process_start_time_seconds", "gauge", &[]),
];

/// The usual metrics of a process have their usual names.
fn prefix(name: &str) -> &'static str {
    if name.starts_with("process_") { "" } else { "whatsapp_archiver_" }
}

/// The samples of a scrape: series with their labels, and values.
struct Scrape {
    text: String,
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    async fn of(site: &Site) -> Self {
        let reply = site.get_with("/metrics", &[("accept", "application/openmetrics-text")]).await;
        assert_eq!(reply.status, StatusCode::OK);
        let content_type = header(&reply.headers, "content-type");
        assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
        Self::read(text(&reply))
    }

    fn read(text: String) -> Self {
        assert!(text.ends_with("# EOF\n"));
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.strip_prefix("whatsapp_archiver_").unwrap_or(series).to_owned(), value.parse().unwrap())
        });
        Self { samples: samples.collect(), text }
    }

    fn value(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("{series} is not in {}", self.text))
    }

    fn count(&self, series: &str) -> u64 {
        let value = self.value(series);
        assert!(value >= 0.0 && value.fract() == 0.0, "{series} is {value}");
        format!("{value:.0}").parse().unwrap()
    }

    fn has(&self, series: &str) -> bool {
        self.samples.contains_key(series)
    }
}

/// One that says when it ends, and one that doesn't.
async fn note_credentials(site: &Site) {
    let credential = |credential: &str, expires| CredentialExpiry { credential: credential.to_owned(), expires };
    let sas = credential("staging.sas", Some(now() + chrono::Duration::days(9)));
    let secret = credential("microsoft.client_secret", None);
    credential::note(&site.seed.ledger, &[sas.into(), secret.into()], now()).await.unwrap();
}

/// A request that nobody answers: the port was free a moment ago.
async fn ask_nobody(client: &HttpClient, remote: Remote) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    client.send(remote, client.get(url.parse().unwrap()), 1).await.unwrap_err();
}

#[tokio::test]
async fn names_kinds_and_labels_are_as_documented() {
    let site = Site::open().await;
    let client = HttpClient::build(&HttpOptions::default()).unwrap().observed_by(site.metrics.observer());
    client.send(Remote::Mailbox, client.get(site.url("/livez")), 1000).await.unwrap();
    let remote = r#"{"ok":false,"since":"2026-11-22T02:00:00Z","detail":"it is away"}"#;
    site.seed.ledger.set_meta("remote.mailbox", Some(remote)).await.unwrap();
    note_credentials(&site).await;
    let scrape = Scrape::of(&site).await;
    assert_eq!(scrape.count("remote_up{remote=\"mailbox\"}"), 0);
    let types: BTreeSet<&str> = scrape.text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let expected: Vec<String> =
        DOCUMENTED.iter().map(|(name, kind, _)| format!("{}{name} {kind}", prefix(name))).collect();
    assert_eq!(types, expected.iter().map(String::as_str).collect());

    for series in scrape.samples.keys() {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let documented = DOCUMENTED.iter().find(|(base, kind, _)| match *kind {
            "counter" => name.strip_suffix("_total") == Some(base),
            "histogram" => ["_bucket", "_sum", "_count"].iter().any(|end| name.strip_suffix(end) == Some(base)),
            _ => name == *base,
        });
        let (_, _, expected) = documented.unwrap_or_else(|| panic!("{series} is not documented"));
        let labels: Vec<&str> = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)).collect();
        let labels: Vec<&str> = labels.into_iter().filter(|label| *label != "le").collect();
        assert_eq!(labels, *expected, "{series}");
    }
}

#[tokio::test]
async fn every_outcome_is_there_before_it_happens() {
    let scrape = Scrape::of(&Site::open().await).await;
    for reason in Reason::ALL {
        assert_eq!(scrape.count(&format!("deliveries_total{{outcome=\"failed\",reason=\"{reason}\"}}")), 0);
    }
    for reason in ["attachment_missing", "attachment_corrupt", "attachment_rejected"] {
        assert_eq!(scrape.count(&format!("deliveries_total{{outcome=\"partially_imported\",reason=\"{reason}\"}}")), 0);
    }
    for outcome in ["imported", "skipped_duplicate"] {
        assert_eq!(scrape.count(&format!("deliveries_total{{outcome=\"{outcome}\",reason=\"\"}}")), 0);
    }
    for outcome in ["new", "late", "repeated"] {
        assert_eq!(scrape.count(&format!("items_total{{outcome=\"{outcome}\"}}")), 0);
    }
    for remote in ["source", "staging", "directory", "mailbox", "sign_in"] {
        assert_eq!(scrape.count(&format!("throttled_seconds_total{{remote=\"{remote}\"}}")), 0);
    }
    assert_eq!(scrape.count("last_success_timestamp_seconds"), 0, "an alert on its age sees that it never was");
    assert_eq!(scrape.count("watermark_timestamp_seconds"), 0);
}

#[tokio::test]
async fn work_is_counted() {
    let site = Site::open().await;
    let metrics = &site.metrics;
    metrics.page_recorded(CountedPage { new: 7, late: 2, repeated: 3, staged_bytes: 1000 });
    let outcome = |state, reason, bytes| Outcome {
        no: ItemNo(1),
        mailbox: MailboxId("a".to_owned()),
        state,
        reason,
        detail: Some(ItemId(1).to_string()),
        attempts: 1,
        settle_at: None,
        remote_id: None,
        found_as: None,
        bytes,
    };
    metrics.deliveries_recorded(&[
        outcome(DeliveryState::Imported, None, 100),
        outcome(DeliveryState::Imported, None, 50),
        outcome(DeliveryState::PartiallyImported, Some(RowReason::Partial(PartialReason::AttachmentMissing)), 25),
        outcome(DeliveryState::Failed, Some(RowReason::Failed(Reason::MailboxRejected)), 0),
        outcome(DeliveryState::Unknown, None, 0),
        outcome(DeliveryState::Pending, None, 0),
    ]);
    metrics.given_up(4);
    metrics.throttled(Remote::Source, Duration::from_millis(1500));
    let scrape = Scrape::of(&site).await;
    for (series, count) in [
        ("items_total{outcome=\"new\"}", 5),
        ("items_total{outcome=\"late\"}", 2),
        ("items_total{outcome=\"repeated\"}", 3),
        ("staged_bytes_total", 1000),
        ("imported_bytes_total", 175),
        ("deliveries_total{outcome=\"imported\",reason=\"\"}", 2),
        ("deliveries_total{outcome=\"partially_imported\",reason=\"attachment_missing\"}", 1),
        ("deliveries_total{outcome=\"failed\",reason=\"mailbox_rejected\"}", 1),
        ("deliveries_total{outcome=\"failed\",reason=\"mailbox_unavailable\"}", 4),
    ] {
        assert_eq!(scrape.count(series), count, "{series}");
    }
    assert!((scrape.value("throttled_seconds_total{remote=\"source\"}") - 1.5).abs() < 1e-9);
    let of_open =
        |series: &String| ["pending", "unknown"].iter().any(|state| series.contains(&format!("outcome=\"{state}\"")));
    assert!(!scrape.samples.keys().any(of_open), "what is open has no outcome");
}

#[tokio::test]
async fn requests_are_counted_by_status_and_by_kind_of_failure() {
    let site = Site::open().await;
    let client = HttpClient::build(&HttpOptions::default()).unwrap().observed_by(site.metrics.observer());
    for path in ["/livez", "/readyz", "/nowhere"] {
        client.send(Remote::Source, client.get(site.url(path)), 100_000).await.unwrap();
    }
    ask_nobody(&client, Remote::Staging).await;
    let scrape = Scrape::of(&site).await;
    for (series, count) in [
        ("requests_total{remote=\"source\",status=\"200\"}", 1),
        ("requests_total{remote=\"source\",status=\"503\"}", 1),
        ("requests_total{remote=\"source\",status=\"404\"}", 1),
        ("requests_total{remote=\"staging\",status=\"not_sent\"}", 1),
        ("request_seconds_count{remote=\"source\"}", 3),
        ("request_seconds_bucket{le=\"+Inf\",remote=\"source\"}", 3),
    ] {
        let found = scrape.samples.iter().find(|(found, _)| same_series(found, series));
        assert_eq!(found.map(|(_, value)| format!("{value:.0}")), Some(count.to_string()), "{series}: {}", scrape.text);
    }
}

/// Labels have no order.
fn same_series(one: &str, other: &str) -> bool {
    let parts = |series: &str| -> BTreeSet<String> {
        series.trim_end_matches('}').split(['{', ',']).map(str::to_owned).collect()
    };
    parts(one) == parts(other)
}

#[tokio::test]
async fn waits_that_something_adds_up_are_counted_once() {
    let site = Site::open().await;
    let waited = Arc::new(std::sync::Mutex::new(Duration::from_secs(2)));
    let watched = Arc::clone(&waited);
    site.metrics.watch_waits(Remote::Mailbox, move || *watched.lock().unwrap());
    let series = "throttled_seconds_total{remote=\"mailbox\"}";
    assert_eq!(Scrape::of(&site).await.count(series), 2);
    assert_eq!(Scrape::of(&site).await.count(series), 2);
    *waited.lock().unwrap() = Duration::from_secs(5);
    assert_eq!(Scrape::of(&site).await.count(series), 5);
    *waited.lock().unwrap() = Duration::from_secs(6);
    site.metrics.watch_waits(Remote::Mailbox, || Duration::from_secs(1));
    assert_eq!(Scrape::of(&site).await.count(series), 7, "what is watched instead begins anew");
}

#[tokio::test]
async fn gauges_come_from_the_ledger_and_are_fresh() {
    let mut site = Site::open().await;
    let started = now() - chrono::Duration::hours(1);
    let items = [
        SeedItem::new(Fate::Imported),
        SeedItem::new(Fate::Pending("later".to_owned())),
        SeedItem::new(Fate::Failed(Reason::NoValidUser, "nobody".to_owned())),
        SeedItem::new(Fate::Failed(Reason::Encrypted, "key".to_owned())),
    ];
    site.seed.run(started, RunStatus::Incomplete, &items).await;
    let scrape = Scrape::of(&site).await;
    assert_eq!(scrape.count("pending_deliveries"), 1);
    assert_eq!(scrape.count("held_items"), 2);
    assert_eq!(scrape.count("run_seconds"), 754);
    let finished = started + chrono::Duration::seconds(754);
    assert_eq!(scrape.count("last_success_timestamp_seconds"), finished.timestamp().unsigned_abs());
    assert_eq!(scrape.count("watermark_timestamp_seconds"), started.timestamp().unsigned_abs());

    site.seed.run_with_error(now(), RunStatus::Failed, Some("broken"), &items[1..2]).await;
    assert_eq!(Scrape::of(&site).await.count("pending_deliveries"), 1, "served again for some seconds");
    site.clock.advance(Duration::from_secs(5));
    let scrape = Scrape::of(&site).await;
    assert_eq!(scrape.count("pending_deliveries"), 2);
    let unmoved = scrape.count("last_success_timestamp_seconds");
    assert_eq!(unmoved, finished.timestamp().unsigned_abs(), "a failed run is no success");
    assert!(scrape.has("run_seconds"));
}

#[tokio::test]
async fn a_run_counts_what_its_report_says() {
    let folder = tempfile::tempdir().unwrap();
    let within = |name: &str| folder.path().join(name).display().to_string();
    let environment = BTreeMap::from([
        ("WHATSAPP_ARCHIVER__STAGING__PATH".to_owned(), within("staging")),
        ("WHATSAPP_ARCHIVER__MAILBOX__PATH".to_owned(), within("mailboxes")),
        ("WHATSAPP_ARCHIVER__LEDGER__URL".to_owned(), format!("sqlite://{}", within("ledger.db"))),
    ]);
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/local.toml");
    let config = Config::load(&path, &environment, NeededSecrets::All).unwrap();
    let app =
        App::build(Arc::new(config), &environment, Arc::new(SystemClock), LedgerUse::MadeIfMissing, TablesUse::Read)
            .await
            .unwrap();
    let finished = app.pipeline(CancellationToken::new()).run(RunRequest::Regular).await.unwrap();
    assert!(finished.error.is_none(), "{:?}", finished.error);

    let page = MetricsPage::of(Arc::clone(&app.metrics));
    let scrape = Scrape::read(page.render(&app.ledger, app.clock.now(), Exposition::OpenMetrics).await);
    let report = finished.report;
    let counted = |outcome: &str| -> BTreeMap<String, u64> {
        let start = format!("deliveries_total{{outcome=\"{outcome}\",reason=\"");
        let series = scrape.samples.keys().filter_map(|series| Some((series, series.strip_prefix(&start)?)));
        let counts = series.map(|(series, rest)| (rest.trim_end_matches("\"}").to_owned(), scrape.count(series)));
        counts.filter(|(_, count)| *count > 0).collect()
    };
    assert!(
        report.deliveries.skipped_duplicate > 0 && report.deliveries.partially_imported > 0,
        "a run with everything"
    );
    assert_eq!(counted("imported"), BTreeMap::from([(String::new(), report.deliveries.imported)]));
    assert_eq!(counted("skipped_duplicate"), BTreeMap::from([(String::new(), report.deliveries.skipped_duplicate)]));
    assert_eq!(counted("partially_imported"), report.partial_by_reason);
    assert_eq!(counted("failed"), report.failed_by_reason);
    assert_eq!(scrape.count("imported_bytes_total"), report.bytes.imported);
    assert_eq!(scrape.count("staged_bytes_total"), report.bytes.downloaded, "all of it was new");
    let items = &report.items;
    assert_eq!(scrape.count("items_total{outcome=\"new\"}"), items.available_from_source - items.late);
    assert_eq!(scrape.count("items_total{outcome=\"repeated\"}"), items.repeated_by_source);
    assert_eq!(scrape.count("pending_deliveries"), report.deliveries.pending);

    app.pipeline(CancellationToken::new()).run(RunRequest::Regular).await.unwrap();
    let again = Scrape::read(page.render(&app.ledger, app.clock.now(), Exposition::OpenMetrics).await);
    for series in ["imported_bytes_total", "staged_bytes_total", "items_total{outcome=\"new\"}"] {
        assert_eq!(
            again.count(series),
            scrape.count(series),
            "{series}: nothing is new, so nothing is staged or imported"
        );
    }
}

/// What most tools still read; `promtool` has no objection to it, nor to the rules and what they look at.
#[tokio::test]
async fn a_reader_that_asks_for_nothing_gets_text_without_a_flaw() {
    let mut site = Site::open().await;
    let client = HttpClient::build(&HttpOptions::default()).unwrap().observed_by(site.metrics.observer());
    client.send(Remote::Mailbox, client.get(site.url("/livez")), 1000).await.unwrap();
    site.seed.run(now(), RunStatus::Complete, &[SeedItem::new(Fate::Imported)]).await;
    note_credentials(&site).await;
    let reply = site.get("/metrics").await;
    assert_eq!(header(&reply.headers, "content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = text(&reply);
    assert!(!text.contains("# EOF"), "{text}");
    let named =
        |line: &str, kind: &str| line.strip_prefix(kind).and_then(|rest| rest.split(' ').next().map(str::to_owned));
    let helped: BTreeSet<String> = text.lines().filter_map(|line| named(line, "# HELP ")).collect();
    let typed: BTreeSet<String> = text.lines().filter_map(|line| named(line, "# TYPE ")).collect();
    assert_eq!(helped, typed, "each metric has its help");
    for counter in text.lines().filter(|line| line.starts_with("# TYPE ") && line.ends_with(" counter")) {
        assert!(counter.ends_with("_total counter"), "{counter}");
    }

    // Every metric of the rules and of the dashboard is there.
    for file in ["alerts.yaml", "dashboard.json"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/monitoring").join(file);
        let rules = std::fs::read_to_string(path).unwrap();
        let is_of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let starts = rules.match_indices("whatsapp_archiver_").map(|(at, _)| at);
        let metrics: BTreeSet<&str> = starts.map(|at| rules[at..].split(|c| !is_of_name(c)).next().unwrap()).collect();
        assert!(metrics.len() > 8, "{file}: {metrics:?}");
        for name in metrics.iter().filter(|name| !name.ends_with("remote_up")) {
            assert!(text.contains(&format!("\n{name}")), "{file}: {name}");
        }
    }

    let promtool = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn();
    let mut promtool = promtool.expect("promtool is there: apt-get install prometheus");
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let reported = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && reported.is_empty(), "{}", String::from_utf8_lossy(&reported));
}

#[test]
fn each_alert_fires_on_its_fault_and_is_quiet_on_a_good_day() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/monitoring");
    for arguments in [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts.test.yaml"]] {
        let ended = std::process::Command::new("promtool").args(arguments).current_dir(&folder).output();
        let ended = ended.expect("promtool is there: apt-get install prometheus");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    }
    // Each alert has its section in the runbook.
    let rules = std::fs::read_to_string(folder.join("alerts.yaml")).unwrap();
    let runbook = std::fs::read_to_string(folder.join("../../docs/runbook.md")).unwrap();
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        assert!(runbook.contains(&format!("\n## {alert}\n")), "{alert}");
    }
    // The Helm chart installs these very files.
    let chart = folder.join("../../deploy/helm/whatsapp-archiver/files");
    for file in ["alerts.yaml", "dashboard.json"] {
        assert_eq!(std::fs::read(chart.join(file)).unwrap(), std::fs::read(folder.join(file)).unwrap(), "{file}");
    }
}
