//! The chain of reports: complete, signed, and any change to it noticed. OpenSSL is the third party.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::{TimeZone as _, Utc};
use sqlx::Connection as _;
use whatsapp_archiver::clock::Clock as _;
use whatsapp_archiver::digest::Digest;
use whatsapp_archiver::item::ItemId;
use whatsapp_archiver::ledger::{ActionKind, HeldSelection, ItemName, ItemSelection};
use whatsapp_archiver::pipeline::RunRequest;
use whatsapp_archiver::report::lists::Numbers;
use whatsapp_archiver::report::signature::{PublicKey, SigningKey};
use whatsapp_archiver::report::verification::{Checked, Finding, verify};
use whatsapp_archiver::report::{Report, html};

use crate::archive::{ANA, Archive, PETER, Sent, read_json};

fn openssl(folder: &Path, arguments: &[&str]) {
    let run = Command::new("openssl").current_dir(folder).args(arguments).output();
    let output = run.expect("openssl is needed for this test; tests/run.sh installs it");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A key pair: `key.pem` and `key.pub.pem`.
fn make_key(folder: &Path) -> PublicKey {
    openssl(folder, &["genpkey", "-algorithm", "ed25519", "-out", "key.pem"]);
    openssl(folder, &["pkey", "-in", "key.pem", "-pubout", "-out", "key.pub.pem"]);
    PublicKey::from_pem(&fs::read(folder.join("key.pub.pem")).unwrap()).unwrap()
}

/// Four days: one with a failure, one without items, a failed one, and another with items.
async fn four_days(key: &Path) -> Archive {
    let archive = Archive::new(Some(&key.join("key.pem")), "forever").await;
    archive.sends(&[Sent { id: 1, owner: ANA, attachment: None }, Sent { id: 2, owner: PETER, attachment: None }]);
    archive.day().await;
    archive.days_pass(1);
    archive.day().await;
    archive.days_pass(1);
    let export = archive.folder.path().join("export");
    fs::rename(&export, archive.folder.path().join("away")).unwrap();
    assert!(archive.run(RunRequest::Regular).await.error.is_some());
    fs::rename(archive.folder.path().join("away"), &export).unwrap();
    archive.days_pass(1);
    archive.sends(&[Sent { id: 3, owner: ANA, attachment: None }]);
    archive.day().await;
    archive
}

fn findings(checked: &[Checked]) -> Vec<String> {
    let name = |finding: &Finding| finding.to_string().split(':').next().unwrap().to_owned();
    checked.iter().map(|file| file.findings.iter().map(name).collect::<Vec<_>>().join("+")).collect()
}

#[tokio::test]
async fn every_run_has_its_signed_place_in_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let key = make_key(folder.path());
    let archive = four_days(folder.path()).await;
    let reports = archive.reports();
    assert_eq!(reports.len(), 4);
    let checked = verify(&reports, Some(&key));
    assert!(checked.iter().all(|file| file.is_ok() && file.signed), "{checked:?}");

    let read: Vec<serde_json::Value> = reports.iter().map(|path| read_json(path)).collect();
    let statuses: Vec<&str> = read.iter().map(|report| report["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["complete", "complete", "failed", "complete"]);
    assert_eq!(read[0]["previous_sha256"], serde_json::Value::Null);
    for (place, path) in reports.iter().take(3).enumerate() {
        assert_eq!(read[place + 1]["previous_sha256"], Digest::of(&fs::read(path).unwrap()).to_string());
    }
    let failure = &read[0]["failures"][0];
    assert_eq!((failure["item"].as_str(), failure["source_user"].as_str()), (Some("2"), Some("+1•••••0107")));
    for path in &reports {
        let text = fs::read_to_string(path).unwrap();
        assert!(!text.contains(PETER) && !text.contains(ANA), "{text}");
    }
    // The digest of each page is that of the staged bytes.
    for page in read.iter().flat_map(|report| report["pages"].as_array().unwrap()) {
        let staged = fs::read(archive.folder.path().join("staging").join(page["page"].as_str().unwrap())).unwrap();
        assert_eq!(page["sha256"], Digest::of(&staged).to_string());
    }
    assert_eq!(read[0]["pages"].as_array().unwrap().len(), 1);

    // A third party needs nothing but OpenSSL.
    for path in &reports {
        let statement = format!("whatsapp-archiver report {}\n", Digest::of(&fs::read(path).unwrap()));
        fs::write(folder.path().join("statement"), statement).unwrap();
        let signature = format!("{}.sig", path.display());
        openssl(
            folder.path(),
            &[
                "pkeyutl",
                "-verify",
                "-pubin",
                "-inkey",
                "key.pub.pem",
                "-rawin",
                "-in",
                "statement",
                "-sigfile",
                &signature,
            ],
        );
    }
}

#[tokio::test]
async fn changes_to_the_chain_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let key = make_key(folder.path());
    let archive = four_days(folder.path()).await;
    let reports = archive.reports();
    let copies = |name: &str| -> Vec<PathBuf> {
        let to = folder.path().join(name);
        fs::create_dir(&to).unwrap();
        let copy = |path: &PathBuf| {
            let copy = to.join(path.file_name().unwrap());
            fs::copy(path, &copy).unwrap();
            fs::copy(format!("{}.sig", path.display()), format!("{}.sig", copy.display())).unwrap();
            copy
        };
        reports.iter().map(copy).collect()
    };

    // A count is fixed by hand.
    let altered = copies("altered");
    let text = fs::read_to_string(&altered[1]).unwrap();
    fs::write(&altered[1], text.replace("\"failed\":0", "\"failed\":1")).unwrap();
    assert_ne!(fs::read_to_string(&altered[1]).unwrap(), text);
    assert_eq!(findings(&verify(&altered, Some(&key))), ["", "signature wrong+altered", "", ""]);
    assert_eq!(findings(&verify(&altered, None)), ["", "altered", "", ""]);

    // The same, signed again with another key, whose owner can't change the report after it.
    let resigned = copies("resigned");
    fs::write(&resigned[1], text.replace("\"failed\":0", "\"failed\":1")).unwrap();
    let others = folder.path().join("others");
    fs::create_dir(&others).unwrap();
    let other_public = make_key(&others);
    let pem = fs::read_to_string(others.join("key.pem")).unwrap();
    let other = SigningKey::from_pem(&pem.into()).unwrap();
    let digest = Digest::of(&fs::read(&resigned[1]).unwrap());
    fs::write(format!("{}.sig", resigned[1].display()), other.sign(digest)).unwrap();
    assert_eq!(findings(&verify(&resigned, Some(&key))), ["", "signature wrong+altered", "", ""]);
    assert!(
        verify(&reports, Some(&other_public))
            .iter()
            .all(|file| findings(std::slice::from_ref(file)) == ["signature wrong"])
    );

    // The last report has no other to vouch for it: its signature does.
    let last = copies("last");
    let text = fs::read_to_string(&last[3]).unwrap();
    fs::write(&last[3], text.replace("\"imported\":1", "\"imported\":2")).unwrap();
    assert_eq!(findings(&verify(&last, Some(&key))), ["", "", "", "signature wrong"]);

    // One is dropped, two change places, a signature is lost, a file is cut short.
    let without = [reports[0].clone(), reports[2].clone(), reports[3].clone()];
    assert_eq!(findings(&verify(&without, Some(&key))), ["", "chain broken", ""]);
    let turned = [reports[1].clone(), reports[0].clone()];
    assert_eq!(findings(&verify(&turned, Some(&key))), ["", "chain broken"]);
    assert_eq!(findings(&verify(&reports[1..], Some(&key))), ["", "", ""], "a part of the chain is whole in itself");
    let unsigned = copies("unsigned");
    fs::remove_file(format!("{}.sig", unsigned[2].display())).unwrap();
    assert_eq!(findings(&verify(&unsigned, Some(&key))), ["", "", "signature missing", ""]);
    assert_eq!(findings(&verify(&unsigned, None)), ["", "", "signature missing", ""], "it says that it is signed");
    let cut = copies("cut");
    let bytes = fs::read(&cut[0]).unwrap();
    fs::write(&cut[0], &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(findings(&verify(&cut, Some(&key))), ["altered+signature wrong", "chain broken", "", ""]);
    assert_eq!(findings(&verify(&[folder.path().join("nothing")], None)), ["can't be read"]);
}

#[tokio::test]
async fn a_report_that_could_not_be_written_comes_with_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let key = make_key(folder.path());
    let archive = Archive::new(Some(&folder.path().join("key.pem")), "forever").await;
    archive.sends(&[Sent { id: 1, owner: ANA, attachment: None }]);
    archive.day().await;
    // Broken before the report, and between report and signature.
    for changes in [0, 1] {
        archive.days_pass(1);
        let before = archive.reports().len();
        archive.staging.breaks_after(changes);
        archive.day().await;
        archive.staging.heals();
        assert!(archive.reports().len() < before + 2);
        assert!(verify(&archive.reports(), Some(&key)).iter().any(|file| !file.is_ok()) || changes == 0);
        archive.days_pass(1);
        archive.day().await;
        let reports = archive.reports();
        assert_eq!(reports.len(), before + 2);
        assert_eq!(findings(&verify(&reports, Some(&key))).concat(), "");
    }
    // Without its key a report waits: the chain has no unsigned link.
    fs::rename(folder.path().join("key.pem"), folder.path().join("away.pem")).unwrap();
    archive.days_pass(1);
    archive.day().await;
    assert_eq!(archive.reports().len(), 5);
    fs::rename(folder.path().join("away.pem"), folder.path().join("key.pem")).unwrap();
    archive.days_pass(1);
    archive.day().await;
    let reports = archive.reports();
    assert_eq!(reports.len(), 7);
    assert!(verify(&reports, Some(&key)).iter().all(|file| file.is_ok() && file.signed));
}

#[tokio::test]
async fn the_administrators_own_actions_are_reported_once() {
    let archive = Archive::new(None, "forever").await;
    archive.sends(&[Sent { id: 1, owner: PETER, attachment: None }, Sent { id: 2, owner: PETER, attachment: None }]);
    archive.day().await;
    let ledger = &archive.app.ledger;
    let at = archive.clock.now();
    ledger.record_action(ActionKind::Retry, Some("ana"), "--item 1", at).await.unwrap();
    archive.run(RunRequest::Retry(ItemSelection::default())).await;
    let second = ledger.captures(&ItemName::Item(ItemId(2))).await.unwrap();
    let items = Some(second.iter().map(|item| item.no).collect());
    let selection = HeldSelection { items, ..HeldSelection::default() };
    assert_eq!(ledger.held(&selection).await.unwrap(), [("no_valid_user".to_owned(), 1)]);
    assert_eq!(ledger.release(&selection, None, "--item 2", at).await.unwrap(), 1);
    assert_eq!(ledger.held(&selection).await.unwrap(), []);
    archive.days_pass(1);
    archive.day().await;
    let actions: Vec<serde_json::Value> =
        archive.reports().iter().map(|path| read_json(path)["actions"].clone()).collect();
    assert_eq!(actions[0], serde_json::json!([]));
    let reported =
        serde_json::json!([{"at": "2026-11-22T02:00:00Z", "action": "retry", "user": "ana", "detail": "--item 1"}]);
    assert_eq!(actions[1], reported);
    let reported = serde_json::json!([{"at": "2026-11-22T02:00:00Z", "action": "release", "user": null, "detail": "--item 2: 1 rows"}]);
    assert_eq!(actions[2], reported);

    // What was released is not replayed, and isn't open any more; the frozen account keeps it.
    let retried = archive.run(RunRequest::Retry(ItemSelection::default())).await;
    assert_eq!(retried.report.deliveries.available_for_import, 1);
    assert_eq!(ledger.open_counts().await.unwrap().held, 1);
    assert_eq!(read_json(&archive.reports()[1])["deliveries"]["failed"], 2);
}

#[tokio::test]
async fn a_rebuilt_ledger_goes_on_with_the_chain() {
    let mut archive = Archive::new(None, "forever").await;
    archive.sends(&[Sent { id: 1, owner: ANA, attachment: None }]);
    archive.day().await;
    archive.days_pass(1);
    archive.day().await;
    // The ledger is lost; its successor is allowed into the staging area.
    archive.app.ledger.close().await;
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm", "staging/ledger-id"] {
        let _ = fs::remove_file(archive.folder.path().join(file));
    }
    archive.restart().await;
    archive.days_pass(1);
    archive.day().await;
    let reports = archive.reports();
    assert_eq!(reports.len(), 3);
    assert_eq!(findings(&verify(&reports, None)).concat(), "");
}

#[tokio::test]
async fn a_ledger_from_a_backup_of_mid_run_forks_the_chain_and_goes_on() {
    let mut archive = Archive::new(None, "forever").await;
    archive.sends(&[Sent { id: 1, owner: ANA, attachment: None }]);
    archive.day().await;
    archive.days_pass(1);
    let second = archive.day().await.report.run;
    // As the ledger was while the second run was under way.
    let url = format!("sqlite://{}", archive.folder.path().join("ledger.db").display());
    let mut ledger = sqlx::SqliteConnection::connect(&url).await.unwrap();
    for statement in [
        "UPDATE runs SET status = 'running', finished = NULL, report = NULL WHERE run_id = $1",
        "DELETE FROM reports WHERE run_id = $1",
        "DELETE FROM account_rows WHERE run_id = $1",
    ] {
        sqlx::query(statement).bind(second.0.clone()).execute(&mut ledger).await.unwrap();
    }
    ledger.close().await.unwrap();
    archive.restart().await;
    archive.days_pass(1);
    archive.day().await;

    let staged = archive.staged("reports/").await;
    assert_eq!(staged.len(), 4, "{staged:?}");
    let beside = staged.iter().find(|name| name.starts_with(&format!("reports/{second}-"))).unwrap();
    let staging = archive.folder.path().join("staging");
    let report = read_json(&staging.join(beside));
    assert_eq!(report["error"], "its process ended before the run did", "{report}");
    let digest = Digest::of(&fs::read(staging.join(beside)).unwrap()).to_string();
    let follows = |name: &&String| read_json(&staging.join(name))["previous_sha256"] == digest;
    assert_eq!(staged.iter().filter(follows).count(), 1, "the chain goes on from the one beside");
}

#[tokio::test]
async fn the_page_of_a_report_stands_alone_and_is_harmless() {
    let archive = Archive::new(None, "forever").await;
    archive.sends(&[Sent { id: 1, owner: ANA, attachment: None }, Sent { id: 2, owner: PETER, attachment: None }]);
    let mut report: Report = archive.day().await.report;
    report.error = Some("<script>alert(1)</script>".to_owned());
    let page = html::render(&archive.app.ledger, &report, Numbers::Masked).await.unwrap();
    assert!(!page.contains("<script") && page.contains("&#60;script&#62;"), "{page}");
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="), "it loads nothing");
    assert!(page.contains("no_valid_user") && page.contains("+1•••••0107") && !page.contains(PETER));
    assert!(!page.contains("more rows"));
    report.deliveries.failed = 10_001;
    let page = html::render(&archive.app.ledger, &report, Numbers::Masked).await.unwrap();
    assert!(page.contains("more rows") && page.contains("--format csv"));
    let shown = html::render(&archive.app.ledger, &report, Numbers::Shown).await.unwrap();
    assert!(shown.contains(PETER));
}

#[tokio::test]
async fn a_source_that_falls_silent_is_noticed() {
    let archive = Archive::new(None, "forever").await;
    let schedule = archive.app.config.schedule.clone();
    let warnings = async || {
        let now = archive.clock.now();
        let status = whatsapp_archiver::status::Status::of(&archive.app.ledger, &schedule, now).await.unwrap();
        let lines = status.warnings.into_iter().map(|warning| format!("{}: {}", warning.kind.name(), warning.detail));
        lines.collect::<Vec<String>>()
    };
    for day in 0..9 {
        archive.sends(&[Sent { id: 10 + day, owner: ANA, attachment: None }]);
        archive.day().await;
        archive.days_pass(1);
    }
    assert_eq!(warnings().await, Vec::<String>::new());
    for _ in 0..6 {
        archive.day().await;
        archive.days_pass(1);
    }
    let reported = warnings().await;
    assert!(
        reported[0]
            .starts_with("nothing_arrived: no items for 6 days of reading; of the 7 days before, 7 brought some"),
        "{reported:?}"
    );
    assert!(reported[1].starts_with("owners_silent: 1 owner has gone silent: +1•••••0100"), "{reported:?}");
    archive.days_pass(2);
    let reported = warnings().await;
    assert!(
        reported.iter().any(|line| line.starts_with("watermark_stands_still: the watermark stands still at")),
        "{reported:?}"
    );
    assert!(archive.clock.now() > Utc.with_ymd_and_hms(2026, 12, 1, 0, 0, 0).unwrap());
}
