//! What the state says, and never says, in words: nothing is called well that somebody should look at.

use chrono::Duration;
use whatsapp_archiver::clock::Clock as _;
use whatsapp_archiver::ledger::{Presence, RunKind, RunStatus};
use whatsapp_archiver::reason::Reason;

use super::seed::{Fate, SeedItem};
use super::site::{Site, json, now, text};

/// A place where a daemon is alive and a good run has just ended.
async fn idle() -> (Site, Presence) {
    let mut site = Site::open().await;
    site.seed.run(now() - Duration::hours(6), RunStatus::Complete, &[SeedItem::new(Fate::Imported)]).await;
    let daemon = daemon(&site).await;
    (site, daemon)
}

/// A daemon, alive as long as this value.
async fn daemon(site: &Site) -> Presence {
    let presence = site.seed.ledger.join(now()).await.unwrap();
    site.seed.ledger.note_daemon(&presence.holder, now()).await.unwrap();
    presence
}

async fn state(site: &Site) -> (String, String) {
    let status = json(&site.get("/api/status").await);
    (status["state"].as_str().unwrap().to_owned(), status["failure"]["error"].as_str().unwrap_or_default().to_owned())
}

/// The headline, and how the badge beside it looks.
async fn headline(site: &Site) -> (String, String) {
    let page = text(&site.get("/").await);
    let badge = page.split_once("Connector <span class=\"badge ").unwrap().1.split('"').next().unwrap().to_owned();
    let lead = page.split_once("<p class=\"lead\">").unwrap().1.split('<').next().unwrap().to_owned();
    (lead, badge)
}

#[tokio::test]
async fn what_is_held_or_warned_of_is_said_beside_idle() {
    let (mut site, _daemon) = idle().await;
    assert_eq!(headline(&site).await, ("The last run left nothing undone.".to_owned(), "ok".to_owned()));
    let rejected = SeedItem::new(Fate::Failed(Reason::MailboxRejected, "552".to_owned()));
    site.seed.run(now() - Duration::hours(5), RunStatus::Complete, &[rejected.clone(), rejected]).await;
    let (lead, badge) = headline(&site).await;
    assert_eq!(badge, "warn");
    assert_eq!(
        lead,
        "The last run left nothing pending. 2 items are held and not imported; the list of failures says why."
    );
    let jump = r#"{"since":"2026-11-22T02:00:00Z","last":"2026-11-22T02:00:00Z","messages":40}"#;
    site.seed.ledger.set_meta("captures.jump", Some(jump)).await.unwrap();
    assert!(headline(&site).await.0.ends_with(" There is 1 warning."));
    assert_eq!(state(&site).await.0, "idle");
}

#[tokio::test]
async fn a_replay_hides_no_failed_run_and_the_next_run_shows_why_the_last_one_failed() {
    let (mut site, _daemon) = idle().await;
    site.seed.run_with_error(now() - Duration::minutes(10), RunStatus::Failed, Some("no source"), &[]).await;
    site.seed.replay(now() - Duration::minutes(9), &[SeedItem::new(Fate::Imported)]).await;
    assert_eq!(state(&site).await, ("failed".to_owned(), "no source".to_owned()));
    let (lead, badge) = headline(&site).await;
    assert!(lead.starts_with("A run failed, and the runs since then have not made up for it."), "{lead}");
    assert_eq!(badge, "bad");
    site.seed.begin(now(), &[]).await;
    assert_eq!(state(&site).await, ("running".to_owned(), "no source".to_owned()));
    assert!(text(&site.get("/").await).contains("no source <a href="));
    site.clock.advance(std::time::Duration::from_hours(2));
    site.seed.run(site.clock.now(), RunStatus::Complete, &[]).await;
    let (state, error) = state(&site).await;
    assert_eq!((state.as_str(), error.as_str()), ("failed", "its process ended before the run did"));
}

#[tokio::test]
async fn a_run_whose_process_has_gone_is_undone() {
    let (mut site, _daemon) = idle().await;
    site.seed.begin_as(RunKind::Backfill, now() - Duration::hours(2), &[]).await;
    assert_eq!(state(&site).await, ("failed".to_owned(), "its process ended before the run did".to_owned()));
}

#[tokio::test]
async fn a_run_that_was_stopped_left_something() {
    let (mut site, _daemon) = idle().await;
    site.seed.stopped_run(now() - Duration::hours(1)).await;
    assert_eq!(state(&site).await.0, "idle");
    assert!(headline(&site).await.0.starts_with("The last run was stopped before it finished."));
}

#[tokio::test]
async fn a_ledger_without_runs_promises_none_where_no_daemon_is_alive() {
    let site = Site::open().await;
    assert!(headline(&site).await.0.contains("no daemon is alive"));
    let _daemon = daemon(&site).await;
    assert!(headline(&site).await.0.contains("about to start"));
}

#[tokio::test]
async fn every_list_says_why_a_copy_is_pending() {
    use whatsapp_archiver::report::lists::{Numbers, Rows, not_imported, write_open_json};
    use whatsapp_archiver::report::{Report, html};
    let mut site = Site::open().await;
    let full = SeedItem::new(Fate::Pending("no room".to_owned()));
    let id = site.seed.run(now(), RunStatus::Incomplete, &[full]).await;
    let csv = text(&site.get(&format!("/api/runs/{id}/failures.csv")).await);
    assert!(csv.contains(",pending,mailbox,no room"), "{csv}");
    assert!(text(&site.get(&format!("/runs/{id}")).await).contains("data-label=\"Reason\">mailbox</td>"));
    let ledger = &site.seed.ledger;
    let report = Report::of(ledger, &ledger.run(&id).await.unwrap().unwrap()).await.unwrap();
    let page = html::render(ledger, &report, Numbers::Masked).await.unwrap();
    assert!(page.contains("mailbox") && page.contains("no room"), "{page}");
    let mut listed = Vec::new();
    write_open_json(Rows::new(ledger, not_imported(&id)), Numbers::Masked, &mut listed).await.unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
    assert_eq!((&listed[0]["cause"], &listed[0]["reason"]), (&"mailbox".into(), &serde_json::Value::Null), "{listed}");
}

/// How a remote is said to fare.
async fn remote(site: &Site, name: &str) -> (bool, String) {
    let status = json(&site.get("/api/status").await);
    let remote = &status["remotes"][name];
    (remote["ok"].as_bool().unwrap(), remote["detail"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn remotes_are_judged_by_all_that_is_pending_and_have_its_error() {
    use std::collections::BTreeMap;
    use whatsapp_archiver::config::Config;
    use whatsapp_archiver::ledger::RunId;
    use whatsapp_archiver::pipeline::{RunFinished, Undone};
    use whatsapp_archiver::report::Report;
    const CONFIG: &str = "[source]\nkind = \"directory\"\npath = \"export\"\n[staging]\nkind = \"local\"\npath = \"s\"\n\
        [users]\nkind = \"list\"\npath = \"users.csv\"\n[mailbox]\nkind = \"maildir\"\npath = \"m\"\n\
        [ledger]\nurl = \"sqlite://l.db\"\n";
    let config = Config::from_text(CONFIG, std::path::Path::new("/etc/config.toml"), &BTreeMap::new()).unwrap();
    let mut site = Site::open().await;
    let note = async |site: &Site, id: RunId| {
        let ledger = &site.seed.ledger;
        let report = Report::of(ledger, &ledger.run(&id).await.unwrap().unwrap()).await.unwrap();
        let undone = Undone::of(ledger, &report, Vec::new()).await.unwrap();
        let finished = RunFinished { report, error: None, undone, remedy: None };
        whatsapp_archiver::status::note_run(ledger, &config.source, &finished, now()).await.unwrap();
    };
    let full = SeedItem::new(Fate::Pending("no room".to_owned()));
    let other = SeedItem::new(Fate::Pending("no answer".to_owned()));
    let first = site.seed.run(now() - Duration::minutes(30), RunStatus::Incomplete, std::slice::from_ref(&full)).await;
    note(&site, first).await;
    assert_eq!(remote(&site, "mailbox").await, (false, "1 delivery is pending: no room".to_owned()));
    let items = [full.clone(), other];
    let run = site.seed.run(now() - Duration::minutes(20), RunStatus::Incomplete, &items).await;
    note(&site, run).await;
    let pending = (false, "3 deliveries are pending: no room".to_owned());
    assert_eq!(remote(&site, "mailbox").await, pending);
    assert_eq!(remote(&site, "directory").await, (true, String::new()));
    let replay = site.seed.replay(now() - Duration::minutes(10), &[SeedItem::new(Fate::Imported)]).await;
    note(&site, replay).await;
    assert_eq!(remote(&site, "mailbox").await, pending, "a replay of one item says nothing of the others");
}
