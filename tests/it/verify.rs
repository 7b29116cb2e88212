//! `verify`: damage of every kind is found, and nothing else.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{TimeZone as _, Utc};
use serde_json::Value;
use sqlx::Connection as _;
use tokio_util::sync::CancellationToken;
use whatsapp_archiver::clock::{ManualClock, SharedClock};
use whatsapp_archiver::convert::{Manifest, Message};
use whatsapp_archiver::failpoint;
use whatsapp_archiver::identity::MessageId;
use whatsapp_archiver::mailbox::{Destination, DestinationLimits, ImportError, RemoteId, SendPermit, Verdict};
use whatsapp_archiver::resolution::Mailbox;
use whatsapp_archiver::retry::{Retrier, RetryPolicy};
use whatsapp_archiver::verify::{Verifier, VerifyError};

use crate::installation::{ANA, Archive, BEN, item, item_with_file, message_id};
use crate::kill::kill_at;

/// An archive of six messages from Ana to Ben.
fn archive() -> Archive {
    let archive = Archive::new();
    let mut items: Vec<Value> = (1..=5).map(|id| item(id, &format!("message {id}"))).collect();
    items.push(item_with_file(6, "message 6"));
    archive.export("1.json", &items);
    archive.export_attachment(6, 0, b"attached");
    archive.run_to(0, &["run", "--once"]);
    archive
}

fn entries(result: &Value, kind: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entry = |entry: &Value| (text(&entry["item"]), text(&entry["mailbox"]));
    result[kind].as_array().unwrap().iter().map(entry).collect()
}

fn move_to_folder(archive: &Archive, address: &str, mail: &Path) {
    let folder = archive.path("mailboxes").join(address).join(".Projects");
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    fs::rename(mail, folder.join("cur/1763700001.R42.host:2,FS")).unwrap();
}

#[test]
fn an_archive_without_damage_is_intact() {
    let archive = archive();
    move_to_folder(&archive, BEN, &archive.mail(BEN, "message 3"));
    let result = archive.verify(0, &[]);
    assert_eq!(result["checked"], 12);
    for kind in ["missing", "doubled", "altered", "extra", "unproven", "errors"] {
        assert!(entries(&result, kind).is_empty(), "{kind}: {result}");
    }
    assert!(archive.run_to(0, &["verify"]).contains("12 copies checked: no damage"));
}

#[test]
fn damage_of_each_kind_is_distinguished() {
    let archive = archive();
    let missing = archive.mail(BEN, "message 1");
    let missing_id = message_id(&missing);
    fs::remove_file(missing).unwrap();
    let doubled = archive.mail(ANA, "message 2");
    fs::copy(&doubled, doubled.with_file_name("1763700001.R43.host:2,S")).unwrap();
    let altered = archive.mail(ANA, "message 4");
    let text = fs::read_to_string(&altered).unwrap().replace("message 4", "massage 4");
    fs::write(&altered, text).unwrap();
    let extra = archive.mail(BEN, "message 5");
    let text = fs::read_to_string(&extra).unwrap();
    let unknown = "0123456789abcdef0123456789abcdef@whatsapp-archiver.invalid";
    let text = text.replace(message_id(&extra).as_str(), unknown);
    fs::write(extra.with_file_name("1763700002.R44.host:2,S"), text).unwrap();
    let foreign = "Message-ID: <somebody@contoso.example>\r\n\r\n";
    fs::write(extra.with_file_name("1763700003.R45.host:2,S"), foreign).unwrap();

    let result = archive.verify(1, &[]);
    assert_eq!(result["checked"], 12);
    assert_eq!(entries(&result, "missing"), [("1".to_owned(), BEN.to_owned())]);
    assert_eq!(result["missing"][0]["message_id"], missing_id.as_str());
    assert_eq!(entries(&result, "doubled"), [("2".to_owned(), ANA.to_owned())]);
    assert_eq!(result["doubled"][0]["copies"], 2);
    assert_eq!(entries(&result, "altered"), [("4".to_owned(), ANA.to_owned())]);
    assert_eq!(entries(&result, "extra"), [(String::new(), BEN.to_owned())]);
    assert_eq!(result["extra"][0]["message_id"], unknown);

    let csv = archive.run_to(1, &["verify", "--format", "csv"]);
    let mut lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.remove(0), "finding,item,message_id,mailbox,detail");
    lines.sort_unstable();
    let kinds: Vec<&str> = lines.iter().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(kinds, ["altered", "doubled", "extra", "missing"]);
    let table = archive.run_to(1, &["verify"]);
    assert!(table.contains("DAMAGE FOUND, 1 missing, 1 doubled, 1 altered, 1 extra"), "{table}");
}

#[test]
fn what_is_missing_is_sent_again_once() {
    let archive = archive();
    let missing = archive.mail(BEN, "message 1");
    let missing_id = message_id(&missing);
    fs::remove_file(missing).unwrap();
    move_to_folder(&archive, BEN, &archive.mail(BEN, "message 3"));
    let before = archive.message_ids(ANA);

    let result = archive.verify(1, &["--restore"]);
    assert_eq!(entries(&result, "missing"), [("1".to_owned(), BEN.to_owned())]);
    assert_eq!(message_id(&archive.mail(BEN, "message 1")), missing_id);
    assert_eq!(archive.verify(0, &["--restore"])["checked"], 12, "nothing is doubled, nothing missing");
    assert_eq!(archive.message_ids(ANA), before);
    let report = archive.report();
    assert_eq!((&report["kind"], &report["deliveries"]["imported"]), (&"retry".into(), &1.into()), "{report}");
    assert_eq!(report["deliveries"]["available_for_import"], 1, "{report}");

    fs::remove_dir_all(archive.path("mailboxes").join(ANA)).unwrap();
    assert!(archive.run_to(1, &["verify", "--restore"]).contains("6 missing"));
    assert_eq!(archive.message_ids(ANA), before);
    archive.verify(0, &[]);
}

#[test]
fn what_a_killed_restore_left_open_is_still_missing_and_is_taken_up_again() {
    let archive = archive();
    for message in ["message 1", "message 2"] {
        fs::remove_file(archive.mail(BEN, message)).unwrap();
    }
    assert!(kill_at(archive.command(&["verify", "--restore"]), failpoint::INTENT_RECORDED, 1));
    let result = archive.verify(1, &[]);
    assert_eq!((&result["checked"], &result["waiting"]), (&12.into(), &0.into()), "{result}");
    assert_eq!(entries(&result, "missing").len(), 2, "{result}");
    assert_eq!(entries(&archive.verify(1, &["--restore"]), "missing").len(), 2);
    assert_eq!(archive.verify(0, &[])["checked"], 12);
    assert_eq!(archive.message_ids(BEN).len(), 6);
}

/// Changes the ledger behind the program's back.
async fn change_ledger(archive: &Archive, statement: &'static str) {
    let url = format!("sqlite://{}", archive.path("ledger.db").display());
    let mut ledger = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query(statement).execute(&mut ledger).await.unwrap();
    ledger.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_restored_is_not_given_up_for_the_age_of_its_first_import() {
    let archive = archive();
    change_ledger(&archive, "UPDATE delivery_rows SET created = created - 30 * 86400000").await;
    fs::remove_file(archive.mail(BEN, "message 1")).unwrap();
    assert!(kill_at(archive.command(&["verify", "--restore"]), failpoint::INTENT_RECORDED, 1));
    // The next run can't reach the mailbox.
    let (ben, aside) = (archive.path("mailboxes").join(BEN), archive.path("aside"));
    fs::rename(&ben, &aside).unwrap();
    fs::write(&ben, "a file in the place of a directory").unwrap();
    tokio::task::block_in_place(|| archive.fail(1, &["run", "--once"]));
    fs::remove_file(&ben).unwrap();
    fs::rename(&aside, &ben).unwrap();
    assert_eq!(archive.report()["deliveries"]["pending"], 1, "{}", archive.report());
    assert_eq!(entries(&archive.verify(1, &[]), "missing").len(), 1);
    archive.run_to(0, &["run", "--once"]);
    assert_eq!(archive.verify(0, &[])["checked"], 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_imported_once_is_missing_whatever_became_of_it() {
    let archive = archive();
    fs::remove_file(archive.mail(BEN, "message 1")).unwrap();
    assert_eq!(entries(&archive.verify(1, &[]), "missing").len(), 1);
    let given_up =
        "UPDATE delivery_rows SET state = 'failed', reason = 'mailbox_unavailable' WHERE remote_id IS NOT NULL";
    change_ledger(&archive, given_up).await;
    let result = archive.verify(1, &["--restore"]);
    assert_eq!((&result["checked"], entries(&result, "missing").len()), (&12.into(), 1), "{result}");
    assert_eq!(archive.message_ids(BEN).len(), 6);
}

#[test]
fn a_verification_says_what_waits() {
    let archive = archive();
    archive.export("2.json", &[item(7, "message 7")]);
    assert!(kill_at(archive.command(&["run", "--once"]), failpoint::INTENT_RECORDED, 1));
    let result = archive.verify(0, &[]);
    assert_eq!((&result["checked"], &result["waiting"]), (&12.into(), &2.into()), "{result}");
    assert!(archive.run_to(0, &["verify"]).contains("2 copies wait to be sent by the next run"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_purged_can_not_be_sent_again() {
    let archive = archive();
    fs::remove_file(archive.mail(BEN, "message 1")).unwrap();
    change_ledger(&archive, "UPDATE staged_windows SET state = 'purged'").await;
    let run = archive.report()["run"].clone();
    let reported = tokio::task::block_in_place(|| archive.run(&["verify", "--restore"]));
    assert_eq!(reported.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&reported.stderr).contains("copies_not_restored"), "{reported:?}");
    assert_eq!(archive.report()["run"], run, "no run was begun");
    assert_eq!(entries(&archive.verify(1, &[]), "missing").len(), 1);
}

#[test]
fn one_run_is_verified_alone() {
    let archive = archive();
    let first = archive.report()["run"].as_str().unwrap().to_owned();
    archive.export("2.json", &[item(7, "message 7")]);
    archive.run_to(0, &["run", "--once"]);
    let second = archive.report()["run"].as_str().unwrap().to_owned();
    fs::remove_file(archive.mail(ANA, "message 7")).unwrap();
    let extra = archive.mail(BEN, "message 5");
    let text = fs::read_to_string(&extra).unwrap();
    let unknown = "0123456789abcdef0123456789abcdef@whatsapp-archiver.invalid";
    fs::write(extra.with_file_name("1.R1.host:2,S"), text.replace(message_id(&extra).as_str(), unknown)).unwrap();

    let result = archive.verify(0, &["--run", &first]);
    assert_eq!((result["checked"].as_u64(), entries(&result, "extra").len()), (Some(12), 0));
    let result = archive.verify(1, &["--run", &second]);
    assert_eq!(result["checked"], 2);
    assert_eq!(entries(&result, "missing"), [("7".to_owned(), ANA.to_owned())]);
    assert_eq!(entries(&archive.verify(1, &[]), "extra").len(), 1);
    assert!(archive.fail(2, &["verify", "--run", "nonsense"]).contains("there is no run nonsense"));
}

#[test]
fn a_mailbox_that_cannot_be_read_is_never_intact() {
    let archive = archive();
    let ana = archive.path("mailboxes").join(ANA);
    fs::remove_dir_all(&ana).unwrap();
    fs::write(&ana, "a file in the place of a directory").unwrap();
    let result = archive.verify(1, &[]);
    assert_eq!(result["checked"], 6, "the other mailbox is verified all the same");
    assert_eq!(entries(&result, "errors"), [(String::new(), ANA.to_owned())]);
    assert!(!result["errors"][0]["detail"].as_str().unwrap().is_empty());
    assert!(entries(&result, "missing").is_empty());
}

#[test]
fn a_mailbox_that_is_gone_misses_everything() {
    let archive = archive();
    fs::remove_dir_all(archive.path("mailboxes").join(ANA)).unwrap();
    let result = archive.verify(1, &[]);
    assert_eq!(entries(&result, "missing").len(), 6);
    assert!(entries(&result, "missing").iter().all(|(_, mailbox)| mailbox == ANA));
}

/// A destination that fails as often as it is told, then answers as the one behind it.
struct Failing {
    inner: Arc<dyn Destination>,
    failures: AtomicU32,
    error: ImportError,
}

impl Failing {
    fn fail(&self) -> Result<(), ImportError> {
        let failing = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if failing.is_ok() { Err(self.error.clone()) } else { Ok(()) }
    }
}

#[async_trait::async_trait]
impl Destination for Failing {
    fn name(&self) -> String {
        self.inner.name()
    }
    fn limits(&self) -> DestinationLimits {
        self.inner.limits()
    }
    fn settle(&self) -> Duration {
        self.inner.settle()
    }
    async fn import(
        &self,
        mailbox: &Mailbox,
        messages: &[Arc<Message>],
        permit: &SendPermit,
    ) -> Vec<Result<RemoteId, ImportError>> {
        self.inner.import(mailbox, messages, permit).await
    }
    async fn recover(
        &self,
        mailbox: &Mailbox,
        message: &Message,
        permit: &SendPermit,
    ) -> Result<Option<RemoteId>, ImportError> {
        self.inner.recover(mailbox, message, permit).await
    }
    async fn verify(&self, mailbox: &Mailbox, sent: &[Manifest]) -> Result<Vec<Verdict>, ImportError> {
        self.fail()?;
        self.inner.verify(mailbox, sent).await
    }
    async fn count(&self, mailbox: &Mailbox, ids: &[MessageId]) -> Result<Vec<usize>, ImportError> {
        self.fail()?;
        self.inner.count(mailbox, ids).await
    }
    async fn inventory(&self, mailbox: &Mailbox) -> Result<Vec<MessageId>, ImportError> {
        self.inner.inventory(mailbox).await
    }
}

async fn verifier(archive: &Archive, failures: u32, error: ImportError) -> (Verifier, CancellationToken) {
    let app = archive.app().await;
    let clock: SharedClock = Arc::new(ManualClock::self_moving(Utc.with_ymd_and_hms(2026, 11, 22, 2, 0, 0).unwrap()));
    let stop = CancellationToken::new();
    let policy = RetryPolicy { attempts: 3, initial: Duration::from_secs(1), max: Duration::from_secs(30) };
    let inner = Arc::clone(&app.remotes.destination);
    let verifier = Verifier {
        ledger: app.ledger.clone(),
        destination: Arc::new(Failing { inner, failures: AtomicU32::new(failures), error }),
        resolver: Arc::clone(&app.resolver),
        retrier: Retrier::new(Arc::clone(&clock), policy, stop.clone()),
        stop: stop.clone(),
        clock,
        restores: false,
    };
    (verifier, stop)
}

#[tokio::test]
async fn a_mailbox_that_asks_for_a_pause_is_asked_again() {
    let archive = archive();
    let pause = ImportError::Throttled { after: Some(Duration::from_secs(90)), detail: "slow down".to_owned() };
    let (verifier, _) = verifier(&archive, 2, pause).await;
    let outcome = verifier.verify(None, &mut |finding| panic!("{finding:?}")).await.unwrap();
    assert_eq!((outcome.checked, outcome.damage), (12, 0));
}

#[tokio::test]
async fn a_verification_that_is_stopped_proves_nothing() {
    let archive = archive();
    let (verifier, stop) = verifier(&archive, 0, ImportError::Unavailable("down".to_owned())).await;
    stop.cancel();
    let result = verifier.verify(None, &mut |_| Ok(())).await;
    assert!(matches!(result, Err(VerifyError::Stopped)), "{result:?}");
}
