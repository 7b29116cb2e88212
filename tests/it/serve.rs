//! The HTTP endpoints over real connections: what each shows, to whom, and with which headers.

mod access;
mod attention;
pub(crate) mod seed;
pub(crate) mod site;

use chrono::Duration;
use futures_util::TryStreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use whatsapp_archiver::clock::Clock as _;
use whatsapp_archiver::http::Remote;
use whatsapp_archiver::ledger::RunStatus;
use whatsapp_archiver::reason::Reason;
use whatsapp_archiver::status::Status;

use seed::{Fate, SeedItem};
use site::{Site, fixed, header, json, now, text};

/// Everything that is served, and whether it is for everybody.
const PATHS: [(&str, bool); 10] = [
    ("/livez", true),
    ("/readyz", true),
    ("/metrics", false),
    ("/", false),
    ("/open", false),
    ("/runs/0193a0a0-0000-7000-8000-000000000001", false),
    ("/api/status", false),
    ("/api/runs", false),
    ("/api/runs/0193a0a0-0000-7000-8000-000000000001", false),
    ("/api/runs/0193a0a0-0000-7000-8000-000000000001/failures.csv", false),
];

fn failed(reason: Reason, detail: &str) -> SeedItem {
    SeedItem::new(Fate::Failed(reason, detail.to_owned()))
}

#[tokio::test]
async fn health_has_a_reason() {
    let site = Site::start(Some(fixed("open"))).await;
    assert_eq!((site.get("/livez").await.status, text(&site.get("/livez").await)), (StatusCode::OK, "ok\n".to_owned()));
    let starting = site.get("/readyz").await;
    assert_eq!(starting.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text(&starting), "the daemon is starting\n");
    site.health.set_ready();
    assert_eq!(site.get("/readyz").await.status, StatusCode::OK);
    site.clock.advance(std::time::Duration::from_mins(20));
    let hanging = site.get("/livez").await;
    assert_eq!(hanging.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text(&hanging), "the main loop has been stuck for 1200 s\n");
    site.health.beat();
    assert_eq!(site.get("/livez").await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_reply_forbids_what_no_page_needs() {
    let mut site = Site::open().await;
    site.seed.run(now(), RunStatus::Complete, &[]).await;
    site.health.set_ready();
    for path in PATHS.map(|(path, _)| path).into_iter().chain(["/nowhere", "/api/nowhere"]) {
        let reply = site.get(path).await;
        let value = |name| header(&reply.headers, name);
        assert_eq!(value("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(value("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(value("x-frame-options"), "DENY", "{path}");
        assert_eq!(value("cache-control"), "no-store", "{path}");
        let policy = value("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        let written = site.ask(Method::POST, path, &[], "").await.status;
        assert!(!written.is_success(), "{path} takes a POST");
    }
}

#[tokio::test]
async fn the_style_sheet_is_the_one_that_the_policy_allows() {
    use base64::Engine as _;
    use sha2::Digest as _;
    let site = Site::open().await;
    let reply = site.get("/").await;
    let page = text(&reply);
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let digest = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(style.as_bytes()));
    assert!(header(&reply.headers, "content-security-policy").contains(&format!("'sha256-{digest}'")));
    assert!(!page.contains("<script") && !page.contains(" style="), "nothing that the policy forbids");
}

#[tokio::test]
async fn the_page_reports_each_state() {
    let mut site = Site::open().await;
    let mut pages = vec![("new", text(&site.get("/").await))];
    site.seed.run(now() - Duration::hours(50), RunStatus::Complete, &[]).await;
    let overdue = text(&site.get("/").await);
    assert!(overdue.contains("no daemon is alive") && overdue.contains("2026-11-21 02:00:00 UTC"), "{overdue}");
    assert!(overdue.contains("none was ever seen"), "{overdue}");
    pages.push(("overdue", overdue));
    site.seed.run(now() - Duration::hours(7), RunStatus::Complete, &[]).await;
    pages.push(("stopped", text(&site.get("/").await)));
    let daemon = site.seed.ledger.join(now()).await.unwrap();
    site.seed.ledger.note_daemon(&daemon.holder, now()).await.unwrap();
    site.seed.run(now() - Duration::hours(6), RunStatus::Complete, &[SeedItem::new(Fate::Imported)]).await;
    pages.push(("idle", text(&site.get("/").await)));
    let error = "TeleMessage refuses the user name or password";
    site.seed.run_with_error(now() - Duration::minutes(25), RunStatus::Failed, Some(error), &[]).await;
    pages.push(("failed", text(&site.get("/").await)));
    assert!(pages[4].1.contains(error));
    let pending = SeedItem::new(Fate::Pending("the mailbox is not available".to_owned()));
    site.seed.run(now() - Duration::minutes(20), RunStatus::Incomplete, &[pending]).await;
    pages.push(("pending", text(&site.get("/").await)));
    assert!(pages[5].1.contains("the mailbox is not available"));
    let under_way = site.seed.begin(now(), &[SeedItem::new(Fate::Imported)]).await;
    pages.push(("running", text(&site.get("/").await)));
    for (state, page) in pages {
        assert!(page.contains(&format!("<title>WhatsApp Archiver: {state}</title>")), "{state}: {page}");
        let seconds = if state == "running" { 10 } else { 60 };
        assert!(
            page.contains(&format!("http-equiv=\"refresh\" content=\"{seconds}\"")),
            "{state} is read again by itself"
        );
    }
    let run = text(&site.get(&format!("/runs/{under_way}")).await);
    assert!(run.contains("http-equiv=\"refresh\"") && run.contains("drawn up when the run ends"));
}

#[tokio::test]
async fn the_status_has_the_documented_shape() {
    let mut site = Site::open().await;
    let started = now() - Duration::minutes(450);
    let items = [
        SeedItem::new(Fate::Imported),
        failed(Reason::NoValidUser, "nobody"),
        SeedItem::new(Fate::Pending("later".to_owned())),
    ];
    let id = site.seed.run(started, RunStatus::Incomplete, &items).await;
    let remote = r#"{"ok":false,"since":"2026-11-22T02:00:00Z","detail":"1 delivery is pending"}"#;
    site.seed.ledger.set_meta("remote.mailbox", Some(remote)).await.unwrap();
    let reply = json(&site.get("/api/status").await);
    assert_eq!(
        reply,
        json!({
            "state": "overdue",
            "daemon": {"running": false, "last_seen": null},
            "overdue_since": "2026-11-22T02:27:34Z",
            "run": null,
            "last_run": {
                "run": id.0, "status": "incomplete", "started": "2026-11-22T02:00:00Z", "finished": "2026-11-22T02:12:34Z",
            },
            "next_run": "2026-11-22T02:27:34Z",
            "failure": null,
            "watermark": "2026-11-22T02:00:00Z",
            "pending": 1,
            "oldest_pending": "2026-11-22T02:00:00Z",
            "held": 1,
            "remotes": {"mailbox": {"ok": false, "since": "2026-11-22T02:00:00Z", "detail": "1 delivery is pending"}},
            "credentials": [],
            "warnings": [],
        })
    );
    let own = Status::of(&site.seed.ledger, &site.schedule, site.clock.now()).await.unwrap();
    assert_eq!(serde_json::from_value::<Status>(reply).unwrap(), own);
}

#[tokio::test]
async fn a_report_is_the_same_as_on_the_command_line() {
    let mut site = Site::open().await;
    let items = [SeedItem::new(Fate::Imported), failed(Reason::NoValidUser, "nobody")];
    let id = site.seed.run(now(), RunStatus::Complete, &items).await;
    let report = json(&site.get(&format!("/api/runs/{id}")).await);
    assert_eq!(report["run"], id.0);
    assert_eq!(report["deliveries"]["available_for_import"], 2);
    assert_eq!(report["failed_by_reason"], json!({"no_valid_user": 1}));
    assert_eq!(
        report["failures"],
        json!([{
            "item": "918273002", "message_id": "3EB0000000000002", "source_user": "+1•••••0101",
            "mailbox": "ana@contoso.example", "reason": "no_valid_user", "detail": "nobody",
        }])
    );
    assert_eq!(report["partials"], json!([]));
    assert_eq!(report["unmapped_participants"], json!([{"number": "+1•••••0101", "items": 1}]));

    let runs = json(&site.get("/api/runs").await);
    let mut head = report.clone();
    for list in ["failures", "partials", "replayed", "unmapped_participants", "mapping_rules"] {
        head.as_object_mut().unwrap().remove(list);
    }
    assert_eq!(runs, json!({ "runs": [head] }));
}

#[tokio::test]
async fn runs_come_newest_first_and_in_parts() {
    let mut site = Site::open().await;
    for day in (0..65).rev() {
        site.seed.run(now() - Duration::days(day), RunStatus::Complete, &[]).await;
    }
    let ids = |reply: serde_json::Value| -> Vec<String> {
        reply["runs"].as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect()
    };
    let all = ids(json(&site.get("/api/runs?limit=1000").await));
    assert_eq!(all.len(), 65);
    assert!(all.is_sorted_by(|newer, older| newer > older));
    assert_eq!(ids(json(&site.get("/api/runs?skip=10&limit=5").await)), all[10..15]);
    assert_eq!(site.get("/api/runs?limit=many").await.status, StatusCode::BAD_REQUEST);

    let pages = [text(&site.get("/").await), text(&site.get("/?page=1").await), text(&site.get("/?page=2").await)];
    let listed = |page: &str| {
        let list = page.split_once("id=\"runs\"").unwrap().1;
        all.iter().filter(|id| list.contains(&format!("/runs/{id}\""))).count()
    };
    assert_eq!(pages.each_ref().map(|page| listed(page)), [30, 30, 5]);
    let links = |page: &str| (page.contains("Later runs"), page.contains("Earlier runs"));
    assert_eq!(pages.each_ref().map(|page| links(page)), [(false, true), (true, true), (true, false)]);
    assert_eq!(site.get("/?page=4294967295").await.status, StatusCode::OK);
    assert_eq!(site.get("/?page=-1").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn equal_causes_are_one_line_with_what_to_do() {
    let mut site = Site::open().await;
    let full = failed(Reason::MailboxRejected, "the quota of this mailbox is exceeded");
    let waiting = SeedItem::new(Fate::Pending("the mailbox does not answer".to_owned()));
    let items: Vec<SeedItem> =
        [vec![full; 40], vec![failed(Reason::NoValidUser, "nobody"); 3], vec![waiting; 7]].concat();
    site.seed.run(now() - Duration::days(1), RunStatus::Incomplete, &items).await;
    for path in ["/", "/open"] {
        let page = text(&site.get(path).await);
        assert_eq!(page.matches("the quota of this mailbox is exceeded").count(), 1, "{path}");
        assert!(page.contains("retry --reason mailbox_rejected") && page.contains("(first: item 918273001)"), "{page}");
        let copies = page.split("data-label=\"Copies\">").skip(1);
        let copies: Vec<&str> = copies.filter_map(|cell| cell.split('<').next()).collect();
        assert_eq!(copies, ["40", "7", "3"], "{path}: the most frequent first");
    }
    let page = text(&site.get("/").await);
    assert!(page.contains("<a href=\"/open\">43</a>"), "held items are a link");
    assert!(page.contains("+1•••••0101"), "participants without a valid user");
}

#[tokio::test]
async fn thirty_days_are_a_plot_that_words_describe() {
    let mut site = Site::open().await;
    assert!(!text(&site.get("/").await).contains("id=\"days\""), "nothing is drawn of nothing");
    let imported = SeedItem::new(Fate::Imported);
    site.seed.run(now() - Duration::days(40), RunStatus::Complete, &vec![imported.clone(); 9]).await;
    let items = [vec![imported; 5], vec![failed(Reason::Encrypted, "a key")]].concat();
    site.seed.run(now() - Duration::days(2), RunStatus::Complete, &items).await;
    let page = text(&site.get("/").await);
    let plot = page.split_once("<figure>").unwrap().1.split_once("</figure>").unwrap().0;
    assert_eq!(plot.matches("<title>").count(), 30);
    let day = (now() - Duration::days(2)).date_naive();
    assert!(plot.contains(&format!("<title>{day}: 5 imported, 1 failed</title>")), "{plot}");
    assert!(plot.contains(": 5 imported, 1 failed\">"), "those of forty days ago are not in it: {plot}");

    // What is pending is the next run's too: a day has it once.
    let pending = SeedItem::new(Fate::Pending("later".to_owned()));
    for (hours, count) in [(8, 4), (7, 4), (6, 3)] {
        site.seed.run(now() - Duration::hours(hours), RunStatus::Incomplete, &vec![pending.clone(); count]).await;
    }
    let page = text(&site.get("/").await);
    assert!(page.contains(&format!("<title>{}: 3 pending</title>", now().date_naive())), "{page}");
}

#[tokio::test]
async fn a_run_under_way_shows_how_far_it_is() {
    let mut site = Site::open().await;
    let items =
        [vec![SeedItem::new(Fate::Imported); 3], vec![SeedItem::new(Fate::Pending("later".to_owned()))]].concat();
    site.seed.begin(now() - Duration::minutes(1), &items).await;
    let page = text(&site.get("/").await);
    assert!(page.contains("<progress max=\"4\" value=\"3\""), "{page}");
    assert!(page.contains("3 of the 4 copies that are known so far have their outcome, 3 a minute"), "{page}");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let site = Site::open().await;
    for path in ["/nowhere", "/runs/0193", "/runs/%27%3B--", "/runs/a/b"] {
        let reply = site.get(path).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
        assert!(text(&reply).contains("<h1"), "{path}");
    }
    for path in ["/api", "/api/nowhere", "/api/runs/0193", "/api/runs/0193/failures.csv"] {
        assert_eq!(site.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(json(&site.get("/api/runs/0193").await), json!({"error": "there is no such run"}));
}

#[tokio::test]
async fn hostile_names_stay_text() {
    let mut site = Site::open().await;
    let hostile = "<script>alert(1)</script>\" onmouseover='x' &amp; \u{202e}";
    let item = SeedItem {
        owner: hostile.to_owned(),
        mailbox: format!("{hostile}@contoso.example"),
        fate: Fate::Failed(Reason::Malformed, hostile.to_owned()),
    };
    let id = site.seed.run_with_error(now(), RunStatus::Failed, Some(hostile), &[item]).await;
    let remote = json!({"ok": false, "since": now(), "detail": hostile}).to_string();
    site.seed.ledger.set_meta("remote.source", Some(&remote)).await.unwrap();
    for path in ["/".to_owned(), format!("/runs/{id}")] {
        let page = text(&site.get(&path).await);
        assert!(page.contains("&#60;script&#62;alert(1)"), "{path} shows it");
        assert!(!page.contains("<script") && !page.contains("\" onmouseover"), "{path}");
    }
}

#[tokio::test]
async fn numbers_are_whole_in_the_file_of_whoever_has_the_token_alone() {
    for token in [None, Some(fixed("open"))] {
        let guarded = token.is_some();
        let mut site = Site::start(token).await;
        let id = site.seed.run(now(), RunStatus::Complete, &[failed(Reason::NoValidUser, "=HYPERLINK(1)")]).await;
        let page = |path: String| {
            let site = &site;
            async move { text(&if guarded { site.get_as(&path, "open").await } else { site.get(&path).await }) }
        };
        for path in ["/".to_owned(), format!("/runs/{id}"), "/api/runs".to_owned(), format!("/api/runs/{id}")] {
            let shown = page(path.clone()).await;
            assert!(!shown.contains("15550100101"), "{path}");
        }
        let number = if guarded { "+15550100101" } else { "+1•••••0101" };
        assert_eq!(
            page(format!("/api/runs/{id}/failures.csv")).await,
            format!(
                "item,message_id,source_user,mailbox,state,reason,detail\n\
                 918273001,3EB0000000000001,{number},ana@contoso.example,failed,no_valid_user,'=HYPERLINK(1)\n"
            )
        );
    }
}

#[tokio::test]
async fn the_file_of_failures_is_a_download() {
    let mut site = Site::open().await;
    let id = site.seed.run(now(), RunStatus::Complete, &[]).await;
    let reply = site.get(&format!("/api/runs/{id}/failures.csv")).await;
    assert_eq!(header(&reply.headers, "content-type"), "text/csv; charset=utf-8");
    assert_eq!(header(&reply.headers, "content-disposition"), format!("attachment; filename=\"failures-{id}.csv\""));
}

#[tokio::test]
async fn a_big_report_is_streamed() {
    const ROWS: usize = 12_000;
    let mut site = Site::open().await;
    let detail = "d".repeat(1000);
    let id = site.seed.run(now(), RunStatus::Complete, &vec![failed(Reason::MailboxRejected, &detail); ROWS]).await;
    let request = site.client().get(site.url(&format!("/api/runs/{id}")));
    let reply = site.client().stream(Remote::Health, request).await.unwrap();
    assert_eq!(reply.length, None, "nobody knows its length when it begins");
    let mut bytes = Vec::new();
    let mut body = reply.body;
    while let Some(piece) = body.try_next().await.unwrap() {
        bytes.extend_from_slice(&piece);
    }
    let report: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(report["failures"].as_array().unwrap().len(), ROWS);

    let run = text(&site.get(&format!("/runs/{id}")).await);
    assert_eq!(run.matches("data-label=\"Detail\"").count(), 200, "a page has the first rows");
    assert!(run.contains("The file has all of them"));
    let csv = text(&site.get(&format!("/api/runs/{id}/failures.csv")).await);
    assert_eq!(csv.lines().count(), ROWS + 1);
}

#[tokio::test]
async fn a_ledger_that_fails_is_reported_without_its_words() {
    let site = Site::open().await;
    site.seed.ledger.close().await;
    for path in ["/", "/runs/0193", "/api/status", "/api/runs", "/api/runs/0193"] {
        let reply = site.get(path).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        let reported = text(&reply);
        assert!(reported.contains("the ledger does not answer") && !reported.contains("pool"), "{path}: {reported}");
    }
    assert_eq!(site.get("/livez").await.status, StatusCode::OK, "a restart would not fix it");
    let metrics = text(&site.get("/metrics").await);
    assert!(metrics.contains("whatsapp_archiver_items_total") && !metrics.contains("pending_deliveries"), "{metrics}");
}

#[tokio::test]
async fn serving_ends_though_somebody_holds_on() {
    let site = Site::open().await;
    let mut stuck = tokio::net::TcpStream::connect(site.address).await.unwrap();
    stuck.write_all(b"GET / HTTP/1.1\r\nHost: localh").await.unwrap();
    assert_eq!(site.get("/livez").await.status, StatusCode::OK);
    site.stop.cancel();
    site.serving.await.unwrap().unwrap();
    // What was cut reads as an end or a reset.
    let mut rest = Vec::new();
    let ended = stuck.read_to_end(&mut rest).await;
    assert!(ended.is_err() || rest.is_empty(), "nobody was answered: {rest:?}");
    assert!(tokio::net::TcpStream::connect(site.address).await.is_err(), "the port is free");
}
